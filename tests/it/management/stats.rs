//! Counters of exchanges and channels.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;
use crate::wait;

/// Messages into and out of an exchange.
fn counted(http: &Http, exchange: &str) -> [u64; 2] {
    let stats = &http.get(&format!("/api/exchanges/%2F/{exchange}")).is(200).json["message_stats"];
    ["publish_in", "publish_out"].map(|name| stats[name].as_u64().expect("a count"))
}

#[test]
fn exchanges_count_what_clients_publish_and_to_how_many_queues_it_goes() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.confirms();
    for queue in ["a", "b", "c"] {
        client.declare(&format!("queue={queue} arguments={{x-dead-letter-exchange:dead}}"));
    }
    for (exchange, kind) in [("fan", "fanout"), ("nowhere", "direct"), ("dead", "fanout"), ("idle", "topic")]
    {
        client.ask(&format!("exchange.declare exchange={exchange} type={kind}"), "exchange.declare-ok");
    }
    for queue in ["a", "b", "c"] {
        client.ask(&format!("queue.bind queue={queue} exchange=fan"), "queue.bind-ok");
    }
    client.declare("queue=graves");
    client.ask("queue.bind queue=graves exchange=dead", "queue.bind-ok");
    for _ in 0..5 {
        client.publish_confirmed("exchange=fan", "", "x");
    }
    client.publish_confirmed("exchange=nowhere", "", "x");
    client.publish("exchange=nowhere mandatory", "x");
    client.hear("basic.return");
    client.hear("basic.ack");
    // In one batch, alternating, and one of them along an uncached route.
    let mut batch = Vec::new();
    for key in ["a", "b", "a"] {
        batch.extend(client.publish_bytes(1, &format!("routing_key={key}"), "", b"x"));
        batch.extend(client.publish_bytes(1, "exchange=fan", "", b"x"));
    }
    batch.extend(client.publish_bytes(1, "routing_key=a", "headers={CC:[b,c]}", b"x"));
    client.bytes(&batch);
    let mut last = 0;
    while last < 14 {
        last = client.hear("basic.ack").tag();
    }
    assert_eq!(counted(&http, "fan"), [8, 24]);
    assert_eq!(counted(&http, "nowhere"), [2, 0]);
    assert_eq!(counted(&http, "amq.default"), [4, 6]);
    assert_eq!(counted(&http, "idle"), [0, 0]);
    let all = http.get("/api/exchanges/%2F").is(200).json;
    let row = |name: &str| all.as_array().expect("rows").iter().find(|row| row["name"] == name).cloned();
    assert_eq!(row("").expect("the default exchange")["message_stats"]["publish_out"], 6);

    // As in RabbitMQ, dead letters do not count as published.
    let dropped = client.ask("basic.get queue=a", "basic.get-ok").tag();
    client.say(&format!("basic.reject delivery_tag={dropped}"));
    client.wait_ready("graves", 1);
    assert_eq!(counted(&http, "dead"), [0, 0]);

    client.ask("exchange.delete exchange=fan", "exchange.delete-ok");
    client.ask("exchange.declare exchange=fan type=fanout", "exchange.declare-ok");
    assert_eq!(counted(&http, "fan"), [0, 0]);
    client.publish_confirmed("exchange=fan", "", "x");
    assert_eq!(counted(&http, "fan"), [1, 0]);
}

#[test]
fn what_is_published_over_http_and_in_transactions_counts_at_its_exchange() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    client.ask("queue.bind queue=q exchange=amq.topic routing_key=#", "queue.bind-ok");
    let message =
        json!({ "properties": {}, "routing_key": "k", "payload": "x", "payload_encoding": "string" });
    http.post("/api/exchanges/%2F/amq.topic/publish", &message).is(200);
    assert_eq!(counted(&http, "amq.topic"), [1, 1]);
    client.ask("tx.select", "tx.select-ok");
    for _ in 0..3 {
        client.publish("exchange=amq.topic routing_key=k", "x");
    }
    client.ask("tx.rollback", "tx.rollback-ok");
    assert_eq!(counted(&http, "amq.topic"), [1, 1]);
    client.publish("exchange=amq.topic routing_key=k", "x");
    client.ask("tx.commit", "tx.commit-ok");
    assert_eq!(counted(&http, "amq.topic"), [2, 2]);
}

/// The non-zero counters of a channel of the only connection.
fn done_on(http: &Http, number: u64) -> Value {
    let channels = http.get("/api/channels").is(200).json;
    let channel = channels.as_array().expect("rows").iter().find(|row| row["number"] == number);
    let stats = channel.expect("the channel")["message_stats"].as_object().expect("counts");
    assert_eq!(stats.keys().filter(|name| !name.ends_with("_details")).count(), 11);
    stats.iter().filter(|(_, value)| value.as_u64().is_some_and(|count| count > 0)).map(owned).collect()
}

fn owned((name, value): (&String, &Value)) -> (String, Value) {
    (name.clone(), value.clone())
}

#[test]
fn channels_count_what_is_published_delivered_and_acknowledged_on_them() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.open_channel(2);
    client.open_channel(3);
    client.confirms();
    client.declare("queue=q");
    assert_eq!(done_on(&http, 1), json!({}));
    for _ in 0..3 {
        client.publish_confirmed("routing_key=q", "", "x");
    }
    client.publish("routing_key=none mandatory", "x");
    client.hear("basic.return");
    client.hear("basic.ack");
    assert_eq!(done_on(&http, 1), json!({ "publish": 4, "confirm": 4, "return_unroutable": 1 }));

    client.ask("2 basic.get queue=q", "2 basic.get-ok");
    client.say("2 basic.reject delivery_tag=1 requeue");
    client.ask("2 basic.get queue=q no_ack", "2 basic.get-ok redelivered=1");
    let seen = json!({ "get": 1, "get_no_ack": 1, "deliver_get": 2, "redeliver": 1 });
    assert_eq!(done_on(&http, 2), seen);
    client.ask("2 basic.consume queue=q consumer_tag=t", "2 basic.consume-ok");
    for tag in [3, 4] {
        client.hear(&format!("2 basic.deliver delivery_tag={tag}"));
    }
    client.say("2 basic.ack delivery_tag=4 multiple");
    client.ask("2 basic.cancel consumer_tag=t", "2 basic.cancel-ok");
    client.ask("2 basic.consume queue=q consumer_tag=t no_ack", "2 basic.consume-ok");
    client.publish("routing_key=q", "x");
    client.hear("2 basic.deliver delivery_tag=5");
    client.hear("basic.ack");
    assert_eq!(
        done_on(&http, 2),
        json!({
            "get": 1, "get_no_ack": 1, "deliver": 2, "deliver_no_ack": 1, "deliver_get": 5, "redeliver": 1, "ack": 2,
        })
    );
    assert_eq!(done_on(&http, 1), json!({ "publish": 5, "confirm": 5, "return_unroutable": 1 }));

    client.ask("2 basic.cancel consumer_tag=t", "2 basic.cancel-ok");
    client.publish_confirmed("routing_key=q", "", "x");
    client.ask("3 tx.select", "3 tx.select-ok");
    client.ask("3 basic.get queue=q", "3 basic.get-ok");
    client.say("3 basic.ack delivery_tag=1");
    let publish = client.publish_bytes(3, "routing_key=none mandatory", "", b"x");
    client.bytes(&publish);
    client.ask("3 basic.qos prefetch_count=1", "3 basic.qos-ok");
    assert_eq!(done_on(&http, 3), json!({ "get": 1, "deliver_get": 1 }));
    client.say("3 tx.commit");
    client.hear("3 basic.return");
    client.hear("3 tx.commit-ok");
    let committed = json!({ "get": 1, "deliver_get": 1, "ack": 1, "publish": 1, "return_unroutable": 1 });
    assert_eq!(done_on(&http, 3), committed);

    // A new channel with the same number starts from zero.
    client.ask("3 channel.close", "3 channel.close-ok");
    client.open_channel(3);
    assert_eq!(done_on(&http, 3), json!({}));
}

#[test]
fn a_publish_that_is_refused_counts_as_no_confirm() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.confirms();
    client.declare("queue=full arguments={x-max-length:1,x-overflow:reject-publish}");
    client.declare("queue=q");
    client.publish_confirmed("routing_key=full", "", "x");
    for tag in [2, 3] {
        client.publish("routing_key=full", "x");
        client.hear(&format!("basic.nack delivery_tag={tag}"));
    }
    client.publish("routing_key=q", "x");
    client.hear("basic.ack delivery_tag=4 multiple=0");
    assert_eq!(done_on(&http, 1), json!({ "publish": 4, "confirm": 2 }));
    assert_eq!(http.get("/api/overview").json["message_stats"]["confirm"], 2);
}

#[test]
fn rates_rise_with_traffic_and_fall_with_its_end() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    let exchange = || http.get("/api/exchanges/%2F/amq.default").json;
    let channel = || http.get("/api/channels").json[0].clone();
    let rate = |of: &Value, name: &str| of["message_stats"][name]["rate"].as_f64().expect("a rate");
    let rates = || {
        let exchange = exchange();
        let [published_in, published_out] = ["publish_in_details", "publish_out_details"];
        [rate(&exchange, published_in), rate(&exchange, published_out), rate(&channel(), "publish_details")]
    };
    assert_eq!(rates().map(|rate| rate > 0.0), [false; 3]);
    wait::until("rates are seen", || {
        client.publish("routing_key=q", "x");
        rates().iter().all(|rate| *rate > 0.0)
    });
    wait::until("the rates are nothing again", || rates().iter().all(|rate| *rate <= 0.0));
    assert_ne!(counted(&http, "amq.default"), [0, 0]);
    wait::until("the channel is idle", || channel()["idle_since"].is_string());
    client.publish("routing_key=q", "x");
    wait::until("the channel is idle no more", || channel()["idle_since"].is_null());
}
