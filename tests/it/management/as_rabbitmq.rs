//! Client-visible statuses and errors of `RabbitMQ`'s management API; `tests/api/differential.py` compares more than
//! a thousand.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;

#[test]
fn what_is_missing_is_answered_in_rabbitmq_s_words() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    for path in
        ["vhosts/none", "queues/%2F/none", "queues/none/q", "exchanges/%2F/none", "users/none", "nothing"]
    {
        let answer = http.get(&format!("/api/{path}")).is(404).json;
        assert_eq!(
            (&answer["error"], &answer["reason"]),
            (&json!("Object Not Found"), &json!("Not Found")),
            "{path}"
        );
    }
    for path in [
        "queues/%2F/none/bindings",
        "queues/none/q/bindings",
        "exchanges/%2F/none/bindings/source",
        "exchanges/%2F/none/bindings/destination",
        "bindings/%2F/e/none/q/none",
        "bindings/%2F/e/none/e/none",
    ] {
        assert_eq!(http.get(&format!("/api/{path}")).is(200).json, json!([]), "{path}");
    }
    let all = json!({ "configure": "", "write": "", "read": "" });
    http.put("/api/permissions/%2F/none", &all).refused(400, "bad_request", "user_not_found");
    http.put("/api/permissions/none/guest", &all).refused(400, "bad_request", "vhost_not_found");
    http.put("/api/user-limits/none/max-channels", &json!({ "value": 1 })).refused(
        400,
        "bad_request",
        "user",
    );
    let message = json!({ "properties": {}, "routing_key": "", "payload": "", "payload_encoding": "string" });
    http.post("/api/exchanges/%2F/none/publish", &message).refused(400, "bad_request", "404 NOT_FOUND");
}

#[test]
fn what_closes_a_channel_with_403_is_not_authorised() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    for (method, path, body) in [
        ("PUT", "queues/%2F/amq.q", json!({})),
        ("PUT", "exchanges/%2F/amq.x", json!({ "type": "direct" })),
        ("PUT", "exchanges/%2F/amq.default", json!({ "type": "direct" })),
        ("DELETE", "exchanges/%2F/amq.default", Value::Null),
        ("DELETE", "exchanges/%2F/amq.direct", Value::Null),
        ("POST", "bindings/%2F/e/amq.default/q/q", json!({ "routing_key": "k" })),
        ("POST", "bindings/%2F/e/amq.direct/e/amq.default", json!({})),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = http.call(method, &format!("/api/{path}"), &[], &body);
        answer.refused(401, "not_authorised", "");
        assert_eq!(
            answer.header("www-authenticate"),
            None,
            "{method} {path}: a browser would ask for a password"
        );
    }
    let nobody = Http::at(super::listening(&broker, "http")).get("/api/overview");
    assert_eq!(nobody.header("www-authenticate"), Some("Basic realm=\"RabbitMQ Management\""));
}

#[test]
fn whether_a_vhost_is_traced_is_kept_and_goes_with_its_definitions() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/vhosts/%2F").json["tracing"], false);
    http.put("/api/vhosts/v", &json!({ "tracing": true })).is(201);
    http.put("/api/vhosts/v", &json!({ "description": "said later" })).is(204);
    broker.stop();
    broker.start_again();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/vhosts/v").json["tracing"], true);
    let exported = http.get("/api/definitions").json;
    http.delete("/api/vhosts/v").is(204);
    http.post("/api/definitions", &exported).is(204);
    assert_eq!(http.get("/api/vhosts/v").json["tracing"], true);
    http.put("/api/vhosts/v", &json!({ "tracing": "false" })).is(204);
    assert_eq!(http.get("/api/vhosts/v").json["tracing"], false);
}

#[test]
fn a_message_from_php_has_no_headers_and_unknown_properties_are_skipped() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    let publish = |properties: Value| {
        let message = json!({ "properties": properties, "routing_key": "q", "payload": "", "payload_encoding": "string" });
        http.post("/api/exchanges/%2F/amq.default/publish", &message)
    };
    for properties in
        [json!([]), json!({ "headers": [] }), json!({ "headers": null }), json!({ "unknown": [1] })]
    {
        assert_eq!(publish(properties.clone()).is(200).json, json!({ "routed": true }), "{properties}");
    }
    publish(json!({ "headers": 5 })).refused(400, "bad_request", "headers");
    publish(json!({ "headers": ["x"] })).refused(400, "bad_request", "headers");
    publish(json!({ "delivery_mode": 3 })).refused(400, "bad_request", "delivery_mode");
}

#[test]
fn bindings_that_differ_in_a_number_s_width_go_one_by_one() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    client.ask("queue.bind queue=q exchange=amq.headers routing_key=k arguments={a:5}", "queue.bind-ok");
    let ends = "/api/bindings/%2F/e/amq.headers/q/q";
    http.post(ends, &json!({ "routing_key": "k", "arguments": { "a": 5 } })).is(201);
    let listed = http.get(ends).json;
    let keys: Vec<_> =
        listed.as_array().expect("a list").iter().map(|row| row["properties_key"].clone()).collect();
    assert_eq!(keys.len(), 2, "{listed}");
    assert_ne!(keys[0], keys[1], "{listed}");
    let quoted = keys[0].as_str().expect("a key");
    http.delete(&format!("{ends}/{quoted}")).is(204);
    let left = http.get(ends).json;
    assert_eq!((left.as_array().map(Vec::len), &left[0]["properties_key"]), (Some(1), &keys[1]));
}

#[test]
fn a_slash_and_a_quoted_slash_are_two_bindings() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    let ends = "/api/bindings/%2F/e/amq.direct/q/q";
    for key in ["a%2Fb", "a/b"] {
        http.post(ends, &json!({ "routing_key": key })).is(201);
    }
    assert_eq!(http.get(&format!("{ends}/a%252Fb")).is(200).json["routing_key"], "a/b");
    http.delete(&format!("{ends}/a%252Fb")).is(204);
    let left = http.get(ends).json;
    assert_eq!((left.as_array().map(Vec::len), &left[0]["routing_key"]), (Some(1), &json!("a%2Fb")));
}

#[test]
fn the_node_answers_to_any_name_that_it_has_had() {
    let mut broker = Broker::with(&["--node-name", "rabbit@shop-1"]);
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/overview").json["node"], "rabbit@shop-1");
    assert_eq!(http.get("/api/nodes/rabbit%40shop-1").is(200).json["name"], "rabbit@shop-1");
    broker.stop();
    broker.start_otherwise(&["--node-name", "mq@shop-2"]);
    let http = Http::of(&broker);
    for name in ["rabbit%40shop-1", "mq%40shop-2", "rabbit%40localhost"] {
        assert_eq!(http.get(&format!("/api/nodes/{name}")).is(200).json["name"], "mq@shop-2", "{name}");
        http.get(&format!("/api/healthchecks/node/{name}")).is(200);
    }
    http.get("/api/nodes/rabbit%40other").is(404);
}

/// Members read by nagios-plugins-rabbitmq, which reports 0 or a missing number as 'unable to get values'.
#[test]
fn monitors_that_take_zero_for_not_told_find_numbers() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let node = http.get("/api/nodes/rabbit@localhost").is(200).json;
    for name in ["mem", "proc", "fd", "sockets"] {
        let (used, limit) = match name {
            "mem" => ("mem_used".to_owned(), "mem_limit".to_owned()),
            name => (format!("{name}_used"), format!("{name}_total")),
        };
        for name in [used, limit] {
            assert!(node[&name].as_u64().is_some_and(|number| number > 0), "{name}: {}", node[&name]);
        }
    }
    assert_eq!((&node["running"], &node["partitions"]), (&json!(true), &json!([])));
    for name in ["mem_alarm", "disk_free_alarm"] {
        assert_eq!(node[name], false, "{name}");
    }
    assert_eq!(http.get("/api/aliveness-test/%2F").is(200).json["status"], "ok");
    assert_eq!(http.get("/api/shovels").is(200).json, json!([]));
    // Read for every queue by kbudde's exporter.
    let mut client = broker.client();
    client.declare("queue=q");
    let message = json!({
        "properties": { "timestamp": 1_700_000_000_u64 }, "routing_key": "q", "payload": "", "payload_encoding": "string",
    });
    http.post("/api/exchanges/%2F/amq.default/publish", &message).is(200);
    // The aliveness test has left one, too.
    let queue = http.get("/api/queues?sort=messages&sort_reverse=true").json[0].clone();
    assert_eq!(queue["head_message_timestamp"], 1_700_000_000_u64);
    assert_eq!((&queue["consumer_utilisation"], &queue["message_bytes_paged_out"]), (&json!(0), &json!(0)));
    client.ask("queue.declare queue=s arguments={x-single-active-consumer:true}", "queue.declare-ok");
    for (tag, queue) in [("one", "s"), ("two", "s"), ("three", "q")] {
        client.ask(&format!("basic.consume queue={queue} consumer_tag={tag}"), "basic.consume-ok");
    }
    let consumers = http.get("/api/consumers").is(200).json;
    let status = |tag: &str| {
        let all = consumers.as_array().expect("a list");
        let consumer = all.iter().find(|consumer| consumer["consumer_tag"] == tag).expect("the consumer");
        consumer["activity_status"].as_str().expect("a word").to_owned()
    };
    assert_eq!([status("one"), status("two"), status("three")], ["single_active", "waiting", "up"]);
}
