//! Members that tools require, with the types they expect.

use serde_json::Value;

use super::Http;
use crate::harness::Broker;
use crate::wait;

/// Every name must be present: `s` string, `n` number, `b` boolean, `a` array, `o` object.
#[track_caller]
fn check(value: &Value, names: &str) {
    for name in names.split_whitespace() {
        let (path, kind) = name.split_once(':').expect("name:type");
        let member = path.split('.').try_fold(value, |value, name| value.get(name));
        let member = member.unwrap_or_else(|| panic!("{path} is missing in {value}"));
        let right = match kind {
            "s" => member.is_string(),
            "n" => member.is_number(),
            "b" => member.is_boolean(),
            "a" => member.is_array(),
            _ => member.is_object(),
        };
        assert!(right, "{path} should be {kind}: {member}");
    }
}

#[test]
fn what_tools_read_is_there() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    client.ask("basic.consume queue=q consumer_tag=c", "basic.consume-ok");
    let overview = http.get("/api/overview").is(200).json;
    check(
        &overview,
        "management_version:s rates_mode:s exchange_types:a product_version:s product_name:s rabbitmq_version:s \
         cluster_name:s node:s listeners:a contexts:a statistics_db_event_queue:n \
         message_stats.publish:n message_stats.publish_details.rate:n message_stats.confirm:n message_stats.deliver_get:n \
         churn_rates.connection_created:n churn_rates.queue_declared_details.rate:n \
         queue_totals.messages:n queue_totals.messages_details.rate:n queue_totals.messages_ready:n \
         object_totals.channels:n object_totals.connections:n object_totals.consumers:n object_totals.queues:n",
    );
    check(&overview["listeners"][0], "node:s protocol:s port:n ip_address:s");
    let node = http.get("/api/nodes").is(200).json[0].clone();
    check(
        &node,
        "name:s uptime:n run_queue:n processors:n os_pid:s fd_total:n proc_total:n mem_limit:n mem_used:n mem_alarm:b \
         disk_free:n disk_free_limit:n disk_free_alarm:b rates_mode:s enabled_plugins:a being_drained:b applications:a \
         type:s running:b partitions:a cluster_links:a auth_mechanisms:a exchange_types:a",
    );
    let name = node["name"].as_str().expect("a name");
    http.get(&format!("/api/nodes/{}", name.replace('@', "%40"))).is(200);
    http.get("/api/nodes/none").refused(404, "Object Not Found", "node_not_found");
    check(
        &http.get("/api/queues").json[0],
        "name:s vhost:s type:s durable:b auto_delete:b exclusive:b arguments:o node:s state:s consumers:n messages:n \
         messages_ready:n messages_unacknowledged:n messages_details.rate:n message_stats.publish_details.rate:n \
         message_stats.deliver_get_details.rate:n message_bytes:n memory:n effective_policy_definition:o",
    );
    check(
        &http.get("/api/exchanges").json[0],
        "name:s vhost:s type:s durable:b auto_delete:b internal:b arguments:o message_stats.publish_in:n \
         message_stats.publish_out_details.rate:n",
    );
    check(
        &http.get("/api/bindings").json[0],
        "vhost:s source:s destination:s destination_type:s routing_key:s arguments:o properties_key:s",
    );
    check(
        &http.get("/api/connections").json[0],
        "name:s node:s protocol:s user:s connected_at:n vhost:s host:s port:n peer_host:s peer_port:n state:s ssl:b \
         channels:n channel_max:n frame_max:n timeout:n client_properties:o recv_oct:n send_oct:n recv_cnt:n send_cnt:n \
         send_pend:n recv_oct_details.rate:n",
    );
    check(
        &http.get("/api/channels").json[0],
        "number:n name:s connection_details.name:s vhost:s state:s consumer_count:n confirm:b prefetch_count:n \
         messages_unacknowledged:n messages_unconfirmed:n user:s node:s transactional:b message_stats.publish:n \
         message_stats.deliver_get_details.rate:n",
    );
    check(
        &http.get("/api/consumers").json[0],
        "consumer_tag:s active:b ack_required:b prefetch_count:n exclusive:b arguments:o consumer_timeout:n queue.name:s \
         channel_details.number:n channel_details.node:s channel_details.peer_port:n channel_details.user:s",
    );
    check(
        &http.get("/api/vhosts").json[0],
        "name:s description:s tags:a default_queue_type:s metadata:o protected_from_deletion:b tracing:b cluster_state:o \
         messages:n messages_ready_details.rate:n recv_oct:n send_oct:n recv_oct_details.rate:n",
    );
    check(&http.get("/api/users").json[0], "name:s password_hash:s hashing_algorithm:s tags:a limits:o");
}

#[test]
fn the_cluster_has_the_name_that_it_is_given() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/cluster-name").is(200).json["name"], "leveret");
    http.put("/api/cluster-name", &serde_json::json!({ "name": "" })).refused(400, "bad_request", "empty");
    http.put("/api/cluster-name", &serde_json::json!({ "name": "the \"hares\"" })).is(204);
    broker.stop();
    broker.start_again();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/cluster-name").is(200).json["name"], "the \"hares\"");
    assert_eq!(http.get("/api/overview").is(200).json["cluster_name"], "the \"hares\"");
    assert_eq!(http.get("/api/definitions").is(200).json["original_cluster_name"], "the \"hares\"");
    let mut client = crate::raw::Client::connect(broker.amqp, "");
    client.bytes(b"AMQP\x00\x00\x09\x01");
    let start = client.hear("0 connection.start");
    let told = start.field("server_properties").get("cluster_name").expect("a name").str();
    assert_eq!(told, "the \"hares\"");
}

#[test]
fn rates_follow_what_is_published() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut client = broker.client();
    client.declare("queue=q");
    wait::until("the rate of publishing is seen", || {
        client.publish("routing_key=q", "x");
        let rate = |value: &Value| value["message_stats"]["publish_details"]["rate"].as_f64() > Some(0.0);
        rate(&http.get("/api/queues/%2F/q").json) && rate(&http.get("/api/overview").json)
    });
}

#[test]
fn health_checks_tell_what_is_missing() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let port = broker.amqp.port();
    http.get(&format!("/api/health/checks/port-listener/{port}")).is(200);
    let missing = http.get("/api/health/checks/port-listener/1").is(503).json;
    assert_eq!((&missing["status"], &missing["missing"]), (&Value::from("failed"), &Value::from(1)));
    assert!(missing["ports"].as_array().is_some_and(|ports| ports.contains(&Value::from(port))));
    http.get("/api/health/checks/port-listener/x").refused(400, "bad_request", "port");
    http.get("/api/health/checks/protocol-listener/amqp").is(200);
    http.get("/api/health/checks/protocol-listener/mqtt").is(503);
    for check in [
        "alarms",
        "local-alarms",
        "virtual-hosts",
        "node-is-quorum-critical",
        "certificate-expiration/1/months",
    ] {
        assert_eq!(http.get(&format!("/api/health/checks/{check}")).is(200).json["status"], "ok", "{check}");
    }
    http.get("/api/health/checks/certificate-expiration/1/parsecs").refused(400, "bad_request", "");
    for _ in 0..2 {
        assert_eq!(http.get("/api/aliveness-test/%2F").is(200).json["status"], "ok");
    }
    http.get("/api/aliveness-test/none").refused(404, "Object Not Found", "vhost_not_found");
}
