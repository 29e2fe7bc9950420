//! Opening a log: replay from the index's checkpoint, or a rebuild of the index from all of it.
//!
//! Invariants: a group that is not whole at the log's end is cut off with everything after it; a damaged record
//! elsewhere costs only itself, and is reported; nothing here panics on any bytes. Replay is idempotent, since the
//! index may be ahead of its checkpoint.
//! Absent: opening or moving aside the database (the caller does).

use std::io;
use std::sync::Arc;

use leveret_message::ids::{QueueId, Seq};
use rustc_hash::{FxHashMap, FxHashSet};

use super::misnamed::{Restored, restore_names};
use super::segments::{Segment, Segments, Unusable, Why, log_file, segment_name};
use super::served::Seen;
use super::synced::{Noted, SYNCED_NAME};
use super::walk::{Tail, Walk};
use crate::disk::Disk;
use crate::finding::Finding;
use crate::index::{Db, DbError, Event, Index};
use crate::place::Place;
use crate::settled::Settled;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RecoverError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("{0}")]
    Db(#[from] DbError),
    #[error("{0} was written by another version of the format ({1})")]
    Version(String, u32),
}

/// Entries between saves while the index is rebuilt.
const REBUILD_STEP: usize = 50_000;

/// Opens the segment files, and sets aside those that are invalid.
pub(crate) fn open_segments(
    disk: Arc<dyn Disk>,
    segment_bytes: u32,
    findings: &mut Vec<Finding>,
) -> Result<Segments, RecoverError> {
    for Restored { number, old_name } in restore_names(&*disk)? {
        let what = format!("it had the name {old_name}; renamed by its head");
        findings.push(Finding { file: log_file(number), offset: None, queue: None, count: 0, what });
    }
    let (segments, unusable) = Segments::open(disk, segment_bytes)?;
    for bad in unusable {
        let what = match bad.why {
            Why::OtherVersion(version) => return Err(RecoverError::Version(bad.name, version)),
            // It was being created when the power failed: nothing in it was ever relied on.
            Why::Unfinished => {
                segments.disk().remove(&bad.name)?;
                continue;
            }
            Why::Damaged if segments.adopt(&bad)? => {
                "the segment's head is damaged; its records are used".to_owned()
            }
            Why::Damaged => format!("the segment's head is damaged; {}", put_aside(&segments, &bad)?),
            Why::Another(number) => {
                format!("its head is that of {}; {}", segment_name(number), put_aside(&segments, &bad)?)
            }
        };
        findings.push(Finding { file: log_file(bad.number), offset: Some(0), queue: None, count: 0, what });
    }
    findings.extend(check_note(segments.noted(), &segments.all()));
    segments.disk().sync_dir()?;
    for (number, segment) in segments.all() {
        let size = segment.file.size()?;
        segments.set_used(number, u32::try_from(size).unwrap_or(u32::MAX));
    }
    Ok(segments)
}

/// Sets aside a file whose records cannot be distinguished from other bytes. Returns what was done.
fn put_aside(segments: &Segments, bad: &Unusable) -> io::Result<String> {
    let aside = format!("{}.damaged", bad.name);
    segments.disk().rename(&bad.name, &aside)?;
    Ok(format!("nothing in it can be read; moved aside as {aside}"))
}

/// Brings `index` up to the log's end and saves it; an empty one by reading the whole log.
pub(crate) fn recover(
    segments: &Segments,
    db: &dyn Db,
    index: &mut Index,
    cached_chunks: usize,
    findings: &mut Vec<Finding>,
) -> Result<(), RecoverError> {
    if let Some(place) = index.load()? {
        segments.raise_next(place.segment);
        missing_segments(segments, index, findings);
        replay(segments, index, place, findings)?;
    } else {
        db.clear()?;
        let found = segments.numbers().len();
        if found > 0 {
            tracing::warn!("data folder: index: missing or empty; rebuilt from {found} segments of the log");
        }
        rebuild(segments, db, index, cached_chunks, findings)?;
        index.assume_delivered(|_| true);
    }
    match Seen::read(segments.disk())? {
        Seen::Marked => {}
        Seen::Of(queues) => index.assume_delivered(|id| queues.contains(&id)),
        Seen::All => index.assume_delivered(|_| true),
    }
    for finding in findings.iter_mut() {
        // The rest of a damaged record may name a queue that never existed.
        finding.queue = finding.queue.filter(|queue| index.knows(*queue));
    }
    let end = index.folded();
    let saved = index.save(end, true)?;
    db.apply(&saved.changes)?;
    db.sync()?;
    index.evict(cached_chunks);
    Ok(())
}

/// A finding if the note names a synced segment that is missing, or is itself missing or damaged.
pub(crate) fn check_note(noted: Noted, segments: &[(u32, Segment)]) -> Option<Finding> {
    let newest = segments.last().map_or(0, |(number, _)| *number);
    let told = |file, offset, what: &str| {
        Some(Finding { file, offset, queue: None, count: 0, what: what.to_owned() })
    };
    match noted {
        Noted::Upto(place) if place.segment > newest && place.offset > 0 => {
            let what = "the file is missing, and had been synced up to here; what was in it is lost";
            told(log_file(place.segment), Some(u64::from(place.offset)), what)
        }
        // Before version 2 there was no note.
        Noted::Missing | Noted::Damaged if segments.iter().any(|(_, s)| s.seal.salted) => {
            let what = "missing or damaged: what was last synced cannot be told from a torn end";
            told(format!("log/{SYNCED_NAME}"), None, what)
        }
        _ => None,
    }
}

fn missing_segments(segments: &Segments, index: &Index, findings: &mut Vec<Finding>) {
    for (number, live) in index.live() {
        if segments.get(*number).is_none() {
            findings.push(Finding {
                file: log_file(*number),
                offset: None,
                queue: None,
                count: live.count,
                what: format!("the file is missing, and {} messages with it", live.count),
            });
        }
    }
}

fn replay(
    segments: &Segments,
    index: &mut Index,
    from: Place,
    findings: &mut Vec<Finding>,
) -> Result<(), RecoverError> {
    let all = segments.all();
    let newest = all.last().map(|(number, _)| *number);
    let oldest = all.first().map_or(0, |(number, _)| *number);
    for found in all.iter().filter(|(n, _)| *n >= from.segment) {
        let (number, segment) = found;
        let start = if *number == from.segment { from.offset } else { 0 };
        let mut walk = Walk::new(segment, *number, start, tail_of(segments, found, newest))?;
        while let Some(mut group) = walk.next_group(findings)? {
            for event in &mut group {
                if let Event::Moved { since, .. } = event {
                    *since = oldest;
                }
            }
            index.fold(group)?;
        }
        // What was read may still be only in the system's memory.
        segment.file.sync_data()?;
        index.fold([Event::Upto(walk.end())])?;
    }
    Ok(())
}

fn tail_of(segments: &Segments, (number, segment): &(u32, Segment), newest: Option<u32>) -> Tail {
    match segments.noted().of(*number, segment.seal) {
        Some(synced) if newest == Some(*number) => Tail::Cut(synced),
        _ => Tail::Closed,
    }
}

/// Everything the log declares as finished, regardless of order.
#[derive(Default)]
pub(crate) struct Over {
    pub(crate) settled: FxHashMap<u64, Settled>,
    pub(crate) gone: FxHashSet<u64>,
}

impl Over {
    pub(crate) fn note(&mut self, event: &Event) {
        match event {
            Event::Settle { queue, first, count, .. } => {
                let last = first.0.saturating_add(*count).saturating_sub(1);
                self.settled.entry(queue.0).or_default().add(first.0, last);
            }
            Event::Purge { queue, upto, kept, .. } => {
                let settled = self.settled.entry(queue.0).or_default();
                let mut from = 0;
                for seq in kept.iter().filter(|seq| **seq <= *upto) {
                    if seq.0 > from {
                        settled.add(from, seq.0 - 1);
                    }
                    // Nothing follows the last possible number.
                    let Some(next) = seq.0.checked_add(1) else { return };
                    from = next;
                }
                settled.add(from, upto.0);
            }
            Event::Gone { queue } => {
                self.gone.insert(queue.0);
            }
            _ => {}
        }
    }

    pub(crate) fn has(&self, queue: QueueId, seq: u64) -> bool {
        self.gone.contains(&queue.0) || self.settled.get(&queue.0).is_some_and(|s| s.has(seq))
    }
}

/// Reads the whole log twice: first what is finished, then what is live.
fn rebuild(
    segments: &Segments,
    db: &dyn Db,
    index: &mut Index,
    cached_chunks: usize,
    findings: &mut Vec<Finding>,
) -> Result<(), RecoverError> {
    let all = segments.all();
    let newest = all.last().map(|(number, _)| *number);
    let mut over = Over::default();
    for found in &all {
        let (number, segment) = found;
        let mut walk = Walk::new(segment, *number, 0, tail_of(segments, found, newest))?;
        while let Some(group) = walk.next_group(findings)? {
            for event in &group {
                over.note(event);
            }
        }
    }
    let mut added = 0;
    for (number, segment) in &all {
        let mut walk = Walk::new(segment, *number, 0, Tail::Closed)?;
        while let Some(group) = walk.next_group(&mut Vec::new())? {
            for event in group {
                added += rebuild_from(index, &over, event)?;
            }
            if added >= REBUILD_STEP {
                added = 0;
                let saved = index.save(walk.end(), false)?;
                db.apply(&saved.changes)?;
                db.sync()?;
                index.evict(cached_chunks);
            }
        }
        segment.file.sync_data()?;
        index.assume_related(*number);
        index.fold([Event::Upto(walk.end())])?;
    }
    Ok(())
}

/// Folds in `event` if it is about something not finished; returns the number of entries added.
fn rebuild_from(index: &mut Index, over: &Over, event: Event) -> Result<usize, DbError> {
    let event = match event {
        Event::Enqueue { queue, priority_level, transient, entry }
        | Event::Moved { queue, priority_level, transient, entry, .. } => {
            if over.has(queue, entry.seq) {
                // Its sequence number must not be assigned again.
                Event::Delivered { queue, upto: Seq(entry.seq) }
            } else {
                Event::Enqueue { queue, priority_level, transient, entry }
            }
        }
        Event::Gone { .. } => return Ok(0),
        Event::Settle { queue, first, count, .. } => {
            Event::Delivered { queue, upto: Seq(first.0.saturating_add(count).saturating_sub(1)) }
        }
        Event::Purge { queue, upto, .. } => Event::Delivered { queue, upto },
        other => other,
    };
    let queue = match &event {
        Event::Enqueue { queue, .. } | Event::Delivered { queue, .. } | Event::Returned { queue, .. } => {
            *queue
        }
        _ => return Ok(0),
    };
    if over.gone.contains(&queue.0) {
        return Ok(0);
    }
    let added = usize::from(matches!(event, Event::Enqueue { .. }));
    index.fold([event])?;
    Ok(added)
}
