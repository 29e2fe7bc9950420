//! Confirms combined with returns and refusals (docs/semantics.md, Publishing).

use super::{conversation, conversation_in_packets};

#[test]
fn the_ack_of_a_returned_message_follows_its_return_alone() {
    conversation_in_packets(
        "C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 confirm.select \n S 1 confirm.select-ok
         C 1 basic.publish routing_key=q << a
         C 1 basic.publish routing_key=q << b
         C 1 basic.publish routing_key=none mandatory << c
         C 1 basic.publish routing_key=q << d
         C 1 basic.publish routing_key=q << e
         S 1 basic.ack delivery_tag=2 multiple
         S 1 basic.return reply_code=312 routing_key=none << c
         S 1 basic.ack delivery_tag=3 multiple=0
         S 1 basic.ack delivery_tag=5 multiple",
    );
}

#[test]
fn each_return_has_its_ack_right_behind_it() {
    conversation(
        "C 1 confirm.select \n S 1 confirm.select-ok
         C 1 basic.publish routing_key=none mandatory << a
         C 1 basic.publish routing_key=none mandatory << b
         S 1 basic.return << a \n S 1 basic.ack delivery_tag=1 multiple=0
         S 1 basic.return << b \n S 1 basic.ack delivery_tag=2 multiple=0",
    );
}
