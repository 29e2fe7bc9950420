//! One batch being put together: bytes in one reused buffer, large bodies left where they are.
//!
//! Invariants: offsets are those in the segment that the batch is written to; a record is sealed
//! (flags, CRC) when the next one starts or its group ends. Absent: files.

use std::io::IoSlice;

use super::format::{
    END_ROOM, FORMAT_VERSION, Kind, LARGE_BODY, RECORD_HEAD, Standing, head_bytes, put_enqueue,
    put_enqueue_ref, record_crc, record_len,
};
use crate::message::Message;
use crate::store::Record;

const _: () = assert!(FORMAT_VERSION == 1, "the encoder writes version 1");

/// A body that is written from its own memory, after `at` bytes of the buffer.
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
    segment: u32,
    start: u32,
    /// Bytes of large bodies so far.
    apart: u32,
    open: Option<Open>,
    /// The last message written in full, and where.
    shared: Option<(Message, u32, u32)>,
}

/// Where an enqueue's message can be read.
#[derive(Clone, Copy)]
pub(crate) struct Written {
    /// Offset of the record that holds the message.
    pub(crate) offset: u32,
    /// That record's length.
    pub(crate) len: u32,
    /// The message was written for another queue before.
    pub(crate) shared: bool,
}

impl Encoder {
    pub(crate) fn new() -> Self {
        Self { buf: Vec::new(), larges: Vec::new(), segment: 0, start: 0, apart: 0, open: None, shared: None }
    }

    /// Starts a batch at `offset` of `segment`.
    pub(crate) fn start(&mut self, segment: u32, offset: u32) {
        self.buf.clear();
        self.larges.clear();
        self.shared = None;
        self.open = None;
        self.apart = 0;
        self.segment = segment;
        self.start = offset;
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
        let len = u32::try_from(payload).expect("records are under 4 GiB");
        let offset = self.offset();
        self.open = Some(Open { head_at: self.buf.len(), offset, large: false });
        let head = head_bytes(len, self.segment, kind, false);
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
        let len = super::bytes::u32_at(&self.buf, head_at + 4) as usize;
        let large = if open.large { self.larges.last().map_or(&[][..], |l| l.message.body()) } else { &[] };
        let payload_at = head_at + RECORD_HEAD;
        let payload = &self.buf[payload_at..payload_at + len - large.len()];
        let head = &self.buf[head_at..payload_at];
        let crc = record_crc(head, open.offset, payload, large);
        self.buf[head_at..head_at + 4].copy_from_slice(&crc.to_le_bytes());
    }

    /// Ends a group: what was put since the last end is there as a whole or not at all.
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

    /// A message in its place. Its body is written once if the same message comes again at once.
    pub(crate) fn enqueue(&mut self, at: &Standing, message: &Message, moved: bool) -> Written {
        if let Some((last, offset, len)) = &self.shared
            && same_message(last, message)
        {
            let (offset, len) = (*offset, *len);
            let kind = if moved { Kind::MovedRef } else { Kind::EnqueueRef };
            self.begin(kind, super::format::REF_PAYLOAD);
            put_enqueue_ref(&mut self.buf, at, offset);
            return Written { offset, len, shared: true };
        }
        let payload = super::format::enqueue_payload(message);
        let kind = if moved { Kind::Moved } else { Kind::Enqueue };
        self.begin(kind, payload);
        let offset = self.open.as_ref().map_or(0, |open| open.offset);
        put_enqueue(&mut self.buf, at, message);
        if message.body_len() >= LARGE_BODY {
            let body_len = u32::try_from(message.body_len()).expect("under 4 GiB");
            self.larges.push(Large { at: self.buf.len(), message: message.clone() });
            self.apart += body_len;
            if let Some(open) = &mut self.open {
                open.large = true;
            }
        }
        self.pad(payload);
        let len = u32::try_from(record_len(payload)).expect("under 4 GiB");
        self.shared = Some((message.clone(), offset, len));
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

    /// The batch as pieces to be written one after the other.
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

    /// Lets go of messages, and of memory that one unusual batch took.
    pub(crate) fn clear(&mut self) {
        /// A buffer is kept up to this size.
        const KEPT: usize = 4 << 20;
        self.larges.clear();
        self.shared = None;
        self.buf.clear();
        self.buf.shrink_to(KEPT);
    }
}

/// The end mark of segment `number` at `offset`.
pub(crate) fn end_mark(number: u32, offset: u32, synced_upto: u32) -> [u8; END_ROOM as usize] {
    let mut mark = [0; END_ROOM as usize];
    let head = head_bytes(8, number, Kind::End, true);
    mark[..RECORD_HEAD].copy_from_slice(&head);
    mark[RECORD_HEAD..RECORD_HEAD + 4].copy_from_slice(&synced_upto.to_le_bytes());
    let crc = record_crc(&head, offset, &mark[RECORD_HEAD..], &[]);
    mark[..4].copy_from_slice(&crc.to_le_bytes());
    mark
}

fn same_message(a: &Message, b: &Message) -> bool {
    std::ptr::eq(a.exchange().as_ptr(), b.exchange().as_ptr())
}

/// No record of this takes more bytes than this in the log.
pub(crate) fn record_bound(record: &Record) -> u64 {
    let payload = match record {
        Record::Enqueue { message, .. } => super::format::enqueue_payload(message),
        Record::Purge { kept, .. } => 16 + 8 * kept.len(),
        _ => 32,
    };
    record_len(payload) as u64
}
