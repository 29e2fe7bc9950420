//! Connections and channels: list, get, close. Users see their own, monitors all.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use leveret_broker::names::ConnectionId;
use leveret_broker::queue_handle::ConsumerListed;
use leveret_broker::registry::{ChannelHandle, ConnectionHandle};
use serde_json::{Value, json};

use super::access::{Level, Login, OneOrAll};
use super::answer::{self, Query};
use super::error::{Refused, Result};
use super::queue_row::date;
use super::rates::Snapshot;
use super::tables::Table;
use super::{Api, Shared, audit};

/// Longest closing reason passed on, in bytes.
const REASON_BYTES_MAX: usize = 128;

/// The connections that the user may see.
pub(super) fn seen(api: &Shared, login: &Login) -> Vec<Arc<ConnectionHandle>> {
    let mut connections = api.broker.registry.connections();
    if !login.is(Level::Monitoring) {
        connections.retain(|connection| connection.facts.user == login.user);
    }
    connections
}

fn seen_in(api: &Api, login: &Login, vhost: &OneOrAll) -> Result<Vec<Arc<ConnectionHandle>>> {
    let mut connections = seen(api, login);
    if let Some(Path(vhost)) = vhost {
        let vhost = api.seen(login, vhost)?;
        connections.retain(|connection| connection.facts.vhost == vhost.name);
    }
    Ok(connections)
}

fn shown(api: &Api, snapshot: &Snapshot, connection: &ConnectionHandle) -> Value {
    let (facts, traffic) = (&connection.facts, &connection.traffic);
    let [received, sent] = snapshot.connection(facts.id);
    let tls = facts.tls.as_deref();
    let certificate = tls.and_then(|tls| tls.certificate.as_ref());
    json!({
        "name": connection.name,
        "user_provided_name": connection.given_name(),
        "node": &*api.facts.node,
        "type": "network",
        "protocol": "AMQP 0-9-1",
        "user": facts.user.as_str(),
        "user_who_performed_action": facts.user.as_str(),
        "vhost": facts.vhost.as_str(),
        "host": facts.local.ip().to_string(),
        "port": facts.local.port(),
        "peer_host": facts.peer.ip().to_string(),
        "peer_port": facts.peer.port(),
        "connected_at": facts.connected_at.0,
        "state": connection.state(),
        "ssl": tls.is_some(),
        "ssl_protocol": tls.map(|tls| tls.protocol),
        "ssl_key_exchange": tls.map(|tls| &tls.key_exchange),
        "ssl_cipher": tls.map(|tls| &tls.cipher),
        "ssl_hash": tls.map(|_| "aead"),
        "peer_cert_subject": certificate.map(|certificate| &certificate.subject),
        "peer_cert_issuer": certificate.map(|certificate| &certificate.issuer),
        "peer_cert_validity": certificate.map(|certificate| &certificate.validity),
        "auth_mechanism": facts.mechanism,
        "channels": connection.channels().len(),
        "channel_max": facts.channel_max,
        "frame_max": facts.frame_max,
        "timeout": facts.heartbeat_s,
        "client_properties": Table(&facts.client_properties),
        "recv_oct": traffic.received_bytes.load(Ordering::Relaxed),
        "recv_oct_details": { "rate": received },
        "recv_cnt": traffic.received.load(Ordering::Relaxed),
        "send_oct": traffic.sent_bytes.load(Ordering::Relaxed),
        "send_oct_details": { "rate": sent },
        "send_cnt": traffic.sent.load(Ordering::Relaxed),
        "send_pend": connection.waiting_bytes(),
    })
}

fn rows(api: &Api, connections: &[Arc<ConnectionHandle>]) -> Vec<Value> {
    let snapshot = api.rates.snapshot();
    connections.iter().map(|connection| shown(api, &snapshot, connection)).collect()
}

/// `GET connections` and `GET vhosts/:vhost/connections`.
pub(super) async fn list(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&api, &seen_in(&api, &login, &vhost)?))
}

/// `GET connections/username/:user`.
pub(super) async fn of_user(
    State(api): State<Api>,
    login: Login,
    Path(user): Path<String>,
    query: Query,
) -> Result<Response> {
    let mut connections = seen(&api, &login);
    connections.retain(|connection| connection.facts.user.as_str() == user);
    answer::list(&query, rows(&api, &connections))
}

fn named(api: &Api, login: &Login, name: &str) -> Result<Arc<ConnectionHandle>> {
    let found = api.broker.registry.connection_named(name);
    let found = found.ok_or_else(|| Refused::not_found("connection_not_found"))?;
    if !login.is(Level::Monitoring) && found.facts.user != login.user {
        return Err(Refused::not_authorized("User not authorized to access object"));
    }
    Ok(found)
}

/// `GET connections/:name`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let connection = named(&api, &login, &name)?;
    answer::one(&query, &shown(&api, &api.rates.snapshot(), &connection))
}

fn reason(headers: &HeaderMap) -> String {
    let given = headers.get("x-reason").and_then(|reason| reason.to_str().ok());
    let given = given.unwrap_or("Closed via management plugin");
    given[..given.floor_char_boundary(REASON_BYTES_MAX)].to_owned()
}

/// Users may close their own connections, administrators all.
fn may_close(login: &Login, connection: &ConnectionHandle) -> Result<()> {
    if connection.facts.user == login.user { Ok(()) } else { login.administrator() }
}

/// `DELETE connections/:name`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    let connection = named(&api, &login, &name)?;
    may_close(&login, &connection)?;
    connection.close(&reason(&headers));
    Ok(answer::done())
}

/// `DELETE connections/username/:user`.
pub(super) async fn delete_of_user(
    State(api): State<Api>,
    login: Login,
    Path(user): Path<String>,
    headers: HeaderMap,
) -> Result<Response> {
    if user != login.user.as_str() {
        login.administrator()?;
    }
    let reason = reason(&headers);
    let closed =
        api.broker.registry.close_where(&reason, |connection| connection.facts.user.as_str() == user);
    Ok(audit::counted(answer::done(), closed))
}

/// Number of consumers per channel. Queries every queue.
fn consumers(api: &Api) -> HashMap<(ConnectionId, u16), usize> {
    let mut counts = HashMap::new();
    for queue in api.broker.vhosts().iter().flat_map(|vhost| vhost.queues()) {
        if queue.counts().consumers == 0 {
            continue;
        }
        for listed in queue.consumers() {
            *counts.entry((listed.consumer.connection, listed.consumer.channel)).or_default() += 1;
        }
    }
    counts
}

/// The consumers of a channel. Queries every queue.
fn consumers_of(api: &Api, connection: ConnectionId, channel: u16) -> Vec<Value> {
    let queues = api.broker.vhosts().into_iter().flat_map(|vhost| vhost.queues());
    let served = queues.filter(|queue| queue.counts().consumers > 0);
    let listed = served.flat_map(|queue| queue.consumers());
    let own = |listed: &ConsumerListed| {
        listed.consumer.connection == connection && listed.consumer.channel == channel
    };
    listed.filter(own).map(|listed| super::consumers::shown(api, &listed)).collect()
}

fn channel(
    api: &Api,
    snapshot: &Snapshot,
    connection: &ConnectionHandle,
    channel: &ChannelHandle,
    consumers: usize,
) -> Value {
    let facts = &connection.facts;
    let (messages, still) = snapshot.channel(channel);
    let confirm = channel.confirm.load(Ordering::Relaxed);
    let mut shown = json!({
        "number": channel.number,
        "name": format!("{} ({})", connection.name, channel.number),
        "connection_details": {
            "name": connection.name,
            "peer_host": facts.peer.ip().to_string(),
            "peer_port": facts.peer.port(),
        },
        "node": &*api.facts.node,
        "user": facts.user.as_str(),
        "user_who_performed_action": facts.user.as_str(),
        "vhost": facts.vhost.as_str(),
        "state": "running",
        "consumer_count": consumers,
        "confirm": confirm,
        "transactional": channel.transactional.load(Ordering::Relaxed),
        "prefetch_count": channel.prefetch.load(Ordering::Relaxed),
        "global_prefetch_count": channel.global_prefetch.load(Ordering::Relaxed),
        "messages_unacknowledged": connection.unacked(channel.number),
        "messages_unconfirmed": 0,
        "messages_uncommitted": channel.uncommitted.load(Ordering::Relaxed),
        "acks_uncommitted": channel.uncommitted_acks.load(Ordering::Relaxed),
        "message_stats": messages,
    });
    if let Some(since) = still {
        shown["idle_since"] = date(since).into();
    }
    shown
}

fn channel_rows(api: &Api, connections: &[Arc<ConnectionHandle>]) -> Vec<Value> {
    let (consumers, snapshot) = (consumers(api), api.rates.snapshot());
    let mut rows = Vec::new();
    for connection in connections {
        for open in connection.channels() {
            let count = consumers.get(&(connection.facts.id, open.number)).copied().unwrap_or_default();
            rows.push(channel(api, &snapshot, connection, &open, count));
        }
    }
    rows
}

/// `GET channels` and `GET vhosts/:vhost/channels`.
pub(super) async fn channels(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    answer::list(&query, channel_rows(&api, &seen_in(&api, &login, &vhost)?))
}

/// `GET connections/:name/channels`.
pub(super) async fn channels_of(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    answer::list(&query, channel_rows(&api, &[named(&api, &login, &name)?]))
}

/// `GET channels/:name`.
pub(super) async fn get_channel(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    let missing = || Refused::not_found("channel_not_found");
    let (connection, number) =
        name.strip_suffix(')').and_then(|name| name.rsplit_once(" (")).ok_or_else(missing)?;
    let number: u16 = number.parse().map_err(|_| missing())?;
    let connection = named(&api, &login, connection).map_err(|_| missing())?;
    let open = connection.channels().into_iter().find(|open| open.number == number).ok_or_else(missing)?;
    let consumers = consumers_of(&api, connection.facts.id, number);
    let mut shown = channel(&api, &api.rates.snapshot(), &connection, &open, consumers.len());
    shown["consumer_details"] = json!(consumers);
    // Publishes are not counted per channel and exchange, nor deliveries per channel and queue.
    shown["publishes"] = json!([]);
    shown["deliveries"] = json!([]);
    answer::one(&query, &shown)
}
