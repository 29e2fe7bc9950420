//! Vhosts, exchanges, queues and bindings: create, get, delete, and refusals.

use serde_json::json;

use super::Http;
use crate::harness::Broker;

#[test]
fn a_queue_from_declaration_to_deletion() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let path = "/api/queues/%2F/a%2Fb%20c";
    http.get(path).refused(404, "Object Not Found", "queue_not_found");
    let body = json!({ "durable": true, "arguments": { "x-max-length": 5, "x-queue-type": "quorum" } });
    http.put(path, &body).is(201);
    http.put(path, &body).is(204);
    http.put(path, &json!({ "durable": "true", "arguments": body["arguments"] })).is(204);
    let different = json!({ "durable": true, "arguments": { "x-max-length": 6, "x-queue-type": "quorum" } });
    http.put(path, &different).refused(
        400,
        "bad_request",
        "inequivalent arg 'x-max-length' for queue 'a/b c'",
    );
    let queue = http.get(path).is(200).json;
    for (name, want) in [
        ("name", json!("a/b c")),
        ("vhost", json!("/")),
        ("type", json!("quorum")),
        ("durable", json!(true)),
        ("auto_delete", json!(false)),
        ("exclusive", json!(false)),
        ("arguments", body["arguments"].clone()),
        ("state", json!("running")),
        ("messages", json!(0)),
    ] {
        assert_eq!(queue[name], want, "{name}");
    }
    http.put("/api/queues/%2F/bad", &json!({ "arguments": { "x-max-length": -1 } })).refused(
        400,
        "bad_request",
        "invalid arg 'x-max-length'",
    );
    http.put("/api/queues/%2F/amq.q", &json!({})).refused(401, "not_authorised", "reserved prefix");
    http.put(&format!("/api/queues/%2F/{}", "q".repeat(256)), &json!({})).refused(400, "bad_request", "255");
    http.call("PUT", "/api/queues/%2F/bad", &[], "not json").refused(400, "bad_request", "not_json");
    http.call("PUT", "/api/queues/%2F/bad", &[], "[]").refused(400, "bad_request", "not_json");
    http.put("/api/queues/%2F/bad", &json!({ "durable": 7 })).refused(400, "bad_request", "not a boolean");
    http.put("/api/queues/none/q", &json!({})).refused(404, "not_found", "vhost_not_found");
    http.delete(path).is(204);
    http.delete(path).refused(404, "Object Not Found", "queue_not_found");
}

#[test]
fn a_queue_is_deleted_only_under_the_conditions_given() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    client.ask("basic.qos prefetch_count=1", "basic.qos-ok");
    client.ask("basic.consume queue=q consumer_tag=c", "basic.consume-ok");
    http.delete("/api/queues/%2F/q?if-unused=true").refused(400, "bad_request", "in use");
    // Unacknowledged messages do not count: the second one is ready.
    client.publish("routing_key=q", "x");
    client.publish("routing_key=q", "y");
    client.hear("basic.deliver");
    http.delete("/api/queues/%2F/q?if-empty=true").refused(400, "bad_request", "not empty");
    http.delete("/api/queues/%2F/q").is(204);
    client.hear("basic.cancel consumer_tag=c");
    client.declare("queue=locked exclusive");
    http.delete("/api/queues/%2F/locked").refused(400, "bad_request", "locked queue 'locked'");
}

#[test]
fn an_exchange_from_declaration_to_deletion() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let path = "/api/exchanges/%2F/x";
    // RabbitMQ's default exchange type.
    http.put(path, &json!({})).is(201);
    assert_eq!(http.get(path).json["type"], "direct");
    http.delete(path).is(204);
    http.put(path, &json!({ "type": "nonsense" })).refused(400, "bad_request", "nonsense");
    http.put(path, &json!({ "type": "topic", "internal": true })).is(201);
    http.put(path, &json!({ "type": "topic", "internal": true })).is(204);
    http.put(path, &json!({ "type": "fanout", "internal": true })).refused(
        400,
        "bad_request",
        "inequivalent arg 'type'",
    );
    let exchange = http.get(path).is(200).json;
    assert_eq!(
        (&exchange["type"], &exchange["internal"], &exchange["durable"]),
        (&json!("topic"), &json!(true), &json!(false))
    );
    assert_eq!(http.get("/api/exchanges/%2F/amq.default").is(200).json["name"], "");
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    http.post("/api/bindings/%2F/e/x/q/q", &json!({ "routing_key": "k" })).is(201);
    http.delete(&format!("{path}?if-unused=true")).refused(400, "bad_request", "in use");
    http.delete(path).is(204);
    http.delete(path).refused(404, "Object Not Found", "exchange_not_found");
    http.delete("/api/exchanges/%2F/amq.topic").refused(401, "not_authorised", "not allowed");
}

#[test]
fn bindings_are_named_by_their_key_of_properties() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/exchanges/%2F/x", &json!({ "type": "headers" })).is(201);
    http.put("/api/exchanges/%2F/y", &json!({ "type": "fanout" })).is(201);
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    let ends = "/api/bindings/%2F/e/x/q/q";
    let under = "/api/bindings/%2F/e/x/q/";
    for body in
        [json!({}), json!({ "routing_key": "a/b ~" }), json!({ "routing_key": "k", "arguments": { "n": 1 } })]
    {
        // Relative to the request's path.
        let location = http.post(ends, &body).is(201).header("location").expect("a location").to_owned();
        let found = http.get(&format!("{under}{location}")).is(200).json;
        assert_eq!(found["routing_key"], body.get("routing_key").cloned().unwrap_or(json!("")));
        assert_eq!(found["destination_type"], "queue");
        // Repeating the request yields the same binding.
        assert_eq!(http.post(ends, &body).is(201).header("location"), Some(location.as_str()));
    }
    assert_eq!(http.get(ends).is(200).json.as_array().map(Vec::len), Some(3));
    assert_eq!(http.get("/api/queues/%2F/q/bindings").json.as_array().map(Vec::len), Some(4));
    http.post("/api/bindings/%2F/e/x/e/y", &json!({})).is(201);
    assert_eq!(http.get("/api/exchanges/%2F/x/bindings/source").json.as_array().map(Vec::len), Some(4));
    assert_eq!(http.get("/api/exchanges/%2F/y/bindings/destination").json[0]["source"], "x");
    http.delete(&format!("{ends}/~")).is(204);
    http.delete(&format!("{ends}/~")).refused(404, "Object Not Found", "binding_not_found");
    http.delete(&format!("{ends}/a%252Fb%2520%257E")).is(204);
    assert_eq!(http.get(ends).json.as_array().map(Vec::len), Some(1));
    http.post("/api/bindings/%2F/e/none/q/q", &json!({})).refused(404, "not_found", "exchange_not_found");
    http.post("/api/bindings/%2F/e/x/q/none", &json!({})).refused(404, "not_found", "queue_not_found");
    http.post("/api/bindings/%2F/e/x/z/q", &json!({})).refused(404, "not_found", "");
    http.post("/api/bindings/%2F/e/amq.default/q/q", &json!({})).refused(
        401,
        "not_authorised",
        "default exchange",
    );
    http.post(ends, &json!({ "routing_key": "k".repeat(256) })).refused(400, "bad_request", "255");
}

#[test]
fn a_vhost_that_is_deleted_takes_everything_along() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/vhosts/v", &json!({ "description": "d", "tags": "a,b" })).is(201);
    http.put("/api/vhosts/v", &json!({})).is(204);
    let vhost = http.get("/api/vhosts/v").is(200).json;
    assert_eq!((&vhost["description"], &vhost["tags"]), (&json!("d"), &json!(["a", "b"])));
    http.put("/api/queues/v/q", &json!({ "durable": true })).is(201);
    http.put(
        "/api/exchanges/v/x",
        &json!({ "type": "x-delayed-message", "arguments": { "x-delayed-type": "direct" } }),
    )
    .is(201);
    http.post("/api/bindings/v/e/x/q/q", &json!({ "routing_key": "k" })).is(201);
    let mut client = crate::raw::Client::start(broker.amqp, "");
    client.start_ok("PLAIN", "\\0guest\\0guest");
    client.hear("0 connection.tune");
    client.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    client.ask("0 connection.open virtual_host=v", "0 connection.open-ok");
    http.post("/api/vhosts/v/deletion/protection", &json!({})).is(204);
    http.delete("/api/vhosts/v").refused(412, "precondition_failed", "protected");
    http.delete("/api/vhosts/v/deletion/protection").is(204);
    http.delete("/api/vhosts/v").is(204);
    client.connection_closes(320, "", "vhost 'v' is deleted");
    http.delete("/api/vhosts/v").refused(404, "Object Not Found", "vhost_not_found");
    http.put("/api/vhosts/v", &json!({})).is(201);
    assert_eq!(http.get("/api/queues/v").json, json!([]));
    broker.stop();
    broker.start_again();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/queues/v").is(200).json, json!([]));
    assert_eq!(http.get("/api/permissions/v/guest").is(200).json["read"], ".*");
}
