//! Repeated kill -9 under confirmed load. `LEVERET_CRASH_ROUNDS` sets the number of rounds.
//!
//! Each message has a number. Sent, confirmed, and settled (an ack was *sent* for it) are recorded outside the broker.
//! After a restart, of the messages in the queue:
//! - confirmed and never settled: exactly once (the promise);
//! - settled: at most once (the ack may have been in flight);
//! - sent and not confirmed: at most once (the confirm may have been in flight);
//! - nothing else, and per publisher in the order sent.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use serde_json::json;

use crate::harness::Broker;
use crate::management::Http;
use crate::raw::{Client, METHOD};
use crate::wait;

const PUBLISHERS: u64 = 3;
const WINDOW: u64 = 64;

#[derive(Default)]
struct Record {
    sent: HashSet<u64>,
    confirmed: HashSet<u64>,
    settled: HashSet<u64>,
}

pub(crate) fn rounds() -> u64 {
    std::env::var("LEVERET_CRASH_ROUNDS").map_or(5, |n| n.parse().expect("LEVERET_CRASH_ROUNDS is a number"))
}

#[test]
fn nothing_confirmed_is_lost_by_kill_9() {
    killed_under_load(|_, _| ());
}

/// Converts the queue repeatedly: it stays durable, so the promise is the same.
#[test]
fn nothing_confirmed_is_lost_by_kill_9_while_the_queue_becomes_another_one() {
    let kinds = [
        json!({ "x-queue-type": "quorum", "x-delivery-limit": 1_000_000 }),
        json!({ "x-max-priority": 5 }),
        json!({ "x-single-active-consumer": true, "x-message-ttl": 3_600_000 }),
        json!({}),
    ];
    let broker = killed_under_load(|http, dying| {
        for arguments in kinds.iter().cycle() {
            let queue = json!({ "name": "q", "vhost": "/", "durable": true, "arguments": arguments });
            let wish = json!({ "topology": { "queues": [queue] }, "migrate": true }).to_string();
            let answer =
                catch_unwind(AssertUnwindSafe(|| http.call("POST", "/api/topology/apply", &[], &wish)));
            match answer {
                Ok(answer) => drop(answer.is(200)),
                Err(_) if dying.load(Ordering::SeqCst) => return,
                Err(panic) => resume_unwind(panic),
            }
        }
    });
    // Whatever its type when killed, applying again completes the conversion.
    let queue = json!({ "name": "q", "vhost": "/", "durable": true, "arguments": kinds[0] });
    let wish = json!({ "topology": { "queues": [queue] }, "migrate": true });
    Http::of(&broker).post("/api/topology/apply", &wish).is(200);
    assert_eq!(Http::of(&broker).get("/api/queues/%2F/q").json["type"], "quorum");
}

/// Publishes and consumes while `meanwhile` runs, and kills the broker, once per round.
fn killed_under_load(meanwhile: impl Fn(&Http, &AtomicBool) + Sync) -> Broker {
    let mut broker = Broker::new();
    let record = Mutex::new(Record::default());
    let number = AtomicU64::new(0);
    let mut c = broker.client();
    c.declare("queue=q durable");
    drop(c);
    for round in 0..rounds() {
        let dying = AtomicBool::new(false);
        let addr = broker.amqp;
        // A different moment each round, measured in confirms, not time.
        let enough = record.lock().expect("record").confirmed.len()
            + 200
            + usize::try_from(round * 37 % 700).expect("small");
        thread::scope(|scope| {
            for publisher in 0..PUBLISHERS {
                let (record, number, dying) = (&record, &number, &dying);
                scope.spawn(move || publish(addr, publisher, record, number, dying));
            }
            let (http, meanwhile, dying_meanwhile) = (Http::of(&broker), &meanwhile, &dying);
            scope.spawn(move || meanwhile(&http, dying_meanwhile));
            let (record_of_consumer, dying_for_consumer) = (&record, &dying);
            scope.spawn(move || consume(addr, record_of_consumer, dying_for_consumer));
            let done = wait::within(wait::LIMIT, || record.lock().expect("record").confirmed.len() >= enough);
            dying.store(true, Ordering::SeqCst);
            broker.kill();
            assert!(done, "round {round}: too few confirms");
        });
        broker.start_again();
        check(&broker, &record, round);
    }
    broker
}

/// Encodes publisher and sequence number.
fn body(publisher: u64, n: u64) -> String {
    format!("{:>12}{}", n * PUBLISHERS + publisher, "x".repeat(usize::try_from(n % 700).expect("small")))
}

fn id(body: &[u8]) -> u64 {
    String::from_utf8_lossy(&body[..12]).trim().parse().expect("a number")
}

fn publish(addr: SocketAddr, publisher: u64, record: &Mutex<Record>, number: &AtomicU64, dying: &AtomicBool) {
    let Some(mut c) = connect(addr, dying) else {
        return;
    };
    c.confirms();
    let mut ids = HashMap::new();
    let (mut next, mut oldest) = (1, 1);
    loop {
        while next < oldest + WINDOW {
            let n = number.fetch_add(1, Ordering::SeqCst);
            let body = body(publisher, n);
            let id = id(body.as_bytes());
            record.lock().expect("record").sent.insert(id);
            ids.insert(next, id);
            let bytes = c.publish_bytes(1, "routing_key=q", "delivery_mode=2", body.as_bytes());
            if !c.try_bytes(&bytes) {
                return;
            }
            next += 1;
        }
        let Some(frame) = c.next_frame() else { return };
        assert_eq!((frame.kind, &frame.payload[..4]), (METHOD, &[0, 60, 0, 80][..]), "a confirm");
        let tag = u64::from_be_bytes(frame.payload[4..12].try_into().expect("eight"));
        let first = if frame.payload[12] & 1 == 1 { oldest } else { tag };
        let mut record = record.lock().expect("record");
        for tag in first..=tag {
            if let Some(id) = ids.remove(&tag) {
                record.confirmed.insert(id);
            }
        }
        while oldest < next && !ids.contains_key(&oldest) {
            oldest += 1;
        }
    }
}

/// Consumes, and acks two of three messages; the third stays unacked and must come again.
fn consume(addr: SocketAddr, record: &Mutex<Record>, dying: &AtomicBool) {
    let Some(mut c) = connect(addr, dying) else {
        return;
    };
    c.say("basic.qos prefetch_count=300");
    c.say("basic.consume queue=q consumer_tag=c");
    let mut tag: u64 = 0;
    loop {
        let Some(method) = c.next_frame() else { return };
        // qos-ok and consume-ok
        if method.payload[..4] == [0, 60, 0, 11] || method.payload[..4] == [0, 60, 0, 21] {
            continue;
        }
        assert_eq!(method.payload[..4], [0, 60, 0, 60], "a delivery");
        let (Some(_header), Some(part)) = (c.next_frame(), c.next_frame()) else {
            return;
        };
        tag += 1;
        if !tag.is_multiple_of(3) {
            // Recorded before sending: from here on the message may be gone.
            record.lock().expect("record").settled.insert(id(&part.payload));
            c.say(&format!("basic.ack delivery_tag={tag}"));
        }
    }
}

/// A connection, or `None` if the broker has been killed meanwhile.
pub(crate) fn connect(addr: SocketAddr, dying: &AtomicBool) -> Option<Client> {
    match catch_unwind(|| Client::open(addr, "")) {
        Ok(client) => Some(client),
        Err(_) if dying.load(Ordering::SeqCst) => None,
        Err(panic) => resume_unwind(panic),
    }
}

fn check(broker: &Broker, record: &Mutex<Record>, round: u64) {
    let mut record = record.lock().expect("record");
    let mut c = broker.client();
    let ready = c.counts("q").0;
    let mut found = HashMap::new();
    let mut last_of = BTreeMap::new();
    let mut tag = 0;
    for _ in 0..ready {
        let got = c.ask("basic.get queue=q", "basic.get-ok");
        tag = got.tag();
        let id = id(&got.body);
        assert!(record.sent.contains(&id), "round {round}: {id} was never sent");
        *found.entry(id).or_insert(0) += 1;
        let last = last_of.insert(id % PUBLISHERS, id);
        assert!(last < Some(id), "round {round}: {id} after {last:?}");
    }
    c.ask("basic.get queue=q", "basic.get-empty");
    let lost: Vec<_> =
        record.confirmed.iter().filter(|i| !record.settled.contains(i) && !found.contains_key(i)).collect();
    assert!(lost.is_empty(), "round {round}: {} confirmed messages are lost: {lost:?}", lost.len());
    let doubled: Vec<_> = found.iter().filter(|(_, n)| **n > 1).collect();
    assert!(doubled.is_empty(), "round {round}: more than once: {doubled:?}");
    // Drains this round's messages, so that the next starts small; every other round leaves a backlog.
    if round.is_multiple_of(2) && tag > 0 {
        record.settled.extend(found.keys());
        c.say(&format!("basic.ack delivery_tag={tag} multiple"));
        c.silent();
    } else {
        // Unconfirmed messages that were found are known to exist, and must stay.
        record.confirmed.extend(found.keys().copied());
        let there: HashSet<_> = found.into_keys().collect();
        record.settled.retain(|i| !there.contains(i));
    }
    c.close();
}
