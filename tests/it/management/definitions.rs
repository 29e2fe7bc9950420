//! Exporting definitions from one broker and importing them into another.

use serde_json::{Value, json};

use super::Http;
use crate::harness::Broker;

fn filled(http: &Http) {
    http.user("u", "monitoring");
    http.put("/api/vhosts/v", &json!({ "description": "d" })).is(201);
    http.put("/api/queues/v/q", &json!({ "durable": true, "arguments": { "x-max-length": 5 } })).is(201);
    http.put("/api/exchanges/v/x", &json!({ "type": "topic", "durable": true })).is(201);
    http.put("/api/exchanges/v/y", &json!({ "type": "fanout", "durable": true })).is(201);
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
    http.get("/api/definitions/none").refused(404, "Object Not Found", "vhost_not_found");
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
    let dry = http.post("/api/definitions?dry_run", &file).is(200).json;
    assert_eq!(names(&dry), ["m", "p", "q", "q", "s"], "the dry run says the same: {dry}");
    http.get("/api/queues/%2F/good").is(404);
    let answer = http.post("/api/definitions", &file);
    answer.refused(400, "bad_request", "definitions: 5 refused, 1 created");
    assert_eq!(answer.json["conflicts"], dry["conflicts"]);
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

#[test]
fn what_does_not_survive_a_restart_and_what_is_said_twice_is_taken_in_too() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let binding = |source: &str, destination: &str| {
        json!({ "vhost": "v", "source": source, "destination": destination, "destination_type": "queue",
            "routing_key": "k", "arguments": {} })
    };
    let file = json!({
        "vhosts": [{ "name": "v" }],
        "exchanges": [
            { "vhost": "v", "name": "firm", "type": "topic" },
            { "vhost": "v", "name": "loose", "type": "topic", "durable": false },
        ],
        "queues": [
            { "vhost": "v", "name": "firm", "durable": true },
            { "vhost": "v", "name": "firm", "durable": true },
            { "vhost": "v", "name": "firm", "durable": true, "arguments": { "x-max-length": 1 } },
            { "vhost": "v", "name": "loose", "durable": false },
        ],
        "bindings": [
            binding("firm", "firm"), binding("firm", "loose"), binding("loose", "firm"), binding("none", "firm"),
        ],
    });
    let dry = http.post("/api/definitions?dry_run", &file).is(200).json;
    assert_eq!(dry["create"].as_array().map(Vec::len), Some(8), "{dry}");
    let answer = http.post("/api/definitions", &file).is(400).json;
    assert_eq!(answer["conflicts"], dry["conflicts"]);
    let conflicts: Vec<_> =
        answer["conflicts"].as_array().expect("a list").iter().map(|one| &one["kind"]).collect();
    assert_eq!(conflicts, ["queues", "bindings"], "{answer}");
    assert_eq!((&answer["created"], &answer["unchanged"]), (&json!(8), &json!(1)));
    assert_eq!(
        http.get("/api/bindings/v").json.as_array().map(Vec::len),
        Some(5),
        "with the two implicit ones"
    );
}

#[test]
fn two_thousand_queues_are_taken_in_with_few_syncs_and_are_there_after_a_kill() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    let queues: Vec<_> =
        (0..2000).map(|n| json!({ "vhost": "/", "name": format!("q{n}"), "durable": true })).collect();
    let bindings: Vec<_> = (0..2000)
        .map(|n| {
            json!({ "vhost": "/", "source": "amq.topic", "destination": format!("q{n}"),
                "destination_type": "queue", "routing_key": format!("k{n}"), "arguments": {} })
        })
        .collect();
    http.post("/api/definitions", &json!({ "queues": queues, "bindings": bindings })).is(204);
    broker.kill();
    broker.start_again();
    let http = Http::of(&broker);
    let totals = http.get("/api/overview").json["object_totals"].clone();
    assert_eq!(totals["queues"], json!(2000), "{totals}");
    assert_eq!(
        http.get("/api/exchanges/%2F/amq.topic/bindings/source").json.as_array().map(Vec::len),
        Some(2000)
    );
}

/// Definitions, many of them invalid, by kind, with `V` for the vhost.
const FAULTY: &[(&str, &str)] = &[
    ("users", r#"{"name":"u-V","password_hash":"","tags":"management"}"#),
    ("users", r#"{"name":"","password":"x","tags":""}"#),
    ("users", r#"{"name":"w-V","password_hash":"nonsense","tags":""}"#),
    ("users", r#"{"name":"l-V","password_hash":"","tags":"","limits":{"max-connections":"x"}}"#),
    ("permissions", r#"{"user":"u-V","vhost":"V","configure":".*","write":".*","read":".*"}"#),
    ("permissions", r#"{"user":"none","vhost":"V","configure":".*","write":".*","read":".*"}"#),
    ("permissions", r#"{"user":"guest","vhost":"V","configure":"(","write":".*","read":".*"}"#),
    ("permissions", r#"{"user":"guest","vhost":"none","configure":"","write":"","read":""}"#),
    ("topic_permissions", r#"{"user":"u-V","vhost":"V","exchange":"amq.topic","write":"a","read":"b"}"#),
    ("topic_permissions", r#"{"user":"guest","vhost":"V","exchange":"amq.topic","write":"(","read":"b"}"#),
    ("topic_permissions", r#"{"user":"none","vhost":"V","exchange":"amq.topic","write":"a","read":"b"}"#),
    ("global_parameters", r#"{"name":"g-V","value":1}"#),
    ("global_parameters", r#"{"name":"","value":1}"#),
    ("parameters", r#"{"vhost":"V","component":"vhost-limits","name":"limits","value":{"max-queues":3}}"#),
    ("parameters", r#"{"vhost":"V","component":"vhost-limits","name":"limits","value":{"none":3}}"#),
    ("parameters", r#"{"vhost":"V","component":"shovel","name":"s","value":{}}"#),
    ("parameters", r#"{"vhost":"none","component":"vhost-limits","name":"limits","value":{}}"#),
    (
        "parameters",
        r#"{"vhost":"V","component":"operator_policy","name":"o","value":{"pattern":"q","definition":{"max-length":1}}}"#,
    ),
    (
        "parameters",
        r#"{"vhost":"V","component":"operator_policy","name":"p","value":{"pattern":"q","definition":{"none":1}}}"#,
    ),
    ("policies", r#"{"vhost":"V","name":"p","pattern":"^q","definition":{"max-length":1}}"#),
    ("policies", r#"{"vhost":"V","name":"r","pattern":"(","definition":{"max-length":1}}"#),
    ("policies", r#"{"vhost":"V","name":"s","pattern":"q","definition":{"none":1}}"#),
    ("policies", r#"{"vhost":"none","name":"s","pattern":"q","definition":{"max-length":1}}"#),
    (
        "exchanges",
        r#"{"vhost":"V","name":"x","type":"topic","durable":true,"auto_delete":false,"internal":false,"arguments":{}}"#,
    ),
    (
        "exchanges",
        r#"{"vhost":"V","name":"t","type":"fanout","durable":false,"auto_delete":false,"internal":false,"arguments":{}}"#,
    ),
    (
        "exchanges",
        r#"{"vhost":"V","name":"n","type":"none","durable":true,"auto_delete":false,"internal":false,"arguments":{}}"#,
    ),
    (
        "exchanges",
        r#"{"vhost":"V","name":"m","type":"none","durable":false,"auto_delete":false,"internal":false,"arguments":{}}"#,
    ),
    (
        "exchanges",
        r#"{"vhost":"V","name":"amq.own","type":"topic","durable":true,"auto_delete":false,"internal":false,"arguments":{}}"#,
    ),
    (
        "exchanges",
        r#"{"vhost":"V","name":"amq.own2","type":"topic","durable":false,"auto_delete":false,"internal":false,"arguments":{}}"#,
    ),
    (
        "exchanges",
        r#"{"vhost":"V","name":"d","type":"x-delayed-message","durable":true,"auto_delete":false,"internal":false,"arguments":{}}"#,
    ),
    ("queues", r#"{"vhost":"V","name":"q1","durable":true,"auto_delete":false,"arguments":{}}"#),
    (
        "queues",
        r#"{"vhost":"V","name":"q2","durable":true,"auto_delete":false,"arguments":{"x-queue-type":"stream"}}"#,
    ),
    (
        "queues",
        r#"{"vhost":"V","name":"q3","durable":true,"auto_delete":false,"arguments":{"x-max-length":-1}}"#,
    ),
    ("queues", r#"{"vhost":"V","name":"q4","durable":false,"auto_delete":false,"arguments":{}}"#),
    (
        "queues",
        r#"{"vhost":"V","name":"q5","durable":false,"auto_delete":false,"arguments":{"x-message-ttl":"x"}}"#,
    ),
    ("queues", r#"{"vhost":"V","name":"q6","durable":true,"auto_delete":false,"arguments":{}}"#),
    ("queues", r#"{"vhost":"V","name":"q7","durable":false,"auto_delete":false,"arguments":{}}"#),
    ("queues", r#"{"vhost":"V","name":"q8","durable":true,"auto_delete":false,"arguments":{}}"#),
    ("queues", r#"{"vhost":"V","name":"amq.q","durable":true,"auto_delete":false,"arguments":{}}"#),
    ("queues", r#"{"vhost":"none","name":"q","durable":true,"auto_delete":false,"arguments":{}}"#),
    (
        "bindings",
        r#"{"vhost":"V","source":"x","destination":"q1","destination_type":"queue","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"x","destination":"q3","destination_type":"queue","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"x","destination":"none","destination_type":"queue","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"none","destination":"q1","destination_type":"queue","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"t","destination":"q1","destination_type":"queue","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"t","destination":"none","destination_type":"queue","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"x","destination":"q4","destination_type":"queue","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"x","destination":"t","destination_type":"exchange","routing_key":"a","arguments":{}}"#,
    ),
    (
        "bindings",
        r#"{"vhost":"V","source":"amq.headers","destination":"q1","destination_type":"queue","routing_key":"a","arguments":{"x-match":"none"}}"#,
    ),
];

#[test]
fn a_dry_run_tells_of_what_is_refused_and_of_nothing_else() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut random = 1_u64;
    for round in 0..12 {
        let vhost = format!("v{round}");
        let mut file = json!({ "vhosts": [{ "name": vhost }] });
        for (kind, definition) in FAULTY {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            // In the first round all of them.
            if round == 0 || random >> 63 == 1 {
                let definition: Value =
                    serde_json::from_str(&definition.replace('V', &vhost)).expect("a definition");
                if file[kind].is_null() {
                    file[kind] = json!([]);
                }
                file[kind].as_array_mut().expect("a list").push(definition);
            }
        }
        let dry = http.post("/api/definitions?dry_run", &file).is(200).json;
        let report = http.post("/api/definitions", &file);
        let conflicts = |report: &Value| -> Vec<String> {
            let all = report["conflicts"].as_array().cloned().unwrap_or_default();
            all.iter().map(ToString::to_string).collect()
        };
        assert_eq!(conflicts(&dry), conflicts(&report.json), "round {round}");
        // The same import again: what was accepted exists, what was refused is refused again.
        let again = http.post("/api/definitions", &file);
        assert_eq!(conflicts(&dry).len(), conflicts(&again.json).len(), "round {round}: {:#}", again.json);
    }
}
