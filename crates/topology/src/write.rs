//! A topology as a hand-editable file: YAML, with the short forms.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use super::forms::ends_as_text;
use super::model::{Binding, Id, Kind, Object, Topology};

/// The head of a file, for editors.
const HEAD: &str = "# yaml-language-server: $schema=topology.schema.json\n";

/// Arguments with short names.
const SHORT: [(&str, &str); 16] = [
    ("x-queue-type", "type"),
    ("x-max-length", "max-length"),
    ("x-max-length-bytes", "max-length-bytes"),
    ("x-overflow", "overflow"),
    ("x-message-ttl", "message-ttl"),
    ("x-expires", "expires"),
    ("x-dead-letter-exchange", "dead-letter-exchange"),
    ("x-dead-letter-routing-key", "dead-letter-routing-key"),
    ("x-dead-letter-strategy", "dead-letter-strategy"),
    ("x-max-priority", "max-priority"),
    ("x-single-active-consumer", "single-active-consumer"),
    ("x-delivery-limit", "delivery-limit"),
    ("x-delayed-retry-type", "delayed-retry-type"),
    ("x-delayed-retry-min", "delayed-retry-min"),
    ("x-delayed-retry-max", "delayed-retry-max"),
    ("x-consumer-timeout", "consumer-timeout"),
];

/// Writes a topology. Passwords are written as hashes; a password known only in plain text is omitted.
pub fn write(topology: &Topology) -> String {
    let mut text = HEAD.to_owned();
    yaml_members(&file(topology), 0, &mut text);
    text
}

/// Nesting depth of a vhost's name.
const VHOST_DEPTH: usize = 1;

/// A vhost's sections, in the order readers expect.
const SECTIONS: [&str; 12] = [
    "description",
    "tags",
    "default_queue_type",
    "limits",
    "permissions",
    "topic_permissions",
    "exchanges",
    "queues",
    "bindings",
    "policies",
    "operator_policies",
    "parameters",
];

/// Members in the order readers expect.
type Members = Vec<(String, Value)>;

fn file(topology: &Topology) -> Members {
    let of_kind = |kind: Kind, vhost: &str| {
        let vhost = vhost.to_owned();
        let objects = topology.objects.iter();
        objects.filter(move |(id, _)| id.kind == kind && id.vhost == vhost).collect::<Vec<_>>()
    };
    let mut file = Members::new();
    let mut users = Map::new();
    for (id, object) in of_kind(Kind::User, "") {
        users.insert(id.part(0).to_owned(), user(topology, id, object));
    }
    if topology.governs.users || !users.is_empty() {
        file.push(("users".to_owned(), users.into()));
    }
    let parameters: Map<_, _> = of_kind(Kind::GlobalParameter, "").into_iter().map(named_value).collect();
    if !parameters.is_empty() {
        file.push(("global_parameters".to_owned(), parameters.into()));
    }
    let mut vhosts = Map::new();
    for name in topology.vhosts() {
        vhosts.insert(name.to_owned(), Value::Object(vhost(topology, name)));
    }
    file.push(("vhosts".to_owned(), vhosts.into()));
    file
}

fn named_value((id, object): (&Id, &Object)) -> (String, Value) {
    let name = id.parts.last().cloned().unwrap_or_default();
    (name, object.body.get("value").cloned().unwrap_or_default())
}

fn user(topology: &Topology, id: &Id, object: &Object) -> Value {
    let mut user: Map<String, Value> = object.body.clone();
    user.remove("password");
    if user.get("password_hash").is_some_and(|hash| hash == "") {
        user.remove("password_hash");
        user.remove("hashing_algorithm");
    }
    if user.get("hashing_algorithm").is_some_and(|name| name == "rabbit_password_hashing_sha256") {
        user.remove("hashing_algorithm");
    }
    if let Some(limits) = topology.objects.get(&Id::new(Kind::UserLimits, "", id.part(0))) {
        user.insert("limits".to_owned(), limits.body.clone().into());
    }
    user.into()
}

fn permission(object: &Object) -> Value {
    let part = |name: &str| object.body.get(name).and_then(Value::as_str).unwrap_or_default();
    match (part("configure"), part("write"), part("read")) {
        (".*", ".*", ".*") => json!("all"),
        ("", "", ".*") => json!("read"),
        ("", ".*", "") => json!("write"),
        ("", ".*", ".*") => json!("read-write"),
        _ => object.body.clone().into(),
    }
}

fn vhost(topology: &Topology, name: &str) -> Map<String, Value> {
    let mut vhost =
        topology.objects.get(&Id::vhost(name)).map(|object| object.body.clone()).unwrap_or_default();
    vhost.retain(|_, value| *value != json!("") && *value != json!([]));
    let mut put = |section: &str, path: &[&str], value: Value| {
        let mut map = vhost.entry(section).or_insert_with(|| json!({}));
        for part in &path[..path.len() - 1] {
            let Some(inner) = map.as_object_mut() else { return };
            map = inner.entry(*part).or_insert_with(|| json!({}));
        }
        if let (Some(map), Some(last)) = (map.as_object_mut(), path.last()) {
            map.insert((*last).to_owned(), value);
        }
    };
    let mut bindings = Vec::new();
    for (id, object) in topology.objects.iter().filter(|(id, _)| id.vhost == name) {
        match id.kind {
            Kind::VhostLimits => {
                object.body.iter().for_each(|(limit, value)| put("limits", &[limit], value.clone()));
            }
            Kind::Permission => put("permissions", &[id.part(0)], permission(object)),
            Kind::TopicPermission => {
                put("topic_permissions", &[id.part(0), id.part(1)], object.body.clone().into());
            }
            Kind::Exchange => put("exchanges", &[id.part(0)], exchange(object)),
            Kind::Queue => put("queues", &[id.part(0)], queue(object)),
            Kind::Policy => put("policies", &[id.part(0)], policy(object)),
            Kind::OperatorPolicy => put("operator_policies", &[id.part(0)], policy(object)),
            Kind::Parameter => {
                put("parameters", &[id.part(0), id.part(1)], named_value((id, object)).1);
            }
            Kind::Binding => bindings.extend(id.as_binding()),
            Kind::Vhost | Kind::User | Kind::UserLimits | Kind::GlobalParameter => {}
        }
    }
    if topology.governs.permissions {
        vhost.entry("permissions").or_insert_with(|| json!({}));
    }
    if !bindings.is_empty() {
        vhost.insert("bindings".to_owned(), all_bindings(bindings));
    }
    vhost
}

fn arguments(object: &Object) -> Map<String, Value> {
    object.body.get("arguments").and_then(Value::as_object).cloned().unwrap_or_default()
}

fn flag(object: &Object, name: &str) -> bool {
    object.body.get(name) == Some(&json!(true))
}

/// The map, or the value of its only member if the short form suffices.
fn shortest(mut map: Map<String, Value>, only: &str) -> Value {
    match map.len() {
        1 if map.contains_key(only) => map.remove(only).unwrap_or_default(),
        _ => map.into(),
    }
}

fn exchange(object: &Object) -> Value {
    let mut map = Map::new();
    map.insert("type".to_owned(), object.body.get("type").cloned().unwrap_or_default());
    if !flag(object, "durable") {
        map.insert("durable".to_owned(), json!(false));
    }
    for name in ["auto_delete", "internal"] {
        if flag(object, name) {
            map.insert(name.to_owned(), json!(true));
        }
    }
    let mut arguments = arguments(object);
    for (long, short) in [("alternate-exchange", "alternate-exchange"), ("x-delayed-type", "delayed-type")] {
        if let Some(value) = arguments.remove_entry_if_text(long) {
            map.insert(short.to_owned(), value);
        }
    }
    if !arguments.is_empty() {
        map.insert("arguments".to_owned(), arguments.into());
    }
    shortest(map, "type")
}

/// A helper for [`Map`].
trait RemoveText {
    fn remove_entry_if_text(&mut self, name: &str) -> Option<Value>;
}

impl RemoveText for Map<String, Value> {
    fn remove_entry_if_text(&mut self, name: &str) -> Option<Value> {
        if self.get(name).is_some_and(Value::is_string) { self.remove(name) } else { None }
    }
}

fn queue(object: &Object) -> Value {
    let mut map = Map::new();
    let mut arguments = arguments(object);
    for (long, short) in SHORT {
        let text = [
            "type",
            "overflow",
            "dead-letter-exchange",
            "dead-letter-routing-key",
            "dead-letter-strategy",
            "delayed-retry-type",
        ];
        let fits = |value: &Value| match short {
            short if text.contains(&short) => value.is_string(),
            "single-active-consumer" => value.is_boolean(),
            "delivery-limit" => value.is_i64(),
            _ => value.is_u64(),
        };
        if arguments.get(long).is_some_and(fits) {
            map.extend(arguments.remove(long).map(|value| (short.to_owned(), value)));
        }
    }
    if !flag(object, "durable") {
        map.insert("durable".to_owned(), json!(false));
    }
    if flag(object, "auto_delete") {
        map.insert("auto_delete".to_owned(), json!(true));
    }
    if !arguments.is_empty() {
        map.insert("arguments".to_owned(), arguments.into());
    }
    match map.get("type").and_then(Value::as_str) {
        Some("classic" | "quorum") => shortest(map, "type"),
        _ => map.into(),
    }
}

fn policy(object: &Object) -> Value {
    let mut policy = object.body.clone();
    policy.retain(|name, value| {
        let default =
            (name == "priority" && *value == json!(0)) || (name == "apply-to" && *value == json!("all"));
        !default
    });
    policy.into()
}

/// Bindings between the same ends are grouped, if the ends have a short form; else all are written as a list.
fn all_bindings(bindings: Vec<Binding>) -> Value {
    let mut map: Map<String, Value> = Map::new();
    let mut list = Vec::new();
    for binding in bindings {
        let Some(ends) = ends_as_text(&binding) else {
            list.push(json!({
                "source": binding.source,
                "destination_type": if binding.to_exchange { "exchange" } else { "queue" },
                "destination": binding.destination,
                "routing_key": binding.routing_key,
                "arguments": binding.arguments,
            }));
            continue;
        };
        let key = if binding.arguments.is_empty() {
            json!(binding.routing_key)
        } else {
            json!({ "key": binding.routing_key, "arguments": binding.arguments })
        };
        match map.get_mut(&ends) {
            None => {
                map.insert(ends, key);
            }
            Some(Value::Array(keys)) => keys.push(key),
            Some(one) => *one = json!([one.take(), key]),
        }
    }
    if list.is_empty() {
        return map.into();
    }
    list.extend(map.into_iter().map(|(ends, keys)| json!({ ends: keys })));
    list.into()
}

fn indent(depth: usize, text: &mut String) {
    text.extend(std::iter::repeat_n("  ", depth));
}

fn yaml_members(members: &Members, depth: usize, text: &mut String) {
    for (name, value) in members {
        indent(depth, text);
        text.push_str(&scalar(name));
        text.push(':');
        yaml_value(value, depth, text);
    }
}

/// The value after `key:` or `-`.
fn yaml_value(value: &Value, depth: usize, text: &mut String) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            let mut members: Members =
                map.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
            if depth == VHOST_DEPTH {
                members.sort_by_key(|(name, _)| SECTIONS.iter().position(|section| section == name));
            }
            yaml_members(&members, depth + 1, text);
        }
        Value::Array(list) if !list.is_empty() => {
            text.push('\n');
            for value in list {
                indent(depth + 1, text);
                text.push('-');
                match value {
                    // A map starts after its dash; JSON is valid YAML.
                    Value::Object(_) | Value::Array(_) => {
                        text.push(' ');
                        flow(value, text);
                        text.push('\n');
                    }
                    _ => yaml_value(value, depth + 1, text),
                }
            }
        }
        _ => {
            text.push(' ');
            flow(value, text);
            text.push('\n');
        }
    }
}

fn flow(value: &Value, text: &mut String) {
    match value {
        Value::Object(map) => {
            text.push('{');
            for (at, (name, value)) in map.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                text.push_str(&scalar(name));
                text.push_str(": ");
                flow(value, text);
            }
            text.push('}');
        }
        Value::Array(list) => {
            text.push('[');
            for (at, value) in list.iter().enumerate() {
                text.push_str(if at == 0 { "" } else { ", " });
                flow(value, text);
            }
            text.push(']');
        }
        Value::String(string) => text.push_str(&scalar(string)),
        other => {
            let _ = write!(text, "{other}");
        }
    }
}

/// A string, quoted if it would be read as something else.
fn scalar(text: &str) -> String {
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let rest = text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c));
    let word = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    // `a -> b`, the form of bindings, needs no quotes.
    let arrow =
        text.split(" -> ").count() == 2 && text.split(" -> ").all(|part| !part.is_empty() && plain(part));
    if (first && rest && !word.contains(&text.to_ascii_lowercase().as_str())) || arrow {
        return text.to_owned();
    }
    quoted(text)
}

fn plain(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-./".contains(c))
}

fn quoted(text: &str) -> String {
    let mut quoted = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            // Characters that are not printable in YAML, or are line breaks.
            c if c.is_control() || "\u{2028}\u{2029}\u{feff}\u{fffe}\u{ffff}".contains(c) => {
                let _ = write!(quoted, "\\u{:04x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
