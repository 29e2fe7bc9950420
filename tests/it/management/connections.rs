//! Connections, channels and consumers as they open and close.

use serde_json::json;

use super::Http;
use crate::harness::Broker;
use crate::wait;

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn a_connection_shows_what_it_does_and_goes_when_told() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    client.ask("basic.qos prefetch_count=7", "basic.qos-ok");
    client.confirms();
    client.ask("basic.consume queue=q consumer_tag=tag arguments={x-a:1}", "basic.consume-ok");
    client.publish("routing_key=q", "x");
    client.hear("basic.deliver");
    client.hear("basic.ack");
    let all = http.get("/api/connections").is(200).json;
    let connection = &all[0];
    let name = connection["name"].as_str().expect("a name").to_owned();
    assert_eq!(name, format!("127.0.0.1:{} -> {}", client.local_port(), broker.amqp));
    for (field, want) in [
        ("protocol", json!("AMQP 0-9-1")),
        ("user", json!("guest")),
        ("vhost", json!("/")),
        ("state", json!("running")),
        ("auth_mechanism", json!("PLAIN")),
        ("channels", json!(1)),
        ("type", json!("network")),
        ("ssl", json!(false)),
        ("peer_port", json!(client.local_port())),
    ] {
        assert_eq!(connection[field], want, "{field}");
    }
    assert!(connection["client_properties"]["capabilities"].is_object());
    assert!(connection["connected_at"].as_u64().is_some_and(|at| at > 1_600_000_000_000));
    assert!(connection["recv_oct"].as_u64() > Some(100) && connection["send_oct"].as_u64() > Some(100));

    let path = format!("/api/connections/{}", name.replace(' ', "%20").replace('>', "%3E"));
    assert_eq!(http.get(&path).is(200).json["name"], name);
    let channel = http.get(&format!("{path}/channels")).is(200).json[0].clone();
    for (field, want) in [
        ("number", json!(1)),
        ("name", json!(format!("{name} (1)"))),
        ("prefetch_count", json!(7)),
        ("confirm", json!(true)),
        ("consumer_count", json!(1)),
        ("messages_unacknowledged", json!(1)),
        ("transactional", json!(false)),
    ] {
        assert_eq!(channel[field], want, "{field}");
    }
    let one = format!("/api/channels/{}", format!("{name} (1)").replace(' ', "%20").replace('>', "%3E"));
    // Rates may be updated in between, and a single channel shows more members.
    let lasting = |mut channel: serde_json::Value| {
        let members = channel.as_object_mut().expect("an object");
        members.retain(|name, _| {
            !matches!(
                name.as_str(),
                "message_stats" | "idle_since" | "consumer_details" | "publishes" | "deliveries"
            )
        });
        channel
    };
    let alone = http.get(&one).is(200).json;
    assert_eq!(alone["consumer_details"][0]["consumer_tag"], "tag");
    assert_eq!(lasting(alone), lasting(channel));
    let consumer = http.get("/api/consumers/%2F").is(200).json[0].clone();
    for (field, want) in [
        ("consumer_tag", json!("tag")),
        ("ack_required", json!(true)),
        ("active", json!(true)),
        ("exclusive", json!(false)),
        ("prefetch_count", json!(7)),
        ("queue", json!({ "name": "q", "vhost": "/" })),
        ("arguments", json!({ "x-a": 1 })),
    ] {
        assert_eq!(consumer[field], want, "{field}");
    }
    assert_eq!(consumer["channel_details"]["connection_name"], name.as_str());
    assert_eq!(http.get("/api/queues/%2F/q").json["consumer_details"][0]["consumer_tag"], "tag");

    http.call("DELETE", &path, &[("x-reason", "maintenance")], "").is(204);
    client.connection_closes(320, "", "maintenance");
    wait::until("nobody is connected", || http.get("/api/connections").json == json!([]));
    http.get(&path).refused(404, "Object Not Found", "connection_not_found");
    assert_eq!(http.get("/api/channels").json, json!([]));
}

#[test]
fn users_see_and_close_only_their_own() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let user = http.user("some", "management");
    let mut client = broker.client();
    assert_eq!(user.get("/api/connections").is(200).json, json!([]));
    assert_eq!(user.get("/api/channels").is(200).json, json!([]));
    let name = http.get("/api/connections").json[0]["name"].as_str().expect("a name").to_owned();
    let path = format!("/api/connections/{}", name.replace(' ', "%20").replace('>', "%3E"));
    user.get(&path).refused(401, "not_authorised", "");
    user.delete(&path).refused(401, "not_authorised", "");
    let monitor = http.user("monitor", "monitoring");
    monitor.get(&path).is(200);
    monitor.delete(&path).refused(401, "not_authorised", "administrator");
    http.delete("/api/connections/username/guest").is(204);
    client.connection_closes(320, "", "CONNECTION_FORCED - Closed via management plugin");
}
