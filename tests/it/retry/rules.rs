//! Retries and the queue's other rules; the API and `ctl`.

use std::time::Duration;

use serde_json::json;

use super::{HOUR_MS, ROUNDING_MS, Scene};
use crate::cli::Cli;
use crate::wait;

/// A wait that a test sits out.
const SHORT_MS: u64 = 300;

#[test]
fn a_retry_is_not_early_and_blocks_no_one() {
    let mut s = Scene::new();
    s.queue(SHORT_MS, "");
    s.publish(&["a", "b"]);
    s.c.ask("basic.qos prefetch_count=1", "basic.qos-ok");
    s.c.ask("basic.consume queue=q consumer_tag=t", "basic.consume-ok");
    let a = s.c.hear("basic.deliver redelivered=0");
    for (failures, wait_ms) in [(1, SHORT_MS), (2, 2 * SHORT_MS)] {
        let (again, took) = wait::time(|| {
            let tag = if failures == 1 { a.tag() } else { a.tag() + 2 };
            s.c.say(&format!("basic.reject delivery_tag={tag} requeue"));
            if failures == 1 {
                let b = s.c.hear("basic.deliver redelivered=0");
                assert_eq!(b.text(), "b");
                s.c.say(&format!("basic.ack delivery_tag={}", b.tag()));
            }
            s.c.hear("basic.deliver redelivered=1")
        });
        assert_eq!(again.text(), "a");
        assert_eq!(again.header("x-delivery-count").expect("a count").int(), failures);
        assert!(took >= Duration::from_millis(wait_ms - ROUNDING_MS), "{failures}: {took:?}");
    }
}

#[test]
fn waiting_messages_are_counted_and_shown_with_due_time_and_count() {
    let mut s = Scene::new();
    s.queue(HOUR_MS, "");
    s.publish(&["a", "b"]);
    s.fail();
    s.wait_lengths([1, 0, 1]);
    assert_eq!(s.c.counts("q").0, 1, "declare-ok tells what is ready");
    let shown = s.peek();
    assert_eq!(shown.iter().map(|one| one["payload"].as_str()).collect::<Vec<_>>(), [Some("b"), Some("a")]);
    assert_eq!((&shown[0]["message_count"], &shown[0]["retry_due"]), (&json!(1), &json!(null)));
    assert_eq!(shown[1]["delivery_count"], 1);
    assert_eq!(shown[1]["properties"]["headers"]["x-delivery-count"], 1);
    let due = shown[1]["retry_due"].as_u64().expect("an instant");
    let overview = s.http.get("/api/overview").is(200).json;
    assert_eq!(overview["queue_totals"]["messages"], 2);
    s.c.ask("basic.get queue=q no_ack", "basic.get-ok");
    s.c.ask("basic.get queue=q", "basic.get-empty");

    let cli = Cli::of(&s.broker);
    let listed = cli.ctl(&["list", "queues", "--columns", "name,messages_delayed_retry"]).out;
    assert_eq!(listed.split_whitespace().collect::<Vec<_>>()[2..], ["q", "1"]);
    let released = cli.ctl(&["release", "retries", "q"]).out;
    assert_eq!(released.trim(), "released retries of q: 1");
    s.wait_lengths([1, 0, 0]);
    s.fail();
    s.wait_lengths([0, 0, 1]);
    assert!(s.peek()[0]["retry_due"].as_u64().expect("an instant") > due + HOUR_MS / 2, "twice as long");
    assert_eq!((s.release(), s.release()), (1, 0));
    assert_eq!(s.c.take("q").header("x-delivery-count").expect("a count").int(), 2);
    s.http.post("/api/queues/%2F/none/retry/release", &json!({})).is(404);
}

#[test]
fn purge_and_delete_take_what_waits() {
    let mut s = Scene::new();
    s.queue(HOUR_MS, "");
    s.publish(&["a", "b"]);
    s.fail();
    s.wait_lengths([1, 0, 1]);
    s.c.ask("queue.purge queue=q", "queue.purge-ok message_count=2");
    s.wait_lengths([0, 0, 0]);
    s.publish(&["c"]);
    s.fail();
    s.wait_lengths([0, 0, 1]);
    s.c.say("queue.delete queue=q if_empty");
    s.c.channel_closes(406, "queue.delete", "not empty");
    s.c.open_channel(1);
    s.c.ask("queue.delete queue=q", "queue.delete-ok message_count=1");
}

#[test]
fn waiting_messages_count_towards_the_length() {
    let mut s = Scene::new();
    s.queue(HOUR_MS, ",x-max-length:1,x-overflow:reject-publish");
    s.publish(&["a"]);
    s.fail();
    s.wait_lengths([0, 0, 1]);
    s.c.publish("routing_key=q", "b");
    s.c.hear("basic.nack");
    s.release();
    assert_eq!(s.c.take("q").text(), "a");
    s.publish(&["c"]);

    s.c.delete("q");
    s.c.declare("queue=dead");
    s.queue(HOUR_MS, ",x-max-length:1,x-dead-letter-exchange:\"\",x-dead-letter-routing-key:dead");
    s.publish(&["a"]);
    s.fail();
    s.wait_lengths([0, 0, 1]);
    s.publish(&["b"]);
    s.c.wait_ready("dead", 1);
    let dead = s.c.take("dead");
    let reason = dead.header("x-first-death-reason").expect("why").str();
    assert_eq!((dead.text(), reason), ("a".to_owned(), "maxlen".to_owned()));
    assert_eq!(s.c.take("q").text(), "b");
}

#[test]
fn a_message_expires_while_it_waits() {
    let mut s = Scene::new();
    s.c.declare("queue=dead");
    s.queue(HOUR_MS, ",x-message-ttl:3000,x-dead-letter-exchange:\"\",x-dead-letter-routing-key:dead");
    s.publish(&["a"]);
    s.fail();
    s.c.wait_ready("dead", 1);
    assert_eq!(s.c.take("dead").header("x-first-death-reason").expect("why").str(), "expired");
    assert_eq!(s.lengths(), [0, 0, 0]);
}

#[test]
fn a_single_active_consumer_s_successor_gets_the_retry() {
    let mut s = Scene::new();
    s.queue(HOUR_MS, ",x-single-active-consumer:true");
    s.publish(&["a"]);
    s.c.ask("basic.consume queue=q consumer_tag=first", "basic.consume-ok");
    let a = s.c.hear("basic.deliver consumer_tag=first");
    s.c.ask("basic.consume queue=q consumer_tag=second", "basic.consume-ok");
    s.c.say(&format!("basic.nack delivery_tag={} requeue", a.tag()));
    s.c.ask("basic.cancel consumer_tag=first", "basic.cancel-ok");
    assert_eq!(s.release(), 1);
    s.c.hear("basic.deliver consumer_tag=second redelivered=1");
}

#[test]
fn priorities_hold_among_what_is_ready() {
    let mut s = Scene::new();
    s.queue(HOUR_MS, ",x-max-priority:5");
    s.c.publish_confirmed("routing_key=q", "priority=5", "high");
    s.fail();
    s.c.publish_confirmed("routing_key=q", "", "low");
    s.wait_lengths([1, 0, 1]);
    s.c.publish_confirmed("routing_key=q", "priority=1", "middle");
    assert_eq!(s.c.take("q").text(), "middle");
    s.release();
    assert_eq!(s.c.drain("q"), ["high", "low"]);
}

#[test]
fn a_policy_delays_later_returns_and_its_end_releases() {
    let mut s = Scene::new();
    s.c.declare("queue=q durable");
    let set = |definition: &serde_json::Value, status: u16| {
        let policy = json!({ "pattern": "^q$", "definition": definition });
        s.http.put("/api/policies/%2F/p", &policy).is(status);
    };
    s.c.publish_confirmed("routing_key=q", "", "a");
    s.c.publish_confirmed("routing_key=q", "", "b");
    set(&json!({ "delayed-retry-type": "failed", "delayed-retry-min": HOUR_MS }), 201);
    let shown = s.http.get("/api/queues/%2F/q/effective").is(200).json;
    let settings = shown["settings"].as_array().expect("settings").clone();
    let row = |name: &str| settings.iter().find(|row| row["setting"] == name).expect("a row").clone();
    assert_eq!(row("delayed-retry-type")["value"], "failed");
    assert_eq!(
        (row("delayed-retry-min")["value"].as_u64(), row("delayed-retry-max")["value"].as_u64()),
        (Some(HOUR_MS), None)
    );
    let got = s.c.ask("basic.get queue=q", "basic.get-ok");
    s.c.say(&format!("basic.reject delivery_tag={} requeue", got.tag()));
    s.wait_lengths([1, 0, 1]);
    // Another maximum holds for later returns.
    set(
        &json!({ "delayed-retry-type": "failed", "delayed-retry-min": HOUR_MS, "delayed-retry-max": HOUR_MS }),
        204,
    );
    assert_eq!(s.lengths(), [1, 0, 1]);
    s.http.delete("/api/policies/%2F/p").is(204);
    assert_eq!(s.lengths(), [2, 0, 0]);
    assert_eq!(s.c.drain("q"), ["a", "b"], "in their places");
}

#[test]
fn wrong_values_are_refused() {
    let mut s = Scene::new();
    for (arguments, words) in [
        ("x-delayed-retry-type:some", "invalid delayed retry type 'some'"),
        ("x-delayed-retry-type:1", "x-delayed-retry-type"),
        ("x-delayed-retry-min:-1", "value_negative"),
        ("x-delayed-retry-max:much", "expected integer"),
        ("x-delayed-retry-min:5,x-delayed-retry-max:4", "4 is less than x-delayed-retry-min, 5"),
    ] {
        for kind in ["classic", "quorum"] {
            s.c.say(&format!("queue.declare queue=w durable arguments={{x-queue-type:{kind},{arguments}}}"));
            s.c.channel_closes(406, "queue.declare", words);
            s.c.open_channel(1);
        }
    }
    s.queue(5, "");
    for other in ["x-delayed-retry-type:all,x-delayed-retry-min:6", "x-delayed-retry-min:5"] {
        s.c.say(&format!("queue.declare queue=q durable arguments={{{other}}}"));
        s.c.channel_closes(406, "queue.declare", "x-delayed-retry-");
        s.c.open_channel(1);
    }
    let policy = json!({ "pattern": "", "definition": { "delayed-retry-type": "some" } });
    s.http.put("/api/policies/%2F/p", &policy).refused(
        400,
        "bad_request",
        "is not a valid delayed retry type",
    );
}
