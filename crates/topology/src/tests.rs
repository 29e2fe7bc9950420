//! Reading, writing and comparing combined.

use std::path::Path;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;

/// Made-up secrets.
struct Known;

impl Secrets for Known {
    fn variable(&self, name: &str) -> Result<String, String> {
        if name == "SECRET" { Ok("s3cret".to_owned()) } else { Err(format!("{name} is not set")) }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        Err(format!("{} is not there", path.display()))
    }
}

/// A broker without any knowledge.
struct Plain;

impl World for Plain {
    fn password_is(&self, _: &str, live: &Map<String, Value>, password: &str) -> bool {
        live.get("password_hash").is_some_and(|hash| hash == &format!("hash of {password}"))
    }

    fn in_use(&self, id: &Id) -> Option<String> {
        (id.part(0) == "busy").then(|| "3 messages".to_owned())
    }

    fn caller(&self) -> Option<&str> {
        Some("me")
    }
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    folder
}

fn file(name: &str, text: &str) -> Result<Topology, String> {
    let folder = folder(&[(name, text)]);
    let read = read(&folder.path().join(name), &Known);
    // Without the folder, which differs each time.
    read.map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn yaml(text: &str) -> Topology {
    file("t.yaml", text).unwrap()
}

/// A file's objects, without their places.
fn said(topology: &Topology) -> Vec<(String, Value)> {
    let objects = topology.objects.iter();
    objects.map(|(id, object)| (id.to_string(), object.body.clone().into())).collect()
}

const SHORT: &str = r##"
exchanges:
  events: topic
  audit:
    type: fanout
    bindings:
      - -> log
queues:
  orders: quorum
  log:
  mail: {max-length: 5, message-ttl: 1h, arguments: {x-unknown: [1, a]}}
bindings:
  events -> orders: [order.created, "order.paid.#"]
  events -> exchange audit: "#"
"##;

const LONG: &str = r##"{
  "rabbitmq_version": "3.13.0",
  "vhosts": [{"name": "/"}],
  "exchanges": [
    {"vhost": "/", "name": "events", "type": "topic", "durable": true, "auto_delete": false, "internal": false, "arguments": {}},
    {"vhost": "/", "name": "audit", "type": "fanout"}
  ],
  "queues": [
    {"vhost": "/", "name": "orders", "arguments": {"x-queue-type": "quorum"}},
    {"vhost": "/", "name": "log", "arguments": {}},
    {"vhost": "/", "name": "mail", "arguments": {"x-max-length": 5, "x-message-ttl": 3600000, "x-unknown": [1, "a"]}}
  ],
  "bindings": [
    {"vhost": "/", "source": "events", "destination": "orders", "destination_type": "queue", "routing_key": "order.created"},
    {"vhost": "/", "source": "events", "destination": "orders", "destination_type": "queue", "routing_key": "order.paid.#"},
    {"vhost": "/", "source": "events", "destination": "audit", "destination_type": "exchange", "routing_key": "#"},
    {"vhost": "/", "source": "audit", "destination": "log", "destination_type": "queue", "routing_key": ""},
    {"vhost": "/", "source": "", "destination": "log", "destination_type": "queue", "routing_key": "log"}
  ]
}"##;

const IN_TOML: &str = r##"
[vhosts."/"]
exchanges.events = "topic"
exchanges.audit = { type = "fanout", bindings = ["-> log"] }
queues = { orders = "quorum", log = {}, mail = { max-length = 5, message-ttl = "1h", arguments = { x-unknown = [1, "a"] } } }

[[vhosts."/".bindings]]
from = "events"
to = "orders"
key = "order.created"

[[vhosts."/".bindings]]
"events -> orders" = "order.paid.#"
"events -> exchange audit" = "#"
"##;

#[test]
fn short_and_long_forms_in_every_language_say_the_same() {
    let short = yaml(SHORT);
    assert_eq!(said(&short), said(&file("d.json", LONG).unwrap()));
    assert_eq!(said(&short), said(&file("t.toml", IN_TOML).unwrap()));
    let names: Vec<_> = said(&short).into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "vhost /",
            "exchange audit in vhost /",
            "exchange events in vhost /",
            "queue log in vhost /",
            "queue mail in vhost /",
            "queue orders in vhost /",
            "binding audit -> log in vhost /",
            "binding events -> exchange audit: # in vhost /",
            "binding events -> orders: order.created in vhost /",
            "binding events -> orders: order.paid.# in vhost /",
        ]
    );
}

#[test]
fn users_have_secrets_by_reference_and_permissions_in_words() {
    let topology = yaml(
        "users:\n  app:\n    password: {env: SECRET}\n    tags: monitoring, management\n    limits: {max-channels: 5}\n    \
         permissions: {shop: read-write}\n  other: {password_hash: abc}\nvhosts:\n  shop:\n    permissions:\n      other: \
         {configure: ^a}\n    topic_permissions: {app: {amq.topic: {write: ^x}}}\n    limits: {max-queues: 7}\n",
    );
    let body = |id: Id| Value::Object(topology.objects[&id].body.clone());
    assert_eq!(
        body(Id::new(Kind::User, "", "app")),
        json!({"password": "s3cret", "tags": ["monitoring", "management"]})
    );
    assert_eq!(body(Id::new(Kind::User, "", "other"))["hashing_algorithm"], "rabbit_password_hashing_sha256");
    assert_eq!(
        body(Id::new(Kind::Permission, "shop", "app")),
        json!({"configure": "", "write": ".*", "read": ".*"})
    );
    assert_eq!(body(Id::new(Kind::Permission, "shop", "other"))["configure"], "^a");
    assert_eq!(body(Id::pair(Kind::TopicPermission, "shop", "app", "amq.topic"))["write"], "^x");
    assert_eq!(body(Id::new(Kind::VhostLimits, "shop", "shop"))["max-queues"], 7);
    assert!(topology.governs.users && topology.governs.permissions && !topology.governs.global_parameters);
}

#[test]
fn a_folder_is_one_topology_and_what_is_said_twice_is_told_with_both_places() {
    let files = [
        ("a.yaml", "vhosts:\n  shop:\n    description: Shop\n    queues: {a: }\n"),
        ("sub/b.toml", "vhost = \"shop\"\n[queues]\nb = {}\n"),
        ("sub/ignored.txt", "?"),
        (".hidden.yaml", "?"),
    ];
    let one = folder(&files);
    let topology = read(one.path(), &Known).unwrap();
    let names: Vec<_> = topology.objects.keys().map(Id::to_string).collect();
    assert_eq!(names, ["vhost shop", "queue a in vhost shop", "queue b in vhost shop"]);
    assert_eq!(topology.objects[&Id::vhost("shop")].body["description"], "Shop");

    let two = folder(&[files[0], ("b.yaml", "vhosts:\n  shop:\n    queues:\n      c:\n      a:\n")]);
    let error = read(two.path(), &Known).unwrap_err().to_string();
    let (b, a) = (two.path().join("b.yaml"), two.path().join("a.yaml"));
    let want =
        format!("{}:5: queue a in vhost shop stands here twice, first in {}:4", b.display(), a.display());
    assert_eq!(error, want);
    let other = "vhosts:\n  shop:\n    description: Another\n";
    let error = read(folder(&[files[0], ("b.yaml", other)]).path(), &Known).unwrap_err().to_string();
    assert!(error.ends_with("b.yaml:2: vhost shop: another description than in other files"), "{error}");
    let none = folder(&[]);
    assert!(
        read(none.path(), &Known).unwrap_err().to_string().contains("no .yaml, .yml, .toml or .json file")
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_complaint_names_file_line_and_reason() {
    for (name, text, want) in [
        ("t.yaml", "queus: {}", "t.yaml:1: unknown key \"queus\", did you mean \"queues\"?"),
        (
            "t.yaml",
            "queues:\n  a:\n    max-lenght: 5\n",
            "t.yaml:3: queues.a: unknown key \"max-lenght\", did you mean \"max-length\"?",
        ),
        (
            "t.yaml",
            "queues:\n  a:\n    max-length: many\n",
            "t.yaml:3: queues.a.max-length: invalid type: string \"many\", expected u64",
        ),
        (
            "t.yaml",
            "queues:\n  a: quorm\n",
            "t.yaml:2: queues.a: unknown type \"quorm\", did you mean \"quorum\"?",
        ),
        (
            "t.yaml",
            "queues:\n\n  a:\n    message-ttl: 5y\n",
            "t.yaml:4: queues.a.message-ttl: \"5y\" is not a time as in 30s, 5m, 1h, 7d",
        ),
        (
            "t.yaml",
            "queues:\n  a:\n    max-length: 1\n    arguments: {x-max-length: 2}\n",
            "t.yaml:2: queues.a: \"max-length\" and arguments.x-max-length say the same; keep one",
        ),
        (
            "t.yaml",
            "queues:\n  amq.q:\n",
            "t.yaml:2: queues.amq.q: names that begin with amq. belong to the broker",
        ),
        ("t.yaml", "queues:\n  - a\n", "t.yaml:1: queues: invalid type: sequence, expected a map"),
        ("t.yaml", "queues:\n  a:\n  b:\n  a:\n", "t.yaml:4: \"a\" stands here twice, first in line 2"),
        (
            "t.yaml",
            "exchanges:\n  x:\n    type: topic\n    durble: true\n",
            "t.yaml:4: exchanges.x: unknown key \"durble\", did you mean \"durable\"?",
        ),
        (
            "t.yaml",
            "bindings:\n  a -> b: k\n  c: k\n",
            "t.yaml:3: bindings: \"c\" is not a binding as in \"exchange -> queue\" or \"exchange -> queue: key\"",
        ),
        (
            "t.yaml",
            "bindings:\n  - a -> b: k\n  - from: a\n    too: b\n",
            "t.yaml:4: bindings: unknown key \"too\", did you mean \"to\"?",
        ),
        ("t.yaml", "bindings:\n  - from: a\n", "t.yaml:2: bindings: a binding needs a destination"),
        (
            "t.yaml",
            "exchanges:\n  x:\n    bindings:\n      - a\n",
            "t.yaml:4: exchanges.x.bindings: \"a\" is not a binding as in \"key -> queue\"",
        ),
        (
            "t.yaml",
            "bindings:\n  a -> b: k\n  a -> queue b: k\n",
            "t.yaml:3: binding a -> b: k in vhost / stands here twice, first in t.yaml:2",
        ),
        (
            "t.yaml",
            "users:\n  u:\n    password: plain\n",
            "t.yaml:3: users.u.password: a secret does not stand here: say {env: NAME} or {file: PATH}, or give a \
             password_hash",
        ),
        (
            "t.yaml",
            "users:\n  u:\n    password: {env: NONE}\n",
            "t.yaml:3: users.u.password: NONE is not set",
        ),
        (
            "t.yaml",
            "users:\n  u:\n    password: {}\n",
            "t.yaml:3: users.u.password: say {env: NAME} or {file: PATH}",
        ),
        (
            "t.yaml",
            "permissions:\n  u: al\n",
            "t.yaml:2: permissions.u: unknown permission \"al\", did you mean \"all\"?",
        ),
        (
            "t.yaml",
            "limits:\n  max-connection: 5\n",
            "t.yaml:1: limits: unknown limit \"max-connection\", did you mean \"max-connections\"?",
        ),
        ("t.yaml", "policies:\n  p:\n    pattern: x\n", "t.yaml:2: policies.p: missing field `definition`"),
        ("t.yaml", "a: [\n", "t.yaml:1: not YAML: while parsing a node, did not find expected node content"),
        (
            "t.yaml",
            "exchanges:\n  x:\n    bindings:\n      - a -> b: k\n",
            "t.yaml:4: exchanges.x.bindings: the exchange is known here: \"key -> queue\"",
        ),
        ("t.yaml", "bindings:\n  - to: q\n", "t.yaml:2: bindings: a binding needs a source"),
        (
            "t.yaml",
            "bindings:\n  - from: a\n    to: b\n    destination_type: que\n",
            "t.yaml:4: bindings.destination_type: unknown \"que\", did you mean \"queue\"?",
        ),
        (
            "t.yaml",
            "users:\n  u:\n    password: {env: SECRET}\n    password_hash: x\n",
            "t.yaml:3: either password or password_hash, not both",
        ),
        (
            "t.yaml",
            "users:\n  u:\n    password: 12345\n",
            "t.yaml:3: users.u.password: a secret does not stand here",
        ),
        (
            "t.yaml",
            "users:\n  u:\n    password: {file: none}\n",
            "t.yaml:3: users.u.password: none is not there",
        ),
        (
            "t.yaml",
            "users:\n  u:\n    limits: {max-chanels: 5}\n",
            "t.yaml:3: limits: unknown limit \"max-chanels\", did you mean \"max-channels\"?",
        ),
        ("t.yaml", "users:\n  u: me\n", "t.yaml:2: users.u: a user is a map, not \"me\""),
        ("t.yaml", "vhosts:\n  v: shop\n", "t.yaml:2: vhosts.v: a vhost is a map, not \"shop\""),
        (
            "t.yaml",
            "queues:\n  a:\n    message-ttl: -5\n",
            "t.yaml:3: queues.a.message-ttl: a time is not negative",
        ),
        ("t.yaml", "queues:\n  \"\":\n", "t.yaml:2: queues.: a name is needed"),
        (
            "t.yaml",
            "exchanges:\n  amq.x: topic\n",
            "t.yaml:2: exchanges.amq.x: names that begin with amq. belong to the broker",
        ),
        (
            "t.yaml",
            "exchanges:\n  x:\n    delayed-type: a\n    arguments: {x-delayed-type: b}\n",
            "t.yaml:2: exchanges.x: \"delayed-type\" and arguments.x-delayed-type say the same; keep one",
        ),
        ("t.yaml", "\n- queues\n", "t.yaml:2: invalid type: sequence, expected a map"),
        ("t.yaml", "hello", "t.yaml:1: invalid type: string \"hello\", expected a map"),
        ("t.toml", "[queues]\na = {arguments = {x = inf}}\n", "t.toml:2: the number is out of range"),
        ("t.yaml", "vhosts:\n  \"\": {queues: {q: }}\n", "t.yaml:2: vhost : a name is needed"),
        ("t.yaml", "users:\n  \"\":\n", "t.yaml:2: user : a name is needed"),
        ("t.yaml", "queues:\n  a: !x y\n", "t.yaml:2: a tag is not known here"),
        ("t.yaml", "queues:\n  a: &a [*a]\n", "t.yaml:2: "),
        (
            "t.yaml",
            "policies:\n  p: {pattern: x, priority: high, definition: {}}\n",
            "t.yaml:2: policies.p.priority: invalid type: string \"high\", expected i64",
        ),
        (
            "t.toml",
            "[queues]\na = 5\n",
            "t.toml:2: queues.a: invalid type: integer `5`, expected a queue's type, or a map",
        ),
        ("t.toml", "[queues]\na.b = 5\n", "t.toml:2: queues.a: unknown key \"b\""),
        ("t.json", "{\"queues\": {\n\"a\": {\"x\": 1}}}", "t.json:2: queues.a: unknown key \"x\""),
        ("t.json", "{\"vhosts\": [{}]}", "t.json: a vhost: missing field `name`: {}"),
        ("t.txt", "", "t.txt: a topology is written in .yaml, .yml, .toml or .json"),
    ] {
        let got = file(name, text).unwrap_err();
        assert!(got.starts_with(want), "{text}\n got: {got}\nwant: {want}");
    }
    for (text, words) in [
        ("policies:\n  LONG: {pattern: x, definition: {}}\n", "a name has at most 255 bytes"),
        ("bindings:\n  x -> q: LONG\n", "names and keys have at most 255 bytes"),
    ] {
        let got = file("t.yaml", &text.replace("LONG", &"ñ".repeat(128))).unwrap_err();
        assert!(got.starts_with("t.yaml:2: ") && got.contains(words), "{got}");
    }
    // All errors are reported at once, unless one hides the next.
    let both = file("t.yaml", "queues:\n  amq.a:\n  amq.b:\n").unwrap_err();
    assert_eq!(both.lines().count(), 2, "{both}");
}

fn steps(wanted: &str, live: &str, options: Options) -> Vec<String> {
    let plan = difference(&yaml(wanted), &yaml(live), options, &Plain);
    let steps = plan.steps.iter().map(|step| {
        let why = step.why.as_ref().map(|why| format!(" ({why})")).unwrap_or_default();
        let fields: Vec<_> =
            step.fields.iter().map(|(name, from, to)| format!(" {name} {from} {to}")).collect();
        format!("{:?} {}{}{why}", step.action, step.id, fields.concat())
    });
    steps.collect()
}

#[test]
fn what_differs_is_made_changed_or_in_conflict() {
    let live = "queues: {same: , other: {max-length: 5}}\nexchanges: {x: topic}\npolicies: {p: {pattern: a, definition: \
                {max-length: 1}}}\nbindings: {x -> same: a}\n";
    let wanted = "queues: {same: classic, other: {max-length: 6}, new: }\nexchanges: {x: direct}\npolicies: {p: {pattern: a, \
                  definition: {max-length: 2}}}\nbindings: {x -> same: [a, b], x -> none: a}\n";
    let blocked = "(it is there already, and AMQP cannot change this in place; --migrate can)";
    assert_eq!(
        steps(wanted, live, Options::default()),
        [
            "Change policy p in vhost / definition.max-length 1 2".to_owned(),
            format!("Migrate exchange x in vhost / type \"topic\" \"direct\" {blocked}"),
            "Create queue new in vhost /".to_owned(),
            format!("Migrate queue other in vhost / arguments.x-max-length 5 6 {blocked}"),
            "Conflict binding x -> none: a in vhost / (there is no queue none in vhost /, neither here nor in the broker)"
                .to_owned(),
            "Create binding x -> same: b in vhost /".to_owned(),
        ]
    );
    let migrated = steps(wanted, live, Options { migrate: true, ..Options::default() });
    assert!(
        migrated.contains(&"Migrate exchange x in vhost / type \"topic\" \"direct\"".to_owned()),
        "{migrated:?}"
    );
    assert_eq!(steps(live, live, Options::default()), [""; 0]);
}

#[test]
fn a_queue_without_a_type_is_of_its_vhost_s_default_type() {
    let mut wanted = yaml(
        "vhosts: {v: {default_queue_type: quorum, queues: {a: , b: classic, c: , d: {durable: false}}}}",
    );
    let live = yaml("vhosts: {v: {queues: {c: {max-length: 1}}}}");
    settle_types(&mut wanted, &live);
    let type_of = |name: &str| {
        wanted.objects[&Id::new(Kind::Queue, "v", name)].body["arguments"].get("x-queue-type").cloned()
    };
    assert_eq!([type_of("a"), type_of("b")], [Some(json!("quorum")), Some(json!("classic"))]);
    assert_eq!([type_of("c"), type_of("d")], [None, None], "of its own type; of none other than classic");
}

#[test]
fn pruning_stays_within_what_the_file_speaks_for() {
    let live = "vhosts:\n  a: {queues: {q: , busy: , mine: {auto_delete: true}}, exchanges: {x: }, bindings: {x -> mine: k, x -> \
                q: k}, permissions: {me: all, you: all}}\n  b: {queues: {q: }}\nusers: {me: , you: }\n";
    let prune = Options { prune: true, ..Options::default() };
    let mut wanted = "vhosts: {a: {exchanges: {x: }}}".to_owned();
    let mut want = vec![
        "Delete queue busy in vhost a (3 messages)",
        "Delete queue q in vhost a",
        "Delete binding x -> q: k in vhost a",
    ];
    assert_eq!(steps(&wanted, live, Options::default()), [""; 0]);
    assert_eq!(steps(&wanted, live, prune), want);
    wanted.push_str("\nusers: {}\npermissions: {}");
    want.insert(0, "Delete user you");
    want.insert(0, "Create vhost /");
    want.push("Delete permission of you in vhost a");
    let mut got = steps(&wanted, live, prune);
    got.sort();
    want.sort_unstable();
    assert_eq!(got, want);
    let all = Options { prune: true, prune_vhosts: true, force: true, migrate: true };
    let got = steps("vhosts: {a: }", live, all);
    assert!(got.contains(&"Delete vhost b".to_owned()), "{got:?}");
    assert!(got.contains(&"Delete queue busy in vhost a".to_owned()), "{got:?}");
    assert!(!got.iter().any(|step| step.contains("in vhost b")), "what is in it goes with it: {got:?}");
}

#[test]
fn a_password_is_compared_and_never_told() {
    let wanted = yaml("users: {u: {password: {env: SECRET}, tags: [a, b]}}");
    let mut live = yaml("users: {u: {password_hash: hash of s3cret, tags: [b, a]}}");
    assert_eq!(difference(&wanted, &live, Options::default(), &Plain).steps, []);
    let id = Id::new(Kind::User, "", "u");
    live.objects.get_mut(&id).unwrap().body.insert("password_hash".to_owned(), json!("another"));
    let plan = difference(&wanted, &live, Options::default(), &Plain);
    let text = plan.to_json().to_string();
    assert!(text.contains("password") && !text.contains("s3cret") && !text.contains("another\""), "{text}");
    assert_eq!(Plan::from_json(&plan.to_json()), Some(plan));
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z]{1,6}",
        "[a-zA-Z0-9_.:#*>{}\\[\\] /'\"\\\\-]{1,12}",
        "\\PC{1,6}",
        Just("true".to_owned()),
        Just("a -> b".to_owned()),
        Just("exchange x".to_owned()),
        Just("\u{85}\u{2028}\t\u{7f}".to_owned()),
    ]
    .prop_filter("nobody can declare this", |name| !name.starts_with("amq.") && !name.contains(['\r', '\n']))
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        any::<i64>().prop_map(|number| json!(number)),
        any::<bool>().prop_map(|flag| json!(flag)),
        name().prop_map(|text| json!(text)),
        Just(json!("")),
        Just(json!([1, "a", {"b": [true]}])),
        Just(json!({"k": "v", "": {}})),
        Just(json!(1.5)),
        Just(Value::Null),
    ]
}

fn arguments() -> impl Strategy<Value = Map<String, Value>> {
    let known = prop_oneof![
        Just("x-max-length".to_owned()),
        Just("x-overflow".to_owned()),
        Just("x-queue-type".to_owned()),
        Just("x-delayed-type".to_owned()),
        name()
    ];
    prop::collection::btree_map(known, value(), 0..3).prop_map(|map| map.into_iter().collect())
}

prop_compose! {
    fn topologies()(
        queues in prop::collection::btree_map(name(), (any::<bool>(), any::<bool>(), arguments()), 0..6),
        exchanges in prop::collection::btree_map(name(), (any::<bool>(), name(), arguments()), 0..6),
        bindings in prop::collection::vec((name(), any::<bool>(), name(), prop_oneof![Just(String::new()), name()], arguments()), 0..6),
        policies in prop::collection::btree_map(name(), (name(), any::<i32>(), arguments()), 0..3),
        parameters in prop::collection::btree_map((name(), name()), value(), 0..3),
        permissions in prop::collection::btree_map(name(), ["", "[.][*]", "\\PC{0,3}"], 0..3),
        vhost in name(),
    ) -> Topology {
        let governs = Governs { users: true, permissions: true, global_parameters: false };
        let mut topology = Topology { governs, ..Topology::default() };
        let mut add = |id: Id, body: Map<String, Value>| {
            topology.objects.insert(id, Object { body, place: None });
        };
        add(Id::vhost(&vhost), Map::new());
        for (name, (durable, auto_delete, arguments)) in queues {
            add(Id::new(Kind::Queue, &vhost, &name), model::queue_body(durable, auto_delete, arguments));
        }
        for (name, (durable, kind, arguments)) in exchanges {
            let body = definitions::exchange_body(&kind, durable, false, !durable, arguments);
            add(Id::new(Kind::Exchange, &vhost, &name), body);
        }
        for (source, to_exchange, destination, routing_key, arguments) in bindings {
            let binding = Binding { source, to_exchange, destination, routing_key, arguments };
            add(Id::binding(&vhost, &binding), Map::new());
        }
        for (name, (pattern, priority, definition)) in policies {
            let body = model::members([
                ("pattern", json!(pattern)), ("apply-to", json!("queues")), ("priority", json!(priority)),
                ("definition", definition.into()),
            ]);
            add(Id::new(Kind::Policy, &vhost, &name), body);
        }
        for ((component, name), value) in parameters {
            add(Id::pair(Kind::Parameter, &vhost, &component, &name), model::members([("value", value)]));
        }
        for (user, [configure, write, read]) in permissions {
            let body = model::members([("configure", json!(configure)), ("write", json!(write)), ("read", json!(read))]);
            add(Id::new(Kind::User, "", &user), model::members([("tags", json!([]))]));
            add(Id::new(Kind::Permission, &vhost, &user), body);
        }
        topology
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_as_the_same(topology in topologies()) {
        let text = write(&topology);
        let read = file("t.yaml", &text);
        prop_assert!(read.is_ok(), "{}\n{}", read.unwrap_err(), text);
        prop_assert_eq!(said(&read.unwrap()), said(&topology), "{}", text);
    }

    #[test]
    fn definitions_go_there_and_back(topology in topologies()) {
        let there = to_definitions(&topology);
        prop_assert_eq!(from_definitions(&there).unwrap(), topology);
    }
}
