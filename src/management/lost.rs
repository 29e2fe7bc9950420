//! Lost definitions: queues with messages but no definition, to be adopted or discarded by an operator, and
//! definitions that cannot be read.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use leveret_broker::lost::Orphan;
use leveret_broker::names::QueueName;
use leveret_broker::orphans::Adoption;
use leveret_message::QueueId;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::Login;
use super::answer::{self, Query};
use super::audit::{self, Note};
use super::body::Body;
use super::error::{Refused, Result};
use super::health::{ill, well};
use super::openapi::{Routes, body, delete, list};
use super::schemas;
use super::tables::{self, Table};
use super::{Api, Shared, paths};

/// Maximum names listed in a health check's reason.
const NAMED_MAX: usize = 5;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::about("Lost and found")
        .at(
            "/lost/queues",
            list("Queues with messages that have lost their definitions", &schemas::LOST_QUEUE, queues),
        )
        .at(
            "/lost/queues/{id}",
            delete("Drops such a queue's messages", discard).put(
                "Makes it a queue of a virtual host, with all its messages",
                body::<Wish>(),
                adopt,
            ),
        )
        .at(
            "/lost/definitions",
            list("Definitions that cannot be read", &schemas::LOST_DEFINITION, definitions),
        )
}

fn shown(orphan: &Orphan) -> Value {
    let mut row = json!({
        "id": orphan.id.0,
        "messages": orphan.messages,
        "message_bytes": orphan.bytes,
    });
    if let Some(known) = &orphan.last_known {
        row["last_known"] = json!({
            "kind": if known.delayed { "delayed" } else { "queue" },
            "vhost": known.vhost,
            "name": known.name,
            "arguments": Table(&known.arguments),
        });
    }
    row
}

/// `GET lost/queues`.
async fn queues(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.administrator()?;
    answer::list(&query, api.broker.orphans().iter().map(shown).collect())
}

/// `GET lost/definitions`.
async fn definitions(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.administrator()?;
    let rows = api.broker.unreadable_definitions().into_iter();
    answer::list(&query, rows.map(|one| json!({ "definition": one.what, "reason": one.why })).collect())
}

#[derive(Deserialize, utoipa::ToSchema)]
struct Wish {
    /// The vhost that the queue comes into.
    #[serde(default)]
    vhost: String,
    /// Its name there.
    #[serde(default)]
    name: String,
    /// Its arguments; without them those that it had, if they are known.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    arguments: Option<Map<String, Value>>,
}

fn found(api: &Shared, id: &str) -> Result<QueueId> {
    let parsed = id.parse().map(QueueId).ok();
    let known = parsed.filter(|id| api.broker.orphans().iter().any(|orphan| orphan.id == *id));
    known.ok_or_else(|| Refused::not_found(format!("no queue {id} has lost its definition")))
}

/// `PUT lost/queues/:id`.
async fn adopt(
    State(api): State<Api>,
    login: Login,
    Path(id): Path<String>,
    Body(wish): Body<Wish>,
) -> Result<Response> {
    login.administrator()?;
    let id = found(&api, &id)?;
    let name = QueueName::new(&paths::short("name", &wish.name)?);
    let vhost = api.seen(&login, &wish.vhost)?;
    let arguments = wish.arguments.as_ref().map(tables::table).transpose()?;
    tokio::task::block_in_place(|| api.broker.adopt(&vhost, id, &Adoption { name: &name, arguments }))?;
    let done = format!("adopted {id} as queue: {name}, in vhost {}", vhost.name);
    Ok(audit::noted(StatusCode::CREATED.into_response(), Note::Done(done)))
}

/// `DELETE lost/queues/:id`.
async fn discard(State(api): State<Api>, login: Login, Path(id): Path<String>) -> Result<Response> {
    login.administrator()?;
    let id = found(&api, &id)?;
    let messages = tokio::task::block_in_place(|| api.broker.discard_orphan(id))?;
    Ok(audit::noted(answer::done(), Note::Done(format!("discarded {id}, messages: {messages}"))))
}

/// `GET health/checks/lost`: healthy if nothing has lost its definition.
pub(super) async fn check(State(api): State<Api>, _: Login) -> Response {
    let (orphans, unreadable) = (api.broker.orphans(), api.broker.unreadable_definitions());
    if orphans.is_empty() && unreadable.is_empty() {
        return well();
    }
    let messages: u64 = orphans.iter().map(|orphan| orphan.messages).sum();
    let mut named: Vec<_> = unreadable.iter().take(NAMED_MAX).map(|one| one.what.clone()).collect();
    if unreadable.len() > NAMED_MAX {
        named.push("...".to_owned());
    }
    let list = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
    let reason = format!(
        "{} queues with {messages} messages have lost their definitions, and {} definitions cannot be read{list}",
        orphans.len(),
        unreadable.len(),
    );
    ill(&reason, json!({}))
}
