//! The log store on a real folder: what survives, what is told, what is served.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use leveret_queues::store::log::{LogStore, Options, Recovered};
use leveret_queues::store::{Broken, ReadWish, Record, SettleReason, Store, Stored, Synced, Waiter};
use leveret_queues::{Message, MessageMeta, QueueId, Seq};

struct Told(Mutex<Sender<(u64, Result<Synced, Broken>)>>);

impl Waiter for Told {
    fn synced(&self, token: u64, outcome: Result<Synced, Broken>) {
        let _ = self.0.lock().unwrap().send((token, outcome));
    }
}

fn waiter() -> (Arc<dyn Waiter>, Receiver<(u64, Result<Synced, Broken>)>) {
    let (sender, receiver) = channel();
    (Arc::new(Told(Mutex::new(sender))), receiver)
}

fn sync(store: &LogStore) {
    let (waiter, told) = waiter();
    store.notify(&waiter, 1);
    let (_, outcome) = told.recv_timeout(Duration::from_secs(20)).unwrap();
    outcome.unwrap();
}

fn message(body: &[u8]) -> Message {
    let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
    Message::new("amq.topic", "a.key", b"\x10\0\x02", body, meta)
}

fn enqueue(queue: u64, seq: u64, message: &Message) -> Record {
    Record::Enqueue {
        queue: QueueId(queue),
        seq: Seq(seq),
        message: message.clone(),
        lane: 0,
        expires: None,
        transient: false,
        sole: false,
    }
}

fn settle(queue: u64, first: u64, count: u64) -> Record {
    Record::Settle { queue: QueueId(queue), first: Seq(first), count, reason: SettleReason::Acked }
}

fn read(store: &LogStore, queue: u64, from: u64, to: u64) -> Vec<Stored> {
    let (sender, receiver) = channel();
    let wish = ReadWish {
        queue: QueueId(queue),
        lane: 0,
        from: Seq(from),
        to: Seq(to),
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
    };
    store.read(wish, Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv_timeout(Duration::from_secs(20)).unwrap().unwrap()
}

fn seqs(stored: &[Stored]) -> Vec<u64> {
    stored.iter().map(|s| s.seq.0).collect()
}

fn open(dir: &std::path::Path) -> (LogStore, Recovered) {
    let options = Options { segment_bytes: 1 << 20, ..Options::default() };
    LogStore::open(dir, &options).unwrap()
}

#[test]
fn messages_survive_a_restart_and_settled_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, recovered) = open(dir.path());
        assert!(recovered.queues.is_empty() && recovered.findings.is_empty());
        for seq in 1..=3000 {
            let body = format!("body {seq}").repeat(50);
            store.append(&mut vec![enqueue(7, seq, &message(body.as_bytes()))]).unwrap();
        }
        store.append(&mut vec![settle(7, 1, 1500), settle(7, 2000, 1)]).unwrap();
        sync(&store);
        assert_eq!(read(&store, 7, 1, 3000).len(), 1499);
    }
    let (store, recovered) = open(dir.path());
    assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
    let queue = &recovered.queues[&QueueId(7)];
    assert_eq!(queue.last_seq, Seq(3000));
    assert_eq!(queue.ranges.iter().map(|r| r.count).sum::<u64>(), 1499);
    assert_eq!(queue.ranges[0].first, Seq(1501));
    let stored = read(&store, 7, 1990, 2010);
    let expected: Vec<u64> = (1990..=2010).filter(|seq| *seq != 2000).collect();
    assert_eq!(seqs(&stored), expected);
    for one in stored {
        let message = one.message.unwrap();
        assert_eq!(message.body(), format!("body {}", one.seq.0).repeat(50).as_bytes());
        assert_eq!(message.routing_key(), b"a.key");
        assert!(!message.settle_unless_taken());
    }
}

#[test]
fn a_lost_index_is_rebuilt_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        for seq in 1..=2000 {
            store.append(&mut vec![enqueue(1, seq, &message(&[1; 2000]))]).unwrap();
            if seq % 3 == 0 {
                store.append(&mut vec![settle(1, seq, 1)]).unwrap();
            }
        }
    }
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (store, recovered) = open(dir.path());
    assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
    let expected: Vec<u64> = (1..=2000).filter(|seq| seq % 3 != 0).collect();
    assert_eq!(seqs(&read(&store, 1, 1, 2000)), expected);
    let queue = &recovered.queues[&QueueId(1)];
    assert_eq!((queue.last_seq, queue.delivered_upto), (Seq(2000), Seq(2000)));
}

#[test]
fn a_drained_log_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for seq in 1..=20_000 {
        store.append(&mut vec![enqueue(1, seq, &message(&[1; 1000]))]).unwrap();
    }
    sync(&store);
    // One stubborn message in the middle holds no segment either.
    store.append(&mut vec![settle(1, 1, 9_999), settle(1, 10_001, 10_000)]).unwrap();
    let metrics = store.metrics();
    let mut rounds = 0;
    while metrics.segments.get() > 2 || metrics.compacted_bytes.get() == 0 {
        rounds += 1;
        assert!(rounds < 200, "{metrics:?}");
        // Keeps the log moving, as a broker's settles do.
        store.append(&mut vec![settle(2, 1, 1)]).unwrap();
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(seqs(&read(&store, 1, 1, 20_000)), [10_000]);
}
