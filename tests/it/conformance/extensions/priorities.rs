//! Priority queues.

use super::conform;

#[test]
fn higher_first_and_first_in_first_out_within_one() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-priority:5}");
        for (priority, body) in [(1, "1a"), (5, "5a"), (0, "0a"), (5, "5b"), (1, "1b"), (9, "9 counts as 5")]
        {
            c.publish_with("routing_key=$q", &format!("priority={priority}"), body);
        }
        c.publish("routing_key=$q", "none counts as 0");
        assert_eq!(c.drain("$q"), ["5a", "5b", "9 counts as 5", "1a", "1b", "0a", "none counts as 0"]);
    });
}

#[test]
fn a_requeued_message_keeps_its_priority_and_place() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-priority:2}");
        for (priority, body) in [(1, "a"), (1, "b"), (2, "c")] {
            c.publish_with("routing_key=$q", &format!("priority={priority}"), body);
        }
        for _ in 0..3 {
            c.ask("basic.get queue=$q", "basic.get-ok");
        }
        c.say("basic.nack delivery_tag=0 multiple requeue");
        assert_eq!(c.drain("$q"), ["c", "a", "b"]);
    });
}

#[test]
fn without_the_argument_priority_means_nothing() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for (priority, body) in [(1, "a"), (9, "b")] {
            c.publish_with("routing_key=$q", &format!("priority={priority}"), body);
        }
        assert_eq!(c.drain("$q"), ["a", "b"]);
    });
}

#[test]
fn a_waiting_consumer_gets_what_comes_and_then_the_highest() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-priority:9}");
        c.ask("basic.qos prefetch_count=1", "basic.qos-ok");
        c.ask("basic.consume queue=$q", "basic.consume-ok");
        c.publish_with("routing_key=$q", "priority=0", "first");
        assert_eq!(c.hear("basic.deliver").text(), "first");
        for priority in [3, 7] {
            c.publish_with("routing_key=$q", &format!("priority={priority}"), priority.to_string());
        }
        c.wait_ready("$q", 2);
        c.say("basic.ack delivery_tag=1");
        assert_eq!(c.hear("basic.deliver").text(), "7");
    });
}
