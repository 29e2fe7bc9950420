//! Declared objects in comparable form: each with an identity, and a JSON body as in `RabbitMQ`'s definitions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Kinds of objects, in creation order: each depends only on those before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A virtual host.
    Vhost,
    /// A user.
    User,
    /// The limits of a user.
    UserLimits,
    /// A runtime parameter of the whole broker.
    GlobalParameter,
    /// The limits of a vhost.
    VhostLimits,
    /// A policy that limits the effect of others.
    OperatorPolicy,
    /// A policy.
    Policy,
    /// A runtime parameter.
    Parameter,
    /// An exchange.
    Exchange,
    /// A queue.
    Queue,
    /// A binding.
    Binding,
    /// A user's permissions in a vhost.
    Permission,
    /// A user's permissions for a topic exchange.
    TopicPermission,
}

impl Kind {
    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Vhost => "vhost",
            Self::User => "user",
            Self::UserLimits => "limits of user",
            Self::GlobalParameter => "global parameter",
            Self::VhostLimits => "limits",
            Self::OperatorPolicy => "operator policy",
            Self::Policy => "policy",
            Self::Parameter => "parameter",
            Self::Exchange => "exchange",
            Self::Queue => "queue",
            Self::Binding => "binding",
            Self::Permission => "permission of",
            Self::TopicPermission => "topic permission of",
        }
    }
}

/// The identity of an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The vhost; empty for users and global parameters. A vhost is in itself.
    pub vhost: String,
    /// The kind of object.
    pub kind: Kind,
    /// The name; several parts where one does not suffice (see the constructors).
    pub parts: Vec<String>,
}

impl Id {
    /// An object with a single name, in a vhost or (if empty) outside all.
    pub fn new(kind: Kind, vhost: &str, name: &str) -> Self {
        Self { vhost: vhost.to_owned(), kind, parts: vec![name.to_owned()] }
    }

    /// A vhost.
    pub fn vhost(name: &str) -> Self {
        Self::new(Kind::Vhost, name, name)
    }

    /// An object with a two-part name: a parameter's component and name, a topic permission's user and exchange.
    pub fn pair(kind: Kind, vhost: &str, first: &str, second: &str) -> Self {
        Self { vhost: vhost.to_owned(), kind, parts: vec![first.to_owned(), second.to_owned()] }
    }

    /// A binding is identified by all of its properties.
    pub fn binding(vhost: &str, binding: &Binding) -> Self {
        let end = if binding.to_exchange { "exchange" } else { "queue" };
        let arguments = canonical(&Value::Object(binding.arguments.clone())).to_string();
        let parts = [&binding.source, end, &binding.destination, &binding.routing_key, &arguments];
        Self { vhost: vhost.to_owned(), kind: Kind::Binding, parts: parts.map(str::to_owned).to_vec() }
    }

    /// A part of the name; empty if there is none.
    pub fn part(&self, at: usize) -> &str {
        self.parts.get(at).map_or("", String::as_str)
    }

    /// The binding that this identifies.
    pub fn as_binding(&self) -> Option<Binding> {
        if self.kind != Kind::Binding {
            return None;
        }
        Some(Binding {
            source: self.part(0).to_owned(),
            to_exchange: self.part(1) == "exchange",
            destination: self.part(2).to_owned(),
            routing_key: self.part(3).to_owned(),
            arguments: serde_json::from_str(self.part(4)).unwrap_or_default(),
        })
    }

    /// The name, for people.
    pub fn name(&self) -> String {
        match self.as_binding() {
            None => self.parts.join(" "),
            Some(binding) => binding.to_string(),
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind.words(), self.name())?;
        if self.vhost.is_empty() || self.kind == Kind::Vhost {
            Ok(())
        } else {
            write!(f, " in vhost {}", self.vhost)
        }
    }
}

/// A binding's properties.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Binding {
    /// Source exchange.
    pub source: String,
    /// The destination is an exchange, not a queue.
    pub to_exchange: bool,
    /// Destination name.
    pub destination: String,
    /// Routing key, pattern or weight.
    pub routing_key: String,
    /// Arguments.
    pub arguments: Map<String, Value>,
}

impl fmt::Display for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exchange = if self.to_exchange { "exchange " } else { "" };
        write!(f, "{} -> {exchange}{}", self.source, self.destination)?;
        if !self.routing_key.is_empty() {
            write!(f, ": {}", self.routing_key)?;
        }
        if !self.arguments.is_empty() {
            write!(f, " {}", Value::Object(self.arguments.clone()))?;
        }
        Ok(())
    }
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// From 1; 0 if unknown.
    pub line: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => f.write_str(&self.file),
            line => write!(f, "{}:{line}", self.file),
        }
    }
}

/// A declared object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// Its properties except the name.
    pub body: Map<String, Value>,
    /// Where it is declared, if in a file.
    pub place: Option<Place>,
}

/// Kinds outside of vhosts that a topology governs, so that objects it does not name may be deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Governs {
    /// Users and their limits.
    pub users: bool,
    /// Permissions and topic permissions in its vhosts.
    pub permissions: bool,
    /// Global parameters.
    pub global_parameters: bool,
}

/// A set of declared objects.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// All objects.
    pub objects: BTreeMap<Id, Object>,
    /// The kinds it governs.
    pub governs: Governs,
}

impl Topology {
    /// Adds an object; if it exists already, returns its place.
    pub fn add(&mut self, id: Id, object: Object) -> Result<(), Option<Place>> {
        match self.objects.entry(id) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(object);
                Ok(())
            }
            std::collections::btree_map::Entry::Occupied(entry) => Err(entry.get().place.clone()),
        }
    }

    /// The place of the object shown as `name`, if it came from a file.
    pub fn place_of(&self, name: &str) -> Option<&Place> {
        let mut named = self.objects.iter().filter(|(id, _)| id.to_string() == name);
        named.find_map(|(_, object)| object.place.as_ref())
    }

    /// The vhosts named in it.
    pub fn vhosts(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().filter(|id| id.kind == Kind::Vhost).map(|id| id.part(0))
    }

    /// Whether it contains this object.
    pub fn has(&self, id: &Id) -> bool {
        self.objects.contains_key(id)
    }
}

/// The same value with all members sorted, so that equal values have equal text.
pub fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<_, _> = map.iter().map(|(name, value)| (name, canonical(value))).collect();
            Value::Object(sorted.into_iter().map(|(name, value)| (name.clone(), value)).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

/// The body of a queue.
pub(super) fn queue_body(
    durable: bool,
    auto_delete: bool,
    arguments: Map<String, Value>,
) -> Map<String, Value> {
    members([
        ("durable", json!(durable)),
        ("auto_delete", json!(auto_delete)),
        ("arguments", arguments.into()),
    ])
}

/// A JSON object with these members.
pub(super) fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Whether this is a client's temporary object: not durable, deleted with its last user, or expiring. Topologies do
/// not govern such objects unless they name them.
pub fn is_temporary(id: &Id, body: &Map<String, Value>) -> bool {
    if !matches!(id.kind, Kind::Exchange | Kind::Queue) {
        return false;
    }
    body.get("durable") == Some(&json!(false))
        || body.get("auto_delete") == Some(&json!(true))
        || body.get("arguments").is_some_and(|arguments| arguments.get("x-expires").is_some())
}
