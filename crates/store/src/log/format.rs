//! The byte format of a segment.
//!
//! A segment is a head (`head`) and a sequence of records, each at a multiple of 8 bytes. A record's CRC32C covers
//! its head, its own offset and its payload, and starts from the segment's seal; its head holds the seal's mark. So
//! neither the earlier content of a recycled file nor client data is ever taken for a record. The last record of a
//! group is marked as such: a group without its last record does not exist. All numbers are little-endian.
//! Absent: files, and the effect of records on queues.

use bytes::Bytes;
use leveret_message::ids::{Millis, QueueId, Seq};
use leveret_message::message::{Message, MessageLayout, MessageMeta};
use leveret_message::short::ShortRange;
use leveret_message::stored::SettleReason;

use crate::bytes::{get_u32, get_u64, u16_at, u32_at, u64_at};

/// Bytes of a record's head: crc, payload length, the seal's mark, kind, flags, two spare.
pub(crate) const RECORD_HEAD: usize = 16;
/// Fixed bytes of an enqueue's payload, before exchange, key, properties and body.
pub(crate) const ENQUEUE_FIXED: usize = 48;
/// Room reserved at a segment's end for its end mark.
pub(crate) const END_ROOM: u32 = 24;
const _: () = assert!(END_ROOM as usize == record_len(8));
/// Bodies from this size on are written from their own memory instead of being copied.
pub(crate) const LARGE_BODY: usize = 32 * 1024;

const FLAG_LAST: u8 = 1;

const E_TRANSIENT: u8 = 1;
const E_PERSISTENT: u8 = 2;
const E_PRIORITY: u8 = 4;
const E_EXPIRATION: u8 = 8;
const E_EXPIRES: u8 = 16;
const E_DIED: u8 = 32;
const E_REDELIVERED: u8 = 64;

/// Kind of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Starts a batch: up to which offset the segment was known to be synced.
    Batch = 1,
    Enqueue = 2,
    /// An enqueue whose message lies in an earlier record of the same segment.
    EnqueueRef = 3,
    Settle = 4,
    Delivered = 5,
    Returned = 6,
    Purge = 7,
    Gone = 8,
    /// Nothing follows in this segment; carries the same as a batch.
    End = 9,
    /// A message copied to the log's end, so that its old segment can be removed.
    Moved = 10,
    /// The same with its message in an earlier record of the same segment.
    MovedRef = 11,
}

impl Kind {
    pub(super) fn from_u8(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Batch,
            2 => Self::Enqueue,
            3 => Self::EnqueueRef,
            4 => Self::Settle,
            5 => Self::Delivered,
            6 => Self::Returned,
            7 => Self::Purge,
            8 => Self::Gone,
            9 => Self::End,
            10 => Self::Moved,
            11 => Self::MovedRef,
            _ => return None,
        })
    }
}

/// The bytes of a record with this payload length, including padding.
pub(crate) const fn record_len(payload: usize) -> usize {
    (RECORD_HEAD + payload).next_multiple_of(8)
}

/// A record's head.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Head {
    pub(crate) crc: u32,
    /// Payload length in bytes.
    pub(crate) len: u32,
    pub(crate) kind: Kind,
    /// Whether it closes its group.
    pub(crate) last: bool,
}

/// Distinguishes the records of one use of a segment file from all other bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seal {
    /// Part of each record's head.
    pub(crate) mark: u32,
    /// Initial value of each record's CRC32C.
    pub(crate) start: u32,
    /// Offset of the first record.
    pub(crate) records_at: u32,
    /// Nobody can forge a record without having read the folder: false in version 1.
    pub(crate) salted: bool,
}

/// Reads a record's head; `None` if these bytes are not the head of a record of this segment.
pub(crate) fn parse_head(bytes: &[u8], seal: Seal) -> Option<Head> {
    let bytes = bytes.get(..RECORD_HEAD)?;
    if u32_at(bytes, 8) != seal.mark || bytes[14] != 0 || bytes[15] != 0 || bytes[13] > FLAG_LAST {
        return None;
    }
    Some(Head {
        crc: u32_at(bytes, 0),
        len: u32_at(bytes, 4),
        kind: Kind::from_u8(bytes[12])?,
        last: bytes[13] == FLAG_LAST,
    })
}

/// The head's bytes with a blank CRC.
pub(crate) fn head_bytes(len: u32, seal: Seal, kind: Kind, last: bool) -> [u8; RECORD_HEAD] {
    let mut head = [0; RECORD_HEAD];
    head[4..8].copy_from_slice(&len.to_le_bytes());
    head[8..12].copy_from_slice(&seal.mark.to_le_bytes());
    head[12] = kind as u8;
    head[13] = if last { FLAG_LAST } else { 0 };
    head
}

/// The CRC of a record: head without the CRC itself, offset, payload.
pub(crate) fn record_crc(seal: Seal, head: &[u8], offset: u32, payload: &[u8], rest: &[u8]) -> u32 {
    let mut start = [0; RECORD_HEAD];
    start[..12].copy_from_slice(&head[4..RECORD_HEAD]);
    start[12..].copy_from_slice(&offset.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c_append(seal.start, &start), payload);
    if rest.is_empty() { crc } else { crc32c::crc32c_append(crc, rest) }
}

/// Whether `bytes` (head and payload) are the whole record that `head` describes.
pub(crate) fn is_intact(seal: Seal, head: Head, bytes: &[u8], offset: u32) -> bool {
    let end = RECORD_HEAD + head.len as usize;
    bytes.len() >= end
        && record_crc(seal, &bytes[..RECORD_HEAD], offset, &bytes[RECORD_HEAD..end], &[]) == head.crc
}

/// The parts of an enqueue besides the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct EntryHead {
    pub(crate) queue: QueueId,
    pub(crate) seq: Seq,
    pub(crate) priority_level: u8,
    pub(crate) expires: Option<Millis>,
    pub(crate) transient: bool,
}

impl EntryHead {
    fn flags(&self) -> u8 {
        bit(self.transient, E_TRANSIENT) | bit(self.expires.is_some(), E_EXPIRES)
    }
}

fn bit(set: bool, flag: u8) -> u8 {
    if set { flag } else { 0 }
}

/// Appends an enqueue's payload without a large body.
///
/// # Panics
/// If a part of the message is longer than the wire allows; the decoder checks that.
pub(crate) fn put_enqueue(buf: &mut Vec<u8>, at: &EntryHead, message: &Message) {
    let meta = message.meta();
    let (exchange, key) = (message.short_exchange(), message.short_routing_key());
    let properties = message.properties();
    let body = message.body();
    let flags = at.flags()
        | bit(meta.persistent, E_PERSISTENT)
        | bit(meta.priority.is_some(), E_PRIORITY)
        | bit(meta.expiration_ms.is_some(), E_EXPIRATION)
        | bit(meta.died, E_DIED)
        | bit(meta.redelivered, E_REDELIVERED);
    let mut fixed = [0; ENQUEUE_FIXED];
    fixed[0..8].copy_from_slice(&at.queue.0.to_le_bytes());
    fixed[8..16].copy_from_slice(&at.seq.0.to_le_bytes());
    fixed[16..24].copy_from_slice(&at.expires.map_or(0, |at| at.0).to_le_bytes());
    fixed[24..32].copy_from_slice(&meta.expiration_ms.unwrap_or(0).to_le_bytes());
    fixed[32..36].copy_from_slice(&len_u32(properties).to_le_bytes());
    fixed[36..40].copy_from_slice(&len_u32(body).to_le_bytes());
    fixed[40..42].copy_from_slice(&u16::from(exchange.count()).to_le_bytes());
    fixed[42..44].copy_from_slice(&u16::from(key.count()).to_le_bytes());
    fixed[44] = at.priority_level;
    fixed[45] = flags;
    fixed[46] = meta.priority.unwrap_or(0);
    buf.extend_from_slice(&fixed);
    buf.extend_from_slice(exchange.bytes());
    buf.extend_from_slice(key.bytes());
    buf.extend_from_slice(properties);
    if body.len() < LARGE_BODY {
        buf.extend_from_slice(body);
    }
}

/// Payload length of an enqueue of `message`.
pub(crate) fn enqueue_payload(message: &Message) -> usize {
    ENQUEUE_FIXED
        + message.exchange().len()
        + message.routing_key().len()
        + message.properties().len()
        + message.body_len()
}

fn len_u32(part: &[u8]) -> u32 {
    u32::try_from(part.len()).expect("a message's part is under 4 GiB")
}

/// Appends the payload of an enqueue whose message lies at `message_at`.
pub(crate) fn put_enqueue_ref(buf: &mut Vec<u8>, at: &EntryHead, message_at: u32) {
    buf.extend_from_slice(&at.queue.0.to_le_bytes());
    buf.extend_from_slice(&at.seq.0.to_le_bytes());
    buf.extend_from_slice(&at.expires.map_or(0, |at| at.0).to_le_bytes());
    buf.extend_from_slice(&message_at.to_le_bytes());
    buf.extend_from_slice(&[at.priority_level, at.flags(), 0, 0]);
}

/// Payload length of a reference.
pub(crate) const REF_PAYLOAD: usize = 32;

/// A record's parsed payload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Payload {
    Batch {
        synced_upto: u32,
    },
    /// `moved`: copied from elsewhere, not new.
    Enqueue {
        at: EntryHead,
        body_len: u32,
        moved: bool,
    },
    EnqueueRef {
        at: EntryHead,
        message_at: u32,
        moved: bool,
    },
    Settle {
        queue: QueueId,
        first: Seq,
        count: u64,
        reason: SettleReason,
    },
    Delivered {
        queue: QueueId,
        upto: Seq,
    },
    Returned {
        queue: QueueId,
        seq: Seq,
        count: u32,
    },
    Purge {
        queue: QueueId,
        upto: Seq,
        kept: Vec<Seq>,
    },
    Gone {
        queue: QueueId,
    },
    End {
        synced_upto: u32,
    },
}

/// Parses a payload; `None` if it is not valid for its kind.
pub(crate) fn parse_payload(kind: Kind, bytes: &[u8]) -> Option<Payload> {
    let queue = |bytes: &[u8]| Some(QueueId(get_u64(bytes, 0)?));
    let seq = |bytes: &[u8]| Some(Seq(get_u64(bytes, 8)?));
    Some(match kind {
        Kind::Batch => Payload::Batch { synced_upto: get_u32(bytes, 0)? },
        Kind::Enqueue | Kind::Moved => {
            let fixed = bytes.get(..ENQUEUE_FIXED)?;
            Payload::Enqueue {
                at: entry_head(fixed, fixed[44], fixed[45]),
                body_len: u32_at(fixed, 36),
                moved: kind == Kind::Moved,
            }
        }
        Kind::EnqueueRef | Kind::MovedRef => {
            let fixed = bytes.get(..REF_PAYLOAD)?;
            Payload::EnqueueRef {
                at: entry_head(fixed, fixed[28], fixed[29]),
                message_at: u32_at(fixed, 24),
                moved: kind == Kind::MovedRef,
            }
        }
        Kind::Settle => Payload::Settle {
            queue: queue(bytes)?,
            first: seq(bytes)?,
            count: get_u64(bytes, 16)?,
            reason: reason(*bytes.get(24)?)?,
        },
        Kind::Delivered => Payload::Delivered { queue: queue(bytes)?, upto: seq(bytes)? },
        Kind::Returned => {
            Payload::Returned { queue: queue(bytes)?, seq: seq(bytes)?, count: get_u32(bytes, 16)? }
        }
        Kind::Purge => Payload::Purge {
            queue: queue(bytes)?,
            upto: seq(bytes)?,
            kept: bytes.get(16..)?.chunks_exact(8).map(|place| Seq(u64_at(place, 0))).collect(),
        },
        Kind::Gone => Payload::Gone { queue: queue(bytes)? },
        Kind::End => Payload::End { synced_upto: get_u32(bytes, 0)? },
    })
}

fn entry_head(fixed: &[u8], priority_level: u8, flags: u8) -> EntryHead {
    EntryHead {
        queue: QueueId(u64_at(fixed, 0)),
        seq: Seq(u64_at(fixed, 8)),
        priority_level,
        expires: (flags & E_EXPIRES != 0).then(|| Millis(u64_at(fixed, 16))),
        transient: flags & E_TRANSIENT != 0,
    }
}

fn reason(byte: u8) -> Option<SettleReason> {
    Some(match byte {
        1 => SettleReason::Acked,
        2 => SettleReason::Rejected,
        3 => SettleReason::Expired,
        4 => SettleReason::MaxLength,
        5 => SettleReason::DeliveryLimit,
        6 => SettleReason::Purged,
        _ => return None,
    })
}

/// The message inside an enqueue's payload.
pub(crate) fn parse_message(bytes: &[u8]) -> Option<Message> {
    let fixed = bytes.get(..ENQUEUE_FIXED)?;
    let rest = &bytes[ENQUEUE_FIXED..];
    let flags = fixed[45];
    let exchange = ShortRange { start: 0, count: u8::try_from(u16_at(fixed, 40)).ok()? };
    let routing_key = ShortRange { start: exchange.end(), count: u8::try_from(u16_at(fixed, 42)).ok()? };
    let properties_end = routing_key.end().checked_add(u32_at(fixed, 32))?;
    let end = properties_end.checked_add(u32_at(fixed, 36))?;
    let mut layout = MessageLayout {
        exchange,
        routing_key,
        properties: routing_key.end()..properties_end,
        body: properties_end..end,
    };
    if rest.len() != end as usize {
        return None;
    }
    let meta = MessageMeta {
        persistent: flags & E_PERSISTENT != 0,
        priority: (flags & E_PRIORITY != 0).then_some(fixed[46]),
        expiration_ms: (flags & E_EXPIRATION != 0).then(|| u64_at(fixed, 24)),
        died: flags & E_DIED != 0,
        redelivered: flags & E_REDELIVERED != 0,
    };
    let message = if layout.body.len() >= LARGE_BODY {
        let head = layout.body.start as usize;
        let body = Bytes::copy_from_slice(&rest[head..]);
        layout.body = 0..0;
        Message::from_parts(&rest[..head], layout, meta, Some(body))
    } else {
        Message::from_parts(rest, layout, meta, None)
    };
    message.always_log();
    Some(message)
}
