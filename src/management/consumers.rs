//! Consumers: list.

use axum::extract::State;
use axum::response::Response;
use leveret_broker::queue_handle::ConsumerListed;
use serde::{Serialize, Serializer};
use serde_json::{Value, json};

use super::Api;
use super::access::{Login, OneOrAll};
use super::answer::{self, Item, Query};
use super::error::Result;
use super::tables::Table;

/// `RabbitMQ`'s `activity_status`: one of several consumers, the single active one, or one waiting behind it.
fn activity(listed: &ConsumerListed) -> &'static str {
    match (listed.active, listed.consumer.queue.view().settings.single_active_consumer) {
        (true, true) => "single_active",
        (true, false) => "up",
        (false, _) => "waiting",
    }
}

/// A consumer as shown in lists and queues.
pub(super) fn shown(api: &Api, listed: &ConsumerListed) -> Value {
    let consumer = &listed.consumer;
    let queue = &consumer.queue;
    // The connection may be closing.
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
    // 0: no timeout.
    let timeout = consumer.timeout_ms().unwrap_or_default();
    json!({
        "consumer_tag": consumer.tag.as_str(),
        "queue": { "name": queue.name.as_str(), "vhost": queue.vhost.as_str() },
        "channel_details": channel,
        "active": listed.active,
        "activity_status": activity(listed),
        "ack_required": !consumer.no_ack,
        "exclusive": consumer.exclusive,
        "prefetch_count": consumer.prefetch,
        "consumer_timeout": timeout,
        "arguments": Table(&consumer.arguments),
        "messages_unacknowledged": listed.unacked,
    })
}

/// A list row, serialised only if shown: there may be tens of thousands, a page has fifty.
struct Row<'a> {
    api: &'a Api,
    listed: ConsumerListed,
}

impl Serialize for Row<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        shown(self.api, &self.listed).serialize(serializer)
    }
}

impl Item for Row<'_> {
    /// Consumers cannot be filtered by name.
    fn name(&self) -> &'static str {
        ""
    }

    fn sort_key(&self, path: &str) -> Option<Value> {
        let consumer = &self.listed.consumer;
        Some(match path {
            "consumer_tag" => consumer.tag.as_str().into(),
            "queue.name" => consumer.queue.name.as_str().into(),
            "queue.vhost" => consumer.queue.vhost.as_str().into(),
            "prefetch_count" => consumer.prefetch.into(),
            "ack_required" => (!consumer.no_ack).into(),
            "active" => self.listed.active.into(),
            "exclusive" => consumer.exclusive.into(),
            "messages_unacknowledged" => self.listed.unacked.into(),
            _ => return None,
        })
    }
}

fn rows<'a>(api: &'a Api, login: &Login, vhost: &OneOrAll) -> Result<Vec<Row<'a>>> {
    let mut rows = Vec::new();
    for vhost in api.one_or_all(login, vhost)? {
        let mut queues = vhost.queues();
        queues.retain(|queue| queue.counts().consumers > 0);
        queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        for queue in queues {
            rows.extend(queue.consumers().into_iter().map(|listed| Row { api, listed }));
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
