//! What Prometheus scrapes.

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
    // Counters outlive what they counted.
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
