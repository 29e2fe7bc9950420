//! `explain`: what it says beside what a publish does, and what whoever asks may learn.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;
use crate::wait;

/// Declares exchanges, queues and bindings of `/`: lines of `exchange NAME TYPE ARGUMENTS`, `queue NAME ARGUMENTS` and
/// `bind SOURCE q|e DESTINATION KEY ARGUMENTS`, where `-` is an empty key.
fn declare(http: &Http, lines: &str) {
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let words: Vec<_> = line.split(' ').collect();
        let arguments = |at: usize| -> Value {
            words.get(at).map_or_else(|| json!({}), |text| serde_json::from_str(text).expect("JSON"))
        };
        match words[0] {
            "exchange" => {
                let body = json!({ "type": words[2], "durable": true, "arguments": arguments(3) });
                http.put(&format!("/api/exchanges/%2F/{}", words[1]), &body).is(201);
            }
            "queue" => {
                let body = json!({ "durable": true, "arguments": arguments(2) });
                http.put(&format!("/api/queues/%2F/{}", words[1]), &body).is(201);
            }
            _ => {
                let key = if words[4] == "-" { "" } else { words[4] };
                let body = json!({ "routing_key": key, "arguments": arguments(5) });
                let path = format!("/api/bindings/%2F/e/{}/{}/{}", words[1], words[2], words[3]);
                http.post(&path, &body).is(201);
            }
        }
    }
}

fn explain(http: &Http, question: &Value) -> Value {
    http.post("/api/explain/%2F", question).is(200).json
}

fn names(queues: &Value) -> BTreeSet<String> {
    let queues = queues.as_array().expect("a list").iter();
    queues.map(|queue| queue["name"].as_str().expect("a name").to_owned()).collect()
}

/// The queues that hold a message.
fn filled(http: &Http) -> BTreeSet<String> {
    let mut queues = http.get("/api/queues").is(200).json;
    queues.as_array_mut().expect("a list").retain(|queue| queue["messages"] != 0);
    names(&queues)
}

fn effects(queue: &Value) -> String {
    let effects = queue["effects"].as_array().expect("a list").iter();
    effects.map(|effect| effect.as_str().expect("a text")).collect::<Vec<_>>().join("; ")
}

#[test]
fn what_is_explained_is_what_a_publish_does_and_changes_nothing() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    declare(
        &http,
        r#"
        exchange events topic {"alternate-exchange":"rest"}
        exchange rest fanout
        exchange match headers
        exchange hash x-consistent-hash
        queue all
        queue eu
        queue some
        queue lost
        queue one
        queue two
        bind events q all #.created
        bind events q eu eu.*
        bind events e match match.#
        bind match q some - {"a":1,"x-match":"any","b":2}
        bind match e events -
        bind rest q lost -
        bind hash q one 1
        bind hash q two 1
        "#,
    );
    for (exchange, key, headers) in [
        ("events", "eu.created", json!({})),
        ("events", "eu.removed", json!({})),
        ("events", "us.removed", json!({})),
        ("events", "match.me", json!({ "a": 1 })),
        ("events", "match.me.created", json!({ "b": 3 })),
        ("events", "us.x", json!({ "CC": ["a.created", "eu.y"] })),
        ("hash", "some key", json!({})),
        ("hash", "another", json!({})),
        ("amq.default", "eu", json!({})),
        ("amq.default", "none", json!({})),
    ] {
        let properties = json!({ "headers": headers });
        let question = json!({ "exchange": exchange, "routing_key": key, "properties": properties });
        let explained = explain(&http, &question);
        let told = names(&explained["queues"]);
        assert_eq!(filled(&http), BTreeSet::new(), "explaining publishes nothing");
        let message = json!({
            "routing_key": key, "payload": "x", "payload_encoding": "string", "properties": properties,
        });
        let published = http.post(&format!("/api/exchanges/%2F/{exchange}/publish"), &message).is(200);
        assert_eq!(filled(&http), told, "{exchange} {key}: {explained}");
        assert_eq!(explained["queue_count"], told.len());
        let outcome = if published.json["routed"] == true { "queued" } else { "unroutable" };
        assert_eq!(explained["outcome"], outcome, "{exchange} {key}");
        for queue in &told {
            http.delete(&format!("/api/queues/%2F/{queue}/contents")).is(204);
        }
    }
    let by_query = "/api/explain/%2F?exchange=match&headers=%7B%22a%22%3A1%7D";
    let told = names(&http.get(by_query).is(200).json["queues"]);
    assert_eq!(
        told,
        BTreeSet::from(["lost".to_owned(), "some".to_owned()]),
        "events has no binding for no key"
    );
    http.get("/api/explain/%2F?headers=%5B").refused(400, "bad_request", "headers: not_json");
    http.get("/api/explain/%2F?headers=%5B1%5D").refused(400, "bad_request", "headers: ");
}

#[test]
fn hops_say_how_they_are_reached_and_bindings_why_they_do_not_match() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    declare(
        &http,
        r#"
        exchange events topic {"alternate-exchange":"rest"}
        exchange rest direct
        queue q
        bind events q q eu.created
        bind events q q #.removed
        bind rest q q other
        bind amq.headers q q - {"a":1,"b":2}
        "#,
    );
    http.put("/api/policies/%2F/p", &json!({ "pattern": "^events$", "definition": { "max-length": 1 } }))
        .is(201);
    let explained = explain(&http, &json!({ "exchange": "events", "routing_key": "eu.x" }));
    let hops = &explained["hops"];
    assert_eq!((&hops[0]["reached"], &hops[0]["policy"]), (&json!("publish"), &json!("p")));
    assert_eq!(hops[0]["alternate"], json!({ "exchange": "rest", "exists": true, "used": true }));
    assert_eq!((&hops[1]["reached"], &hops[1]["from"]), (&json!("alternate"), &json!("events")));
    let whys: Vec<_> =
        hops[0]["unmatched"].as_array().expect("a list").iter().map(|one| &one["why"]).collect();
    assert_eq!(
        whys,
        [
            "word 2 of the pattern is 'created', the key has 'x' there",
            "word 2 of the pattern is 'removed', the key has 'x' there",
        ]
    );
    assert_eq!(hops[1]["unmatched"][0]["why"], "the binding key 'other' is not 'eu.x'");
    let headers = json!({ "headers": { "a": 9 } });
    let explained = explain(&http, &json!({ "exchange": "amq.headers", "properties": headers }));
    let why = &explained["hops"][0]["unmatched"][0];
    assert_eq!(why["why"], "header 'a' is not '1', or of another type; header 'b' is absent");
    assert_eq!(why["headers"][1], json!({ "header": "b", "absent": true }));
}

#[test]
fn queues_say_what_they_would_do_with_the_message() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    declare(
        &http,
        r#"
        queue plain
        queue small {"x-max-length":1,"x-overflow":"reject-publish"}
        queue ring {"x-max-length":1,"x-dead-letter-exchange":"amq.fanout"}
        queue lone {"x-dead-letter-exchange":"none"}
        queue self {"x-message-ttl":1000,"x-dead-letter-exchange":""}
        queue urgent {"x-max-priority":5,"x-delivery-limit":3}
        queue light {"x-max-length-bytes":10,"x-overflow":"reject-publish"}
        bind amq.fanout q plain -
        "#,
    );
    let told = |queue: &str, properties: Value, bytes: u64| {
        let explained = explain(
            &http,
            &json!({ "routing_key": queue, "properties": properties, "payload_bytes": bytes }),
        );
        let queue = explained["queues"][0].clone();
        (explained["outcome"].as_str().expect("a text").to_owned(), effects(&queue), queue)
    };
    let persistent = || json!({ "delivery_mode": 2 });
    let (_, plain, queue) = told("plain", persistent(), 0);
    assert_eq!(plain, "waits for a consumer; is written to disk");
    assert_eq!((&queue["written"], &queue["full"]), (&json!(true), &json!(false)));
    assert!(told("plain", json!({}), 0).1.contains("not written to disk, as the message is transient"));
    for queue in ["small", "ring"] {
        assert_eq!(told(queue, json!({}), 0).0, "queued", "{queue} has room");
        let message = json!({ "routing_key": queue, "payload": "", "payload_encoding": "string" });
        http.post("/api/exchanges/%2F/amq.default/publish", &message).is(200);
    }
    let (outcome, small, _) = told("small", json!({}), 0);
    assert_eq!(outcome, "rejected");
    assert!(small.contains("full: refuses the message"), "{small}");
    assert_eq!(told("light", json!({}), 10).0, "queued");
    assert_eq!(told("light", json!({}), 11).0, "rejected");
    let (outcome, ring, queue) = told("ring", json!({}), 0);
    assert_eq!(outcome, "queued");
    assert!(ring.contains("the oldest message is dead-lettered"), "{ring}");
    assert!(ring.contains("dead letters go through the exchange 'amq.fanout' to plain"), "{ring}");
    assert_eq!(queue["dead_letters"]["queues"], json!(["plain"]));
    assert!(told("lone", json!({}), 0).1.contains("the dead-letter exchange 'none' does not exist"));
    let (_, own, queue) = told("self", json!({ "expiration": "5000" }), 0);
    assert!(own.contains("expires after 1000 ms") && own.contains("the cycle through '' is cut"), "{own}");
    assert_eq!(queue["dead_letters"]["cycle_count"], 1);
    let (_, urgent, _) = told("urgent", json!({ "priority": 9 }), 0);
    assert!(
        urgent.contains("has priority 5") && urgent.contains("dropped after 3 failed deliveries"),
        "{urgent}"
    );
}

#[test]
fn delays_and_duplicates_are_foreseen_and_not_remembered() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    declare(
        &http,
        r#"
        exchange later x-delayed-message {"x-delayed-type":"direct"}
        exchange once direct {"x-message-deduplication":true}
        queue q
        queue only {"x-message-deduplication":true}
        bind later q q k
        bind once q q k
        bind once e later k
        "#,
    );
    let delayed = json!({ "headers": { "x-delay": 60000 } });
    let explained =
        explain(&http, &json!({ "exchange": "later", "routing_key": "k", "properties": delayed }));
    assert_eq!(explained["outcome"], "held");
    assert!(explained["hops"][0]["held_until"].is_string());
    assert_eq!((&explained["hops"][1]["reached"], &explained["hop_count"]), (&json!("release"), &json!(2)));
    assert_eq!(
        (&explained["queues"][0]["name"], &explained["queues"][0]["after_delay"]),
        (&json!("q"), &json!(true))
    );
    let both = explain(&http, &json!({ "exchange": "once", "routing_key": "k", "properties": delayed }));
    assert_eq!((&both["outcome"], &both["queue_count"]), (&json!("queued"), &json!(2)), "now, and later");
    assert_eq!(http.get("/api/exchanges/%2F/later").json["messages_delayed"], 0);

    let properties = json!({ "headers": { "x-deduplication-header": "id" } });
    for (exchange, key) in [("once", "k"), ("amq.default", "only")] {
        let question = json!({ "exchange": exchange, "routing_key": key, "properties": properties });
        let found = |explained: &Value| {
            let of_exchange = explained["hops"][0]["deduplication"].clone();
            if of_exchange.is_null() { explained["queues"][0]["deduplication"].clone() } else { of_exchange }
        };
        for _ in 0..2 {
            assert_eq!(found(&explain(&http, &question))["duplicate"], false);
        }
        let message = json!({
            "routing_key": key, "payload": "", "payload_encoding": "string", "properties": properties,
        });
        http.post(&format!("/api/exchanges/%2F/{exchange}/publish"), &message).is(200);
        let wanted = json!({ "header": "x-deduplication-header", "present": true, "duplicate": true });
        assert_eq!(found(&explain(&http, &question)), wanted);
    }
}

#[test]
fn permissions_are_checked_as_a_publish_would_and_those_of_others_are_for_administrators() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let (some, other) = (http.user("some", "management"), http.user("other", "management"));
    declare(&http, "queue q\nbind amq.topic q q #");
    let rights = json!({ "configure": "", "write": "^amq\\.topic$", "read": "" });
    http.put("/api/permissions/%2F/some", &rights).is(204);
    let topic = json!({ "exchange": "amq.topic", "write": "^mine\\.", "read": "" });
    http.put("/api/topic-permissions/%2F/some", &topic).is(201);
    for (exchange, key, write, topic) in [
        ("amq.topic", "mine.a", true, true),
        ("amq.topic", "theirs", true, false),
        ("amq.direct", "theirs", false, true),
    ] {
        let explained = explain(&some, &json!({ "exchange": exchange, "routing_key": key }));
        assert_eq!(explained["permissions"], json!({ "enter": true, "write": write, "topic": topic }));
        let message = json!({ "routing_key": key, "payload": "", "payload_encoding": "string" });
        let published = some.post(&format!("/api/exchanges/%2F/{exchange}/publish"), &message);
        assert_eq!(explained["outcome"] == "refused", published.status != 200, "{exchange} {key}");
        if published.status != 200 {
            assert_eq!(explained["refusal"], published.json["reason"]);
        }
        let question = json!({ "exchange": exchange, "routing_key": key, "user": "some" });
        assert_eq!(explain(&http, &question)["refusal"], explained["refusal"], "asked by an administrator");
    }
    let refused = explain(&some, &json!({ "exchange": "amq.topic", "routing_key": "theirs" }));
    assert_eq!(names(&refused["queues"]), BTreeSet::from(["q".to_owned()]), "where it would go otherwise");
    let question = json!({ "user": "some" });
    other.post("/api/explain/%2F", &question).refused(401, "not_authorised", "Not administrator user");
    http.post("/api/explain/%2F", &json!({ "user": "none" })).refused(404, "not_found", "user_not_found");
    http.delete("/api/permissions/%2F/some").is(204);
    some.get("/api/explain/%2F").refused(401, "not_authorised", "not authorized to access virtual host");
    let explained = explain(&http, &json!({ "user": "some" }));
    assert_eq!(
        (&explained["permissions"]["enter"], &explained["outcome"]),
        (&json!(false), &json!("refused"))
    );
}

#[test]
fn what_closes_a_channel_is_a_refusal_with_the_same_words() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    for (question, words) in [
        (json!({ "exchange": "none" }), "no exchange 'none' in vhost '/'"),
        (json!({ "exchange": "amq.rabbitmq.trace" }), "internal exchange 'amq.rabbitmq.trace'"),
        (json!({ "properties": { "headers": { "CC": "text" } } }), "unacceptable_type_in_header"),
    ] {
        let explained = explain(&http, &question);
        assert_eq!(explained["outcome"], "refused");
        let refusal = explained["refusal"].as_str().expect("a text");
        assert!(refusal.contains(words), "{refusal}");
    }
    let long = json!({ "routing_key": "k".repeat(256) });
    http.post("/api/explain/%2F", &long).refused(400, "bad_request", "routing_key is longer than 255 bytes");
}

#[test]
fn direct_reply_queues_are_counted_but_not_named() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    declare(&http, "queue q");
    let mut client = broker.client();
    client.ask("basic.consume queue=amq.rabbitmq.reply-to no_ack", "basic.consume-ok");
    client.publish_with("routing_key=q", "reply_to=amq.rabbitmq.reply-to", b"x");
    wait::until("the request is there", || http.get("/api/queues/%2F/q").json["messages"] == 1);
    let taken = json!({ "count": 1, "ackmode": "ack_requeue_false", "encoding": "auto" });
    let request = http.post("/api/queues/%2F/q/get", &taken).is(200).json;
    let reply_to = request[0]["properties"]["reply_to"].as_str().expect("a text").to_owned();
    let explained = explain(&http, &json!({ "routing_key": reply_to }));
    assert_eq!((&explained["outcome"], &explained["queue_count"]), (&json!("queued"), &json!(1)));
    assert_eq!((&explained["queues"], &explained["hops"][0]["matched"]), (&json!([]), &json!([])));
}
