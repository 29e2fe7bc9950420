//! Redriving messages to where they came from.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;
use crate::wait;

const REDRIVE: &str = "/api/queues/%2F/dead/redrive";

/// `work` dead-letters to `dead`, which has no consumer.
fn topology(http: &Http) {
    let arguments = json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead" });
    http.put("/api/queues/%2F/work", &json!({ "durable": true, "arguments": arguments })).is(201);
    http.put("/api/queues/%2F/dead", &json!({ "durable": true })).is(201);
    http.put("/api/exchanges/%2F/in", &json!({ "type": "topic" })).is(201);
    http.post("/api/bindings/%2F/e/in/q/work", &json!({ "routing_key": "job.#" })).is(201);
}

fn publish(http: &Http, exchange: &str, key: &str, payload: &str) {
    let message = json!({
        "properties": { "delivery_mode": 2 }, "routing_key": key, "payload": payload, "payload_encoding": "string",
    });
    let routed = http.post(&format!("/api/exchanges/%2F/{exchange}/publish"), &message).is(200).json;
    assert_eq!(routed["routed"], true);
}

fn take(http: &Http, queue: &str, count: usize, mode: &str) -> Vec<Value> {
    let wish = json!({ "count": count, "ackmode": mode, "encoding": "auto" });
    let got = http.post(&format!("/api/queues/%2F/{queue}/get"), &wish).is(200).json;
    got.as_array().expect("messages").clone()
}

fn payloads(http: &Http, queue: &str) -> Vec<String> {
    let got = take(http, queue, 10_000, "ack_requeue_true");
    got.iter().map(|message| message["payload"].as_str().expect("text").to_owned()).collect()
}

/// Sends `count` messages through `work` into `dead`.
fn dead_letters(http: &Http, count: usize) -> Vec<String> {
    let bodies: Vec<_> = (0..count).map(|n| n.to_string()).collect();
    for body in &bodies {
        publish(http, "in", "job.new", body);
    }
    assert_eq!(take(http, "work", count, "reject_requeue_false").len(), count);
    wait::until("dead", || payloads(http, "dead") == bodies);
    bodies
}

#[test]
fn dead_letters_go_back_in_order_as_they_were_published() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    let bodies = dead_letters(&http, 5);
    let part = http.post(REDRIVE, &json!({ "count": 2 })).is(200).json;
    assert_eq!((&part["moved"], &part["messages_ready"]), (&json!(2), &json!(3)), "{part}");
    let rest = http.post(REDRIVE, &json!({})).is(200).json;
    assert_eq!((&rest["moved"], &rest["stayed"], &rest["reason"]), (&json!(3), &json!(0), &Value::Null));
    assert_eq!((payloads(&http, "work"), payloads(&http, "dead")), (bodies.clone(), Vec::new()));
    // A crash neither loses nor duplicates them.
    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    assert_eq!((payloads(&http, "work"), payloads(&http, "dead")), (bodies, Vec::new()));
    let got = take(&http, "work", 1, "reject_requeue_false");
    assert_eq!((&got[0]["exchange"], &got[0]["routing_key"]), (&json!("in"), &json!("job.new")));
    // Their death history continues.
    wait::until("dead again", || payloads(&http, "dead").len() == 1);
    let again = take(&http, "dead", 1, "ack_requeue_true");
    assert_eq!(again[0]["properties"]["headers"]["x-death"][0]["count"], 2);
}

#[test]
fn messages_go_to_a_queue_or_through_an_exchange() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    http.put("/api/queues/%2F/other", &json!({ "durable": true })).is(201);
    dead_letters(&http, 4);
    http.post(REDRIVE, &json!({ "queue": "other", "count": 2 })).is(200);
    assert_eq!(payloads(&http, "other"), ["0", "1"]);
    http.post(REDRIVE, &json!({ "exchange": "in", "count": 1 })).is(200);
    assert_eq!(payloads(&http, "work"), ["2"]);
    let routed =
        http.post(REDRIVE, &json!({ "exchange": "amq.default", "routing_key": "other" })).is(200).json;
    assert_eq!(routed["moved"], 1, "{routed}");
    assert_eq!(payloads(&http, "other"), ["0", "1", "3"]);
}

#[test]
fn what_cannot_go_stays_at_its_place() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    publish(&http, "amq.default", "dead", "plain");
    dead_letters_behind(&http);
    let report = http.post(REDRIVE, &json!({})).is(200).json;
    assert_eq!((&report["moved"], &report["stayed"]), (&json!(1), &json!(1)), "{report}");
    assert!(report["reason"].as_str().expect("a reason").contains("no dead letter"), "{report}");
    assert_eq!(payloads(&http, "dead"), ["plain"]);

    let nowhere = http.post(REDRIVE, &json!({ "exchange": "in", "routing_key": "nothing" })).is(200).json;
    assert_eq!(nowhere["moved"], 0);
    assert!(nowhere["reason"].as_str().expect("a reason").contains("no queue is bound"), "{nowhere}");

    let full = json!({ "arguments": { "x-max-length": 0, "x-overflow": "reject-publish" } });
    http.put("/api/queues/%2F/full", &full).is(201);
    let refused = http.post(REDRIVE, &json!({ "queue": "full" })).is(200).json;
    assert!(refused["reason"].as_str().expect("a reason").contains("full"), "{refused}");
    let itself = http.post(REDRIVE, &json!({ "queue": "dead" })).is(200).json;
    assert!(itself["reason"].as_str().expect("a reason").contains("same queue"), "{itself}");
    assert_eq!(payloads(&http, "dead"), ["plain"]);
    assert_eq!(take(&http, "dead", 1, "ack_requeue_false")[0]["properties"]["headers"], Value::Null);
}

/// Adds one dead letter behind the contents of `dead`.
fn dead_letters_behind(http: &Http) {
    publish(http, "in", "job.new", "died");
    take(http, "work", 1, "reject_requeue_false");
    wait::until("dead", || payloads(http, "dead") == ["plain", "died"]);
}

#[test]
fn a_long_queue_moves_whole_and_transient_messages_too() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    let mut c = broker.client();
    let bodies: Vec<_> = (0..2500).map(|n| n.to_string()).collect();
    for (n, body) in bodies.iter().enumerate() {
        c.publish_with("routing_key=dead", &format!("delivery_mode={}", 1 + n % 2), body);
    }
    c.wait_ready("dead", 2500);
    let mut moved = 0;
    while moved < 2500 {
        let part = http.post(REDRIVE, &json!({ "queue": "work" })).is(200).json;
        let count = part["moved"].as_u64().expect("a number");
        assert!(count >= 1, "{part}");
        moved += count;
    }
    assert_eq!(c.drain("work"), bodies);
    assert_eq!(c.counts("dead"), (0, 0));
}

#[test]
fn it_needs_to_read_the_one_and_write_the_other() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    dead_letters(&http, 1);
    let user = http.user("mover", "management");
    for (write, read, body) in [
        (".*", "", json!({})),
        ("", ".*", json!({})),
        ("", ".*", json!({ "queue": "work" })),
        ("^amq.default$", ".*", json!({ "exchange": "in" })),
    ] {
        http.put("/api/permissions/%2F/mover", &json!({ "configure": "", "write": write, "read": read }))
            .is(204);
        assert_eq!(user.post(REDRIVE, &body).status, 401, "{write} {read} {body}");
    }
    http.put(
        "/api/permissions/%2F/mover",
        &json!({ "configure": "", "write": "^amq.default$", "read": "^dead$" }),
    )
    .is(204);
    assert_eq!(user.post(REDRIVE, &json!({})).is(200).json["moved"], 1);
    for body in [json!({ "queue": "none" }), json!({ "exchange": "none" })] {
        http.post(REDRIVE, &body).is(404);
    }
    for body in
        [json!({ "queue": "work", "exchange": "in" }), json!({ "routing_key": "k" }), json!({ "no": 1 })]
    {
        http.post(REDRIVE, &body).is(400);
    }
}

/// The progress reports of a run.
fn reports(http: &Http, body: &Value) -> Vec<Value> {
    let headers = [("content-type", "application/json"), ("accept", "text/event-stream")];
    let answer = http.call("POST", REDRIVE, &headers, &body.to_string()).is(200);
    assert_eq!(answer.header("content-type"), Some("text/event-stream"));
    let events = answer.text.lines().filter_map(|line| line.strip_prefix("data: "));
    events.map(|event| serde_json::from_str(event).expect("JSON")).collect()
}

#[test]
fn a_whole_queue_goes_by_one_call_that_tells_how_far_it_is() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    let mut c = broker.client();
    for n in 0..5000 {
        c.publish_with("routing_key=dead", "delivery_mode=2", n.to_string());
    }
    c.wait_ready("dead", 5000);
    let told = reports(&http, &json!({ "queue": "work" }));
    let moved: Vec<_> = told.iter().map(|report| report["moved"].as_u64().expect("a number")).collect();
    assert!(moved.is_sorted() && moved.last() == Some(&5000), "{moved:?}");
    let done: Vec<_> = told.iter().map(|report| report["done"] == true).collect();
    assert_eq!(done.iter().filter(|done| **done).count(), 1);
    assert_eq!(told.last().map(|last| &last["done"]), Some(&json!(true)));
    assert_eq!(c.counts("dead"), (0, 0));
    assert_eq!(c.counts("work"), (5000, 0));
}

#[test]
fn only_the_dead_letters_that_are_meant_go() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    let arguments =
        json!({ "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead", "x-max-length": 0 });
    http.put("/api/queues/%2F/full", &json!({ "arguments": arguments })).is(201);
    dead_letters(&http, 2);
    publish(&http, "amq.default", "full", "too many");
    publish(&http, "in", "job.old", "old");
    take(&http, "work", 1, "reject_requeue_false");
    wait::until("dead", || payloads(&http, "dead") == ["0", "1", "too many", "old"]);
    let none = http.post(REDRIVE, &json!({ "only": { "queue": "work", "reason": "expired" } })).is(200).json;
    assert_eq!((&none["moved"], &none["stayed"], &none["messages_ready"]), (&json!(0), &json!(0), &json!(4)));
    let old =
        http.post(REDRIVE, &json!({ "only": { "queue": "work", "routing_key": "job.old" } })).is(200).json;
    assert_eq!((&old["moved"], &old["done"]), (&json!(1), &json!(true)), "{old}");
    assert_eq!((payloads(&http, "work"), payloads(&http, "dead").len()), (vec!["old".to_owned()], 3));
    let told = reports(&http, &json!({ "only": { "reason": "rejected" } }));
    assert_eq!(told.last().map(|last| &last["moved"]), Some(&json!(2)));
    assert_eq!(payloads(&http, "dead"), ["too many"]);
    http.post(REDRIVE, &json!({ "only": { "nonsense": 1 } })).refused(400, "bad_request", "nonsense");
}

#[test]
fn nobody_moves_what_they_could_not_publish() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    http.put("/api/exchanges/%2F/inner", &json!({ "type": "fanout", "internal": true })).is(201);
    for exchange in ["amq.topic", "inner"] {
        http.post(&format!("/api/bindings/%2F/e/{exchange}/q/work"), &json!({ "routing_key": "#" })).is(201);
    }
    dead_letters(&http, 2);
    let user = http.user("mover", "management");
    http.put("/api/permissions/%2F/mover", &json!({ "configure": "", "write": ".*", "read": ".*" })).is(204);
    let own = json!({ "exchange": "amq.topic", "write": "^own", "read": "" });
    http.put("/api/topic-permissions/%2F/mover", &own).is(201);
    for (body, why) in [
        (json!({ "exchange": "amq.topic", "routing_key": "other.x" }), "refused"),
        (json!({ "exchange": "inner" }), "internal"),
    ] {
        let report = user.post(REDRIVE, &body).is(200).json;
        assert_eq!((&report["moved"], &report["stayed"]), (&json!(0), &json!(2)), "{report}");
        assert!(report["reason"].as_str().expect("a reason").contains(why), "{report}");
    }
    let own = json!({ "exchange": "amq.topic", "routing_key": "own.x" });
    assert_eq!(user.post(REDRIVE, &own).is(200).json["moved"], 2);
}
