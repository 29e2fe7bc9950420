//! Walks a segment group by group, and distinguishes torn tails from damage.
//!
//! Invariants: a group is returned whole; of one with damage in it only what adds is. What is not a record is a torn
//! tail if the segment is the newest and neither the note beside the log nor a later batch says that it was synced;
//! anything else is damage, and is reported. A segment that was cut has an end mark, as a closed one has, so that a
//! missing end is reported as well. Absent: what groups do.

use std::io::{self, IoSlice};

use rustc_hash::FxHashMap;

use super::encode::end_mark;
use super::format::{END_ROOM, EntryHead, Payload, Seal};
use super::scan::{Scanned, Scanner, Skipped, WINDOW};
use super::segments::{Segment, log_file};
use super::synced::Synced;
use crate::disk::LogFile;
use crate::finding::Finding;
use crate::index::{Entry, Event};
use crate::place::Place;

/// How to treat the end of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tail {
    /// It is not the newest: its end is not torn.
    Closed,
    /// A torn tail is cut off.
    Cut(Synced),
    /// A torn tail is left alone.
    Keep(Synced),
}

/// Walks a segment group by group.
pub(crate) struct Walk<'f> {
    scanner: Scanner<'f>,
    segment: &'f Segment,
    number: u32,
    tail: Tail,
    /// Known to be synced up to this offset.
    synced: u32,
    /// Whether later batches have been asked for that.
    asked: bool,
    /// Nothing more is to be read or reported.
    over: bool,
    /// End of the last whole group.
    good_end: u32,
    /// Records that hold messages in this segment, for the references to them: offset -> lengths.
    messages: FxHashMap<u32, (u32, u32)>,
}

impl<'f> Walk<'f> {
    /// A walk from `start`, or from the first record if that is further.
    pub(crate) fn new(segment: &'f Segment, number: u32, start: u32, tail: Tail) -> io::Result<Self> {
        let mut scanner = Scanner::new(&*segment.file, segment.seal)?;
        scanner.seek(start);
        let synced = match tail {
            Tail::Closed => 0,
            Tail::Cut(Synced::Upto(synced)) | Tail::Keep(Synced::Upto(synced)) => synced.max(start),
            Tail::Cut(Synced::Unknown) | Tail::Keep(Synced::Unknown) => start,
        };
        Ok(Self {
            scanner,
            segment,
            number,
            tail,
            synced,
            asked: false,
            over: false,
            good_end: start.max(segment.seal.records_at),
            messages: FxHashMap::default(),
        })
    }

    /// The place after the last whole group.
    pub(crate) fn end(&self) -> Place {
        Place { segment: self.number, offset: self.good_end }
    }

    /// The events of the next group; `None` at the end. Transient messages are void.
    pub(crate) fn next_group(&mut self, findings: &mut Vec<Finding>) -> io::Result<Option<Vec<Event>>> {
        let mut group = Vec::new();
        let mut damaged = false;
        loop {
            if self.over {
                return Ok(None);
            }
            match self.scanner.next_record()? {
                None => {
                    damaged |= self.finish(findings)?;
                    group.retain(adds);
                    return Ok((!group.is_empty() && damaged).then_some(group));
                }
                Some(Scanned::Record { offset, len, last, payload }) => {
                    let event = self.event(offset, len, payload, findings)?;
                    // Of an incomplete group, only what adds is sure to be right.
                    group.extend(event.filter(|event| !damaged || adds(event)));
                    if last {
                        self.good_end = self.scanner.offset();
                        return Ok(Some(group));
                    }
                }
                Some(Scanned::Bad { offset }) => {
                    if self.tail != Tail::Closed && !self.was_synced(offset)? {
                        self.cut()?;
                        return Ok(None);
                    }
                    let group_ends = self.skip(offset, findings)?;
                    damaged = true;
                    group.retain(adds);
                    if group_ends {
                        self.good_end = self.scanner.offset();
                        return Ok(Some(group));
                    }
                }
            }
        }
    }

    /// Skips the damage at `offset`; returns whether the group ends there.
    fn skip(&mut self, offset: u32, findings: &mut Vec<Finding>) -> io::Result<bool> {
        // A sync ends with a group, and what follows it is judged separately.
        let limit = if self.tail == Tail::Closed { u32::MAX } else { self.synced };
        let skipped = self.scanner.skip_damage_upto(limit)?;
        let lost = self.scanner.offset() - offset;
        let (queue, count, what) = match skipped {
            Skipped::One(queue) => (queue, 1, "a record is damaged and lost".to_owned()),
            _ => (None, 0, format!("{lost} bytes are damaged; the records in them are lost")),
        };
        findings.push(Finding {
            file: log_file(self.number),
            offset: Some(u64::from(offset)),
            queue,
            count,
            what,
        });
        Ok(skipped == Skipped::Rest || self.scanner.offset() == limit)
    }

    /// Whether `offset` had been synced: then it is damage, not a batch that was being written when the power failed.
    /// After a power cut the note may lag; a batch records what was synced before it.
    fn was_synced(&mut self, offset: u32) -> io::Result<bool> {
        if offset >= self.synced && !self.asked {
            self.asked = true;
            let all = matches!(self.tail, Tail::Cut(Synced::Unknown) | Tail::Keep(Synced::Unknown));
            while self.scanner.skip_damage()? {
                while let Some(Scanned::Record { offset, payload, .. }) = self.scanner.next_record()? {
                    if let Payload::Batch { synced_upto } = payload {
                        self.synced = self.synced.max(synced_upto.min(offset));
                    }
                    if all {
                        self.synced = self.scanner.offset();
                    }
                }
                if self.scanner.ended() {
                    self.synced = self.synced.max(self.scanner.end_synced().min(self.scanner.offset()));
                    break;
                }
            }
            self.scanner.rewind(offset);
        }
        Ok(offset < self.synced)
    }

    /// The file ends here, or its end mark was met. Returns whether an incomplete group has lost its end to damage:
    /// no torn one is left before an end mark.
    fn finish(&mut self, findings: &mut Vec<Finding>) -> io::Result<bool> {
        if self.scanner.ended() {
            self.cut()?;
            return Ok(true);
        }
        let end = self.segment.file.size()?;
        let what = match self.tail {
            // Version 1 left files without an end mark that were cut at a start.
            Tail::Closed => {
                let told = self.segment.seal.salted && !self.scanner.ends_before(end)?;
                told.then(|| "the segment has no end mark: what followed here is lost".to_owned())
            }
            Tail::Cut(_) | Tail::Keep(_) => (end < u64::from(self.synced)).then(|| {
                format!("the file ends here, and was synced up to {}; the rest is lost", self.synced)
            }),
        };
        let missing = what.is_some();
        if missing {
            self.good_end = self.scanner.offset().next_multiple_of(8);
        }
        self.cut()?;
        findings.extend(what.map(|what| Finding {
            file: log_file(self.number),
            offset: Some(end),
            queue: None,
            count: 0,
            what,
        }));
        Ok(missing)
    }

    /// Ends the segment after its last whole group.
    fn cut(&mut self) -> io::Result<()> {
        self.over = true;
        if matches!(self.tail, Tail::Cut(_)) {
            self.write_again()?;
            close_at(&*self.segment.file, self.segment.seal, self.good_end)?;
        }
        Ok(())
    }

    /// Rewrites in place what is not known to be synced. It may be only in the system's memory, which after a failed
    /// sync is taken for what is on disk.
    fn write_again(&self) -> io::Result<()> {
        let file = &*self.segment.file;
        // If the note does not name the segment, its head may be only in the system's memory as well.
        let noted = matches!(self.tail, Tail::Cut(Synced::Upto(1..)));
        let mut at = u64::from(if noted { self.synced } else { 0 });
        let end = u64::from(self.good_end);
        let mut bytes = Vec::new();
        while at < end {
            bytes.resize(usize::try_from(end - at).unwrap_or(usize::MAX).min(WINDOW), 0);
            let read = file.read_at(&mut bytes, at)?;
            if read == 0 {
                break;
            }
            file.write_at(&mut [IoSlice::new(&bytes[..read])], at)?;
            at += read as u64;
        }
        Ok(())
    }

    fn event(
        &mut self,
        offset: u32,
        len: u32,
        payload: Payload,
        findings: &mut Vec<Finding>,
    ) -> io::Result<Option<Event>> {
        let by = self.number;
        Ok(Some(match payload {
            Payload::Batch { .. } => {
                // Records that later batches refer to are few and large, and looked up.
                self.messages.clear();
                return Ok(None);
            }
            Payload::End { .. } => return Ok(None),
            Payload::Enqueue { at, body_len, moved } => {
                self.messages.insert(offset, (len, body_len));
                let entry = self.entry(&at, offset, len, body_len, false);
                return Ok(enqueued(&at, entry, moved));
            }
            Payload::EnqueueRef { at, message_at, moved } => {
                let Some((len, body_len)) = self.message_at(message_at, offset)? else {
                    findings.push(Finding {
                        file: log_file(by),
                        offset: Some(u64::from(message_at)),
                        queue: Some(at.queue),
                        count: 1,
                        what: format!(
                            "no message is where one of several queues should be; lost is place {}",
                            at.seq
                        ),
                    });
                    return Ok(None);
                };
                let entry = self.entry(&at, message_at, len, body_len, true);
                return Ok(enqueued(&at, entry, moved));
            }
            Payload::Settle { queue, first, count, .. } => Event::Settle { queue, first, count, by },
            Payload::Delivered { queue, upto } => Event::Delivered { queue, upto },
            Payload::Returned { queue, seq, count } => Event::Returned { queue, seq, count },
            Payload::Purge { queue, upto, kept } => Event::Purge { queue, upto, kept, by },
            Payload::Gone { queue } => Event::Gone { queue },
        }))
    }

    /// Lengths of the record at `offset` that holds a message, including its head, and of its body. Whether it is
    /// intact shows when it is read.
    fn message_at(&mut self, offset: u32, before: u32) -> io::Result<Option<(u32, u32)>> {
        if let Some(known) = self.messages.get(&offset) {
            return Ok(Some(*known));
        }
        let found = if offset < before { self.scanner.message_at(offset)? } else { None };
        if let Some(found) = found {
            self.messages.insert(offset, found);
        }
        Ok(found)
    }

    fn entry(&self, at: &EntryHead, offset: u32, len: u32, body_len: u32, shared: bool) -> Entry {
        Entry {
            seq: at.seq.0,
            place: Place { segment: self.number, offset },
            len,
            body_len,
            expires: at.expires,
            delivery_count: 0,
            shared,
            dead: false,
        }
    }
}

fn enqueued(at: &EntryHead, entry: Entry, moved: bool) -> Option<Event> {
    if at.transient {
        return None;
    }
    let (queue, priority_level, transient) = (at.queue, at.priority_level, false);
    Some(if moved {
        Event::Moved { queue, priority_level, transient, entry, since: 0 }
    } else {
        Event::Enqueue { queue, priority_level, transient, entry }
    })
}

fn adds(event: &Event) -> bool {
    matches!(
        event,
        Event::Enqueue { .. } | Event::Moved { .. } | Event::Delivered { .. } | Event::Returned { .. }
    )
}

/// Ends a segment at `offset`, which is synced: with an end mark, and nothing after it. Returns its new length. To be
/// synced by the caller.
pub(crate) fn close_at(file: &dyn LogFile, seal: Seal, offset: u32) -> io::Result<u32> {
    let mark = end_mark(seal, offset, offset);
    file.write_at(&mut [IoSlice::new(&mark)], u64::from(offset))?;
    file.set_len(u64::from(offset + END_ROOM))?;
    Ok(offset + END_ROOM)
}
