//! Policies and operator policies: list, get, set, delete; and the effective settings of a queue or exchange.

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::policies::{Effective, Matched, Policy, PolicyKind, PolicyRecord, Source};
use leveret_broker::queue_options;
use leveret_broker::vhost::Vhost;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};

use super::access::{Level, Login, OneOrAll};
use super::answer::{self, Query};
use super::body::Body;
use super::error::{Refused, Result};
use super::{Api, paths};

/// A policy as shown in lists and definitions.
pub(super) fn shown(vhost: &Vhost, policy: &Policy) -> Value {
    let record = &policy.record;
    json!({
        "vhost": vhost.name.as_str(),
        "name": policy.name,
        "pattern": record.pattern,
        "apply-to": record.apply_to,
        "definition": record.definition,
        "priority": record.priority,
    })
}

/// The parameter component of operator policies.
pub(super) const OPERATOR_POLICY: &str = "operator_policy";

/// A policy in a request or in definitions.
#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct PolicyBody {
    pattern: String,
    definition: Value,
    #[serde(default, deserialize_with = "whole")]
    priority: i64,
    #[serde(rename = "apply-to")]
    apply_to: Option<String>,
}

/// `5`, `5.0`, `"5"` or nothing.
fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<i64, D::Error> {
    let value = Value::deserialize(deserializer)?;
    let number = match &value {
        Value::Null => Some(0),
        Value::Number(number) => {
            number.as_i64().or_else(|| number.to_string().strip_suffix(".0")?.parse().ok())
        }
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    number.ok_or_else(|| serde::de::Error::custom(format!("should be a whole number, actually was {value}")))
}

impl PolicyBody {
    /// The stored form.
    pub(super) fn record(&self, kind: PolicyKind) -> Result<PolicyRecord> {
        let empty = Map::new();
        let definition = match &self.definition {
            Value::Object(definition) => definition,
            Value::Array(list) if list.is_empty() => &empty,
            other => {
                let why = format!("Validation failed\n\ndefinition must be a dictionary: {other}\n");
                return Err(Refused::bad_request(why));
            }
        };
        let apply_to = self.apply_to.as_deref();
        Ok(PolicyRecord::read(kind, &self.pattern, apply_to, self.priority, definition)?)
    }
}

fn rows(api: &Api, login: &Login, kind: PolicyKind, vhost: &OneOrAll) -> Result<Vec<Value>> {
    let vhosts = api.one_or_all(login, vhost)?;
    let rows = vhosts.iter().flat_map(|vhost| {
        let policies = vhost.policies();
        policies.of(kind).iter().map(|policy| shown(vhost, policy)).collect::<Vec<_>>()
    });
    Ok(rows.collect())
}

fn found(api: &Api, login: &Login, kind: PolicyKind, vhost: &str, name: &str) -> Result<Value> {
    let vhost = api.seen(login, vhost)?;
    let policies = vhost.policies();
    let policy = policies.get(kind, name).ok_or_else(|| Refused::not_found("policy_not_found"))?;
    Ok(shown(&vhost, policy))
}

/// Checks the right to change policies of a kind in a vhost: operator policies are for administrators.
fn may_change(api: &Api, login: &Login, kind: PolicyKind, vhost: &str) -> Result<()> {
    match kind {
        PolicyKind::User => login.must_be(Level::Policymaker)?,
        PolicyKind::Operator => login.administrator()?,
    }
    api.seen(login, vhost).map(|_| ())
}

fn put_one(
    api: &Api,
    login: &Login,
    kind: PolicyKind,
    (vhost, name): &(String, String),
    body: &PolicyBody,
) -> Result<Response> {
    may_change(api, login, kind, vhost)?;
    let record = body.record(kind)?;
    let new = tokio::task::block_in_place(|| api.broker.put_policy(vhost, kind, name, record))?;
    Ok(answer::put(new))
}

fn delete_one(
    api: &Api,
    login: &Login,
    kind: PolicyKind,
    (vhost, name): &(String, String),
) -> Result<Response> {
    may_change(api, login, kind, vhost)?;
    if tokio::task::block_in_place(|| api.broker.delete_policy(vhost, kind, name))? {
        Ok(answer::done())
    } else {
        Err(Refused::not_found("policy_not_found"))
    }
}

/// `GET policies` and `GET policies/:vhost`.
pub(super) async fn list(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&api, &login, PolicyKind::User, &vhost)?)
}

/// `GET policies/:vhost/:name`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    answer::one(&query, &found(&api, &login, PolicyKind::User, &vhost, &name)?)
}

/// `PUT policies/:vhost/:name`.
pub(super) async fn put(
    State(api): State<Api>,
    login: Login,
    Path(place): Path<(String, String)>,
    Body(body): Body<PolicyBody>,
) -> Result<Response> {
    put_one(&api, &login, PolicyKind::User, &place, &body)
}

/// `DELETE policies/:vhost/:name`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path(place): Path<(String, String)>,
) -> Result<Response> {
    delete_one(&api, &login, PolicyKind::User, &place)
}

/// `GET operator-policies` and `GET operator-policies/:vhost`.
pub(super) async fn list_of_operators(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&api, &login, PolicyKind::Operator, &vhost)?)
}

/// `GET operator-policies/:vhost/:name`.
pub(super) async fn get_of_operators(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    answer::one(&query, &found(&api, &login, PolicyKind::Operator, &vhost, &name)?)
}

/// `PUT operator-policies/:vhost/:name`.
pub(super) async fn put_of_operators(
    State(api): State<Api>,
    login: Login,
    Path(place): Path<(String, String)>,
    Body(body): Body<PolicyBody>,
) -> Result<Response> {
    put_one(&api, &login, PolicyKind::Operator, &place, &body)
}

/// `DELETE operator-policies/:vhost/:name`.
pub(super) async fn delete_of_operators(
    State(api): State<Api>,
    login: Login,
    Path(place): Path<(String, String)>,
) -> Result<Response> {
    delete_one(&api, &login, PolicyKind::Operator, &place)
}

/// A policy's name, if there is one.
pub(super) fn name_of(policy: Option<&Policy>) -> Option<&str> {
    policy.map(|policy| policy.name.as_str())
}

fn setting(name: &str, value: &Value, source: Source, matched: &Matched) -> Value {
    let (word, policy) = match source {
        Source::Argument => ("argument", None),
        Source::Policy => ("policy", matched.policy.as_deref()),
        Source::OperatorPolicy => ("operator_policy", matched.operator.as_deref()),
        Source::Default => ("default", None),
    };
    let mut row = json!({ "setting": name, "value": value, "source": word });
    if let Some(policy) = policy {
        row["policy"] = json!(policy.name);
    }
    row
}

fn report(name: &str, vhost: &Vhost, matched: &Matched, settings: &[Value]) -> Json<Value> {
    Json(json!({
        "name": name,
        "vhost": vhost.name.as_str(),
        "policy": name_of(matched.policy.as_deref()),
        "operator_policy": name_of(matched.operator.as_deref()),
        "settings": settings,
    }))
}

/// `GET queues/:vhost/:queue/effective`: each setting, its value, and its source.
pub(super) async fn effective_of_queue(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let vhost = api.seen(&login, &vhost)?;
    let queue = vhost.queue(&name).filter(|queue| !queue.hidden);
    let queue = queue.ok_or_else(|| Refused::not_found("queue_not_found"))?;
    let options = queue_options::read(&queue.name, &queue.vhost, &queue.spec(), false)?;
    let matched = queue.matched();
    let effective = Effective::of(&options.rules, options.kind, &matched);
    let settings = effective.settings();
    let settings = settings.iter().map(|(name, value, source)| setting(name, value, *source, &matched));
    Ok(report(queue.name.as_str(), &vhost, &matched, &settings.collect::<Vec<_>>()))
}

/// `GET exchanges/:vhost/:exchange/effective`: likewise.
pub(super) async fn effective_of_exchange(
    State(api): State<Api>,
    login: Login,
    Path((vhost, name)): Path<(String, String)>,
) -> Result<Json<Value>> {
    let vhost = api.seen(&login, &vhost)?;
    let name = paths::exchange(&name)?;
    let alternate = vhost.alternate_of(name.as_str());
    let alternate = alternate.ok_or_else(|| Refused::not_found("exchange_not_found"))?;
    let matched = vhost.policies_of_exchange(name.as_str());
    let row = setting("alternate-exchange", &json!(alternate.value), alternate.source, &matched);
    Ok(report(name.as_str(), &vhost, &matched, &[row]))
}
