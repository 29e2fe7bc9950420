//! `lint` of a real broker: what is found, by whom, and how long it takes. Each rule alone is tested beside the table.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;
use crate::wait;

/// Rules that found something, each with its first object's name.
fn found(report: &Value) -> BTreeMap<String, String> {
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    let findings = report["findings"].as_array().expect("a list").iter();
    findings.map(|one| (text(&one["rule"]), text(&one["objects"][0]["name"]))).collect()
}

/// Declares what most rules are about.
fn declare_carelessly(http: &Http) {
    for (queue, arguments) in [
        ("missing", json!({ "x-dead-letter-exchange": "none", "x-max-length": 1 })),
        ("nowhere", json!({ "x-dead-letter-exchange": "amq.fanout", "x-max-length": 1 })),
        (
            "work",
            json!({
                "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "wait", "x-max-length": 9,
            }),
        ),
        (
            "wait",
            json!({
                "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "work", "x-message-ttl": 99,
            }),
        ),
        ("boundless", json!({})),
    ] {
        let body = json!({ "durable": true, "arguments": arguments });
        http.put(&format!("/api/queues/%2F/{queue}"), &body).is(201);
    }
    let astray = json!({ "type": "fanout", "durable": true, "arguments": { "alternate-exchange": "none" } });
    http.put("/api/exchanges/%2F/astray", &astray).is(201);
    http.put("/api/exchanges/%2F/passing", &json!({ "type": "fanout", "durable": false })).is(201);
    http.post("/api/bindings/%2F/e/passing/q/boundless", &json!({})).is(201);
    let policy = json!({ "pattern": "^typo", "definition": { "max-length": 5 } });
    http.put("/api/policies/%2F/user", &policy).is(201);
    http.put("/api/operator-policies/%2F/operator", &policy).is(201);
}

#[test]
fn an_empty_broker_has_no_findings_and_a_careless_one_many() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let clean = http.get("/api/lint").is(200).json;
    assert_eq!(clean["findings"], json!([]));
    assert_eq!((&clean["examined"]["vhosts"], &clean["examined"]["exchanges"]), (&json!(1), &json!(7)));
    declare_carelessly(&http);
    let mut client = broker.client();
    for _ in 0..100 {
        client.publish("routing_key=boundless", b"x");
    }
    client.publish("exchange=astray", b"x");
    client.ask("basic.consume queue=work consumer_tag=greedy", "basic.consume-ok");
    wait::until("all is there", || http.get("/api/queues/%2F/boundless").json["messages"] == 100);
    let report = http.get("/api/lint").is(200).json;
    let wanted = [
        ("alternate-exchange-missing", "astray"),
        ("dead-letter-exchange-missing", "missing"),
        ("dead-letter-loop", "wait"),
        ("dead-letters-unroutable", "nowhere"),
        ("durable-queue-on-transient-exchange", "boundless"),
        ("exchange-without-binding", "astray"),
        ("operator-policy-without-effect", "operator"),
        ("policy-without-effect", "user"),
        ("prefetch-unlimited", "greedy"),
        ("queue-without-consumer", "boundless"),
        ("queue-without-limit", "boundless"),
        ("transient-messages-in-durable-queue", "boundless"),
    ];
    let wanted: BTreeMap<_, _> = wanted.iter().map(|(rule, name)| ((*rule).into(), (*name).into())).collect();
    let mut given = found(&report);
    // A reading may have come in between.
    given.remove("queue-growing-without-limit");
    assert_eq!(given, wanted);
    assert_eq!((&report["counts"]["error"], &report["counts"]["info"]), (&json!(2), &json!(3)));
    let docs = report["findings"][0]["documentation"].as_str().expect("a text");
    assert!(docs.starts_with("docs/lint.md#"), "{docs}");

    // Policies that apply, to a queue and to an exchange, are no finding.
    for (name, pattern) in [("user", "^boundless$"), ("other", "^astray$")] {
        let policy = json!({ "pattern": pattern, "definition": { "max-length": 5000 } });
        http.put(&format!("/api/policies/%2F/{name}"), &policy);
    }
    let rules: BTreeSet<_> = found(&http.get("/api/lint").is(200).json).into_keys().collect();
    assert!(!rules.contains("policy-without-effect") && !rules.contains("queue-without-limit"), "{rules:?}");
}

#[test]
fn users_find_what_they_may_see() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let (plain, monitor) = (http.user("plain", "management"), http.user("monitor", "monitoring"));
    http.put("/api/vhosts/v", &json!({})).is(201);
    http.put("/api/queues/v/hidden", &json!({ "durable": true })).is(201);
    http.put("/api/queues/%2F/shown", &json!({ "durable": true })).is(201);
    let mut client = broker.client();
    client.declare("queue=own exclusive");
    wait::until("the connection is listed", || {
        http.get("/api/connections").json.as_array().is_some_and(|connections| connections.len() == 1)
    });
    let queues = |http: &Http, path: &str| http.get(path).is(200).json["examined"]["queues"].clone();
    assert_eq!(queues(&plain, "/api/lint"), 2);
    assert_eq!(queues(&monitor, "/api/lint"), 3);
    assert_eq!(queues(&monitor, "/api/lint/v"), 1);
    let connections = |http: &Http| http.get("/api/lint").is(200).json["examined"]["connections"].clone();
    assert_eq!((connections(&plain), connections(&monitor)), (json!(0), json!(1)));
    plain.get("/api/lint/v").refused(401, "not_authorised", "not authorized to access virtual host");
    http.get("/api/lint/none").refused(404, "Object Not Found", "vhost_not_found");
}

#[test]
fn ten_thousand_queues_are_linted_in_seconds_at_most_and_listed_in_part() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let queues: Vec<_> = (0..10_000)
        .map(|number| {
            let arguments = json!({ "x-dead-letter-exchange": format!("none-{number}") });
            json!({ "name": format!("q{number}"), "vhost": "/", "durable": true, "arguments": arguments })
        })
        .collect();
    http.post("/api/definitions", &json!({ "queues": queues })).is(204);
    let (report, took) = wait::time(|| http.get("/api/lint").is(200).json);
    assert_eq!(report["findings"][0]["count"], 10_000);
    assert_eq!(report["findings"][0]["objects"].as_array().map(Vec::len), Some(20));
    assert!(took.as_secs() < 10, "{took:?}, without optimisation");
}

const HEAD: &str = "# Lint

`leveret ctl lint`, or `GET /api/lint` and `GET /api/lint/:vhost`, examines a running broker for likely mistakes: in the topology, in
queues, and in how clients use it. It reads counters and definitions; it changes nothing and publishes nothing. `leveret ctl lint` exits with
code 1 if anything of severity `warning` or `error` is found, so that it can be a step of a deployment:

<!-- run -->
```sh
leveret ctl lint --vhost /
curl -sf -u guest:guest http://127.0.0.1:15672/api/lint
```

- Findings are grouped by rule. Of each rule the first 20 objects are listed; all are counted.
- A user finds what the lists of the API show: objects of the virtual hosts where it has permissions, and its own connections; users with
  the tag `monitoring` or `administrator` find everything. Only they see the rate of connections opened and closed.
- One short lock is taken per queue, and the bindings of each virtual host are read once. A backlog is 100 ready messages or more; growth and
  stalls are those of the dashboard's overview. After a start, a queue is not reported as stalled before there are 30 s of history.
- Where the dead letters of a queue go is known if its dead-letter routing key is set, or if the dead-letter exchange is a fanout; otherwise
  it depends on the message ([explain](explain.md) answers it for one). At most 100 target queues are followed per queue.
- With more than 2,000,000 pairs of policies and exchanges in a virtual host, policies are taken to be in effect.

The rules, the gravest first (`GET /api/lint-rules`; `UPDATE=1 cargo test --test it management::lint` writes this list):
";

#[test]
fn the_page_lists_the_rules() {
    let broker = Broker::new();
    let rules = Http::of(&broker).get("/api/lint-rules").is(200).json;
    let mut text = HEAD.to_owned();
    for rule in rules.as_array().expect("a list") {
        let part = |name: &str| rule[name].as_str().expect("a text");
        let _ = write!(
            text,
            "\n## {}\n\nSeverity: {}. {}\n\n{}\n\n{}\n",
            part("rule"),
            part("severity"),
            part("title"),
            part("why"),
            part("advice")
        );
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lint.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, &text).expect("docs/lint.md is written");
    }
    let there = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(there == text, "docs/lint.md is old: UPDATE=1 cargo test --test it management::lint");
}
