//! kill -9 amid transactions. `LEVERET_CRASH_ROUNDS` sets the number of rounds.
//!
//! They move messages from one queue to two others, which exposes partial, repeated and lost work:
//! - commit answered: the message is in both targets, once, and no longer in the source;
//! - no commit sent: it is in the source only;
//! - commit sent but not answered: it may be anywhere, at most once in each, but is not lost. A crash may cut a
//!   commit in two, here and on RabbitMQ; its publishes precede its acknowledgements.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::thread;

use crate::crash::{connect, rounds};
use crate::harness::Broker;
use crate::raw::Client;
use crate::wait;

const MESSAGES: usize = 5000;

/// Messages per transaction: fewer and more than the broker processes at once.
const SIZES: [usize; 5] = [1, 7, 100, 600, 1500];

#[derive(Default)]
struct Record {
    /// Messages whose commit was sent.
    sent: HashSet<String>,
    /// Messages whose commit was answered.
    committed: HashSet<String>,
}

#[test]
fn what_a_transaction_moved_is_moved_once_and_what_it_did_not_is_there() {
    let mut broker = Broker::new();
    for queue in ["from", "a", "b"] {
        broker.client().declare(&format!("queue={queue} durable"));
    }
    for round in 0..rounds() {
        let all: Vec<String> = (0..MESSAGES).map(|n| format!("{round}-{n}")).collect();
        let mut c = broker.client();
        c.confirms();
        let bytes =
            all.iter().map(|body| c.publish_bytes(1, "routing_key=from", "delivery_mode=2", body.as_bytes()));
        let bytes: Vec<u8> = bytes.flatten().collect();
        c.bytes(&bytes);
        while c.next().field("delivery_tag").int() < i64::try_from(MESSAGES).expect("few") {}
        c.close();

        let (record, dying) = (Mutex::new(Record::default()), AtomicBool::new(false));
        let addr = broker.amqp;
        let enough = usize::try_from(round * 977 % 3000).expect("small");
        thread::scope(|scope| {
            let (tell, hear) = mpsc::channel();
            let (record, dying) = (&record, &dying);
            scope.spawn(move || {
                let moved = catch_unwind(AssertUnwindSafe(|| move_all(addr, record, dying, enough, &tell)));
                match moved {
                    Err(panic) if !dying.load(Ordering::SeqCst) => resume_unwind(panic),
                    _ => {}
                }
            });
            let done = hear.recv_timeout(wait::LIMIT);
            dying.store(true, Ordering::SeqCst);
            broker.kill();
            assert!(done.is_ok(), "round {round}: too few commits");
        });
        broker.start_again();
        check(&mut broker.client(), &all, &record.into_inner().expect("record"), round);
    }
}

/// Moves messages until the broker is gone; signals when a commit is in progress and `enough` precede it.
fn move_all(
    addr: SocketAddr,
    record: &Mutex<Record>,
    dying: &AtomicBool,
    enough: usize,
    tell: &mpsc::Sender<()>,
) {
    let Some(mut c) = connect(addr, dying) else { return };
    c.ask("tx.select", "tx.select-ok");
    for size in SIZES.into_iter().cycle() {
        let get = c.method_bytes("basic.get queue=from");
        c.bytes(&get.repeat(size));
        let got: Vec<_> = (0..size).map(|_| c.next()).filter(|got| got.spec.name == "basic.get-ok").collect();
        let Some(last) = got.last() else { return };
        let mut bytes = Vec::new();
        for message in &got {
            for queue in ["a", "b"] {
                let key = format!("routing_key={queue}");
                bytes.extend(c.publish_bytes(1, &key, "delivery_mode=2", &message.body));
            }
        }
        bytes.extend(c.method_bytes(&format!("basic.ack delivery_tag={} multiple", last.tag())));
        bytes.extend(c.method_bytes("tx.commit"));
        let moved = got.iter().map(|got| String::from_utf8_lossy(&got.body).into_owned());
        let moved: Vec<String> = moved.collect();
        let due = {
            let mut record = record.lock().expect("record");
            record.sent.extend(moved.iter().cloned());
            record.committed.len() >= enough
        };
        c.bytes(&bytes);
        if due {
            // Only the first signal has a receiver.
            let _ = tell.send(());
        }
        c.hear("tx.commit-ok");
        record.lock().expect("record").committed.extend(moved);
    }
}

fn check(c: &mut Client, all: &[String], record: &Record, round: u64) {
    let [from, a, b] = ["from", "a", "b"].map(|queue| {
        let mut times: HashMap<String, usize> = HashMap::new();
        for body in c.drain(queue) {
            *times.entry(body).or_default() += 1;
        }
        times
    });
    for body in all {
        let places = [&from, &a, &b].map(|queue| queue.get(body).copied().unwrap_or_default());
        let right = match (record.committed.contains(body), record.sent.contains(body)) {
            (true, _) => places == [0, 1, 1],
            (false, false) => places == [1, 0, 0],
            (false, true) => places == [0, 1, 1] || (places[0] == 1 && places[1] <= 1 && places[2] <= 1),
        };
        let committed = record.committed.contains(body);
        assert!(right, "round {round}: {body} is {places:?} times in the queues, committed: {committed}");
    }
    let strange = [&from, &a, &b]
        .into_iter()
        .flat_map(HashMap::keys)
        .find(|body| !body.starts_with(&format!("{round}-")));
    assert_eq!(strange, None, "round {round}");
}
