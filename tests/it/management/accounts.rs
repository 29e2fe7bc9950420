//! Changes to users and permissions while clients are connected.

use serde_json::json;

use super::Http;
use crate::harness::Broker;
use crate::raw::Client;

fn connected(broker: &Broker, name: &str) -> Client {
    let mut client = Client::start(broker.amqp, "");
    client.start_ok("PLAIN", &format!("\\0{name}\\0pw"));
    client.hear("0 connection.tune");
    client.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    client.ask("0 connection.open virtual_host=/", "0 connection.open-ok");
    client.open_channel(1);
    client
}

#[test]
fn a_user_from_creation_to_deletion() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/users/u", &json!({ "password": "pw" })).refused(400, "bad_request", "tags");
    http.put("/api/users/u", &json!({ "password": "", "tags": "" })).refused(400, "bad_request", "empty");
    http.put("/api/users/u", &json!({ "password_hash": "?", "tags": "" })).refused(
        400,
        "bad_request",
        "base64",
    );
    let user = http.user("u", "management,custom");
    assert_eq!(
        user.get("/api/whoami").is(200).json,
        json!({ "name": "u", "tags": ["management", "custom"] })
    );
    // RabbitMQ's hash of "test12".
    let hashed = json!({
        "password_hash": "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR",
        "hashing_algorithm": "rabbit_password_hashing_sha256", "tags": ["management"],
    });
    http.put("/api/users/u", &hashed).is(204);
    user.get("/api/whoami").refused(401, "not_authorized", "Login failed");
    http.login("u", "test12").get("/api/whoami").is(200);
    assert_eq!(http.get("/api/users/u").is(200).json["password_hash"], hashed["password_hash"]);
    broker.stop();
    broker.start_again();
    let http = Http::of(&broker);
    http.login("u", "test12").get("/api/whoami").is(200);
    assert_eq!(http.get("/api/users/without-permissions").json, json!([]));
    http.delete("/api/permissions/%2F/u").is(204);
    assert_eq!(http.get("/api/users/without-permissions").json[0]["name"], "u");
    http.delete("/api/users/u").is(204);
    http.delete("/api/users/u").refused(404, "Object Not Found", "user_not_found");
    http.get("/api/users/u").refused(404, "Object Not Found", "user_not_found");
    let hash = http.get("/api/auth/hash_password/pw").is(200).json["ok"].clone();
    http.put("/api/users/v", &json!({ "password_hash": hash, "tags": "management" })).is(201);
    http.login("v", "pw").get("/api/whoami").is(200);
    http.post("/api/users/bulk-delete", &json!({ "users": ["v", "none"] })).is(204);
    http.get("/api/users/v").is(404);
}

#[test]
fn permissions_change_under_those_who_are_connected() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.user("u", "");
    let mut client = connected(&broker, "u");
    client.declare("queue=a");
    let path = "/api/permissions/%2F/u";
    http.put(path, &json!({ "configure": "(", "write": "", "read": "" })).refused(
        400,
        "bad_request",
        "regular expression",
    );
    http.put(path, &json!({ "configure": "^a$" })).refused(400, "bad_request", "missing field");
    http.put(path, &json!({ "configure": "^a$", "write": "", "read": "" })).is(204);
    assert_eq!(http.get("/api/users/u/permissions").json[0]["configure"], "^a$");
    client.declare("queue=a");
    client.say("queue.declare queue=b");
    client.channel_closes(403, "queue.declare", "configure access to queue 'b'");
    http.put("/api/permissions/none/u", &json!({})).is(400);
    http.put("/api/permissions/none/u", &json!({ "configure": "", "write": "", "read": "" })).refused(
        400,
        "bad_request",
        "vhost_not_found",
    );
    http.put("/api/permissions/%2F/none", &json!({ "configure": "", "write": "", "read": "" })).refused(
        400,
        "bad_request",
        "user_not_found",
    );
}

#[test]
fn a_deleted_user_is_disconnected() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.user("u", "");
    let mut client = connected(&broker, "u");
    http.delete("/api/users/u").is(204);
    client.connection_closes(320, "", "user 'u' is deleted");
}
