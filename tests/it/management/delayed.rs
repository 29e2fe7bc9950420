//! Operators' actions on delayed messages.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;
use crate::wait;

const DELAYED: &str = "/api/exchanges/%2F/later/delayed";
const DAY_MS: u64 = 86_400_000;

/// A delaying exchange in front of the queue `q`.
fn topology(http: &Http) {
    let exchange =
        json!({ "type": "x-delayed-message", "durable": true, "arguments": { "x-delayed-type": "direct" } });
    http.put("/api/exchanges/%2F/later", &exchange).is(201);
    http.put("/api/queues/%2F/q", &json!({ "durable": true })).is(201);
    http.post("/api/bindings/%2F/e/later/q/q", &json!({ "routing_key": "k" })).is(201);
}

fn publish(http: &Http, payload: &str, delay_ms: u64) {
    let message = json!({
        "properties": { "delivery_mode": 2, "message_id": payload, "headers": { "x-delay": delay_ms } },
        "routing_key": "k", "payload": payload, "payload_encoding": "string",
    });
    http.post("/api/exchanges/%2F/later/publish", &message).is(200);
}

fn waiting(http: &Http, query: &str) -> Value {
    http.get(&format!("{DELAYED}{query}")).is(200).json
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().expect("items");
    items.iter().map(|item| item["properties"]["message_id"].as_str().expect("an id").to_owned()).collect()
}

fn in_queue(http: &Http) -> Vec<String> {
    let wish = json!({ "count": 100, "ackmode": "ack_requeue_true", "encoding": "auto" });
    let got = http.post("/api/queues/%2F/q/get", &wish).is(200).json;
    let got = got.as_array().expect("messages");
    got.iter().map(|message| message["payload"].as_str().expect("text").to_owned()).collect()
}

/// The path of the first waiting message.
fn first(http: &Http) -> String {
    let page = waiting(http, "?page_size=1");
    format!("{DELAYED}/{}", page["items"][0]["id"].as_str().expect("an id"))
}

#[test]
fn waiting_messages_are_listed_by_due_time_page_by_page() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    for (name, hours) in [("c", 3), ("a", 1), ("e", 30), ("b", 2), ("d", 4)] {
        publish(&http, name, hours * 3_600_000);
    }
    let page = waiting(&http, "?page_size=2");
    assert_eq!((ids(&page), &page["total"]), (vec!["a".to_owned(), "b".to_owned()], &json!(5)));
    let next = page["next"].as_str().expect("more").to_owned();
    let page = waiting(&http, &format!("?page_size=3&after={next}"));
    assert_eq!((ids(&page).join(""), &page["next"]), ("cde".to_owned(), &Value::Null));
    assert_eq!(page["items"][0]["routing_key"], "k");
    assert_eq!(page["items"][0]["payload_bytes"], 1);
    assert_eq!(http.get("/api/exchanges/%2F/later").json["messages_delayed"], 5);
    let one = http.get(&first(&http)).is(200).json;
    assert_eq!((&one["payload"], &one["payload_encoding"]), (&json!("a"), &json!("string")));
}

#[test]
fn a_message_is_cancelled_released_and_given_another_time() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    for (n, name) in (1..).zip(["cancelled", "released", "later", "soon"]) {
        publish(&http, name, n * 3_600_000);
    }
    http.delete(&first(&http)).is(204);
    http.post(&format!("{}/release", first(&http)), &json!({})).is(204);
    http.put(&first(&http), &json!({ "delay": DAY_MS })).is(204);
    wait::until("in another order", || ids(&waiting(&http, "")) == ["soon", "later"]);
    http.put(&first(&http), &json!({ "due": 1 })).is(204);
    wait::until("released", || in_queue(&http) == ["released", "soon"]);
    assert_eq!(ids(&waiting(&http, "")), ["later"]);
}

#[test]
fn what_operators_did_to_messages_on_disk_survives_a_crash() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    // Due so late that their bodies are not kept in memory.
    for name in ["cancelled", "released", "moved", "left"] {
        publish(&http, name, 7 * DAY_MS);
    }
    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    wait::until("all are told", || ids(&waiting(&http, "")).len() == 4);
    http.delete(&first(&http)).is(204);
    http.post(&format!("{}/release", first(&http)), &json!({})).is(204);
    wait::until("released", || in_queue(&http) == ["released"]);
    http.put(&first(&http), &json!({ "delay": 30 * DAY_MS })).is(204);
    wait::until("moved", || ids(&waiting(&http, "")) == ["left", "moved"]);
    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    wait::until("as before", || ids(&waiting(&http, "")) == ["left", "moved"]);
    assert_eq!(in_queue(&http), ["released"]);
}

#[test]
fn wrong_asks_are_refused() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    publish(&http, "x", DAY_MS);
    let id = first(&http);
    for path in ["/api/exchanges/%2F/none/delayed", "/api/exchanges/%2F/amq.topic/delayed"] {
        http.get(path).is(404);
    }
    let gone = format!("{DELAYED}/1-1");
    http.get(&gone).refused(404, "Object Not Found", "waits no longer");
    http.delete(&gone).refused(404, "Object Not Found", "no delayed message");
    http.post(&format!("{gone}/release"), &json!({})).refused(404, "not_found", "no delayed message");
    http.get(&format!("{DELAYED}/x")).refused(400, "bad_request", "does not name");
    http.get(&format!("{DELAYED}?page_size=0")).refused(400, "bad_request", "page_size");
    http.get(&format!("{DELAYED}?after=x")).refused(400, "bad_request", "does not name");
    for body in [json!({}), json!({ "due": 1, "delay": 1 }), json!({ "due": -1 }), json!({ "due": u64::MAX })]
    {
        assert_eq!(http.put(&id, &body).status, 400, "{body}");
    }
    assert_eq!(ids(&waiting(&http, "")), ["x"]);
}

#[test]
fn looking_needs_read_and_releasing_needs_write() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    topology(&http);
    publish(&http, "x", DAY_MS);
    let id = first(&http);
    let reader = http.user("reader", "management");
    let rights = json!({ "configure": "", "write": "", "read": "^later$" });
    http.put("/api/permissions/%2F/reader", &rights).is(204);
    reader.get(&id).is(200);
    assert_eq!(reader.post(&format!("{id}/release"), &json!({})).status, 401);
    assert_eq!(reader.put(&id, &json!({ "due": 1 })).status, 401);
    http.put("/api/permissions/%2F/reader", &json!({ "configure": ".*", "write": ".*", "read": "" })).is(204);
    assert_eq!(reader.get(&id).status, 401);
    assert_eq!(reader.delete(&id).status, 401);
    assert_eq!(ids(&waiting(&http, "")), ["x"]);
}
