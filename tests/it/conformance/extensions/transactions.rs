//! tx.select, tx.commit, tx.rollback.

use super::conform;

#[test]
fn publishes_are_seen_after_the_commit_only() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.declare("queue=$q exclusive");
        c.ask("tx.select", "tx.select-ok");
        c.ask("tx.select", "tx.select-ok");
        c.publish("routing_key=$q", "a");
        c.publish("routing_key=$q", "b");
        c.ask("2 queue.declare queue=$q passive", "2 queue.declare-ok message_count=0");
        c.ask("tx.commit", "tx.commit-ok");
        c.ask("2 queue.declare queue=$q passive", "2 queue.declare-ok message_count=2");
        c.ask("tx.commit", "tx.commit-ok");
    });
}

#[test]
fn rollback_forgets_publishes_and_acks() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q", "a");
        c.ask("tx.select", "tx.select-ok");
        c.ask("basic.get queue=$q", "basic.get-ok delivery_tag=1");
        c.say("basic.ack delivery_tag=1");
        c.publish("routing_key=$q", "never");
        c.ask("tx.rollback", "tx.rollback-ok");
        assert_eq!(c.counts("$q").0, 0);
        // The ack was undone: the tag is outstanding, and can be settled again.
        c.say("basic.nack delivery_tag=1 requeue");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.drain("$q"), ["a"]);
    });
}

#[test]
fn acks_take_effect_at_the_commit() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q", "a");
        c.publish("routing_key=$q", "b");
        c.ask("tx.select", "tx.select-ok");
        for tag in 1..=2 {
            c.ask("basic.get queue=$q", &format!("basic.get-ok delivery_tag={tag}"));
        }
        c.say("basic.ack delivery_tag=1");
        c.ask("tx.commit", "tx.commit-ok");
        c.say("basic.ack delivery_tag=2");
        // Closing the channel rolls back.
        c.ask("channel.close reply_code=200", "channel.close-ok");
        c.open_channel(1);
        c.wait_ready("$q", 1);
        assert_eq!(c.drain("$q"), ["b"]);
    });
}

#[test]
fn returns_come_with_the_commit() {
    conform(|t| {
        let mut c = t.client();
        c.ask("tx.select", "tx.select-ok");
        c.publish("routing_key=$none mandatory", "x");
        c.silent();
        c.say("tx.commit");
        c.hear("basic.return reply_code=312");
        c.hear("tx.commit-ok");
    });
}

#[test]
fn a_publish_that_cannot_be_is_refused_before_the_commit() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for (exchange, code, words) in [
            ("$none", 404, "no exchange '$none' in vhost '/'"),
            ("amq.rabbitmq.trace", 403, "internal exchange"),
        ] {
            c.ask("tx.select", "tx.select-ok");
            c.publish("routing_key=$q", "rolled back with the channel");
            c.publish(&format!("exchange={exchange} routing_key=k"), "x");
            c.publish("routing_key=$q", "ignored");
            c.channel_closes(code, "basic.publish", words);
            c.open_channel(1);
            assert_eq!(c.counts("$q").0, 0);
        }
    });
}

#[test]
fn a_publish_that_a_queue_refuses_is_told_at_the_commit() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:1,x-overflow:reject-publish}");
        c.ask("tx.select", "tx.select-ok");
        c.publish("routing_key=$q", "fits");
        c.publish("routing_key=$q", "does not");
        c.say("tx.commit");
        c.channel_closes(406, "tx.commit", "partial tx completion");
        c.open_channel(1);
        assert_eq!(c.drain("$q"), ["fits"]);
    });
}

#[test]
fn rejections_take_effect_at_the_commit_too() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q", "dropped");
        c.publish("routing_key=$q", "back");
        c.ask("tx.select", "tx.select-ok");
        for tag in 1..=2 {
            c.ask("basic.get queue=$q", &format!("basic.get-ok delivery_tag={tag}"));
        }
        c.say("basic.reject delivery_tag=1");
        c.say("basic.nack delivery_tag=2 requeue");
        assert_eq!(c.counts("$q").0, 0);
        c.ask("tx.commit", "tx.commit-ok");
        c.wait_ready("$q", 1);
        c.ask("tx.rollback", "tx.rollback-ok");
        assert_eq!(c.drain("$q"), ["back"]);
    });
}

#[test]
fn a_tag_acknowledged_in_a_transaction_is_used_up_until_it_is_rolled_back() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for body in ["a", "b", "c"] {
            c.publish("routing_key=$q", body);
        }
        c.ask("tx.select", "tx.select-ok");
        for tag in 1..=3 {
            c.ask("basic.get queue=$q", &format!("basic.get-ok delivery_tag={tag}"));
        }
        c.say("basic.ack delivery_tag=2");
        c.ask("tx.rollback", "tx.rollback-ok");
        c.say("basic.ack delivery_tag=3 multiple");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.counts("$q").0, 0);
        c.say("basic.ack delivery_tag=2");
        c.channel_closes(406, "basic.ack", "unknown delivery tag 2");
    });
}
