//! First in, first out.

use super::conform;

#[test]
fn one_consumer_sees_the_publishers_order() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q no_ack", "basic.consume-ok");
        for n in 0..2000 {
            c.publish("routing_key=$q", n.to_string());
        }
        for n in 0..2000 {
            assert_eq!(c.hear("basic.deliver").text(), n.to_string());
        }
    });
}

#[test]
fn get_takes_from_the_head_and_counts_what_is_left() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for n in 0..3 {
            c.publish("routing_key=$q", n.to_string());
        }
        for n in 0..3 {
            let got = c.ask("basic.get queue=$q no_ack", &format!("basic.get-ok message_count={}", 2 - n));
            assert_eq!(got.text(), n.to_string());
        }
    });
}

#[test]
fn requeued_messages_come_before_newer_ones() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for n in 0..5 {
            c.publish("routing_key=$q", n.to_string());
        }
        c.ask("basic.qos prefetch_count=2", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        c.hear("basic.deliver delivery_tag=1");
        c.hear("basic.deliver delivery_tag=2");
        c.say("basic.nack delivery_tag=1 requeue");
        assert_eq!(c.hear("basic.deliver redelivered=1").text(), "0");
        c.say("basic.ack delivery_tag=2");
        assert_eq!(c.hear("basic.deliver redelivered=0").text(), "2");
    });
}
