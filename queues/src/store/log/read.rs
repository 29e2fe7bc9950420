//! Reads messages back: where they lie from the index, their bytes in long sequential reads.
//!
//! Invariants: a message is handed out only if its record's CRC holds; damage is told with file,
//! offset, queue and place; what is not written yet is served from memory.
//! Absent: threads; the queue's view of what it wants.

use std::collections::BTreeMap;

use super::core::Core;
use super::format::{Kind, RECORD_HEAD, is_intact, parse_head, parse_message};
use super::intake::Extra;
use super::segments::segment_name;
use crate::ids::{QueueId, Seq};
use crate::message::Message;
use crate::store::index::{DbError, Entry, enough};
use crate::store::{ReadWish, Record, Standing, Stored};

/// Bytes read in one call, if messages lie that close together.
const SPAN: usize = 1 << 20;
/// A gap up to this long is read over.
const GAP: u32 = 16 << 10;

impl Core {
    /// Answers `wish` now.
    pub(crate) fn read_now(&self, wish: &ReadWish) -> Result<Vec<Stored>, DbError> {
        let (mut stored, missed) = self.read_written(wish)?;
        // A segment may be retired while it is read: its messages were moved or settled.
        if missed {
            stored = self.read_written(wish)?.0;
        }
        self.metrics.paged_reads.add(stored.len() as u64);
        Ok(stored)
    }

    /// Where messages stand, by the index alone.
    pub(crate) fn stands(&self, queue: QueueId, from: Seq, max: usize) -> Result<Vec<Standing>, DbError> {
        let mut index = self.index.lock();
        self.fold(&mut index)?;
        let entries = index.look_up(&ReadWish::standing(queue, from, max))?;
        Ok(entries.iter().map(|entry| Standing { seq: Seq(entry.seq), expires: entry.expires }).collect())
    }

    fn read_written(&self, wish: &ReadWish) -> Result<(Vec<Stored>, bool), DbError> {
        // Taken before the index is asked, so that nothing slips through between the two.
        let pending = self.pending_of(wish);
        let mut wish = *wish;
        loop {
            let mut entries = {
                let mut index = self.index.lock();
                self.fold(&mut index)?;
                index.look_up(&wish)?
            };
            let bytes: usize = entries.iter().map(|e| e.body_len as usize).sum();
            let full = entries.len() >= wish.max_messages || bytes > wish.max_bytes;
            let last = entries.last().map(|entry| entry.seq);
            let mut here = wish;
            if let (true, Some(last)) = (full, last) {
                here.to = Seq(last);
            }
            let mut young = BTreeMap::new();
            for record in &pending {
                apply_pending(record, &here, &mut entries, &mut young);
            }
            if let (true, true, true, Some(last)) = (full, entries.is_empty(), young.is_empty(), last) {
                wish.from = Seq(last + 1);
                continue;
            }
            let mut stored = self.read_entries(wish.queue, &entries);
            if stored.iter().any(|s| s.message.is_err()) {
                self.serve_from_memory(wish.queue, &mut stored);
            }
            let missed = stored.iter().any(|s| s.message.is_err());
            if !young.is_empty() {
                stored.extend(young.into_values());
                stored.sort_by_key(|s| s.seq);
                let len = |s: &Stored| s.message.as_ref().map_or(0, Message::body_len);
                stored.truncate(enough(&wish, stored.iter().map(len)));
            }
            return Ok((stored, missed));
        }
    }

    /// Records about what `wish` asks for that are not written yet, in order.
    fn pending_of(&self, wish: &ReadWish) -> Vec<Record> {
        let mut pending = Vec::new();
        let mut collect = |records: &[Record]| {
            let records = records.iter();
            pending.extend(records.filter(|record| concerns(record, wish)).cloned());
        };
        let inflight = self.inflight.lock();
        // What is written has been handed to the index.
        collect(inflight.unwritten());
        self.intake.peek(|waiting| collect(&waiting.records));
        pending
    }

    /// Fills in messages whose record is gone with a failed sync and about to be written again.
    fn serve_from_memory(&self, queue: QueueId, stored: &mut [Stored]) {
        let mut fill = |at: Seq, message: &Message| {
            for one in stored.iter_mut().filter(|one| one.seq == at) {
                if one.message.is_err() {
                    one.message = Ok(message.clone());
                }
            }
        };
        let inflight = self.inflight.lock();
        for record in &inflight.waiting.records {
            if let Record::Enqueue { seq, message, .. } = record
                && record.queue() == queue
            {
                fill(*seq, message);
            }
        }
        for extra in &inflight.waiting.extras {
            if let Extra::Moved { at, message, .. } = extra
                && at.queue == queue
            {
                fill(at.seq, message);
            }
        }
    }

    fn read_entries(&self, queue: QueueId, entries: &[Entry]) -> Vec<Stored> {
        let mut stored = Vec::with_capacity(entries.len());
        let mut rest = entries;
        while let Some(first) = rest.first() {
            let mut count = 1;
            let mut end = first.place.offset.saturating_add(first.len);
            for next in &rest[1..] {
                let next_end = next.place.offset.saturating_add(next.len);
                let near = next.place.segment == first.place.segment
                    && next.place.offset >= first.place.offset
                    && next.place.offset <= end.saturating_add(GAP)
                    && (next_end - first.place.offset) as usize <= SPAN;
                if !near {
                    break;
                }
                end = end.max(next_end);
                count += 1;
            }
            self.read_span(queue, &rest[..count], end, &mut stored);
            rest = &rest[count..];
        }
        stored
    }

    /// Reads entries of one segment that lie between the first one's place and `end`.
    fn read_span(&self, queue: QueueId, entries: &[Entry], end: u32, stored: &mut Vec<Stored>) {
        let start = entries[0].place.offset;
        let span = self.bytes_at(&entries[0], (end - start) as usize);
        let mut last: Option<(u32, Message)> = None;
        for entry in entries {
            let offset = entry.place.offset;
            let message = match (&last, &span) {
                (Some((at, message)), _) if *at == offset => Ok(message.clone()),
                (_, Ok(span)) => {
                    let from = (offset - start) as usize;
                    message_in(span.get(from..).unwrap_or(&[]), entry)
                }
                (_, Err(problem)) => Err(problem.clone()),
            };
            if let Ok(message) = &message {
                last = Some((offset, message.clone()));
                self.metrics.paged_read_bytes.add(u64::from(entry.len));
            } else {
                self.metrics.damaged.add(1);
            }
            stored.push(Stored {
                seq: Seq(entry.seq),
                message: message.map_err(|problem| {
                    format!(
                        "{} of the message log, offset {offset}: {problem}; lost is place {} of {queue}",
                        segment_name(entry.place.segment),
                        entry.seq,
                    )
                }),
                expires: entry.expires,
                delivery_count: entry.delivery_count,
            });
        }
    }

    fn bytes_at(&self, first: &Entry, len: usize) -> Result<Vec<u8>, String> {
        let Some(segment) = self.segments.get(first.place.segment) else {
            return Err("the file is missing".into());
        };
        let mut bytes = vec![0; len];
        let offset = u64::from(first.place.offset);
        let read = segment.file.read_at(&mut bytes, offset);
        bytes.truncate(read.map_err(|error| error.to_string())?);
        Ok(bytes)
    }
}

/// One message, or what is wrong with its record.
pub(crate) fn read_entry(core: &Core, entry: &Entry) -> Result<Message, String> {
    message_in(&core.bytes_at(entry, entry.len as usize)?, entry)
}

fn message_in(bytes: &[u8], entry: &Entry) -> Result<Message, String> {
    let head = parse_head(bytes, entry.place.segment).ok_or("no record of this segment")?;
    if !matches!(head.kind, Kind::Enqueue | Kind::Moved) {
        return Err("the record holds no message".into());
    }
    if !is_intact(head, bytes, entry.place.offset) {
        return Err("the record is damaged (CRC32C)".into());
    }
    parse_message(&bytes[RECORD_HEAD..RECORD_HEAD + head.len as usize])
        .ok_or_else(|| "the record cannot be understood".into())
}

/// Whether `record` could change the answer to `wish`.
fn concerns(record: &Record, wish: &ReadWish) -> bool {
    record.queue() == wish.queue
        && match record {
            Record::Enqueue { seq, .. } | Record::Returned { seq, .. } => (wish.from..=wish.to).contains(seq),
            Record::Settle { first, count, .. } => {
                *first <= wish.to && first.0.saturating_add(*count) > wish.from.0
            }
            Record::Purge { upto, .. } => *upto >= wish.from,
            Record::Delivered { .. } => false,
            Record::Gone { .. } => true,
        }
}

/// Does to what was found what `record` will do once it is in the index.
fn apply_pending(
    record: &Record,
    wish: &ReadWish,
    entries: &mut Vec<Entry>,
    young: &mut BTreeMap<u64, Stored>,
) {
    match record {
        Record::Enqueue { seq, message, lane, expires, .. } => {
            let wished = *lane == wish.lane && (wish.from..=wish.to).contains(seq);
            if wished && entries.binary_search_by_key(&seq.0, |e| e.seq).is_err() {
                let stored =
                    Stored { seq: *seq, message: Ok(message.clone()), expires: *expires, delivery_count: 0 };
                young.insert(seq.0, stored);
            }
        }
        Record::Settle { first, count, .. } => {
            let end = first.0.saturating_add(*count);
            let from = entries.partition_point(|entry| entry.seq < first.0);
            let to = entries.partition_point(|entry| entry.seq < end);
            entries.drain(from..to);
            young.retain(|seq, _| *seq < first.0 || *seq >= end);
        }
        Record::Purge { upto, kept, .. } => {
            let keeps = |seq: u64| seq > upto.0 || kept.binary_search(&Seq(seq)).is_ok();
            entries.retain(|entry| keeps(entry.seq));
            young.retain(|seq, _| keeps(*seq));
        }
        Record::Returned { seq, count, .. } => {
            if let Ok(at) = entries.binary_search_by_key(&seq.0, |e| e.seq) {
                entries[at].delivery_count = *count;
            } else if let Some(stored) = young.get_mut(&seq.0) {
                stored.delivery_count = *count;
            }
        }
        Record::Gone { .. } => {
            entries.clear();
            young.clear();
        }
        Record::Delivered { .. } => {}
    }
}
