//! The overview, and the endpoints by which tools identify the broker.

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use leveret_broker::global_parameters::CLUSTER_NAME;
use leveret_exchanges::Kind;
use serde::Deserialize;
use serde_json::{Value, json};

use super::access::{Level, Login};
use super::answer::{self, Query};
use super::body::Body;
use super::error::{Refused, Result};
use super::node_info::{COMPATIBLE_WITH, VERSION};
use super::rates::Totals;
use super::{Api, paths};

/// The declarable exchange types.
pub(super) fn exchange_types() -> Value {
    let shown = Kind::names()
        .map(|name| json!({ "name": name, "description": format!("exchange type {name}"), "enabled": true }));
    Value::Array(shown.collect())
}

/// `GET overview`. Figures for all vhosts together are for monitors.
pub(super) async fn get(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    let product = api.broker.product();
    let mut shown = json!({
        "management_version": product.rabbitmq_version().unwrap_or(VERSION),
        "rates_mode": "basic",
        "sample_retention_policies": { "global": [600, 86_400], "basic": [600, 86_400], "detailed": [600, 86_400] },
        "exchange_types": exchange_types(),
        "product_version": product.version,
        "product_name": product.name,
        "rabbitmq_version": product.rabbitmq_version().unwrap_or(COMPATIBLE_WITH),
        "cluster_name": api.broker.cluster_name(),
        "cluster_tags": {},
        "node_tags": {},
        "erlang_version": "none",
        "erlang_full_version": "none",
        "crypto_lib_version": "none",
        "release_series_support_status": "supported",
        "disable_stats": false,
        "enable_queue_totals": false,
        "default_queue_type": "classic",
        "is_op_policy_updating_enabled": false,
        "node": &*api.facts.node,
        "statistics_db_event_queue": 0,
        "listeners": [],
        "contexts": [],
    });
    let Some(object) = shown.as_object_mut() else { return answer::one(&query, &shown) };
    if login.is(Level::Monitoring) {
        object.insert("listeners".to_owned(), json!(api.facts.listeners()));
        object.insert("contexts".to_owned(), api.facts.contexts());
    }
    let totals = Totals::of(&api.broker);
    let rates = api.rates.snapshot().totals(&api.broker, &totals);
    if login.is(Level::Monitoring) {
        let mut messages = json!(rates.messages);
        if let (Some(messages), Value::Object(more)) = (messages.as_object_mut(), json!(rates.global)) {
            messages.extend(more);
            for name in ["disk_reads", "disk_writes"] {
                messages.insert(name.to_owned(), json!(0));
                messages.insert(format!("{name}_details"), json!({ "rate": 0.0 }));
            }
        }
        let connections = api.broker.registry.connections();
        object.insert("message_stats".to_owned(), messages);
        object.insert("churn_rates".to_owned(), json!(rates.churn));
        object.insert("queue_totals".to_owned(), json!(rates.lengths));
        object.insert(
            "object_totals".to_owned(),
            json!({
                "channels": connections.iter().map(|open| open.channels().len()).sum::<usize>(),
                "connections": connections.len(),
                "consumers": totals.consumers,
                "exchanges": totals.exchanges,
                "queues": totals.queues,
            }),
        );
        api.rates.write_totals(&query, object);
    } else {
        add_own(&api, &login, object);
    }
    answer::one(&query, &shown)
}

/// Sums over the user's own vhosts, for users without the monitoring tag.
fn add_own(api: &Api, login: &Login, object: &mut serde_json::Map<String, Value>) {
    let (mut messages, mut ready, mut unacked, mut consumers, mut queues, mut exchanges) = (0, 0, 0, 0, 0, 0);
    for vhost in api.all_seen(login) {
        exchanges += vhost.exchange_count();
        for queue in vhost.queues() {
            let counts = queue.counts();
            messages += counts.total();
            ready += counts.ready;
            unacked += counts.unacked;
            consumers += counts.consumers;
            queues += 1;
        }
    }
    let mut connections = api.broker.registry.connections();
    connections.retain(|connection| connection.facts.user == login.user);
    object.insert(
        "queue_totals".to_owned(),
        json!({
            "messages": messages,
            "messages_ready": ready,
            "messages_unacknowledged": unacked,
        }),
    );
    object.insert(
        "object_totals".to_owned(),
        json!({
            "channels": connections.iter().map(|open| open.channels().len()).sum::<usize>(),
            "connections": connections.len(),
            "consumers": consumers,
            "exchanges": exchanges,
            "queues": queues,
        }),
    );
    object.insert("message_stats".to_owned(), json!({}));
    object.insert("churn_rates".to_owned(), json!({}));
}

/// `GET cluster-name`.
pub(super) async fn cluster_name(State(api): State<Api>, _: Login) -> Json<Value> {
    Json(json!({ "name": api.broker.cluster_name() }))
}

#[derive(Deserialize, utoipa::ToSchema)]
pub(super) struct ClusterName {
    name: String,
}

/// `PUT cluster-name`.
pub(super) async fn put_cluster_name(
    State(api): State<Api>,
    login: Login,
    Body(body): Body<ClusterName>,
) -> Result<Response> {
    login.administrator()?;
    let name = paths::short("name", &body.name)?;
    if name.is_empty() {
        return Err(Refused::bad_request("the name is empty"));
    }
    tokio::task::block_in_place(|| api.broker.set_global_parameter(CLUSTER_NAME, &name.into()))?;
    Ok(answer::done())
}

/// `GET version`.
pub(super) async fn version() -> Json<Value> {
    Json(json!(VERSION))
}
