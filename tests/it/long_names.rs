//! Texts that end up in messages, records or frames are refused on entry if these have no room for them, naming the
//! offender; the longest permitted ones work throughout.

use serde_json::json;

use crate::cli::{Cli, File, run};
use crate::harness::Broker;
use crate::management::Http;

/// Too long for a short string; the last also exceeds a 16-bit length.
const TOO_LONG: [usize; 2] = [256, 65_536];

const DEAD_LETTERS: [&str; 2] = ["dead-letter-exchange", "dead-letter-routing-key"];

#[test]
fn amqp_refuses_what_no_message_has_room_for_with_406_and_its_name() {
    let broker = Broker::new();
    let mut c = broker.client();
    for len in TOO_LONG {
        let long = "k".repeat(len);
        for (method, args, words) in [
            (
                "queue.declare",
                format!("queue=q durable arguments={{x-dead-letter-exchange:{long}}}"),
                "x-dead-letter-exchange",
            ),
            (
                "queue.declare",
                format!(
                    "queue=q durable arguments={{x-dead-letter-exchange:x,x-dead-letter-routing-key:{long}}}"
                ),
                "x-dead-letter-routing-key",
            ),
            (
                "exchange.declare",
                format!("exchange=e type=fanout arguments={{alternate-exchange:{long}}}"),
                "alternate-exchange",
            ),
        ] {
            c.say(&format!("{method} {args}"));
            c.channel_closes(406, method, words);
            c.open_channel(1);
        }
        for header in ["CC", "BCC"] {
            c.publish_with("routing_key=none", &format!("headers={{{header}:[{long}]}}"), "x");
            c.channel_closes(406, "basic.publish", header);
            c.open_channel(1);
        }
    }
}

#[test]
fn http_refuses_what_no_message_has_room_for_with_400_and_its_name() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({ "durable": true })).is(201);
    for len in TOO_LONG {
        let long = "k".repeat(len);
        let refused = |path: &str, body: &serde_json::Value, words: &str| {
            let put = path.contains("queues/") && !path.ends_with("redrive")
                || path.ends_with("/e")
                || path.contains("policies");
            let answer = if put { http.put(path, body) } else { http.post(path, body) };
            answer.refused(400, "bad_request", words);
        };
        for key in DEAD_LETTERS {
            let argument = format!("x-{key}");
            let arguments = json!({ "x-dead-letter-exchange": "x", &argument: long });
            refused("/api/queues/%2F/new", &json!({ "durable": true, "arguments": arguments }), &argument);
            let words = key.replace('-', " ");
            refused("/api/policies/%2F/p", &json!({ "pattern": "", "definition": { key: long } }), &words);
            refused(
                "/api/operator-policies/%2F/p",
                &json!({ "pattern": "", "definition": { key: long } }),
                &words,
            );
            let queue = json!({ "name": "new", "vhost": "/", "durable": true, "auto_delete": false, "arguments": arguments });
            refused("/api/definitions", &json!({ "queues": [queue] }), &argument);
        }
        let alternate = json!({ "type": "fanout", "arguments": { "alternate-exchange": long } });
        refused("/api/exchanges/%2F/e", &alternate, "alternate-exchange");
        refused("/api/bindings/%2F/e/amq.topic/q/q", &json!({ "routing_key": long }), "routing_key");
        refused(
            "/api/queues/%2F/q/redrive",
            &json!({ "exchange": "amq.topic", "routing_key": long }),
            "routing_key",
        );
        let publish = "/api/exchanges/%2F/amq.default/publish";
        let message = |key: &str, properties: serde_json::Value| json!({ "properties": properties, "routing_key": key, "payload": "", "payload_encoding": "string" });
        refused(publish, &message(&long, json!({})), "routing_key");
        refused(publish, &message("q", json!({ "message_id": long })), "message_id");
        refused(publish, &message("q", json!({ "headers": { "CC": [long] } })), "CC");
        refused(publish, &message("q", json!({ "headers": { &long: 1 } })), "255 bytes");
    }
}

#[test]
fn a_topology_file_with_what_no_message_has_room_for_is_refused_and_changes_nothing() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    for len in TOO_LONG {
        let long = "k".repeat(len);
        for (text, words) in [
            (format!("dead-letter-exchange: x, dead-letter-routing-key: {long}"), "dead-letter-routing-key"),
            (format!("dead-letter-exchange: {long}"), "dead-letter-exchange"),
        ] {
            let text = format!("vhosts:\n  /:\n    queues:\n      good: quorum\n      bad: {{{text}}}\n");
            let file = File::new("shop.yaml", &text);
            let ended = run(cli.command(&["apply", "--yes", file.as_str()]));
            assert!(
                ended.code != 0 && ended.err.contains(words),
                "{} {}{}",
                ended.code,
                ended.out,
                ended.err
            );
        }
    }
    assert_eq!(Http::of(&broker).get("/api/queues").is(200).json, json!([]));
}

#[test]
fn names_and_keys_that_just_fit_are_dead_lettered_redriven_and_kept() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    let (exchange, key, queue) = ("x".repeat(255), "k".repeat(255), "q".repeat(255));
    c.ask(&format!("exchange.declare exchange={exchange} type=fanout durable"), "exchange.declare-ok");
    c.declare(&format!("queue={queue} durable"));
    c.ask(&format!("queue.bind queue={queue} exchange={exchange} routing_key={key}"), "queue.bind-ok");
    c.declare(&format!(
        "queue=source durable arguments={{x-dead-letter-exchange:{exchange},x-dead-letter-routing-key:{key}}}"
    ));
    c.confirms();
    c.publish_confirmed("routing_key=source", "delivery_mode=2", "one");
    c.ask("basic.get queue=source", "basic.get-ok");
    c.say("basic.reject delivery_tag=1");
    c.wait_ready(&queue, 1);
    // Another publish after it, so that the dead letter's work is on disk.
    c.publish_confirmed("routing_key=source", "delivery_mode=2", "two");
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    let got = c.ask(&format!("basic.get queue={queue}"), "basic.get-ok");
    assert_eq!(
        (got.text(), got.field("exchange").str(), got.field("routing_key").str()),
        ("one".to_owned(), exchange.clone(), key.clone())
    );
    let tag = "t".repeat(255);
    c.ask(&format!("basic.consume queue=source consumer_tag={tag}"), "basic.consume-ok");
    assert_eq!(c.hear("basic.deliver").field("consumer_tag").str(), tag);
}
