//! The metrics that Prometheus scrapes.

use serde_json::json;

use super::{Http, listening};
use crate::harness::Broker;

#[test]
fn metrics_have_rabbitmq_s_names_and_true_values() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let scraped = Http::at(listening(&broker, "metrics"));
    let mut client = broker.client();
    client.declare("queue=q");
    client.confirms();
    client.publish_confirmed("routing_key=q", "", "x");
    client.publish_confirmed("routing_key=none", "", "x");
    client.ask("basic.get queue=q no_ack", "basic.get-ok");
    client.publish_confirmed("routing_key=q", "", "x");
    let text = scraped.get("/metrics").is(200).text;
    for line in [
        "rabbitmq_connections 1",
        "rabbitmq_channels 1",
        "rabbitmq_queues 1",
        "rabbitmq_queue_messages 1",
        "rabbitmq_queue_messages_ready 1",
        "rabbitmq_queue_messages_unacked 0",
        "rabbitmq_queues_created_total 1",
        "rabbitmq_global_messages_received_total{protocol=\"amqp091\"} 3",
        "rabbitmq_global_messages_received_confirm_total{protocol=\"amqp091\"} 3",
        "rabbitmq_global_messages_confirmed_total{protocol=\"amqp091\"} 3",
        "rabbitmq_global_messages_routed_total{protocol=\"amqp091\"} 2",
        "rabbitmq_global_messages_unroutable_dropped_total{protocol=\"amqp091\"} 1",
        "rabbitmq_global_messages_delivered_get_auto_ack_total{protocol=\"amqp091\",queue_type=\"rabbit_classic_queue\"} 1",
        "rabbitmq_alarms_memory_used_watermark 0",
        "leveret_store_sync_failures_total 0",
        "leveret_messages_paged 0",
        "leveret_alarm{resource=\"disk\"} 0",
        "leveret_store_group_commit_records_count 0",
    ] {
        assert!(text.lines().any(|have| have == line), "{line} in:\n{text}");
    }
    for name in ["rabbitmq_build_info{", "rabbitmq_identity_info{", "rabbitmq_process_resident_memory_bytes "]
    {
        assert!(text.contains(name), "{name}");
    }
    // Counters outlive the counted objects.
    client.delete("q");
    let text = scraped.get("/metrics").text;
    assert!(text.contains(
        "delivered_get_auto_ack_total{protocol=\"amqp091\",queue_type=\"rabbit_classic_queue\"} 1\n"
    ));
    http.put("/api/queues/%2F/a%22b", &json!({})).is(201);
    let text = scraped.get("/metrics/per-object").is(200).text;
    assert!(text.contains("rabbitmq_queue_messages_ready{vhost=\"/\",queue=\"a\\\"b\"} 0"), "{text}");
    let text = scraped.get("/metrics/detailed?family=queue_consumer_count&vhost=%2F").is(200).text;
    assert!(text.contains("rabbitmq_detailed_queue_consumers{") && !text.contains("messages"), "{text}");
    let text = scraped.get("/metrics/detailed?family=queue_coarse_metrics&vhost=none").is(200).text;
    assert!(!text.contains("a\\\"b"), "{text}");
}

/// Series read by RabbitMQ's Overview dashboard for Grafana: per row, series and the labels they are used with.
/// Series that are added or subtracted share a row, as Prometheus combines them only if all other labels are equal.
const BOARD: &[(&[&str], &[&str])] = &[
    (&["rabbitmq_identity_info"], &["rabbitmq_node", "rabbitmq_cluster", "rabbitmq_endpoint"]),
    (&["rabbitmq_build_info"], &["rabbitmq_version", "erlang_version"]),
    (&["rabbitmq_erlang_uptime_seconds"], &[]),
    (&["rabbitmq_resident_memory_limit_bytes", "rabbitmq_process_resident_memory_bytes"], &[]),
    (&["rabbitmq_disk_space_available_bytes", "rabbitmq_disk_space_available_limit_bytes"], &[]),
    (&["rabbitmq_process_max_fds", "rabbitmq_process_open_fds"], &[]),
    (&["rabbitmq_connections", "rabbitmq_channels", "rabbitmq_queues", "rabbitmq_consumers"], &[]),
    (&["rabbitmq_queue_messages", "rabbitmq_queue_messages_ready", "rabbitmq_queue_messages_unacked"], &[]),
    (&["rabbitmq_connections_opened_total", "rabbitmq_connections_closed_total"], &[]),
    (&["rabbitmq_channels_opened_total", "rabbitmq_channels_closed_total"], &[]),
    (
        &["rabbitmq_queues_declared_total", "rabbitmq_queues_created_total", "rabbitmq_queues_deleted_total"],
        &[],
    ),
    (&["rabbitmq_global_publishers", "rabbitmq_global_consumers"], &["protocol"]),
    (
        &[
            "rabbitmq_global_messages_received_total",
            "rabbitmq_global_messages_received_confirm_total",
            "rabbitmq_global_messages_routed_total",
            "rabbitmq_global_messages_confirmed_total",
            "rabbitmq_global_messages_unroutable_returned_total",
            "rabbitmq_global_messages_unroutable_dropped_total",
        ],
        &["protocol"],
    ),
    (
        &[
            "rabbitmq_global_messages_delivered_total",
            "rabbitmq_global_messages_redelivered_total",
            "rabbitmq_global_messages_delivered_consume_manual_ack_total",
            "rabbitmq_global_messages_delivered_consume_auto_ack_total",
            "rabbitmq_global_messages_delivered_get_manual_ack_total",
            "rabbitmq_global_messages_delivered_get_auto_ack_total",
            "rabbitmq_global_messages_get_empty_total",
            "rabbitmq_global_messages_acknowledged_total",
        ],
        &["protocol", "queue_type"],
    ),
    (&["rabbitmq_message_size_bytes_sum", "rabbitmq_message_size_bytes_count"], &["protocol"]),
    (&["rabbitmq_message_size_bytes_bucket"], &["protocol", "le"]),
];

/// Further series used by the alert rules of RabbitMQ's operator, and by dashboards before 3.8.10.
const ALSO: &str = "
    rabbitmq_global_messages_dead_lettered_expired_total rabbitmq_global_messages_dead_lettered_rejected_total
    rabbitmq_global_messages_dead_lettered_maxlen_total rabbitmq_global_messages_dead_lettered_delivery_limit_total
    rabbitmq_global_messages_dead_lettered_confirmed_total rabbitmq_alarms_memory_used_watermark
    rabbitmq_alarms_free_disk_space_watermark rabbitmq_alarms_file_descriptor_limit
    rabbitmq_channel_messages_unroutable_returned_total rabbitmq_channel_messages_unroutable_dropped_total
    rabbitmq_channel_messages_published_total rabbitmq_channel_messages_confirmed_total
    rabbitmq_channel_messages_delivered_ack_total rabbitmq_channel_messages_delivered_total
    rabbitmq_channel_messages_redelivered_total rabbitmq_channel_messages_acked_total rabbitmq_channel_get_ack_total
    rabbitmq_channel_get_total rabbitmq_channel_get_empty_total rabbitmq_channel_consumers
    rabbitmq_queue_messages_published_total";

/// The label sets of each series of this name, as written, in braces or empty.
fn series<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let of_name = text.lines().filter_map(|line| line.strip_prefix(name));
    of_name
        .filter(|rest| rest.starts_with(['{', ' ']))
        .map(|rest| rest.rsplit_once(' ').expect("a value").0)
        .collect()
}

#[test]
fn what_rabbitmq_s_dashboard_and_alerts_ask_for_is_there() {
    let broker = Broker::new();
    let scraped = Http::at(listening(&broker, "metrics"));
    let mut client = broker.client();
    client.declare("queue=q");
    client.confirms();
    client.publish_confirmed("routing_key=q", "", "x");
    client.ask("basic.get queue=q no_ack", "basic.get-ok");
    for (path, endpoint) in [("/metrics", "aggregated"), ("/metrics/per-object", "per-object")] {
        let text = scraped.get(path).is(200).text;
        for (names, labels) in BOARD {
            let all: Vec<_> = names.iter().map(|name| series(&text, name)).collect();
            for (name, series) in names.iter().zip(&all) {
                assert!(!series.is_empty(), "{name} in {path}:\n{text}");
                let has = |label: &&str| series.iter().all(|one| one.contains(&format!("{label}=\"")));
                assert!(labels.iter().all(has), "{name} has {series:?}, not {labels:?}");
                // Per-queue series of one of the paths are summed by the dashboard.
                let alone = path == "/metrics" && *name != "rabbitmq_message_size_bytes_bucket";
                assert!(!alone || *series == all[0], "{name} has {series:?}, unlike {:?}", all[0]);
            }
        }
        // Joined with every series, so it must be unique.
        let identity = series(&text, "rabbitmq_identity_info");
        assert!(
            matches!(identity[..], [one] if one.contains(&format!("rabbitmq_endpoint=\"{endpoint}\""))),
            "{identity:?}"
        );
        assert_eq!(series(&text, "rabbitmq_build_info").len(), 1);
        for bound in
            ["100", "1000", "10000", "100000", "1000000", "10000000", "50000000", "100000000", "+Inf"]
        {
            assert!(text.contains(&format!(
                "rabbitmq_message_size_bytes_bucket{{protocol=\"amqp091\",le=\"{bound}\"}} 1\n"
            )));
        }
        let missing: Vec<_> = ALSO.split_whitespace().filter(|name| series(&text, name).is_empty()).collect();
        assert!(missing.is_empty(), "{missing:?} in {path}:\n{text}");
    }
    let text = scraped.get("/metrics/detailed?family=queue_coarse_metrics").is(200).text;
    let identity = series(&text, "rabbitmq_identity_info");
    assert!(matches!(identity[..], [one] if one.contains("rabbitmq_endpoint=\"detailed\"")), "{text}");
}

#[test]
fn dead_letters_sizes_and_publishers_are_counted() {
    let broker = Broker::new();
    let scraped = Http::at(listening(&broker, "metrics"));
    let mut client = broker.client();
    client.declare("queue=q arguments={x-max-length:1,x-dead-letter-exchange:amq.fanout}");
    client.declare("queue=mortal arguments={x-message-ttl:0,x-dead-letter-exchange:amq.fanout}");
    client.confirms();
    for body in ["1", "2", &"x".repeat(101)] {
        client.publish_confirmed("routing_key=q", "", body);
    }
    client.publish_confirmed("routing_key=mortal", "", "late");
    let got = client.ask("basic.get queue=q", "basic.get-ok");
    client.say(&format!("basic.reject delivery_tag={}", got.tag()));
    client.wait_ready("q", 0);
    let _idle = broker.client();
    let text = scraped.get("/metrics").is(200).text;
    let strategy = "queue_type=\"rabbit_classic_queue\",dead_letter_strategy=\"at_most_once\"";
    for line in [
        format!("rabbitmq_global_messages_dead_lettered_maxlen_total{{{strategy}}} 2"),
        format!("rabbitmq_global_messages_dead_lettered_rejected_total{{{strategy}}} 1"),
        format!("rabbitmq_global_messages_dead_lettered_expired_total{{{strategy}}} 1"),
        "rabbitmq_global_publishers{protocol=\"amqp091\"} 1".to_owned(),
        "rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"100\"} 3".to_owned(),
        "rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"1000\"} 4".to_owned(),
        "rabbitmq_message_size_bytes_bucket{protocol=\"amqp091\",le=\"+Inf\"} 4".to_owned(),
        "rabbitmq_message_size_bytes_sum{protocol=\"amqp091\"} 107".to_owned(),
    ] {
        assert!(text.lines().any(|have| have == line), "{line} in:\n{text}");
    }
}
