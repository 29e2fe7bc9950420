//! Limits of vhosts and users: list, set, clear.

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::operator_limits::OperatorLimits;
use leveret_broker::vhost::Vhost;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::access::Login;
use super::answer::{self, Query};
use super::body::Body;
use super::error::{Refused, Result};

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct LimitBody {
    value: Value,
}

impl LimitBody {
    fn number(&self, name: &str) -> Result<i64> {
        self.value.as_i64().ok_or_else(|| {
            let value = &self.value;
            Refused::bad_request(format!(
                "Validation failed\n\n{name} should be a number, actually was {value}\n"
            ))
        })
    }
}

fn of_vhost(vhost: &Vhost) -> Option<Value> {
    let limits = vhost.limits.read();
    (!limits.is_empty()).then(|| json!({ "vhost": vhost.name.as_str(), "value": &*limits }))
}

/// `GET vhost-limits`.
pub(super) async fn of_vhosts(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    answer::list(&query, api.all_seen(&login).iter().filter_map(|vhost| of_vhost(vhost)).collect())
}

/// `GET vhost-limits/:vhost`.
pub(super) async fn of_one_vhost(
    State(api): State<Api>,
    login: Login,
    Path(vhost): Path<String>,
    query: Query,
) -> Result<Response> {
    answer::list(&query, of_vhost(&*api.seen(&login, &vhost)?).into_iter().collect())
}

fn change_vhost(
    api: &Api,
    login: &Login,
    vhost: &str,
    name: &str,
    value: Option<&LimitBody>,
) -> Result<Response> {
    login.administrator()?;
    if api.broker.vhost(vhost).is_none() {
        return Err(Refused::not_found("vhost_not_found"));
    }
    let value = value.map(|value| value.number(name)).transpose()?;
    tokio::task::block_in_place(|| api.broker.set_vhost_limit(vhost, name, value))?;
    Ok(answer::done())
}

/// `PUT vhost-limits/:vhost/:name`.
pub(super) async fn put_of_vhost(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    Body(body): Body<LimitBody>,
) -> Result<Response> {
    change_vhost(&api, &login, &vhost, &name, Some(&body))
}

/// `DELETE vhost-limits/:vhost/:name`. Succeeds if the limit is not set.
pub(super) async fn delete_of_vhost(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Response> {
    change_vhost(&api, &login, &vhost, &name, None)
}

fn of_user(user: &str, limits: &OperatorLimits) -> Option<Value> {
    (!limits.is_empty()).then(|| json!({ "user": user, "value": limits }))
}

/// `GET user-limits`.
pub(super) async fn of_users(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.administrator()?;
    let users = &api.broker.users;
    let rows = users.all().into_iter().filter_map(|(name, _)| of_user(&name, &users.limits(&name)));
    answer::list(&query, rows.collect())
}

/// `GET user-limits/:user`.
pub(super) async fn of_one_user(
    State(api): State<Api>,
    login: Login,
    Path(user): Path<String>,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    let users = &api.broker.users;
    if users.user(&user).is_none() {
        return Err(Refused::not_found("user_not_found"));
    }
    answer::list(&query, of_user(&user, &users.limits(&user)).into_iter().collect())
}

fn change_user(
    api: &Api,
    login: &Login,
    user: &str,
    name: &str,
    value: Option<&LimitBody>,
) -> Result<Response> {
    login.administrator()?;
    if api.broker.users.user(user).is_none() {
        let missing = "user_not_found";
        let said = |_: &LimitBody| Refused::bad_request(missing);
        return Err(value.map_or_else(|| Refused::not_found(missing), said));
    }
    let value = value.map(|value| value.number(name)).transpose()?;
    tokio::task::block_in_place(|| api.broker.set_user_limit(user, name, value))?;
    Ok(answer::done())
}

/// `PUT user-limits/:user/:name`.
pub(super) async fn put_of_user(
    State(api): State<Api>,
    login: Login,
    Path((user, name)): Path<(String, String)>,
    Body(body): Body<LimitBody>,
) -> Result<Response> {
    change_user(&api, &login, &user, &name, Some(&body))
}

/// `DELETE user-limits/:user/:name`. Succeeds if the limit is not set.
pub(super) async fn delete_of_user(
    State(api): State<Api>,
    login: Login,
    Path((user, name)): Path<(String, String)>,
) -> Result<Response> {
    change_user(&api, &login, &user, &name, None)
}
