//! Transactions and confirms (docs/semantics.md, Transactions).

use super::{conversation, conversation_in_packets};

#[test]
fn publishes_and_acks_wait_for_the_commit() {
    conversation(
        "A 1 tx.select \n A 1 tx.select \n A 1 queue.declare queue=q
         C2 1 basic.publish routing_key=q << old \n C 1 basic.get queue=q \n S 1 basic.get-ok delivery_tag=1 << old
         C 1 basic.publish routing_key=q << new \n C 1 basic.publish routing_key=none mandatory << nowhere
         C 1 basic.ack delivery_tag=1
         C 1 queue.declare queue=q passive \n S 1 queue.declare-ok message_count=0
         C 1 tx.commit \n S 1 basic.return << nowhere \n S 1 tx.commit-ok
         C 1 queue.declare queue=q passive \n S 1 queue.declare-ok message_count=1
         A 1 tx.commit
         C 1 basic.ack delivery_tag=1 \n S 1 channel.close 406 by basic.ack",
    );
}

#[test]
fn a_rollback_drops_publishes_and_leaves_deliveries_out() {
    conversation(
        "A 1 tx.select \n A 1 queue.declare queue=q
         C2 1 basic.publish routing_key=q << old \n C 1 basic.get queue=q \n S 1 basic.get-ok delivery_tag=1 << old
         C 1 basic.publish routing_key=q << new \n C 1 basic.ack delivery_tag=1
         A 1 tx.rollback
         C 1 queue.declare queue=q passive \n S 1 queue.declare-ok message_count=0
         C 1 basic.nack delivery_tag=1 requeue \n A 1 tx.commit
         C 1 basic.get queue=q \n S 1 basic.get-ok redelivered << old \n A 1 tx.rollback
         A 1 channel.close \n C2 1 basic.get queue=q \n S2 1 basic.get-ok message_count=0 << old",
    );
}

#[test]
fn the_end_of_a_channel_is_a_rollback() {
    for end in
        ["A 1 channel.close", "C 1 basic.ack delivery_tag=9 \n S 1 channel.close 406 by basic.ack", "C gone"]
    {
        conversation(&format!(
            "A2 1 queue.declare queue=q \n C2 1 basic.publish routing_key=q << old
             A 1 tx.select \n C 1 basic.get queue=q \n S 1 basic.get-ok << old
             C 1 basic.ack delivery_tag=1 \n C 1 basic.publish routing_key=q << new \n {end}
             C2 1 basic.get queue=q \n S2 1 basic.get-ok redelivered message_count=0 << old"
        ));
    }
}

#[test]
fn a_commit_that_a_queue_refuses_closes_the_channel() {
    conversation(
        "A 1 queue.declare queue=q arguments={x-max-length:1,x-overflow:reject-publish} \n A 1 tx.select
         C 1 basic.publish routing_key=q << a \n C 1 basic.publish routing_key=q << b
         C 1 tx.commit \n S 1 channel.close 406 by tx.commit saying partial tx completion
         C 1 channel.close-ok \n A 1 channel.open
         C 1 basic.get queue=q \n S 1 basic.get-ok message_count=0 << a",
    );
}

#[test]
fn declarations_do_not_wait_for_a_commit() {
    conversation(
        "A 1 tx.select \n A 1 queue.declare queue=q \n A 1 queue.bind queue=q exchange=amq.direct routing_key=k
         A 1 tx.rollback \n A2 1 queue.declare queue=q passive
         C2 1 basic.publish exchange=amq.direct routing_key=k << x \n C2 1 basic.get queue=q \n S2 1 basic.get-ok << x",
    );
}

#[test]
fn a_publish_to_a_missing_exchange_ends_the_channel_and_its_confirms() {
    conversation_in_packets(
        "A 1 confirm.select
         C 1 basic.publish exchange=none << a \n C 1 basic.publish routing_key=q << b
         S 1 channel.close 404 by basic.publish saying no exchange 'none' in vhost '/'
         C 1 channel.close-ok \n A 1 channel.open
         A 1 confirm.select \n C 1 basic.publish routing_key=q << c \n S 1 basic.ack delivery_tag=1",
    );
}

#[test]
fn confirms_count_from_the_selection_on() {
    conversation(
        "A 1 queue.declare queue=q durable \n C 1 basic.publish routing_key=q << before
         A 1 confirm.select \n A 1 confirm.select
         C 1 basic.publish routing_key=q << transient \n S 1 basic.ack delivery_tag=1
         C 1 basic.publish routing_key=q with delivery_mode=2 << persistent \n S 1 basic.ack delivery_tag=2
         C 1 basic.publish routing_key=none << unroutable \n S 1 basic.ack delivery_tag=3
         C 1 basic.publish exchange=amq.fanout mandatory << returned
         S 1 basic.return reply_code=312 << returned \n S 1 basic.ack delivery_tag=4",
    );
}

#[test]
fn a_publish_that_one_queue_refuses_is_refused() {
    conversation(
        "A 1 queue.declare queue=full arguments={x-max-length:0,x-overflow:reject-publish}
         A 1 queue.declare queue=free
         A 1 queue.bind queue=full exchange=amq.fanout \n A 1 queue.bind queue=free exchange=amq.fanout
         A 1 confirm.select
         C 1 basic.publish exchange=amq.fanout mandatory << x \n S 1 basic.nack delivery_tag=1 multiple=0
         C 1 basic.get queue=free \n S 1 basic.get-ok << x
         C 1 basic.publish routing_key=free << y \n S 1 basic.ack delivery_tag=2",
    );
}
