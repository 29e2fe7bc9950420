//! Login attempts, by protocol and by source.

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::login_limiter::{Protocol, Tally};
use serde_json::{Value, json};

use super::access::{Level, Login};
use super::answer::{self, Query};
use super::error::Result;
use super::{Api, node};

fn shown(protocol: Protocol, tally: Tally) -> Value {
    json!({
        "protocol": protocol.name(),
        "auth_attempts": tally.failed + tally.succeeded,
        "auth_attempts_failed": tally.failed,
        "auth_attempts_succeeded": tally.succeeded,
    })
}

/// `GET auth/attempts/:node`.
pub(super) async fn by_protocol(
    State(api): State<Api>,
    login: Login,
    Path(node): Path<String>,
    query: Query,
) -> Result<Response> {
    login.must_be(Level::Monitoring)?;
    node::named(&api, &node)?;
    let totals = api.broker.login_limiter.totals();
    answer::list(&query, totals.into_iter().map(|(protocol, tally)| shown(protocol, tally)).collect())
}

/// `GET auth/attempts/:node/source`. Names are omitted: people type passwords in their place.
pub(super) async fn by_source(
    State(api): State<Api>,
    login: Login,
    Path(node): Path<String>,
    query: Query,
) -> Result<Response> {
    login.must_be(Level::Monitoring)?;
    node::named(&api, &node)?;
    let sources = api.broker.login_limiter.sources().into_iter();
    let rows = sources.map(|(address, protocol, tally)| {
        let mut row = shown(protocol, tally);
        row["remote_address"] = json!(address.to_string());
        row["username"] = json!("");
        row
    });
    answer::list(&query, rows.collect())
}

/// `DELETE auth/attempts/:node`, and the same with `/source`.
pub(super) async fn reset(
    State(api): State<Api>,
    login: Login,
    Path(node): Path<String>,
) -> Result<Response> {
    login.administrator()?;
    node::named(&api, &node)?;
    api.broker.login_limiter.reset();
    Ok(answer::done())
}
