//! A disk that does not answer, or answers wrongly once, does no harm to messages.

use std::time::Duration;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;
use leveret_message::stored::SettleReason;

use super::crash_test::open;
use super::read::ReadFailed;
use crate::sim::{Faults, SimDb, SimDisk};
use crate::{ReadWish, Record, Unread};

const QUEUE: QueueId = QueueId(1);

fn append(core: &super::Core, seqs: std::ops::RangeInclusive<u64>) {
    for seq in seqs {
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        let body = vec![u8::try_from(seq % 251).unwrap(); 700];
        core.append_queue
            .append(&mut vec![Record::Enqueue {
                queue: QUEUE,
                seq: Seq(seq),
                message: Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", &body, meta),
                priority_level: 0,
                expires: None,
                transient: false,
                sole: true,
            }])
            .unwrap();
    }
    for _ in 0..50 {
        core.commit(Duration::from_secs(1));
    }
}

fn wish(from: u64) -> ReadWish {
    ReadWish {
        queue: QUEUE,
        priority_level: 0,
        from: Seq(from),
        to: Seq(u64::MAX),
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
    }
}

#[test]
fn a_read_that_fails_answers_what_it_has_or_says_so_and_damages_nothing() {
    for seed in 0..200 {
        let (disk, db) = (SimDisk::new(seed), SimDb::new(seed));
        let (core, _) = open(&disk, &db).unwrap();
        append(&core, 1..=60);
        disk.set_faults(Faults { read: 2, ..Faults::default() });
        let (mut next, mut tries) = (1, 0);
        while next <= 60 {
            tries += 1;
            assert!(tries < 10_000, "seed {seed}: stuck at {next}");
            match core.read_now(&wish(next)) {
                Ok(found) => {
                    for stored in found {
                        assert_eq!(stored.seq, Seq(next), "seed {seed}: in order, and none is left out");
                        assert!(stored.message.is_ok(), "seed {seed}: {:?}", stored.message);
                        next += 1;
                    }
                }
                Err(ReadFailed::Disk(why)) => {
                    assert!(why.contains("0000000001.seg") || why.contains(".seg"), "{why}");
                    assert!(why.contains("offset") && why.contains(&format!("place {next} of")), "{why}");
                }
                Err(other) => panic!("seed {seed}: {other:?}"),
            }
        }
        assert_eq!(core.metrics.damaged.get(), 0);
    }
}

#[test]
fn an_answer_that_is_wrong_once_is_asked_for_again_and_wrong_always_is_damage() {
    let (disk, db) = (SimDisk::new(1), SimDb::new(1));
    let (core, _) = open(&disk, &db).unwrap();
    append(&core, 1..=1);
    let before = disk.reads();
    core.read_now(&wish(1)).unwrap();
    assert_eq!(disk.reads(), before + 1, "a good answer is asked for once");
    for wrong in 1..=2 {
        disk.garble_reads(wrong);
        assert!(core.read_now(&wish(1)).unwrap()[0].message.is_ok(), "wrong {wrong} times");
    }
    assert_eq!(core.metrics.damaged.get(), 0);
    disk.garble_reads(u64::MAX);
    let found = core.read_now(&wish(1)).unwrap();
    let why = found[0].message.as_ref().unwrap_err();
    assert!(why.contains(".seg of the message log, offset") && why.contains("place 1 of"), "{why}");
    assert_eq!(core.metrics.damaged.get(), 1);
    disk.garble_reads(0);
    assert!(core.read_now(&wish(1)).unwrap()[0].message.is_ok(), "nothing was settled for it");
}

#[test]
fn a_disk_that_does_not_answer_is_later_and_a_damaged_index_is_the_end() {
    let (disk, db) = (SimDisk::new(2), SimDb::new(2));
    let (core, _) = open(&disk, &db).unwrap();
    let later = core.unread(ReadFailed::Disk("x".into()));
    assert_eq!(later, Unread::Later("x".into()));
    let later = core.unread(ReadFailed::Db(crate::index::DbError::io("x")));
    assert!(matches!(later, Unread::Later(_)) && !core.append_queue.is_broken());
    let broken = core.unread(ReadFailed::Db(crate::index::DbError::damaged("x")));
    assert!(broken == Unread::Broken && core.append_queue.is_broken());
}

#[test]
fn compaction_and_carrying_over_a_disk_that_does_not_answer_lose_nothing_and_end_when_it_does() {
    for seed in 0..20 {
        let (disk, db) = (SimDisk::new(seed), SimDb::new(seed));
        let (core, _) = open(&disk, &db).unwrap();
        append(&core, 1..=400);
        // Sparse segments, and settle records in others.
        let settles = (1..=400).filter(|seq| seq % 20 != 0);
        for seq in settles {
            let settle =
                Record::Settle { queue: QUEUE, first: Seq(seq), count: 1, reason: SettleReason::Acked };
            core.append_queue.append(&mut vec![settle]).unwrap();
        }
        let work = |rounds: u64| {
            for round in 0..rounds {
                core.commit(Duration::from_secs(round));
                core.checkpoint().unwrap();
            }
        };
        disk.set_faults(Faults { read: 2, ..Faults::default() });
        work(300);
        disk.set_faults(Faults::default());
        let seen: Vec<u64> = core.read_now(&wish(1)).unwrap().iter().map(|stored| stored.seq.0).collect();
        let wanted: Vec<u64> = (1..=400).filter(|seq| seq % 20 == 0).collect();
        assert_eq!(seen, wanted, "seed {seed}");
        work(600);
        let segments = core.segments.numbers().len();
        assert!(segments <= 6, "seed {seed}: {segments} segments for 20 messages");
    }
}
