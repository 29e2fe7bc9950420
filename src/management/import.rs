//! Import of definitions: new objects are created, identical ones left alone, and whatever cannot be imported is
//! reported with its reason, never dropped silently. All users are created in one commit, and the rules, durable
//! exchanges, queues and bindings of a vhost in another; a dry run checks them in the same way. Vhosts and global
//! parameters, which are few, are created one by one.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leveret_broker::Caller;
use leveret_broker::accounts::NewUser;
use leveret_broker::arguments::FieldTable;
use leveret_broker::batch::{Batch, NewExchange, NewQueue, Part, Rule};
use leveret_broker::bindings::BindingRequest;
use leveret_broker::definitions::DestinationKind;
use leveret_broker::exchanges::ExchangeRequest;
use leveret_broker::names::{ExchangeName, QueueName};
use leveret_broker::policies::PolicyKind;
use leveret_broker::queue_options::QueueSpec;
use leveret_broker::queues::QueueRequest;
use leveret_broker::refusal::Refusal;
use leveret_broker::turn::Turn;
use leveret_broker::users::AccessRights;
use leveret_broker::vhost::Vhost;
use serde_json::{Map, Value, json};

use super::access::Login;
use super::accounts::UserBody;
use super::answer::{self, Query};
use super::audit::{Note, noted};
use super::body::Unread;
use super::definitions::{
    BindingBody, ExchangeBody, GlobalParameterBody, NamedPolicyBody, ParameterBody, PermissionBody,
    QueueBody, TopicPermissionBody, VhostBody,
};
use super::error::{Refused, Result};
use super::pending::Pending;
use super::{Api, Shared, body, parameters, tables};

/// Import order: each kind depends only on those before it.
const ORDER: [&str; 10] = [
    "vhosts",
    "users",
    "permissions",
    "topic_permissions",
    "global_parameters",
    "parameters",
    "policies",
    "exchanges",
    "queues",
    "bindings",
];

/// Kinds outside any single vhost.
const OF_ALL: [&str; 5] = ["vhosts", "users", "permissions", "topic_permissions", "global_parameters"];

/// Maximum definitions per kind: bounds the work of one request.
const OBJECTS_MAX: usize = 1_000_000;

/// A running import.
struct Import<'a> {
    api: &'a Shared,
    login: &'a Login,
    /// All objects go into this vhost.
    vhost: Option<&'a str>,
    /// Nothing is changed.
    dry: bool,
    /// Each definition of the file and its outcome, in file order.
    outcomes: Vec<(Value, Result<Taken>)>,
    /// Users to be created, with the indices of their definitions in the file.
    users: Vec<(usize, NewUser)>,
    /// Objects to be created, by vhost.
    pending: BTreeMap<String, Pending>,
    /// Vhosts and users that a dry run would create.
    planned: HashSet<(&'static str, String)>,
}

/// The outcome of one definition.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Taken {
    New,
    Same,
    /// Decided together with others.
    Later,
}

/// `POST definitions`.
pub(super) async fn cluster(
    State(api): State<Api>,
    login: Login,
    query: Query,
    body: Unread,
) -> Result<Response> {
    login.administrator()?;
    import(&api, &login, None, &query, &body.file().await?)
}

/// `POST definitions/:vhost`. Ignores the caller's permissions in the vhost, so it is for administrators.
pub(super) async fn of_vhost(
    State(api): State<Api>,
    login: Login,
    Path(vhost): Path<String>,
    query: Query,
    body: Unread,
) -> Result<Response> {
    login.administrator()?;
    api.seen(&login, &vhost)?;
    import(&api, &login, Some(&vhost), &query, &body.file().await?)
}

fn import(api: &Shared, login: &Login, vhost: Option<&str>, query: &Query, bytes: &[u8]) -> Result<Response> {
    let mut given: Map<String, Value> = body::read(bytes)?;
    let dry = answer::asked(query, "dry_run") || query.get("dry_run").is_some_and(String::is_empty);
    let mut import = Import::new(api, login, vhost, dry);
    tokio::task::block_in_place(|| import.run(&mut given))?;
    let Report { created, unchanged, conflicts } = import.report();
    if dry {
        let report =
            json!({ "dry_run": true, "create": created, "unchanged": unchanged, "conflicts": conflicts });
        return Ok(noted(Json(report).into_response(), Note::Nothing));
    }
    let done = format!(
        "imported definitions: {} created, {unchanged} unchanged, {} refused",
        created.len(),
        conflicts.len()
    );
    let done = Note::Done(done);
    if conflicts.is_empty() {
        return Ok(noted(answer::done(), done));
    }
    let (count, first) = (conflicts.len(), conflicts[0]["reason"].clone());
    let report = json!({
        "error": "bad_request",
        "reason": format!(
            "definitions: {count} refused, {} created, {unchanged} unchanged; first refusal: {}",
            created.len(),
            first.as_str().unwrap_or("")
        ),
        "conflicts": conflicts,
        "created": created.len(),
        "unchanged": unchanged,
    });
    Ok(noted((StatusCode::BAD_REQUEST, Json(report)).into_response(), done))
}

/// Imports one definition of a kind, changing what can be changed.
pub(super) fn one(api: &Shared, login: &Login, kind: &str, definition: Value) -> Result<()> {
    let mut import = Import::new(api, login, None, false);
    import.define(kind, definition);
    import.settle_users();
    import.settle();
    import.outcomes.pop().map_or(Ok(()), |(_, outcome)| outcome.map(|_| ()))
}

/// The outcomes of all definitions.
struct Report {
    created: Vec<Value>,
    unchanged: usize,
    conflicts: Vec<Value>,
}

impl<'a> Import<'a> {
    fn new(api: &'a Shared, login: &'a Login, vhost: Option<&'a str>, dry: bool) -> Self {
        Self {
            api,
            login,
            vhost,
            dry,
            outcomes: Vec::new(),
            users: Vec::new(),
            pending: BTreeMap::new(),
            planned: HashSet::new(),
        }
    }
}

impl Import<'_> {
    fn run(&mut self, given: &mut Map<String, Value>) -> Result<()> {
        for kind in ORDER {
            if self.vhost.is_some() && OF_ALL.contains(&kind) {
                continue;
            }
            for mut object in list(given, kind)? {
                if let (Some(vhost), Some(object)) = (self.vhost, object.as_object_mut()) {
                    object.insert("vhost".to_owned(), json!(vhost));
                }
                self.define(kind, object);
            }
            // Later kinds may refer to users.
            self.settle_users();
        }
        self.settle();
        Ok(())
    }

    fn define(&mut self, kind: &str, object: Value) {
        let mut named = json!({
            "kind": kind,
            "vhost": object.get("vhost"),
            "name": object.get("name").or_else(|| object.get("user")),
            "source": object.get("source"),
            "destination": object.get("destination"),
        });
        if let Some(object) = named.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
        let taken = self.take(kind, object);
        self.outcomes.push((named, taken));
    }

    fn report(self) -> Report {
        let mut report = Report { created: Vec::new(), unchanged: 0, conflicts: Vec::new() };
        for (mut named, outcome) in self.outcomes {
            match outcome {
                Ok(Taken::Same) => report.unchanged += 1,
                Ok(Taken::New | Taken::Later) => report.created.push(named),
                Err(refused) => {
                    named["reason"] = json!(refused.reason());
                    report.conflicts.push(named);
                }
            }
        }
        report
    }

    fn settle_users(&mut self) {
        if self.users.is_empty() {
            return;
        }
        let (places, users): (Vec<_>, Vec<_>) = std::mem::take(&mut self.users).into_iter().unzip();
        if let Err(refusal) = self.api.broker.put_users(&users) {
            let reason = Refused::from(refusal);
            for at in places {
                self.outcomes[at].1 = Err(reason.clone());
            }
        }
    }

    /// Commits what is decided together; a dry run only determines what would be refused.
    fn settle(&mut self) {
        let broker = &self.api.broker;
        for (name, mut pending) in std::mem::take(&mut self.pending) {
            if self.dry {
                pending.all_in_batch();
            }
            // In a dry run the vhost may be one that would be created.
            let vhost = broker.vhost(&name).unwrap_or_else(|| Arc::new(Vhost::new(&name)));
            match broker.declare_what_can(&vhost, &pending.batch, self.dry) {
                Ok(refused) => {
                    for (part, refusal) in refused {
                        if let Some(at) = pending.places.get(&part) {
                            self.outcomes[*at].1 = Err(refusal.into());
                        }
                    }
                }
                Err(refusal) => {
                    let reason = Refused::from(refusal);
                    for at in pending.places.values() {
                        self.outcomes[*at].1 = Err(reason.clone());
                    }
                }
            }
            for (at, made) in pending.make_transient(broker, &vhost, &self.login.user) {
                self.outcomes[at].1 = made.map(|()| Taken::New).map_err(Refused::from);
            }
        }
    }

    /// Adds a part to be decided together with others.
    fn later(&mut self, vhost: &str, part: impl FnOnce(&mut Batch) -> Part) -> Taken {
        let pending = self.pending.entry(vhost.to_owned()).or_default();
        let part = part(&mut pending.batch);
        pending.places.insert(part, self.outcomes.len());
        Taken::Later
    }

    /// Whether the file has already defined this name identically; refused if it differed.
    fn said(&mut self, kind: &'static str, vhost: &str, name: &str, value: &Value) -> Result<bool> {
        let said = &mut self.pending.entry(vhost.to_owned()).or_default().said;
        match said.get(&(kind, name.to_owned())) {
            Some(before) if before == value => Ok(true),
            Some(_) => Err(Refused::bad_request(format!("the file says two things of {kind} '{name}'"))),
            None => {
                said.insert((kind, name.to_owned()), value.clone());
                Ok(false)
            }
        }
    }

    /// Whether the file defines a transient object of that name.
    fn said_transient(&self, kind: &'static str, vhost: &str, name: &str) -> bool {
        let said = self.pending.get(vhost).and_then(|pending| pending.said.get(&(kind, name.to_owned())));
        said.is_some_and(|value| value["durable"] == json!(false))
    }

    fn is_planned(&self, kind: &'static str, name: &str) -> bool {
        self.dry && self.planned.contains(&(kind, name.to_owned()))
    }

    fn take(&mut self, kind: &str, value: Value) -> Result<Taken> {
        match kind {
            "vhosts" => self.vhost(body::object_of(value)?),
            "users" => self.user(body::object_of(value)?),
            "permissions" => self.permission(body::object_of(value)?),
            "topic_permissions" => self.topic_permission(body::object_of(value)?),
            "global_parameters" => self.global_parameter(&body::object_of(value)?),
            "parameters" => self.parameter(body::object_of(value)?),
            "policies" => self.policy(body::object_of(value)?),
            "exchanges" => self.exchange(&body::object_of(value.clone())?, &value),
            "queues" => self.queue(&body::object_of(value.clone())?, &value),
            _ => self.binding(&body::object_of(value)?),
        }
    }

    fn vhost(&mut self, body: VhostBody) -> Result<Taken> {
        let broker = &self.api.broker;
        let old = broker.vhost(&body.name).map(|vhost| vhost.record.read().clone());
        let (name, record) = body.applied_to(old.clone().unwrap_or_default())?;
        if old.as_ref() == Some(&record) {
            return Ok(Taken::Same);
        }
        if self.dry {
            broker.check_new_name("vhost", &name)?;
            self.planned.insert(("vhost", name));
        } else {
            broker.put_vhost(&name, &record)?;
        }
        Ok(Taken::New)
    }

    fn user(&mut self, mut body: UserBody) -> Result<Taken> {
        let broker = &self.api.broker;
        let name = body.name.clone().ok_or_else(|| Refused::bad_request("a user without a name"))?;
        let limits = body.limits()?;
        let record = body.record()?;
        let same_limits = limits.as_ref().is_none_or(|limits| *limits == broker.users.limits(&name));
        if broker.users.user(&name).as_ref() == Some(&record) && same_limits {
            return Ok(Taken::Same);
        }
        broker.check_new_name("user", &name)?;
        if self.dry {
            self.planned.insert(("user", name));
            return Ok(Taken::New);
        }
        self.users.push((self.outcomes.len(), NewUser { name, record, limits }));
        Ok(Taken::Later)
    }

    fn permission(&mut self, body: PermissionBody) -> Result<Taken> {
        let broker = &self.api.broker;
        if broker.users.permission(&body.user, &body.vhost).as_ref() == Some(&body.record) {
            return Ok(Taken::Same);
        }
        self.known(&body.user, &body.vhost)?;
        broker.check_permission(&body.record)?;
        Ok(self.rule(&body.vhost, Rule::Permission(body.user, body.record)))
    }

    /// A vhost's rule, decided together with its other definitions.
    fn rule(&mut self, vhost: &str, rule: Rule) -> Taken {
        self.later(vhost, |batch| {
            batch.rules.push(rule);
            Part::Rule(batch.rules.len() - 1)
        })
    }

    /// Refuses references to a user or vhost that exists neither in the broker nor in the file.
    fn known(&self, user: &str, vhost: &str) -> Result<()> {
        if self.api.broker.vhost(vhost).is_none() && !self.is_planned("vhost", vhost) {
            return Err(Refusal::NoVhost(vhost.to_owned()).into());
        }
        if self.api.broker.users.user(user).is_none() && !self.is_planned("user", user) {
            return Err(Refused::bad_request(format!("user '{user}' does not exist")));
        }
        Ok(())
    }

    fn topic_permission(&mut self, body: TopicPermissionBody) -> Result<Taken> {
        let users = &self.api.broker.users;
        if users.topic_permission(&body.user, &body.vhost, &body.exchange).as_ref() == Some(&body.record) {
            return Ok(Taken::Same);
        }
        self.known(&body.user, &body.vhost)?;
        Ok(self.rule(&body.vhost, Rule::TopicPermission(body.user, body.exchange, body.record)))
    }

    fn global_parameter(&self, body: &GlobalParameterBody) -> Result<Taken> {
        let broker = &self.api.broker;
        if broker.global_parameter(&body.name).as_ref() == Some(&body.value) {
            return Ok(Taken::Same);
        }
        if self.dry {
            broker.check_new_name("global parameter", &body.name)?;
        } else {
            broker.set_global_parameter(&body.name, &body.value)?;
        }
        Ok(Taken::New)
    }

    fn parameter(&mut self, body: ParameterBody) -> Result<Taken> {
        let ParameterBody { vhost, component, name, value } = body;
        let there = self.entered(&vhost)?;
        let rule = parameters::rule(self.login, &component, &name, value)?;
        if there.is_some_and(|(place, _)| parameters::is_said(&place, &rule)) {
            return Ok(Taken::Same);
        }
        Ok(self.rule(&vhost, rule))
    }

    fn policy(&mut self, body: NamedPolicyBody) -> Result<Taken> {
        let rule = Rule::Policy(PolicyKind::User, body.name, body.policy.record(PolicyKind::User)?);
        let there = self.entered(&body.vhost)?;
        if there.is_some_and(|(place, _)| parameters::is_said(&place, &rule)) {
            return Ok(Taken::Same);
        }
        Ok(self.rule(&body.vhost, rule))
    }

    /// The vhost, with all rights. `None`: a dry run, in which it would be created.
    fn entered(&self, name: &str) -> Result<Option<(Arc<Vhost>, AccessRights)>> {
        match self.api.broker.vhost(name) {
            Some(vhost) => {
                let rights = AccessRights::unlimited(&self.login.user, &vhost.name);
                Ok(Some((vhost, rights)))
            }
            None if self.is_planned("vhost", name) => Ok(None),
            None => Err(Refused::not_found(format!("no vhost '{name}'"))),
        }
    }

    fn exchange(&mut self, body: &ExchangeBody, value: &Value) -> Result<Taken> {
        let there = self.entered(&body.vhost)?;
        let name = super::paths::short("exchange name", &body.name)?;
        let arguments = tables::table(&body.arguments)?;
        let old = there.as_ref().and_then(|(vhost, _)| vhost.exchange(&name)).is_some();
        if !old && self.said("exchange", &body.vhost, &name, value)? {
            return Ok(Taken::Same);
        }
        if !old {
            let exchange = NewExchange {
                name: ExchangeName::new(&name),
                kind: body.kind.clone(),
                auto_delete: body.auto_delete,
                internal: body.internal,
                arguments,
            };
            if !body.durable {
                let at = self.outcomes.len();
                self.pending.entry(body.vhost.clone()).or_default().exchanges.push((at, exchange));
                return Ok(Taken::Later);
            }
            return Ok(self.later(&body.vhost, |batch| {
                batch.exchanges.push(exchange);
                Part::Exchange(batch.exchanges.len() - 1)
            }));
        }
        let Some((vhost, rights)) = there else { return Ok(Taken::New) };
        let request = ExchangeRequest {
            kind: &body.kind,
            durable: body.durable,
            auto_delete: body.auto_delete,
            internal: body.internal,
            arguments: &arguments,
        };
        let caller = Caller { rights: &rights, connection: None };
        // An existing one is only compared.
        self.api.broker.declare_exchange(&vhost, &caller, &ExchangeName::new(&name), &request)?;
        Ok(Taken::Same)
    }

    fn queue(&mut self, body: &QueueBody, value: &Value) -> Result<Taken> {
        let there = self.entered(&body.vhost)?;
        let name = super::paths::short("queue name", &body.name)?;
        let arguments = body.arguments()?;
        if name.is_empty() {
            return Err(Refused::bad_request("a queue without a name"));
        }
        let old = there.as_ref().is_some_and(|(vhost, _)| vhost.queue(&name).is_some());
        if !old && self.said("queue", &body.vhost, &name, value)? {
            return Ok(Taken::Same);
        }
        if !old {
            return self.new_queue(body, there.map(|(vhost, _)| vhost), &QueueName::new(&name), arguments);
        }
        let Some((vhost, rights)) = there else { return Ok(Taken::New) };
        let request = QueueRequest {
            passive: false,
            durable: body.durable,
            exclusive: false,
            auto_delete: body.auto_delete,
            arguments: &arguments,
        };
        let caller = Caller { rights: &rights, connection: None };
        let mut turn = Turn::at(self.api.broker.now());
        let broker = &self.api.broker;
        let declared = broker.declare_queue(&vhost, &caller, &mut turn, &QueueName::new(&name), &request);
        broker.finish(&mut turn);
        Ok(if declared?.created { Taken::New } else { Taken::Same })
    }

    fn new_queue(
        &mut self,
        body: &QueueBody,
        vhost: Option<Arc<Vhost>>,
        name: &QueueName,
        arguments: FieldTable,
    ) -> Result<Taken> {
        let vhost = vhost.unwrap_or_else(|| Arc::new(Vhost::new(&body.vhost)));
        let mut spec = QueueSpec {
            durable: body.durable,
            auto_delete: body.auto_delete,
            exclusive_owner: None,
            hidden: false,
            arguments,
        };
        let broker = &self.api.broker;
        broker.give_default_type(&vhost, &mut spec);
        broker.check_new_queue(&vhost, name, &spec)?;
        let QueueSpec { auto_delete, arguments, .. } = spec;
        let queue = NewQueue { name: name.clone(), auto_delete, arguments };
        if !body.durable {
            let at = self.outcomes.len();
            self.pending.entry(body.vhost.clone()).or_default().queues.push((at, queue));
            return Ok(Taken::Later);
        }
        Ok(self.later(&body.vhost, |batch| {
            batch.queues.push(queue);
            Part::Queue(batch.queues.len() - 1)
        }))
    }

    fn binding(&mut self, body: &BindingBody) -> Result<Taken> {
        let there = self.entered(&body.vhost)?.map(|(vhost, _)| vhost);
        let request = BindingRequest {
            source: ExchangeName::new(&super::paths::short("source", &body.source)?),
            kind: body.destination_type,
            destination: super::paths::short("destination", &body.destination)?,
            routing_key: super::paths::short("routing_key", &body.routing_key)?,
            arguments: tables::table(&body.arguments)?,
        };
        if there.as_ref().is_some_and(|vhost| request.is_there(vhost)) {
            return Ok(Taken::Same);
        }
        if self.is_transient(&body.vhost, there.as_deref(), &request) {
            let at = self.outcomes.len();
            self.pending.entry(body.vhost.clone()).or_default().bindings.push((at, request));
            return Ok(Taken::Later);
        }
        Ok(self.later(&body.vhost, |batch| {
            batch.bindings.push(request);
            Part::Binding(batch.bindings.len() - 1)
        }))
    }

    /// Whether one end of a binding exists, or is in the file, and is transient.
    fn is_transient(&self, name: &str, vhost: Option<&Vhost>, request: &BindingRequest) -> bool {
        let exchange = |exchange: &str| {
            let there = vhost.and_then(|vhost| vhost.exchange(exchange));
            there.is_some_and(|there| !there.durable) || self.said_transient("exchange", name, exchange)
        };
        let destination = match request.kind {
            DestinationKind::Exchange => exchange(&request.destination),
            DestinationKind::Queue => {
                let there = vhost.and_then(|vhost| vhost.queue(&request.destination));
                there.is_some_and(|there| !there.durable())
                    || self.said_transient("queue", name, &request.destination)
            }
        };
        destination || exchange(request.source.as_str())
    }
}

fn list(given: &mut Map<String, Value>, kind: &str) -> Result<Vec<Value>> {
    match given.remove(kind) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= OBJECTS_MAX => Ok(list),
        Some(Value::Array(_)) => Err(Refused::bad_request(format!("more than {OBJECTS_MAX} {kind}"))),
        Some(_) => Err(Refused::bad_request(format!("{kind} is not a list"))),
    }
}
