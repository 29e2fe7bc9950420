//! basic.qos with global: one limit for all consumers of a channel, as in RabbitMQ up to 4.2.

use super::conform;
use crate::raw::Client;

/// A channel with this limit, and two queues, `$q` and `$r`.
fn limited(t: &super::Scene, limit: u16) -> Client {
    let mut c = t.client();
    c.declare("queue=$q exclusive");
    c.declare("queue=$r exclusive");
    c.ask(&format!("basic.qos prefetch_count={limit} global"), "basic.qos-ok");
    c
}

fn fill(c: &mut Client, queue: &str, count: usize) {
    for _ in 0..count {
        c.publish(&format!("routing_key={queue}"), "x");
    }
}

fn consume(c: &mut Client, queue: &str, tag: &str) {
    c.ask(&format!("basic.consume queue={queue} consumer_tag={tag}"), "basic.consume-ok");
}

/// Expects these methods, in any order.
#[track_caller]
fn hear_all(c: &mut Client, want: &[&str]) {
    let mut heard: Vec<_> = want.iter().map(|_| c.next().spec.name).collect();
    let mut want = want.to_vec();
    heard.sort_unstable();
    want.sort_unstable();
    assert_eq!(heard, want);
}

#[test]
fn what_basic_get_took_uses_and_frees_no_credit() {
    conform(|t| {
        let mut c = limited(t, 1);
        fill(&mut c, "$q", 4);
        let got = c.ask("basic.get queue=$q", "basic.get-ok").tag();
        consume(&mut c, "$q", "a");
        let first = c.hear("basic.deliver consumer_tag=a").tag();
        c.silent_after("$q");
        c.say(&format!("basic.ack delivery_tag={got}"));
        c.silent_after("$q");
        c.silent_after("$q");
        let got = c.ask("basic.get queue=$q", "basic.get-ok").tag();
        c.say(&format!("basic.reject delivery_tag={got}"));
        c.silent_after("$q");
        c.silent_after("$q");
        // A single call that settles both kinds frees the credit used by the consumer's delivery.
        c.ask("basic.get queue=$q", "basic.get-ok");
        fill(&mut c, "$q", 2);
        c.say("basic.ack delivery_tag=0 multiple");
        assert!(c.hear("basic.deliver consumer_tag=a").tag() > first);
        c.silent_after("$q");
        c.silent_after("$q");
    });
}

#[test]
fn a_get_that_is_out_when_the_limit_is_set_uses_no_credit() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        fill(&mut c, "$q", 2);
        let got = c.ask("basic.get queue=$q", "basic.get-ok").tag();
        c.ask("basic.qos prefetch_count=1 global", "basic.qos-ok");
        c.say(&format!("basic.ack delivery_tag={got}"));
        consume(&mut c, "$q", "a");
        // A broker that counts it never releases it, and the consumer waits for ever.
        c.say("queue.declare queue=$q passive");
        c.say("queue.declare queue=$q passive");
        hear_all(&mut c, &["queue.declare-ok", "queue.declare-ok", "basic.deliver"]);
    });
}

/// Acknowledges one at a time; returns how many of `rounds` deliveries each consumer got.
fn shares(c: &mut Client, rounds: usize) -> (usize, usize) {
    let (mut a, mut b) = (0, 0);
    for _ in 0..rounds {
        let delivery = c.hear("basic.deliver");
        match delivery.field("consumer_tag").str().as_str() {
            "a" => a += 1,
            _ => b += 1,
        }
        c.say(&format!("basic.ack delivery_tag={}", delivery.tag()));
    }
    (a, b)
}

#[test]
fn queues_take_turns_at_any_limit() {
    conform(|t| {
        for limit in [1, 2, 7] {
            let mut c = limited(t, limit);
            consume(&mut c, "$q", "a");
            consume(&mut c, "$r", "b");
            fill(&mut c, "$q", 250);
            fill(&mut c, "$r", 250);
            let (a, b) = shares(&mut c, 200);
            assert!(a.min(b) >= 50, "limit {limit}: {a} and {b}");
            c.say("channel.close reply_code=200");
            while c.next().spec.name != "channel.close-ok" {}
        }
    });
}

#[test]
fn an_exhausted_limit_holds_a_consumer_that_does_not_acknowledge() {
    conform(|t| {
        let mut c = limited(t, 1);
        consume(&mut c, "$q", "a");
        c.ask("basic.consume queue=$r consumer_tag=b no_ack", "basic.consume-ok");
        fill(&mut c, "$r", 3);
        for _ in 0..3 {
            // It uses no credit itself.
            c.hear("basic.deliver consumer_tag=b");
        }
        fill(&mut c, "$q", 1);
        let held = c.hear("basic.deliver consumer_tag=a").tag();
        fill(&mut c, "$r", 3);
        c.silent_after("$r");
        c.silent_after("$r");
        c.say(&format!("basic.ack delivery_tag={held}"));
        for _ in 0..3 {
            c.hear("basic.deliver consumer_tag=b");
        }
    });
}

#[test]
fn a_limit_for_new_consumers_lifts_that_of_the_channel() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.declare("queue=$r exclusive");
        fill(&mut c, "$q", 8);
        fill(&mut c, "$r", 8);
        c.ask("basic.qos prefetch_count=2", "basic.qos-ok");
        c.ask("basic.qos prefetch_count=1 global", "basic.qos-ok");
        consume(&mut c, "$q", "a");
        c.hear("basic.deliver consumer_tag=a");
        c.silent_after("$q");
        c.say("basic.qos prefetch_count=3");
        hear_all(&mut c, &["basic.qos-ok", "basic.deliver"]);
        // Each consumer keeps the limit it started with.
        c.silent_after("$q");
        consume(&mut c, "$r", "b");
        for _ in 0..3 {
            c.hear("basic.deliver consumer_tag=b");
        }
        c.silent_after("$r");
        c.silent_after("$q");
    });
}

#[test]
fn of_one_queue_the_consumer_of_higher_priority_goes_first() {
    conform(|t| {
        let mut c = limited(t, 1);
        c.ask("basic.consume queue=$q consumer_tag=low", "basic.consume-ok");
        c.ask("basic.consume queue=$q consumer_tag=high arguments={x-priority:5}", "basic.consume-ok");
        fill(&mut c, "$q", 20);
        for _ in 0..20 {
            let tag = c.hear("basic.deliver consumer_tag=high").tag();
            c.say(&format!("basic.ack delivery_tag={tag}"));
        }
    });
}

#[test]
fn a_limit_that_is_lowered_is_kept_when_enough_came_back_and_a_raised_one_at_once() {
    conform(|t| {
        let mut c = limited(t, 3);
        fill(&mut c, "$q", 12);
        consume(&mut c, "$q", "a");
        for tag in 1..=3 {
            c.hear(&format!("basic.deliver delivery_tag={tag}"));
        }
        c.ask("basic.qos prefetch_count=1 global", "basic.qos-ok");
        for tag in 1..=2 {
            c.say(&format!("basic.ack delivery_tag={tag}"));
            c.silent_after("$q");
            c.silent_after("$q");
        }
        c.say("basic.ack delivery_tag=3");
        c.hear("basic.deliver delivery_tag=4");
        c.silent_after("$q");
        c.say("basic.qos prefetch_count=5 global");
        hear_all(
            &mut c,
            &["basic.qos-ok", "basic.deliver", "basic.deliver", "basic.deliver", "basic.deliver"],
        );
        c.silent_after("$q");
    });
}

#[test]
fn what_a_cancelled_consumer_holds_still_counts() {
    conform(|t| {
        let mut c = limited(t, 1);
        fill(&mut c, "$q", 2);
        fill(&mut c, "$r", 2);
        consume(&mut c, "$q", "a");
        let held = c.hear("basic.deliver consumer_tag=a").tag();
        c.ask("basic.cancel consumer_tag=a", "basic.cancel-ok");
        consume(&mut c, "$r", "b");
        c.silent_after("$r");
        c.silent_after("$r");
        c.say(&format!("basic.nack delivery_tag={held} requeue"));
        c.hear("basic.deliver consumer_tag=b");
        c.silent_after("$r");
    });
}

#[test]
fn a_queue_that_was_deleted_keeps_nobody_waiting() {
    conform(|t| {
        let mut c = limited(t, 1);
        c.open_channel(2);
        fill(&mut c, "$q", 2);
        fill(&mut c, "$r", 2);
        consume(&mut c, "$q", "a");
        let held = c.hear("basic.deliver consumer_tag=a").tag();
        consume(&mut c, "$r", "b");
        c.say("2 queue.delete queue=$q");
        for _ in 0..2 {
            let heard = c.next();
            assert!(matches!(heard.spec.name, "queue.delete-ok" | "basic.cancel"), "{heard}");
        }
        c.silent_after("$r");
        c.say(&format!("basic.ack delivery_tag={held}"));
        c.hear("basic.deliver consumer_tag=b");
    });
}

#[test]
fn recovered_messages_give_their_credit_back() {
    conform(|t| {
        let mut c = limited(t, 2);
        fill(&mut c, "$q", 2);
        fill(&mut c, "$r", 1);
        consume(&mut c, "$q", "a");
        c.hear("basic.deliver delivery_tag=1 redelivered=0");
        c.hear("basic.deliver delivery_tag=2 redelivered=0");
        consume(&mut c, "$r", "b");
        c.silent_after("$r");
        c.say("basic.recover requeue");
        hear_all(&mut c, &["basic.recover-ok", "basic.deliver", "basic.deliver"]);
        c.silent_after("$q");
        c.silent_after("$r");
    });
}

#[test]
fn acknowledgements_in_a_transaction_free_credit_with_the_commit() {
    conform(|t| {
        let mut c = limited(t, 1);
        fill(&mut c, "$q", 3);
        c.ask("tx.select", "tx.select-ok");
        consume(&mut c, "$q", "a");
        c.hear("basic.deliver delivery_tag=1");
        c.say("basic.ack delivery_tag=1");
        c.silent_after("$q");
        c.silent_after("$q");
        c.say("tx.commit");
        hear_all(&mut c, &["tx.commit-ok", "basic.deliver"]);
        c.say("basic.ack delivery_tag=2");
        c.ask("tx.rollback", "tx.rollback-ok");
        c.silent_after("$q");
        c.silent_after("$q");
    });
}

#[test]
fn a_single_active_consumer_that_leaves_hands_over_to_one_that_waited() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-single-active-consumer:true}");
        c.ask("basic.qos prefetch_count=1 global", "basic.qos-ok");
        consume(&mut c, "$q", "a");
        consume(&mut c, "$q", "b");
        fill(&mut c, "$q", 3);
        let held = c.hear("basic.deliver consumer_tag=a").tag();
        c.ask("basic.cancel consumer_tag=a", "basic.cancel-ok");
        c.silent_after("$q");
        c.say(&format!("basic.ack delivery_tag={held}"));
        c.hear("basic.deliver consumer_tag=b");
        c.silent_after("$q");
    });
}
