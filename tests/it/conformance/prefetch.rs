//! basic.qos: the limit on unacknowledged messages of a consumer or a channel.

use super::conform;

#[test]
fn a_limit_applies_to_each_new_consumer() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for body in ["1", "2", "3", "4", "5", "6"] {
            c.publish("routing_key=$q", body);
        }
        c.ask("basic.qos prefetch_count=2", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=a", "basic.consume-ok");
        c.hear("basic.deliver consumer_tag=a");
        c.hear("basic.deliver consumer_tag=a");
        c.silent_after("$q");
        c.ask("basic.qos prefetch_count=1", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=b", "basic.consume-ok");
        c.hear("basic.deliver consumer_tag=b");
        c.silent_after("$q");
        c.say("basic.ack delivery_tag=2 multiple");
        c.hear("basic.deliver consumer_tag=a");
        c.hear("basic.deliver consumer_tag=a");
        c.silent_after("$q");
        assert_eq!(c.counts("$q").0, 1);
    });
}

#[test]
fn a_global_limit_is_shared_by_the_channel() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.declare("queue=$r exclusive");
        c.ask("basic.qos prefetch_count=2 global", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=a", "basic.consume-ok");
        c.ask("basic.consume queue=$r consumer_tag=b", "basic.consume-ok");
        for key in ["$q", "$r", "$q", "$r"] {
            c.publish(&format!("routing_key={key}"), "x");
        }
        c.hear("basic.deliver");
        c.hear("basic.deliver");
        c.silent_after("$q");
        c.silent_after("$r");
        c.say("basic.ack delivery_tag=1");
        c.hear("basic.deliver");
        c.silent_after("$q");
        c.silent_after("$r");
        c.say("basic.nack delivery_tag=2");
        c.hear("basic.deliver");
    });
}

#[test]
fn zero_is_no_limit() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.qos prefetch_count=0", "basic.qos-ok");
        c.ask("basic.consume queue=$q", "basic.consume-ok");
        for _ in 0..500 {
            c.publish("routing_key=$q", "x");
        }
        for _ in 0..500 {
            c.hear("basic.deliver");
        }
    });
}

#[test]
fn no_ack_consumers_and_gets_are_not_limited() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.qos prefetch_count=1", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=a no_ack", "basic.consume-ok");
        for _ in 0..10 {
            c.publish("routing_key=$q", "x");
        }
        for _ in 0..10 {
            c.hear("basic.deliver consumer_tag=a");
        }
        c.ask("basic.cancel consumer_tag=a", "basic.cancel-ok");
        c.publish("routing_key=$q", "x");
        c.publish("routing_key=$q", "x");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.ask("basic.get queue=$q", "basic.get-ok");
    });
}

#[test]
fn a_full_consumer_is_skipped() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.qos prefetch_count=1", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=a", "basic.consume-ok");
        c.ask("basic.qos prefetch_count=0", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=b", "basic.consume-ok");
        for _ in 0..10 {
            c.publish("routing_key=$q", "x");
        }
        let tags: Vec<_> = (0..10).map(|_| c.hear("basic.deliver").field("consumer_tag").str()).collect();
        assert_eq!(tags.iter().filter(|t| *t == "a").count(), 1, "{tags:?}");
    });
}
