//! Prometheus metrics under `RabbitMQ`'s names (docs/http-api.md), so that its dashboards work. A scrape takes as
//! many short locks as there are queues, however many messages they hold.

use std::collections::HashSet;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::middleware;
use axum::response::Response;
use axum::routing::get;
use leveret_broker::alarms::Resource;
use leveret_broker::message_sizes::BOUNDS;

use super::exposition::Text;
use super::node::{Usage, alarms};
use super::node_info::COMPATIBLE_WITH;
use super::rates::Totals;
use super::{Api, Shared, server, store_metrics};

/// The routes that Prometheus scrapes; there are no others.
pub(super) fn router(api: Api) -> Router {
    Router::new()
        .route("/metrics", get(aggregated))
        .route("/metrics/per-object", get(per_object))
        .route("/metrics/detailed", get(detailed))
        .with_state(api)
        .layer(middleware::from_fn(server::secure))
}

/// A label's value, escaped.
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

async fn aggregated(State(api): State<Api>) -> Response {
    let mut text = Text::default();
    identity(&api, &mut text, "aggregated");
    process(&api, &mut text);
    let totals = Totals::of(&api.broker);
    global(&api, &totals, &mut text);
    store_metrics::write(&api, &totals, &mut text);
    for (name, value) in [
        ("rabbitmq_queue_messages", totals.messages),
        ("rabbitmq_queue_messages_ready", totals.ready),
        ("rabbitmq_queue_messages_unacked", totals.unacked),
        ("rabbitmq_queue_consumers", totals.consumers),
    ] {
        text.gauge(name, value);
    }
    if let Some(drifted) = super::topology::drifted(&api) {
        text.gauge("leveret_topology_drift", drifted);
    }
    text.response()
}

async fn per_object(State(api): State<Api>) -> Response {
    let mut text = Text::default();
    identity(&api, &mut text, "per-object");
    process(&api, &mut text);
    let totals = Totals::of(&api.broker);
    global(&api, &totals, &mut text);
    store_metrics::write(&api, &totals, &mut text);
    queues(&api, &mut text, "rabbitmq_queue_", &FAMILIES, None);
    text.response()
}

/// A family of `/metrics/detailed` and the metrics in it.
type Family = (&'static str, &'static [&'static str]);

const FAMILIES: [Family; 2] = [
    ("queue_coarse_metrics", &["messages_ready", "messages_unacked", "messages"]),
    ("queue_consumer_count", &["consumers"]),
];

/// Only the requested families, in the requested vhosts.
async fn detailed(State(api): State<Api>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let pairs: Vec<_> = pairs
        .map(|(name, value)| {
            let value = value.replace('+', " ");
            (name, percent_encoding::percent_decode_str(&value).decode_utf8_lossy().into_owned())
        })
        .collect();
    let of = |wanted: &str| -> HashSet<&str> {
        pairs.iter().filter(|(name, _)| *name == wanted).map(|(_, value)| value.as_str()).collect()
    };
    let families: Vec<Family> =
        FAMILIES.into_iter().filter(|(family, _)| of("family").contains(family)).collect();
    let vhosts = Some(of("vhost")).filter(|vhosts| !vhosts.is_empty());
    let mut text = Text::default();
    identity(&api, &mut text, "detailed");
    queues(&api, &mut text, "rabbitmq_detailed_queue_", &families, vhosts.as_ref());
    text.response()
}

fn queues(api: &Shared, text: &mut Text, prefix: &str, families: &[Family], vhosts: Option<&HashSet<&str>>) {
    let mut rows = Vec::new();
    for vhost in api.broker.vhosts() {
        if vhosts.is_some_and(|vhosts| !vhosts.contains(vhost.name.as_str())) {
            continue;
        }
        for queue in vhost.queues() {
            let labels = format!(
                "vhost=\"{}\",queue=\"{}\"",
                quoted(vhost.name.as_str()),
                quoted(queue.name.as_str())
            );
            rows.push((labels, queue.counts()));
        }
    }
    for metric in families.iter().flat_map(|(_, metrics)| *metrics) {
        let name = format!("{prefix}{metric}");
        text.kind("gauge", &name);
        for (labels, counts) in &rows {
            let value = match *metric {
                "messages_ready" => counts.ready,
                "messages_unacked" => counts.unacked,
                "consumers" => counts.consumers as u64,
                _ => counts.total(),
            };
            text.value(&name, labels, value);
        }
    }
}

/// The series that others are joined with; `endpoint` distinguishes the paths of one broker.
fn identity(api: &Shared, text: &mut Text, endpoint: &str) {
    let product = api.broker.product();
    let (name, version) = (quoted(&product.name), quoted(&product.version));
    let compatible_with = quoted(product.rabbitmq_version().unwrap_or(COMPATIBLE_WITH));
    let (node, cluster) = (quoted(&api.facts.node), quoted(&api.broker.cluster_name()));
    text.kind("untyped", "rabbitmq_build_info");
    text.value(
        "rabbitmq_build_info",
        &format!(
            "rabbitmq_version=\"{compatible_with}\",product_name=\"{name}\",product_version=\"{version}\",erlang_version=\"none\""
        ),
        1,
    );
    text.kind("untyped", "rabbitmq_identity_info");
    text.value(
        "rabbitmq_identity_info",
        &format!(
            "rabbitmq_node=\"{node}\",rabbitmq_cluster=\"{cluster}\",rabbitmq_endpoint=\"{endpoint}\",rabbitmq_cluster_permanent_id=\"{node}\""
        ),
        1,
    );
}

fn process(api: &Shared, text: &mut Text) {
    let usage = Usage::read();
    let (watched, raised) = (&api.broker.alarms, alarms(api));
    let limits = watched.limits();
    for (name, value) in [
        ("rabbitmq_process_resident_memory_bytes", watched.resident()),
        ("rabbitmq_resident_memory_limit_bytes", limits.resident_max),
        ("rabbitmq_process_open_fds", usage.files),
        ("rabbitmq_process_max_fds", usage.files_max),
        ("rabbitmq_process_open_tcp_sockets", api.broker.open_connections() as u64 + 1),
        ("rabbitmq_process_max_tcp_sockets", api.broker.limits().connections_max as u64),
        ("rabbitmq_disk_space_available_bytes", watched.disk_free()),
        ("rabbitmq_disk_space_available_limit_bytes", limits.disk_free_min),
        ("rabbitmq_alarms_memory_used_watermark", u64::from(raised.contains(&Resource::Memory))),
        ("rabbitmq_alarms_free_disk_space_watermark", u64::from(raised.contains(&Resource::Disk))),
        ("rabbitmq_alarms_file_descriptor_limit", u64::from(usage.files >= usage.files_max)),
        ("rabbitmq_erlang_uptime_seconds", api.broker.now().0.saturating_sub(api.facts.started.0) / 1000),
    ] {
        text.gauge(name, value);
    }
}

fn global(api: &Shared, totals: &Totals, text: &mut Text) {
    let registry = &api.broker.registry;
    let connections = registry.connections();
    let channels: Vec<_> = connections.iter().flat_map(|open| open.channels()).collect();
    let publishers =
        channels.iter().filter(|channel| channel.stats.published.load(Ordering::Relaxed) > 0).count();
    text.gauge("rabbitmq_connections", connections.len());
    text.gauge("rabbitmq_channels", channels.len());
    text.gauge("rabbitmq_queues", totals.queues);
    text.gauge("rabbitmq_consumers", totals.consumers);
    let churn = &registry.churn;
    for (name, count) in [
        ("rabbitmq_connections_opened_total", &churn.connections_opened),
        ("rabbitmq_connections_closed_total", &churn.connections_closed),
        ("rabbitmq_channels_opened_total", &churn.channels_opened),
        ("rabbitmq_channels_closed_total", &churn.channels_closed),
        ("rabbitmq_queues_declared_total", &churn.queues_declared),
        ("rabbitmq_queues_created_total", &churn.queues_created),
        ("rabbitmq_queues_deleted_total", &churn.queues_deleted),
    ] {
        text.counter(name, "", count.load(Ordering::Relaxed));
    }
    messages(totals, text);
    let protocol = "protocol=\"amqp091\"";
    for (name, value) in
        [("rabbitmq_global_consumers", totals.consumers), ("rabbitmq_global_publishers", publishers as u64)]
    {
        text.kind("gauge", name);
        text.value(name, protocol, value);
    }
    let (counts, bytes) = totals.sizes.read();
    text.kind("histogram", "rabbitmq_message_size_bytes");
    let mut so_far = 0;
    for (bound, count) in BOUNDS.iter().map(ToString::to_string).chain(["+Inf".to_owned()]).zip(counts) {
        so_far += count;
        text.value("rabbitmq_message_size_bytes_bucket", &format!("{protocol},le=\"{bound}\""), so_far);
    }
    text.value("rabbitmq_message_size_bytes_count", protocol, so_far);
    text.value("rabbitmq_message_size_bytes_sum", protocol, bytes);
}

/// Counts of messages by what became of them.
fn messages(totals: &Totals, text: &mut Text) {
    let protocol = "protocol=\"amqp091\"";
    let routed = totals.published.saturating_sub(totals.returned + totals.dropped);
    for (name, value) in [
        ("received", totals.published),
        ("received_confirm", totals.published_confirm),
        ("routed", routed),
        ("confirmed", totals.confirmed),
        ("unroutable_returned", totals.returned),
        ("unroutable_dropped", totals.dropped),
    ] {
        text.counter(&format!("rabbitmq_global_messages_{name}_total"), protocol, value);
    }
    let by_type = "protocol=\"amqp091\",queue_type=\"rabbit_classic_queue\"";
    let stats = &totals.stats;
    // Used by dashboards that predate the global counters.
    for (name, value) in [
        ("channel_messages_published", totals.published),
        ("channel_messages_confirmed", totals.confirmed),
        ("channel_messages_unroutable_returned", totals.returned),
        ("channel_messages_unroutable_dropped", totals.dropped),
        ("channel_messages_delivered_ack", stats.delivered),
        ("channel_messages_delivered", stats.delivered_no_ack),
        ("channel_messages_redelivered", stats.redelivered),
        ("channel_messages_acked", stats.acked),
        ("channel_get_ack", stats.got),
        ("channel_get", stats.got_no_ack),
        ("channel_get_empty", stats.got_empty),
        ("queue_messages_published", stats.published),
    ] {
        text.counter(&format!("rabbitmq_{name}_total"), "", value);
    }
    text.gauge("rabbitmq_channel_consumers", totals.consumers);
    for (name, value) in [
        ("delivered", stats.delivered + stats.delivered_no_ack + stats.got + stats.got_no_ack),
        ("redelivered", stats.redelivered),
        ("delivered_consume_manual_ack", stats.delivered),
        ("delivered_consume_auto_ack", stats.delivered_no_ack),
        ("delivered_get_manual_ack", stats.got),
        ("delivered_get_auto_ack", stats.got_no_ack),
        ("get_empty", stats.got_empty),
        ("acknowledged", stats.acked),
    ] {
        text.counter(&format!("rabbitmq_global_messages_{name}_total"), by_type, value);
    }
    let by_strategy = "queue_type=\"rabbit_classic_queue\",dead_letter_strategy=\"at_most_once\"";
    let [expired, rejected, maxlen, delivery_limit] = totals.dead_lettered;
    for (name, value) in [
        ("expired", expired),
        ("rejected", rejected),
        ("maxlen", maxlen),
        ("delivery_limit", delivery_limit),
        // Of the strategy that waits for confirms, which does not exist here.
        ("confirmed", 0),
    ] {
        text.counter(&format!("rabbitmq_global_messages_dead_lettered_{name}_total"), by_strategy, value);
    }
    text.counter("leveret_dead_letter_copies_left_out_total", "", totals.copies_left_out);
}

#[cfg(test)]
mod tests {
    #[test]
    fn labels_are_quoted() {
        assert_eq!(super::quoted("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
