//! Parameters: values under a component and a name. Vhost parameters are other objects in another form (limits,
//! operator policies); unknown components are refused, as `RabbitMQ` refuses those of absent plugins. Global
//! parameters hold any value.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::batch::Rule;
use leveret_broker::operator_limits::{LimitsOf, OperatorLimits};
use leveret_broker::policies::PolicyKind;
use leveret_broker::vhost::Vhost;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Level, Login};
use super::answer::{self, Query};
use super::body::{self, Body};
use super::error::{Refused, Result};
use super::policies::{OPERATOR_POLICY, PolicyBody};
use super::{Api, Shared};

/// The component of a vhost's limits, which has a single parameter.
pub(super) const VHOST_LIMITS: &str = "vhost-limits";
const LIMITS: &str = "limits";

/// The parameters of a vhost, as shown in lists and definitions.
pub(super) fn of_vhost(vhost: &Vhost) -> Vec<Value> {
    let limits = vhost.limits.read();
    let shown = |component: &str, name: &str, value: Value| json!({ "vhost": vhost.name.as_str(), "component": component, "name": name, "value": value });
    let limits = (!limits.is_empty()).then(|| shown(VHOST_LIMITS, LIMITS, json!(&*limits)));
    let policies = vhost.policies();
    let operators = policies.of(PolicyKind::Operator).iter();
    limits
        .into_iter()
        .chain(operators.map(|policy| shown(OPERATOR_POLICY, &policy.name, json!(policy.record))))
        .collect()
}

fn rows(login: &Login, component: Option<&str>, vhosts: &[Arc<Vhost>]) -> Result<Vec<Value>> {
    login.must_be(Level::Policymaker)?;
    let mut rows: Vec<_> = vhosts.iter().flat_map(|vhost| of_vhost(vhost)).collect();
    rows.retain(|row| component.is_none_or(|component| row["component"] == component));
    Ok(rows)
}

/// `GET parameters`.
pub(super) async fn all(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    answer::list(&query, rows(&login, None, &api.all_seen(&login))?)
}

/// `GET parameters/:component`.
pub(super) async fn of_component(
    State(api): State<Api>,
    login: Login,
    Path(component): Path<String>,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&login, Some(&component), &api.all_seen(&login))?)
}

/// `GET parameters/:component/:vhost`.
pub(super) async fn in_vhost(
    State(api): State<Api>,
    login: Login,
    Path((component, vhost)): Path<(String, String)>,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&login, Some(&component), &[api.seen(&login, &vhost)?])?)
}

fn found(api: &Api, login: &Login, component: &str, vhost: &str, name: &str) -> Result<Value> {
    let mut rows = rows(login, Some(component), &[api.seen(login, vhost)?])?.into_iter();
    rows.find(|row| row["name"] == name).ok_or_else(|| Refused::not_found("parameter_not_found"))
}

/// `GET parameters/:component/:vhost/:name`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path((component, vhost, name)): Path<(String, String, String)>,
    query: Query,
) -> Result<Response> {
    answer::one(&query, &found(&api, &login, &component, &vhost, &name)?)
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct ParameterBody {
    value: Value,
}

/// The rule that a vhost parameter sets.
pub(super) fn rule(login: &Login, component: &str, name: &str, value: Value) -> Result<Rule> {
    match component {
        VHOST_LIMITS => {
            login.administrator()?;
            if name != LIMITS {
                let why = format!("Validation failed\n\nparameter {VHOST_LIMITS} is called {LIMITS}\n");
                return Err(Refused::bad_request(why));
            }
            let limits: BTreeMap<String, i64> = body::object_of(value)?;
            Ok(Rule::Limits(OperatorLimits::new(LimitsOf::Vhost, limits)?))
        }
        OPERATOR_POLICY => {
            login.administrator()?;
            let record = body::object_of::<PolicyBody>(value)?.record(PolicyKind::Operator)?;
            Ok(Rule::Policy(PolicyKind::Operator, name.to_owned(), record))
        }
        "policy" => Err(Refused::bad_request("policies may not be set using this method")),
        other => Err(Refused::bad_request(format!("Validation failed\n\ncomponent {other} not found\n"))),
    }
}

/// Whether the vhost already has an equal policy or equal limits.
pub(super) fn is_said(vhost: &Vhost, rule: &Rule) -> bool {
    match rule {
        Rule::Policy(kind, name, record) => {
            vhost.policies().get(*kind, name).is_some_and(|policy| policy.record == *record)
        }
        Rule::Limits(limits) => *vhost.limits.read() == *limits,
        Rule::Permission(..) | Rule::TopicPermission(..) => false,
    }
}

/// Sets a parameter of a vhost; `None` clears it.
pub(super) fn set(
    api: &Shared,
    login: &Login,
    component: &str,
    vhost: &str,
    name: &str,
    value: Option<Value>,
) -> Result<()> {
    let Some(value) = value else {
        if component == OPERATOR_POLICY {
            login.administrator()?;
            api.broker.delete_policy(vhost, PolicyKind::Operator, name)?;
            return Ok(());
        }
        return set(api, login, component, vhost, name, Some(json!({})));
    };
    match rule(login, component, name, value)? {
        Rule::Limits(limits) => api.broker.set_vhost_limits(vhost, &limits)?,
        Rule::Policy(kind, name, record) => {
            api.broker.put_policy(vhost, kind, &name, record)?;
        }
        Rule::Permission(..) | Rule::TopicPermission(..) => {}
    }
    Ok(())
}

/// `PUT parameters/:component/:vhost/:name`.
pub(super) async fn put(
    State(api): State<Api>,
    login: Login,
    Path((component, vhost, name)): Path<(String, String, String)>,
    Body(body): Body<ParameterBody>,
) -> Result<Response> {
    login.must_be(Level::Policymaker)?;
    api.seen(&login, &vhost)?;
    let new = found(&api, &login, &component, &vhost, &name).is_err();
    tokio::task::block_in_place(|| set(&api, &login, &component, &vhost, &name, Some(body.value)))?;
    Ok(answer::put(new))
}

/// `DELETE parameters/:component/:vhost/:name`.
pub(super) async fn delete(
    State(api): State<Api>,
    login: Login,
    Path((component, vhost, name)): Path<(String, String, String)>,
) -> Result<Response> {
    found(&api, &login, &component, &vhost, &name)?;
    tokio::task::block_in_place(|| set(&api, &login, &component, &vhost, &name, None))?;
    Ok(answer::done())
}

/// Global parameters as shown in lists and definitions.
pub(super) fn global(api: &Shared) -> Vec<Value> {
    let all = api.broker.global_parameters().into_iter();
    all.map(|(name, value)| json!({ "name": name, "value": value })).collect()
}

/// `GET global-parameters`.
pub(super) async fn all_global(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.must_be(Level::Policymaker)?;
    answer::list(&query, global(&api))
}

/// `GET global-parameters/:name`.
pub(super) async fn get_global(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.must_be(Level::Policymaker)?;
    let value = api.broker.global_parameter(&name);
    let value = value.ok_or_else(|| Refused::not_found("parameter_not_found"))?;
    answer::one(&query, &json!({ "name": name, "value": value }))
}

/// `PUT global-parameters/:name`.
pub(super) async fn put_global(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    Body(body): Body<ParameterBody>,
) -> Result<Response> {
    login.must_be(Level::Policymaker)?;
    let new = tokio::task::block_in_place(|| api.broker.set_global_parameter(&name, &body.value))?;
    Ok(answer::put(new))
}

/// `DELETE global-parameters/:name`.
pub(super) async fn delete_global(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
) -> Result<Response> {
    login.must_be(Level::Policymaker)?;
    if tokio::task::block_in_place(|| api.broker.clear_global_parameter(&name))? {
        Ok(answer::done())
    } else {
        Err(Refused::not_found("parameter_not_found"))
    }
}
