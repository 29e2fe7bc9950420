//! Queue length limits and overflow behaviour.

use super::conform;

#[test]
fn the_head_is_dropped() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:2}");
        for body in ["a", "b", "c", "d"] {
            c.publish("routing_key=$q", body);
        }
        assert_eq!(c.drain("$q"), ["c", "d"]);
    });
}

#[test]
fn bytes_count_bodies_only() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length-bytes:10}");
        for body in ["aaaa", "bbbb", "cc", "dddd"] {
            c.publish_with("routing_key=$q", "headers={long:\"a header that does not count\"}", body);
        }
        assert_eq!(c.drain("$q"), ["bbbb", "cc", "dddd"]);
        c.publish("routing_key=$q", "longer than ten");
        assert_eq!(c.drain("$q"), [""; 0]);
    });
}

#[test]
fn a_limit_of_zero_keeps_nothing() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:0}");
        c.publish("routing_key=$q", "x");
        assert_eq!(c.counts("$q").0, 0);
    });
}

#[test]
fn unacked_messages_do_not_count() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:1}");
        c.publish("routing_key=$q", "a");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.publish("routing_key=$q", "b");
        c.wait_ready("$q", 1);
        // Requeued at its old place it is the head, and the limit drops it.
        c.say("basic.nack delivery_tag=1 requeue");
        assert_eq!(c.drain("$q"), ["b"]);
    });
}

#[test]
fn reject_publish_nacks_and_keeps_the_old() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:1,x-overflow:reject-publish}");
        c.confirms();
        c.publish("routing_key=$q", "a");
        c.hear("basic.ack delivery_tag=1");
        c.publish("routing_key=$q mandatory", "b");
        c.hear("basic.nack delivery_tag=2");
        assert_eq!(c.drain("$q"), ["a"]);
        c.publish("routing_key=$q", "c");
        c.hear("basic.ack delivery_tag=3");
    });
}

#[test]
fn one_queue_that_rejects_nacks_though_another_took_it() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout auto_delete", "exchange.declare-ok");
        c.declare("queue=$full exclusive arguments={x-max-length:0,x-overflow:reject-publish}");
        c.declare("queue=$free exclusive");
        for q in ["$full", "$free"] {
            c.ask(&format!("queue.bind queue={q} exchange=$x"), "queue.bind-ok");
        }
        c.confirms();
        c.publish("exchange=$x", "x");
        c.hear("basic.nack delivery_tag=1");
        assert_eq!(c.drain("$free"), ["x"]);
    });
}

#[test]
fn what_is_dropped_is_confirmed_all_the_same() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:1}");
        c.confirms();
        for n in 1..=3 {
            c.publish_confirmed("routing_key=$q", "", n.to_string());
        }
        assert_eq!(c.drain("$q"), ["3"]);
    });
}
