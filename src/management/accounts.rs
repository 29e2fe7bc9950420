//! Users and permissions.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::operator_limits::{LimitsOf, OperatorLimits};
use leveret_broker::password;
use leveret_broker::users::{PermissionRecord, UserRecord};
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::Login;
use super::answer::{self, Query};
use super::audit::{self, Note};
use super::body::{Body, words};
use super::error::{Refused, Result};
use super::{Api, Shared};

/// A user as shown in lists and definitions.
pub(super) fn shown(api: &Shared, name: &str, record: &UserRecord) -> Value {
    let (hash, algorithm) = password::exported(&record.password_hash);
    json!({
        "name": name,
        "password_hash": hash,
        "hashing_algorithm": algorithm,
        "tags": record.tags,
        "limits": api.broker.users.limits(name),
    })
}

/// A user as exported in definitions. `RabbitMQ` does not know Leveret's password hashing, and would reject the whole
/// file: such a hash is stored in a member of its own, and the user appears to have no password.
pub(super) fn exported(api: &Shared, name: &str, record: &UserRecord) -> Value {
    let mut user = shown(api, name, record);
    if password::is_ours(&record.password_hash) {
        user[OUR_HASH] = user["password_hash"].take();
        user["password_hash"] = json!("");
        user["hashing_algorithm"] = json!(password::exported("").1);
    }
    user
}

/// See [`exported`].
const OUR_HASH: &str = "leveret_password_hash";

/// `GET users`.
pub(super) async fn all(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.administrator()?;
    answer::list(
        &query,
        api.broker.users.all().iter().map(|(name, record)| shown(&api, name, record)).collect(),
    )
}

/// `GET users/without-permissions`.
pub(super) async fn without_permissions(
    State(api): State<Api>,
    login: Login,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    let users = api.broker.users.without_permissions();
    answer::list(&query, users.iter().map(|(name, record)| shown(&api, name, record)).collect())
}

fn record(api: &Api, name: &str) -> Result<UserRecord> {
    api.broker.users.user(name).ok_or_else(|| Refused::not_found("user_not_found"))
}

/// `GET users/:user`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    answer::one(&query, &shown(&api, &name, &record(&api, &name)?))
}

/// A user in a request or in definitions.
#[derive(Clone, Deserialize, utoipa::ToSchema)]
pub(super) struct UserBody {
    pub(super) name: Option<String>,
    password: Option<String>,
    password_hash: Option<String>,
    hashing_algorithm: Option<String>,
    leveret_password_hash: Option<String>,
    #[serde(default, deserialize_with = "words")]
    tags: Option<Vec<String>>,
    limits: Option<BTreeMap<String, i64>>,
}

impl UserBody {
    /// The given limits, if any.
    pub(super) fn limits(&mut self) -> Result<Option<OperatorLimits>> {
        let limits = self.limits.take().map(|limits| OperatorLimits::new(LimitsOf::User, limits));
        Ok(limits.transpose()?)
    }

    /// The stored form. Slow if a password must be hashed.
    pub(super) fn record(self) -> Result<UserRecord> {
        let tags = self.tags.ok_or_else(|| Refused::bad_request("key_missing: tags"))?;
        let password_hash = match (self.password, self.password_hash) {
            (Some(_), Some(_)) => {
                return Err(Refused::bad_request("either password or password_hash, not both"));
            }
            (Some(password), None) if password.is_empty() => {
                return Err(Refused::bad_request("the password is empty"));
            }
            (Some(password), None) => password::hash_password(password.as_bytes())
                .map_err(|error| Refused::unavailable(format!("cannot hash the password: {error}")))?,
            (None, _) if self.leveret_password_hash.is_some() => {
                let hash = self.leveret_password_hash.unwrap_or_default();
                password::ours(&hash).map_err(Refused::bad_request)?
            }
            (None, hash) => password::imported(&hash.unwrap_or_default(), self.hashing_algorithm.as_deref())
                .map_err(Refused::bad_request)?,
        };
        Ok(UserRecord { password_hash, tags })
    }
}

/// `PUT users/:user`.
pub(super) async fn put(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    Body(mut body): Body<UserBody>,
) -> Result<Response> {
    login.administrator()?;
    let new = tokio::task::block_in_place(|| {
        let limits = body.limits()?;
        let new = api.broker.put_user(&name, &body.record()?)?;
        if let Some(limits) = limits {
            api.broker.set_user_limits(&name, &limits)?;
        }
        Ok::<_, Refused>(new)
    })?;
    Ok(answer::put(new))
}

/// `DELETE users/:user`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
) -> Result<Response> {
    login.administrator()?;
    if tokio::task::block_in_place(|| api.broker.delete_user(&name))? {
        Ok(answer::done())
    } else {
        Err(Refused::not_found("user_not_found"))
    }
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct Names {
    users: Vec<String>,
}

/// `POST users/bulk-delete`.
pub(super) async fn delete_many(
    State(api): State<Api>,
    login: Login,
    Body(body): Body<Names>,
) -> Result<Response> {
    login.administrator()?;
    for name in &body.users {
        tokio::task::block_in_place(|| api.broker.delete_user(name))?;
    }
    let done = format!("deleted {} users: {}", body.users.len(), audit::names(&body.users));
    Ok(audit::noted(answer::done(), Note::Done(done)))
}

/// `GET whoami`.
pub(super) async fn whoami(login: Login) -> Json<Value> {
    Json(json!({ "name": login.user.as_str(), "tags": &*login.tags }))
}

/// `GET auth/hash_password/:password`.
pub(super) async fn hash(_: Login, Path(password): Path<String>) -> Json<Value> {
    Json(json!({ "ok": password::portable_hash(password.as_bytes()) }))
}

/// A permission as shown in lists.
pub(super) fn permission(user: &str, vhost: &str, record: &PermissionRecord) -> Value {
    json!({
        "user": user,
        "vhost": vhost,
        "configure": record.configure,
        "write": record.write,
        "read": record.read,
    })
}

fn permissions(api: &Api, which: impl Fn(&str, &str) -> bool) -> Vec<Value> {
    let mut all = api.broker.users.permissions();
    all.retain(|(user, vhost, _)| which(user, vhost));
    all.iter().map(|(user, vhost, record)| permission(user, vhost, record)).collect()
}

/// `GET permissions`.
pub(super) async fn all_permissions(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.administrator()?;
    answer::list(&query, permissions(&api, |_, _| true))
}

/// `GET vhosts/:vhost/permissions`.
pub(super) async fn permissions_in(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    api.seen(&login, &name)?;
    answer::list(&query, permissions(&api, |_, vhost| vhost == name))
}

/// `GET users/:user/permissions`.
pub(super) async fn permissions_of(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    record(&api, &name)?;
    answer::list(&query, permissions(&api, |user, _| user == name))
}

fn both(api: &Api, vhost: &str, user: &str) -> Result<()> {
    if api.broker.vhost(vhost).is_none() {
        return Err(Refused::not_found("vhost_not_found"));
    }
    record(api, user).map(|_| ())
}

/// `GET permissions/:vhost/:user`.
pub(super) async fn get_permission(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    login.administrator()?;
    both(&api, &vhost, &user)?;
    let record = api.broker.users.permission(&user, &vhost);
    let record = record.ok_or_else(|| Refused::not_found("permission_not_found"))?;
    answer::one(&query, &permission(&user, &vhost, &record))
}

/// `PUT permissions/:vhost/:user`.
pub(super) async fn put_permission(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user)): Path<(String, String)>,
    Body(record): Body<PermissionRecord>,
) -> Result<Response> {
    login.administrator()?;
    both(&api, &vhost, &user).map_err(|missing| Refused::bad_request(missing.reason()))?;
    let new = tokio::task::block_in_place(|| api.broker.set_permission(&user, &vhost, &record))?;
    Ok(answer::put(new))
}

/// `DELETE permissions/:vhost/:user`.
pub(super) async fn delete_permission(
    State(api): State<Api>,
    login: Login,
    Path((vhost, user)): Path<(String, String)>,
) -> Result<Response> {
    login.administrator()?;
    both(&api, &vhost, &user)?;
    if tokio::task::block_in_place(|| api.broker.clear_permission(&user, &vhost))? {
        Ok(answer::done())
    } else {
        Err(Refused::not_found("permission_not_found"))
    }
}
