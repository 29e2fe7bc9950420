//! A body is written once, for however many queues and batches; what cannot be written as a whole is refused at once.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leveret_message::ids::{Millis, QueueId, Seq};
use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;
use leveret_message::stored::SettleReason;
use proptest::prelude::*;

use super::Recovered;
use super::commit::Step;
use super::core::{Core, Options};
use crate::disk::Disk;
use crate::index::Db;
use crate::sim::{SimDb, SimDisk};
use crate::{NotAppended, Pressure, ReadWish, Record};

fn open(disk: &SimDisk, db: &SimDb, group_bytes_max: usize) -> (Core, Recovered) {
    let options = Options {
        segment_bytes: 256 << 10,
        batch_bytes: 2 << 10,
        pending_limit: 1 << 30,
        group_bytes_max,
        compact_bytes: 1000,
        ..Options::default()
    };
    let mut recovered = Recovered::default();
    let (disk, db): (Arc<dyn Disk>, Arc<dyn Db>) = (Arc::new(disk.clone()), Arc::new(db.clone()));
    let core = Core::open(disk, db, options, &mut recovered).unwrap();
    (core, recovered)
}

fn message(len: usize) -> Message {
    let body = Bytes::from(vec![7; len]);
    let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
    let message = Message::with_large_body(
        Short::literal("amq.fanout"),
        Short::literal("key"),
        b"\x10\0\x02",
        body,
        meta,
    );
    message.always_log();
    message
}

fn enqueue(queue: u64, message: &Message) -> Record {
    Record::Enqueue {
        queue: QueueId(queue),
        seq: Seq(1),
        message: message.clone(),
        priority_level: 0,
        expires: None,
        transient: false,
        sole: false,
    }
}

fn settle(queue: u64) -> Record {
    Record::Settle { queue: QueueId(queue), first: Seq(1), count: 1, reason: SettleReason::Acked }
}

fn append(core: &Core, mut records: Vec<Record>) {
    core.append_queue.append(&mut records).unwrap();
}

fn commit(core: &Core) {
    let mut now = Duration::ZERO;
    loop {
        now += Duration::from_secs(1);
        match core.commit(now) {
            Step::Worked => {}
            Step::Idle(None) => return,
            other => panic!("{other:?}"),
        }
    }
}

#[track_caller]
fn check_all_there(core: &Core, queues: std::ops::RangeInclusive<u64>, len: usize) {
    for queue in queues {
        let wish = ReadWish {
            queue: QueueId(queue),
            priority_level: 0,
            from: Seq(0),
            to: Seq(9),
            max_messages: 9,
            max_bytes: usize::MAX,
        };
        let found = core.read_now(&wish).unwrap();
        assert_eq!(found.len(), 1, "queue {queue}");
        assert_eq!(found[0].message.as_ref().unwrap().body(), vec![7; len], "queue {queue}");
    }
}

/// Total bytes written.
fn written(core: &Core) -> u64 {
    core.metrics.bytes_written.get()
}

#[test]
fn a_body_beyond_a_batch_is_written_once_for_all_queues_of_a_fanout() {
    // More than a segment, and less.
    for len in [100_000, 1_000_000] {
        let (disk, db) = (SimDisk::new(1), SimDb::new(1));
        let (core, _) = open(&disk, &db, 1 << 30);
        let message = message(len);
        for queue in 1..=20 {
            append(&core, vec![enqueue(queue, &message)]);
            commit(&core);
        }
        let written = written(&core);
        assert!(written < len as u64 * 11 / 10, "{written} bytes written of {len}");
        check_all_there(&core, 1..=20, len);
        core.checkpoint().unwrap();
        // The next start begins its replay between the body and its references, or has no index at all.
        for queue in 21..=25 {
            append(&core, vec![enqueue(queue, &message)]);
            commit(&core);
        }
        disk.crash();
        db.crash();
        for lost in [false, true] {
            if lost {
                db.lose_all();
            }
            let (core, recovered) = open(&disk, &db, 1 << 30);
            assert_eq!(recovered.findings, []);
            check_all_there(&core, 1..=25, len);
        }
    }
}

#[test]
fn a_dead_letter_for_many_queues_takes_room_for_one_body() {
    let len = 1_000_000;
    let (disk, db) = (SimDisk::new(2), SimDb::new(2));
    let (core, _) = open(&disk, &db, 2 << 20);
    append(&core, vec![enqueue(100, &message(len))]);
    commit(&core);
    let letter = message(len);
    let mut group: Vec<Record> = (1..=45).map(|queue| enqueue(queue, &letter)).collect();
    group.push(settle(100));
    append(&core, group);
    assert_eq!(core.append_queue.pressure(), Pressure::None);
    commit(&core);
    let written = written(&core);
    assert!(written < 2 * len as u64 + 100_000, "{written} bytes written");
    let sizes: Vec<u64> =
        core.segments.all().iter().map(|(_, segment)| segment.file.size().unwrap()).collect();
    assert!(sizes.iter().all(|size| *size < len as u64 + 100_000), "{sizes:?}");
    disk.crash();
    db.crash();
    let (core, _) = open(&disk, &db, 2 << 20);
    check_all_there(&core, 1..=45, len);
    let wish = ReadWish {
        queue: QueueId(100),
        priority_level: 0,
        from: Seq(0),
        to: Seq(9),
        max_messages: 9,
        max_bytes: 9,
    };
    assert!(core.read_now(&wish).unwrap().is_empty());
}

#[test]
fn a_body_that_many_queues_share_is_moved_out_of_a_sparse_segment_once() {
    let (disk, db) = (SimDisk::new(6), SimDb::new(6));
    let (core, _) = open(&disk, &db, 1 << 30);
    let shared = message(20_000);
    append(&core, (1..=20).map(|queue| enqueue(queue, &shared)).collect());
    append(&core, vec![enqueue(100, &message(200_000))]);
    append(&core, vec![settle(100)]);
    // The next segment, so that the first is closed.
    append(&core, vec![enqueue(200, &message(200_000))]);
    commit(&core);
    let before = written(&core);
    for _ in 0..60 {
        core.checkpoint().unwrap();
        commit(&core);
    }
    assert!(core.segments.get(1).is_none(), "the first is empty and gone");
    let moved = written(&core) - before;
    assert!(moved < 40_000, "{moved} bytes written for 20,000");
    check_all_there(&core, 1..=20, 20_000);
}

#[test]
fn a_group_that_can_never_be_written_is_refused_at_once_and_stops_nobody() {
    let (disk, db) = (SimDisk::new(3), SimDb::new(3));
    let (core, _) = open(&disk, &db, 100_000);
    let mut large = vec![enqueue(1, &message(100_000)), settle(2)];
    let refused = core.append_queue.append(&mut large);
    assert!(matches!(refused, Err(NotAppended::TooLarge { max: 100_000, .. })), "{refused:?}");
    append(&core, vec![enqueue(3, &message(1000))]);
    commit(&core);
    check_all_there(&core, 3..=3, 1000);
    assert_eq!(core.append_queue.pressure(), Pressure::None);
}

#[test]
fn records_that_do_not_depend_on_each_other_are_written_in_several_steps() {
    let (disk, db) = (SimDisk::new(4), SimDb::new(4));
    let (core, _) = open(&disk, &db, 100_000);
    let mut many: Vec<Record> = (1..=40).map(|queue| enqueue(queue, &message(40_000))).collect();
    core.append_queue.append_cut(&mut many, 50_000).unwrap();
    commit(&core);
    check_all_there(&core, 1..=40, 40_000);
}

fn any_short() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![proptest::collection::vec(any::<u8>(), 0..=255), Just(vec![1; 255])]
}

proptest! {
    #[test]
    fn whatever_is_a_message_is_written_and_read_as_it_was(
        exchange in any_short(),
        key in any_short(),
        properties in proptest::collection::vec(any::<u8>(), 0..3000),
        body_len in prop_oneof![0usize..300, Just(40_000)],
        expires in any::<Option<u64>>(),
        priority_level in any::<u8>(),
        meta in (any::<bool>(), any::<Option<u8>>(), any::<Option<u64>>(), any::<bool>(), any::<bool>()),
    ) {
        let (disk, db) = (SimDisk::new(5), SimDb::new(5));
        let (core, _) = open(&disk, &db, 1 << 20);
        let (persistent, priority, expiration_ms, died, redelivered) = meta;
        let meta = MessageMeta { persistent, priority, expiration_ms, died, redelivered };
        let names = (Short::new(&exchange).unwrap(), Short::new(&key).unwrap());
        let given = Message::new(names.0, names.1, &properties, &vec![9; body_len], meta);
        append(&core, vec![Record::Enqueue {
            queue: QueueId(1),
            seq: Seq(1),
            message: given.clone(),
            priority_level,
            expires: expires.map(Millis),
            transient: false,
            sole: true,
        }]);
        commit(&core);
        disk.crash();
        let (core, _) = open(&disk, &db, 1 << 20);
        let wish = ReadWish {
            queue: QueueId(1), priority_level, from: Seq(0), to: Seq(9), max_messages: 9, max_bytes: 9,
        };
        let found = core.read_now(&wish).unwrap();
        prop_assert_eq!(found.len(), 1);
        prop_assert_eq!(found[0].expires, expires.map(Millis));
        let read = found[0].message.as_ref().unwrap();
        prop_assert_eq!(read.exchange(), &exchange);
        prop_assert_eq!(read.routing_key(), &key);
        prop_assert_eq!(read.properties(), &properties);
        prop_assert_eq!(read.body(), given.body());
        prop_assert_eq!(read.meta(), meta);
    }
}
