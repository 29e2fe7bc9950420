//! Topic permissions: list, set, clear. For administrators.

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::topic_permissions::TopicPermissionRecord;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Api;
use super::access::Login;
use super::answer::{self, Query};
use super::body::Body;
use super::error::{Refused, Result};

/// A topic permission as shown in lists and definitions.
pub(super) fn shown(user: &str, vhost: &str, exchange: &str, record: &TopicPermissionRecord) -> Value {
    json!({
        "user": user,
        "vhost": vhost,
        "exchange": exchange,
        "write": record.write,
        "read": record.read,
    })
}

fn rows(api: &Api, which: impl Fn(&str, &str) -> bool) -> Vec<Value> {
    let all = api.broker.users.topic_permissions().into_iter();
    let these = all.filter(|(user, vhost, ..)| which(user, vhost));
    these.map(|(user, vhost, exchange, record)| shown(&user, &vhost, &exchange, &record)).collect()
}

/// `GET topic-permissions`.
pub(super) async fn all(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.administrator()?;
    answer::list(&query, rows(&api, |_, _| true))
}

/// `GET vhosts/:vhost/topic-permissions`.
pub(super) async fn in_vhost(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    api.seen(&login, &name)?;
    answer::list(&query, rows(&api, |_, vhost| vhost == name))
}

fn known(api: &Api, user: &str) -> Result<()> {
    api.broker.users.user(user).map(|_| ()).ok_or_else(|| Refused::not_found("user_not_found"))
}

/// `GET users/:user/topic-permissions`.
pub(super) async fn of_user(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    known(&api, &name)?;
    answer::list(&query, rows(&api, |user, _| user == name))
}

fn found(api: &Api, login: &Login, vhost: &str, user: &str, exchange: Option<&str>) -> Result<Vec<Value>> {
    login.administrator()?;
    api.seen(login, vhost)?;
    known(api, user)?;
    let mut rows = rows(api, |known, place| known == user && place == vhost);
    rows.retain(|row| exchange.is_none_or(|exchange| row["exchange"] == exchange));
    if rows.is_empty() { Err(Refused::not_found("topic_permission_not_found")) } else { Ok(rows) }
}

/// `GET topic-permissions/:vhost/:user`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    answer::list(&query, found(&api, &login, &vhost, &user, None)?)
}

/// `GET topic-permissions/:vhost/:user/:exchange`.
pub(super) async fn get_one(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user, exchange)): Path<(String, String, String)>,
    query: Query,
) -> Result<Response> {
    answer::list(&query, found(&api, &login, &vhost, &user, Some(&exchange))?)
}

#[derive(Deserialize)]
pub(super) struct TopicPermissionBody {
    exchange: String,
    #[serde(flatten)]
    record: TopicPermissionRecord,
}

/// `PUT topic-permissions/:vhost/:user`.
pub(super) async fn put(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user)): Path<(String, String)>,
    Body(body): Body<TopicPermissionBody>,
) -> Result<Response> {
    login.administrator()?;
    if api.broker.vhost(&vhost).is_none() || api.broker.users.user(&user).is_none() {
        return Err(Refused::bad_request("vhost_or_user_not_found"));
    }
    let exchange = super::paths::short("exchange name", &body.exchange)?;
    // New means that the user had none in this vhost.
    let new = rows(&api, |known, place| known == user && place == vhost).is_empty();
    tokio::task::block_in_place(|| api.broker.set_topic_permission(&user, &vhost, &exchange, &body.record))?;
    Ok(answer::put(new))
}

fn clear(api: &Api, login: &Login, vhost: &str, user: &str, exchange: Option<&str>) -> Result<Response> {
    found(api, login, vhost, user, exchange)?;
    tokio::task::block_in_place(|| api.broker.clear_topic_permissions(user, vhost, exchange))?;
    Ok(answer::done())
}

/// `DELETE topic-permissions/:vhost/:user`: all of them.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user)): Path<(String, String)>,
) -> Result<Response> {
    clear(&api, &login, &vhost, &user, None)
}

/// `DELETE topic-permissions/:vhost/:user/:exchange`.
pub(super) async fn delete_one(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user, exchange)): Path<(String, String, String)>,
) -> Result<Response> {
    clear(&api, &login, &vhost, &user, Some(&exchange))
}
