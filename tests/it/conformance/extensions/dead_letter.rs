//! Dead lettering: conditions, targets, and the history in the headers.

use super::{Scene, conform};
use crate::raw::value::Value;
use crate::raw::{Client, Heard};

/// `$q` with a dead letter exchange that leads to `$dead`, and further arguments.
fn graveyard(t: &Scene, more: &str) -> Client {
    let mut c = t.client();
    c.ask("exchange.declare exchange=$dlx type=fanout auto_delete", "exchange.declare-ok");
    c.declare("queue=$dead exclusive");
    c.ask("queue.bind queue=$dead exchange=$dlx", "queue.bind-ok");
    let extra = if more.is_empty() { String::new() } else { format!(",{more}") };
    c.declare(&format!("queue=$q exclusive arguments={{x-dead-letter-exchange:$dlx{extra}}}"));
    c
}

/// The x-death header: entries in order, each with its keys sorted (tables have no order), and with its time, after a
/// check, replaced by `NOW`.
#[track_caller]
fn deaths(message: &Heard) -> String {
    let entry = |entry: &Value| {
        let mut keys: Vec<_> = entry
            .table()
            .iter()
            .map(|(key, value)| match value {
                Value::Int(b'T', seconds) => {
                    assert!(
                        (1_600_000_000..10_000_000_000).contains(seconds),
                        "{seconds} is not now, in seconds"
                    );
                    format!("{key}:NOW")
                }
                other => format!("{key}:{other}"),
            })
            .collect();
        keys.sort();
        format!("{{{}}}", keys.join(","))
    };
    let entries: Vec<_> = message.header("x-death").expect("x-death").array().iter().map(entry).collect();
    format!("[{}]", entries.join(","))
}

#[test]
fn rejected() {
    conform(|t| {
        let mut c = graveyard(t, "");
        c.publish_with("routing_key=$q", "headers={mine:1} delivery_mode=2 message_id=m", "x");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.say("basic.reject delivery_tag=1");
        c.wait_ready("$dead", 1);
        let dead =
            c.ask("basic.get queue=$dead no_ack", "basic.get-ok redelivered=0 exchange=$dlx routing_key=$q");
        assert_eq!(dead.text(), "x");
        assert_eq!(dead.header("mine").expect("mine").int(), 1);
        assert_eq!(dead.props.get("message_id").expect("id").str(), "m");
        assert_eq!(
            deaths(&dead),
            c.expand(
                "[{count:1l,exchange:\"\",queue:\"$q\",reason:\"rejected\",routing-keys:[\"$q\"],time:NOW}]"
            )
        );
        for (key, want) in [
            ("x-first-death-queue", "$q"),
            ("x-first-death-reason", "rejected"),
            ("x-first-death-exchange", ""),
        ] {
            assert_eq!(dead.header(key).expect(key).str(), c.expand(want), "{key}");
        }
    });
}

#[test]
fn the_last_death_is_in_the_headers_too() {
    conform(|t| {
        let mut c = graveyard(t, "");
        c.publish("routing_key=$q", "x");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.say("basic.nack delivery_tag=1");
        c.wait_ready("$dead", 1);
        let dead = c.take("$dead");
        for (key, want) in
            [("x-last-death-queue", "$q"), ("x-last-death-reason", "rejected"), ("x-last-death-exchange", "")]
        {
            assert_eq!(dead.header(key).expect(key).str(), c.expand(want), "{key}");
        }
    });
}

#[test]
fn expired_keeps_the_original_expiration_in_the_history_only() {
    conform(|t| {
        let mut c = graveyard(t, "");
        c.publish_with("routing_key=$q", "expiration=20", "x");
        c.wait_ready("$dead", 1);
        let dead = c.take("$dead");
        assert!(dead.props.get("expiration").is_none());
        let history = dead.header("x-death").expect("x-death").array()[0].clone();
        assert_eq!(history.get("reason").expect("reason").str(), "expired");
        assert_eq!(history.get("original-expiration").expect("kept").str(), "20");
    });
}

#[test]
fn an_entry_of_an_expired_message_is_exact() {
    conform(|t| {
        let mut c = graveyard(t, "");
        c.publish_with("routing_key=$q", "expiration=20", "x");
        c.wait_ready("$dead", 1);
        let dead = c.take("$dead");
        assert_eq!(
            deaths(&dead),
            c.expand("[{count:1l,exchange:\"\",original-expiration:\"20\",queue:\"$q\",reason:\"expired\",routing-keys:[\"$q\"],time:NOW}]")
        );
    });
}

#[test]
fn maxlen_drop_head() {
    conform(|t| {
        let mut c = graveyard(t, "x-max-length:1");
        c.publish("routing_key=$q", "a");
        c.publish("routing_key=$q", "b");
        c.wait_ready("$dead", 1);
        let dead = c.take("$dead");
        assert_eq!(dead.text(), "a");
        assert_eq!(dead.header("x-first-death-reason").expect("reason").str(), "maxlen");
        assert_eq!(c.drain("$q"), ["b"]);
    });
}

#[test]
fn maxlen_reject_publish_dlx() {
    conform(|t| {
        let mut c = graveyard(t, "x-max-length:1,x-overflow:reject-publish-dlx");
        c.confirms();
        c.publish("routing_key=$q", "a");
        c.hear("basic.ack delivery_tag=1");
        c.publish("routing_key=$q", "b");
        c.hear("basic.nack delivery_tag=2");
        c.wait_ready("$dead", 1);
        let dead = c.take("$dead");
        assert_eq!(dead.text(), "b");
        assert_eq!(dead.header("x-first-death-reason").expect("reason").str(), "maxlen");
    });
}

#[test]
fn maxlen_reject_publish_does_not_dead_letter() {
    conform(|t| {
        let mut c = graveyard(t, "x-max-length:0,x-overflow:reject-publish");
        c.confirms();
        c.publish("routing_key=$q", "a");
        c.hear("basic.nack delivery_tag=1");
        assert_eq!(c.counts("$dead").0, 0);
    });
}

#[test]
fn a_routing_key_of_its_own_replaces_the_old_ones() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$dead exclusive");
        c.declare(
            "queue=$q exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$dead}",
        );
        c.publish_with("routing_key=$q", "headers={CC:[$nobody]}", "x");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.say("basic.reject delivery_tag=1");
        c.wait_ready("$dead", 1);
        let dead = c.ask("basic.get queue=$dead no_ack", "basic.get-ok routing_key=$dead exchange=\"\"");
        assert!(dead.header("CC").is_none());
        let history = dead.header("x-death").expect("x-death").array()[0]
            .get("routing-keys")
            .expect("keys")
            .to_string();
        assert_eq!(history, c.expand("[\"$q\",\"$nobody\"]"));
    });
}

#[test]
fn entries_are_counted_per_queue_and_reason_most_recent_first() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$b exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$a}");
        c.declare("queue=$a exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$b}");
        c.publish("routing_key=$a", "x");
        let mut tag = 0;
        for queue in ["$a", "$b", "$a"] {
            c.wait_ready(queue, 1);
            c.ask(&format!("basic.get queue={queue}"), "basic.get-ok");
            tag += 1;
            c.say(&format!("basic.reject delivery_tag={tag}"));
        }
        c.wait_ready("$b", 1);
        let dead = c.take("$b");
        assert_eq!(
            deaths(&dead),
            c.expand(
                "[{count:2l,exchange:\"\",queue:\"$a\",reason:\"rejected\",routing-keys:[\"$a\"],time:NOW},\
                 {count:1l,exchange:\"\",queue:\"$b\",reason:\"rejected\",routing-keys:[\"$b\"],time:NOW}]"
            )
        );
        assert_eq!(dead.header("x-first-death-queue").expect("first").str(), c.expand("$a"));
    });
}

#[test]
fn an_automatic_cycle_ends_where_it_would_begin_again() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$b exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$a,x-message-ttl:20}");
        c.declare("queue=$a exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$b,x-message-ttl:20}");
        c.declare("queue=$clock exclusive arguments={x-message-ttl:400}");
        c.publish("routing_key=$a", "x");
        c.publish("routing_key=$clock", "x");
        c.wait_ready("$clock", 0);
        crate::wait::until("both queues are empty", || (c.counts("$a").0, c.counts("$b").0) == (0, 0));
        // A cycling message would be seen in one of them.
        assert!((0..20).all(|_| (c.counts("$a").0, c.counts("$b").0) == (0, 0)));
    });
}

#[test]
fn without_a_rejection_each_order_of_the_queues_is_gone_through_once() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout auto_delete", "exchange.declare-ok");
        c.declare("queue=$all exclusive");
        c.ask("queue.bind queue=$all exchange=$x", "queue.bind-ok");
        for queue in ["$a", "$b", "$c"] {
            c.declare(&format!(
                "queue={queue} exclusive arguments={{x-dead-letter-exchange:$x,x-message-ttl:20}}"
            ));
            c.ask(&format!("queue.bind queue={queue} exchange=$x"), "queue.bind-ok");
        }
        c.publish("routing_key=$a", "x");
        // One death in the first, two in the others, one in each one's other.
        c.wait_ready("$all", 5);
        crate::wait::until("the queues are empty", || {
            ["$a", "$b", "$c"].iter().all(|queue| c.counts(queue).0 == 0)
        });
        assert_eq!(c.counts("$all").0, 5);
    });
}

#[test]
fn a_cycle_with_a_reject_in_it_goes_on() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$wait exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$work,x-message-ttl:20}");
        c.declare(
            "queue=$work exclusive arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$wait}",
        );
        c.publish("routing_key=$work", "x");
        c.ask("basic.consume queue=$work", "basic.consume-ok");
        for round in 1..=4 {
            let got = c.hear(&format!("basic.deliver delivery_tag={round}"));
            if round > 1 {
                let history = got.header("x-death").expect("x-death").array();
                assert_eq!(history.len(), 2);
                assert!(history.iter().all(|e| e.get("count").expect("count").int() == round - 1));
            }
            c.say(&format!("basic.reject delivery_tag={round}"));
        }
    });
}

#[test]
fn a_missing_exchange_drops_silently() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-dead-letter-exchange:$nowhere}");
        c.publish("routing_key=$q", "x");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.say("basic.reject delivery_tag=1");
        assert_eq!(c.counts("$q").0, 0);
    });
}

#[test]
fn purge_delete_and_requeue_do_not_dead_letter() {
    conform(|t| {
        let mut c = graveyard(t, "");
        for body in ["a", "b"] {
            c.publish("routing_key=$q", body);
        }
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.say("basic.nack delivery_tag=1 requeue");
        c.ask("queue.purge queue=$q", "queue.purge-ok message_count=2");
        c.publish("routing_key=$q", "c");
        c.ask("queue.delete queue=$q", "queue.delete-ok message_count=1");
        assert_eq!(c.counts("$dead").0, 0);
    });
}

#[test]
fn x_death_of_a_publisher_is_not_history() {
    conform(|t| {
        let mut c = graveyard(t, "");
        let forged =
            "x-death:[{count:7l,reason:\"rejected\",queue:\"$q\",time:1T,exchange:\"\",routing-keys:[]}]";
        c.publish_with("routing_key=$q", &format!("headers={{{forged}}}"), "x");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.say("basic.reject delivery_tag=1");
        c.wait_ready("$dead", 1);
        let dead = c.take("$dead");
        assert_eq!(dead.header("x-death").expect("x-death").array()[0].get("count").expect("count").int(), 1);
    });
}
