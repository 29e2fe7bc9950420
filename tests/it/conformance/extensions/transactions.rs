//! tx.select, tx.commit, tx.rollback.

use std::time::Duration;

use super::conform;
use crate::wait;

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
        // The ack was rolled back: the tag is outstanding, and can be settled again.
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

/// An exchange `$x`, bound to `$q` by `k` if `bound`, a transaction on channel 1, channel 2 for changes, and a
/// publish to `$x` that the broker has processed.
fn published(t: &super::Scene, bound: bool, args: &str) -> crate::raw::Client {
    let mut c = t.client();
    c.open_channel(2);
    c.declare("queue=$q exclusive");
    c.ask("exchange.declare exchange=$x type=direct auto_delete", "exchange.declare-ok");
    if bound {
        c.ask("queue.bind queue=$q exchange=$x routing_key=k", "queue.bind-ok");
    }
    c.ask("tx.select", "tx.select-ok");
    c.publish(&format!("exchange=$x routing_key=k {args}"), "a");
    c.silent();
    c
}

#[test]
fn a_message_goes_where_it_went_at_publish_though_its_exchange_is_gone() {
    conform(|t| {
        let mut c = published(t, true, "mandatory");
        c.ask("2 exchange.delete exchange=$x", "2 exchange.delete-ok");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.drain("$q"), ["a"]);
    });
}

#[test]
fn a_binding_that_came_after_the_publish_is_not_for_it() {
    conform(|t| {
        let mut c = published(t, false, "mandatory");
        c.ask("2 queue.bind queue=$q exchange=$x routing_key=k", "2 queue.bind-ok");
        c.say("tx.commit");
        c.hear("basic.return reply_code=312 exchange=$x routing_key=k");
        c.hear("tx.commit-ok");
        assert!(c.drain("$q").is_empty());
    });
}

#[test]
fn a_binding_that_went_after_the_publish_still_holds_for_it() {
    conform(|t| {
        let mut c = published(t, true, "mandatory");
        c.ask("2 queue.unbind queue=$q exchange=$x routing_key=k", "2 queue.unbind-ok");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.drain("$q"), ["a"]);
    });
}

#[test]
fn a_rebinding_elsewhere_changes_nothing_for_what_is_published() {
    conform(|t| {
        let mut c = published(t, true, "");
        c.ask("2 queue.declare queue=$r exclusive", "2 queue.declare-ok");
        c.ask("2 queue.bind queue=$r exchange=$x routing_key=k", "2 queue.bind-ok");
        c.ask("2 queue.unbind queue=$q exchange=$x routing_key=k", "2 queue.unbind-ok");
        c.publish("exchange=$x routing_key=k", "b");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!((c.drain("$q"), c.drain("$r")), (vec!["a".to_owned()], vec!["b".to_owned()]));
    });
}

#[test]
fn a_queue_that_is_deleted_before_the_commit_returns_what_went_to_it() {
    conform(|t| {
        let mut c = published(t, true, "mandatory");
        c.ask("2 queue.delete queue=$q", "2 queue.delete-ok");
        c.say("tx.commit");
        c.hear("basic.return reply_code=312");
        c.hear("tx.commit-ok");
    });
}

#[test]
fn a_queue_that_is_declared_anew_before_the_commit_gets_what_went_to_its_name() {
    conform(|t| {
        let mut c = published(t, true, "mandatory");
        c.ask("2 queue.delete queue=$q", "2 queue.delete-ok");
        c.ask("2 queue.declare queue=$q exclusive", "2 queue.declare-ok");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.drain("$q"), ["a"]);
    });
}

#[test]
fn the_default_exchange_finds_a_queue_that_is_declared_before_the_commit() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.ask("tx.select", "tx.select-ok");
        c.publish("routing_key=$q mandatory", "a");
        c.publish_with("routing_key=$none mandatory", "headers={CC:[$q]}", "b");
        c.silent();
        c.ask("2 queue.declare queue=$q exclusive", "2 queue.declare-ok");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.drain("$q"), ["a", "b"]);
    });
}

#[test]
fn an_alternate_exchange_is_asked_at_publish() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.declare("queue=$q exclusive");
        c.declare("queue=$r exclusive");
        c.ask("exchange.declare exchange=$other type=fanout auto_delete", "exchange.declare-ok");
        c.ask("queue.bind queue=$q exchange=$other", "queue.bind-ok");
        c.ask(
            "exchange.declare exchange=$x type=direct auto_delete arguments={alternate-exchange:$other}",
            "exchange.declare-ok",
        );
        c.ask("tx.select", "tx.select-ok");
        c.publish("exchange=$x routing_key=k mandatory", "a");
        c.silent();
        c.ask("2 queue.bind queue=$r exchange=$x routing_key=k", "2 queue.bind-ok");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!((c.drain("$q"), c.drain("$r")), (vec!["a".to_owned()], vec![]));
    });
}

#[test]
fn what_is_wrong_with_a_message_is_told_at_publish() {
    conform(|t| {
        for (props, words) in [
            ("expiration=abc", "invalid expiration"),
            ("user_id=somebody", "user_id property set to 'somebody'"),
            ("headers={CC:1}", "unacceptable_type_in_header"),
        ] {
            let mut c = t.client();
            c.ask("tx.select", "tx.select-ok");
            c.publish_with("routing_key=$q", props, "x");
            c.channel_closes(406, "basic.publish", words);
        }
    });
}

#[test]
fn time_to_live_begins_with_the_commit() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.declare("queue=$q exclusive");
        c.declare("queue=$rang exclusive");
        c.declare(
            "queue=$clock exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$rang}",
        );
        c.ask("tx.select", "tx.select-ok");
        c.publish_with("routing_key=$q", "expiration=200", "a");
        let tick = c.publish_bytes(2, "routing_key=$clock", "expiration=300", b"tick");
        c.bytes(&tick);
        c.wait_ready("$rang", 1);
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.drain("$q"), ["a"]);
    });
}

#[test]
fn a_direct_reply_comes_with_the_commit() {
    conform(|t| {
        let (mut client, mut server) = (t.client(), t.client());
        server.declare("queue=$rpc exclusive");
        client.ask("basic.consume queue=amq.rabbitmq.reply-to no_ack", "basic.consume-ok");
        client.publish_with("routing_key=$rpc", "reply_to=amq.rabbitmq.reply-to", "question");
        server.wait_ready("$rpc", 1);
        let reply_to = server.take("$rpc").props.get("reply_to").expect("reply_to").str();
        server.ask("tx.select", "tx.select-ok");
        server.publish(&format!("routing_key={reply_to}"), "never");
        server.ask("tx.rollback", "tx.rollback-ok");
        server.publish(&format!("routing_key={reply_to}"), "answer");
        server.ask("tx.commit", "tx.commit-ok");
        assert_eq!(client.hear("basic.deliver").text(), "answer");
    });
}

#[test]
fn an_id_counts_from_the_commit_and_is_forgotten_by_a_rollback() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.ask(
            "exchange.declare exchange=$x type=fanout auto_delete arguments={x-message-deduplication:true,x-cache-size:100}",
            "exchange.declare-ok",
        );
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$x", "queue.bind-ok");
        c.ask("tx.select", "tx.select-ok");
        let id = |id: &str| format!("headers={{x-deduplication-header:id-{id}}}");
        c.publish_with("exchange=$x", &id("1"), "rolled back");
        c.ask("tx.rollback", "tx.rollback-ok");
        c.publish_with("exchange=$x mandatory", &id("1"), "first");
        c.publish_with("exchange=$x mandatory", &id("1"), "again");
        c.publish_with("exchange=$x", &id("2"), "overtaken");
        // Another channel's publish is executed before the commit.
        let overtakes = c.publish_bytes(2, "exchange=$x", &id("2"), b"overtakes");
        c.bytes(&overtakes);
        c.ask("2 queue.declare queue=$q passive", "2 queue.declare-ok message_count=1");
        c.ask("tx.commit", "tx.commit-ok");
        c.publish_with("exchange=$x", &id("1"), "later");
        c.ask("tx.commit", "tx.commit-ok");
        assert_eq!(c.drain("$q"), ["overtakes", "first"]);
    });
}

#[test]
fn a_delay_begins_with_the_commit() {
    conform(|t| {
        let mut c = t.client();
        c.ask(
            "exchange.declare exchange=$x type=x-delayed-message auto_delete arguments={x-delayed-type:fanout}",
            "exchange.declare-ok",
        );
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$x", "queue.bind-ok");
        c.ask("basic.consume queue=$q no_ack", "basic.consume-ok");
        c.ask("tx.select", "tx.select-ok");
        c.publish_with("exchange=$x", "headers={x-delay:1}", "rolled back");
        c.ask("tx.rollback", "tx.rollback-ok");
        c.publish_with("exchange=$x mandatory", "headers={x-delay:300}", "late");
        c.publish_with("exchange=$x", "headers={x-delay:1}", "sooner");
        // Uncommitted messages are not delivered, however short their delay.
        assert!(c.is_left_open_for(Duration::from_millis(100)));
        let ((), took) = wait::time(|| {
            c.ask("tx.commit", "tx.commit-ok");
            assert_eq!(c.hear("basic.deliver").text(), "sooner");
            assert_eq!(c.hear("basic.deliver").text(), "late");
        });
        assert!(took.as_millis() >= 290, "{took:?}");
        c.silent();
    });
}

#[test]
fn a_delayed_exchange_that_is_gone_at_the_commit_delays_nothing() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        let declare =
            "2 exchange.declare exchange=$x type=x-delayed-message arguments={x-delayed-type:fanout}";
        c.ask(declare, "2 exchange.declare-ok");
        c.declare("queue=$q exclusive");
        c.ask("tx.select", "tx.select-ok");
        c.publish_with("exchange=$x", "headers={x-delay:50}", "lost");
        c.ask("2 exchange.delete exchange=$x", "2 exchange.delete-ok");
        c.ask("tx.commit", "tx.commit-ok");
        // A new exchange of the same name is a different one.
        c.publish_with("exchange=$none", "headers={x-delay:50}", "refused");
        c.channel_closes(404, "basic.publish", "");
        c.open_channel(1);
        c.ask(declare, "2 exchange.declare-ok");
        c.ask("queue.bind queue=$q exchange=$x", "queue.bind-ok");
        c.publish_with("exchange=$x", "headers={x-delay:100}", "mine");
        c.wait_ready("$q", 1);
        assert_eq!(c.drain("$q"), ["mine"]);
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}
