//! What exchanges and channels count.

use serde_json::json;

use super::Http;
use crate::harness::Broker;
use crate::wait;

/// Messages in and out of an exchange.
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
    // In one batch, in turns, and one of them along a route that is not remembered.
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

    // As in RabbitMQ, dead letters are not what somebody publishes.
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

#[test]
fn rates_of_an_exchange_rise_with_traffic_and_fall_with_its_end() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    let rates = || {
        let exchange = http.get("/api/exchanges/%2F/amq.default").json;
        let rate = |name: &str| exchange["message_stats"][name]["rate"].as_f64().expect("a rate");
        [rate("publish_in_details"), rate("publish_out_details")]
    };
    assert_eq!(rates().map(|rate| rate > 0.0), [false, false]);
    wait::until("rates of the exchange are seen", || {
        client.publish("routing_key=q", "x");
        rates().iter().all(|rate| *rate > 0.0)
    });
    wait::until("the rates are nothing again", || rates().iter().all(|rate| *rate <= 0.0));
    assert_ne!(counted(&http, "amq.default"), [0, 0]);
}
