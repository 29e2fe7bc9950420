//! In-place conversion of queues and exchanges, which AMQP refuses, with active clients and a broker that is killed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::Cli;
use super::topology::File;
use crate::harness::Broker;
use crate::management::Http;
use crate::raw::Client;
use crate::wait;

#[test]
fn a_change_that_amqp_refuses_is_offered_and_made_in_place() {
    let mut broker = Broker::new();
    let cli = Cli::of(&broker);
    let mut c = broker.client();
    c.declare("queue=q durable arguments={x-max-length:5}");
    c.say("exchange.declare exchange=x type=direct durable");
    c.hear("exchange.declare-ok");
    c.ask("queue.bind queue=q exchange=x routing_key=a.b", "queue.bind-ok");
    for n in 1..=3 {
        c.publish_with("exchange=x routing_key=a.b", "delivery_mode=2", format!("m{n}"));
    }
    c.wait_ready("q", 3);
    let held = c.ask("basic.get queue=q", "basic.get-ok");
    let file = File::new("t.yaml", "exchanges: {x: topic}\nqueues:\n  q: {max-length: 6, max-priority: 3}\n");
    let plan = cli.run(&["plan", file.as_str()]).is(2);
    for line in ["* queue q", "arguments.x-max-length: 5 -> 6", "--migrate can", "2 to migrate"] {
        assert!(plan.out.contains(line), "{line}: {}", plan.out);
    }
    cli.run(&["apply", "--yes", file.as_str()]).failed(1, "nothing was changed: 2 conflicts, migrations");
    let plan = cli.run(&["plan", "--migrate", "--json", file.as_str()]).is(2).json();
    assert_eq!((&plan["migrate"], &plan["steps"][0]["why"]), (&json!(2), &Value::Null));
    cli.run(&["apply", "--yes", "--migrate", file.as_str()]).is(0);
    cli.run(&["plan", file.as_str()]).is(0);
    // Unacknowledged messages stay unacknowledged, at the same position.
    c.say(&format!("basic.reject delivery_tag={} requeue", held.tag()));
    c.confirms();
    c.publish_confirmed("exchange=x routing_key=a.b", "delivery_mode=2 priority=9", "urgent");
    c.wait_ready("q", 4);
    c.close();
    broker.kill();
    broker.start_again();
    Cli::of(&broker).run(&["plan", file.as_str()]).is(0);
    let mut c = broker.client();
    assert_eq!(c.drain("q"), ["urgent", "m1", "m2", "m3"]);
    c.say("queue.declare queue=q durable arguments={x-max-length:5}");
    c.channel_closes(406, "queue.declare", "x-max-length");
    // The binding is interpreted by the new type.
    let mut c = broker.client();
    c.ask("queue.bind queue=q exchange=x routing_key=#", "queue.bind-ok");
    c.publish("exchange=x routing_key=other", "by pattern");
    c.wait_ready("q", 1);
}

#[test]
fn durability_comes_and_goes_with_the_bindings_and_what_is_in_the_queue() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q");
    c.say("exchange.declare exchange=x type=fanout");
    c.hear("exchange.declare-ok");
    c.ask("queue.bind queue=q exchange=x", "queue.bind-ok");
    c.confirms();
    for n in 1..=300 {
        c.publish_confirmed("exchange=x", "delivery_mode=2", format!("m{n}"));
    }
    c.publish_confirmed("exchange=x", "delivery_mode=1", "passing");
    let held = c.ask("basic.get queue=q", "basic.get-ok");
    let lasting = File::new("t.yaml", "exchanges: {x: fanout}\nqueues: {q: }\n");
    Cli::of(&broker).run(&["apply", "--yes", "--migrate", lasting.as_str()]).is(0);
    c.publish_confirmed("exchange=x", "delivery_mode=2", "m301");
    drop((held, c));
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    c.confirms();
    c.publish_confirmed("exchange=x", "delivery_mode=2", "m302");
    c.wait_ready("q", 302);
    let first = c.ask("basic.get queue=q", "basic.get-ok redelivered=1");
    assert_eq!(first.text(), "m1");
    let passing = File::new(
        "t.yaml",
        "exchanges: {x: {type: fanout, durable: false}}\nqueues: {q: {durable: false}}\n",
    );
    Cli::of(&broker).run(&["apply", "--yes", "--migrate", passing.as_str()]).is(0);
    c.say(&format!("basic.ack delivery_tag={}", first.tag()));
    c.publish_confirmed("exchange=x", "delivery_mode=2", "m303");
    let want: Vec<String> = (2..=303).map(|n| format!("m{n}")).collect();
    assert_eq!(c.drain("q"), want, "all that was there, in order");
    c.close();
    broker.kill();
    broker.start_again();
    let definitions = Http::of(&broker).get("/api/definitions").is(200).json;
    assert_eq!((&definitions["queues"], &definitions["bindings"]), (&json!([]), &json!([])));
}

#[test]
fn an_exchange_that_cannot_become_the_other_one_stays_and_so_does_all_else() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    let before = "exchanges: {x: direct}\nqueues: {q: {max-length: 5}}\nbindings: {x -> q: not-a-weight}\n";
    let file = File::new("t.yaml", before);
    cli.run(&["apply", "--yes", file.as_str()]).is(0);
    file.write("exchanges: {x: x-consistent-hash}\nqueues: {q: {max-length: 6}, new: }\nusers: {}\n");
    cli.run(&["apply", "--yes", "--migrate", file.as_str()]).failed(1, "not-a-weight");
    file.write("queues: {q: {max-length: 6, type: none}}\n");
    cli.run(&["apply", "--yes", "--migrate", file.as_str()]).failed(1, "unsupported queue type");
    file.write(before);
    cli.run(&["plan", "--prune", file.as_str()]).is(0);
}

#[test]
fn delayed_messages_are_released_through_what_their_exchange_has_become() {
    let mut broker = Broker::new();
    let cli = Cli::of(&broker);
    let file = File::new(
        "t.yaml",
        "exchanges: {x: {type: x-delayed-message, delayed-type: direct}}\nqueues: {q: }\nbindings: {x -> q: k}\n",
    );
    cli.run(&["apply", "--yes", file.as_str()]).is(0);
    let mut c = broker.client();
    c.confirms();
    c.publish_confirmed("exchange=x routing_key=any", "delivery_mode=2 headers={x-delay:3000}", "later");
    file.write("exchanges: {x: fanout}\nqueues: {q: }\nbindings: {x -> q: k}\n");
    cli.run(&["apply", "--yes", "--migrate", file.as_str()]).is(0);
    c.publish_confirmed("exchange=x routing_key=any", "delivery_mode=2 headers={x-delay:3000}", "at once");
    let held = c.ask("basic.get queue=q", "basic.get-ok");
    assert_eq!(held.text(), "at once", "it delays no more");
    drop(c);
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    c.wait_ready("q", 2);
    let mut got = c.drain("q");
    got.sort();
    assert_eq!(got, ["at once", "later"]);
    drop(c);
    Cli::of(&broker).run(&["ctl", "delete", "exchange", "x"]).is(0);
    broker.kill();
    broker.start_again();
}

#[test]
fn who_applies_at_a_terminal_is_asked() {
    let broker = Broker::new();
    let cli = Cli::of(&broker);
    cli.ctl(&["declare", "queue", "q", "--arguments", "{\"x-max-length\":5}"]);
    let file = File::new("t.yaml", "queues: {q: {max-length: 6}}\n");
    for (answers, want) in [("n\n", 5), ("y\nn\n", 5), ("y\ny\n", 6)] {
        let binary = env!("CARGO_BIN_EXE_leveret");
        let line =
            format!("{binary} apply {} --url {} --user guest --password guest", file.as_str(), cli.url());
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &line, "/dev/null"]).env_remove("LEVERET_URL");
        script.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = script.spawn().expect("script(1), which gives a command a terminal");
        let mut input = child.stdin.take().expect("piped");
        std::io::Write::write_all(&mut input, answers.as_bytes()).expect("answers");
        let output = child.wait_with_output().expect("ended");
        drop(input);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains("1 cannot be changed over AMQP. Change them in place? [y/N]"), "{out}");
        let queue = Http::of(&broker).get("/api/queues/%2F/q").json;
        assert_eq!(queue["arguments"]["x-max-length"], want, "{out}");
    }
}

const PUBLISHERS: u64 = 3;

/// Successive kinds of the queue and its exchange: every conversion, there and back.
const QUEUES: [&str; 7] = [
    "{arguments: {x-max-priority: 4}}",
    "{durable: false}",
    "quorum",
    "{auto_delete: true, message-ttl: 1h, max-length: 1000000}",
    "{single-active-consumer: true}",
    "{durable: false, arguments: {x-overflow: reject-publish}}",
    "{max-length-bytes: 1000000000, dead-letter-exchange: x}",
];
const EXCHANGES: [&str; 5] = [
    "topic",
    "{type: fanout, durable: false}",
    "{type: headers, arguments: {alternate-exchange: amq.fanout}}",
    "x-random",
    "{type: direct, auto_delete: true, internal: false}",
];

#[test]
fn publishers_and_consumers_notice_nothing_of_a_change() {
    let broker = Broker::new();
    let (cli, addr) = (Cli::of(&broker), broker.amqp);
    let file = File::new("t.yaml", "");
    let topology = |queue: &str, exchange: &str| {
        file.write(&format!(
            "exchanges: {{x: {exchange}}}\nqueues: {{q: {queue}}}\nbindings: {{x -> q: key}}\n"
        ));
    };
    topology("", "direct");
    cli.run(&["apply", "--yes", file.as_str()]).is(0);
    let (enough, done) = (AtomicBool::new(false), AtomicU64::new(0));
    let received = Mutex::new(BTreeMap::<u64, Vec<u64>>::new());
    thread::scope(|scope| {
        let publishers: Vec<_> = (0..PUBLISHERS)
            .map(|publisher| {
                let (enough, done) = (&enough, &done);
                scope.spawn(move || publish(addr, publisher, enough, done))
            })
            .collect();
        let consumer = scope.spawn(|| consume(addr, &received, &done));
        for round in 0..14 {
            let before = done.load(Ordering::SeqCst);
            topology(QUEUES[round % QUEUES.len()], EXCHANGES[round % EXCHANGES.len()]);
            cli.run(&["apply", "--yes", "--migrate", file.as_str()]).is(0);
            cli.run(&["plan", file.as_str()]).is(0);
            wait::until("publishers go on", || {
                done.load(Ordering::SeqCst) > before + 300
                    || publishers.iter().any(thread::ScopedJoinHandle::is_finished)
            });
        }
        enough.store(true, Ordering::SeqCst);
        let sent: Vec<u64> = publishers.into_iter().map(|one| one.join().expect("a publisher")).collect();
        broker.client().publish("exchange=x routing_key=key", "end");
        consumer.join().expect("the consumer");
        let received = received.lock().expect("received");
        for (publisher, sent) in sent.into_iter().enumerate() {
            let want: Vec<u64> = (0..sent).collect();
            assert_eq!(received.get(&(publisher as u64)), Some(&want), "each once, in order, of {publisher}");
        }
    });
    let queue = Http::of(&broker).get("/api/queues/%2F/q").is(200).json;
    assert_eq!((&queue["messages"], &queue["consumers"]), (&json!(0), &json!(0)));
}

/// Publishes with confirms until told to stop. A returned message or a closed channel fails the test.
fn publish(addr: SocketAddr, publisher: u64, enough: &AtomicBool, done: &AtomicU64) -> u64 {
    let mut c = Client::open(addr, "");
    c.confirms();
    let mut n = 0;
    while !enough.load(Ordering::SeqCst) {
        let mut batch = Vec::new();
        for n in n..n + 20 {
            let body = format!("{publisher} {n}");
            batch.extend(c.publish_bytes(
                1,
                "exchange=x routing_key=key mandatory",
                "delivery_mode=2",
                body.as_bytes(),
            ));
        }
        c.bytes(&batch);
        let mut open: BTreeSet<i64> =
            (0..20).map(|more| i64::try_from(n + more).expect("small") + 1).collect();
        n += 20;
        while !open.is_empty() {
            let heard = c.hear("basic.ack");
            if heard.field("multiple").int() == 1 {
                open.retain(|tag| *tag > heard.tag());
            } else {
                open.remove(&heard.tag());
            }
        }
        done.fetch_add(20, Ordering::SeqCst);
    }
    c.close();
    n
}

/// Consumes until done: acknowledges two of three, and requeues the third once. Records first deliveries in order of
/// arrival.
fn consume(addr: SocketAddr, received: &Mutex<BTreeMap<u64, Vec<u64>>>, done: &AtomicU64) {
    let mut c = Client::open(addr, "");
    c.ask("basic.qos prefetch_count=50", "basic.qos-ok");
    c.ask("basic.consume queue=q consumer_tag=c", "basic.consume-ok");
    let (mut settled, mut ended) = (0, false);
    while !(ended && settled == done.load(Ordering::SeqCst)) {
        let heard = c.hear("basic.deliver");
        if heard.text() == "end" {
            ended = true;
            c.say(&format!("basic.ack delivery_tag={}", heard.tag()));
            continue;
        }
        let (publisher, number) =
            heard.text().split_once(' ').map(|(a, b)| (number(a), number(b))).expect("two");
        let again = heard.field("redelivered").int() == 1;
        if !again {
            received.lock().expect("received").entry(publisher).or_default().push(number);
        }
        if again || number % 3 > 0 {
            settled += 1;
            c.say(&format!("basic.ack delivery_tag={}", heard.tag()));
        } else {
            c.say(&format!("basic.reject delivery_tag={} requeue", heard.tag()));
        }
    }
    c.silent();
    c.close();
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}
