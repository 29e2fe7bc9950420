//! `GET lint`, `GET lint/:vhost` and `GET lint-rules`: what in a broker's topology, clients and queues is likely a
//! mistake (docs/lint.md).
//!
//! Invariants: rules see plain data only; of each rule the first [`rules::OBJECTS_MAX`] objects are listed, all are
//! counted; a user finds only what the lists of the same objects show.

mod cycles;
mod rules;
mod schema;
mod snapshot;
mod survey;
#[cfg(test)]
mod tests;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::Api;
use super::access::{Login, OneOrAll};
use super::answer::{self, Query};
use super::error::Result;
use super::openapi::{Routes, list, whole};
use rules::{Found, RULES, Rule, Severity};
use snapshot::Snapshot;

/// The routes.
pub(super) fn routes() -> Routes {
    Routes::about("Diagnosis")
        .at("/lint", whole("What is likely a mistake, by rule", &schema::LINT, lint))
        .at("/lint/{vhost}", whole("The same in a virtual host", &schema::LINT, lint))
        .at("/lint-rules", list("The rules of lint", &schema::RULE, rules))
}

/// `GET lint` and `GET lint/:vhost`. Like every GET it runs where blocking harms nobody (`access::guard`).
async fn lint(State(api): State<Api>, login: Login, vhost: OneOrAll) -> Result<Json<Value>> {
    let vhosts = api.one_or_all(&login, &vhost)?;
    Ok(Json(report(&survey::snapshot(&api, &login, &vhosts))))
}

/// `GET lint-rules`.
async fn rules(_: Login, query: Query) -> Result<Response> {
    answer::list(&query, RULES.iter().map(described).collect())
}

fn described(rule: &Rule) -> Value {
    json!({
        "rule": rule.id,
        "severity": rule.severity.name(),
        "title": rule.title,
        "why": rule.why,
        "advice": rule.advice,
        "documentation": format!("docs/lint.md#{}", rule.id),
    })
}

fn report(snapshot: &Snapshot) -> Value {
    let (mut findings, mut counts) = (Vec::new(), [0; 3]);
    for rule in &RULES {
        let mut found = Found::default();
        (rule.find)(snapshot, &mut found);
        counts[rule.severity as usize] += found.count;
        if found.count > 0 {
            findings.push(finding(rule, &found));
        }
    }
    let [info, warning, error] = counts;
    let sum = |count: fn(&snapshot::VhostFacts) -> usize| snapshot.vhosts.iter().map(count).sum::<usize>();
    json!({
        "findings": findings,
        "counts": {
            Severity::Error.name(): error, Severity::Warning.name(): warning, Severity::Info.name(): info,
        },
        "examined": {
            "vhosts": snapshot.vhosts.len(),
            "queues": sum(|vhost| vhost.queues.len()),
            "exchanges": sum(|vhost| vhost.exchanges.len()),
            "consumers": sum(|vhost| vhost.queues.iter().map(|queue| queue.consumers.len()).sum()),
            "policies": sum(|vhost| vhost.policies.len()),
            "connections": snapshot.clients.iter().map(|client| client.connections).sum::<usize>(),
        },
    })
}

fn finding(rule: &Rule, found: &Found) -> Value {
    let objects = found.objects.iter().map(|object| {
        json!({ "kind": object.kind, "vhost": object.vhost, "name": object.name, "why": object.why })
    });
    let mut finding = described(rule);
    finding["count"] = found.count.into();
    finding["objects"] = objects.collect();
    finding
}
