//! Entry points for fuzzers of the log's formats: any bytes in place of a file or a record.
//!
//! Invariants: a panic here means a violated invariant. Absent: real files.

use std::sync::Arc;

use leveret_message::ids::{QueueId, Seq};

use super::Recovered;
use super::core::{Core, Options};
use super::format::{
    Kind, RECORD_HEAD, Seal, head_bytes, is_intact, parse_head, parse_message, parse_payload, record_crc,
};
use super::head::{SEGMENT_HEAD, parse_segment_head, seal, seal_1, segment_head};
use super::segments::segment_name;
use crate::ReadWish;
use crate::disk::Disk;
use crate::index::{Db, chunk::Chunk};
use crate::salt::Salt;
use crate::sim::{SimDb, SimDisk};

/// Parses bytes as the head of a segment, and as one record of either version.
///
/// # Panics
/// If a message is longer than the bytes it was read from.
pub fn record(bytes: &[u8]) {
    let _ = parse_segment_head(bytes);
    for seal in [seal_1(1), seal(Salt::from_bytes([0; Salt::LEN]))] {
        if let Some(head) = parse_head(bytes, seal) {
            let _ = is_intact(seal, head, bytes, 64);
        }
    }
    let Some((kind, payload)) = bytes.split_first() else { return };
    if let Some(kind) = Kind::from_u8(*kind) {
        let _ = parse_payload(kind, payload);
    }
    if let Some(message) = parse_message(payload) {
        assert!(message.body_len() <= payload.len());
    }
}

/// Opens a log with these bytes after the head of the newest segment.
///
/// # Panics
/// If another start finds other messages.
pub fn segment(bytes: &[u8]) {
    opened(bytes.to_vec());
}

/// Opens a log with these bytes as payloads of whole records: each is preceded by a kind, a flag and a length.
///
/// # Panics
/// If another start finds other messages.
pub fn records(mut bytes: &[u8]) {
    let seal = seal(Salt::from_bytes([0; Salt::LEN]));
    let mut out = Vec::new();
    while let Some(([kind, flags, len], rest)) = bytes.split_first_chunk() {
        let (payload, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        bytes = rest;
        let kind = Kind::from_u8(kind % 12).unwrap_or(Kind::Settle);
        put(&mut out, seal, kind, flags & 1 == 1, payload);
    }
    opened(out);
}

fn put(out: &mut Vec<u8>, seal: Seal, kind: Kind, last: bool, payload: &[u8]) {
    let (Ok(len), Ok(at)) = (u32::try_from(payload.len()), u32::try_from(out.len())) else { return };
    let mut head = head_bytes(len, seal, kind, last);
    let crc = record_crc(seal, &head, SEGMENT_HEAD + at, payload, &[]);
    head[..RECORD_HEAD - 12].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(&head);
    out.extend_from_slice(payload);
    out.resize(out.len().next_multiple_of(8), 0);
}

/// Opens a log of one segment with these records twice: both times the content must be the same.
fn opened(records: Vec<u8>) {
    let disk = SimDisk::new(1);
    let mut file = segment_head(1, Salt::from_bytes([0; Salt::LEN]));
    file.extend(records);
    disk.put(&segment_name(1), file);
    let first = content(&disk);
    let second = content(&disk);
    assert_eq!(first, second);
}

fn content(disk: &SimDisk) -> Vec<(u64, u64, Vec<u8>)> {
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let db: Arc<dyn Db> = Arc::new(SimDb::new(1));
    let mut recovered = Recovered::default();
    let options = Options { segment_bytes: 64 << 10, ..Options::default() };
    let Ok(core) = Core::open(disk, db, options, &mut recovered) else { return Vec::new() };
    let mut found = Vec::new();
    for (queue, told) in &recovered.queues {
        for range in &told.ranges {
            let wish = ReadWish {
                queue: *queue,
                priority_level: range.priority_level,
                from: Seq(0),
                to: Seq(u64::MAX),
                max_messages: usize::MAX,
                max_bytes: usize::MAX,
            };
            let stored = core.read_now(&wish).unwrap_or_default();
            let QueueId(queue) = *queue;
            found.extend(stored.into_iter().map(|one| {
                (queue, one.seq.0, one.message.map_or_else(|_| Vec::new(), |message| message.body().to_vec()))
            }));
        }
    }
    found.sort();
    found
}

/// Parses bytes as both index records of a chunk.
///
/// # Panics
/// If entries are not in order.
pub fn chunk(bytes: &[u8]) {
    let (summary, entries) = bytes.split_at(bytes.len() / 2);
    let _ = Chunk::decode_summary(summary);
    if let Some(entries) = Chunk::decode_entries(1, entries, summary) {
        assert!(entries.is_sorted_by_key(|entry| entry.seq));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_purge_that_keeps_the_last_number_there_is_is_taken() {
        let mut bytes = b"[[[!\x01\x10\0\0".to_vec();
        bytes.extend([0xff; 20]);
        bytes.extend([0x11, 1]);
        records(&bytes);
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            record(&bytes);
            segment(&bytes);
            chunk(&bytes);
        }

        #[test]
        fn any_payloads_of_whole_records_are_taken(
            parts in proptest::collection::vec((1u8..12, any::<bool>(), proptest::collection::vec(
                prop_oneof![Just(0u8), Just(1), Just(64), Just(255), any::<u8>()], 0..80,
            )), 0..12),
        ) {
            let mut bytes = Vec::new();
            for (kind, last, payload) in parts {
                bytes.extend([kind, u8::from(last), u8::try_from(payload.len()).unwrap()]);
                bytes.extend(payload);
            }
            records(&bytes);
        }
    }
}
