//! Queues: list, get, declare, delete, purge.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use leveret_broker::queue_handle::{ConsumerListed, QueueHandle};
use leveret_broker::queues::QueueRequest;
use leveret_broker::turn::Turn;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{Login, OneOrAll};
use super::answer::{self, Item, Query};
use super::body::{Body, flag, object};
use super::consumers;
use super::error::{Refused, Result};
use super::queue_row::{Detail, QueueRow, Rows};
use super::{Api, audit, paths, tables};

fn listed(api: &Api, login: &Login, query: &Query, vhost: &OneOrAll) -> Result<Response> {
    let detail = match (answer::asked(query, "disable_stats"), answer::asked(query, "enable_queue_totals")) {
        (true, true) => Detail::Lengths,
        (true, false) => Detail::Declared,
        _ => Detail::All,
    };
    let rows = Rows { api, snapshot: api.rates.snapshot(), detail, query };
    let mut shown = Vec::new();
    for vhost in api.one_or_all(login, vhost)? {
        let mut queues = vhost.queues();
        if !query.contains_key("sort") {
            queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        shown.extend(queues.into_iter().map(|queue| QueueRow { rows: &rows, queue }));
    }
    answer::list(query, shown)
}

/// `GET queues` and `GET queues/:vhost`.
pub(super) async fn list(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    listed(&api, &login, &query, &vhost)
}

/// `GET queues/:vhost/:queue`: includes its consumers.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    let vhost = api.seen(&login, &vhost)?;
    let queue = vhost.queue(&name).ok_or_else(|| Refused::not_found("queue_not_found"))?;
    let rows = Rows { api: &api, snapshot: api.rates.snapshot(), detail: Detail::All, query: &query };
    let mut shown = QueueRow { rows: &rows, queue: std::sync::Arc::clone(&queue) }.with_past()?;
    if let Some(shown) = shown.as_object_mut() {
        add_consumers(&api, &queue, shown);
    }
    answer::one(&query, &shown)
}

fn add_consumers(api: &Api, queue: &QueueHandle, shown: &mut Map<String, Value>) {
    let listed = queue.consumers();
    let tag_of = |wanted: fn(&ConsumerListed) -> bool| {
        listed.iter().find(|listed| wanted(listed)).map(|listed| listed.consumer.tag.as_str().to_owned())
    };
    shown.insert("exclusive_consumer_tag".to_owned(), json!(tag_of(|listed| listed.consumer.exclusive)));
    let only =
        if queue.view().settings.single_active_consumer { tag_of(|listed| listed.active) } else { None };
    shown.insert("single_active_consumer_tag".to_owned(), json!(only));
    let details: Vec<_> = listed.iter().map(|listed| consumers::shown(api, listed)).collect();
    shown.insert("consumer_details".to_owned(), json!(details));
    shown.insert("incoming".to_owned(), json!([]));
    shown.insert("deliveries".to_owned(), json!([]));
    if let Some(owner) = queue.exclusive_owner.and_then(|owner| api.broker.registry.get(owner)) {
        let peer = owner.facts.peer;
        let details = json!({
            "name": owner.name, "peer_host": peer.ip().to_string(), "peer_port": peer.port(),
        });
        shown.insert("owner_pid_details".to_owned(), details);
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Declaration {
    #[serde(default, deserialize_with = "flag")]
    durable: bool,
    #[serde(default, deserialize_with = "flag")]
    auto_delete: bool,
    #[serde(default, deserialize_with = "object")]
    arguments: Map<String, Value>,
}

/// `PUT queues/:vhost/:queue`.
pub(super) async fn put(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    Body(body): Body<Declaration>,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let name = paths::queue(&name)?;
    let request = QueueRequest {
        passive: false,
        durable: body.durable,
        exclusive: false,
        auto_delete: body.auto_delete,
        arguments: &tables::table(&body.arguments)?,
    };
    let mut turn = Turn::at(api.broker.now());
    let declared = tokio::task::block_in_place(|| {
        let vhost = &entered.vhost;
        let declared = api.broker.declare_queue(vhost, &entered.caller(), &mut turn, &name, &request);
        api.broker.finish(&mut turn);
        declared
    })?;
    Ok(answer::put(declared.created))
}

/// `DELETE queues/:vhost/:queue`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let name = paths::queue(&name)?;
    entered.vhost.queue(name.as_str()).ok_or_else(|| Refused::not_found("queue_not_found"))?;
    let (unused, empty) = (answer::asked(&query, "if-unused"), answer::asked(&query, "if-empty"));
    let mut turn = Turn::at(api.broker.now());
    let messages = tokio::task::block_in_place(|| {
        let (vhost, caller) = (&entered.vhost, entered.caller());
        let deleted = api.broker.delete_queue(vhost, &caller, &mut turn, &name, unused, empty);
        api.broker.finish(&mut turn);
        deleted
    })?;
    Ok(audit::counted(answer::done(), messages))
}

/// `DELETE queues/:vhost/:queue/contents`.
pub(super) async fn purge(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let name = paths::queue(&name)?;
    let mut turn = Turn::at(api.broker.now());
    let messages = tokio::task::block_in_place(|| {
        let purged = api.broker.purge_queue(&entered.vhost, &entered.caller(), &mut turn, &name);
        api.broker.finish(&mut turn);
        purged
    })?;
    Ok(audit::counted(answer::done(), messages))
}

/// `POST queues/:vhost/:queue/retry/release`. Needs the read permission, as getting and purging do.
pub(super) async fn release_retries(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let name = paths::queue(&name)?;
    let queue = api.broker.readable_queue(&entered.vhost, &entered.caller(), &name)?;
    let mut turn = Turn::at(api.broker.now());
    let released = tokio::task::block_in_place(|| {
        let released = queue.release_retries(&mut turn);
        api.broker.finish(&mut turn);
        released
    })?;
    let done = format!("released retries of queue: {name}, messages: {released}");
    Ok(audit::noted(Json(json!({ "released": released })).into_response(), audit::Note::Done(done)))
}
