//! Low disk space and high memory use: publishers are blocked with a reason, consumers continue.

use std::fs;

use rustix::process::Signal;
use serde_json::Value;

use super::mount::{self, Mount};
use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;
use crate::wait;

/// A field of the node.
fn node(http: &Http) -> Value {
    http.get("/api/nodes").is(200).json[0].clone()
}

/// Checks that the alarm of `resource` is visible everywhere.
#[track_caller]
fn is_seen(broker: &Broker, resource: &str, field: &str, metric: &str) {
    let http = Http::of(broker);
    for path in ["alarms", "local-alarms"] {
        let answer = http.get(&format!("/api/health/checks/{path}")).is(503);
        assert_eq!(answer.json["status"], "failed");
        assert_eq!(answer.json["alarms"][0]["resource"], resource, "{}", answer.text);
        let reason = answer.json["reason"].as_str().expect("a reason");
        assert!(reason.contains(&format!("low on {resource}")), "{reason}");
    }
    assert_eq!(node(&http)[field], true);
    let metrics = Http::at(listening(broker, "metrics")).get("/metrics").is(200).text;
    assert!(metrics.contains(&format!("{metric} 1\n")), "{metrics}");
    let log = broker.log();
    assert!(log.contains(&format!("alarm: low on {resource}")), "{log}");
}

/// A publisher is notified; a pure consumer is not, and continues.
#[track_caller]
fn publisher_is_held_up(broker: &Broker, words: &str) -> (Client, Client) {
    let (mut publisher, mut consumer) = (broker.client(), broker.client());
    consumer.declare("queue=alarm durable");
    publisher.confirms();
    // Data already read is accepted and confirmed; then the client is notified.
    publisher.publish_with("routing_key=alarm", "delivery_mode=2", "before");
    let mut heard = [publisher.next(), publisher.next()];
    heard.sort_by_key(|heard| heard.spec.name);
    assert_eq!(heard[0].spec.name, "basic.ack");
    assert_eq!(heard[1].spec.name, "connection.blocked");
    let reason = heard[1].field("reason").str();
    assert!(reason.starts_with(words), "{reason}");
    publisher.publish_with("routing_key=alarm", "delivery_mode=2", "while held up");
    consumer.wait_ready("alarm", 1);
    assert_eq!(consumer.take("alarm").text(), "before");
    consumer.declare("queue=alarm-other durable");
    consumer.silent();
    assert_eq!(consumer.counts("alarm").0, 0);
    let states = Http::of(broker).get("/api/connections").is(200).json;
    let states: Vec<_> = states.as_array().expect("a list").iter().map(|c| c["state"].clone()).collect();
    assert!(states.contains(&"blocked".into()) && states.contains(&"running".into()), "{states:?}");
    (publisher, consumer)
}

#[test]
fn a_disk_with_less_free_space_than_the_limit_holds_publishers_up() {
    let broker = Broker::with(&["--disk-free-bytes-min", "1000000000000000"]);
    is_seen(&broker, "disk", "disk_free_alarm", "rabbitmq_alarms_free_disk_space_watermark");
    publisher_is_held_up(&broker, "low on disk: ");
    let node = node(&Http::of(&broker));
    assert_eq!(node["disk_free_limit"], 1_000_000_000_000_000_u64);
    assert!(node["disk_free"].as_u64().expect("a number") > 0);
}

#[test]
fn more_memory_than_the_limit_holds_publishers_up() {
    let broker = Broker::with(&["--resident-bytes-max", "1048576"]);
    is_seen(&broker, "memory", "mem_alarm", "rabbitmq_alarms_memory_used_watermark");
    publisher_is_held_up(&broker, "low on memory: ");
    let node = node(&Http::of(&broker));
    assert_eq!(node["mem_limit"], 1_048_576);
    assert!(node["mem_used"].as_u64().expect("a number") > 1_000_000);
}

#[test]
fn publishers_go_on_when_there_is_space_again() {
    mount::where_possible("faults::alarms::publishers_go_on_when_there_is_space_again", || {
        let disk = Mount::tmpfs("300m").expect("a disk");
        let broker = Broker::inside(disk.folder(), &["--disk-free-bytes-min", "20000000"]);
        let http = Http::of(&broker);
        http.get("/api/health/checks/alarms").is(200);
        // Creates the log's first file.
        let mut c = broker.client();
        c.declare("queue=first durable");
        c.confirms();
        c.publish_confirmed("routing_key=first", "delivery_mode=2", "x");
        disk.fill(19_000_000);
        wait::until("the alarm", || http.get("/api/health/checks/local-alarms").status == 503);
        is_seen(&broker, "disk", "disk_free_alarm", "rabbitmq_alarms_free_disk_space_watermark");
        let (mut publisher, mut consumer) = publisher_is_held_up(&broker, "low on disk: ");
        disk.make_room();
        publisher.hear("0 connection.unblocked");
        publisher.hear("basic.ack");
        assert_eq!(consumer.take("alarm").text(), "while held up");
        http.get("/api/health/checks/alarms").is(200);
        assert_eq!(node(&http)["disk_free_alarm"], false);
        assert!(broker.log().contains("alarm is over: disk"), "{}", broker.log());
    });
}

#[test]
fn a_lower_limit_that_is_reloaded_lets_publishers_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("leveret.toml");
    let limit = |limit: &str| {
        fs::write(&config, format!("disk_free_bytes_min = \"{limit}\"\n")).expect("a file");
    };
    limit("1000TiB");
    let broker = Broker::with(&["--config", config.to_str().expect("UTF-8")]);
    let (mut publisher, mut consumer) = publisher_is_held_up(&broker, "low on disk: ");
    limit("1MiB");
    broker.signal(Signal::HUP);
    publisher.hear("0 connection.unblocked");
    publisher.hear("basic.ack");
    assert_eq!(consumer.take("alarm").text(), "while held up");
    Http::of(&broker).get("/api/health/checks/alarms").is(200);
}
