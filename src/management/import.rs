//! Definitions are taken in one by one: what is new is made, what is there and the same is left alone,
//! and whatever cannot be taken is told with its reason, never left out in silence.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::{Map, Value, json};

use super::access::Login;
use super::accounts::UserBody;
use super::answer::{self, Query};
use super::body::Unread;
use super::definitions::{
    BindingBody, ExchangeBody, GlobalParameterBody, NamedPolicyBody, ParameterBody, PermissionBody,
    QueueBody, TopicPermissionBody, VhostBody,
};
use super::error::{Refused, Result};
use super::export::may_manage;
use super::{Api, Shared, body, parameters, tables};
use crate::broker::Caller;
use crate::broker::bindings::BindingRequest;
use crate::broker::exchanges::ExchangeRequest;
use crate::broker::names::{ExchangeName, QueueName};
use crate::broker::policies::PolicyKind;
use crate::broker::queues::QueueRequest;
use crate::broker::turn::Turn;
use crate::broker::users::AccessRights;
use crate::broker::vhost::Vhost;

/// The order in which definitions can be taken: each kind needs only those before it.
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

/// Kinds that are of no single vhost.
const OF_ALL: [&str; 5] = ["vhosts", "users", "permissions", "topic_permissions", "global_parameters"];

/// Definitions of one kind, at most: a bound on what one request may ask for.
const OBJECTS_MAX: usize = 1_000_000;

/// An import at work.
struct Import<'a> {
    api: &'a Shared,
    login: &'a Login,
    /// Everything goes into this vhost.
    vhost: Option<&'a str>,
    /// Nothing is changed.
    dry: bool,
    created: Vec<Value>,
    unchanged: usize,
    conflicts: Vec<Value>,
}

/// What became of one definition.
enum Taken {
    New,
    Same,
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

/// `POST definitions/:vhost`.
pub(super) async fn of_vhost(
    State(api): State<Api>,
    login: Login,
    Path(vhost): Path<String>,
    query: Query,
    body: Unread,
) -> Result<Response> {
    may_manage(&api, &login, &vhost)?;
    api.seen(&login, &vhost)?;
    import(&api, &login, Some(&vhost), &query, &body.file().await?)
}

fn import(api: &Shared, login: &Login, vhost: Option<&str>, query: &Query, bytes: &[u8]) -> Result<Response> {
    let mut given: Map<String, Value> = body::read(bytes)?;
    let dry = answer::asked(query, "dry_run") || query.get("dry_run").is_some_and(String::is_empty);
    let mut import =
        Import { api, login, vhost, dry, created: Vec::new(), unchanged: 0, conflicts: Vec::new() };
    tokio::task::block_in_place(|| import.run(&mut given))?;
    if dry {
        let conflicts = import.conflicts;
        let report = json!({
            "dry_run": true, "create": import.created, "unchanged": import.unchanged, "conflicts": conflicts,
        });
        return Ok(Json(report).into_response());
    }
    if import.conflicts.is_empty() {
        return Ok(answer::done());
    }
    let (count, first) = (import.conflicts.len(), import.conflicts[0]["reason"].clone());
    let report = json!({
        "error": "bad_request",
        "reason": format!("{count} definitions were not taken; the first: {}", first.as_str().unwrap_or("")),
        "conflicts": import.conflicts,
        "created": import.created.len(),
        "unchanged": import.unchanged,
    });
    Ok((StatusCode::BAD_REQUEST, Json(report)).into_response())
}

/// Takes one definition of a kind, changing what can be changed.
pub(super) fn one(api: &Shared, login: &Login, kind: &str, definition: Value) -> Result<()> {
    let import = Import {
        api,
        login,
        vhost: None,
        dry: false,
        created: Vec::new(),
        unchanged: 0,
        conflicts: Vec::new(),
    };
    import.take(kind, definition).map(|_| ())
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
                let named = json!({
                    "kind": kind,
                    "vhost": object.get("vhost"),
                    "name": object.get("name").or_else(|| object.get("user")),
                    "source": object.get("source"),
                    "destination": object.get("destination"),
                });
                let taken = self.take(kind, object);
                self.note(named, taken);
            }
        }
        Ok(())
    }

    fn note(&mut self, mut named: Value, taken: Result<Taken>) {
        if let Some(object) = named.as_object_mut() {
            object.retain(|_, value| !value.is_null());
        }
        match taken {
            Ok(Taken::Same) => self.unchanged += 1,
            Ok(Taken::New) => self.created.push(named),
            Err(refused) => {
                named["reason"] = json!(refused.reason());
                self.conflicts.push(named);
            }
        }
    }

    fn take(&self, kind: &str, value: Value) -> Result<Taken> {
        match kind {
            "vhosts" => self.vhost(body::object_of(value)?),
            "users" => self.user(body::object_of(value)?),
            "permissions" => self.permission(body::object_of(value)?),
            "topic_permissions" => self.topic_permission(&body::object_of(value)?),
            "global_parameters" => self.global_parameter(body::object_of(value)?),
            "parameters" => self.parameter(body::object_of(value)?),
            "policies" => self.policy(&body::object_of(value)?),
            "exchanges" => self.exchange(&body::object_of(value)?),
            "queues" => self.queue(&body::object_of(value)?),
            _ => self.binding(&body::object_of(value)?),
        }
    }

    fn vhost(&self, body: VhostBody) -> Result<Taken> {
        let broker = &self.api.broker;
        let old = broker.vhost(&body.name).map(|vhost| vhost.record.read().clone());
        let (name, record) = body.applied_to(old.clone().unwrap_or_default())?;
        if old.as_ref() == Some(&record) {
            return Ok(Taken::Same);
        }
        if !self.dry {
            broker.put_vhost(&name, record)?;
        }
        Ok(Taken::New)
    }

    fn user(&self, mut body: UserBody) -> Result<Taken> {
        let broker = &self.api.broker;
        let name = body.name.clone().ok_or_else(|| Refused::bad_request("a user without a name"))?;
        let limits = body.limits()?;
        let record = body.record()?;
        let same_limits = limits.as_ref().is_none_or(|limits| *limits == broker.users.limits(&name));
        if broker.users.user(&name).as_ref() == Some(&record) && same_limits {
            return Ok(Taken::Same);
        }
        if !self.dry {
            broker.put_user(&name, record)?;
            if let Some(limits) = limits {
                broker.set_user_limits(&name, limits)?;
            }
        }
        Ok(Taken::New)
    }

    fn permission(&self, body: PermissionBody) -> Result<Taken> {
        let broker = &self.api.broker;
        if broker.users.permission(&body.user, &body.vhost).as_ref() == Some(&body.record) {
            return Ok(Taken::Same);
        }
        if !self.dry {
            broker.set_permission(&body.user, &body.vhost, body.record)?;
        }
        Ok(Taken::New)
    }

    fn topic_permission(&self, body: &TopicPermissionBody) -> Result<Taken> {
        let (broker, same) = (&self.api.broker, (body.exchange.clone(), body.record.clone()));
        if broker.users.topic_permissions_of(&body.user, &body.vhost).contains(&same) {
            return Ok(Taken::Same);
        }
        if !self.dry {
            broker.set_topic_permission(&body.user, &body.vhost, &body.exchange, &body.record)?;
        }
        Ok(Taken::New)
    }

    fn global_parameter(&self, body: GlobalParameterBody) -> Result<Taken> {
        let broker = &self.api.broker;
        if broker.global_parameter(&body.name).as_ref() == Some(&body.value) {
            return Ok(Taken::Same);
        }
        if !self.dry {
            broker.set_global_parameter(&body.name, body.value)?;
        }
        Ok(Taken::New)
    }

    fn parameter(&self, body: ParameterBody) -> Result<Taken> {
        let ParameterBody { vhost, component, name, value } = body;
        let Some((place, _)) = self.entered(&vhost)? else { return Ok(Taken::New) };
        let same =
            |row: &Value| row["component"] == component && row["name"] == name && row["value"] == value;
        if parameters::of_vhost(&place).iter().any(same) {
            return Ok(Taken::Same);
        }
        parameters::set(self.api, self.login, &component, &vhost, &name, Some(value), self.dry)?;
        Ok(Taken::New)
    }

    fn policy(&self, body: &NamedPolicyBody) -> Result<Taken> {
        let record = body.policy.record(PolicyKind::User)?;
        let Some((vhost, _)) = self.entered(&body.vhost)? else { return Ok(Taken::New) };
        let old = vhost.policies().get(PolicyKind::User, &body.name).map(|policy| policy.record.clone());
        if old.as_ref() == Some(&record) {
            return Ok(Taken::Same);
        }
        if !self.dry {
            self.api.broker.put_policy(&body.vhost, PolicyKind::User, &body.name, record)?;
        }
        Ok(Taken::New)
    }

    /// The vhost, to be changed with all rights. `None`: it would be made, were this not a dry run.
    fn entered(&self, name: &str) -> Result<Option<(Arc<Vhost>, AccessRights)>> {
        match self.api.broker.vhost(name) {
            Some(vhost) => {
                let rights = AccessRights::unlimited(&self.login.user, &vhost.name);
                Ok(Some((vhost, rights)))
            }
            None if self.dry => Ok(None),
            None => Err(Refused::not_found(format!("no vhost '{name}'"))),
        }
    }

    fn exchange(&self, body: &ExchangeBody) -> Result<Taken> {
        let Some((vhost, rights)) = self.entered(&body.vhost)? else { return Ok(Taken::New) };
        let name = super::paths::short("exchange name", &body.name)?;
        let old = vhost.exchange(&name).is_some();
        let arguments = tables::table(&body.arguments)?;
        if !old && self.dry {
            return Ok(Taken::New);
        }
        let request = ExchangeRequest {
            kind: &body.kind,
            durable: body.durable,
            auto_delete: body.auto_delete,
            internal: body.internal,
            arguments: &arguments,
        };
        let caller = Caller { rights: &rights, connection: None };
        // One that is there is only compared.
        self.api.broker.declare_exchange(&vhost, &caller, &ExchangeName::new(&name), &request)?;
        Ok(if old { Taken::Same } else { Taken::New })
    }

    fn queue(&self, body: &QueueBody) -> Result<Taken> {
        let Some((vhost, rights)) = self.entered(&body.vhost)? else { return Ok(Taken::New) };
        let name = super::paths::short("queue name", &body.name)?;
        let old = vhost.queue(&name).is_some();
        let arguments = body.arguments()?;
        if name.is_empty() {
            return Err(Refused::bad_request("a queue without a name"));
        }
        if !old && self.dry {
            return Ok(Taken::New);
        }
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

    fn binding(&self, body: &BindingBody) -> Result<Taken> {
        let Some((vhost, rights)) = self.entered(&body.vhost)? else { return Ok(Taken::New) };
        let request = BindingRequest {
            source: ExchangeName::new(&super::paths::short("source", &body.source)?),
            kind: body.destination_type,
            destination: super::paths::short("destination", &body.destination)?,
            routing_key: super::paths::short("routing_key", &body.routing_key)?,
            arguments: tables::table(&body.arguments)?,
        };
        let old = vhost.bindings_to(request.kind, &request.destination).iter().any(|binding| {
            *binding.source == *request.source.as_str()
                && *binding.routing_key == *request.routing_key
                && binding.arguments == request.arguments
        });
        if old {
            return Ok(Taken::Same);
        }
        if !self.dry {
            let caller = Caller { rights: &rights, connection: None };
            self.api.broker.bind(&vhost, &caller, &request)?;
        }
        Ok(Taken::New)
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
