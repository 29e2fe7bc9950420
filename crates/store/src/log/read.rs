//! Reads messages back: locations from the index, bytes in long sequential reads.
//!
//! Invariants: a message is returned only if its record's CRC holds; damage is only what the disk returns twice with
//! a wrong CRC, and is reported with file, offset, queue and sequence number; a failed read says nothing about the
//! message; what is not written yet is served from memory.
//! Absent: threads; the queue's view of what it wants.

use std::collections::BTreeMap;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::message::Message;
use leveret_message::stored::Stored;

use super::append_queue::Extra;
use super::core::Core;
use super::format::{Kind, RECORD_HEAD, Seal, is_intact, parse_head, parse_message};
use super::segments::segment_name;
use crate::index::{DbError, Entry, enough};
use crate::{LiveEntry, ReadWish, Record};

/// Most bytes read in one call, if messages lie close enough together.
const SPAN: usize = 1 << 20;
/// A gap up to this many bytes is read over.
const GAP: u32 = 16 << 10;

impl Core {
    /// Answers `wish` now. Nothing here waits for a disk that does not answer: the caller tries again.
    pub(crate) fn read_now(&self, wish: &ReadWish) -> Result<Vec<Stored>, ReadFailed> {
        let (mut stored, missed) = self.read_written(wish)?;
        // A segment may be retired while it is read: its messages were moved or settled.
        if missed {
            stored = self.read_written(wish)?.0;
        }
        let damaged = stored.iter().filter(|stored| stored.message.is_err()).count();
        self.metrics.damaged.add(damaged as u64);
        self.metrics.paged_reads.add(stored.len() as u64);
        Ok(stored)
    }

    /// Sequence numbers of messages, from the index alone.
    pub(crate) fn live_entries(
        &self,
        queue: QueueId,
        from: Seq,
        max: usize,
    ) -> Result<Vec<LiveEntry>, DbError> {
        let mut index = self.index.lock();
        self.fold(&mut index)?;
        let entries = index.look_up(&ReadWish::standing(queue, from, max))?;
        Ok(entries.iter().map(|entry| LiveEntry { seq: Seq(entry.seq), expires: entry.expires }).collect())
    }

    fn read_written(&self, wish: &ReadWish) -> Result<(Vec<Stored>, bool), ReadFailed> {
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
            let (mut stored, stuck) = self.read_entries(wish.queue, &entries);
            if let Some((seq, _)) = &stuck {
                young.retain(|young, _| young < seq);
            }
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
            if let Some((_, problem)) = stuck
                && stored.is_empty()
            {
                self.metrics.read_failures.add(1);
                return Err(ReadFailed::Disk(problem));
            }
            return Ok((stored, missed));
        }
    }

    /// Unwritten records that concern `wish`, in order.
    fn pending_of(&self, wish: &ReadWish) -> Vec<Record> {
        let mut pending = Vec::new();
        let mut collect = |records: &[Record]| {
            let records = records.iter();
            pending.extend(records.filter(|record| concerns(record, wish)).cloned());
        };
        let inflight = self.inflight.lock();
        // What is written has been handed to the index.
        collect(inflight.unwritten());
        self.append_queue.peek(|waiting| collect(&waiting.records));
        pending
    }

    /// Fills in messages whose record is lost with a failed sync and about to be written again.
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

    /// The messages of `entries` that the disk returns, and the first that it does not.
    fn read_entries(&self, queue: QueueId, entries: &[Entry]) -> (Vec<Stored>, Option<(u64, String)>) {
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
            let stuck = self.read_span(queue, &rest[..count], end, &mut stored);
            if stuck.is_some() {
                return (stored, stuck);
            }
            rest = &rest[count..];
        }
        (stored, None)
    }

    /// Reads entries of one segment that lie between the first one's place and `end`. Returns the first that the disk
    /// fails to return; reading stops there.
    fn read_span(
        &self,
        queue: QueueId,
        entries: &[Entry],
        end: u32,
        stored: &mut Vec<Stored>,
    ) -> Option<(u64, String)> {
        let start = entries[0].place.offset;
        // If the whole range cannot be read, each message is requested on its own.
        let span = self.bytes_at(&entries[0], (end - start) as usize).ok();
        let mut last: Option<(u32, Message)> = None;
        for entry in entries {
            let offset = entry.place.offset;
            let from = (offset - start) as usize;
            let known = last.as_ref().filter(|(at, _)| *at == offset).map(|(_, message)| message.clone());
            let found = match known {
                Some(message) => Ok(message),
                None => match &span {
                    Some((seal, span)) => message_in(*seal, span.get(from..).unwrap_or(&[]), entry)
                        .or_else(|_| read_entry(self, entry)),
                    None => read_entry(self, entry),
                },
            };
            let place = || {
                let segment = segment_name(entry.place.segment);
                format!("{segment} of the message log, offset {offset}")
            };
            let message = match found {
                Ok(message) => {
                    last = Some((offset, message.clone()));
                    self.metrics.paged_read_bytes.add(u64::from(entry.len));
                    Ok(message)
                }
                Err(Problem::Unread(why)) => {
                    let why = format!("{}: {why}; place {} of {queue} waits", place(), entry.seq);
                    return Some((entry.seq, why));
                }
                Err(Problem::Damaged(why)) => {
                    Err(format!("{}: {why}; it is place {} of {queue}", place(), entry.seq))
                }
            };
            stored.push(Stored {
                seq: Seq(entry.seq),
                message,
                expires: entry.expires,
                delivery_count: entry.delivery_count,
            });
        }
        None
    }

    fn bytes_at(&self, first: &Entry, len: usize) -> Result<(Seal, Vec<u8>), Problem> {
        let Some(segment) = self.segments.get(first.place.segment) else {
            return Err(Problem::Damaged("the file is missing".into()));
        };
        let mut bytes = vec![0; len];
        let offset = u64::from(first.place.offset);
        let read = segment.file.read_at(&mut bytes, offset);
        bytes.truncate(read.map_err(|error| Problem::Unread(error.to_string()))?);
        Ok((segment.seal, bytes))
    }
}

/// Why a read cannot be answered.
#[derive(Debug)]
pub(crate) enum ReadFailed {
    /// The index does not know the locations.
    Db(DbError),
    /// The disk failed to return the first message.
    Disk(String),
}

impl From<DbError> for ReadFailed {
    fn from(error: DbError) -> Self {
        Self::Db(error)
    }
}

/// What is wrong with a record.
#[derive(Debug)]
pub(crate) enum Problem {
    /// The disk failed to return it: nothing is known about it.
    Unread(String),
    /// The disk returned something else than was written, twice.
    Damaged(String),
}

/// Number of attempts to read a record that is not as written, or not returned at all.
const READS: usize = 2;

/// One message, or the problem with its record.
pub(crate) fn read_entry(core: &Core, entry: &Entry) -> Result<Message, Problem> {
    let mut problem = Problem::Unread(String::new());
    for _ in 0..READS {
        if let Some(segment) = core.segments.get(entry.place.segment) {
            segment.file.forget_cached(u64::from(entry.place.offset), u64::from(entry.len));
        }
        let read = core.bytes_at(entry, entry.len as usize);
        let found = read.and_then(|(seal, bytes)| message_in(seal, &bytes, entry).map_err(Problem::Damaged));
        match (found, &problem) {
            (Ok(message), _) => return Ok(message),
            // A failed read says nothing about the bytes, before or after a successful one.
            (Err(Problem::Damaged(_)), Problem::Unread(why)) if !why.is_empty() => {}
            (Err(error), _) => problem = error,
        }
    }
    Err(problem)
}

fn message_in(seal: Seal, bytes: &[u8], entry: &Entry) -> Result<Message, String> {
    let head = parse_head(bytes, seal).ok_or("no record of this segment")?;
    if !matches!(head.kind, Kind::Enqueue | Kind::Moved) {
        return Err("the record holds no message".into());
    }
    if !is_intact(seal, head, bytes, entry.place.offset) {
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

/// Applies to what was found the effect that `record` will have once it is in the index.
fn apply_pending(
    record: &Record,
    wish: &ReadWish,
    entries: &mut Vec<Entry>,
    young: &mut BTreeMap<u64, Stored>,
) {
    match record {
        Record::Enqueue { seq, message, priority_level, expires, .. } => {
            let wished = *priority_level == wish.priority_level && (wish.from..=wish.to).contains(seq);
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
