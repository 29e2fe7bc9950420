//! Consumers that end: by the client, by the broker, by both at once.

use super::{conversation, handshake};

#[test]
fn a_tag_is_free_when_the_broker_has_cancelled_its_consumer() {
    conversation(
        "C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok consumer_tag=c
         C2 1 queue.delete queue=q \n S2 1 queue.delete-ok
         S 1 basic.cancel consumer_tag=c nowait
         C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok consumer_tag=c
         C 1 basic.publish routing_key=q << x
         S 1 basic.deliver consumer_tag=c delivery_tag=1 << x
         C 1 basic.cancel consumer_tag=c \n S 1 basic.cancel-ok consumer_tag=c",
    );
}

#[test]
fn cancelled_consumers_do_not_count_for_the_limit_of_a_channel() {
    let round = "C 1 queue.declare queue=q \n S 1 queue.declare-ok
        C 1 basic.consume queue=q \n S 1 basic.consume-ok
        C 1 queue.delete queue=q \n S 1 queue.delete-ok \n S 1 basic.cancel \n";
    conversation(&round.repeat(5));
}

#[test]
fn cancels_that_cross_harm_nobody() {
    conversation(
        "C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok
         C 1 queue.delete queue=q
         C 1 basic.cancel consumer_tag=c \n C 1 basic.cancel-ok consumer_tag=c
         S 1 queue.delete-ok
         S 1 basic.cancel consumer_tag=c \n S 1 basic.cancel-ok consumer_tag=c
         C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok",
    );
}

#[test]
fn a_client_hears_of_the_end_before_it_hears_of_a_new_consumer_by_the_same_tag() {
    conversation(
        "C 1 queue.declare queue=q \n C 1 basic.consume queue=q consumer_tag=c
         C 1 queue.delete queue=q \n C 1 queue.declare queue=q \n C 1 basic.consume queue=q consumer_tag=c
         S 1 queue.declare-ok \n S 1 basic.consume-ok \n S 1 queue.delete-ok
         S 1 basic.cancel consumer_tag=c
         S 1 queue.declare-ok \n S 1 basic.consume-ok",
    );
}

#[test]
fn what_came_from_a_deleted_queue_can_be_acknowledged() {
    conversation(
        "C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.publish routing_key=q << x
         C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok
         S 1 basic.deliver delivery_tag=1 << x
         C 1 queue.delete queue=q \n S 1 queue.delete-ok \n S 1 basic.cancel consumer_tag=c
         C 1 basic.ack delivery_tag=1
         C 1 basic.ack delivery_tag=1 \n S 1 channel.close 406 by basic.ack",
    );
}

/// A client of this product on a channel, with queue `q` holding two messages.
fn client_of(product: &str, rest: &str) -> String {
    format!(
        "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US client_properties={{product:{product}}}
         S 0 connection.tune
         C 0 connection.tune-ok channel_max=5 frame_max=4096 \n C 0 connection.open virtual_host=/
         S 0 connection.open-ok \n C 1 channel.open \n S 1 channel.open-ok
         C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.publish routing_key=q << a \n C 1 basic.publish routing_key=q << b
         {rest}"
    )
}

#[test]
fn a_prefetch_for_py_amqp_holds_for_consumers_that_run_and_for_no_other_client() {
    const RAISED: &str = "C 1 basic.qos prefetch_count=1 \n S 1 basic.qos-ok
        C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok \n S 1 basic.deliver << a
        C 1 basic.qos prefetch_count=2";
    handshake(&client_of(
        "py-amqp",
        &format!("{RAISED} \n S 1 basic.qos-ok \n T 10 \n S 1 basic.deliver << b"),
    ));
    handshake(&client_of("pika", &format!("{RAISED} \n S 1 basic.qos-ok \n T 10")));
}

/// kombu loses its request for more if it reads a delivery together with the answer.
#[test]
fn py_amqp_gets_what_a_raised_prefetch_makes_room_for_when_it_has_taken_the_answer() {
    const RAISED: &str = "C 1 basic.qos prefetch_count=1 global \n S 1 basic.qos-ok
        C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok \n S 1 basic.deliver delivery_tag=1 << a
        C 1 basic.qos prefetch_count=2 global \n S 1 basic.qos-ok";
    let deliver = "S 1 basic.deliver delivery_tag=2 << b";
    handshake(&client_of("py-amqp", &format!("{RAISED} \n T 9 \n T 10 \n {deliver} \n T 20")));
    handshake(&client_of("pika", &format!("{RAISED} \n {deliver} \n T 20")));
    // A later raise counts from its own time, and an acknowledgement takes effect at once.
    handshake(&client_of(
        "py-amqp",
        &format!("{RAISED} \n C 1 basic.ack delivery_tag=1 \n {deliver} \n T 10"),
    ));
    // A lifted limit delays deliveries equally.
    let lifted = RAISED.replace("count=2", "count=0");
    handshake(&client_of("py-amqp", &format!("{lifted} \n T 10 \n {deliver}")));
    // A consumer cancelled meanwhile gets nothing.
    let left = "C 1 basic.cancel consumer_tag=c \n S 1 basic.cancel-ok";
    handshake(&client_of("py-amqp", &format!("{RAISED} \n {left} \n T 10")));
}

/// Three channels of one connection hold one message each, with room for more; the connection ends as given.
fn three_hold_one_each(end: &str) -> String {
    let consume = |n| format!("C {n} basic.consume queue=q consumer_tag=c{n} \n S {n} basic.consume-ok \n");
    let publish = |n| format!("C 1 basic.publish routing_key=q << m{n} \n S {n} basic.deliver << m{n} \n");
    let get = |n| format!("C2 1 basic.get queue=q no_ack \n S2 1 basic.get-ok redelivered=1 << m{n} \n");
    let each = |line: &dyn Fn(u8) -> String| (1..=3).map(line).collect::<String>();
    format!(
        "C2 1 queue.declare queue=q arguments={{x-delivery-limit:1}} \n S2 1 queue.declare-ok
         C 2 channel.open \n S 2 channel.open-ok \n C 3 channel.open \n S 3 channel.open-ok
         {} {} {end} \n {}",
        each(&consume),
        each(&publish),
        each(&get)
    )
}

#[test]
fn what_a_connection_held_comes_back_once_whatever_channels_it_had() {
    for end in [
        "C 0 connection.close \n S 0 connection.close-ok \n S end",
        "C 1 tx.select \n S 1 tx.select-ok \n C 1 basic.publish immediate routing_key=q << x
         S 0 connection.close 540 by basic.publish \n C 0 connection.close-ok \n S end",
    ] {
        conversation(&three_hold_one_each(end));
    }
}

#[test]
fn a_queue_is_idle_from_the_end_of_its_consumers_connection() {
    for end in [
        "C gone",
        "C shut \n S 0 connection.close 320 by 0,0 \n C 0 connection.close-ok \n S end",
        "C 0 connection.close \n S 0 connection.close-ok \n S end",
    ] {
        conversation(&format!(
            "C2 1 queue.declare queue=q arguments={{x-expires:500}} \n S2 1 queue.declare-ok
             C 1 basic.consume queue=q \n S 1 basic.consume-ok
             T 10000 \n {end} \n T 10499
             C2 1 basic.publish routing_key=q << x \n T 10500
             C2 1 queue.declare queue=q passive \n S2 1 channel.close 404 by queue.declare"
        ));
        // Nor does it expire early: the passive declare counts as use.
        conversation(&format!(
            "C2 1 queue.declare queue=q arguments={{x-expires:500}} \n S2 1 queue.declare-ok
             C 1 basic.consume queue=q \n S 1 basic.consume-ok
             T 10000 \n {end} \n T 10499
             C2 1 queue.declare queue=q passive \n S2 1 queue.declare-ok"
        ));
    }
}

#[test]
fn what_channels_of_a_connection_held_is_delivered_again_in_order() {
    for (first, second) in [(1, 2), (2, 1)] {
        conversation(&format!(
            "C2 1 queue.declare queue=q \n S2 1 queue.declare-ok
             C2 1 basic.publish routing_key=q << a \n C2 1 basic.publish routing_key=q << b
             C 2 channel.open \n S 2 channel.open-ok
             C {first} basic.get queue=q \n S {first} basic.get-ok << a
             C {second} basic.get queue=q \n S {second} basic.get-ok << b
             C2 1 basic.qos prefetch_count=1 \n S2 1 basic.qos-ok
             C2 1 basic.consume queue=q \n S2 1 basic.consume-ok
             C gone
             S2 1 basic.deliver redelivered=1 << a"
        ));
    }
}
