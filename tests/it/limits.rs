//! Limits set in the configuration, and operators' limits on vhosts and users (2a).

use serde_json::json;

use crate::harness::Broker;
use crate::management::Http;
use crate::raw::Client;
use crate::wait;

#[test]
fn connections_beyond_the_limit_are_refused_and_one_that_ends_makes_room() {
    let broker = Broker::with(&["--connections-max", "1"]);
    let first = broker.client();
    let (mut second, _) = Client::tune(broker.amqp, "");
    second.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    second.say("0 connection.open virtual_host=/");
    second.connection_closes(530, "?connection.open", "connection limit (1) is reached");
    first.close();
    drop(broker.client());
}

#[test]
fn a_body_over_the_configured_size_closes_the_channel() {
    let broker = Broker::with(&["--message-bytes-max", "1000"]);
    let mut c = broker.client();
    c.declare("queue=q");
    c.publish("exchange=\"\" routing_key=q", vec![b'x'; 1000]);
    c.wait_ready("q", 1);
    c.publish("exchange=\"\" routing_key=q", vec![b'x'; 1001]);
    c.channel_closes(406, "basic.publish", "message size 1001 is larger than configured max size 1000");
}

fn limit(http: &Http, path: &str, value: i64) {
    http.put(&format!("/api/{path}"), &json!({ "value": value })).is(204);
}

#[test]
fn a_vhost_takes_as_many_connections_as_its_limit_says() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let first = broker.client();
    limit(&http, "vhost-limits/%2F/max-connections", 1);
    Client::opening(broker.amqp, "guest", "guest", "/").connection_closes(
        530,
        "?connection.open",
        "access to vhost '/' refused for user 'guest': connection limit (1) is reached",
    );
    first.close();
    drop(broker.client());
    limit(&http, "vhost-limits/%2F/max-connections", 0);
    Client::opening(broker.amqp, "guest", "guest", "/").connection_closes(
        530,
        "?connection.open",
        "connection limit (0) is reached",
    );
    limit(&http, "vhost-limits/%2F/max-connections", -1);
    let (_one, _two) = (broker.client(), broker.client());
}

#[test]
fn a_user_has_as_many_connections_as_its_limit_says_over_all_vhosts() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/vhosts/other", &json!({})).is(201);
    let first = broker.client();
    limit(&http, "user-limits/guest/max-connections", 1);
    Client::opening(broker.amqp, "guest", "guest", "other").connection_closes(
        530,
        "?connection.open",
        "connection refused for user 'guest': user connection limit (1) is reached",
    );
    http.user("u", "");
    drop(Client::open_as(broker.amqp, "u", "pw"));
    first.close();
    let mut other = Client::opening(broker.amqp, "guest", "guest", "other");
    other.hear("0 connection.open-ok");
    http.delete("/api/user-limits/guest/max-connections").is(204);
    drop(broker.client());
}

#[test]
fn a_user_has_as_many_channels_as_its_limit_says_over_all_connections() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let (mut one, mut two) = (broker.client(), broker.client());
    limit(&http, "user-limits/guest/max-channels", 3);
    one.open_channel(2);
    let text = "number of channels opened for user 'guest' has reached the maximum allowed user limit of (3)";
    two.say("2 channel.open");
    two.connection_closes(530, "channel.open", text);
    // Its channel 1 was closed with the connection.
    wait::until("there is room for a channel", || {
        let connections = http.get("/api/connections").is(200).json;
        connections.as_array().is_some_and(|all| all.len() == 1)
    });
    one.open_channel(3);
    one.ask("3 channel.close reply_code=200", "3 channel.close-ok");
    one.open_channel(4);
    one.say("5 channel.open");
    one.connection_closes(530, "channel.open", text);
}

#[test]
fn a_vhost_takes_as_many_queues_as_its_limit_says() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut c = broker.client();
    c.declare("queue=a");
    c.declare("queue=b durable");
    limit(&http, "vhost-limits/%2F/max-queues", 2);
    c.say("queue.declare queue=c");
    c.channel_closes(
        406,
        "queue.declare",
        "cannot declare queue 'c': queue limit in vhost '/' (2) is reached",
    );
    c.open_channel(1);
    c.declare("queue=a");
    c.declare("queue=b passive durable");
    c.say("queue.declare queue=\"\" exclusive");
    c.channel_closes(406, "queue.declare", "queue limit in vhost '/' (2) is reached");
    c.open_channel(1);
    http.put("/api/queues/%2F/c", &json!({})).refused(400, "bad_request", "queue limit");
    c.delete("a");
    c.declare("queue=c");
    http.delete("/api/vhost-limits/%2F/max-queues").is(204);
    c.declare("queue=d");
}

#[test]
fn limits_survive_a_restart() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    limit(&http, "vhost-limits/%2F/max-queues", 0);
    limit(&http, "user-limits/guest/max-channels", 1);
    http.put("/api/global-parameters/g", &json!({ "value": { "any": [1, null] } })).is(201);
    let topic = json!({ "exchange": "amq.topic", "write": "^a", "read": "" });
    http.put("/api/topic-permissions/%2F/guest", &topic).is(201);
    let kept = http.get("/api/definitions").is(200).json;
    broker.stop();
    broker.start_again();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/definitions").is(200).json, kept);
    let mut c = broker.client();
    c.say("queue.declare queue=q");
    c.channel_closes(406, "queue.declare", "queue limit in vhost '/' (0) is reached");
    c.open_channel(1);
    c.say("2 channel.open");
    c.connection_closes(530, "channel.open", "maximum allowed user limit of (1)");
}

#[test]
fn there_are_as_many_channels_as_the_configuration_says_whosever_they_are() {
    let broker = Broker::with(&["--channels-max", "3"]);
    let http = Http::of(&broker);
    http.user("u", "");
    let (mut one, mut two) = (broker.client(), Client::open_as(broker.amqp, "u", "pw"));
    one.open_channel(2);
    two.say("2 channel.open");
    two.connection_closes(530, "channel.open", "number of channels opened on this node");
    one.ask("2 channel.close reply_code=200", "2 channel.close-ok");
    one.open_channel(3);
}

#[test]
fn there_are_as_many_exchanges_as_the_configuration_says_in_all_vhosts() {
    // The seven predeclared exchanges of each vhost count, including the default exchange.
    let broker = Broker::with(&["--exchanges-max", "15"]);
    let http = Http::of(&broker);
    http.put("/api/vhosts/other", &json!({})).is(201);
    let mut c = broker.client();
    c.ask("exchange.declare exchange=x type=fanout", "exchange.declare-ok");
    c.say("exchange.declare exchange=y type=fanout");
    c.channel_closes(406, "exchange.declare", "cannot declare exchange 'y': exchange limit of 15 is reached");
    c.open_channel(1);
    c.ask("exchange.declare exchange=x type=fanout", "exchange.declare-ok");
    http.put("/api/exchanges/%2F/y", &json!({ "type": "fanout" })).refused(
        400,
        "bad_request",
        "exchange limit",
    );
    c.ask("exchange.delete exchange=x", "exchange.delete-ok");
    c.ask("exchange.declare exchange=y type=fanout", "exchange.declare-ok");
}
