//! Policies change existing queues and exchanges: each key's effect, on messages and consumers.

use serde_json::{Value, json};

use crate::harness::Broker;
use crate::management::Http;
use crate::raw::Client;
use crate::wait;

fn set(http: &Http, name: &str, definition: &Value) {
    let policy = json!({ "pattern": "^q", "apply-to": "queues", "definition": definition });
    let answer = http.put(&format!("/api/policies/%2F/{name}"), &policy);
    assert!([201, 204].contains(&answer.status), "{}", answer.text);
}

/// A broker, its API, and a client with a queue `q` and a queue `dead` bound to the exchange `amq.fanout`.
fn scene() -> (Broker, Http, Client) {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut c = broker.client();
    c.declare("queue=q");
    c.declare("queue=dead");
    c.ask("queue.bind queue=dead exchange=amq.fanout", "queue.bind-ok");
    c.confirms();
    (broker, http, c)
}

fn put(c: &mut Client, bodies: &[&str]) {
    for body in bodies {
        c.publish_confirmed("exchange=\"\" routing_key=q", "", body);
    }
}

#[test]
fn a_shorter_length_drops_at_once_and_dead_letters() {
    let (_broker, http, mut c) = scene();
    put(&mut c, &["1", "2", "3", "4"]);
    set(&http, "p", &json!({ "max-length": 2, "dead-letter-exchange": "amq.fanout" }));
    c.wait_ready("q", 2);
    c.wait_ready("dead", 2);
    let dead = c.take("dead");
    assert_eq!(dead.text(), "1");
    let death = &dead.header("x-death").expect("a history").array()[0];
    assert_eq!(death.get("reason").expect("a reason").str(), "maxlen");
    put(&mut c, &["5"]);
    c.wait_ready("dead", 2);
    set(&http, "p", &json!({ "max-length": 10 }));
    put(&mut c, &["6", "7"]);
    assert_eq!(c.drain("q"), ["4", "5", "6", "7"]);
    assert_eq!(c.counts("dead").0, 2, "no dead-letter exchange any more, and nothing dropped");
}

#[test]
fn length_in_bytes_and_overflow() {
    let (_broker, http, mut c) = scene();
    set(&http, "p", &json!({ "max-length-bytes": 3, "overflow": "reject-publish" }));
    put(&mut c, &["12", "3"]);
    c.publish("exchange=\"\" routing_key=q", "4");
    c.hear("basic.nack");
    set(&http, "p", &json!({ "max-length-bytes": 3 }));
    put(&mut c, &["4"]);
    assert_eq!(c.drain("q"), ["3", "4"]);
    let dlx = json!({ "max-length": 0, "overflow": "reject-publish-dlx", "dead-letter-exchange": "amq.fanout",
        "dead-letter-routing-key": "late" });
    set(&http, "p", &dlx);
    c.publish("exchange=\"\" routing_key=q", "5");
    c.hear("basic.nack");
    c.wait_ready("dead", 1);
    assert_eq!(c.take("dead").field("routing_key").str(), "late");
    http.delete("/api/policies/%2F/p").is(204);
    put(&mut c, &["6"]);
    assert_eq!(c.drain("q"), ["6"]);
}

#[test]
fn a_time_to_live_holds_for_what_is_there_and_for_what_comes() {
    let (_broker, http, mut c) = scene();
    put(&mut c, &["old"]);
    set(&http, "p", &json!({ "message-ttl": 50, "dead-letter-exchange": "amq.fanout" }));
    c.wait_ready("dead", 1);
    put(&mut c, &["new"]);
    c.wait_ready("dead", 2);
    http.delete("/api/policies/%2F/p").is(204);
    put(&mut c, &["kept"]);
    assert_eq!((c.drain("dead"), c.counts("q").0), (vec!["old".to_owned(), "new".to_owned()], 1));
}

#[test]
fn an_idle_queue_expires_when_a_policy_says_so() {
    let (_broker, http, mut c) = scene();
    set(&http, "p", &json!({ "expires": 3_600_000 }));
    set(&http, "p", &json!({ "expires": 50 }));
    wait::until("the queue is gone", || http.get("/api/queues/%2F/q").status == 404);
    assert_eq!(c.counts("dead"), (0, 0), "the policy is not for this one");
}

#[test]
fn a_delivery_limit_counts_and_is_lifted() {
    let (_broker, http, mut c) = scene();
    set(&http, "p", &json!({ "delivery-limit": 1, "dead-letter-exchange": "amq.fanout" }));
    put(&mut c, &["x"]);
    for count in [None, Some(1)] {
        let got = c.ask("basic.get queue=q", "basic.get-ok");
        assert_eq!(got.header("x-delivery-count").map(crate::raw::value::Value::int), count);
        c.say(&format!("basic.reject delivery_tag={} requeue", got.tag()));
    }
    c.wait_ready("dead", 1);
    http.delete("/api/policies/%2F/p").is(204);
    put(&mut c, &["y"]);
    for _ in 0..5 {
        let got = c.ask("basic.get queue=q", "basic.get-ok");
        assert!(got.header("x-delivery-count").is_none());
        c.say(&format!("basic.reject delivery_tag={} requeue", got.tag()));
    }
    c.wait_ready("q", 1);
}

#[test]
fn a_consumer_timeout_closes_the_channel_of_who_holds_a_message_too_long() {
    let (_broker, http, mut c) = scene();
    set(&http, "p", &json!({ "consumer-timeout": 100 }));
    put(&mut c, &["x"]);
    c.ask("basic.consume queue=q consumer_tag=t", "basic.consume-ok");
    c.hear("basic.deliver");
    c.channel_closes(406, "", "delivery acknowledgement on channel 1 timed out");
    c.open_channel(1);
    c.wait_ready("q", 1);
}

#[test]
fn a_consumer_timeout_holds_for_consumers_that_run_already() {
    let (broker, http, mut c) = scene();
    put(&mut c, &["x", "y"]);
    let mut own = broker.client();
    own.ask("basic.qos prefetch_count=1", "basic.qos-ok");
    own.ask(
        "basic.consume queue=q consumer_tag=own arguments={x-consumer-timeout:60000}",
        "basic.consume-ok",
    );
    own.hear("basic.deliver");
    c.ask("basic.consume queue=q consumer_tag=t", "basic.consume-ok");
    c.hear("basic.deliver");
    set(&http, "p", &json!({ "consumer-timeout": 100 }));
    c.channel_closes(406, "", "delivery acknowledgement on channel 1 timed out");
    // A timeout set by the consumer itself takes precedence.
    own.silent();
}

#[test]
fn a_consumer_timeout_ends_with_its_policy() {
    let (broker, http, mut c) = scene();
    put(&mut c, &["x"]);
    set(&http, "p", &json!({ "consumer-timeout": 2000 }));
    c.ask("basic.consume queue=q consumer_tag=t", "basic.consume-ok");
    c.hear("basic.deliver");
    http.delete("/api/policies/%2F/p").is(204);
    // A longer timeout that started later serves as the clock.
    let mut clock = broker.client();
    clock.declare("queue=clock arguments={x-consumer-timeout:2500}");
    clock.publish("routing_key=clock", "tick");
    clock.ask("basic.consume queue=clock consumer_tag=t", "basic.consume-ok");
    clock.hear("basic.deliver");
    clock.channel_closes(406, "", "timed out");
    c.silent();
}

#[test]
fn an_alternate_exchange_takes_what_would_be_lost() {
    let (_broker, http, mut c) = scene();
    c.ask("exchange.declare exchange=x type=direct", "exchange.declare-ok");
    c.ask(
        "exchange.declare exchange=own type=direct arguments={alternate-exchange:none}",
        "exchange.declare-ok",
    );
    // The route is in the connection's cache.
    c.publish_confirmed("exchange=x routing_key=k", "", "lost");
    let policy = json!({
        "pattern": "^(x|own)$", "apply-to": "exchanges", "definition": { "alternate-exchange": "amq.fanout" },
    });
    http.put("/api/policies/%2F/ae", &policy).is(201);
    c.publish_confirmed("exchange=x routing_key=k", "", "found");
    c.publish_confirmed("exchange=own routing_key=k", "", "lost by its own argument");
    assert_eq!(c.drain("dead"), ["found"]);
    let shown = http.get("/api/exchanges/%2F/x").is(200).json;
    assert_eq!(
        (&shown["policy"], &shown["effective_policy_definition"]),
        (&json!("ae"), &policy["definition"])
    );
    let effective = |name: &str| http.get(&format!("/api/exchanges/%2F/{name}/effective")).is(200).json;
    let row = json!({
        "setting": "alternate-exchange", "value": "amq.fanout", "source": "policy", "policy": "ae",
    });
    assert_eq!(effective("x")["settings"], json!([row]));
    let own = json!({ "setting": "alternate-exchange", "value": "none", "source": "argument" });
    assert_eq!(effective("own")["settings"], json!([own]));
    // A later declaration is affected too.
    c.ask("exchange.delete exchange=x", "exchange.delete-ok");
    c.ask("exchange.declare exchange=x type=topic", "exchange.declare-ok");
    c.publish_confirmed("exchange=x routing_key=k", "", "later");
    assert_eq!(c.drain("dead"), ["later"]);
    http.delete("/api/policies/%2F/ae").is(204);
    c.publish_confirmed("exchange=x routing_key=k", "", "lost again");
    assert_eq!(c.counts("dead").0, 0);
}

#[test]
fn settings_that_are_not_for_what_a_policy_applies_to_are_kept_and_do_nothing() {
    let (_broker, http, mut c) = scene();
    c.ask("exchange.declare exchange=x type=direct", "exchange.declare-ok");
    c.declare("queue=x");
    let policies = [
        ("exchanges", "policies", json!({ "max-length": 1 }), 201),
        ("exchanges", "operator-policies", json!({ "max-length": 1 }), 201),
        ("queues", "policies", json!({ "alternate-exchange": "amq.fanout" }), 204),
    ];
    for (apply_to, kind, definition, status) in policies {
        let policy = json!({ "pattern": "^x$", "apply-to": apply_to, "definition": definition });
        let path = format!("/api/{kind}/%2F/other");
        http.put(&path, &policy).is(status);
        assert_eq!(http.get(&path).is(200).json["definition"], definition);
        for body in ["1", "2"] {
            c.publish_confirmed("routing_key=x", "", body);
            c.publish_confirmed("exchange=x routing_key=none", "", "lost");
        }
        assert_eq!(c.drain("x"), ["1", "2"], "{apply_to} {kind}");
        assert_eq!(c.counts("dead").0, 0, "{apply_to} {kind}");
    }
}

#[test]
fn arguments_policies_and_operators_together() {
    let (_broker, http, mut c) = scene();
    c.declare(
        "queue=qa durable arguments={x-max-length:10,x-overflow:reject-publish,x-dead-letter-exchange:own}",
    );
    set(
        &http,
        "user",
        &json!({ "max-length": 5, "max-length-bytes": 100, "overflow": "drop-head", "message-ttl": 9000,
            "dead-letter-exchange": "amq.fanout", "dead-letter-routing-key": "k" }),
    );
    let operator = json!({
        "pattern": ".*", "apply-to": "queues", "priority": 1,
        "definition": { "max-length": 7, "max-length-bytes": 50, "overflow": "reject-publish-dlx" },
    });
    http.put("/api/operator-policies/%2F/guard", &operator).is(201);
    let shown = http.get("/api/queues/%2F/qa").is(200).json;
    assert_eq!((&shown["policy"], &shown["operator_policy"]), (&json!("user"), &json!("guard")));
    let merged = json!({
        "max-length": 5, "max-length-bytes": 50, "overflow": "reject-publish-dlx", "message-ttl": 9000,
        "dead-letter-exchange": "amq.fanout", "dead-letter-routing-key": "k",
    });
    assert_eq!(shown["effective_policy_definition"], merged);
    let effective = http.get("/api/queues/%2F/qa/effective").is(200).json;
    assert_eq!((&effective["policy"], &effective["operator_policy"]), (&json!("user"), &json!("guard")));
    let setting = |name: &str| {
        let rows = effective["settings"].as_array().expect("settings").iter();
        let row = rows.into_iter().find(|row| row["setting"] == name).expect("the setting");
        (row["value"].clone(), row["source"].clone(), row["policy"].clone())
    };
    let null = Value::Null;
    for (name, value, source, policy) in [
        ("max-length", json!(5), "policy", json!("user")),
        ("max-length-bytes", json!(50), "operator_policy", json!("guard")),
        ("message-ttl", json!(9000), "policy", json!("user")),
        ("overflow", json!("reject-publish"), "argument", null.clone()),
        ("dead-letter-exchange", json!("own"), "argument", null.clone()),
        ("dead-letter-routing-key", json!("k"), "policy", json!("user")),
        ("expires", null.clone(), "default", null.clone()),
        ("delivery-limit", null.clone(), "default", null.clone()),
    ] {
        assert_eq!(setting(name), (value, json!(source), policy), "{name}");
    }
    for path in ["/api/queues/%2F/none/effective", "/api/exchanges/%2F/none/effective"] {
        assert_eq!(http.get(path).status, 404, "{path}");
    }
}

#[test]
fn one_policy_applies_by_priority_and_the_next_one_when_it_goes() {
    let (_broker, http, mut c) = scene();
    for (name, pattern, apply_to, priority) in
        [("all", "", "all", 0), ("quorum", "^q", "quorum_queues", 9), ("high", "^q$", "classic_queues", 5)]
    {
        let policy = json!({
            "pattern": pattern, "apply-to": apply_to, "priority": priority, "definition": { "max-length": priority + 1 },
        });
        http.put(&format!("/api/policies/%2F/{name}"), &policy).is(201);
    }
    c.declare("queue=qq durable arguments={x-queue-type:quorum}");
    let policy_of = |queue: &str| http.get(&format!("/api/queues/%2F/{queue}")).json["policy"].clone();
    assert_eq!(
        (policy_of("q"), policy_of("qq"), policy_of("dead")),
        (json!("high"), json!("quorum"), json!("all"))
    );
    http.delete("/api/policies/%2F/high").is(204);
    assert_eq!(policy_of("q"), json!("all"));
    put(&mut c, &["1", "2"]);
    assert_eq!(c.drain("q"), ["2"]);
}

#[test]
fn policies_survive_a_restart_and_hold_for_what_was_there() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.declare("queue=dead durable");
    c.ask("queue.bind queue=dead exchange=amq.fanout", "queue.bind-ok");
    c.ask("exchange.declare exchange=x type=direct durable", "exchange.declare-ok");
    c.confirms();
    c.publish_confirmed("exchange=\"\" routing_key=q", "delivery_mode=2", "before");
    set(
        &http,
        "p",
        &json!({ "message-ttl": 86_400_000, "max-length": 1, "dead-letter-exchange": "amq.fanout" }),
    );
    let ae = json!({ "pattern": "^x$", "apply-to": "exchanges", "definition": { "alternate-exchange": "amq.fanout" } });
    http.put("/api/policies/%2F/ae", &ae).is(201);
    let operator = json!({ "pattern": "", "definition": { "max-length": 3 } });
    http.put("/api/operator-policies/%2F/guard", &operator).is(201);
    let kept = http.get("/api/definitions").is(200).json;
    broker.stop();
    broker.start_again();
    let http = Http::of(&broker);
    assert_eq!(http.get("/api/definitions").is(200).json, kept);
    let shown = http.get("/api/queues/%2F/q").is(200).json;
    assert_eq!((&shown["policy"], &shown["operator_policy"]), (&json!("p"), &json!("guard")));
    let mut c = broker.client();
    c.confirms();
    c.publish_confirmed("exchange=\"\" routing_key=q", "delivery_mode=2", "after");
    c.wait_ready("dead", 1);
    c.publish_confirmed("exchange=x routing_key=k", "", "alternate");
    assert_eq!(c.drain("dead"), ["before", "alternate"]);
    // A short TTL set now applies to messages from before the restart.
    set(&http, "p", &json!({ "message-ttl": 50, "dead-letter-exchange": "amq.fanout" }));
    c.wait_ready("dead", 1);
}

#[test]
fn a_vhost_s_default_type_is_that_of_queues_that_can_be_of_it() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/vhosts/%2F", &json!({ "default_queue_type": "quorum" })).is(204);
    let mut c = broker.client();
    c.declare("queue=d durable");
    c.declare("queue=d durable");
    c.declare("queue=d durable arguments={x-queue-type:quorum}");
    c.declare("queue=c durable arguments={x-queue-type:classic}");
    c.declare("queue=c durable");
    c.declare("queue=t");
    c.declare("queue=a durable auto_delete");
    c.declare("queue=e durable exclusive");
    let named = c.declare("queue=\"\" durable");
    let kind = |queue: &str| http.get(&format!("/api/queues/%2F/{queue}")).is(200).json["type"].clone();
    assert_eq!(kind("d"), "quorum");
    for queue in ["c", "t", "a", "e", &named] {
        assert_eq!(kind(queue), "classic", "{queue}");
    }
    http.put("/api/vhosts/%2F", &json!({ "default_queue_type": "classic" })).is(204);
    c.declare("queue=f durable");
    assert_eq!(kind("f"), "classic");
    c.say("queue.declare queue=d durable");
    c.channel_closes(406, "queue.declare", "inequivalent arg 'x-queue-type'");
}

/// Number of changes to a policy that matches ten thousand queues.
const CHANGES: u32 = 20;

#[test]
fn ten_thousand_queues_follow_while_messages_flow() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let mut c = broker.client();
    for i in 0..10_000 {
        c.say(&format!("queue.declare queue=q{i} nowait"));
    }
    c.declare("queue=flow");
    let mut other = broker.client();
    other.confirms();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        let flow = scope.spawn(|| {
            let mut confirms = Vec::new();
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let ((), took) =
                    wait::time(|| other.publish_confirmed("exchange=\"\" routing_key=flow", "", "x"));
                confirms.push(took);
            }
            confirms
        });
        let policy = |limit| json!({ "pattern": "^q", "definition": { "max-length": limit } });
        http.put("/api/policies/%2F/p", &policy(100)).is(201);
        let ((), took) = wait::time(|| {
            for limit in 1..=CHANGES {
                http.put("/api/policies/%2F/p", &policy(limit)).is(204);
            }
        });
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        let mut confirms = flow.join().expect("the flow");
        confirms.sort_unstable();
        let (each, usual) = (took / CHANGES, confirms[confirms.len() / 2]);
        println!(
            "10,000 queues followed in {each:?}; a confirm meanwhile took {usual:?}, one {:?}",
            confirms.last()
        );
        // A publisher waits for one queue's update, not for all of them: that would take half of the time or more.
        assert!(usual < each / 3, "{usual:?} of {each:?}");
    });
    let shown = http.get("/api/queues/%2F/q9999").is(200).json;
    assert_eq!(shown["effective_policy_definition"], json!({ "max-length": CHANGES }));
}
