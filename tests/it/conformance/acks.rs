//! Delivery tags, ack, nack, reject, recover, redelivered.

use super::conform;
use crate::raw::Client;

/// A queue with these messages, and a connection whose channel 1 holds them all, unacked, as tags 1, 2, ...
fn outstanding(t: &super::Scene, bodies: &[&str]) -> Client {
    let mut c = t.client();
    c.declare("queue=$q exclusive");
    for body in bodies {
        c.publish("routing_key=$q", body);
    }
    c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
    for (i, body) in bodies.iter().enumerate() {
        let got = c.hear(&format!("basic.deliver consumer_tag=c delivery_tag={} redelivered=0", i + 1));
        assert_eq!(got.text(), *body);
    }
    c.ask("basic.cancel consumer_tag=c", "basic.cancel-ok");
    c
}

#[test]
fn unknown_or_used_delivery_tag() {
    conform(|t| {
        for line in [
            "basic.ack delivery_tag=9",
            "basic.ack delivery_tag=9 multiple",
            "basic.nack delivery_tag=9 requeue",
            "basic.reject delivery_tag=9",
            "basic.ack delivery_tag=1",
        ] {
            let mut c = outstanding(t, &["a", "b"]);
            c.say("basic.ack delivery_tag=1");
            c.say(line);
            let (method, rest) = line.split_once(" delivery_tag=").expect("a tag");
            let tag = rest.split(' ').next().expect("a number");
            c.channel_closes(406, method, &format!("PRECONDITION_FAILED - unknown delivery tag {tag}"));
            c.open_channel(1);
            c.ask("queue.delete queue=$q", "queue.delete-ok");
        }
    });
}

#[test]
fn tag_zero_means_all_only_with_multiple() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b", "c"]);
        c.say("basic.ack delivery_tag=0 multiple");
        c.say("basic.ack delivery_tag=0 multiple");
        c.silent();
        c.ask("basic.recover requeue", "basic.recover-ok");
        assert_eq!(c.counts("$q").0, 0);
        c.say("basic.ack delivery_tag=0");
        c.channel_closes(406, "basic.ack", "unknown delivery tag 0");
    });
}

#[test]
fn multiple_acks_up_to_the_tag() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b", "c", "d"]);
        c.say("basic.ack delivery_tag=3 multiple");
        c.ask("basic.recover requeue", "basic.recover-ok");
        assert_eq!(c.drain("$q"), ["d"]);
    });
}

#[test]
fn tags_count_gets_and_no_ack_deliveries_per_channel() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for body in ["a", "b", "c", "d"] {
            c.publish("routing_key=$q", body);
        }
        assert_eq!(c.ask("basic.get queue=$q no_ack", "basic.get-ok message_count=3").tag(), 1);
        assert_eq!(c.ask("basic.get queue=$q", "basic.get-ok message_count=2").tag(), 2);
        c.ask("basic.consume queue=$q consumer_tag=c no_ack", "basic.consume-ok");
        assert_eq!(c.hear("basic.deliver").tag(), 3);
        assert_eq!(c.hear("basic.deliver").tag(), 4);
        c.say("basic.ack delivery_tag=3");
        c.channel_closes(406, "basic.ack", "unknown delivery tag 3");
    });
}

#[test]
fn tags_belong_to_their_channel() {
    conform(|t| {
        let mut c = outstanding(t, &["a"]);
        c.open_channel(2);
        c.say("2 basic.ack delivery_tag=1");
        c.channel_closes(406, "basic.ack", "unknown delivery tag 1");
    });
}

#[test]
fn cancel_leaves_unacked_messages_with_the_channel() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b"]);
        assert_eq!(c.counts("$q"), (0, 0));
        c.say("basic.ack delivery_tag=1");
        c.say("basic.nack delivery_tag=2 requeue");
        assert_eq!(c.drain("$q"), ["b"]);
    });
}

#[test]
fn closing_the_channel_requeues_in_order_and_marks_redelivered() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b", "c"]);
        c.publish("routing_key=$q", "d");
        c.ask("channel.close reply_code=200", "channel.close-ok");
        c.open_channel(1);
        for (body, redelivered) in [("a", 1), ("b", 1), ("c", 1), ("d", 0)] {
            let got = c.ask("basic.get queue=$q no_ack", &format!("basic.get-ok redelivered={redelivered}"));
            assert_eq!(got.text(), body);
        }
    });
}

#[test]
fn losing_the_connection_requeues_and_marks_redelivered() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        c.publish("routing_key=$q", "a");
        c.wait_ready("$q", 1);
        let mut other = t.client();
        other.ask("basic.get queue=$q", "basic.get-ok redelivered=0");
        drop(other);
        c.wait_ready("$q", 1);
        c.ask("basic.get queue=$q no_ack", "basic.get-ok redelivered=1");
        c.ask("queue.delete queue=$q", "queue.delete-ok");
    });
}

#[test]
fn reject_requeues_or_drops() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b"]);
        c.say("basic.reject delivery_tag=1");
        c.say("basic.reject delivery_tag=2 requeue");
        c.ask("basic.get queue=$q no_ack", "basic.get-ok redelivered=1 message_count=0");
    });
}

#[test]
fn nack_multiple_requeues_in_the_old_order() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b", "c", "d"]);
        c.publish("routing_key=$q", "e");
        c.say("basic.nack delivery_tag=3 multiple requeue");
        assert_eq!(c.drain("$q"), ["a", "b", "c", "e"]);
        c.say("basic.nack delivery_tag=0 multiple requeue");
        assert_eq!(c.drain("$q"), ["d"]);
    });
}

#[test]
fn a_requeued_message_returns_to_its_old_place() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b", "c"]);
        c.publish("routing_key=$q", "d");
        c.say("basic.nack delivery_tag=2 requeue");
        c.say("basic.nack delivery_tag=3 requeue");
        c.say("basic.nack delivery_tag=1 requeue");
        assert_eq!(c.drain("$q"), ["a", "b", "c", "d"]);
    });
}

#[test]
fn nack_without_requeue_drops() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b", "c"]);
        c.say("basic.nack delivery_tag=2 multiple");
        c.ask("basic.recover requeue", "basic.recover-ok");
        assert_eq!(c.drain("$q"), ["c"]);
    });
}

#[test]
fn recover_requeues_all_of_the_channel() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b"]);
        c.open_channel(2);
        c.publish("routing_key=$q", "c");
        c.ask("2 basic.get queue=$q", "2 basic.get-ok");
        c.ask("basic.recover requeue", "basic.recover-ok");
        for body in ["a", "b"] {
            let got = c.ask("basic.get queue=$q no_ack", "basic.get-ok redelivered=1");
            assert_eq!(got.text(), body);
        }
        c.ask("basic.get queue=$q", "basic.get-empty");
    });
}

#[test]
fn recover_async_is_not_answered() {
    conform(|t| {
        let mut c = outstanding(t, &["a"]);
        c.say("basic.recover-async requeue");
        c.silent();
        assert_eq!(c.drain("$q"), ["a"]);
    });
}

#[test]
fn ack_in_any_order() {
    conform(|t| {
        let mut c = outstanding(t, &["a", "b", "c"]);
        for tag in [3, 1, 2] {
            c.say(&format!("basic.ack delivery_tag={tag}"));
        }
        c.ask("basic.recover requeue", "basic.recover-ok");
        assert_eq!(c.counts("$q").0, 0);
    });
}

#[test]
fn get_on_an_empty_queue_says_so() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.get queue=$q", "basic.get-empty");
    });
}

#[test]
fn purge_counts_and_keeps_the_unacked() {
    conform(|t| {
        let mut c = outstanding(t, &["a"]);
        c.publish("routing_key=$q", "b");
        c.publish("routing_key=$q", "c");
        c.ask("queue.purge queue=$q", "queue.purge-ok message_count=2");
        c.say("basic.nack delivery_tag=1 requeue");
        assert_eq!(c.drain("$q"), ["a"]);
    });
}
