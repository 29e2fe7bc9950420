//! Reads a segment from front to back, and finds its way past damage.
//!
//! Invariants: only records whose CRC holds are handed out; memory is one window, longer only for
//! a longer record that lies wholly inside the file. Absent: judging whether damage is a torn
//! tail or not; applying records.

use std::io;

use super::disk::LogFile;
use super::format::{
    Head, Payload, RECORD_HEAD, SEGMENT_HEAD, is_intact, parse_head, parse_payload, record_len,
};

/// Bytes read at once.
const WINDOW: usize = 1 << 20;

/// What lies at the scanner's place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Scanned {
    /// A whole record.
    Record {
        /// Offset of its head.
        offset: u32,
        /// Its length with head and padding.
        len: u32,
        /// Whether it closes its group.
        last: bool,
        payload: Payload,
    },
    /// No record starts here although the segment has not ended.
    Bad { offset: u32 },
}

/// See the module.
pub(crate) struct Scanner<'f> {
    file: &'f dyn LogFile,
    segment: u32,
    size: u64,
    at: u64,
    window: Vec<u8>,
    window_at: u64,
    ended: bool,
    end_synced: u32,
}

impl<'f> Scanner<'f> {
    /// A scanner at the first record.
    pub(crate) fn new(file: &'f dyn LogFile, segment: u32) -> io::Result<Self> {
        Ok(Self {
            file,
            segment,
            size: file.size()?,
            at: u64::from(SEGMENT_HEAD),
            window: Vec::new(),
            window_at: 0,
            ended: false,
            end_synced: 0,
        })
    }

    /// Goes on at `offset`.
    pub(crate) fn seek(&mut self, offset: u32) {
        self.at = u64::from(offset.max(SEGMENT_HEAD));
    }

    /// Goes back to `offset`.
    pub(crate) fn rewind(&mut self, offset: u32) {
        self.at = u64::from(offset);
        self.ended = false;
    }

    /// Treats this as the segment's end.
    pub(crate) fn stop(&mut self) {
        self.ended = true;
    }

    /// Where the next record is looked for.
    pub(crate) fn offset(&self) -> u32 {
        u32::try_from(self.at).unwrap_or(u32::MAX)
    }

    /// Whether the segment's end mark was seen.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// At least `len` bytes from `at` on, if the file has them.
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
        let (segment, size) = (self.segment, self.size);
        let head = parse_head(self.bytes(at, RECORD_HEAD)?, segment);
        Ok(head.filter(|head| at + (RECORD_HEAD as u64) + u64::from(head.len) <= size))
    }

    fn intact_at(&mut self, at: u64) -> io::Result<Option<(Head, Option<Payload>)>> {
        let Some(head) = self.head_at(at)? else {
            return Ok(None);
        };
        let offset = u32::try_from(at).unwrap_or(u32::MAX);
        let bytes = self.bytes(at, RECORD_HEAD + head.len as usize)?;
        if !is_intact(head, bytes, offset) {
            return Ok(None);
        }
        Ok(Some((head, parse_payload(head.kind, &bytes[RECORD_HEAD..]))))
    }

    /// The next record, or that there is none where one should be. `None` at the segment's end.
    /// After [`Scanned::Bad`] the scanner stays; [`Self::skip_damage`] moves it on.
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

    /// What the end mark says was synced.
    pub(crate) fn end_synced(&self) -> u32 {
        self.end_synced
    }

    /// Moves on to the next whole record; `false` (and to the end) if there is none.
    pub(crate) fn skip_damage(&mut self) -> io::Result<bool> {
        let mut at = self.at;
        // The damaged record's own length may still be right.
        if let Some(head) = self.head_at(at)? {
            let next = at + record_len(head.len as usize) as u64;
            if self.intact_at(next)?.is_some() {
                self.at = next;
                return Ok(true);
            }
        }
        loop {
            at += 8;
            if at >= self.size {
                self.at = self.size;
                return Ok(false);
            }
            if self.head_at(at)?.is_some() && self.intact_at(at)?.is_some() {
                self.at = at;
                return Ok(true);
            }
        }
    }
}
