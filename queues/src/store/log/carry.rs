//! Appends what is still needed of a dead segment's settle records again, a piece at a time.
//!
//! Invariants: exactly what the records settle is carried, as few long runs instead of many short
//! ones; a piece has a bounded number of runs, however many records the segment holds.
//! Absent: which segments need it, and when.

use std::collections::BTreeMap;
use std::io;

use super::core::Core;
use super::format::Payload;
use super::intake::Extra;
use super::scan::{Scanned, Scanner};
use crate::ids::{QueueId, Seq};
use crate::store::{Pressure, Record, SettleReason};

/// How far a segment's settle records are appended again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// From this offset on they are not.
    From(u32),
    /// All are.
    Done,
}

/// Appends the next piece of the settle records of `number`, as the index's loss would otherwise
/// bring back what they settled in the segments `about`.
pub(crate) fn carry(core: &Core, number: u32, about: &[u32], progress: Progress) -> io::Result<Progress> {
    let Progress::From(start) = progress else {
        return Ok(progress);
    };
    if core.intake.pressure() != Pressure::None {
        return Ok(progress);
    }
    let Some(segment) = core.segments.get(number) else {
        return Ok(Progress::Done);
    };
    let mut scanner = Scanner::new(&*segment.file, number)?;
    scanner.seek(start);
    let mut runs = Runs::default();
    let mut whole = true;
    while let Some(found) = scanner.next_record()? {
        match found {
            Scanned::Record { payload, .. } => runs.add(payload),
            Scanned::Bad { .. } => {
                if !scanner.skip_damage()? {
                    break;
                }
            }
        }
        if runs.len() >= core.options.carry_runs {
            whole = false;
            break;
        }
    }
    let mut records = runs.into_records();
    {
        let index = core.index.lock();
        records.retain(|record| index.knows(record.queue()));
    }
    core.intake.extras([Extra::Carry { records, from: number, about: about.to_vec(), whole }]);
    Ok(if whole { Progress::Done } else { Progress::From(scanner.offset()) })
}

/// What settle records say together. Consumers of one queue take turns, so that each one's
/// acknowledgements leave gaps which another's fill.
#[derive(Default)]
struct Runs {
    /// Of each queue: first place of a run to the one after its last. Runs neither overlap nor touch.
    settled: BTreeMap<QueueId, BTreeMap<u64, u64>>,
    purges: Vec<Record>,
    len: usize,
}

impl Runs {
    fn add(&mut self, payload: Payload) {
        match payload {
            Payload::Settle { queue, first, count, .. } => {
                self.settle(queue, first.0, first.0.saturating_add(count));
            }
            Payload::Purge { queue, upto, kept } => {
                self.len += 1 + kept.len();
                self.purges.push(Record::Purge { queue, upto, kept });
            }
            _ => {}
        }
    }

    fn settle(&mut self, queue: QueueId, mut first: u64, mut end: u64) {
        if first == end {
            return;
        }
        let runs = self.settled.entry(queue).or_default();
        while let Some((&from, &to)) = runs.range(..=end).next_back()
            && to >= first
        {
            runs.remove(&from);
            self.len -= 1;
            first = first.min(from);
            end = end.max(to);
        }
        runs.insert(first, end);
        self.len += 1;
    }

    /// What they take of memory and log, in records.
    fn len(&self) -> usize {
        self.len
    }

    fn into_records(self) -> Vec<Record> {
        let mut records = self.purges;
        for (queue, runs) in self.settled {
            // Which of the reasons it was is not asked of the log.
            let reason = SettleReason::Acked;
            records.extend(runs.into_iter().map(|(first, end)| Record::Settle {
                queue,
                first: Seq(first),
                count: end - first,
                reason,
            }));
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn payload((queue, first, count): (u64, u64, u64)) -> Payload {
        let queue = QueueId(queue);
        Payload::Settle { queue, first: Seq(first), count, reason: SettleReason::Expired }
    }

    fn covered(records: &[Record]) -> Vec<(u64, u64)> {
        let places = |record: &Record| match record {
            Record::Settle { queue, first, count, .. } => {
                (first.0..first.0 + count).map(|seq| (queue.0, seq)).collect()
            }
            _ => Vec::new(),
        };
        records.iter().flat_map(places).collect()
    }

    #[test]
    fn two_consumers_that_take_turns_leave_one_run() {
        let mut runs = Runs::default();
        for block in (0..100_000).step_by(200) {
            for start in [block, block + 1] {
                for seq in (start..block + 200).step_by(2) {
                    runs.add(payload((1, seq, 1)));
                    assert!(runs.len() <= 101);
                }
            }
        }
        let records = runs.into_records();
        assert!(
            matches!(records[..], [Record::Settle { queue: QueueId(1), first: Seq(0), count: 100_000, .. }]),
            "{records:?}"
        );
    }

    proptest! {
        #[test]
        fn exactly_what_was_settled_is_carried_and_in_the_fewest_runs(
            settles in proptest::collection::vec((1u64..3, 0u64..60, 0u64..8), 0..60),
        ) {
            let mut runs = Runs::default();
            let mut model = BTreeSet::new();
            for (queue, first, count) in settles {
                runs.add(payload((queue, first, count)));
                model.extend((first..first + count).map(|seq| (queue, seq)));
            }
            let fewest = model.iter().filter(|(queue, seq)| *seq == 0 || !model.contains(&(*queue, seq - 1))).count();
            prop_assert_eq!(runs.len(), fewest);
            let records = runs.into_records();
            prop_assert_eq!(records.len(), fewest);
            prop_assert_eq!(covered(&records), model.into_iter().collect::<Vec<_>>());
        }
    }
}
