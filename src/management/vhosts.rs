//! Virtual hosts: list, get, create, delete, protect.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::names::VhostName;
use leveret_broker::queue_kind::QueueKind;
use leveret_broker::refusal::Refusal;
use leveret_broker::vhost::Vhost;
use leveret_broker::vhost::VhostRecord;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::access::Login;
use super::answer::{self, Query};
use super::body::{Body, maybe_flag, words};
use super::counter_rates::Rated;
use super::error::{Refused, Result};
use super::rates::{BYTE_NAMES, LENGTH_NAMES, MESSAGE_NAMES, Snapshot};

/// Data shared by answers about vhosts.
struct Readings<'a> {
    api: &'a Api,
    snapshot: Snapshot,
    /// Bytes received and sent on open connections, by vhost.
    bytes: HashMap<VhostName, Rated<2>>,
}

impl<'a> Readings<'a> {
    fn of(api: &'a Api) -> Self {
        let snapshot = api.rates.snapshot();
        let mut bytes = HashMap::new();
        for connection in api.broker.registry.connections() {
            let traffic = &connection.traffic;
            let now =
                [&traffic.received_bytes, &traffic.sent_bytes].map(|count| count.load(Ordering::Relaxed));
            let rates = snapshot.connection(connection.facts.id);
            let sum = bytes.entry(connection.facts.vhost.clone()).or_insert_with(|| Rated::none(&BYTE_NAMES));
            sum.add(&Rated { now, rates, names: &BYTE_NAMES });
        }
        Self { api, snapshot, bytes }
    }
}

fn shown(readings: &Readings<'_>, vhost: &Vhost) -> Value {
    let record = vhost.record.read().clone();
    let (mut lengths, mut messages) = (Rated::none(&LENGTH_NAMES), Rated::none(&MESSAGE_NAMES));
    for queue in vhost.queues() {
        let rates = readings.snapshot.queue(queue.id, &queue.view());
        lengths.add(&rates.lengths);
        messages.add(&rates.messages);
    }
    let bytes = readings.bytes.get(&vhost.name).copied().unwrap_or(Rated::none(&BYTE_NAMES));
    let mut shown = json!({
        "name": vhost.name.as_str(),
        "description": record.description,
        "tags": record.tags,
        "default_queue_type": record.default_queue_type.as_deref().unwrap_or("classic"),
        "metadata": {
            "description": record.description,
            "tags": record.tags,
            "default_queue_type": record.default_queue_type,
        },
        "protected_from_deletion": record.protected,
        "tracing": record.tracing,
        "message_stats": messages,
        "cluster_state": { (&*readings.api.facts.node): "running" },
    });
    lengths.write_into(&mut shown);
    bytes.write_into(&mut shown);
    shown
}

/// `GET vhosts`.
pub(super) async fn all(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    let readings = Readings::of(&api);
    let rows = api.all_seen(&login).iter().map(|vhost| shown(&readings, vhost)).collect();
    answer::list(&query, rows)
}

/// `GET vhosts/:vhost`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let vhost = api.seen(&login, &name)?;
    answer::one(&query, &shown(&Readings::of(&api), &vhost))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Metadata {
    description: Option<String>,
    #[serde(default, deserialize_with = "words")]
    tags: Option<Vec<String>>,
    default_queue_type: Option<String>,
    protected_from_deletion: Option<bool>,
    #[serde(default, deserialize_with = "maybe_flag")]
    tracing: Option<bool>,
}

/// A vhost's default queue type, validated if given.
pub(super) fn queue_type(said: Option<String>) -> Result<Option<String>> {
    match said.as_deref() {
        None | Some("undefined") => Ok(None),
        Some(kind) if QueueKind::named(kind).is_some() => Ok(said),
        Some(kind) => {
            let why = format!("default_queue_type '{kind}' is not supported: classic or quorum");
            Err(Refused::bad_request(why))
        }
    }
}

impl Metadata {
    fn applied_to(self, mut record: VhostRecord) -> Result<VhostRecord> {
        record.description = self.description.unwrap_or(record.description);
        record.tags = self.tags.unwrap_or(record.tags);
        record.default_queue_type = queue_type(self.default_queue_type)?.or(record.default_queue_type);
        record.protected = self.protected_from_deletion.unwrap_or(record.protected);
        record.tracing = self.tracing.unwrap_or(record.tracing);
        Ok(record)
    }
}

/// `PUT vhosts/:vhost`. The creator gets all permissions in the new vhost, as in `RabbitMQ`.
pub(super) async fn put(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    Body(body): Body<Metadata>,
) -> Result<Response> {
    login.administrator()?;
    let record = api.broker.vhost(&name).map(|vhost| vhost.record.read().clone()).unwrap_or_default();
    let record = body.applied_to(record)?;
    let new = tokio::task::block_in_place(|| {
        let new = api.broker.put_vhost(&name, &record)?;
        if new && login.identity.is_stored() {
            let all = leveret_broker::users::PermissionRecord::all();
            api.broker.set_permission(login.user.as_str(), &name, &all)?;
        }
        Ok::<_, Refusal>(new)
    })?;
    Ok(answer::put(new))
}

/// `DELETE vhosts/:vhost`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
) -> Result<Response> {
    login.administrator()?;
    let vhost = api.broker.vhost(&name).ok_or_else(|| Refused::not_found("vhost_not_found"))?;
    if vhost.record.read().protected {
        return Err(Refused::precondition(format!("vhost '{name}' is protected from deletion")));
    }
    if tokio::task::block_in_place(|| api.broker.delete_vhost(&name, api.broker.now()))? {
        Ok(answer::done())
    } else {
        Err(Refused::not_found("vhost_not_found"))
    }
}

fn protect(api: &Api, login: &Login, name: &str, protected: bool) -> Result<Response> {
    login.administrator()?;
    let vhost = api.broker.vhost(name).ok_or_else(|| Refused::not_found("vhost_not_found"))?;
    let record = VhostRecord { protected, ..vhost.record.read().clone() };
    tokio::task::block_in_place(|| api.broker.put_vhost(name, &record))?;
    Ok(answer::done())
}

/// `POST vhosts/:vhost/deletion/protection`.
pub(super) async fn protected(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
) -> Result<Response> {
    protect(&api, &login, &name, true)
}

/// `DELETE vhosts/:vhost/deletion/protection`.
pub(super) async fn unprotected(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
) -> Result<Response> {
    protect(&api, &login, &name, false)
}
