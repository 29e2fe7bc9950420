//! Inspects a log without changing it: its content by queue, and what is damaged.
//!
//! Invariants: nothing is written; the index is not opened, so the report is what the log alone says. Absent: sled,
//! repair.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use leveret_message::ids::QueueId;

use super::StoreError;
use super::head::{SegmentHead, read_head, seal_1};
use super::recover::{Over, check_note};
use super::segments::log_file;
use super::segments::{Segment, segment_name, segment_number};
use super::synced::Noted;
use super::walk::{Tail, Walk};
use crate::disk::{Disk, RealDisk};
use crate::finding::Finding;
use crate::index::Event;

/// One segment file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SegmentReport {
    /// Its name in `log/`.
    pub file: String,
    /// Its length in bytes.
    pub file_bytes: u64,
    /// Bytes up to the end of the last whole group.
    pub used_bytes: u64,
    /// Records in whole groups, not counting transient messages.
    pub records: u64,
}

/// One queue, from the log alone.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueReport {
    /// Live persistent messages.
    pub messages: u64,
    /// Their body bytes.
    pub bytes: u64,
    /// The highest sequence number found.
    pub last_seq: u64,
}

/// The content of a data folder's log.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// All segments, oldest first.
    pub segments: Vec<SegmentReport>,
    /// Queues with live messages or settled sequence numbers.
    pub queues: BTreeMap<QueueId, QueueReport>,
    /// Damage found.
    pub findings: Vec<Finding>,
}

/// Reads the whole log in the data folder `dir`. Takes as long as reading it twice.
pub fn inspect(dir: &Path) -> Result<Report, StoreError> {
    let path = dir.join("log");
    let mut report = Report::default();
    if !path.is_dir() {
        return Ok(report);
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&path)?);
    let mut numbers: Vec<u32> = disk.list()?.iter().filter_map(|n| segment_number(n)).collect();
    numbers.sort_unstable();
    let newest = numbers.last().copied();
    let noted = Noted::read(&*disk)?;
    let tail = |number, segment: &Segment| match noted.of(number, segment.seal) {
        Some(synced) if newest == Some(number) => Tail::Keep(synced),
        _ => Tail::Closed,
    };
    let mut over = Over::default();
    let mut segments = Vec::new();
    for &number in &numbers {
        segments.push((number, opened(&*disk, number, &mut report.findings)?));
    }
    report.findings.extend(check_note(noted, &segments));
    for (number, segment) in &segments {
        let number = *number;
        let mut walk = Walk::new(segment, number, 0, tail(number, segment))?;
        let mut records = 0;
        while let Some(group) = walk.next_group(&mut report.findings)? {
            records += group.len() as u64;
            for event in &group {
                over.note(event);
            }
        }
        report.segments.push(SegmentReport {
            file: segment_name(number),
            file_bytes: segment.file.size()?,
            used_bytes: u64::from(walk.end().offset),
            records,
        });
    }
    let mut live = BTreeMap::new();
    for (number, segment) in &segments {
        let mut walk = Walk::new(segment, *number, 0, tail(*number, segment))?;
        while let Some(group) = walk.next_group(&mut Vec::new())? {
            for event in group {
                note(&mut report, &mut live, &over, &event);
            }
        }
    }
    for ((queue, _), bytes) in live {
        let queue = report.queues.entry(queue).or_default();
        queue.messages += 1;
        queue.bytes += bytes;
    }
    Ok(report)
}

/// A segment to be walked; a damaged head is a finding.
fn opened(disk: &dyn Disk, number: u32, findings: &mut Vec<Finding>) -> Result<Segment, StoreError> {
    let file = disk.open(&segment_name(number))?;
    let seal = match read_head(&*file)? {
        SegmentHead::Number(found, seal) if found == number => seal,
        SegmentHead::OtherVersion(found) => {
            let file = segment_name(number);
            return Err(StoreError::Version { file, found });
        }
        _ => {
            findings.push(Finding {
                file: log_file(number),
                offset: Some(0),
                queue: None,
                count: 0,
                what: "the segment's head is damaged".into(),
            });
            // The records of version 1 can be recognised without it.
            seal_1(number)
        }
    };
    Ok(Segment { file, seal, used: None })
}

/// Body lengths of live messages by queue and sequence number; a copy counts once.
type LiveBytes = BTreeMap<(QueueId, u64), u64>;

fn note(report: &mut Report, live: &mut LiveBytes, over: &Over, event: &Event) {
    let (queue, seq) = match event {
        Event::Enqueue { queue, entry, .. } | Event::Moved { queue, entry, .. } => {
            if !over.has(*queue, entry.seq) {
                live.insert((*queue, entry.seq), u64::from(entry.body_len));
            }
            (*queue, entry.seq)
        }
        Event::Settle { queue, first, count, .. } => {
            (*queue, first.0.saturating_add(*count).saturating_sub(1))
        }
        Event::Delivered { queue, upto } | Event::Purge { queue, upto, .. } => (*queue, upto.0),
        _ => return,
    };
    if !over.gone.contains(&queue.0) {
        let report = report.queues.entry(queue).or_default();
        report.last_seq = report.last_seq.max(seq);
    }
}
