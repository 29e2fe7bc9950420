//! Exchanges: list, get, declare, delete.

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::exchanges::ExchangeRequest;
use leveret_broker::listing::exchange_arguments;
use leveret_broker::vhost::Vhost;
use leveret_exchanges::ExchangeInfo;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::access::{Login, OneOrAll};
use super::answer::{self, Query};
use super::body::{Body, flag, object};
use super::error::{Refused, Result};
use super::rates::Snapshot;
use super::tables::Table;
use super::{Api, paths, tables};

fn shown(vhost: &Vhost, snapshot: &Snapshot, exchange: &ExchangeInfo) -> Value {
    let stats = vhost.exchange_stats(&exchange.name);
    let matched = vhost.policies_of_exchange(&exchange.name);
    let mut shown = json!({
        "name": &*exchange.name,
        "vhost": vhost.name.as_str(),
        "type": exchange.kind.name(),
        "durable": exchange.durable,
        "auto_delete": exchange.auto_delete,
        "internal": exchange.internal,
        "arguments": Table(&exchange_arguments(exchange)),
        "policy": matched.policy.as_ref().map(|policy| &*policy.name),
        "operator_policy": matched.operator.as_ref().map(|policy| &*policy.name),
        "effective_policy_definition": matched.definition(),
        "message_stats": snapshot.exchange(stats.as_deref()),
    });
    if let Some(delay_room) = vhost.delay_room(&exchange.name) {
        shown["messages_delayed"] = delay_room.count().into();
    }
    shown
}

fn rows(api: &Api, login: &Login, vhost: &OneOrAll) -> Result<Vec<Value>> {
    let (snapshot, mut rows) = (api.rates.snapshot(), Vec::new());
    for vhost in api.one_or_all(login, vhost)? {
        rows.extend(vhost.exchanges().iter().map(|exchange| shown(&vhost, &snapshot, exchange)));
    }
    Ok(rows)
}

/// `GET exchanges` and `GET exchanges/:vhost`.
pub(super) async fn list(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&api, &login, &vhost)?)
}

/// `GET exchanges/:vhost/:exchange`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    let vhost = api.seen(&login, &vhost)?;
    let name = paths::exchange(&name)?;
    let exchange = vhost.exchange(name.as_str()).ok_or_else(|| Refused::not_found("exchange_not_found"))?;
    let mut shown = shown(&vhost, &api.rates.snapshot(), &exchange);
    // Publishes are not counted per channel and exchange, nor per exchange and queue.
    shown["incoming"] = json!([]);
    shown["outgoing"] = json!([]);
    answer::one(&query, &shown)
}

fn direct() -> String {
    "direct".to_owned()
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Declaration {
    #[serde(rename = "type", default = "direct")]
    kind: String,
    #[serde(default, deserialize_with = "flag")]
    durable: bool,
    #[serde(default, deserialize_with = "flag")]
    auto_delete: bool,
    #[serde(default, deserialize_with = "flag")]
    internal: bool,
    #[serde(default, deserialize_with = "object")]
    arguments: Map<String, Value>,
}

/// `PUT exchanges/:vhost/:exchange`.
pub(super) async fn put(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    Body(body): Body<Declaration>,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let name = paths::exchange(&name)?;
    let request = ExchangeRequest {
        kind: &body.kind,
        durable: body.durable,
        auto_delete: body.auto_delete,
        internal: body.internal,
        arguments: &tables::table(&body.arguments)?,
    };
    let new = entered.vhost.exchange(name.as_str()).is_none();
    tokio::task::block_in_place(|| {
        api.broker.declare_exchange(&entered.vhost, &entered.caller(), &name, &request)
    })?;
    Ok(answer::put(new))
}

/// `DELETE exchanges/:vhost/:exchange`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    let entered = api.enter(&login, &vhost)?;
    let name = paths::exchange(&name)?;
    if entered.vhost.exchange(name.as_str()).is_none() {
        return Err(Refused::not_found("exchange_not_found"));
    }
    let if_unused = answer::asked(&query, "if-unused");
    tokio::task::block_in_place(|| {
        api.broker.delete_exchange(&entered.vhost, &entered.caller(), &name, if_unused)
    })?;
    Ok(answer::done())
}
