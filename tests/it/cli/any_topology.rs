//! Arbitrary topologies, in each supported language: applied and exported without a difference.

use std::fs;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Map, Value, json};

use super::{Cli, Ended, run};
use crate::harness::Broker;
use crate::management::Http;

/// The language of a topology file.
#[derive(Clone, Copy, Debug)]
enum Language {
    Json,
    Yaml,
    Toml,
    /// `RabbitMQ`'s `definitions.json`.
    Definitions,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof!["[a-c]", "[a-z.]{1,5}", "[ -~]{1,6}", Just("ü: \"x\" #".to_owned())]
        .prop_filter("the broker keeps it", |name| !name.starts_with("amq."))
}

/// Every type of argument.
fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|flag| json!(flag)),
        name().prop_map(|text| json!(text)),
        (-1_000_000..1_000_000_i32).prop_map(|number| json!(f64::from(number) / 64.0)),
        Just(json!("")),
        Just(json!([1, "a", { "b": [true] }])),
        Just(json!({ "k": "v", "l": {}, "m": [] })),
        Just(Value::Null),
    ]
}

/// Settings available to both queues and policies.
fn setting() -> impl Strategy<Value = (&'static str, Value)> {
    let number = |name: &'static str, range: std::ops::Range<u64>| range.prop_map(move |n| (name, json!(n)));
    prop_oneof![
        number("max-length", 0..9),
        number("max-length-bytes", 0..1 << 40),
        number("message-ttl", 0..1_000_000),
        // Long enough to outlive the test.
        number("expires", 86_400_000..90_000_000),
        (-1..20_i64).prop_map(|limit| ("delivery-limit", json!(limit))),
        prop::sample::select(vec!["drop-head", "reject-publish", "reject-publish-dlx"])
            .prop_map(|word| ("overflow", json!(word))),
        prop::sample::select(vec!["disabled", "all", "failed", "returned"])
            .prop_map(|word| ("delayed-retry-type", json!(word))),
        number("delayed-retry-min", 0..1000),
        number("delayed-retry-max", 1000..90_000),
        number("consumer-timeout", 60_000..90_000),
        name().prop_map(|text| ("dead-letter-exchange", json!(text))),
        prop::sample::select(vec!["at-most-once", "at-least-once"])
            .prop_map(|word| ("dead-letter-strategy", json!(word))),
    ]
}

/// Settings available to operator policies.
const OF_OPERATORS: [&str; 6] =
    ["expires", "message-ttl", "max-length", "max-length-bytes", "delivery-limit", "overflow"];

fn queue() -> impl Strategy<Value = Value> {
    let own = prop_oneof![
        (0..9_u64).prop_map(|max| ("max-priority", json!(max))),
        any::<bool>().prop_map(|flag| ("single-active-consumer", json!(flag))),
        name().prop_map(|key| ("dead-letter-routing-key", json!(key))),
    ];
    let argument = prop_oneof![setting(), own];
    let unknown = prop::collection::btree_map("[a-z]{1,3}", value(), 0..3);
    let kind = prop::sample::select(vec![None, Some("classic"), Some("quorum")]);
    let flags = (any::<bool>(), any::<bool>());
    (kind, flags, prop::collection::vec(argument, 0..4), unknown).prop_map(
        |(kind, (durable, auto_delete), known, unknown)| {
            let mut arguments: Map<_, _> = unknown.into_iter().collect();
            arguments.extend(known.into_iter().map(|(name, value)| (format!("x-{name}"), value)));
            if arguments.contains_key("x-dead-letter-routing-key") {
                arguments.entry("x-dead-letter-exchange").or_insert_with(|| json!("dead"));
            }
            arguments.extend(kind.map(|kind| ("x-queue-type".to_owned(), json!(kind))));
            let lasting = kind == Some("quorum");
            json!({
                "durable": durable || lasting, "auto_delete": auto_delete && !lasting, "arguments": arguments,
            })
        },
    )
}

fn exchange() -> impl Strategy<Value = Value> {
    let kinds = vec![
        ("topic", json!({})),
        ("fanout", json!({})),
        ("direct", json!({})),
        ("headers", json!({})),
        ("x-delayed-message", json!({ "x-delayed-type": "topic" })),
        ("x-consistent-hash", json!({ "hash-header": "h" })),
        ("x-modulus-hash", json!({})),
        ("x-random", json!({})),
        ("x-recent-history", json!({ "x-recent-history-length": 5 })),
    ];
    let unknown = prop::collection::btree_map("[a-z]{1,3}", value(), 0..2);
    (prop::sample::select(kinds), any::<[bool; 3]>(), prop::option::of(name()), unknown).prop_map(
        |((kind, own), [durable, auto_delete, internal], alternate, unknown)| {
            let mut arguments: Map<_, _> = unknown.into_iter().collect();
            arguments.extend(own.as_object().cloned().unwrap_or_default());
            arguments.extend(alternate.map(|name| ("alternate-exchange".to_owned(), json!(name))));
            json!({
                "type": kind, "durable": durable, "auto_delete": auto_delete, "internal": internal,
                "arguments": arguments,
            })
        },
    )
}

fn policy(operator: bool) -> impl Strategy<Value = Value> {
    let to = prop::sample::select(vec!["all", "queues", "classic_queues", "quorum_queues", "exchanges"]);
    let pattern = prop::sample::select(vec!["", "^a", "[ab]+\\.\"#: {}", "ü$"]);
    (to, pattern, any::<i16>(), prop::collection::vec(setting(), 0..3)).prop_map(
        move |(to, pattern, priority, settings)| {
            let fits = |name: &&str| !operator || OF_OPERATORS.contains(name);
            let mut definition: Map<_, _> = settings
                .into_iter()
                .filter(|(name, _)| fits(name))
                .map(|(name, value)| (name.to_owned(), value))
                .collect();
            let mut to = to;
            if to == "exchanges" && !operator {
                definition = [("alternate-exchange".to_owned(), json!("other"))].into_iter().collect();
            } else if to == "exchanges" {
                to = "queues";
            }
            if definition.is_empty() {
                definition.insert("max-length".to_owned(), json!(7));
            }
            json!({ "pattern": pattern, "apply-to": to, "priority": priority, "definition": definition })
        },
    )
}

fn limits(names: [&'static str; 2]) -> impl Strategy<Value = Value> {
    any::<[Option<i8>; 2]>().prop_map(move |numbers| {
        let said =
            names.iter().zip(numbers).filter_map(|(name, n)| Some(((*name).to_owned(), json!(n?.max(-1)))));
        Value::Object(said.collect())
    })
}

fn user() -> impl Strategy<Value = Value> {
    let tags =
        prop::sample::subsequence(vec!["management", "monitoring", "policymaker", "administrator"], 0..=3);
    // RabbitMQ's own example: test12 with the salt 908DC60A.
    let hash = "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR";
    let secrets = vec![
        json!({}),
        json!({ "password": "s3cret" }),
        json!({ "password_hash": hash, "hashing_algorithm": "rabbit_password_hashing_sha256" }),
    ];
    let limits = limits(["max-connections", "max-channels"]);
    (tags, prop::sample::select(secrets), limits).prop_map(|(tags, mut user, limits)| {
        user["tags"] = json!(tags);
        user["limits"] = limits;
        user
    })
}

fn rights() -> impl Strategy<Value = [String; 3]> {
    let pattern = || prop::sample::select(vec!["", ".*", "^a\\.\"#: ", "ü|x"]).prop_map(str::to_owned);
    [pattern(), pattern(), pattern()]
}

fn by_name(body: impl Strategy<Value = Value>, most: usize) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::btree_map(name(), body, 0..most).prop_map(|map| map.into_iter().collect())
}

/// Index of an exchange, whether the destination is an exchange, the destination's index, key, arguments.
type Ends = (usize, bool, usize, String, Map<String, Value>);

/// Bindings between the objects of these maps.
fn bindings(given: &[Ends], exchanges: &Map<String, Value>, queues: &Map<String, Value>) -> Vec<Value> {
    let all = given.iter().filter_map(|(from, to_exchange, to, key, arguments)| {
        let (source, body) = exchanges.iter().nth(*from)?;
        let (destination, _) = if *to_exchange { exchanges } else { queues }.iter().nth(*to)?;
        // Its keys are weights.
        let weight = body["type"] == "x-consistent-hash";
        Some(json!({
            "source": source, "destination": destination, "routing_key": if weight { "2" } else { key },
            "destination_type": if *to_exchange { "exchange" } else { "queue" }, "arguments": arguments,
        }))
    });
    let mut once: Vec<Value> = Vec::new();
    let mut known = Vec::new();
    for binding in all {
        // TOML cannot express a null argument.
        let mut told = binding.clone();
        without_null(&mut told);
        if !known.contains(&told) {
            known.push(told);
            once.push(binding);
        }
    }
    once
}

prop_compose! {
    /// A vhost's contents, by section.
    fn vhosts()(
        queues in by_name(queue(), 4),
        exchanges in by_name(exchange(), 4),
        given in prop::collection::vec(
            (0..4_usize, any::<bool>(), 0..4_usize, name(), prop_oneof![
                Just(Map::new()),
                prop::collection::btree_map("[a-z]{1,3}", value(), 1..3).prop_map(|map| map.into_iter().collect()),
            ]), 0..6),
        policies in by_name(policy(false), 3),
        operator_policies in by_name(policy(true), 3),
        limits in limits(["max-connections", "max-queues"]),
        description in prop::option::of(name()),
        kind in prop::sample::select(vec![None, Some("classic"), Some("quorum")]),
        tags in prop::collection::btree_set("[a-z]{1,3}", 0..3),
    ) -> Value {
        // A vhost's limit may not be below its number of queues.
        let mut limits = limits;
        if limits["max-queues"].as_i64().is_some_and(|most| (0..9).contains(&most)) {
            limits["max-queues"] = json!(9);
        }
        let mut vhost = json!({
            "bindings": bindings(&given, &exchanges, &queues), "queues": queues, "exchanges": exchanges,
            "policies": policies, "operator_policies": operator_policies, "limits": limits, "tags": tags,
        });
        for (name, said) in [("description", description), ("default_queue_type", kind.map(str::to_owned))] {
            if let Some(said) = said {
                vhost[name] = json!(said);
            }
        }
        vhost
    }
}

prop_compose! {
    /// A topology file in long forms only.
    fn topologies()(
        vhost in vhosts(),
        users in prop::collection::btree_map(
            prop_oneof!["[a-f]{1,3}", Just("ü: #".to_owned())],
            (user(), prop::option::of(rights()), prop::collection::btree_map(name(), rights(), 0..3)),
            0..3,
        ),
        global in by_name(value(), 3),
    ) -> Value {
        let mut vhost = vhost;
        let (mut permissions, mut topics, mut accounts) = (Map::new(), Map::new(), Map::new());
        for (name, (user, all, topic)) in users {
            if let Some([configure, write, read]) = all {
                let rights = json!({ "configure": configure, "write": write, "read": read });
                permissions.insert(name.clone(), rights);
            }
            let topic = topic.into_iter().map(|(exchange, [write, read, _])| {
                (exchange, json!({ "write": write, "read": read }))
            });
            topics.insert(name.clone(), Value::Object(topic.collect()));
            accounts.insert(name, user);
        }
        vhost["permissions"] = permissions.into();
        vhost["topic_permissions"] = topics.into();
        json!({ "vhosts": { "v": vhost }, "users": accounts, "global_parameters": global })
    }
}

/// The members of a map, each as an object with its name.
fn named<'a>(map: &'a Value, more: &'a [(&str, Value)]) -> impl Iterator<Item = Value> + 'a {
    map.as_object().into_iter().flatten().map(move |(name, body)| {
        let mut body = body.clone();
        body["name"] = json!(name);
        for (member, value) in more {
            body[*member] = value.clone();
        }
        body
    })
}

/// The same as `RabbitMQ` writes it: limits and operator policies are parameters.
fn as_definitions(topology: &Value) -> Value {
    let vhost = &topology["vhosts"]["v"];
    let inside = [("vhost", json!("v"))];
    let of = |section: &str| named(&vhost[section], &inside).collect::<Vec<_>>();
    let mut parameters: Vec<_> = vhost["operator_policies"].as_object().into_iter().flatten().map(|(name, body)| {
        json!({ "vhost": "v", "component": "operator_policy", "name": name, "value": body })
    }).collect();
    let limits =
        json!({ "vhost": "v", "component": "vhost-limits", "name": "limits", "value": vhost["limits"] });
    parameters.push(limits);
    let mut bindings = vhost["bindings"].clone();
    bindings.as_array_mut().into_iter().flatten().for_each(|binding| binding["vhost"] = json!("v"));
    let permissions = vhost["permissions"].as_object().into_iter().flatten().map(|(user, body)| {
        let mut body = body.clone();
        (body["user"], body["vhost"]) = (json!(user), json!("v"));
        body
    });
    let topics =
        vhost["topic_permissions"].as_object().into_iter().flatten().flat_map(|(user, exchanges)| {
            exchanges.as_object().into_iter().flatten().map(move |(exchange, body)| {
                let mut body = body.clone();
                (body["user"], body["vhost"], body["exchange"]) = (json!(user), json!("v"), json!(exchange));
                body
            })
        });
    let metadata = json!({ "description": vhost["description"], "tags": vhost["tags"] });
    let vhosts = json!([{
        "name": "v", "metadata": metadata,
        "default_queue_type": vhost.get("default_queue_type").unwrap_or(&json!("undefined")),
    }]);
    let global = topology["global_parameters"].as_object().into_iter().flatten();
    let global: Vec<_> = global.map(|(name, value)| json!({ "name": name, "value": value })).collect();
    json!({
        "rabbitmq_version": "4.1.0", "vhosts": vhosts, "users": named(&topology["users"], &[]).collect::<Vec<_>>(),
        "global_parameters": global, "policies": of("policies"), "exchanges": of("exchanges"),
        "queues": of("queues"), "bindings": bindings, "parameters": parameters,
        "permissions": permissions.collect::<Vec<_>>(), "topic_permissions": topics.collect::<Vec<_>>(),
    })
}

/// The same in hand-written style: secrets by reference, arguments by their short names.
fn as_ours(topology: &Value) -> Value {
    let mut ours = topology.clone();
    for user in ours["users"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        if user.get("password").is_some() {
            user["password"] = json!({ "env": "SECRET" });
        }
    }
    for queue in ours["vhosts"]["v"]["queues"].as_object_mut().into_iter().flat_map(Map::values_mut) {
        let arguments = queue["arguments"].take();
        let arguments = arguments.as_object().into_iter().flatten();
        let (known, unknown): (Vec<_>, Vec<_>) = arguments.partition(|(name, _)| name.starts_with("x-"));
        for (name, value) in known {
            let short = name.trim_start_matches("x-").replace("queue-type", "type");
            queue[short] = value.clone();
        }
        queue["arguments"] = unknown.into_iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    }
    ours
}

/// Block style for maps and lists, JSON for the rest.
fn yaml(value: &Value, depth: usize) -> String {
    let line = |text: String| format!("\n{}{text}", "  ".repeat(depth));
    match value {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .map(|(name, value)| line(format!("{}: {}", json!(name), yaml(value, depth + 1))))
            .collect(),
        Value::Array(list) if !list.is_empty() => {
            list.iter().map(|value| line(format!("- {value}"))).collect()
        }
        other => other.to_string(),
    }
}

/// TOML has no null.
fn without_null(value: &mut Value) {
    match value {
        Value::Object(map) => {
            map.retain(|_, value| !value.is_null());
            map.values_mut().for_each(without_null);
        }
        Value::Array(list) => list.iter_mut().for_each(without_null),
        _ => {}
    }
}

/// A file's name and contents.
fn file(topology: &Value, language: Language) -> (&'static str, String) {
    match language {
        Language::Json => ("t.json", as_ours(topology).to_string()),
        Language::Yaml => ("t.yaml", yaml(&as_ours(topology), 0)),
        Language::Definitions => ("t.json", as_definitions(topology).to_string()),
        Language::Toml => {
            let mut ours = as_ours(topology);
            without_null(&mut ours);
            ("t.toml", toml::to_string(&ours).expect("TOML"))
        }
    }
}

/// As many topologies as time permits, applied to the same broker one after the other.
fn nothing_differs(language: Language) {
    let broker = Broker::new();
    let (cli, http) = (Cli::of(&broker), Http::of(&broker));
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("UTF-8").to_owned();
    let exported = path("out.yaml");
    let with_secret = |args: &[&str]| -> Ended {
        let mut command = cli.command(args);
        command.env("SECRET", "s3cret");
        run(command)
    };
    let config = Config { cases: 16, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&topologies(), |topology| {
        let (name, text) = file(&topology, language);
        let given = path(name);
        fs::write(&given, &text).expect("write");
        let all = || format!("{text}\n{}", fs::read_to_string(&exported).unwrap_or_default());
        let applied = with_secret(&["apply", "--yes", "--prune", "--force", &given]);
        prop_assert_eq!(applied.code, 0, "{}{}{}", applied.out, applied.err, text);
        println!("{}", applied.out.lines().last().unwrap_or_default());
        let held = http.get("/api/definitions").is(200).json;
        for section in ["queues", "exchanges", "policies", "bindings"] {
            let wanted = &topology["vhosts"]["v"][section];
            let wanted = wanted.as_object().map(Map::len).or(wanted.as_array().map(Vec::len));
            prop_assert_eq!(held[section].as_array().map(Vec::len), wanted, "{}: {}", section, text);
        }
        let plan = with_secret(&["plan", "--prune", &given]);
        prop_assert_eq!(plan.code, 0, "plan after apply: {}{}{}", plan.out, plan.err, text);
        prop_assert_eq!(cli.run(&["export", "--all", &exported]).code, 0, "export: {}", text);
        let plan = cli.run(&["plan", "--prune", "--prune-vhosts", &exported]);
        prop_assert_eq!(plan.code, 0, "plan after export: {}{}{}", plan.out, plan.err, all());
        http.delete("/api/vhosts/v");
        Ok(())
    });
    checked.expect("no difference");
}

#[test]
fn as_json_applied_and_exported_differs_in_nothing() {
    nothing_differs(Language::Json);
}

#[test]
fn as_yaml_applied_and_exported_differs_in_nothing() {
    nothing_differs(Language::Yaml);
}

#[test]
fn as_toml_applied_and_exported_differs_in_nothing() {
    nothing_differs(Language::Toml);
}

#[test]
fn as_definitions_applied_and_exported_differs_in_nothing() {
    nothing_differs(Language::Definitions);
}
