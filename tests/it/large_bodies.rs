//! Large bodies routed to many queues: written once, whatever the path, and blocking nobody else.

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;
use crate::wait;

const QUEUES: usize = 20;
const BODY: usize = 20 << 20;

/// Bytes written to the log so far, excluding bodies moved by compaction.
fn written(broker: &Broker) -> u64 {
    let text = Http::at(listening(broker, "metrics")).get("/metrics").is(200).text;
    let counted = |name: &str| -> u64 {
        let line =
            text.lines().find_map(|line| line.strip_prefix(&format!("leveret_store_{name}_bytes_total ")));
        line.expect("it is counted").parse().expect("a number")
    };
    counted("written") - counted("compacted")
}

fn fanout(c: &mut Client, exchange: &str, prefix: &str) {
    c.ask(&format!("exchange.declare exchange={exchange} type=fanout durable"), "exchange.declare-ok");
    for n in 0..QUEUES {
        c.declare(&format!("queue={prefix}{n} durable"));
        c.ask(&format!("queue.bind queue={prefix}{n} exchange={exchange}"), "queue.bind-ok");
    }
}

fn all_have(c: &mut Client, prefix: &str, want: i64) -> bool {
    (0..QUEUES).all(|n| c.counts(&format!("{prefix}{n}")).0 == want)
}

/// Compaction may move a body or two meanwhile.
#[track_caller]
fn check_written_once(what: &str, bytes: u64) {
    assert!(bytes < BODY as u64 * 3, "{what} of {BODY} bytes: {bytes} written");
}

#[test]
fn a_body_for_twenty_queues_is_written_once_published_dead_lettered_delayed_and_redriven() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    fanout(&mut c, "out", "a");
    c.confirms();
    let body = vec![b'x'; BODY];

    let before = written(&broker);
    c.publish_confirmed("exchange=out routing_key=k", "delivery_mode=2", &body);
    check_written_once("a fanout", written(&broker) - before);
    assert!(all_have(&mut c, "a", 1));
    for n in 0..QUEUES {
        c.ask(&format!("queue.purge queue=a{n}"), "queue.purge-ok");
    }

    c.declare("queue=q durable arguments={x-dead-letter-exchange:out}");
    c.publish_confirmed("routing_key=q", "delivery_mode=2", &body);
    let got = c.ask("basic.get queue=q", "basic.get-ok");
    let before = written(&broker);
    c.say(&format!("basic.reject delivery_tag={}", got.tag()));
    wait::until("it is dead-lettered", || all_have(&mut c, "a", 1));
    // Follows it in the log, so it is written when this is.
    c.publish_confirmed("routing_key=a0", "delivery_mode=2", "after");
    check_written_once("a dead letter", written(&broker) - before);

    let before = written(&broker);
    let http = Http::of(&broker);
    let moved = http.post("/api/queues/%2F/a1/redrive", &serde_json::json!({ "exchange": "out" }));
    // It would return to the same queue.
    assert_eq!(moved.is(200).json["moved"], 0);
    c.ask("queue.unbind queue=a1 exchange=out", "queue.unbind-ok");
    let moved = http.post("/api/queues/%2F/a1/redrive", &serde_json::json!({ "exchange": "out" }));
    assert_eq!(moved.is(200).json["moved"], 1);
    check_written_once("a redrive", written(&broker) - before);

    c.ask(
        "exchange.declare exchange=later type=x-delayed-message durable arguments={x-delayed-type:fanout}",
        "exchange.declare-ok",
    );
    c.ask("exchange.bind destination=out source=later", "exchange.bind-ok");
    c.publish_confirmed("exchange=later routing_key=k", "delivery_mode=2 headers={x-delay:2000}", &body);
    let before = written(&broker);
    wait::until("it is released", || c.counts("a2").0 == 3);
    c.publish_confirmed("routing_key=a0", "delivery_mode=2", "after");
    check_written_once("a delayed message", written(&broker) - before);

    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    for n in 2..QUEUES {
        assert_eq!(c.counts(&format!("a{n}")).0, 3, "a{n}");
    }
    assert_eq!(c.take("a2").body, body);
}

#[test]
fn a_dead_letter_that_a_crash_interrupts_is_in_its_source_or_in_all_its_targets_and_stops_nobody() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    fanout(&mut c, "out", "a");
    c.declare("queue=q durable arguments={x-dead-letter-exchange:out}");
    c.declare("queue=small durable");
    let body = vec![b'x'; BODY];
    let mut confirmed = 0;
    for round in 0..5 {
        let (mut c, mut other) = (broker.client(), broker.client());
        c.confirms();
        other.confirms();
        for n in 0..QUEUES {
            c.ask(&format!("queue.purge queue=a{n}"), "queue.purge-ok");
        }
        c.ask("queue.purge queue=q", "queue.purge-ok");
        c.publish_confirmed("routing_key=q", "delivery_mode=2", &body);
        let got = c.ask("basic.get queue=q", "basic.get-ok");
        c.say(&format!("basic.reject delivery_tag={}", got.tag()));
        // From before it is routed until it may be on disk.
        for _ in 0..round {
            other.publish_confirmed("routing_key=small", "delivery_mode=2", "s");
            confirmed += 1;
        }
        broker.kill();
        broker.start_again();
        let mut c = broker.client();
        let there: Vec<i64> = (0..QUEUES).map(|n| c.counts(&format!("a{n}")).0).collect();
        let source = c.counts("q").0;
        let whole =
            (source == 1 && there.iter().all(|n| *n == 0)) || (source == 0 && there.iter().all(|n| *n == 1));
        assert!(whole, "round {round}: {source} in the source, {there:?} in the targets");
        assert_eq!(c.counts("small").0, confirmed, "round {round}");
    }
}
