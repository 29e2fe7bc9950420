//! A topology as `RabbitMQ`'s definitions: the format of its API's export, of `definitions.json` files, and of `plan`
//! and `apply` requests.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::model::{Binding, Governs, Id, Kind, Object, Topology, members, queue_body};

/// The Leveret member that lists what a topology governs.
const GOVERNS: &str = "leveret_governs";

/// The component under which older brokers store a vhost's limits.
const VHOST_LIMITS: &str = "vhost-limits";

/// Whether a JSON object is a definitions file, not a topology file.
pub(super) fn are_these(object: &Map<String, Value>) -> bool {
    ["rabbit_version", "rabbitmq_version", "rabbitmq_definition_format"]
        .iter()
        .any(|name| object.contains_key(*name))
        || object.get("vhosts").is_some_and(Value::is_array)
}

#[derive(Deserialize)]
struct Named {
    name: String,
    #[serde(default)]
    vhost: Option<String>,
    #[serde(flatten)]
    rest: Map<String, Value>,
}

/// Errors in definitions, one per object.
pub type Complaints = Vec<String>;

/// Reads definitions. Absent members have `RabbitMQ`'s defaults. Omits what cannot be declared: predeclared
/// exchanges, and the default exchange's bindings.
pub fn read(definitions: &Value) -> Result<Topology, Complaints> {
    let Some(given) = definitions.as_object() else {
        return Err(vec!["definitions are a JSON object".to_owned()]);
    };
    let single = given.get("original_vhost_name").and_then(Value::as_str).map(str::to_owned);
    let mut reader = Reader { topology: Topology::default(), complaints: Vec::new(), vhost: single };
    if let Some(vhost) = reader.vhost.clone() {
        // A single vhost's export: the vhost's own properties are at the top level.
        let mut vhost_object = given.clone();
        vhost_object.insert("name".to_owned(), json!(vhost));
        reader.vhost(&Value::Object(vhost_object));
    }
    let kinds: [(&str, Take); 11] = [
        ("vhosts", Reader::vhost),
        ("users", Reader::user),
        ("global_parameters", Reader::global_parameter),
        ("operator_policies", Reader::operator_policy),
        ("policies", Reader::policy),
        ("parameters", Reader::parameter),
        ("exchanges", Reader::exchange),
        ("queues", Reader::queue),
        ("bindings", Reader::binding),
        ("permissions", Reader::permission),
        ("topic_permissions", Reader::topic_permission),
    ];
    for (name, take) in kinds {
        match given.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Array(list)) => list.iter().for_each(|object| take(&mut reader, object)),
            Some(_) => reader.complaints.push(format!("{name} is not a list")),
        }
    }
    let there = |name: &str| given.get(name).is_some_and(Value::is_array);
    reader.topology.governs = match given.get(GOVERNS) {
        Some(governs) => Governs::deserialize(governs).unwrap_or_default(),
        None => Governs {
            users: there("users"),
            permissions: there("permissions"),
            global_parameters: there("global_parameters"),
        },
    };
    if reader.complaints.is_empty() { Ok(reader.topology) } else { Err(reader.complaints) }
}

/// Adds one object of a kind.
type Take = fn(&mut Reader, &Value);

struct Reader {
    topology: Topology,
    complaints: Complaints,
    /// The vhost of all objects.
    vhost: Option<String>,
}

fn text(object: &Map<String, Value>, name: &str) -> Option<String> {
    object.get(name).and_then(Value::as_str).map(str::to_owned)
}

fn flag(object: &Map<String, Value>, name: &str, otherwise: bool) -> bool {
    object.get(name).and_then(Value::as_bool).unwrap_or(otherwise)
}

fn map(object: &Map<String, Value>, name: &str) -> Map<String, Value> {
    object.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
}

/// A list, or a comma-separated string.
fn words(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(Value::String(text)) => {
            text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}

impl Reader {
    fn add(&mut self, id: Id, body: Map<String, Value>) {
        // A repeated definition counts once.
        self.topology.objects.entry(id).or_insert(Object { body, place: None });
    }

    fn named(&mut self, kind: &str, object: &Value) -> Option<(Named, String)> {
        match Named::deserialize(object) {
            Ok(named) => {
                let vhost =
                    self.vhost.clone().or_else(|| named.vhost.clone()).unwrap_or_else(|| "/".to_owned());
                Some((named, vhost))
            }
            Err(error) => {
                self.complaints.push(format!("{kind}: {error}: {object}"));
                None
            }
        }
    }

    fn vhost(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, _)) = self.named("a vhost", object) else { return };
        let metadata = map(&rest, "metadata");
        let said =
            |name: &str| rest.get(name).or_else(|| metadata.get(name)).filter(|value| !value.is_null());
        let mut body = Map::new();
        if let Some(description) = said("description").and_then(Value::as_str) {
            body.insert("description".to_owned(), json!(description));
        }
        if let Some(tags) = said("tags") {
            body.insert("tags".to_owned(), json!(words(Some(tags))));
        }
        if let Some(kind) =
            said("default_queue_type").and_then(Value::as_str).filter(|kind| *kind != "undefined")
        {
            body.insert("default_queue_type".to_owned(), json!(kind));
        }
        self.add(Id::vhost(&name), body);
        let limits = map(&rest, "limits");
        if !limits.is_empty() {
            self.add(Id::new(Kind::VhostLimits, &name, &name), limits);
        }
    }

    fn user(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, _)) = self.named("a user", object) else { return };
        let mut body = members([("tags", json!(words(rest.get("tags"))))]);
        for member in ["password", "password_hash", "hashing_algorithm"] {
            body.extend(text(&rest, member).map(|text| (member.to_owned(), json!(text))));
        }
        // Written by Leveret, so that RabbitMQ accepts the rest.
        if let Some(hash) = text(&rest, "leveret_password_hash") {
            body.insert("password_hash".to_owned(), json!(hash));
            body.insert("hashing_algorithm".to_owned(), json!("leveret_argon2id"));
        }
        self.add(Id::new(Kind::User, "", &name), body);
        let limits = map(&rest, "limits");
        if !limits.is_empty() {
            self.add(Id::new(Kind::UserLimits, "", &name), limits);
        }
    }

    fn global_parameter(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, _)) = self.named("a global parameter", object) else { return };
        // Parameters that a broker sets about itself are not declared.
        if !["cluster_name", "internal_cluster_id", "cluster_tags"].contains(&name.as_str()) {
            let value = rest.get("value").cloned().unwrap_or_default();
            self.add(Id::new(Kind::GlobalParameter, "", &name), members([("value", value)]));
        }
    }

    fn policy_of(&mut self, kind: Kind, name: &str, vhost: &str, rest: &Map<String, Value>) {
        let body = members([
            ("pattern", json!(text(rest, "pattern").unwrap_or_default())),
            ("apply-to", json!(text(rest, "apply-to").unwrap_or_else(|| "all".to_owned()))),
            ("priority", rest.get("priority").cloned().unwrap_or_else(|| json!(0))),
            ("definition", map(rest, "definition").into()),
        ]);
        self.add(Id::new(kind, vhost, name), body);
    }

    fn operator_policy(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, vhost)) = self.named("an operator policy", object) else {
            return;
        };
        self.policy_of(Kind::OperatorPolicy, &name, &vhost, &rest);
    }

    fn policy(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, vhost)) = self.named("a policy", object) else { return };
        self.policy_of(Kind::Policy, &name, &vhost, &rest);
    }

    fn parameter(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, vhost)) = self.named("a parameter", object) else { return };
        match text(&rest, "component").as_deref() {
            None => self.complaints.push(format!("a parameter without a component: {object}")),
            Some(VHOST_LIMITS) => {
                self.add(Id::new(Kind::VhostLimits, &vhost, &vhost), map(&rest, "value"));
            }
            // RabbitMQ stores operator policies as parameters of this component.
            Some("operator_policy") => {
                self.policy_of(Kind::OperatorPolicy, &name, &vhost, &map(&rest, "value"));
            }
            Some(component) => {
                let value = rest.get("value").cloned().unwrap_or_default();
                self.add(Id::pair(Kind::Parameter, &vhost, component, &name), members([("value", value)]));
            }
        }
    }

    fn exchange(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, vhost)) = self.named("an exchange", object) else { return };
        if name.is_empty() || name.starts_with("amq.") {
            return;
        }
        let Some(kind) = text(&rest, "type") else {
            self.complaints.push(format!("exchange {name} without a type"));
            return;
        };
        let body = exchange_body(
            &kind,
            flag(&rest, "durable", true),
            flag(&rest, "auto_delete", false),
            flag(&rest, "internal", false),
            map(&rest, "arguments"),
        );
        self.add(Id::new(Kind::Exchange, &vhost, &name), body);
    }

    fn queue(&mut self, object: &Value) {
        let Some((Named { name, rest, .. }, vhost)) = self.named("a queue", object) else { return };
        if name.starts_with("amq.") {
            return;
        }
        let mut arguments = map(&rest, "arguments");
        if let Some(kind) = text(&rest, "type").filter(|_| !arguments.contains_key("x-queue-type")) {
            arguments.insert("x-queue-type".to_owned(), json!(kind));
        }
        let body = queue_body(flag(&rest, "durable", true), flag(&rest, "auto_delete", false), arguments);
        self.add(Id::new(Kind::Queue, &vhost, &name), body);
    }

    fn binding(&mut self, object: &Value) {
        let given = object.as_object().cloned().unwrap_or_default();
        let (Some(source), Some(destination)) = (text(&given, "source"), text(&given, "destination")) else {
            self.complaints.push(format!("a binding without source or destination: {object}"));
            return;
        };
        if source.is_empty() || destination.starts_with("amq.gen-") {
            return;
        }
        let vhost = self.vhost.clone().or_else(|| text(&given, "vhost")).unwrap_or_else(|| "/".to_owned());
        let binding = Binding {
            source,
            to_exchange: text(&given, "destination_type").as_deref() == Some("exchange"),
            destination,
            routing_key: text(&given, "routing_key").unwrap_or_default(),
            arguments: map(&given, "arguments"),
        };
        self.add(Id::binding(&vhost, &binding), Map::new());
    }

    fn permission(&mut self, object: &Value) {
        let given = object.as_object().cloned().unwrap_or_default();
        let (Some(user), Some(vhost)) = (text(&given, "user"), text(&given, "vhost")) else {
            self.complaints.push(format!("a permission without user or vhost: {object}"));
            return;
        };
        let pattern = |name: &str| json!(text(&given, name).unwrap_or_default());
        let body = members([
            ("configure", pattern("configure")),
            ("write", pattern("write")),
            ("read", pattern("read")),
        ]);
        self.add(Id::new(Kind::Permission, &vhost, &user), body);
    }

    fn topic_permission(&mut self, object: &Value) {
        let given = object.as_object().cloned().unwrap_or_default();
        let names = (text(&given, "user"), text(&given, "vhost"), text(&given, "exchange"));
        let (Some(user), Some(vhost), Some(exchange)) = names else {
            self.complaints.push(format!("a topic permission without user, vhost or exchange: {object}"));
            return;
        };
        let pattern = |name: &str| json!(text(&given, name).unwrap_or_default());
        let body = members([("write", pattern("write")), ("read", pattern("read"))]);
        self.add(Id::pair(Kind::TopicPermission, &vhost, &user, &exchange), body);
    }
}

/// An exchange's body.
pub(super) fn exchange_body(
    kind: &str,
    durable: bool,
    auto_delete: bool,
    internal: bool,
    arguments: Map<String, Value>,
) -> Map<String, Value> {
    members([
        ("type", json!(kind)),
        ("durable", json!(durable)),
        ("auto_delete", json!(auto_delete)),
        ("internal", json!(internal)),
        ("arguments", arguments.into()),
    ])
}

/// Writes a topology as definitions that [`read`] turns into the same topology.
pub fn write(topology: &Topology) -> Value {
    let mut lists: Map<String, Value> = Map::new();
    let mut limits: BTreeMap<(Kind, &str), &Map<String, Value>> = BTreeMap::new();
    for (id, object) in &topology.objects {
        if matches!(id.kind, Kind::VhostLimits | Kind::UserLimits) {
            limits.insert((id.kind, id.part(0)), &object.body);
        }
    }
    for (id, object) in &topology.objects {
        let Some((list, parts, vhost)) = form(id.kind) else { continue };
        let mut entry = object.body.clone();
        for (part, member) in parts.iter().enumerate() {
            entry.insert((*member).to_owned(), json!(id.part(part)));
        }
        if vhost {
            entry.insert("vhost".to_owned(), json!(id.vhost));
        }
        let own_limits = match id.kind {
            Kind::Vhost => limits.get(&(Kind::VhostLimits, id.part(0))),
            Kind::User => limits.get(&(Kind::UserLimits, id.part(0))),
            _ => None,
        };
        if let Some(limits) = own_limits {
            entry.insert("limits".to_owned(), Value::Object((*limits).clone()));
        }
        if let Some(binding) = id.as_binding() {
            entry.insert("arguments".to_owned(), binding.arguments.into());
        }
        let list = lists.entry(list).or_insert_with(|| json!([]));
        if let Some(list) = list.as_array_mut() {
            list.push(Value::Object(entry));
        }
    }
    lists.insert(GOVERNS.to_owned(), json!(topology.governs));
    Value::Object(lists)
}

/// How definitions hold objects of a kind: their list, the members for the parts of their id, and whether they name
/// their vhost. `None`: they are members of other objects.
const fn form(kind: Kind) -> Option<(&'static str, &'static [&'static str], bool)> {
    Some(match kind {
        Kind::VhostLimits | Kind::UserLimits => return None,
        Kind::Vhost => ("vhosts", &["name"], false),
        Kind::User => ("users", &["name"], false),
        Kind::GlobalParameter => ("global_parameters", &["name"], false),
        Kind::OperatorPolicy => ("operator_policies", &["name"], true),
        Kind::Policy => ("policies", &["name"], true),
        Kind::Exchange => ("exchanges", &["name"], true),
        Kind::Queue => ("queues", &["name"], true),
        Kind::Parameter => ("parameters", &["component", "name"], true),
        Kind::Permission => ("permissions", &["user"], true),
        Kind::TopicPermission => ("topic_permissions", &["user", "exchange"], true),
        Kind::Binding => ("bindings", &["source", "destination_type", "destination", "routing_key"], true),
    })
}
