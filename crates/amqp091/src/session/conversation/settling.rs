//! Deliveries, their tags and their settlement (docs/semantics.md, Deliveries).

use super::conversation;

/// Queue `q` holding these messages.
fn queue_of(bodies: &[&str]) -> String {
    let publishes = bodies.iter().map(|body| format!("C 1 basic.publish routing_key=q << {body} \n"));
    format!("A 1 queue.declare queue=q \n {}", publishes.collect::<String>())
}

/// `basic.get` of all of them, as tags 1, 2, ...
fn got(bodies: &[&str]) -> String {
    let gets = bodies.iter().enumerate().map(|(at, body)| {
        format!("C 1 basic.get queue=q \n S 1 basic.get-ok delivery_tag={} << {body} \n", at + 1)
    });
    format!("{} {}", queue_of(bodies), gets.collect::<String>())
}

/// Exactly these messages are ready in `q`, in this order.
fn ready(bodies: &[&str]) -> String {
    let gets = bodies
        .iter()
        .map(|body| format!("C2 1 basic.get queue=q no_ack \n S2 1 basic.get-ok redelivered=1 << {body} \n"));
    format!("{} C2 1 basic.get queue=q \n S2 1 basic.get-empty \n", gets.collect::<String>())
}

/// `said` is refused with an unknown delivery tag.
fn unknown(said: &str) -> String {
    let (method, tag) = said.split_once(" delivery_tag=").expect("a tag");
    let tag = tag.split(' ').next().expect("a number");
    format!("C 1 {said} \n S 1 channel.close 406 by {method} saying unknown delivery tag {tag} \n")
}

#[test]
fn tags_count_all_deliveries_of_a_channel() {
    conversation(&format!(
        "{} C 1 basic.get queue=q no_ack \n S 1 basic.get-ok delivery_tag=1 message_count=3 << a
         C 1 basic.get queue=q \n S 1 basic.get-ok delivery_tag=2 message_count=2 << b
         A 1 basic.qos prefetch_count=1 \n A 2 channel.open
         A 1 basic.consume queue=q consumer_tag=c \n S 1 basic.deliver consumer_tag=c delivery_tag=3 << c
         C 2 basic.get queue=q \n S 2 basic.get-ok delivery_tag=1 message_count=0 << d
         C 2 basic.get queue=q \n S 2 basic.get-empty
         C 1 basic.publish routing_key=q << e \n A 1 basic.cancel consumer_tag=c
         C 1 basic.get queue=q \n S 1 basic.get-ok delivery_tag=4 << e",
        queue_of(&["a", "b", "c", "d"])
    ));
}

#[test]
fn multiple_means_all_up_to_the_tag_and_zero_all() {
    let bodies = ["a", "b", "c", "d"];
    for (said, left) in [
        ("basic.ack delivery_tag=3", &["a", "b", "d"][..]),
        ("basic.ack delivery_tag=3 multiple", &["d"]),
        ("basic.ack delivery_tag=0 multiple", &[]),
        ("basic.nack delivery_tag=2 multiple", &["c", "d"]),
        ("basic.nack delivery_tag=0 multiple", &[]),
        ("basic.nack delivery_tag=2", &["a", "c", "d"]),
        ("basic.reject delivery_tag=2", &["a", "c", "d"]),
        ("basic.ack delivery_tag=0 multiple \n C 1 basic.ack delivery_tag=0 multiple", &[]),
    ] {
        conversation(&format!("{} C 1 {said} \n A 1 basic.recover requeue \n {}", got(&bodies), ready(left)));
    }
}

#[test]
fn a_tag_is_known_once_and_on_its_channel_alone() {
    for method in ["basic.ack", "basic.nack", "basic.reject"] {
        for tag in ["0", "1", "9"] {
            let said = unknown(&format!("{method} delivery_tag={tag}"));
            conversation(&format!("{} C 1 basic.ack delivery_tag=1 \n {said}", got(&["a", "b"])));
        }
    }
    for said in ["basic.ack delivery_tag=9 multiple", "basic.nack delivery_tag=1 multiple"] {
        conversation(&format!("{} C 1 basic.ack delivery_tag=1 \n {}", got(&["a", "b"]), unknown(said)));
    }
    conversation(&format!(
        "{} A 2 channel.open \n C 2 basic.ack delivery_tag=1 \n S 2 channel.close 406 by basic.ack",
        got(&["a"])
    ));
    // Tags of deliveries without acknowledgement are unknown, too.
    conversation(&format!(
        "{} C 1 basic.get queue=q no_ack \n S 1 basic.get-ok delivery_tag=1 \n {}",
        queue_of(&["a"]),
        unknown("basic.ack delivery_tag=1")
    ));
}

#[test]
fn what_comes_back_stands_where_it_stood() {
    let bodies = ["a", "b", "c"];
    for said in [
        "C 1 basic.nack delivery_tag=0 multiple requeue",
        "C 1 basic.nack delivery_tag=2 requeue \n C 1 basic.nack delivery_tag=3 requeue \n C 1 basic.nack delivery_tag=1 requeue",
        "C 1 basic.reject delivery_tag=3 requeue \n C 1 basic.reject delivery_tag=1 requeue \n C 1 basic.reject delivery_tag=2 requeue",
        "A 1 basic.recover requeue",
        "A 1 channel.close",
        "C 1 basic.ack delivery_tag=9 \n S 1 channel.close 406 by basic.ack",
        "A 0 connection.close \n S end",
        "C gone",
    ] {
        conversation(&format!("{} {said} \n {}", got(&bodies), ready(&bodies)));
    }
    conversation(&format!("{} C 1 basic.recover-async requeue \n {}", got(&bodies), ready(&bodies)));
    // Ahead of later messages.
    conversation(&format!(
        "{} C 1 basic.publish routing_key=q << later \n C 1 basic.nack delivery_tag=1 requeue
         C 1 basic.get queue=q \n S 1 basic.get-ok redelivered=1 << a
         C 1 basic.get queue=q \n S 1 basic.get-ok redelivered=0 << later",
        got(&["a"])
    ));
}

#[test]
fn what_a_cancelled_consumer_holds_stays_with_the_channel() {
    conversation(&format!(
        "{} A 1 basic.consume queue=q consumer_tag=c \n S 1 basic.deliver delivery_tag=1 redelivered=0 << a
         A 1 basic.cancel consumer_tag=c
         C2 1 basic.get queue=q \n S2 1 basic.get-empty
         C 1 basic.ack delivery_tag=1
         C 1 queue.delete queue=q \n S 1 queue.delete-ok message_count=0",
        queue_of(&["a"])
    ));
}

#[test]
fn a_purge_leaves_what_is_out() {
    conversation(&format!(
        "{} C 1 basic.publish routing_key=q << b \n C 1 queue.purge queue=q \n S 1 queue.purge-ok message_count=1
         C 1 basic.nack delivery_tag=1 requeue \n {}",
        got(&["a"]),
        ready(&["a"])
    ));
}

#[test]
fn a_prefetch_is_for_each_consumer_that_comes_after_it() {
    conversation(&format!(
        "{} A 1 basic.qos prefetch_count=1
         A 1 basic.consume queue=q consumer_tag=one \n S 1 basic.deliver consumer_tag=one delivery_tag=1 << a
         A 1 basic.qos prefetch_count=2
         A 1 basic.consume queue=q consumer_tag=two
         S 1 basic.deliver consumer_tag=two delivery_tag=2 << b \n S 1 basic.deliver consumer_tag=two delivery_tag=3 << c
         C 1 basic.ack delivery_tag=1 \n S 1 basic.deliver consumer_tag=one delivery_tag=4 << d
         C 1 basic.ack delivery_tag=2 \n S 1 basic.deliver consumer_tag=two delivery_tag=5 << e",
        queue_of(&["a", "b", "c", "d", "e", "f"])
    ));
}

#[test]
fn a_global_prefetch_is_for_all_consumers_of_the_channel_together() {
    conversation(&format!(
        "{} A 1 basic.qos prefetch_count=2 global
         A 1 basic.consume queue=q consumer_tag=one
         S 1 basic.deliver consumer_tag=one << a \n S 1 basic.deliver consumer_tag=one << b
         A 1 basic.consume queue=q consumer_tag=two
         C 1 basic.get queue=q \n S 1 basic.get-ok delivery_tag=3 << c
         A 1 basic.cancel consumer_tag=one
         C 1 basic.ack delivery_tag=1 \n S 1 basic.deliver consumer_tag=two delivery_tag=4 << d
         A 2 channel.open \n A 2 basic.consume queue=q consumer_tag=free \n S 2 basic.deliver consumer_tag=free << e",
        queue_of(&["a", "b", "c", "d", "e"])
    ));
    // Both limits apply, and neither to consumers without acknowledgement.
    conversation(&format!(
        "{} A 1 basic.qos prefetch_count=3 global \n A 1 basic.qos prefetch_count=1
         A 1 basic.consume queue=q consumer_tag=one \n S 1 basic.deliver consumer_tag=one << a
         A 1 basic.consume queue=q consumer_tag=all no_ack
         S 1 basic.deliver consumer_tag=all << b \n S 1 basic.deliver consumer_tag=all << c",
        queue_of(&["a", "b", "c"])
    ));
}

#[test]
fn consumers_take_turns_and_who_is_full_is_left_out() {
    conversation(
        "A 1 queue.declare queue=q \n A 1 basic.qos prefetch_count=2
         A 1 basic.consume queue=q consumer_tag=one \n A 1 basic.qos prefetch_count=0
         A 1 basic.consume queue=q consumer_tag=two
         C 1 basic.publish routing_key=q << a \n S 1 basic.deliver consumer_tag=one << a
         C 1 basic.publish routing_key=q << b \n S 1 basic.deliver consumer_tag=two << b
         C 1 basic.publish routing_key=q << c \n S 1 basic.deliver consumer_tag=one << c
         C 1 basic.publish routing_key=q << d \n S 1 basic.deliver consumer_tag=two << d
         C 1 basic.publish routing_key=q << e \n S 1 basic.deliver consumer_tag=two << e",
    );
}

#[test]
fn a_lower_priority_is_served_when_all_higher_ones_are_full() {
    conversation(
        "A 1 queue.declare queue=q \n A 1 basic.qos prefetch_count=1
         A 1 basic.consume queue=q consumer_tag=low arguments={x-priority:-1}
         A 1 basic.consume queue=q consumer_tag=none
         A 1 basic.consume queue=q consumer_tag=high arguments={x-priority:10}
         C 1 basic.publish routing_key=q << a \n S 1 basic.deliver consumer_tag=high delivery_tag=1 << a
         C 1 basic.publish routing_key=q << b \n S 1 basic.deliver consumer_tag=none << b
         C 1 basic.publish routing_key=q << c \n S 1 basic.deliver consumer_tag=low << c
         C 1 basic.publish routing_key=q << d
         C 1 basic.ack delivery_tag=1 \n S 1 basic.deliver consumer_tag=high << d",
    );
}

#[test]
fn a_single_active_consumer_is_followed_by_the_next_in_priority() {
    conversation(
        "A 1 queue.declare queue=q arguments={x-single-active-consumer:true}
         A 1 basic.consume queue=q consumer_tag=a \n A 1 basic.consume queue=q consumer_tag=b
         A2 1 basic.consume queue=q consumer_tag=c arguments={x-priority:5}
         C 1 basic.publish routing_key=q << 1 \n S 1 basic.deliver consumer_tag=a delivery_tag=1 << 1
         A 1 basic.cancel consumer_tag=a
         C 1 basic.publish routing_key=q << 2 \n S2 1 basic.deliver consumer_tag=c redelivered=0 << 2
         C2 gone \n S 1 basic.deliver consumer_tag=b redelivered=1 << 2
         C 1 basic.consume queue=q exclusive \n S 1 channel.close 403 by basic.consume saying exclusive use",
    );
}

#[test]
fn an_exclusive_consumer_is_alone_until_it_ends() {
    conversation(
        "A 1 queue.declare queue=q \n A 1 basic.consume queue=q consumer_tag=c exclusive
         C2 1 basic.consume queue=q \n S2 1 channel.close 403 by basic.consume saying queue 'q' in vhost '/' in exclusive use
         A 1 basic.cancel consumer_tag=c \n C2 1 channel.close-ok \n A2 1 channel.open
         A2 1 basic.consume queue=q",
    );
}

#[test]
fn priorities_come_first_and_each_in_its_order() {
    let publish = |priority: u8, body: &str| {
        format!("C 1 basic.publish routing_key=q with priority={priority} << {body} \n")
    };
    let get = |body: &str| format!("C 1 basic.get queue=q \n S 1 basic.get-ok << {body} \n");
    let all: String = [(1, "1a"), (5, "5a"), (0, "0a"), (5, "5b"), (9, "9 is 5"), (1, "1b")]
        .map(|(priority, body)| publish(priority, body))
        .concat();
    let ordered = ["5a", "5b", "9 is 5", "1a", "1b", "0a", "none is 0"].map(get).concat();
    conversation(&format!(
        "A 1 queue.declare queue=q arguments={{x-max-priority:5}} \n {all} C 1 basic.publish routing_key=q << none is 0
         {ordered} C 1 basic.nack delivery_tag=0 multiple requeue \n {ordered}"
    ));
    let unordered = ["1", "2"].map(get).concat();
    conversation(&format!(
        "A 1 queue.declare queue=q \n {} {} {unordered}",
        publish(0, "1"),
        publish(9, "2")
    ));
}

#[test]
fn what_a_client_gives_back_too_often_is_gone() {
    let round = |tag: u8, count: &str| {
        format!(
            "C 1 basic.get queue=q \n S 1 basic.get-ok delivery_tag={tag} {count} << x
             C 1 basic.reject delivery_tag={tag} requeue \n"
        )
    };
    conversation(&format!(
        "A 1 queue.declare queue=q arguments={{x-delivery-limit:2}} \n C 1 basic.publish routing_key=q << x
         {} {} {} C 1 basic.get queue=q \n S 1 basic.get-empty",
        round(1, "redelivered=0 without x-delivery-count"),
        round(2, "redelivered with headers={x-delivery-count:1l}"),
        round(3, "redelivered with headers={x-delivery-count:2l}"),
    ));
}

#[test]
fn a_recovery_is_answered_before_what_comes_again() {
    conversation(
        "A 1 queue.declare queue=q \n C 1 basic.publish routing_key=q << m \n A 1 basic.consume queue=q
         S 1 basic.deliver delivery_tag=1 << m
         C 1 basic.recover requeue \n S 1 basic.recover-ok \n S 1 basic.deliver delivery_tag=2 redelivered << m",
    );
}
