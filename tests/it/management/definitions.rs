//! Definitions go out of one broker and into another.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;

fn filled(http: &Http) {
    http.user("u", "monitoring");
    http.put("/api/vhosts/v", &json!({ "description": "d" })).is(201);
    http.put("/api/queues/v/q", &json!({ "durable": true, "arguments": { "x-max-length": 5 } })).is(201);
    http.put("/api/exchanges/v/x", &json!({ "type": "topic" })).is(201);
    http.put("/api/exchanges/v/y", &json!({ "type": "fanout" })).is(201);
    http.post("/api/bindings/v/e/x/q/q", &json!({ "routing_key": "a.#", "arguments": { "k": 1 } })).is(201);
    http.post("/api/bindings/v/e/x/e/y", &json!({ "routing_key": "k" })).is(201);
}

#[test]
fn what_one_broker_exports_another_takes_in_and_exports_the_same() {
    let (one, two) = (Broker::new(), Broker::new());
    let (one, two) = (Http::of(&one), Http::of(&two));
    filled(&one);
    let exported = one.get("/api/definitions").is(200).json;
    for (kind, count) in
        [("users", 2), ("vhosts", 2), ("queues", 1), ("exchanges", 2), ("bindings", 2), ("permissions", 3)]
    {
        assert_eq!(exported[kind].as_array().map(Vec::len), Some(count), "{kind}");
    }
    let report = two.post("/api/definitions?dry_run", &exported).is(200).json;
    assert_eq!((&report["conflicts"], &report["dry_run"]), (&json!([]), &json!(true)));
    two.get("/api/vhosts/v").is(404);
    two.post("/api/definitions", &exported).is(204);
    assert_eq!(two.get("/api/definitions").json, exported);
    two.post("/api/definitions", &exported).is(204);
    two.login("u", "pw").get("/api/overview").is(200);
}

#[test]
fn a_vhost_s_definitions_go_into_another_vhost() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    filled(&http);
    let exported = http.get("/api/definitions/v").is(200).json;
    assert_eq!(exported["rabbitmq_definition_format"], "single_virtual_host");
    assert!(exported["queues"][0].get("vhost").is_none() && exported.get("users").is_none());
    http.put("/api/vhosts/w", &json!({})).is(201);
    http.post("/api/definitions/w", &exported).is(204);
    assert_eq!(http.get("/api/definitions/w").json["bindings"], exported["bindings"]);
    http.get("/api/definitions/none").refused(404, "not_found", "vhost_not_found");
    http.post("/api/definitions/none", &exported).refused(404, "not_found", "vhost_not_found");
}

#[test]
fn what_cannot_be_taken_in_is_told_one_by_one_and_the_rest_is_taken() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({ "durable": false })).is(201);
    let file = json!({
        "queues": [
            { "vhost": "/", "name": "q", "durable": true, "auto_delete": false, "arguments": {} },
            { "vhost": "none", "name": "q", "durable": true },
            { "vhost": "/", "name": "s", "durable": true, "arguments": { "x-queue-type": "stream" } },
            { "vhost": "/", "name": "good" },
        ],
        "policies": [{ "vhost": "/", "name": "p", "pattern": ".*", "definition": {} }],
        "users": [{ "name": "m", "password_hash": "AAAA", "hashing_algorithm": "rabbit_password_hashing_md5", "tags": "" }],
    });
    let names = |report: &Value| -> Vec<Value> {
        let conflicts = report["conflicts"].as_array().expect("a list");
        assert!(conflicts.iter().all(|conflict| conflict["reason"].is_string()), "{report}");
        conflicts.iter().map(|conflict| conflict["name"].clone()).collect()
    };
    let answer = http.post("/api/definitions", &file);
    answer.refused(400, "bad_request", "5 definitions were not taken");
    assert_eq!(names(&answer.json), ["m", "p", "q", "q", "s"]);
    assert_eq!(http.get("/api/queues/%2F/good").is(200).json["durable"], true);
    assert_eq!(http.get("/api/queues/%2F/q").json["durable"], false);
    http.call("POST", "/api/definitions", &[], "nothing").refused(400, "bad_request", "not_json");
    http.post("/api/definitions", &json!({ "queues": 1 })).refused(400, "bad_request", "not a list");
}

#[test]
fn a_file_that_rabbitmq_wrote_is_taken_in() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let file = json!({
        "rabbit_version": "3.13.7", "rabbitmq_version": "3.13.7", "product_name": "RabbitMQ", "product_version": "3.13.7",
        "users": [{
            "name": "app", "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
            "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["management"], "limits": {},
        }],
        "vhosts": [{ "name": "/" }, {
            "name": "app", "description": "Apps", "tags": [],
            "metadata": { "description": "Apps", "tags": [], "default_queue_type": "undefined" }, "limits": [],
        }],
        "permissions": [{ "user": "app", "vhost": "app", "configure": ".*", "write": ".*", "read": ".*" }],
        "topic_permissions": [], "parameters": [], "policies": [],
        "global_parameters": [{ "name": "internal_cluster_id", "value": "rabbitmq-cluster-id-1" }],
        "queues": [{
            "name": "orders", "vhost": "app", "durable": true, "auto_delete": false, "type": "quorum",
            "arguments": { "x-queue-type": "quorum", "x-delivery-limit": 5 },
        }],
        "exchanges": [{
            "name": "events", "vhost": "app", "type": "topic", "durable": true, "auto_delete": false, "internal": false,
            "arguments": {},
        }],
        "bindings": [{
            "source": "events", "vhost": "app", "destination": "orders", "destination_type": "queue",
            "routing_key": "order.*", "arguments": {},
        }],
    });
    http.post("/api/definitions", &file).is(204);
    let app = http.login("app", "test12");
    assert_eq!(app.get("/api/queues/app/orders").is(200).json["type"], "quorum");
    assert_eq!(
        app.get("/api/bindings/app/e/events/q/orders/order.%2A").is(200).json["routing_key"],
        "order.*"
    );
}

#[test]
fn a_form_with_a_file_is_taken_in_as_the_file_is() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let form = |name: &str, file: &str| {
        let head =
            format!("--edge\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"a.json\"\r\n");
        let body = format!("{head}Content-Type: application/json\r\n\r\n{file}\r\n--edge--\r\n");
        http.call(
            "POST",
            "/api/definitions/%2F",
            &[("content-type", "multipart/form-data; boundary=edge")],
            &body,
        )
    };
    form("file", r#"{"queues":[{"name":"q","durable":true}]}"#).is(204);
    http.get("/api/queues/%2F/q").is(200);
    form("file", "nonsense").refused(400, "bad_request", "not_json");
    form("other", "{}").refused(400, "bad_request", "no part `file`");
    let headers = [("content-type", "multipart/form-data")];
    http.call("POST", "/api/definitions", &headers, "{}").refused(400, "bad_request", "");
    let cut = [("content-type", "multipart/form-data; boundary=edge")];
    http.call("POST", "/api/definitions", &cut, "--edge\r\n").refused(400, "bad_request", "");
}
