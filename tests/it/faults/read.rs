//! Disk read errors: affected messages wait and are not treated as lost; others continue.

use serde_json::json;

use super::trace::Trace;
use crate::harness::Broker;
use crate::management::Http;
use crate::wait;

const DELAYED: &str = "/api/exchanges/%2F/later/delayed";

/// Messages in each place.
const MESSAGES: usize = 40;

/// More than a queue's read-ahead.
const MANY: i64 = 1000;

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn what_cannot_be_read_waits_and_comes_when_it_can_and_others_go_on() {
    // Bodies leave memory at once, including those of unacknowledged messages.
    let mut broker = Broker::with(&["--memory-bytes-max", "16MiB"]);
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.declare("queue=other durable");
    c.declare("queue=graves durable");
    c.declare("queue=dying durable arguments={x-dead-letter-exchange:\"\",x-dead-letter-routing-key:graves}");
    c.ask(
        "exchange.declare exchange=later type=x-delayed-message durable arguments={x-delayed-type:fanout}",
        "exchange.declare-ok",
    );
    c.declare("queue=released durable");
    c.ask("queue.bind queue=released exchange=later", "queue.bind-ok");
    c.confirms();
    for n in 0..MESSAGES {
        c.publish_confirmed("exchange=later", "delivery_mode=2 headers={x-delay:86400000}", format!("l{n}"));
    }
    for n in 0..MANY {
        c.publish_with("routing_key=q", "delivery_mode=2", n.to_string());
    }
    wait::until("all is on disk", || {
        c.hear("basic.ack").tag() >= MANY + i64::try_from(MESSAGES).expect("small")
    });
    broker.kill();
    broker.start_again();

    let mut holder = broker.client();
    holder.confirms();
    let large = "d".repeat(1 << 20);
    let mut tags = Vec::new();
    for n in 0..MESSAGES {
        holder.publish_confirmed("routing_key=dying", "delivery_mode=2", format!("{n} {large}"));
        tags.push(holder.ask("basic.get queue=dying", "basic.get-ok").tag());
    }
    let http = Http::of(&broker);
    wait::until("held bodies have left memory", || {
        let queue = http.get("/api/queues/%2F/dying").json;
        queue["memory"].as_u64().is_some_and(|bytes| bytes < 20 << 20)
    });

    let delayed = http.get(DELAYED).is(200).json;
    assert_eq!(delayed["total"], MESSAGES);
    let first = format!("{DELAYED}/{}", delayed["items"][0]["id"].as_str().expect("an id"));

    let Some(trace) = Trace::attach(&broker, "pread64", Some("inject=pread64:error=EIO")) else { return };
    let mut c = broker.client();
    c.ask("basic.consume queue=q no_ack", "basic.consume-ok");
    for tag in tags {
        holder.say(&format!("basic.reject delivery_tag={tag}"));
    }
    for queue in ["q", "dying"] {
        wait::until("the queue says that it waits", || {
            http.get(&format!("/api/queues/%2F/{queue}")).json["state"] == "unreadable"
        });
    }
    // Neither released nor moved, nor forgotten.
    assert_eq!(http.post(&format!("{first}/release"), &json!({})).status, 503);
    assert_eq!(http.put(&first, &json!({ "delay": 1000 })).status, 503);
    let alarms = http.get("/api/health/checks/alarms");
    assert!(alarms.status == 503 && alarms.text.contains("the disk does not give"), "{}", alarms.text);
    let log = broker.log();
    assert!(log.contains("ERROR") && log.contains(".seg of the message log, offset"), "{log}");
    let peek =
        http.post("/api/queues/%2F/q/get", &json!({ "count": 1, "ackmode": "peek", "encoding": "auto" }));
    assert_eq!(peek.status, 503, "{}", peek.text);
    let mut other = broker.client();
    other.confirms();
    other.publish_confirmed("routing_key=other", "delivery_mode=2", "x");
    assert_eq!(other.take("other").text(), "x");
    assert!(trace.calls("EIO") > 0);
    assert!(broker.client().counts("q").0 > 0, "not all was in memory");
    drop(trace);

    for n in 0..MANY {
        assert_eq!(c.hear("basic.deliver").text(), n.to_string());
    }
    c.wait_ready("graves", i64::try_from(MESSAGES).expect("small"));
    let graves = c.drain("graves");
    assert_eq!(graves.len(), MESSAGES);
    assert!(!broker.log().contains("damaged"), "{}", broker.log());
    wait::until("all is well", || http.get("/api/health/checks/alarms").status == 200);
    assert_eq!(http.get(DELAYED).is(200).json, delayed);
    http.post(&format!("{first}/release"), &json!({})).is(204);
    c.wait_ready("released", 1);
}
