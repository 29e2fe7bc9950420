//! Appends the still needed settle records of a dead segment again, one piece at a time.
//!
//! Invariants: exactly what the records settle is carried, as few long runs instead of many short ones; a piece has a
//! bounded number of runs, however many records the segment holds.
//! Absent: which segments need it, and when.

use std::collections::BTreeMap;
use std::io;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::stored::SettleReason;

use super::append_queue::Extra;
use super::core::Core;
use super::format::Payload;
use super::scan::{Scanned, Scanner};
use super::segments::log_file;
use crate::Record;
use crate::settled::Settled;

/// Progress of appending a segment's settle records again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// From this offset on it is still to be done.
    From(u32),
    /// All are done.
    Done,
}

/// Appends the next piece of the settle records of `number`; without them, loss of the index would bring back what
/// they settled in the segments `about`.
pub(crate) fn reappend_settles(
    core: &Core,
    number: u32,
    about: &[u32],
    progress: Progress,
) -> io::Result<Progress> {
    let Progress::From(start) = progress else {
        return Ok(progress);
    };
    if core.upkeep_room().is_none() {
        return Ok(progress);
    }
    let Some(segment) = core.segments.get(number) else {
        return Ok(Progress::Done);
    };
    let mut scanner = Scanner::new(&*segment.file, segment.seal)?;
    scanner.seek(start);
    let mut runs = Runs::default();
    let mut whole = true;
    while let Some(found) = scanner.next_record()? {
        match found {
            Scanned::Record { payload, .. } => runs.add(payload),
            Scanned::Bad { offset } => {
                // Segments of version 1 have no end mark: what follows their last record is no damage.
                if segment.seal.salted {
                    core.metrics.damaged.add(1);
                    let file = log_file(number);
                    tracing::error!(
                        file,
                        offset,
                        "a damaged record among acknowledgements that are still needed: should the index be lost, what it \
                         settled comes back"
                    );
                }
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
    core.append_queue.extras([Extra::Carry { records, from: number, about: about.to_vec(), whole }]);
    Ok(if whole { Progress::Done } else { Progress::From(scanner.offset()) })
}

/// The union of settle records. Consumers of one queue take turns, so that each one's acknowledgements leave gaps
/// which another's fill.
#[derive(Default)]
struct Runs {
    settled: BTreeMap<QueueId, Settled>,
    purges: Vec<Record>,
    len: usize,
}

impl Runs {
    fn add(&mut self, payload: Payload) {
        match payload {
            Payload::Settle { queue, first, count: count @ 1.., .. } => {
                let settled = self.settled.entry(queue).or_default();
                let before = settled.len();
                settled.add(first.0, first.0.saturating_add(count - 1));
                self.len = self.len - before + settled.len();
            }
            Payload::Purge { queue, upto, kept } => {
                self.len += 1 + kept.len();
                self.purges.push(Record::Purge { queue, upto, kept });
            }
            _ => {}
        }
    }

    /// Their cost in memory and log, in records.
    fn len(&self) -> usize {
        self.len
    }

    fn into_records(self) -> Vec<Record> {
        let mut records = self.purges;
        for (queue, settled) in &self.settled {
            // The log is not asked which of the reasons it was.
            let reason = SettleReason::Acked;
            records.extend(settled.runs().map(|(first, last)| Record::Settle {
                queue: *queue,
                first: Seq(first),
                count: last - first + 1,
                reason,
            }));
        }
        records
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_queues_records_become_runs_and_are_counted_as_such() {
        let mut runs = Runs::default();
        let settle = |queue, first, count| Payload::Settle {
            queue: QueueId(queue),
            first: Seq(first),
            count,
            reason: SettleReason::Expired,
        };
        for (queue, first, count) in [(1, 5, 1), (1, 7, 2), (2, 6, 1), (1, 6, 1), (1, 9, 0)] {
            runs.add(settle(queue, first, count));
        }
        assert_eq!(runs.len(), 2);
        let kept = vec![Seq(3), Seq(4)];
        runs.add(Payload::Purge { queue: QueueId(3), upto: Seq(9), kept: kept.clone() });
        assert_eq!(runs.len(), 5);
        let records = runs.into_records();
        let told: Vec<_> = records
            .iter()
            .map(|record| match record {
                Record::Settle { queue, first, count, .. } => (queue.0, first.0, *count),
                Record::Purge { queue, upto, kept } => (queue.0, upto.0, kept.len() as u64),
                other => panic!("{other:?}"),
            })
            .collect();
        assert_eq!(told, [(3, 9, 2), (1, 5, 4), (2, 6, 1)]);
    }
}
