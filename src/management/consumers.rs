//! Consumers: list.

use axum::extract::State;
use axum::response::Response;
use serde_json::{Value, json};

use super::Api;
use super::access::{Login, OneOrAll};
use super::answer::{self, Query};
use super::error::Result;
use super::tables::Table;
use crate::broker::listing::ConsumerListed;

/// A consumer as lists and queues show it.
pub(super) fn shown(api: &Api, listed: &ConsumerListed) -> Value {
    let consumer = &listed.consumer;
    let queue = &consumer.queue;
    // Its connection may be ending.
    let channel = api.broker.registry.get(consumer.connection).map_or_else(
        || json!({}),
        |connection| {
            json!({
                "number": consumer.channel,
                "name": format!("{} ({})", connection.name, consumer.channel),
                "connection_name": connection.name,
                "node": &*api.facts.node,
                "peer_host": connection.facts.peer.ip().to_string(),
                "peer_port": connection.facts.peer.port(),
                "user": connection.facts.user.as_str(),
            })
        },
    );
    // Zero: there is none.
    let timeout = consumer.timeout_ms().unwrap_or_default();
    json!({
        "consumer_tag": consumer.tag.as_str(),
        "queue": { "name": queue.name.as_str(), "vhost": queue.vhost.as_str() },
        "channel_details": channel,
        "active": listed.active,
        "activity_status": if listed.active { "up" } else { "waiting" },
        "ack_required": !consumer.no_ack,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "consumer_timeout": timeout,
        "arguments": Table(&consumer.arguments),
        "messages_unacknowledged": listed.unacked,
    })
}

fn rows(api: &Api, login: &Login, vhost: &OneOrAll) -> Result<Vec<Value>> {
    let mut rows = Vec::new();
    for vhost in api.one_or_all(login, vhost)? {
        let mut queues = vhost.queues();
        queues.retain(|queue| queue.counts().consumers > 0);
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for queue in queues {
            rows.extend(queue.consumers().iter().map(|listed| shown(api, listed)));
        }
    }
    Ok(rows)
}

/// `GET consumers` and `GET consumers/:vhost`.
pub(super) async fn list(
    State(api): State<Api>,
    login: Login,
    vhost: OneOrAll,
    query: Query,
) -> Result<Response> {
    answer::list(&query, rows(&api, &login, &vhost)?)
}
