//! Reads messages back: where they lie from the index, their bytes in long sequential reads.
//!
//! Invariants: a message is handed out only if its record's CRC holds; damage is told with file,
//! offset, queue and place; what is not written yet is served from memory.
//! Absent: threads; the queue's view of what it wants.

use std::collections::BTreeMap;

use super::core::Core;
use super::format::{Kind, RECORD_HEAD, is_intact, parse_head, parse_message};
use super::intake::Waiting;
use super::segments::segment_name;
use crate::ids::{QueueId, Seq};
use crate::message::Message;
use crate::store::index::{DbError, Entry, enough};
use crate::store::{ReadWish, Record, Stored};

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

    fn read_written(&self, wish: &ReadWish) -> Result<(Vec<Stored>, bool), DbError> {
        let mut entries = {
            let mut index = self.index.lock();
            self.fold(&mut index)?;
            index.look_up(wish)?
        };
        let mut waiting = BTreeMap::new();
        let bytes: usize = entries.iter().map(|e| e.body_len as usize).sum();
        if entries.len() < wish.max_messages && bytes <= wish.max_bytes {
            // Looked at before the index is asked again, so that nothing slips through between.
            let inflight = self.inflight.lock();
            collect(&inflight.waiting, wish, &mut waiting);
            self.intake.peek(|line| collect(line, wish, &mut waiting));
            drop(inflight);
            if !waiting.is_empty() {
                let mut index = self.index.lock();
                self.fold(&mut index)?;
                entries = index.look_up(wish)?;
                for entry in &entries {
                    waiting.remove(&entry.seq);
                }
            }
        }
        let mut stored = self.read_entries(wish.queue, &entries);
        let missed = stored.iter().any(|s| s.message.is_err());
        if !waiting.is_empty() {
            stored.extend(waiting.into_values());
            stored.sort_by_key(|s| s.seq);
            let len = |s: &Stored| s.message.as_ref().map_or(0, Message::body_len);
            stored.truncate(enough(wish, stored.iter().map(len)));
        }
        Ok((stored, missed))
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

/// Messages that `wish` asks for among what is not written yet.
fn collect(line: &Waiting, wish: &ReadWish, found: &mut BTreeMap<u64, Stored>) {
    for record in &line.records {
        match record {
            Record::Enqueue {
                queue,
                seq,
                message,
                lane,
                expires,
                ..
            } if *queue == wish.queue
                && *lane == wish.lane
                && (wish.from..=wish.to).contains(seq) =>
            {
                found.insert(
                    seq.0,
                    Stored {
                        seq: *seq,
                        message: Ok(message.clone()),
                        expires: *expires,
                        delivery_count: 0,
                    },
                );
            }
            Record::Settle {
                queue,
                first,
                count,
                ..
            } if *queue == wish.queue => {
                let end = first.0.saturating_add(*count);
                found.retain(|seq, _| *seq < first.0 || *seq >= end);
            }
            Record::Purge { queue, upto, kept } if *queue == wish.queue => {
                found.retain(|seq, _| *seq > upto.0 || kept.binary_search(&Seq(*seq)).is_ok());
            }
            Record::Returned { queue, seq, count } if *queue == wish.queue => {
                if let Some(stored) = found.get_mut(&seq.0) {
                    stored.delivery_count = *count;
                }
            }
            Record::Gone { queue } if *queue == wish.queue => found.clear(),
            _ => {}
        }
    }
}
