//! Requests of third-party tools, in their order and spelling, and the members they read.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;

/// Queues `orders`, `orders.late` and `other` in `shop/eu`, two messages in the first; another `orders` in `/`.
fn shop(http: &Http) {
    http.put("/api/vhosts/shop%2Feu", &json!({})).is(201);
    for name in ["orders", "orders.late", "other"] {
        http.put(&format!("/api/queues/shop%2Feu/{name}"), &json!({ "durable": true })).is(201);
    }
    http.put("/api/queues/%2F/orders", &json!({ "durable": true })).is(201);
    for _ in 0..2 {
        let message = json!({ "properties": {}, "routing_key": "orders", "payload": "x", "payload_encoding": "string" });
        http.post("/api/exchanges/shop%2Feu/amq.default/publish", &message).is(200);
    }
}

/// What KEDA's scaler reads of a queue.
fn read_by_keda(queue: &Value) -> (&str, u64) {
    for number in ["messages_ready", "messages_unacknowledged"] {
        assert!(queue[number].is_u64(), "{number} in {queue}");
    }
    for rate in ["publish_details", "deliver_get_details"] {
        assert!(queue["message_stats"][rate]["rate"].is_f64(), "{rate} in {queue}");
    }
    (queue["name"].as_str().expect("a name"), queue["messages"].as_u64().expect("a number"))
}

#[test]
fn keda_reads_one_queue_or_those_that_match() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    shop(&http);
    // By name, in the trigger's vhost or in the default one.
    assert_eq!(read_by_keda(&http.get("/api/queues/shop%2Feu/orders").is(200).json), ("orders", 2));
    assert_eq!(read_by_keda(&http.get("/api/queues/%2F/orders").is(200).json), ("orders", 0));
    http.get("/api/queues/shop%2Feu/none").is(404);
    // By expression: in a vhost, or in all; KEDA treats a `page_count` above one as an error.
    let asked = |place: &str, name: &str, size: u32| {
        let query = format!("?page=1&use_regex=true&pagination=false&name={name}&page_size={size}");
        http.get(&format!("/api/queues{place}{query}")).is(200).json
    };
    for (place, name, want) in [
        ("/shop%2Feu", "%5Eorders", vec![("orders", 2), ("orders.late", 0)]),
        ("/shop%2Feu", "%5Eorders%24", vec![("orders", 2)]),
        ("/shop%2Feu", "nothing", vec![]),
        ("/%2F", "%5Eorders", vec![("orders", 0)]),
        ("", "%5Eorders%24", vec![("orders", 0), ("orders", 2)]),
    ] {
        let page = asked(place, name, 100);
        assert_eq!(page["page_count"], 1, "{place} {name}");
        let items = page["items"].as_array().expect("items");
        assert_eq!(items.iter().map(read_by_keda).collect::<Vec<_>>(), want, "{place} {name}");
    }
    assert_eq!(asked("/shop%2Feu", "%5Eorders", 1)["page_count"], 2);
}

/// Creates, reads, changes and deletes one resource as the Terraform provider does, through rabbit-hole: reads return
/// what was put, and a read after the deletion finds nothing.
#[track_caller]
fn kept(http: &Http, path: &str, body: &Value, read: &Value) {
    let made = http.put(path, body).status;
    assert!([201, 204].contains(&made), "{path}: {made}");
    let there = http.get(path).is(200).json;
    let there = there.as_array().map_or(&there, |list| &list[0]);
    for (name, value) in read.as_object().expect("an object") {
        assert_eq!(&there[name], value, "{name} of {path}: {there}");
    }
    http.put(path, body).is(204);
    http.delete(path).is(204);
    let gone = http.get(path);
    assert!(gone.status == 404 || gone.json == json!([]), "{path}: {} {}", gone.status, gone.text);
}

#[test]
fn terraform_s_resources_are_kept_as_they_were_put() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let vhost = json!({ "description": "d", "default_queue_type": "quorum", "tracing": false });
    kept(&http, "/api/vhosts/a%2Fb", &vhost, &json!({ "description": "d", "default_queue_type": "quorum" }));
    http.put("/api/vhosts/a%2Fb", &json!({ "protected_from_deletion": true })).is(201);
    http.delete("/api/vhosts/a%2Fb").is(412);
    http.delete("/api/vhosts/a%2Fb/deletion/protection").is(204);
    let user = json!({ "name": "u", "password": "pw", "tags": ["management", "own"] });
    kept(&http, "/api/users/u", &user, &json!({ "name": "u", "tags": ["management", "own"] }));
    http.put("/api/users/u", &json!({ "password": "pw", "tags": "" })).is(201);
    let all = json!({ "configure": ".*", "write": "", "read": "^a" });
    kept(&http, "/api/permissions/a%2Fb/u", &all, &all);
    let topic = json!({ "exchange": "amq.topic", "write": "^w", "read": "^r" });
    http.put("/api/topic-permissions/a%2Fb/u", &topic).is(201);
    let read = http.get("/api/topic-permissions/a%2Fb/u").is(200).json;
    assert_eq!((&read[0]["exchange"], &read[0]["write"]), (&json!("amq.topic"), &json!("^w")));
    http.delete("/api/topic-permissions/a%2Fb/u").is(204);
    let exchange = json!({
        "type": "topic", "durable": true, "auto_delete": false, "arguments": { "alternate-exchange": "amq.fanout" },
    });
    kept(&http, "/api/exchanges/a%2Fb/x.y", &exchange, &exchange);
    let queue = json!({
        "type": "classic", "durable": true, "auto_delete": false,
        "arguments": { "x-queue-type": "classic", "x-message-ttl": 5000, "x-single-active-consumer": true },
    });
    kept(&http, "/api/queues/a%2Fb/q%20q", &queue, &queue);
    let policy =
        json!({ "pattern": "^q", "priority": 1, "apply-to": "queues", "definition": { "max-length": 5 } });
    kept(&http, "/api/policies/a%2Fb/p", &policy, &policy);
    kept(&http, "/api/operator-policies/a%2Fb/p", &policy, &policy);
    for (limits, name) in [("vhost-limits/a%2Fb", "max-queues"), ("user-limits/u", "max-channels")] {
        http.put(&format!("/api/{limits}/{name}"), &json!({ "value": 5 })).is(204);
        assert_eq!(http.get(&format!("/api/{limits}")).is(200).json[0]["value"][name], 5);
        http.delete(&format!("/api/{limits}/{name}")).is(204);
    }
    // The provider shows the reason of the refusal.
    let shovel = json!({ "value": { "src-uri": "amqp://", "dest-uri": "amqp://" } });
    http.put("/api/parameters/shovel/a%2Fb/s", &shovel).refused(400, "bad_request", "shovel");
    http.get("/api/shovels/vhost/a%2Fb/s").is(404);
    let version = http.get("/api/overview").is(200).json["rabbitmq_version"].clone();
    assert!(version.as_str().is_some_and(|version| version.split('.').count() >= 3), "{version}");
}

#[test]
fn terraform_finds_a_binding_by_its_location() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    shop(&http);
    let ends = "/api/bindings/shop%2Feu/e/amq.topic/q/orders";
    for body in
        [json!({ "routing_key": "a.#", "arguments": {} }), json!({ "routing_key": "", "arguments": {} })]
    {
        let made = http.post(ends, &body).is(201);
        let place = made.header("location").expect("a place").to_owned();
        // The destination, then the key that it looks up in the list.
        let (destination, key) = place.split_once('/').expect("a destination and a key");
        assert_eq!(destination, "orders");
        let key = percent_encoding::percent_decode_str(key).decode_utf8().expect("text");
        let place = format!("/api/bindings/shop%2Feu/e/amq.topic/q/{place}");
        let read = http.get(&place).is(200).json;
        assert_eq!(read["routing_key"], body["routing_key"]);
        let listed = http.get(ends).is(200).json;
        let listed = listed.as_array().expect("a list");
        assert!(listed.iter().any(|one| one["properties_key"] == *key), "{listed:?}");
        http.delete(&place).is(204);
        http.get(&place).is(404);
    }
}
