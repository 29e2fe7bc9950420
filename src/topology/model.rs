//! What is declared, as objects that can be compared: each with what names it, and a body of JSON as in
//! `RabbitMQ`'s definitions.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// Kinds of objects, in the order in which they can be made: each needs only those before it.
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
    /// A policy that limits what others say.
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
    /// As people read it.
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

/// What names an object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// The vhost it is in; empty for users and global parameters. A vhost is in itself.
    pub vhost: String,
    /// What it is.
    pub kind: Kind,
    /// Its name; several parts where one does not suffice (see the constructors).
    pub parts: Vec<String>,
}

impl Id {
    /// What has one name, in a vhost or (an empty one) outside of all.
    pub fn new(kind: Kind, vhost: &str, name: &str) -> Self {
        Self { vhost: vhost.to_owned(), kind, parts: vec![name.to_owned()] }
    }

    /// A vhost.
    pub fn vhost(name: &str) -> Self {
        Self::new(Kind::Vhost, name, name)
    }

    /// What has a name of two parts: a parameter its component and name, a topic permission its user and
    /// exchange.
    pub fn pair(kind: Kind, vhost: &str, first: &str, second: &str) -> Self {
        Self { vhost: vhost.to_owned(), kind, parts: vec![first.to_owned(), second.to_owned()] }
    }

    /// The binding is all that it says.
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

    /// What a binding says.
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

    /// The name, as people read it.
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

/// What a binding says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Binding {
    /// The exchange it leads from.
    pub source: String,
    /// It leads to an exchange, not to a queue.
    pub to_exchange: bool,
    /// What it leads to.
    pub destination: String,
    /// Key, pattern or weight.
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

/// Where in a file something stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub file: Arc<str>,
    /// Counted from 1; 0 where the file does not tell.
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

/// Something declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Object {
    /// What is said of it, but for its name.
    pub body: Map<String, Value>,
    /// Where, if it came from a file.
    pub place: Option<Place>,
}

/// Which kinds outside of vhosts a topology speaks for, so that what it does not name may be deleted.
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

/// What is declared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Topology {
    /// All of it.
    pub objects: BTreeMap<Id, Object>,
    /// What it speaks for.
    pub governs: Governs,
}

impl Topology {
    /// Adds an object; gives back where it stands already, if it does.
    pub fn add(&mut self, id: Id, object: Object) -> Result<(), Option<Place>> {
        match self.objects.entry(id) {
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(object);
                Ok(())
            }
            std::collections::btree_map::Entry::Occupied(entry) => Err(entry.get().place.clone()),
        }
    }

    /// Where what is shown as `name` stands, if it came from a file.
    pub fn place_of(&self, name: &str) -> Option<&Place> {
        let mut named = self.objects.iter().filter(|(id, _)| id.to_string() == name);
        named.find_map(|(_, object)| object.place.as_ref())
    }

    /// The vhosts it names.
    pub fn vhosts(&self) -> impl Iterator<Item = &str> {
        self.objects.keys().filter(|id| id.kind == Kind::Vhost).map(|id| id.part(0))
    }

    /// Whether it has this.
    pub fn has(&self, id: &Id) -> bool {
        self.objects.contains_key(id)
    }
}

/// The same value with all members in order, so that its text tells it from others.
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

/// A JSON object of these members.
pub(super) fn members<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Whether a client made this for itself, to go by itself: not durable, deleted with its last user, or
/// expiring. No file speaks for such things unless it names them.
pub fn is_temporary(id: &Id, body: &Map<String, Value>) -> bool {
    if !matches!(id.kind, Kind::Exchange | Kind::Queue) {
        return false;
    }
    body.get("durable") == Some(&json!(false))
        || body.get("auto_delete") == Some(&json!(true))
        || body.get("arguments").is_some_and(|arguments| arguments.get("x-expires").is_some())
}
