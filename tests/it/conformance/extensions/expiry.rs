//! Message TTL and queue expiry.

use super::conform;
use crate::wait;

#[test]
fn a_message_expires_by_the_queues_ttl() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-message-ttl:50}");
        c.confirms();
        c.publish_confirmed("routing_key=$q", "", "x");
        c.wait_ready("$q", 0);
        c.ask("basic.get queue=$q", "basic.get-empty");
    });
}

#[test]
fn a_message_expires_by_its_own_expiration() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.confirms();
        c.publish_confirmed("routing_key=$q", "expiration=50", "x");
        c.publish_confirmed("routing_key=$q", "", "stays");
        c.wait_ready("$q", 1);
        assert_eq!(c.drain("$q"), ["stays"]);
    });
}

#[test]
fn the_lower_of_both_counts() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-message-ttl:600000}");
        c.declare("queue=$r exclusive arguments={x-message-ttl:50}");
        for q in ["$q", "$r"] {
            let expiration = if q == "$q" { 50 } else { 600_000 };
            c.publish_with(&format!("routing_key={q}"), &format!("expiration={expiration}"), "x");
            c.wait_ready(q, 0);
        }
    });
}

#[test]
fn ttl_zero_is_delivered_only_to_who_waits() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish_with("routing_key=$q", "expiration=0", "lost");
        c.ask("basic.get queue=$q", "basic.get-empty");
        c.ask("basic.consume queue=$q no_ack", "basic.consume-ok");
        c.publish_with("routing_key=$q", "expiration=0", "taken");
        assert_eq!(c.hear("basic.deliver").text(), "taken");
    });
}

#[test]
fn an_expired_message_behind_a_live_one_goes_when_its_turn_comes() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.declare("queue=$clock exclusive arguments={x-message-ttl:300}");
        c.publish("routing_key=$q", "live");
        c.publish_with("routing_key=$q", "expiration=50", "dies");
        c.publish("routing_key=$clock", "x");
        c.wait_ready("$clock", 0);
        assert_eq!(c.take("$q").text(), "live");
        c.wait_ready("$q", 0);
        c.ask("basic.get queue=$q", "basic.get-empty");
    });
}

#[test]
fn an_unacked_message_does_not_expire_but_does_so_when_requeued() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$dead exclusive");
        let to_dead = "{x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$dead}";
        c.declare(&format!("queue=$q exclusive arguments={to_dead}"));
        c.declare("queue=$clock exclusive arguments={x-message-ttl:700}");
        c.publish_with("routing_key=$q", "expiration=500", "x");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.publish("routing_key=$clock", "x");
        c.wait_ready("$clock", 0);
        assert_eq!(c.counts("$dead").0, 0);
        c.say("basic.nack delivery_tag=1 requeue");
        c.wait_ready("$dead", 1);
        c.ask("basic.get queue=$q", "basic.get-empty");
    });
}

#[test]
fn expiration_is_still_in_the_delivered_properties() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish_with("routing_key=$q", "expiration=60000", "x");
        assert_eq!(c.take("$q").props.to_string(), "{expiration:\"60000\"}");
    });
}

#[test]
fn an_unused_queue_expires() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q arguments={x-expires:100}");
        let mut looker = t.client();
        wait::until("the queue is gone", || {
            // A passive declare counts as a use in some brokers; unbinding does not.
            looker.say("queue.unbind queue=$q exchange=amq.topic routing_key=$none");
            looker.hear("queue.unbind-ok");
            c.publish("routing_key=$q mandatory", "x");
            c.say("channel.flow active");
            let first = c.next();
            let gone = first.spec.name == "basic.return";
            if gone {
                c.hear("channel.flow-ok");
            }
            gone
        });
    });
}

#[test]
fn a_queue_with_a_consumer_does_not_expire() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q arguments={x-expires:100}");
        c.ask("basic.consume queue=$q consumer_tag=c no_ack", "basic.consume-ok");
        c.declare("queue=$clock exclusive arguments={x-message-ttl:400}");
        c.publish("routing_key=$clock", "x");
        c.wait_ready("$clock", 0);
        c.publish("routing_key=$q", "x");
        c.hear("basic.deliver consumer_tag=c");
        c.delete("$q");
    });
}
