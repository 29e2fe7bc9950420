//! The steps that bring a broker into line with a topology. Pure: what the broker knows beyond its declared objects
//! comes through [`World`].

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::model::{Id, Kind, Object, Topology, canonical, is_temporary};

/// Scope of the changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[expect(clippy::struct_excessive_bools, reason = "flags of a command")]
pub struct Options {
    /// Delete objects in the topology's vhosts (and users and global parameters, if governed) that are not in it.
    pub prune: bool,
    /// Also delete vhosts that are not in it.
    pub prune_vhosts: bool,
    /// Delete even objects that hold messages or are in use.
    pub force: bool,
    /// Change queues and exchanges in ways that AMQP does not allow.
    pub migrate: bool,
}

/// Knowledge of the broker.
pub trait World {
    /// Whether this is the password of the user with the given live body.
    fn password_is(&self, user: &str, live: &Map<String, Value>, password: &str) -> bool;

    /// Why an object should not be deleted without force: it holds messages, or is in use.
    fn in_use(&self, id: &Id) -> Option<String>;

    /// The calling user; never deleted.
    fn caller(&self) -> Option<&str>;
}

/// The action on an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It does not exist.
    Create,
    /// It exists, and can be changed.
    Change,
    /// It exists, and is converted in place with all its contents, for which AMQP has no operation.
    Migrate,
    /// It exists, and should not.
    Delete,
    /// It exists, differs, and cannot be changed; or a dependency is missing.
    Conflict,
}

/// A difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The action.
    pub action: Action,
    /// The object.
    pub id: Id,
    /// What differs: path, live value, wanted value. Secrets are never shown.
    pub fields: Vec<(String, Value, Value)>,
    /// Why it is impossible, or needs force.
    pub why: Option<String>,
}

impl Step {
    /// Whether it prevents changes to its vhost.
    pub fn is_blocked(&self) -> bool {
        self.action == Action::Conflict || self.why.is_some()
    }

    /// Machine-readable form.
    pub fn to_json(&self) -> Value {
        let fields: Vec<_> = self
            .fields
            .iter()
            .map(|(name, from, to)| json!({ "name": name, "from": from, "to": to }))
            .collect();
        json!({
            "action": self.action, "kind": self.id.kind, "vhost": self.id.vhost, "name": self.id.name(),
            "parts": self.id.parts, "fields": fields, "why": self.why,
        })
    }

    /// Parses the output of [`Step::to_json`].
    pub fn from_json(value: &Value) -> Option<Self> {
        let fields = value.get("fields")?.as_array()?.iter().map(|field| {
            let member = |name: &str| field.get(name).cloned().unwrap_or_default();
            (
                field.get("name").and_then(Value::as_str).unwrap_or_default().to_owned(),
                member("from"),
                member("to"),
            )
        });
        Some(Self {
            action: Action::deserialize(value.get("action")?).ok()?,
            id: Id {
                kind: Kind::deserialize(value.get("kind")?).ok()?,
                vhost: value.get("vhost")?.as_str()?.to_owned(),
                parts: Vec::deserialize(value.get("parts")?).ok()?,
            },
            fields: fields.collect(),
            why: value.get("why").and_then(Value::as_str).map(str::to_owned),
        })
    }
}

/// All differences.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// The differences, by vhost, each in creation order.
    pub steps: Vec<Step>,
    /// Number of objects without a difference.
    pub unchanged: usize,
}

impl Plan {
    /// Number of steps with this action.
    pub fn count(&self, action: Action) -> usize {
        self.steps.iter().filter(|step| step.action == action).count()
    }

    /// Machine-readable form.
    pub fn to_json(&self) -> Value {
        json!({
            "steps": self.steps.iter().map(Step::to_json).collect::<Vec<_>>(),
            "create": self.count(Action::Create),
            "change": self.count(Action::Change),
            "migrate": self.count(Action::Migrate),
            "delete": self.count(Action::Delete),
            "conflict": self.count(Action::Conflict),
            "unchanged": self.unchanged,
        })
    }

    /// Parses the output of [`Plan::to_json`].
    pub fn from_json(value: &Value) -> Option<Self> {
        let steps = value.get("steps")?.as_array()?.iter().map(Step::from_json).collect::<Option<_>>()?;
        let unchanged = value.get("unchanged")?.as_u64()?;
        Some(Self { steps, unchanged: usize::try_from(unchanged).unwrap_or(usize::MAX) })
    }
}

/// The argument with a queue's type.
const QUEUE_TYPE: &str = "x-queue-type";

/// Sets the type of queues that name none to what a declaration would give them: the vhost's default type, unless
/// they exist with another.
pub fn settle_types(wanted: &mut Topology, live: &Topology) {
    let default = |topology: &Topology, vhost: &str| {
        let object = topology.objects.get(&Id::vhost(vhost))?;
        object.body.get("default_queue_type").and_then(Value::as_str).map(str::to_owned)
    };
    let vhosts: Vec<String> = wanted.vhosts().map(str::to_owned).collect();
    for vhost in vhosts {
        let default_type = default(wanted, &vhost).or_else(|| default(live, &vhost));
        if default_type.as_deref() != Some("quorum") {
            continue;
        }
        let queues = wanted.objects.iter_mut().filter(|(id, _)| id.kind == Kind::Queue && id.vhost == vhost);
        for (id, queue) in queues.filter(|(_, queue)| !is_temporary_queue(&queue.body)) {
            let there = live.objects.get(id).map(|live| type_of(&live.body));
            let arguments = queue.body.get_mut("arguments").and_then(Value::as_object_mut);
            if let Some(arguments) = arguments.filter(|arguments| !arguments.contains_key(QUEUE_TYPE))
                && there.is_none_or(|there| there == "quorum")
            {
                arguments.insert(QUEUE_TYPE.to_owned(), json!("quorum"));
            }
        }
    }
}

fn is_temporary_queue(body: &Map<String, Value>) -> bool {
    body.get("durable") == Some(&json!(false)) || body.get("auto_delete") == Some(&json!(true))
}

fn type_of(body: &Map<String, Value>) -> &str {
    let arguments = body.get("arguments");
    arguments.and_then(|arguments| arguments.get(QUEUE_TYPE)).and_then(Value::as_str).unwrap_or("classic")
}

/// Computes the plan.
pub fn difference(wanted: &Topology, live: &Topology, options: Options, world: &dyn World) -> Plan {
    let mut plan = Plan::default();
    let going = going(wanted, live, options, world);
    for (id, object) in &wanted.objects {
        let step = match live.objects.get(id) {
            None => Some(missing(id, wanted, live, &going)),
            Some(there) => differing(id, object, there, options, world),
        };
        match step {
            Some(step) => plan.steps.push(step),
            None => plan.unchanged += 1,
        }
    }
    for id in &going {
        let forced = options.force.then_some(());
        let why = if forced.is_some() { None } else { world.in_use(id) };
        plan.steps.push(Step { action: Action::Delete, id: id.clone(), fields: Vec::new(), why });
    }
    plan
}

/// Objects that exist and should not.
fn going(wanted: &Topology, live: &Topology, options: Options, world: &dyn World) -> BTreeSet<Id> {
    let mut going = BTreeSet::new();
    if !options.prune && !options.prune_vhosts {
        return going;
    }
    let vhosts: BTreeSet<&str> = wanted.vhosts().collect();
    for (id, object) in &live.objects {
        if wanted.has(id) || is_temporary(id, &object.body) {
            continue;
        }
        let governed = match id.kind {
            Kind::Vhost => options.prune_vhosts,
            Kind::User => wanted.governs.users && world.caller() != Some(id.part(0)),
            // Deleted together with the user.
            Kind::UserLimits => wanted.has(&Id::new(Kind::User, "", id.part(0))),
            Kind::GlobalParameter => wanted.governs.global_parameters,
            Kind::Permission | Kind::TopicPermission => {
                wanted.governs.permissions
                    && vhosts.contains(id.vhost.as_str())
                    && world.caller() != Some(id.part(0))
            }
            _ => vhosts.contains(id.vhost.as_str()),
        };
        let goes_along = options.prune_vhosts
            && id.kind != Kind::Vhost
            && !id.vhost.is_empty()
            && !vhosts.contains(id.vhost.as_str());
        if governed && !goes_along && (options.prune || id.kind == Kind::Vhost) {
            going.insert(id.clone());
        }
    }
    // Bindings of clients' temporary objects belong to the clients.
    going.retain(|id| match id.as_binding() {
        None => true,
        Some(binding) => {
            let kind = if binding.to_exchange { Kind::Exchange } else { Kind::Queue };
            [(kind, &binding.destination), (Kind::Exchange, &binding.source)].iter().all(|(kind, name)| {
                let end = Id::new(*kind, &id.vhost, name);
                live.objects.get(&end).is_none_or(|object| !is_temporary(&end, &object.body))
            })
        }
    });
    going
}

fn conflict(id: &Id, fields: Vec<(String, Value, Value)>, why: String) -> Step {
    Step { action: Action::Conflict, id: id.clone(), fields, why: Some(why) }
}

/// The step for a missing object: it can be created if its dependencies exist, or are created before it.
fn missing(id: &Id, wanted: &Topology, live: &Topology, going: &BTreeSet<Id>) -> Step {
    let there = |id: &Id| wanted.has(id) || (live.has(id) && !going.contains(id));
    let end = |kind: Kind, name: &str| {
        let predeclared = kind == Kind::Exchange && name.starts_with("amq.");
        let id = Id::new(kind, &id.vhost, name);
        (!predeclared && !there(&id)).then(|| format!("there is no {id}, neither here nor in the broker"))
    };
    let user = |name: &str| {
        let id = Id::new(Kind::User, "", name);
        (!there(&id)).then(|| format!("there is no {id}, neither here nor in the broker"))
    };
    let why = match id.kind {
        Kind::Binding => {
            let binding = id.as_binding().unwrap_or_default();
            let kind = if binding.to_exchange { Kind::Exchange } else { Kind::Queue };
            end(Kind::Exchange, &binding.source).or_else(|| end(kind, &binding.destination))
        }
        Kind::Permission | Kind::TopicPermission | Kind::UserLimits => user(id.part(0)),
        _ => None,
    };
    match why {
        Some(why) => conflict(id, Vec::new(), why),
        None => Step { action: Action::Create, id: id.clone(), fields: Vec::new(), why: None },
    }
}

/// The step for an existing object.
fn differing(id: &Id, wanted: &Object, live: &Object, options: Options, world: &dyn World) -> Option<Step> {
    let fields = fields(id, wanted, live, world);
    if fields.is_empty() {
        return None;
    }
    Some(match id.kind {
        Kind::Queue | Kind::Exchange => {
            let why = "it is there already, and AMQP cannot change this in place; --migrate can";
            let why = (!options.migrate).then(|| why.to_owned());
            Step { action: Action::Migrate, id: id.clone(), fields, why }
        }
        _ => Step { action: Action::Change, id: id.clone(), fields, why: None },
    })
}

fn fields(id: &Id, wanted: &Object, live: &Object, world: &dyn World) -> Vec<(String, Value, Value)> {
    let mut fields = Vec::new();
    let nothing = Value::Null;
    let mut compare = |name: &str, from: &Value, to: &Value| {
        if canonical(from) != canonical(to) {
            spread(name, from, to, &mut fields);
        }
    };
    match id.kind {
        Kind::User => {
            let (hidden, other) = (json!("(secret)"), json!("(another secret)"));
            let same = match wanted.body.get("password").and_then(Value::as_str) {
                Some(password) => world.password_is(id.part(0), &live.body, password),
                // Not given: left as it is.
                None => wanted
                    .body
                    .get("password_hash")
                    .is_none_or(|hash| live.body.get("password_hash") == Some(hash)),
            };
            if !same {
                compare("password", &hidden, &other);
            }
            let sorted = |object: &Object| {
                let tags = object.body.get("tags").and_then(Value::as_array).cloned().unwrap_or_default();
                let tags: BTreeSet<_> = tags.iter().filter_map(Value::as_str).map(str::to_owned).collect();
                json!(tags)
            };
            compare("tags", &sorted(live), &sorted(wanted));
        }
        // Members that are not given are left as they are.
        Kind::Vhost => {
            for (name, value) in &wanted.body {
                let from = live.body.get(name).unwrap_or(&nothing);
                let unsaid = name == "default_queue_type" && from.is_null() && value == "classic";
                let empty = from.is_null() && (value == "" || *value == json!([]));
                if !unsaid && !empty {
                    compare(name, from, value);
                }
            }
        }
        _ => {
            let names: BTreeSet<&String> = wanted.body.keys().chain(live.body.keys()).collect();
            for name in names {
                let at = |object: &Object| {
                    let mut value = object.body.get(name).cloned().unwrap_or_default();
                    // A queue without a type is classic.
                    let arguments = value.as_object_mut().filter(|_| id.kind == Kind::Queue);
                    if let Some(arguments) = arguments
                        && arguments.get(QUEUE_TYPE) == Some(&json!("classic"))
                    {
                        arguments.remove(QUEUE_TYPE);
                    }
                    value
                };
                compare(name, &at(live), &at(wanted));
            }
        }
    }
    fields
}

/// Collects the members that differ, one level deep for maps.
fn spread(name: &str, from: &Value, to: &Value, into: &mut Vec<(String, Value, Value)>) {
    let (Some(old), Some(new)) = (from.as_object(), to.as_object()) else {
        into.push((name.to_owned(), from.clone(), to.clone()));
        return;
    };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for member in names {
        let at = |map: &Map<String, Value>| map.get(member).cloned().unwrap_or_default();
        let (from, to) = (at(old), at(new));
        if canonical(&from) != canonical(&to) {
            into.push((format!("{name}.{member}"), from, to));
        }
    }
}
