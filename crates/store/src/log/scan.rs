//! Reads a segment from front to back, and finds its way past damage.
//!
//! Invariants: only records whose CRC holds are returned; memory is one window, longer only for a longer record that
//! lies wholly inside the file. Absent: judging whether damage is a torn tail or not; applying records.

use std::io;

use leveret_message::ids::QueueId;

use super::format::{
    END_ROOM, ENQUEUE_FIXED, Head, Kind, Payload, RECORD_HEAD, Seal, is_intact, parse_head, parse_payload,
    record_len,
};
use crate::bytes::get_u64;
use crate::disk::LogFile;

/// Bytes per read.
pub(super) const WINDOW: usize = 1 << 20;

/// What the scanner finds at its offset.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Scanned {
    /// A whole record.
    Record {
        /// Offset of its head.
        offset: u32,
        /// Its length including head and padding.
        len: u32,
        /// Whether it closes its group.
        last: bool,
        payload: Payload,
    },
    /// No record starts here although the segment has not ended.
    Bad { offset: u32 },
}

/// The damaged part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Skipped {
    /// One record; the queue that it is about, judging by what is left of it.
    One(Option<QueueId>),
    /// One or more.
    Some,
    /// Everything up to the file's end.
    Rest,
}

/// See the module.
pub(crate) struct Scanner<'f> {
    file: &'f dyn LogFile,
    seal: Seal,
    size: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    ended: bool,
    end_synced: u32,
}

impl<'f> Scanner<'f> {
    /// A scanner at the first record.
    pub(crate) fn new(file: &'f dyn LogFile, seal: Seal) -> io::Result<Self> {
        Ok(Self {
            file,
            seal,
            size: file.size()?,
            at: u64::from(seal.records_at),
            window: Vec::new(),
            window_at: 0,
            ended: false,
            end_synced: 0,
        })
    }

    /// Continues at `offset`, or at the first record if that is further.
    pub(crate) fn seek(&mut self, offset: u32) {
        self.at = u64::from(offset.max(self.seal.records_at));
    }

    /// Moves back to `offset`.
    pub(crate) fn rewind(&mut self, offset: u32) {
        self.at = u64::from(offset);
        self.ended = false;
    }

    /// Offset of the next record.
    pub(crate) fn offset(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    /// Whether the segment's end mark was seen.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// At least `len` bytes from `at`, if the file has them.
    fn bytes(&mut self, at: u64, len: usize) -> io::Result<&[u8]> {
        let end = (at + len as u64).min(self.size);
        let have_end = self.window_at + self.window.len() as u64;
        if at < self.window_at || end > have_end {
            let wanted =
                len.max(WINDOW).min(usize::try_from(self.size - at.min(self.size)).unwrap_or(WINDOW));
            self.window.resize(wanted, 0);
            let read = self.file.read_at(&mut self.window, at)?;
            self.window.truncate(read);
            self.window_at = at;
        }
        let from = usize::try_from(at - self.window_at).unwrap_or(usize::MAX);
        let to = self.window.len().min(from.saturating_add(len));
        Ok(self.window.get(from..to).unwrap_or(&[]))
    }

    fn head_at(&mut self, at: u64) -> io::Result<Option<Head>> {
        let (seal, size) = (self.seal, self.size);
        let head = parse_head(self.bytes(at, RECORD_HEAD)?, seal);
        Ok(head.filter(|head| at + (RECORD_HEAD as u64) + u64::from(head.len) <= size))
    }

    fn intact_at(&mut self, at: u64) -> io::Result<Option<(Head, Option<Payload>)>> {
        let Some(head) = self.head_at(at)? else {
            return Ok(None);
        };
        let (seal, offset) = (self.seal, u32::try_from(at).unwrap_or(u32::MAX));
        let bytes = self.bytes(at, RECORD_HEAD + head.len as usize)?;
        if !is_intact(seal, head, bytes, offset) {
            return Ok(None);
        }
        Ok(Some((head, parse_payload(head.kind, &bytes[RECORD_HEAD..]))))
    }

    /// The next record, or that none is where one should be. `None` at the segment's end. After [`Scanned::Bad`] the
    /// scanner stays; [`Self::skip_damage`] moves it on.
    pub(crate) fn next_record(&mut self) -> io::Result<Option<Scanned>> {
        if self.ended || self.at >= self.size {
            return Ok(None);
        }
        let offset = self.offset();
        let Some((head, Some(payload))) = self.intact_at(self.at)? else {
            return Ok(Some(Scanned::Bad { offset }));
        };
        if let Payload::End { synced_upto } = payload {
            self.ended = true;
            self.end_synced = synced_upto;
            return Ok(None);
        }
        let len = record_len(head.len as usize);
        self.at += len as u64;
        Ok(Some(Scanned::Record {
            offset,
            len: u32::try_from(len).unwrap_or(u32::MAX),
            last: head.last,
            payload,
        }))
    }

    /// The record's length including head and padding, and the body's, according to the head at `offset`, if it holds
    /// a message.
    pub(crate) fn message_at(&self, offset: u32) -> io::Result<Option<(u32, u32)>> {
        let mut bytes = [0; RECORD_HEAD + ENQUEUE_FIXED];
        let read = self.file.read_at(&mut bytes, u64::from(offset))?;
        let head = parse_head(&bytes[..read], self.seal);
        let Some(head) = head.filter(|head| matches!(head.kind, Kind::Enqueue | Kind::Moved)) else {
            return Ok(None);
        };
        let Some(Payload::Enqueue { body_len, .. }) = parse_payload(head.kind, &bytes[RECORD_HEAD..read])
        else {
            return Ok(None);
        };
        let whole = u64::from(offset) + (RECORD_HEAD as u64) + u64::from(head.len) <= self.size;
        let len = u32::try_from(record_len(head.len as usize)).unwrap_or(u32::MAX);
        Ok(whole.then_some((len, body_len)))
    }

    /// Whether the file, of `size` bytes, ends with an end mark before this offset: it was cut after a failed sync,
    /// when the index was already further.
    pub(crate) fn ends_before(&mut self, size: u64) -> io::Result<bool> {
        let mark_at = size.saturating_sub(u64::from(END_ROOM));
        let mark = if self.at > size { self.intact_at(mark_at)? } else { None };
        Ok(mark.is_some_and(|(head, _)| head.kind == Kind::End))
    }

    /// How far the segment was synced according to its end mark.
    pub(crate) fn end_synced(&self) -> u32 {
        self.end_synced
    }

    /// Moves on to the next whole record; `false` (and to the end) if there is none.
    pub(crate) fn skip_damage(&mut self) -> io::Result<bool> {
        Ok(self.skip_damage_upto(u32::MAX)? != Skipped::Rest)
    }

    /// Moves on to the next whole record, or to `limit`, where one begins, whether whole or not.
    pub(crate) fn skip_damage_upto(&mut self, limit: u32) -> io::Result<Skipped> {
        let limit = u64::from(limit);
        let start = self.at;
        let head = self.head_at(start)?;
        let said = head.map(|head| start + record_len(head.len as usize) as u64);
        let mut at = start + 8;
        // In version 1 a body may contain what looks like a record, so the damaged record's own length is believed;
        // but the length itself may be damaged and lead past whole records.
        if let Some(next) = said.filter(|_| !self.seal.salted)
            && next < limit
            && self.intact_at(next)?.is_some()
        {
            at = next;
        }
        let end = limit.min(self.size);
        while at < end && (self.head_at(at)?.is_none() || self.intact_at(at)?.is_none()) {
            at += 8;
        }
        self.at = at.min(end);
        if self.at == self.size && self.at < limit {
            return Ok(Skipped::Rest);
        }
        let Some(head) = head.filter(|_| said == Some(self.at)) else {
            return Ok(Skipped::Some);
        };
        Ok(Skipped::One(match head.kind {
            Kind::Batch | Kind::End => None,
            _ => get_u64(self.bytes(start, RECORD_HEAD + 8)?, RECORD_HEAD).map(QueueId),
        }))
    }
}
