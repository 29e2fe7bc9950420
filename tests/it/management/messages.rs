//! Publishing and getting over HTTP.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;

const PUBLISH: &str = "/api/exchanges/%2F/amq.default/publish";

fn publication(key: &str, payload: &str) -> Value {
    json!({ "properties": {}, "routing_key": key, "payload": payload, "payload_encoding": "string" })
}

fn wish(count: u64, mode: &str) -> Value {
    json!({ "count": count, "ackmode": mode, "encoding": "auto" })
}

#[test]
fn what_is_published_is_got_with_all_its_properties() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({ "durable": true })).is(201);
    let properties = json!({
        "content_type": "text/plain", "content_encoding": "c", "headers": { "a": 1, "b": { "c": [true, "x"] } },
        "delivery_mode": 2, "priority": 3, "correlation_id": "i", "reply_to": "r", "expiration": "60000",
        "message_id": "m", "timestamp": 1_700_000_000, "type": "t", "user_id": "guest", "app_id": "a", "cluster_id": "k",
    });
    let mut body = publication("q", "héllo");
    body["properties"] = properties.clone();
    assert_eq!(http.post(PUBLISH, &body).is(200).json, json!({ "routed": true }));
    assert_eq!(http.post(PUBLISH, &publication("none", "x")).is(200).json, json!({ "routed": false }));
    // Confirmed, so it is on disk.
    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    let got = http.post("/api/queues/%2F/q/get", &wish(5, "ack_requeue_false")).is(200).json;
    assert_eq!(got.as_array().map(Vec::len), Some(1));
    assert_eq!(got[0]["properties"], properties);
    for (name, want) in [
        ("payload", json!("héllo")),
        ("payload_bytes", json!(6)),
        ("payload_encoding", json!("string")),
        ("redelivered", json!(false)),
        ("exchange", json!("")),
        ("routing_key", json!("q")),
        ("message_count", json!(0)),
    ] {
        assert_eq!(got[0][name], want, "{name}");
    }
    assert_eq!(http.post("/api/queues/%2F/q/get", &wish(5, "ack_requeue_false")).json, json!([]));
}

#[test]
fn each_ack_mode_keeps_or_takes_what_it_says() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let dead = json!({ "arguments": { "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "dead" } });
    http.put("/api/queues/%2F/q", &dead).is(201);
    http.put("/api/queues/%2F/dead", &json!({})).is(201);
    for n in 0..4 {
        http.post(PUBLISH, &publication("q", &n.to_string())).is(200);
    }
    let get = |mode: &str| -> Vec<(String, bool)> {
        let got = http.post("/api/queues/%2F/q/get", &wish(2, mode)).is(200).json;
        let got = got.as_array().expect("a list").iter();
        got.map(|m| (m["payload"].as_str().expect("text").to_owned(), m["redelivered"] == true)).collect()
    };
    assert_eq!(get("ack_requeue_true"), [("0".to_owned(), false), ("1".to_owned(), false)]);
    assert_eq!(get("reject_requeue_true"), [("0".to_owned(), true), ("1".to_owned(), true)]);
    assert_eq!(get("ack_requeue_false").len(), 2);
    assert_eq!(get("reject_requeue_false"), [("2".to_owned(), false), ("3".to_owned(), false)]);
    assert_eq!(get("ack_requeue_true"), []);
    assert_eq!(http.get("/api/queues/%2F/dead").json["messages_ready"], 2);
}

#[test]
fn bytes_travel_as_base64_and_may_be_cut() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    let body =
        json!({ "properties": {}, "routing_key": "q", "payload": "/wD+AQ==", "payload_encoding": "base64" });
    http.post(PUBLISH, &body).is(200);
    let got = http.post("/api/queues/%2F/q/get", &wish(1, "ack_requeue_true")).json;
    assert_eq!((&got[0]["payload"], &got[0]["payload_encoding"]), (&json!("/wD+AQ=="), &json!("base64")));
    let cut = json!({ "count": 1, "ackmode": "ack_requeue_true", "encoding": "base64", "truncate": 1 });
    let got = http.post("/api/queues/%2F/q/get", &cut).json;
    assert_eq!((&got[0]["payload"], &got[0]["payload_bytes"]), (&json!("/w=="), &json!(4)));
}

#[test]
fn what_cannot_be_published_or_got_is_refused_with_a_reason() {
    let broker = Broker::with(&["--message-bytes-max", "10"]);
    let http = Http::of(&broker);
    http.put(
        "/api/queues/%2F/q",
        &json!({ "arguments": { "x-max-length": 0, "x-overflow": "reject-publish" } }),
    )
    .is(201);
    let refused = |change: &dyn Fn(&mut Value), words: &str| {
        let mut body = publication("q", "x");
        change(&mut body);
        http.post(PUBLISH, &body).refused(400, "bad_request", words);
    };
    refused(&|_| {}, "Unable to publish message. Check queue limits.");
    refused(&|body| body["payload"] = json!("12345678901"), "larger than configured max size 10");
    refused(&|body| body["payload_encoding"] = json!("other"), "payload_encoding");
    refused(
        &|body| {
            body["payload_encoding"] = json!("base64");
            body["payload"] = json!("?");
        },
        "not base64",
    );
    refused(&|body| body["routing_key"] = json!("k".repeat(256)), "255");
    refused(&|body| body["properties"] = json!({ "expiration": "soon" }), "invalid expiration 'soon'");
    refused(&|body| body["properties"] = json!({ "user_id": "other" }), "user_id property set to 'other'");
    refused(&|body| body["properties"] = json!({ "priority": 256 }), "priority");
    refused(&|body| body["properties"] = json!({ "headers": 1 }), "headers");
    http.post("/api/exchanges/%2F/none/publish", &publication("q", "x")).refused(
        400,
        "bad_request",
        "404 NOT_FOUND",
    );
    http.post("/api/exchanges/%2F/amq.rabbitmq.trace/publish", &publication("q", "x")).refused(
        400,
        "bad_request",
        "internal",
    );
    http.post("/api/queues/%2F/none/get", &wish(1, "ack_requeue_true")).refused(
        404,
        "not_found",
        "queue_not_found",
    );
    http.post("/api/queues/%2F/q/get", &wish(1, "other")).refused(400, "bad_request", "other");
    http.post("/api/queues/%2F/q/get", &json!({})).refused(400, "bad_request", "missing field");
}

#[test]
fn purging_leaves_nothing_ready() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    http.post(PUBLISH, &publication("q", "x")).is(200);
    http.delete("/api/queues/%2F/q/contents").is(204);
    assert_eq!(http.get("/api/queues/%2F/q").json["messages"], 0);
    http.delete("/api/queues/%2F/none/contents").refused(404, "Object Not Found", "queue_not_found");
}

/// The result of a peek: bodies, redelivered flags, and the number of messages behind.
fn peek(http: &Http, more: &Value) -> Vec<(String, bool, u64)> {
    let mut wish = json!({ "count": 100, "ackmode": "peek", "encoding": "auto" });
    wish.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let got = http.post("/api/queues/%2F/q/get", &wish).is(200).json;
    let shown = |m: &Value| {
        let text = m["payload"].as_str().expect("text").to_owned();
        (text, m["redelivered"] == true, m["message_count"].as_u64().expect("a number"))
    };
    got.as_array().expect("a list").iter().map(shown).collect()
}

#[test]
fn peeking_shows_the_order_of_delivery_and_changes_nothing() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({ "arguments": { "x-max-priority": 2 } })).is(201);
    for (n, priority) in [0, 2, 0, 1].into_iter().enumerate() {
        let mut body = publication("q", &n.to_string());
        body["properties"] = json!({ "priority": priority });
        http.post(PUBLISH, &body).is(200);
    }
    let stats = || {
        let queue = http.get("/api/queues/%2F/q").is(200).json;
        ["messages", "messages_ready", "messages_unacknowledged"]
            .map(|name| queue[name].clone())
            .into_iter()
            .chain(
                ["get", "deliver_get", "redeliver", "ack"].map(|name| queue["message_stats"][name].clone()),
            )
            .collect::<Vec<_>>()
    };
    let before = stats();
    let all = [("1", false, 3), ("3", false, 2), ("0", false, 1), ("2", false, 0)]
        .map(|(text, again, left)| (text.to_owned(), again, left));
    for _ in 0..2 {
        assert_eq!(peek(&http, &json!({})), all);
    }
    assert_eq!(peek(&http, &json!({ "offset": 1, "count": 2 })), all[1..3]);
    assert_eq!(peek(&http, &json!({ "offset": 4 })), []);
    assert_eq!(peek(&http, &json!({ "count": 0 })), []);
    assert_eq!(stats(), before);
    // Requeued messages are shown as redelivered, in place.
    http.post("/api/queues/%2F/q/get", &wish(2, "ack_requeue_true")).is(200);
    assert_eq!(peek(&http, &json!({})).iter().map(|m| m.1).collect::<Vec<_>>(), [true, true, false, false]);
    let got = http.post("/api/queues/%2F/q/get", &wish(9, "ack_requeue_false")).is(200).json;
    let order: Vec<_> = got.as_array().expect("a list").iter().map(|m| m["payload"].clone()).collect();
    assert_eq!(order, ["1", "3", "0", "2"]);
    let wrong = json!({ "count": 1, "ackmode": "ack_requeue_true", "encoding": "auto", "offset": 1 });
    http.post("/api/queues/%2F/q/get", &wrong).refused(400, "bad_request", "peek");
    let far = json!({ "count": 1, "ackmode": "peek", "encoding": "auto", "offset": 1_000_000 });
    http.post("/api/queues/%2F/q/get", &far).refused(400, "bad_request", "offset");
    let nobody = http.user("nobody", "management");
    http.put("/api/permissions/%2F/nobody", &json!({ "configure": "", "write": ".*", "read": "" })).is(204);
    assert_eq!(nobody.post("/api/queues/%2F/q/get", &wish(1, "peek")).status, 401);
}

#[test]
fn peeking_reads_what_is_on_disk_only_and_leaves_it_there() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({ "durable": true })).is(201);
    let mut c = broker.client();
    for n in 0..3000 {
        c.publish_with("routing_key=q", "delivery_mode=2", format!("{n}"));
    }
    c.wait_ready("q", 3000);
    http.post(PUBLISH, &json!({ "properties": { "delivery_mode": 2 }, "routing_key": "q", "payload": "last", "payload_encoding": "string" })).is(200);
    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    let away = || http.get("/api/queues/%2F/q").is(200).json["messages_paged_out"].clone();
    let before = away();
    for (offset, count) in [(0, 3), (999, 4), (2500, 2), (2999, 5)] {
        let shown = peek(&http, &json!({ "offset": offset, "count": count }));
        let want: Vec<_> = (offset..3001.min(offset + count))
            .map(|n| (if n == 3000 { "last".to_owned() } else { n.to_string() }, false, 3000 - n))
            .collect();
        assert_eq!(shown, want);
    }
    assert_eq!(away(), before);
    assert!(before.as_u64().is_some_and(|away| away > 2000), "{before}");
}
