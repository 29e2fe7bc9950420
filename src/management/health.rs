//! Health checks: 200 if healthy, 503 with a reason if not (docs/http-api.md).

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leveret_broker::arguments::FieldTable;
use leveret_broker::names::QueueName;
use leveret_broker::publish::{Incoming, Publisher};
use leveret_broker::queues::QueueRequest;
use leveret_broker::turn::Turn;
use leveret_message::{Message, MessageMeta, Short};
use leveret_store::Pressure;
use serde_json::{Value, json};

use super::access::Login;
use super::error::{Refused, Result};
use super::{Api, Shared, node};

pub(super) fn well() -> Response {
    Json(json!({ "status": "ok" })).into_response()
}

pub(super) fn ill(reason: &str, more: Value) -> Response {
    let mut body = json!({ "status": "failed", "reason": reason });
    if let (Some(body), Value::Object(more)) = (body.as_object_mut(), more) {
        body.extend(more);
    }
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

/// Checks that always pass on a single node: no cluster can be incomplete.
pub(super) async fn always_well() -> Response {
    well()
}

/// The same, for logged-in users.
pub(super) async fn well_for_users(_: Login) -> Response {
    well()
}

/// `healthchecks/node`.
pub(super) async fn this_node(State(api): State<Api>, _: Login) -> Response {
    takes_messages(&api)
}

/// `healthchecks/node/:name`.
pub(super) async fn node(State(api): State<Api>, _: Login, Path(name): Path<String>) -> Result<Response> {
    node::named(&api, &name).map(|()| takes_messages(&api))
}

/// `is-in-service`, `ready-to-serve-clients`: the store accepts messages.
pub(super) async fn in_service(State(api): State<Api>) -> Response {
    takes_messages(&api)
}

fn takes_messages(api: &Shared) -> Response {
    match api.broker.store().pressure() {
        Pressure::Blocked(reason) => ill(&reason, json!({})),
        Pressure::None | Pressure::Full => well(),
    }
}

/// `below-node-connection-limit`.
pub(super) async fn below_connection_limit(State(api): State<Api>) -> Response {
    let (open, limit) = (api.broker.open_connections(), api.broker.limits().connections_max);
    if open < limit {
        return well();
    }
    ill("node connection limit is reached", json!({ "connections": open, "limit": limit }))
}

/// `alarms`, `local-alarms`.
pub(super) async fn alarms(State(api): State<Api>, _: Login) -> Response {
    let Some(reasons) = node::reasons(&api) else { return well() };
    let raised = node::alarms(&api).into_iter();
    let raised = raised.map(|resource| json!({ "node": &*api.facts.node, "resource": resource.to_string() }));
    let reason = format!("There are alarms in effect in the cluster: {reasons}");
    ill(&reason, json!({ "alarms": raised.collect::<Vec<_>>() }))
}

/// `virtual-hosts`.
pub(super) async fn vhosts(State(api): State<Api>, _: Login) -> Response {
    if api.broker.vhosts().is_empty() { ill("there is no virtual host", json!({})) } else { well() }
}

/// `port-listener/:port`.
pub(super) async fn port(State(api): State<Api>, _: Login, Path(port): Path<String>) -> Result<Response> {
    let port: u16 = port.parse().map_err(|_| Refused::bad_request(format!("not a port: {port}")))?;
    let ports: Vec<u16> = api.facts.listening().iter().map(|(_, address, _)| address.port()).collect();
    if ports.contains(&port) {
        return Ok(Json(json!({ "status": "ok", "port": port })).into_response());
    }
    Ok(ill("No active listener", json!({ "missing": port, "ports": ports })))
}

/// `protocol-listener/:protocol`.
pub(super) async fn protocol(State(api): State<Api>, _: Login, Path(protocol): Path<String>) -> Response {
    let wanted = match protocol.as_str() {
        "amqp091" | "amqp0.9.1" | "amqp-0-9-1" => "amqp",
        "amqps" => "amqp/ssl",
        other => other,
    };
    let listening = api.facts.listening().into_iter();
    let protocols: Vec<_> = listening.map(|(protocol, ..)| protocol).collect();
    if protocols.contains(&wanted) {
        return Json(json!({ "status": "ok", "protocol": protocol })).into_response();
    }
    ill("No active listener", json!({ "missing": protocol, "protocols": protocols }))
}

/// `certificate-expiration/:within/:unit`: the server certificate is valid for longer than that.
pub(super) async fn certificates(
    State(api): State<Api>,
    _: Login,
    Path((within, unit)): Path<(String, String)>,
) -> Result<Response> {
    let units = [("days", 1_u32), ("weeks", 7), ("months", 30), ("years", 365)];
    let days = units.iter().find(|(name, _)| *name == unit).map(|(_, days)| u64::from(*days));
    let (Ok(within), Some(days)) = (within.parse::<u32>(), days) else {
        let units = units.map(|(name, _)| name).join(", ");
        return Err(Refused::bad_request(format!("not a number of {units}")));
    };
    let Some(tls) = &api.facts.process.tls else { return Ok(well()) };
    let expires = tls.expires();
    let until = api.broker.now().0.saturating_add(u64::from(within) * days * DAY_MS);
    if expires.0 > until {
        return Ok(well());
    }
    let certificate = json!({
        "node": &*api.facts.node,
        "certfile": tls.certificate().display().to_string(),
        "certfile_expires_at_ms": expires.0,
    });
    Ok(ill("Certificates expiring", json!({ "expired": [certificate] })))
}

/// One day in milliseconds.
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// The queue that the test declares, publishes to and gets from.
const TEST_QUEUE: &str = "aliveness-test";

/// `GET aliveness-test/:vhost`.
pub(super) async fn aliveness(
    State(api): State<Api>,
    login: Login,
    Path(vhost): Path<String>,
) -> Result<Response> {
    tokio::task::block_in_place(|| test(&api, &login, &vhost))
}

fn test(api: &Shared, login: &Login, vhost: &str) -> Result<Response> {
    let mut entered = api.enter(login, vhost)?;
    // The test's message is transient, and would pass while persistent ones are blocked.
    if let Pressure::Blocked(reason) = api.broker.store().pressure() {
        return Ok(ill(&reason, json!({})));
    }
    let mut turn = Turn::at(api.broker.now());
    let request = QueueRequest {
        passive: false,
        durable: false,
        exclusive: false,
        auto_delete: false,
        arguments: &FieldTable::default(),
    };
    let declared = {
        let (vhost, name) = (&entered.vhost, QueueName::new(TEST_QUEUE));
        api.broker.declare_queue(vhost, &entered.caller(), &mut turn, &name, &request)?
    };
    let name = declared.queue.name.clone();
    let message = Message::new(Short::EMPTY, name.short(), b"\0\0", b"test_message", MessageMeta::default());
    let incoming = std::iter::once(Incoming { message, headers: false, mandatory: false });
    let (_, refusal) =
        Publisher::default().publish(&api.broker, &entered.vhost, &mut entered.rights, &mut turn, incoming);
    if let Some(refusal) = refusal {
        api.broker.finish(&mut turn);
        return Err(refusal.into());
    }
    let got = api
        .broker
        .readable_queue(&entered.vhost, &entered.caller(), &name)
        .and_then(|queue| queue.get(&mut turn, true));
    api.broker.finish(&mut turn);
    got?;
    Ok(well())
}
