//! Space follows live data: random work with compaction under way, then everything is settled.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;
use leveret_message::stored::SettleReason;

use super::core::Core;
use super::crash_test::open;
use super::segments::segment_name;
use crate::sim::{Rng, SimDb, SimDisk};
use crate::{Pressure, Record};

const QUEUE: QueueId = QueueId(1);

/// More checkpoints than any chain of segments waiting for each other takes.
const SETTLED: usize = 400;

fn settle(seq: u64) -> Record {
    Record::Settle { queue: QUEUE, first: Seq(seq), count: 1, reason: SettleReason::Acked }
}

fn run(seed: u64) {
    let (disk, db) = (SimDisk::new(seed), SimDb::new(seed));
    let (core, _) = open(&disk, &db).unwrap();
    let mut rng = Rng::new(seed);
    let (mut live, mut next) = (BTreeSet::new(), 1);
    let mut now = Duration::ZERO;
    for _ in 0..3000 {
        let mut records = Vec::new();
        match rng.below(20) {
            0..=6 => {
                for _ in 0..=rng.below(8) {
                    let body = vec![7; usize::try_from(rng.below(400)).unwrap()];
                    let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
                    let message = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", &body, meta);
                    let seq = Seq(next);
                    records.push(Record::Enqueue {
                        queue: QUEUE,
                        seq,
                        message,
                        priority_level: 0,
                        expires: None,
                        transient: false,
                        sole: false,
                    });
                    live.insert(next);
                    next += 1;
                }
            }
            7..=10 => {
                for _ in 0..rng.below(16) {
                    records.extend(live.pop_first().map(settle));
                }
            }
            // Out of order, so that segments become sparse.
            11 => {
                let from = rng.below(next);
                let taken: Vec<u64> = live.range(from..).take(20).copied().collect();
                for seq in taken {
                    live.remove(&seq);
                    records.push(settle(seq));
                }
            }
            12..=15 => {
                now += Duration::from_millis(rng.below(60));
                core.commit(now);
            }
            _ => core.checkpoint().unwrap(),
        }
        if !records.is_empty() {
            core.append_queue.append(&mut records).unwrap();
        }
    }
    let mut rest = live.into_iter().map(settle).collect();
    core.append_queue.append(&mut rest).unwrap();
    for _ in 0..SETTLED {
        now += Duration::from_millis(200);
        core.commit(now);
        core.checkpoint().unwrap();
    }
    let left: Vec<_> = core.segments.numbers().into_iter().map(segment_name).collect();
    assert!(left.len() <= 1, "seed {seed}: nothing is live, and there are still {left:?}");
}

#[test]
fn a_log_of_which_all_is_settled_is_one_segment() {
    for seed in 0..40 {
        run(seed);
    }
}

fn enqueue(seq: u64) -> Record {
    let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
    let message = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", &[7; 400], meta);
    let (queue, seq) = (QUEUE, Seq(seq));
    Record::Enqueue { queue, seq, message, priority_level: 0, expires: None, transient: false, sole: false }
}

/// Appends one message and does what the threads would do meanwhile; returns whether publishers are held up
/// afterwards.
fn publish(core: &Core, seq: u64, now: &mut Duration) -> bool {
    core.append_queue.append(&mut vec![enqueue(seq)]).unwrap();
    upkeep(core, now);
    core.append_queue.pressure() != Pressure::None
}

fn upkeep(core: &Core, now: &mut Duration) {
    *now += Duration::from_millis(100);
    core.commit(*now);
    core.checkpoint().unwrap();
}

/// Segments that fit on the disk.
const DISK: u64 = 12;

/// And the log's other files, in bytes.
const NOTES: u64 = 68 << 10;

fn full_disk() -> (Core, SimDisk) {
    let (disk, db) = (SimDisk::new(1), SimDb::new(1));
    let (core, _) = open(&disk, &db).unwrap();
    disk.set_space(NOTES + DISK * u64::from(core.options.segment_bytes));
    (core, disk)
}

#[test]
fn a_full_disk_of_which_a_quarter_is_live_is_emptied_so_that_publishers_go_on() {
    let (core, _disk) = full_disk();
    let (mut now, mut live_bytes) = (Duration::ZERO, 0);
    // One of three messages stays for good, until there is no more room for that.
    for seq in 1.. {
        let mut waited = 0;
        while core.append_queue.pressure() != Pressure::None && waited < SETTLED {
            upkeep(&core, &mut now);
            waited += 1;
        }
        if core.append_queue.pressure() != Pressure::None {
            break;
        }
        publish(&core, seq, &mut now);
        if seq % 3 > 0 {
            core.append_queue.append(&mut vec![settle(seq)]).unwrap();
        } else {
            live_bytes += 400;
        }
    }
    let disk = DISK * u64::from(core.options.segment_bytes);
    assert!(live_bytes > disk / 4, "publishers wait for ever, with {live_bytes} bytes live of {disk}");
}

#[test]
fn so_is_one_that_was_filled_before_the_keeper_came() {
    let (core, _disk) = full_disk();
    let mut now = Duration::ZERO;
    upkeep(&core, &mut now);
    for seq in 1.. {
        core.append_queue.append(&mut vec![enqueue(seq)]).unwrap();
        if seq % 3 > 0 {
            core.append_queue.append(&mut vec![settle(seq)]).unwrap();
        }
        core.commit(now);
        if core.append_queue.pressure() != Pressure::None {
            break;
        }
    }
    for _ in 0..SETTLED {
        upkeep(&core, &mut now);
    }
    assert_eq!(core.append_queue.pressure(), Pressure::None);
}

#[test]
fn what_consumers_settle_frees_a_full_disk() {
    let (core, _disk) = full_disk();
    let (mut now, mut last) = (Duration::ZERO, 0);
    while !publish(&core, last + 1, &mut now) {
        last += 1;
    }
    // What was in flight.
    for _ in 0..10 {
        last += 1;
        publish(&core, last + 1, &mut now);
    }
    for _ in 0..SETTLED {
        upkeep(&core, &mut now);
    }
    assert_ne!(core.append_queue.pressure(), Pressure::None, "all is live");
    for seq in 1..=last / 2 {
        core.append_queue.append(&mut vec![settle(seq)]).unwrap();
    }
    for _ in 0..SETTLED {
        upkeep(&core, &mut now);
    }
    assert_eq!(core.append_queue.pressure(), Pressure::None);
}

#[test]
fn while_the_disk_is_low_on_room_half_live_segments_are_emptied_and_no_spares_are_kept() {
    let (core, disk) = full_disk();
    let mut now = Duration::ZERO;
    for seq in 1..=200 {
        publish(&core, seq, &mut now);
        if seq % 2 == 0 {
            core.append_queue.append(&mut vec![settle(seq)]).unwrap();
        }
    }
    let segment = u64::from(core.options.segment_bytes);
    let files = || disk.used() / segment;
    for _ in 0..SETTLED {
        upkeep(&core, &mut now);
    }
    let before = files();
    core.save_space.store(true, Ordering::Relaxed);
    for _ in 0..SETTLED {
        upkeep(&core, &mut now);
    }
    assert!(files() + 2 <= before, "{before} segments' room was taken, now {}", files());
}
