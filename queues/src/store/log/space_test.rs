//! Space follows what is live: random work with compaction under way, then everything is settled.

use std::collections::BTreeSet;
use std::time::Duration;

use super::crash_test::open;
use super::segments::segment_name;
use crate::ids::{QueueId, Seq};
use crate::message::{Message, MessageMeta};
use crate::store::sim::{Rng, SimDb, SimDisk};
use crate::store::{Record, SettleReason};

const QUEUE: QueueId = QueueId(1);

/// More checkpoints than any chain of segments that wait for each other takes.
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
                    let message = Message::new("", "q", b"\0\0", &body, meta);
                    let seq = Seq(next);
                    records.push(Record::Enqueue {
                        queue: QUEUE,
                        seq,
                        message,
                        lane: 0,
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
            core.intake.append(&mut records).unwrap();
        }
    }
    let mut rest = live.into_iter().map(settle).collect();
    core.intake.append(&mut rest).unwrap();
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
