//! Goes through a segment group by group, and judges what is torn and what is damaged.
//!
//! Invariants: a group is handed out whole; of one with damage in it only what adds is. Bytes
//! that no later batch says were synced are a torn tail, if the segment is the newest; anything
//! else that is no record is damage. Absent: what groups do.

use std::io;

use rustc_hash::FxHashMap;

use super::disk::LogFile;
use super::format::{Payload, Place, SEGMENT_HEAD, Standing};
use super::recover::{Finding, log_file};
use super::scan::{Scanned, Scanner};
use crate::store::index::{Entry, Event};

/// What may be done about the end of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Tail {
    /// It is not the newest: its end is not torn.
    Closed,
    /// What is torn is cut off.
    Cut,
    /// What is torn is left alone.
    Keep,
}

/// Goes through a segment group by group.
pub(crate) struct Walk<'f> {
    scanner: Scanner<'f>,
    file: &'f dyn LogFile,
    number: u32,
    tail: Tail,
    /// End of the last whole group.
    good_end: u32,
    /// Records that hold messages in this segment, for the references to them: offset -> lengths.
    messages: FxHashMap<u32, (u32, u32)>,
}

impl<'f> Walk<'f> {
    /// A walk from `start` on.
    pub(crate) fn new(file: &'f dyn LogFile, number: u32, start: u32, tail: Tail) -> io::Result<Self> {
        let mut scanner = Scanner::new(file, number)?;
        scanner.seek(start);
        Ok(Self {
            scanner,
            file,
            number,
            tail,
            good_end: start.max(SEGMENT_HEAD),
            messages: FxHashMap::default(),
        })
    }

    /// The place after the last whole group.
    pub(crate) fn end(&self) -> Place {
        Place { segment: self.number, offset: self.good_end }
    }

    /// What the next group did; `None` at the end. Transient messages are void.
    pub(crate) fn next_group(&mut self, findings: &mut Vec<Finding>) -> io::Result<Option<Vec<Event>>> {
        let mut group = Vec::new();
        let mut damaged = false;
        loop {
            match self.scanner.next_record()? {
                None => {
                    if self.tail != Tail::Closed
                        && self.scanner.offset() > self.good_end
                        && !self.scanner.ended()
                    {
                        self.cut()?;
                    }
                    return Ok((!group.is_empty() && damaged).then_some(group));
                }
                Some(Scanned::Record { offset, len, last, payload }) => {
                    let event = self.event(offset, len, payload);
                    // Of a group that is not whole, only what adds is sure to be right.
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
                    let more = self.scanner.skip_damage()?;
                    let lost = self.scanner.offset() - offset;
                    findings.push(Finding {
                        file: log_file(self.number),
                        offset: Some(u64::from(offset)),
                        queue: None,
                        count: 1,
                        what: format!("{lost} bytes are damaged; the records in them are lost"),
                    });
                    damaged = true;
                    group.retain(adds);
                    if !more {
                        self.good_end = self.scanner.offset();
                        return Ok(Some(group));
                    }
                }
            }
        }
    }

    /// Whether a later batch says that `offset` had been synced: then it is damage, not a batch
    /// that was being written when the power went.
    fn was_synced(&mut self, offset: u32) -> io::Result<bool> {
        let mut synced = false;
        while !synced && self.scanner.skip_damage()? {
            while let Some(Scanned::Record { payload, .. }) = self.scanner.next_record()? {
                synced |= matches!(payload, Payload::Batch { synced_upto } if synced_upto > offset);
            }
            if self.scanner.ended() {
                synced |= self.scanner.end_synced() > offset;
                break;
            }
        }
        self.scanner.rewind(offset);
        Ok(synced)
    }

    fn cut(&mut self) -> io::Result<()> {
        if self.tail == Tail::Cut {
            self.file.set_len(u64::from(self.good_end))?;
        }
        self.scanner.rewind(self.good_end);
        self.scanner.stop();
        Ok(())
    }

    fn event(&mut self, offset: u32, len: u32, payload: Payload) -> Option<Event> {
        let by = self.number;
        Some(match payload {
            Payload::Batch { .. } => {
                // References stay within their batch.
                self.messages.clear();
                return None;
            }
            Payload::End { .. } => return None,
            Payload::Enqueue { at, body_len, moved } => {
                self.messages.insert(offset, (len, body_len));
                let entry = self.entry(&at, offset, len, body_len, false);
                return enqueued(&at, entry, moved);
            }
            Payload::EnqueueRef { at, message_at, moved } => {
                let (len, body_len) = *self.messages.get(&message_at)?;
                let entry = self.entry(&at, message_at, len, body_len, true);
                return enqueued(&at, entry, moved);
            }
            Payload::Settle { queue, first, count, .. } => Event::Settle { queue, first, count, by },
            Payload::Delivered { queue, upto } => Event::Delivered { queue, upto },
            Payload::Returned { queue, seq, count } => Event::Returned { queue, seq, count },
            Payload::Purge { queue, upto, kept } => Event::Purge { queue, upto, kept, by },
            Payload::Gone { queue } => Event::Gone { queue },
        })
    }

    fn entry(&self, at: &Standing, offset: u32, len: u32, body_len: u32, shared: bool) -> Entry {
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

fn enqueued(at: &Standing, entry: Entry, moved: bool) -> Option<Event> {
    if at.transient {
        return None;
    }
    let (queue, lane, transient) = (at.queue, at.lane, false);
    Some(if moved {
        Event::Moved { queue, lane, transient, entry, since: 0 }
    } else {
        Event::Enqueue { queue, lane, transient, entry }
    })
}

fn adds(event: &Event) -> bool {
    matches!(
        event,
        Event::Enqueue { .. } | Event::Moved { .. } | Event::Delivered { .. } | Event::Returned { .. }
    )
}
