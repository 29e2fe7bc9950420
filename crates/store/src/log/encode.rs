//! One batch under construction: bytes in one reused buffer, large bodies left where they are.
//!
//! Invariants: offsets are those in the segment that the batch is written to; a record is sealed (flags, CRC) when
//! the next one starts or its group ends; a message is in a file once, however many records and batches name it.
//! Absent: files.

use std::io::IoSlice;
use std::sync::atomic::{AtomicU32, Ordering};

use leveret_message::message::Message;

use super::format::{
    END_ROOM, EntryHead, Kind, LARGE_BODY, RECORD_HEAD, REF_PAYLOAD, Seal, head_bytes, put_enqueue,
    put_enqueue_ref, record_crc, record_len,
};
use crate::Record;
use crate::bytes::u32_at;

/// A body written from its own memory, after `at` bytes of the buffer.
struct Large {
    at: usize,
    message: Message,
}

/// A record whose head is not sealed yet.
struct Open {
    head_at: usize,
    offset: u32,
    large: bool,
}

/// See the module.
pub(crate) struct Encoder {
    buf: Vec<u8>,
    larges: Vec<Large>,
    seal: Seal,
    start: u32,
    /// Bytes of large bodies so far.
    apart: u32,
    open: Option<Open>,
    /// Identifies the file being written, unique within the process; 0: none.
    file: u32,
}

static FILES: AtomicU32 = AtomicU32::new(1);

/// An id for a new file, unique within the process.
pub(crate) fn next_file() -> u32 {
    loop {
        let file = FILES.fetch_add(1, Ordering::Relaxed);
        if file != 0 {
            return file;
        }
    }
}

/// Where an enqueue's message can be read.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    /// Offset of the record that holds the message.
    pub(crate) offset: u32,
    /// That record's length.
    pub(crate) len: u32,
    /// The message was written earlier for another queue.
    pub(crate) shared: bool,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        let seal = Seal { mark: 0, start: 0, records_at: 0, salted: true };
        Self { buf: Vec::new(), larges: Vec::new(), seal, start: 0, apart: 0, open: None, file: 0 }
    }

    /// Starts a batch at `offset` of the segment with this seal; `file` is its [id](next_file).
    pub(crate) fn start(&mut self, seal: Seal, offset: u32, file: u32) {
        self.buf.clear();
        self.larges.clear();
        self.open = None;
        self.apart = 0;
        self.seal = seal;
        self.start = offset;
        self.file = file;
    }

    /// Offset of the message in the file being written, if it is there.
    fn lies_at(&self, message: &Message) -> Option<u32> {
        let bytes = message.written_at().to_le_bytes();
        (self.file != 0 && u32_at(&bytes, 4) == self.file).then(|| u32_at(&bytes, 0))
    }

    /// Upper bound of the bytes that the records of a group take in the log: in the file being written, or (`anew`)
    /// in any other.
    pub(crate) fn group_bound(&self, group: &[Record], anew: bool) -> u64 {
        let mut last = 0;
        let bound = |record: &Record| {
            let Record::Enqueue { message, .. } = record else { return record_bound(record) };
            let before = std::mem::replace(&mut last, message.address());
            if before == last || !anew && self.lies_at(message).is_some() {
                record_len(REF_PAYLOAD) as u64
            } else {
                record_bound(record)
            }
        };
        group.iter().map(bound).sum()
    }

    /// Bytes of the batch so far.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.buf.len()).expect("batches stay below a segment's length") + self.apart
    }

    /// Offset of the next record.
    pub(crate) fn offset(&self) -> u32 {
        self.start + self.len()
    }

    fn begin(&mut self, kind: Kind, payload: usize) {
        self.seal(false);
        let len = u32::try_from(payload).expect("a group is bounded when it is appended");
        let offset = self.offset();
        self.open = Some(Open { head_at: self.buf.len(), offset, large: false });
        let head = head_bytes(len, self.seal, kind, false);
        self.buf.extend_from_slice(&head);
    }

    fn pad(&mut self, payload: usize) {
        let padding = record_len(payload) - RECORD_HEAD - payload;
        self.buf.extend_from_slice(&[0; 8][..padding]);
    }

    fn seal(&mut self, last: bool) {
        let Some(open) = self.open.take() else { return };
        let head_at = open.head_at;
        if last {
            self.buf[head_at + 13] = 1;
        }
        let len = u32_at(&self.buf, head_at + 4) as usize;
        let large = if open.large { self.larges.last().map_or(&[][..], |l| l.message.body()) } else { &[] };
        let payload_at = head_at + RECORD_HEAD;
        let payload = &self.buf[payload_at..payload_at + len - large.len()];
        let head = &self.buf[head_at..payload_at];
        let crc = record_crc(self.seal, head, open.offset, payload, large);
        self.buf[head_at..head_at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Ends a group: everything since the last end is atomic.
    pub(crate) fn end_group(&mut self) {
        self.seal(true);
    }

    /// The mark that starts a batch.
    pub(crate) fn batch(&mut self, synced_upto: u32) {
        self.begin(Kind::Batch, 8);
        self.buf.extend_from_slice(&synced_upto.to_le_bytes());
        self.buf.extend_from_slice(&[0; 4]);
        self.end_group();
    }

    /// A message in its queue. What this file already holds of it is not written again.
    pub(crate) fn enqueue(&mut self, at: &EntryHead, message: &Message, moved: bool) -> Written {
        let payload = super::format::enqueue_payload(message);
        let len = u32::try_from(record_len(payload)).expect("a group is bounded when it is appended");
        if let Some(offset) = self.lies_at(message) {
            let kind = if moved { Kind::MovedRef } else { Kind::EnqueueRef };
            self.begin(kind, REF_PAYLOAD);
            put_enqueue_ref(&mut self.buf, at, offset);
            return Written { offset, len, shared: true };
        }
        let kind = if moved { Kind::Moved } else { Kind::Enqueue };
        self.begin(kind, payload);
        let offset = self.open.as_ref().map_or(0, |open| open.offset);
        put_enqueue(&mut self.buf, at, message);
        if message.body_len() >= LARGE_BODY {
            let body_len = u32::try_from(message.body_len()).expect("a group is bounded when it is appended");
            self.larges.push(Large { at: self.buf.len(), message: message.clone() });
            self.apart += body_len;
            if let Some(open) = &mut self.open {
                open.large = true;
            }
        }
        self.pad(payload);
        message.set_written_at(u64::from(self.file) << 32 | u64::from(offset));
        Written { offset, len, shared: false }
    }

    /// Any record but an enqueue.
    pub(crate) fn plain(&mut self, record: &Record) {
        match record {
            Record::Enqueue { .. } => unreachable!("enqueues have a call of their own"),
            Record::Settle { queue, first, count, reason } => {
                self.begin(Kind::Settle, 25);
                self.put(&[queue.0, first.0, *count]);
                self.buf.push(*reason as u8);
                self.pad(25);
            }
            Record::Delivered { queue, upto } => {
                self.begin(Kind::Delivered, 16);
                self.put(&[queue.0, upto.0]);
            }
            Record::Returned { queue, seq, count } => {
                self.begin(Kind::Returned, 20);
                self.put(&[queue.0, seq.0]);
                self.buf.extend_from_slice(&count.to_le_bytes());
                self.pad(20);
            }
            Record::Purge { queue, upto, kept } => {
                self.begin(Kind::Purge, 16 + 8 * kept.len());
                self.put(&[queue.0, upto.0]);
                for seq in kept {
                    self.put(&[seq.0]);
                }
            }
            Record::Gone { queue } => {
                self.begin(Kind::Gone, 8);
                self.put(&[queue.0]);
            }
        }
    }

    fn put(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.buf.extend_from_slice(&number.to_le_bytes());
        }
    }

    /// The batch as pieces to be written consecutively.
    pub(crate) fn pieces(&self) -> Vec<IoSlice<'_>> {
        let mut pieces = Vec::with_capacity(1 + 2 * self.larges.len());
        let mut from = 0;
        for large in &self.larges {
            pieces.push(IoSlice::new(&self.buf[from..large.at]));
            pieces.push(IoSlice::new(large.message.body()));
            from = large.at;
        }
        pieces.push(IoSlice::new(&self.buf[from..]));
        pieces
    }

    /// Drops messages, and memory that one unusual batch needed.
    pub(crate) fn clear(&mut self) {
        /// A buffer is kept up to this size in bytes.
        const KEPT: usize = 4 << 20;
        self.larges.clear();
        self.buf.clear();
        self.buf.shrink_to(KEPT);
    }
}

/// The end mark at `offset` of the segment with this seal.
pub(crate) fn end_mark(seal: Seal, offset: u32, synced_upto: u32) -> [u8; END_ROOM as usize] {
    let mut mark = [0; END_ROOM as usize];
    let head = head_bytes(8, seal, Kind::End, true);
    mark[..RECORD_HEAD].copy_from_slice(&head);
    mark[RECORD_HEAD..RECORD_HEAD + 4].copy_from_slice(&synced_upto.to_le_bytes());
    let crc = record_crc(seal, &head, offset, &mark[RECORD_HEAD..], &[]);
    mark[..4].copy_from_slice(&crc.to_le_bytes());
    mark
}

/// Upper bound of the bytes of this record in the log.
pub(crate) fn record_bound(record: &Record) -> u64 {
    let payload = match record {
        Record::Enqueue { message, .. } => super::format::enqueue_payload(message),
        Record::Purge { kept, .. } => 16 + 8 * kept.len(),
        _ => 32,
    };
    record_len(payload) as u64
}
