//! Client data and a file's earlier content are never read as records.

use std::io::IoSlice;
use std::time::Duration;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;

use super::crash_test::open;
use super::format::{Kind, Seal, head_bytes, record_crc};
use super::head::{seal, seal_1};
use crate::salt::Salt;
use crate::sim::{SimDb, SimDisk};
use crate::{ReadWish, Record};

const QUEUE: QueueId = QueueId(1);

/// A whole record in a group of its own at `offset`.
pub(super) fn record(seal: Seal, offset: u32, kind: Kind, payload: &[u8]) -> Vec<u8> {
    let len = u32::try_from(payload.len()).unwrap();
    let mut record = head_bytes(len, seal, kind, true).to_vec();
    let crc = record_crc(seal, &record, offset, payload, &[]);
    record[..4].copy_from_slice(&crc.to_le_bytes());
    record.extend_from_slice(payload);
    record.resize(record.len().next_multiple_of(8), 0);
    record
}

/// Records at `from..to` that claim that all was synced, and then settle everything.
pub(super) fn attack(seal: Seal, from: u32, to: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    let synced = u32::MAX.to_le_bytes();
    let settle = [1u64, 0, u64::MAX].map(u64::to_le_bytes).concat();
    let settle = [&settle[..], &[1]].concat();
    loop {
        let at = |bytes: &[u8]| from + u32::try_from(bytes.len()).unwrap();
        let batch = record(seal, at(&bytes), Kind::Batch, &[synced, [0; 4]].concat());
        let after = at(&bytes) + u32::try_from(batch.len()).unwrap();
        let pair = [batch, record(seal, after, Kind::Settle, &settle)].concat();
        if bytes.len() + pair.len() > (to - from) as usize {
            return bytes;
        }
        bytes.extend(pair);
    }
}

/// The sequence numbers of the messages that a store with three confirmed ones holds after a `kill -9`, when they are
/// followed in the newest segment by what `forge` makes of its number and end; and the amount of damage reported.
fn with_forged_tail(forge: &dyn Fn(u32, Seal, u32) -> (u32, Vec<u8>)) -> (Vec<u64>, usize) {
    let (disk, db) = (SimDisk::new(7), SimDb::new(7));
    let (core, _) = open(&disk, &db).unwrap();
    for seq in 1..=3 {
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        let message = Message::new(Short::literal("x"), Short::literal("k"), b"\0\0", b"body", meta);
        core.append_queue
            .append(&mut vec![Record::Enqueue {
                queue: QUEUE,
                seq: Seq(seq),
                message,
                priority_level: 0,
                expires: None,
                transient: false,
                sole: false,
            }])
            .unwrap();
        core.commit(Duration::ZERO);
        assert!(core.committer.lock().sync(&core));
    }
    let (number, segment) = core.segments.all().pop().unwrap();
    let end = {
        let mut index = core.index.lock();
        core.fold(&mut index).unwrap();
        index.folded().offset
    };
    let (at, bytes) = forge(number, segment.seal, end);
    segment.file.write_at(&mut [IoSlice::new(&bytes)], u64::from(at)).unwrap();
    segment.file.sync_data().unwrap();
    drop(core);
    let (core, recovered) = open(&disk, &db).unwrap();
    let wish = ReadWish {
        queue: QUEUE,
        priority_level: 0,
        from: Seq(0),
        to: Seq(u64::MAX),
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
    };
    let places = core.read_now(&wish).unwrap().iter().map(|stored| stored.seq.0).collect();
    (places, recovered.findings.len())
}

#[test]
fn forged_records_behind_the_end_of_the_log_are_nothing_at_every_offset() {
    const LENGTH: u32 = 72;
    for shift in (0..LENGTH).step_by(8) {
        let attack = |forged: &dyn Fn(u32, Seal) -> Seal| {
            with_forged_tail(&|number, own, end| {
                let from = end + shift;
                (from, attack(forged(number, own), from, 20 << 10))
            })
        };
        let untouched = (vec![1, 2, 3], 0);
        for ahead in 0..3 {
            assert_eq!(attack(&|number, _| seal_1(number + ahead)), untouched, "version 1, shift {shift}");
        }
        let guessed = Salt::from_bytes([0; 8]);
        assert_eq!(attack(&|_, _| seal(guessed)), untouched, "a salt of zeros, shift {shift}");
        // Even a forger who knew half of it would not be read.
        assert_eq!(attack(&|_, own| Seal { start: own.start ^ 1, ..own }), untouched, "shift {shift}");
        assert_eq!(attack(&|_, own| Seal { mark: own.mark ^ 1, ..own }), untouched, "shift {shift}");
        // This test can fail: with the salt, all would be settled.
        assert_eq!(attack(&|_, own| own).0, [0u64; 0], "shift {shift}");
    }
}
