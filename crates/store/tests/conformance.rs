//! Required behaviour of every store; run on each of them.

#![expect(clippy::unwrap_used, reason = "a test may fail where it likes")]

#[path = "common/mod.rs"]
mod common;

use std::collections::{BTreeMap, HashMap};

use common::{PATIENCE, Told, ask, enqueue, message, seqs, settle, waiter, wish};
use leveret_message::stored::{RecoveredQueue, SettleReason, Stored};
use leveret_message::{Message, MessageMeta, Millis, QueueId, Seq, Short};
use leveret_store::fold::Fold;
use leveret_store::log::{LogStore, Options};
use leveret_store::memory::MemStore;
use leveret_store::{Broken, NotAppended, ReadWish, Record, Store};
use proptest::prelude::*;

/// A store behind a uniform test interface.
trait Subject: Sized {
    fn new() -> Self;
    fn store(&self) -> &dyn Store;
    /// Lets the store do its background work.
    fn run(&self);
    /// Ends it and opens it again; only what is durable is guaranteed to be there.
    fn reopen(self) -> (Self, HashMap<QueueId, RecoveredQueue>);

    fn append(&self, records: &[Record]) {
        let mut records = records.to_vec();
        self.store().append(&mut records).unwrap();
        assert!(records.is_empty());
    }

    fn sync(&self) {
        let (waiter, told) = waiter();
        self.store().notify(&waiter, 1);
        self.run();
        told.recv_timeout(PATIENCE).unwrap().1.unwrap();
    }

    fn read(&self, wish: ReadWish) -> Vec<Stored> {
        let answer = ask(self.store(), wish);
        self.run();
        answer.recv_timeout(PATIENCE).unwrap().unwrap()
    }
}

struct Memory(MemStore);

impl Subject for Memory {
    fn new() -> Self {
        Self(MemStore::new())
    }

    fn store(&self) -> &dyn Store {
        &self.0
    }

    fn run(&self) {
        self.0.sync();
        self.0.answer_reads();
    }

    fn reopen(self) -> (Self, HashMap<QueueId, RecoveredQueue>) {
        let store = self.0.crash(0);
        let recovered = store.recovered();
        (Self(store), recovered)
    }
}

struct Log {
    store: LogStore,
    dir: tempfile::TempDir,
}

impl Log {
    fn options() -> Options {
        Options { segment_bytes: 64 << 10, ..Options::default() }
    }
}

impl Subject for Log {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = LogStore::open(dir.path(), &Self::options()).unwrap();
        Self { store, dir }
    }

    fn store(&self) -> &dyn Store {
        &self.store
    }

    fn run(&self) {}

    fn reopen(self) -> (Self, HashMap<QueueId, RecoveredQueue>) {
        let Self { store, dir } = self;
        drop(store);
        let (store, recovered) = LogStore::open(dir.path(), &Self::options()).unwrap();
        assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
        (Self { store, dir }, recovered.queues)
    }
}

fn what_is_synced_is_there_again_in_order<S: Subject>() {
    let subject = S::new();
    for seq in 1..=50 {
        subject.append(&[enqueue(1, seq, &message(&[0; 100]))]);
    }
    subject.append(&[settle(1, 10, 5), settle(1, 1, 1)]);
    subject.sync();
    let (subject, recovered) = subject.reopen();
    let expected: Vec<u64> = (2..=50).filter(|seq| !(10..15).contains(seq)).collect();
    assert_eq!(seqs(&subject.read(wish(1, 0, u64::MAX))), expected);
    assert_eq!(recovered[&QueueId(1)].last_seq, Seq(50));
}

fn one_message_for_many_queues_is_there_for_each<S: Subject>() {
    let subject = S::new();
    let shared = message(b"shared");
    let group: Vec<Record> = (1..=20).map(|queue| enqueue(queue, 1, &shared)).collect();
    subject.append(&group);
    subject.append(&[settle(1, 1, 1)]);
    subject.sync();
    let (subject, _) = subject.reopen();
    assert!(subject.read(wish(1, 1, 1)).is_empty());
    for queue in 2..=20 {
        let stored = subject.read(wish(queue, 1, 1));
        assert_eq!(stored[0].message.as_ref().unwrap().body(), b"shared");
    }
}

fn notify_answers_at_once_when_nothing_is_outstanding<S: Subject>() {
    let subject = S::new();
    let (waiter, told) = waiter();
    subject.store().notify(&waiter, 7);
    assert_eq!(told.try_recv().unwrap().0, 7);
    subject.append(&[enqueue(1, 1, &message(b"x"))]);
    subject.sync();
    subject.store().notify(&waiter, 8);
    assert!(matches!(told.try_recv(), Ok((8, Ok(_)))));
}

fn a_waiter_hears_its_highest_token_and_each_position_once<S: Subject>() {
    let subject = S::new();
    let (one, told_one) = waiter();
    let (two, told_two) = waiter();
    for token in 1..=100 {
        subject.append(&[enqueue(1, token, &message(b"x"))]);
        subject.store().notify(&one, token);
        subject.store().notify(&two, token + 1000);
    }
    subject.run();
    for (told, last) in [(told_one, 100), (told_two, 1100)] {
        let mut before = 0;
        while before < last {
            let (token, outcome): Told = told.recv_timeout(PATIENCE).unwrap();
            outcome.unwrap();
            assert!(token > before, "{token} after {before}");
            before = token;
        }
        assert_eq!(before, last);
        assert!(told.try_recv().is_err());
    }
}

fn written_reaches_the_position_of_what_is_synced<S: Subject>() {
    let subject = S::new();
    let mut records = vec![enqueue(1, 1, &message(b"x")), settle(1, 1, 1)];
    let position = subject.store().append(&mut records).unwrap();
    subject.sync();
    assert!(subject.store().written() >= position);
}

fn a_read_keeps_to_its_lane_and_limits<S: Subject>() {
    let subject = S::new();
    let mut group = Vec::new();
    for seq in 1..=30 {
        let mut record = enqueue(1, seq, &message(&[0; 1000]));
        if let Record::Enqueue { priority_level, .. } = &mut record {
            *priority_level = u8::from(seq % 3 == 0);
        }
        group.push(record);
    }
    subject.append(&group);
    let level_one = ReadWish { priority_level: 1, ..wish(1, 4, 25) };
    let places = [6, 9, 12, 15, 18, 21, 24];
    assert_eq!(seqs(&subject.read(level_one)), places);
    let few = ReadWish { max_messages: 2, ..level_one };
    assert_eq!(seqs(&subject.read(few)), places[..2]);
    let short = ReadWish { max_bytes: 2500, ..level_one };
    assert_eq!(seqs(&subject.read(short)), places[..3]);
    let tiny = ReadWish { max_bytes: 0, ..level_one };
    assert_eq!(seqs(&subject.read(tiny)), places[..1]);
}

fn a_read_keeps_expiry_counts_and_properties<S: Subject>() {
    let subject = S::new();
    let meta = MessageMeta {
        persistent: true,
        priority: Some(9),
        expiration_ms: Some(5000),
        died: false,
        redelivered: true,
    };
    let one = Message::new(Short::literal("x"), Short::literal("k"), b"\x18\0props", b"body", meta);
    let mut record = enqueue(1, 1, &one);
    if let Record::Enqueue { expires, .. } = &mut record {
        *expires = Some(Millis(77));
    }
    subject.append(&[record]);
    let returned = Record::Returned { queue: QueueId(1), seq: Seq(1), count: 3 };
    subject.append(&[returned]);
    subject.sync();
    let (subject, _) = subject.reopen();
    let stored = subject.read(wish(1, 1, 1)).remove(0);
    assert_eq!((stored.expires, stored.delivery_count), (Some(Millis(77)), 3));
    let read = stored.message.unwrap();
    assert_eq!((read.exchange(), read.routing_key()), (&b"x"[..], &b"k"[..]));
    assert_eq!((read.properties(), read.body()), (&b"\x18\0props"[..], &b"body"[..]));
    assert_eq!(read.meta(), meta);
    assert!(!read.settle_unless_taken(), "a settle record is owed for what was read");
}

fn a_purge_keeps_what_consumers_hold_and_a_gone_queue_keeps_nothing<S: Subject>() {
    let subject = S::new();
    for seq in 1..=10 {
        subject.append(&[enqueue(1, seq, &message(b"x")), enqueue(2, seq, &message(b"y"))]);
    }
    let purge = Record::Purge { queue: QueueId(1), upto: Seq(8), kept: vec![Seq(3), Seq(5)] };
    let gone = Record::Gone { queue: QueueId(2) };
    subject.append(&[purge, gone]);
    subject.sync();
    let (subject, recovered) = subject.reopen();
    assert_eq!(seqs(&subject.read(wish(1, 1, 100))), [3, 5, 9, 10]);
    assert!(!recovered.contains_key(&QueueId(2)));
}

fn a_transient_message_is_served_until_a_restart_and_void_after_it<S: Subject>() {
    let subject = S::new();
    let mut paged = enqueue(1, 1, &message(b"paged"));
    if let Record::Enqueue { transient, .. } = &mut paged {
        *transient = true;
    }
    subject.append(&[enqueue(1, 2, &message(b"kept")), paged]);
    subject.sync();
    assert_eq!(seqs(&subject.read(wish(1, 1, 9))), [1, 2]);
    let (subject, _) = subject.reopen();
    assert_eq!(seqs(&subject.read(wish(1, 1, 9))), [2]);
}

fn settles_that_come_twice_or_for_nothing_do_no_harm<S: Subject>() {
    let subject = S::new();
    subject.append(&[settle(9, 5, 2), enqueue(1, 1, &message(b"x"))]);
    subject.append(&[settle(1, 1, 1), settle(1, 1, 1)]);
    subject.append(&[enqueue(1, 2, &message(b"y"))]);
    subject.sync();
    let (subject, recovered) = subject.reopen();
    assert_eq!(seqs(&subject.read(wish(1, 1, 9))), [2]);
    assert_eq!(recovered[&QueueId(9)].last_seq, Seq(6));
}

macro_rules! on_every_store {
    ($($case:ident),* $(,)?) => {
        mod memory {
            $(#[test] fn $case() { super::$case::<super::Memory>(); })*
        }
        mod log {
            $(#[test] fn $case() { super::$case::<super::Log>(); })*
        }
    };
}

on_every_store!(
    what_is_synced_is_there_again_in_order,
    one_message_for_many_queues_is_there_for_each,
    notify_answers_at_once_when_nothing_is_outstanding,
    a_waiter_hears_its_highest_token_and_each_position_once,
    written_reaches_the_position_of_what_is_synced,
    a_read_keeps_to_its_lane_and_limits,
    a_read_keeps_expiry_counts_and_properties,
    a_purge_keeps_what_consumers_hold_and_a_gone_queue_keeps_nothing,
    a_transient_message_is_served_until_a_restart_and_void_after_it,
    settles_that_come_twice_or_for_nothing_do_no_harm,
    recovery_equals_the_fold,
);

#[test]
fn broken_is_final_and_told_to_all() {
    let store = MemStore::new();
    let (waiter, told) = waiter();
    store.append(&mut vec![enqueue(1, 1, &message(b"x"))]).unwrap();
    store.notify(&waiter, 1);
    store.fail_sync(0);
    store.sync();
    assert_eq!(told.try_recv(), Ok((1, Err(Broken))));
    assert_eq!(store.append(&mut vec![settle(1, 1, 1)]), Err(NotAppended::Broken));
    store.notify(&waiter, 2);
    assert_eq!(told.try_recv(), Ok((2, Err(Broken))));
}

#[test]
fn a_crash_of_the_memory_store_keeps_whole_groups_and_all_that_was_synced() {
    for seed in 0..50 {
        let store = MemStore::new();
        store.append(&mut vec![enqueue(1, 1, &message(b"x"))]).unwrap();
        store.sync();
        for n in 1..=5 {
            let group = [enqueue(1, 2 * n, &message(b"x")), enqueue(1, 2 * n + 1, &message(b"y"))];
            store.append(&mut group.to_vec()).unwrap();
        }
        let survivors = store.crash(seed).recovered()[&QueueId(1)].ranges[0].count;
        assert!(survivors % 2 == 1, "{survivors}");
    }
}

#[derive(Clone, Debug)]
enum Act {
    Enqueue { queue: u64, priority_level: u8, len: usize },
    Settle { queue: u64, first: u64, count: u64 },
    Returned { queue: u64, seq: u64 },
    Purge { queue: u64, upto: u64 },
    Reopen,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1u64..4, 0u8..3, 0usize..3000)
            .prop_map(|(queue, priority_level, len)| Act::Enqueue { queue, priority_level, len }),
        3 => (1u64..4, 1u64..60, 1u64..10)
            .prop_map(|(queue, first, count)| Act::Settle { queue, first, count }),
        1 => (1u64..4, 1u64..60).prop_map(|(queue, seq)| Act::Returned { queue, seq }),
        1 => (1u64..4, 1u64..60).prop_map(|(queue, upto)| Act::Purge { queue, upto }),
        1 => Just(Act::Reopen),
    ]
}

fn recovery_equals_the_fold<S: Subject>() {
    let config = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(acts in proptest::collection::vec(act(), 1..120))| {
        let mut subject = S::new();
        let mut fold = Fold::default();
        let mut next: BTreeMap<u64, u64> = BTreeMap::new();
        for act in acts.into_iter().chain([Act::Reopen]) {
            let record = match act {
                Act::Enqueue { queue, priority_level: at, len } => {
                    let seq = next.entry(queue).or_insert(0);
                    *seq += 1;
                    let mut record = enqueue(queue, *seq, &message(&vec![at; len]));
                    if let Record::Enqueue { priority_level, .. } = &mut record {
                        *priority_level = at;
                    }
                    record
                }
                // A queue settles only what it was given.
                Act::Settle { queue, first, count } => {
                    let last = next.get(&queue).copied().unwrap_or(0);
                    Record::Settle {
                        queue: QueueId(queue),
                        first: Seq(first.min(last)),
                        count: count.min(last.saturating_sub(first) + 1),
                        reason: SettleReason::Expired,
                    }
                }
                Act::Returned { queue, seq } => Record::Returned {
                    queue: QueueId(queue),
                    seq: Seq(seq),
                    count: 2,
                },
                Act::Purge { queue, upto } => Record::Purge {
                    queue: QueueId(queue),
                    upto: Seq(upto.min(next.get(&queue).copied().unwrap_or(0))),
                    kept: vec![Seq(upto / 2)],
                },
                Act::Reopen => {
                    subject.sync();
                    let (reopened, recovered) = subject.reopen();
                    subject = reopened;
                    for (id, queue) in &fold.queues {
                        let found = recovered.get(id).cloned().unwrap_or_default();
                        prop_assert_eq!(found.last_seq, queue.last_seq);
                        let count: u64 = found.ranges.iter().map(|r| r.count).sum();
                        let bytes: u64 = found.ranges.iter().map(|r| r.bytes).sum();
                        let expected = queue.live.values().map(|m| m.message.body_len() as u64);
                        prop_assert_eq!((count, bytes), (queue.live.len() as u64, expected.sum()));
                        for priority_level in 0..3 {
                            let all = ReadWish { priority_level, ..wish(id.0, 0, u64::MAX) };
                            let (seen, wanted) = (subject.read(all), fold.read(&all));
                            prop_assert_eq!(seqs(&seen), seqs(&wanted));
                            for (seen, wanted) in seen.iter().zip(&wanted) {
                                prop_assert_eq!(seen.delivery_count, wanted.delivery_count);
                            }
                        }
                    }
                    continue;
                }
            };
            fold.apply(&record);
            subject.append(&[record]);
        }
    });
}
