//! Tests every operation against its description: success, a name that does not exist, and a bad request. Permissions
//! are tested in `access.rs`.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Http;
use super::schemas::Schemas;
use crate::harness::Broker;
use crate::wait;

const PERMISSION: &str = r#"{"configure":".*","write":".*","read":".*"}"#;
const TOPIC: &str = r#"{"exchange":"amq.topic","write":".*","read":".*"}"#;
const RETRIED: &str =
    r#"{"durable":true,"arguments":{"x-delayed-retry-type":"all","x-delayed-retry-min":3600000}}"#;
const TO_RETRIED: &str =
    r#"{"routing_key":"retried","payload":"x","payload_encoding":"string","properties":{}}"#;
const MESSAGE: &str =
    r#"{"routing_key":"k","payload":"x","payload_encoding":"string","properties":{"headers":{"a":1}}}"#;
const LATER: &str = r#"{"routing_key":"k","payload":"x","payload_encoding":"string","properties":{"headers":{"x-delay":9000000}}}"#;
const LIMIT: &str = r#"{"value":5}"#;
const POLICY: &str = r#"{"pattern":"^q","definition":{"max-length":5}}"#;
const CHANGED: &str = r#"{"topology":{"vhosts":[{"name":"v","description":"another"}]}}"#;

/// Successful requests, in dependency order: method, path, body, status. In paths `{node}`, `{connection}`,
/// `{channel}`, `{port}` and `{id}` (of a delayed message) stand for the broker's names.
const SUCCEEDS: &[(&str, &str, &str, u16)] = &[
    ("PUT", "/api/vhosts/v", r#"{"description":"d"}"#, 201),
    ("PUT", "/api/vhosts/v", "{}", 204),
    ("GET", "/api/vhosts", "", 200),
    ("GET", "/api/vhosts/v", "", 200),
    ("POST", "/api/vhosts/v/deletion/protection", "", 204),
    ("DELETE", "/api/vhosts/v/deletion/protection", "", 204),
    ("PUT", "/api/users/u", r#"{"password":"pw","tags":"management"}"#, 201),
    ("GET", "/api/users/without-permissions", "", 200),
    ("GET", "/api/users", "", 200),
    ("GET", "/api/users/u", "", 200),
    ("PUT", "/api/permissions/%2F/u", PERMISSION, 201),
    ("PUT", "/api/permissions/%2F/u", PERMISSION, 204),
    ("GET", "/api/permissions", "", 200),
    ("GET", "/api/permissions/%2F/u", "", 200),
    ("GET", "/api/users/u/permissions", "", 200),
    ("GET", "/api/vhosts/%2F/permissions", "", 200),
    ("PUT", "/api/topic-permissions/%2F/u", TOPIC, 201),
    ("GET", "/api/topic-permissions", "", 200),
    ("GET", "/api/topic-permissions/%2F/u", "", 200),
    ("GET", "/api/topic-permissions/%2F/u/amq.topic", "", 200),
    ("GET", "/api/users/u/topic-permissions", "", 200),
    ("GET", "/api/vhosts/%2F/topic-permissions", "", 200),
    ("PUT", "/api/user-limits/u/max-channels", LIMIT, 204),
    ("GET", "/api/user-limits", "", 200),
    ("GET", "/api/user-limits/u", "", 200),
    ("GET", "/api/users/u", "", 200),
    ("PUT", "/api/vhost-limits/v/max-queues", LIMIT, 204),
    ("GET", "/api/vhost-limits", "", 200),
    ("GET", "/api/vhost-limits/v", "", 200),
    ("PUT", "/api/policies/%2F/p", POLICY, 201),
    ("GET", "/api/policies", "", 200),
    ("GET", "/api/policies/%2F", "", 200),
    ("GET", "/api/policies/%2F/p", "", 200),
    ("PUT", "/api/operator-policies/%2F/p", POLICY, 201),
    ("GET", "/api/operator-policies", "", 200),
    ("GET", "/api/operator-policies/%2F", "", 200),
    ("GET", "/api/operator-policies/%2F/p", "", 200),
    ("PUT", "/api/parameters/vhost-limits/v/limits", r#"{"value":{"max-queues":9}}"#, 204),
    ("GET", "/api/parameters", "", 200),
    ("GET", "/api/parameters/vhost-limits", "", 200),
    ("GET", "/api/parameters/vhost-limits/v", "", 200),
    ("GET", "/api/parameters/vhost-limits/v/limits", "", 200),
    ("DELETE", "/api/parameters/vhost-limits/v/limits", "", 204),
    ("PUT", "/api/global-parameters/g", r#"{"value":[1]}"#, 201),
    ("GET", "/api/global-parameters", "", 200),
    ("GET", "/api/global-parameters/g", "", 200),
    (
        "PUT",
        "/api/exchanges/%2F/x",
        r#"{"type":"x-delayed-message","arguments":{"x-delayed-type":"fanout"}}"#,
        201,
    ),
    ("PUT", "/api/exchanges/v/x", r#"{"type":"topic","durable":true}"#, 201),
    ("PUT", "/api/queues/%2F/q", r#"{"durable":true}"#, 201),
    ("PUT", "/api/queues/%2F/q", r#"{"durable":true}"#, 204),
    ("PUT", "/api/queues/v/quorum", r#"{"durable":true,"arguments":{"x-queue-type":"quorum"}}"#, 201),
    ("POST", "/api/bindings/%2F/e/amq.direct/q/q", r#"{"routing_key":"k"}"#, 201),
    ("POST", "/api/bindings/%2F/e/amq.direct/e/x", r#"{"routing_key":"other"}"#, 201),
    ("POST", "/api/bindings/v/e/x/q/quorum", r#"{"routing_key":"k"}"#, 201),
    ("POST", "/api/exchanges/%2F/amq.direct/publish", MESSAGE, 200),
    ("POST", "/api/exchanges/%2F/x/publish", LATER, 200),
    ("POST", "/api/exchanges/%2F/x/publish", LATER, 200),
    ("GET", "/api/exchanges/%2F/x/delayed", "", 200),
    ("GET", "/api/exchanges/%2F/x/delayed/{id}", "", 200),
    ("PUT", "/api/exchanges/%2F/x/delayed/{id}", r#"{"delay":9999999}"#, 204),
    ("POST", "/api/exchanges/%2F/x/delayed/{id}/release", "", 204),
    ("GET", "/api/exchanges/%2F/x", "", 200),
    ("DELETE", "/api/exchanges/%2F/x/delayed/{id}", "", 204),
    ("GET", "/api/exchanges", "", 200),
    ("GET", "/api/exchanges/%2F", "", 200),
    ("GET", "/api/exchanges?page=1&page_size=3", "", 200),
    ("GET", "/api/exchanges/%2F/amq.direct/bindings/source", "", 200),
    ("GET", "/api/exchanges/%2F/x/bindings/destination", "", 200),
    ("GET", "/api/exchanges/%2F/x/effective", "", 200),
    ("GET", "/api/queues", "", 200),
    ("GET", "/api/queues?disable_stats=true", "", 200),
    ("GET", "/api/queues?disable_stats=true&enable_queue_totals=true", "", 200),
    ("GET", "/api/queues/detailed", "", 200),
    ("GET", "/api/queues/v", "", 200),
    ("GET", "/api/queues/%2F/q?lengths_age=60&lengths_incr=5", "", 200),
    ("GET", "/api/queues/%2F/single", "", 200),
    ("GET", "/api/queues/%2F/q/effective", "", 200),
    ("GET", "/api/queues/%2F/q/bindings", "", 200),
    ("GET", "/api/bindings", "", 200),
    ("GET", "/api/bindings/%2F", "", 200),
    ("GET", "/api/bindings/%2F/e/amq.direct/q/q", "", 200),
    ("GET", "/api/bindings/%2F/e/amq.direct/q/q/k", "", 200),
    ("DELETE", "/api/bindings/%2F/e/amq.direct/q/q/k", "", 204),
    ("POST", "/api/queues/%2F/q/get", r#"{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}"#, 200),
    ("POST", "/api/queues/%2F/q/redrive", "{}", 200),
    ("PUT", "/api/queues/%2F/retried", RETRIED, 201),
    ("POST", "/api/exchanges/%2F/amq.default/publish", TO_RETRIED, 200),
    (
        "POST",
        "/api/queues/%2F/retried/get",
        r#"{"count":1,"ackmode":"reject_requeue_true","encoding":"auto"}"#,
        200,
    ),
    ("POST", "/api/queues/%2F/retried/get", r#"{"count":1,"ackmode":"peek","encoding":"auto"}"#, 200),
    ("POST", "/api/queues/%2F/retried/retry/release", "", 200),
    ("DELETE", "/api/queues/%2F/retried", "", 204),
    ("DELETE", "/api/queues/%2F/q/contents", "", 204),
    ("GET", "/api/connections", "", 200),
    ("GET", "/api/connections/{connection}", "", 200),
    ("GET", "/api/connections/{connection}/channels", "", 200),
    ("GET", "/api/connections/username/guest", "", 200),
    ("GET", "/api/vhosts/%2F/connections", "", 200),
    ("GET", "/api/vhosts/%2F/channels", "", 200),
    ("GET", "/api/channels", "", 200),
    ("GET", "/api/channels/{channel}", "", 200),
    ("GET", "/api/consumers", "", 200),
    ("GET", "/api/consumers/%2F", "", 200),
    ("GET", "/api/overview?lengths_age=60&lengths_incr=5", "", 200),
    ("PUT", "/api/cluster-name", r#"{"name":"c"}"#, 204),
    ("GET", "/api/cluster-name", "", 200),
    ("GET", "/api/version", "", 200),
    ("GET", "/api/extensions", "", 200),
    ("GET", "/api/whoami", "", 200),
    ("POST", "/api/login", r#"{"username":"guest","password":"guest"}"#, 200),
    ("POST", "/api/logout", "", 204),
    ("GET", "/api/auth/attempts/{node}", "", 200),
    ("GET", "/api/auth/attempts/{node}/source", "", 200),
    ("DELETE", "/api/auth/attempts/{node}", "", 204),
    ("DELETE", "/api/auth/attempts/{node}/source", "", 204),
    ("GET", "/api/auth/hash_password/secret", "", 200),
    ("GET", "/api/logs", "", 200),
    ("GET", "/api/nodes", "", 200),
    ("GET", "/api/nodes/{node}", "", 200),
    ("GET", "/api/nodes/{node}/memory", "", 200),
    ("GET", "/api/definitions", "", 200),
    ("GET", "/api/definitions/v", "", 200),
    ("GET", "/api/all-configuration", "", 200),
    ("GET", "/api/all-configuration/%2F", "", 200),
    (
        "POST",
        "/api/definitions?dry_run=true",
        r#"{"vhosts":[{"name":"w"}],"queues":[{"name":"q","vhost":"none"}]}"#,
        200,
    ),
    ("POST", "/api/definitions", r#"{"vhosts":[{"name":"w"}]}"#, 204),
    ("POST", "/api/definitions/v?dry_run=true", r#"{"queues":[{"name":"a"}]}"#, 200),
    ("POST", "/api/definitions/v", r#"{"queues":[{"name":"a"}]}"#, 204),
    ("POST", "/api/all-configuration", "{}", 204),
    ("POST", "/api/all-configuration/v", "{}", 204),
    ("POST", "/api/topology/plan", CHANGED, 200),
    ("POST", "/api/topology/apply", CHANGED, 200),
    ("GET", "/api/topology/drift", "", 200),
    ("GET", "/api/aliveness-test/%2F", "", 200),
    ("GET", "/api/health/checks/is-in-service", "", 200),
    ("GET", "/api/health/checks/ready-to-serve-clients", "", 200),
    ("GET", "/api/health/checks/reached-target-cluster-size", "", 200),
    ("GET", "/api/health/checks/below-node-connection-limit", "", 200),
    ("GET", "/api/health/checks/alarms", "", 200),
    ("GET", "/api/health/checks/local-alarms", "", 200),
    ("GET", "/api/health/checks/lost", "", 200),
    ("GET", "/api/lost/queues", "", 200),
    ("GET", "/api/lost/definitions", "", 200),
    ("GET", "/api/health/checks/virtual-hosts", "", 200),
    ("GET", "/api/health/checks/port-listener/{port}", "", 200),
    ("GET", "/api/health/checks/port-listener/1", "", 503),
    ("GET", "/api/health/checks/protocol-listener/amqp", "", 200),
    ("GET", "/api/health/checks/protocol-listener/mqtt", "", 503),
    ("GET", "/api/health/checks/certificate-expiration/1/months", "", 200),
    ("GET", "/api/health/checks/node-is-quorum-critical", "", 200),
    ("GET", "/api/health/checks/node-is-mirror-sync-critical", "", 200),
    ("GET", "/api/health/checks/metadata-store/initialized", "", 200),
    ("GET", "/api/health/checks/metadata-store/initialized/with-data", "", 200),
    ("GET", "/api/health/checks/quorum-queues-without-elected-leaders/vhost/%2F/pattern/q", "", 200),
    ("GET", "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/q", "", 200),
    ("GET", "/api/healthchecks/node", "", 200),
    ("GET", "/api/healthchecks/node/{node}", "", 200),
    ("GET", "/api/feature-flags", "", 200),
    ("GET", "/api/deprecated-features", "", 200),
    ("GET", "/api/deprecated-features/used", "", 200),
    ("GET", "/api/shovels", "", 200),
    ("GET", "/api/shovels/%2F", "", 200),
    ("GET", "/api/federation-links", "", 200),
    ("GET", "/api/federation-links/%2F", "", 200),
    (
        "PUT",
        "/api/exchanges/v/dedup",
        r#"{"type":"topic","durable":true,"arguments":{"x-message-deduplication":true,"alternate-exchange":"none"}}"#,
        201,
    ),
    (
        "PUT",
        "/api/queues/v/mortal",
        r#"{"durable":true,"arguments":{"x-dead-letter-exchange":"dedup","x-message-deduplication":true}}"#,
        201,
    ),
    ("POST", "/api/bindings/v/e/dedup/e/x", r#"{"routing_key":"k.#"}"#, 201),
    ("POST", "/api/bindings/v/e/x/q/mortal", r#"{"routing_key":"\u0023"}"#, 201),
    ("POST", "/api/bindings/v/e/x/q/quorum", r#"{"routing_key":"other.*"}"#, 201),
    ("POST", "/api/bindings/v/e/amq.headers/q/quorum", r#"{"arguments":{"h":1}}"#, 201),
    ("GET", "/api/explain/v?exchange=dedup&routing_key=k&headers=%7B%22a%22%3A1%7D&user=u", "", 200),
    ("GET", "/api/explain/v?exchange=amq.headers", "", 200),
    ("POST", "/api/explain/v", r#"{"exchange":"none","properties":{"headers":{"a":1}}}"#, 200),
    ("GET", "/api/lint", "", 200),
    ("GET", "/api/lint/v", "", 200),
    ("GET", "/api/lint-rules", "", 200),
    ("DELETE", "/api/policies/%2F/p", "", 204),
    ("DELETE", "/api/operator-policies/%2F/p", "", 204),
    ("DELETE", "/api/vhost-limits/v/max-queues", "", 204),
    ("DELETE", "/api/user-limits/u/max-channels", "", 204),
    ("DELETE", "/api/global-parameters/g", "", 204),
    ("DELETE", "/api/topic-permissions/%2F/u/amq.topic", "", 204),
    ("PUT", "/api/topic-permissions/%2F/u", TOPIC, 201),
    ("DELETE", "/api/topic-permissions/%2F/u", "", 204),
    ("DELETE", "/api/permissions/%2F/u", "", 204),
    ("DELETE", "/api/queues/%2F/q", "", 204),
    ("DELETE", "/api/exchanges/%2F/x", "", 204),
    ("DELETE", "/api/connections/{connection}", "", 204),
    ("DELETE", "/api/connections/username/guest", "", 204),
    ("DELETE", "/api/users/u", "", 204),
    ("POST", "/api/users/bulk-delete", r#"{"users":["u"]}"#, 204),
    ("DELETE", "/api/vhosts/v", "", 204),
];

/// Operations that cannot succeed, or whose endless answer is tested elsewhere.
const NEVER_SUCCEEDS: &[(&str, &str, &str)] = &[
    ("put", "/api/lost/queues/{id}", "nothing is lost here: ../lost.rs"),
    ("delete", "/api/lost/queues/{id}", "nothing is lost here: ../lost.rs"),
    ("get", "/api/events", "the stream has no end: live.rs"),
    ("get", "/api/livelog", "the stream has no end: ../logs.rs"),
    ("get", "/api/shovels/vhost/{vhost}/{name}", "there are none"),
    ("put", "/api/shovels/vhost/{vhost}/{name}", "there are none"),
    ("delete", "/api/shovels/vhost/{vhost}/{name}", "there are none"),
];

/// Operations that find or create their object, whatever the name.
const NEVER_MISSING: &[(&str, &str, &str)] = &[
    ("get", "/api/auth/hash_password/{password}", "any text can be hashed"),
    ("put", "/api/vhosts/{vhost}", "makes it"),
    ("put", "/api/users/{user}", "makes it"),
    ("put", "/api/global-parameters/{name}", "makes it"),
    ("put", "/api/topic-permissions/{vhost}/{user}", "400, as in RabbitMQ"),
    ("put", "/api/permissions/{vhost}/{user}", "400, as in RabbitMQ"),
    ("put", "/api/user-limits/{user}/{limit}", "400, as in RabbitMQ"),
    ("get", "/api/queues/{vhost}/{name}/bindings", "what is not there has no bindings"),
    ("get", "/api/exchanges/{vhost}/{name}/bindings/source", "what is not there has no bindings"),
    ("get", "/api/exchanges/{vhost}/{name}/bindings/destination", "what is not there has no bindings"),
    ("get", "/api/bindings/{vhost}/e/{source}/{kind}/{destination}", "what is not there has no bindings"),
    ("put", "/api/shovels/vhost/{vhost}/{name}", "refused whatever the name"),
    ("get", "/api/connections/username/{user}", "a user without connections has an empty list"),
    ("delete", "/api/connections/username/{user}", "none is closed"),
    ("get", "/api/parameters/{component}", "a component without parameters has an empty list"),
    ("get", "/api/health/checks/port-listener/{port}", "503: it is not listened on"),
    ("get", "/api/health/checks/protocol-listener/{protocol}", "503: it is not spoken"),
    ("get", "/api/health/checks/certificate-expiration/{within}/{unit}", "names nothing"),
    (
        "get",
        "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}",
        "names nothing",
    ),
    (
        "get",
        "/api/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}",
        "always well",
    ),
];

/// Operations without input that could be wrong, or that ignore it.
const NEVER_BAD: &[(&str, &str)] = &[
    ("get", "/api/health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}"),
    ("get", "/api/health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}"),
    ("get", "/api/cluster-name"),
    ("get", "/api/definitions"),
    ("get", "/api/all-configuration"),
    ("get", "/api/health/checks/alarms"),
    ("get", "/api/health/checks/below-node-connection-limit"),
    ("get", "/api/health/checks/is-in-service"),
    ("get", "/api/health/checks/local-alarms"),
    ("get", "/api/health/checks/lost"),
    ("get", "/api/health/checks/metadata-store/initialized"),
    ("get", "/api/health/checks/metadata-store/initialized/with-data"),
    ("get", "/api/health/checks/node-is-mirror-sync-critical"),
    ("get", "/api/health/checks/node-is-quorum-critical"),
    ("get", "/api/health/checks/reached-target-cluster-size"),
    ("get", "/api/health/checks/ready-to-serve-clients"),
    ("get", "/api/health/checks/virtual-hosts"),
    ("get", "/api/healthchecks/node"),
    ("get", "/api/lint"),
    ("get", "/api/overview"),
    ("get", "/api/topology/drift"),
    ("get", "/api/version"),
    ("get", "/api/whoami"),
    ("post", "/api/logout"),
];

/// Members that a healthy broker without a declared topology never shows.
const NEVER_SEEN: &[&str] = &[
    "Drift.file",
    "Drift.unchanged",
    "HealthCheck.alarms",
    "HealthCheck.connections",
    "HealthCheck.expired",
    "HealthCheck.limit",
    "LastKnown.arguments",
    "LastKnown.kind",
    "LastKnown.name",
    "LastKnown.vhost",
    "LostDefinition.definition",
    "LostDefinition.reason",
    "LostQueue.id",
    "LostQueue.last_known",
    "LostQueue.message_bytes",
    "LostQueue.messages",
    "Step.place",
];

struct Operation {
    method: String,
    path: String,
    described: Value,
}

fn operations(description: &Value) -> Vec<Operation> {
    let paths = description["paths"].as_object().expect("paths");
    let of_path = paths.iter().flat_map(|(path, item)| {
        item.as_object().into_iter().flatten().map(|(method, described)| Operation {
            method: method.clone(),
            path: path.clone(),
            described: described.clone(),
        })
    });
    of_path.collect()
}

impl Operation {
    fn is(&self, method: &str, path: &str) -> bool {
        self.method == method && self.path == path
    }

    /// The number of placeholders in this operation's path, if `path` matches it.
    fn stands_for(&self, method: &str, path: &str) -> Option<usize> {
        let path = path.split('?').next().expect("a path");
        let (ours, theirs): (Vec<_>, Vec<_>) = (self.path.split('/').collect(), path.split('/').collect());
        let same = |(our, their): (&&str, &&str)| our == their || our.starts_with('{');
        let fits = self.method.eq_ignore_ascii_case(method)
            && ours.len() == theirs.len()
            && ours.iter().zip(&theirs).all(same);
        fits.then(|| ours.iter().filter(|name| name.starts_with('{')).count())
    }

    /// The path with each placeholder replaced.
    fn at(&self, name: impl Fn(&str) -> String) -> String {
        let parts = self.path.split('/').map(|part| {
            part.strip_prefix('{').and_then(|part| part.strip_suffix('}')).map_or(part.to_owned(), &name)
        });
        parts.collect::<Vec<_>>().join("/")
    }
}

/// The broker, with clients, one of which holds an exclusive queue.
fn scene(http: &Http, broker: &Broker) -> Vec<crate::raw::Client> {
    let mut one = broker.client();
    one.declare("queue=single arguments={x-single-active-consumer:true} exclusive");
    one.ask("basic.consume queue=single consumer_tag=c", "basic.consume-ok");
    let two = broker.client();
    wait::until("both clients are listed", || {
        http.get("/api/channels").json.as_array().is_some_and(|channels| channels.len() == 2)
    });
    wait::until("the queue was read", || http.get("/api/queues/%2F/single").json["idle_since"].is_string());
    vec![one, two]
}

fn filled(http: &Http, broker: &Broker, path: &str) -> String {
    let mut path = path.to_owned();
    let quoted = |name: &Value| {
        name.as_str().expect("a name").replace('@', "%40").replace(' ', "%20").replace('>', "%3E")
    };
    let facts: [(&str, &dyn Fn() -> String); 5] = [
        ("{node}", &|| quoted(&http.get("/api/nodes").json[0]["name"])),
        ("{connection}", &|| quoted(&http.get("/api/connections").json[0]["name"])),
        ("{channel}", &|| quoted(&http.get("/api/channels").json[0]["name"])),
        ("{port}", &|| broker.amqp.port().to_string()),
        ("{id}", &|| quoted(&http.get("/api/exchanges/%2F/x/delayed").json["items"][0]["id"])),
    ];
    for (name, fact) in facts {
        if path.contains(name) {
            path = path.replace(name, &fact());
        }
    }
    path
}

#[test]
fn every_operation_answers_as_it_is_described() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let description = http.get("/api/openapi.json").is(200).json;
    let operations = operations(&description);
    let mut schemas = Schemas::of(&description);
    let _clients = scene(&http, &broker);
    let mut done = BTreeSet::new();
    for (method, path, body, status) in SUCCEEDS {
        let answer = http.call(method, &filled(&http, &broker, path), &[], body);
        assert_eq!(answer.status, *status, "{method} {path}: {}", answer.text);
        let fits = operations.iter().filter_map(|known| Some((known.stands_for(method, path)?, known)));
        let (_, operation) = fits.min_by_key(|(names, _)| *names).expect("it is described");
        done.insert((operation.method.clone(), operation.path.clone()));
        let described = &operation.described["responses"][status.to_string()];
        assert!(described.is_object(), "{method} {path}: {status} is not described");
        match &described["content"]["application/json"]["schema"] {
            Value::Null => assert!(answer.text.is_empty(), "{method} {path} answers {}", answer.text),
            schema => schemas
                .check(&answer.json, schema, path)
                .unwrap_or_else(|why| panic!("{method} {path}: {why}")),
        }
    }
    let never: BTreeSet<_> = NEVER_SUCCEEDS.iter().map(|(method, path, _)| (*method, *path)).collect();
    let untested: Vec<_> = operations
        .iter()
        .filter(|known| {
            let tested = done.contains(&(known.method.clone(), known.path.clone()));
            tested == never.contains(&(known.method.as_str(), known.path.as_str()))
        })
        .map(|known| format!("{} {}", known.method, known.path))
        .collect();
    assert!(untested.is_empty(), "neither tested nor excused, or both: {untested:#?}");
    assert_eq!(schemas.unseen(), NEVER_SEEN, "described, and in no answer");
}

#[test]
fn every_operation_says_when_there_is_none_of_that_name() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let description = http.get("/api/openapi.json").is(200).json;
    let mut complaints = Vec::new();
    let bodies: Vec<_> = SUCCEEDS.iter().filter(|(.., body, _)| !body.is_empty()).collect();
    for (number, operation) in operations(&description).into_iter().enumerate() {
        // Some operations create what they name.
        let none = format!("none-{number}");
        let named = operation.path.contains('{');
        let path = operation.at(|name| if name == "kind" { "q".to_owned() } else { none.clone() });
        let never = NEVER_MISSING.iter().any(|(method, path, _)| operation.is(method, path));
        assert!(named || !never, "{} {path} needs no excuse", operation.method);
        if !named {
            continue;
        }
        let body = bodies.iter().find(|(method, path, ..)| operation.stands_for(method, path).is_some());
        // The last name is a valid one: an existing limit.
        let path = path.replace(&format!("limits/{none}/{none}"), &format!("limits/{none}/max-connections"));
        let method = operation.method.to_uppercase();
        let answer = http.call(&method, &path, &[], body.map_or("", |(.., body, _)| body));
        let missing = answer.status == 404
            && ["Object Not Found", "not_found"].iter().any(|error| answer.json["error"] == *error)
            && answer.json["reason"].is_string();
        if missing == never {
            complaints.push(format!("{method} {path}: {} {}", answer.status, answer.text));
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}

#[test]
fn every_operation_refuses_what_is_wrong() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let description = http.get("/api/openapi.json").is(200).json;
    let mut complaints = Vec::new();
    for operation in operations(&description) {
        let method = operation.method.to_uppercase();
        let path = operation.at(|_| "%2F".to_owned());
        let mut wrong = Vec::new();
        if operation.path.contains('{') {
            wrong.push((operation.at(|_| "%FF".to_owned()), "{}"));
        }
        if operation.described["requestBody"].is_object() {
            wrong.extend([(path.clone(), "[]"), (path.clone(), "{")]);
        }
        let parameters = operation.described["parameters"].as_array();
        for parameter in parameters.into_iter().flatten().filter(|parameter| parameter["in"] == "query") {
            match parameter["name"].as_str() {
                Some("page") if !operation.path.contains('{') => wrong.push((format!("{path}?page=0"), "")),
                Some("after" | "level") if !operation.path.contains('{') => {
                    wrong.push((
                        format!("{path}?{}=none", parameter["name"].as_str().unwrap_or_default()),
                        "",
                    ));
                }
                Some("watch") => wrong.push((format!("{path}?watch=none"), "")),
                _ => {}
            }
        }
        let never = NEVER_BAD.iter().any(|(method, path)| operation.is(method, path));
        assert!(!wrong.is_empty() || never, "{method} {path} is neither tested nor excused");
        for (path, body) in wrong {
            let answer = http.call(&method, &path, &[], body);
            let refused =
                answer.status == 400 && answer.json["error"].is_string() && answer.json["reason"].is_string();
            if refused == never {
                complaints.push(format!("{method} {path} {body}: {} {}", answer.status, answer.text));
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints:#?}");
}
