//! Damage in what was synced last, after the process ended at any moment: reported, and never cut away silently.

use std::collections::BTreeSet;
use std::time::Duration;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;
use leveret_message::stored::SettleReason;

use super::Recovered;
use super::core::Core;
use super::crash_test::open;
use super::format::{Payload, RECORD_HEAD};
use super::scan::{Scanned, Scanner};
use super::segments::segment_name;
use super::synced::SYNCED_NAME;
use crate::disk::Disk;
use crate::sim::{SimDb, SimDisk};
use crate::{ReadWish, Record};

fn message(body: &[u8]) -> Message {
    let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
    Message::new(Short::literal("x"), Short::literal("key"), b"\0\0", body, meta)
}

fn enqueue(queue: u64, seq: u64, message: &Message) -> Record {
    Record::Enqueue {
        queue: QueueId(queue),
        seq: Seq(seq),
        message: message.clone(),
        priority_level: 0,
        expires: None,
        transient: false,
        sole: false,
    }
}

fn commit(core: &Core) {
    while core.commit(Duration::ZERO) == super::commit::Step::Worked {}
    assert!(core.committer.lock().sync(core));
}

/// A killed store's disk, its newest segment, and the ranges of the records of its last batch.
fn killed() -> (SimDisk, String, Vec<(u32, u32)>) {
    let (disk, db) = (SimDisk::new(3), SimDb::new(3));
    let (core, _) = open(&disk, &db).unwrap();
    for seq in 1..=3 {
        core.append_queue.append(&mut vec![enqueue(1, seq, &message(b"before"))]).unwrap();
        commit(&core);
    }
    let start = end(&core);
    let both = message(b"for both queues");
    both.always_log();
    for group in [
        vec![enqueue(1, 4, &message(b"four"))],
        vec![enqueue(2, 1, &both), enqueue(3, 1, &both)],
        vec![Record::Settle { queue: QueueId(1), first: Seq(1), count: 1, reason: SettleReason::Acked }],
        vec![Record::Returned { queue: QueueId(1), seq: Seq(2), count: 9 }],
        vec![Record::Purge { queue: QueueId(4), upto: Seq(2), kept: vec![Seq(1)] }],
        vec![enqueue(1, 5, &message(&[7; 300]))],
    ] {
        core.append_queue.append(&mut group.clone()).unwrap();
    }
    commit(&core);
    let (number, segment) = core.segments.all().pop().unwrap();
    let mut scanner = Scanner::new(&*segment.file, segment.seal).unwrap();
    scanner.seek(start);
    let mut records = Vec::new();
    while let Some(Scanned::Record { offset, len, .. }) = scanner.next_record().unwrap() {
        records.push((offset, offset + len));
    }
    assert_eq!((records.len(), records.last().unwrap().1), (8, end(&core)));
    disk.kill();
    (disk, segment_name(number), records)
}

fn end(core: &Core) -> u32 {
    let mut index = core.index.lock();
    core.fold(&mut index).unwrap();
    index.folded().offset
}

/// Messages present, as queue and sequence number.
fn there(core: &Core) -> BTreeSet<(u64, u64)> {
    let mut there = BTreeSet::new();
    for queue in 1..=4 {
        let wish = ReadWish {
            queue: QueueId(queue),
            priority_level: 0,
            from: Seq(0),
            to: Seq(u64::MAX),
            max_messages: usize::MAX,
            max_bytes: usize::MAX,
        };
        let stored = core.read_now(&wish).unwrap();
        there.extend(stored.iter().filter(|one| one.message.is_ok()).map(|one| (queue, one.seq.0)));
    }
    there
}

const ALL: [(u64, u64); 6] = [(1, 2), (1, 3), (1, 4), (1, 5), (2, 1), (3, 1)];

/// What may be missing, or may return, when the record with this number in the last batch is lost.
fn cost(record: usize) -> &'static [(u64, u64)] {
    match record {
        1 => &[(1, 4)],
        2 => &[(2, 1), (3, 1)],
        // It ended its group: what the next one settles is not believed either.
        3 => &[(1, 1), (3, 1)],
        4 => &[(1, 1)],
        7 => &[(1, 5)],
        _ => &[],
    }
}

fn reopened(disk: &SimDisk) -> (Core, Recovered) {
    let (core, recovered) = open(disk, &SimDb::new(4)).unwrap();
    // Findings are not reported again, and new messages are accepted.
    core.append_queue.append(&mut vec![enqueue(9, 1, &message(b"new"))]).unwrap();
    commit(&core);
    (core, recovered)
}

#[test]
fn a_flipped_byte_in_the_last_confirmed_batch_is_named_with_its_place() {
    let (disk, name, records) = killed();
    let whole = disk.read(&name).unwrap();
    let (core, recovered) = reopened(&disk.fork());
    assert!(recovered.findings.is_empty() && there(&core) == BTreeSet::from(ALL));
    for (number, (from, to)) in records.iter().enumerate() {
        let len = crate::bytes::u32_at(&whole, *from as usize + 4) as usize;
        let padding = *from as usize + RECORD_HEAD + len;
        for at in *from as usize..*to as usize {
            for mask in [1, 2, 4, 8, 16, 32, 64, 128, 0xff, whole[at]] {
                if mask == 0 {
                    continue;
                }
                let mut bytes = whole.clone();
                bytes[at] ^= mask;
                let disk = disk.fork();
                disk.put(&name, bytes);
                let (core, recovered) = reopened(&disk);
                let told = format!(
                    "record {number}, byte {}, mask {mask}: {:?}",
                    at - *from as usize,
                    recovered.findings
                );
                let (there, all) = (there(&core), BTreeSet::from(ALL));
                if at >= padding {
                    assert!(recovered.findings.is_empty() && there == all, "{told}");
                    continue;
                }
                // A missing message is reported for each queue that refers to it.
                let also = usize::from(number == 2);
                assert!((1..=1 + also).contains(&recovered.findings.len()), "{told}");
                let finding = &recovered.findings[0];
                assert!(finding.file.ends_with(&name), "{told}");
                assert_eq!(finding.offset, Some(u64::from(*from)), "{told}");
                let changed: BTreeSet<_> = all.symmetric_difference(&there).copied().collect();
                assert_eq!(changed, cost(number).iter().copied().collect(), "{told}");
                if at >= *from as usize + 24 && number > 0 {
                    assert_eq!(finding.count, 1, "{told}");
                    let queue = finding.queue.map(|queue| queue.0);
                    let known: &[u64] = if number == 6 { &[] } else { &[1, 2, 3] };
                    assert!(queue.is_none_or(|queue| known.contains(&queue)), "{told}");
                    assert!(queue.is_some() || number == 3 || number == 6 || number == 2, "{told}");
                }
            }
        }
    }
}

#[test]
fn a_file_that_ends_within_the_last_confirmed_batch_is_named() {
    let (disk, name, records) = killed();
    let whole = disk.read(&name).unwrap();
    let last = records.last().unwrap().1;
    for len in records[0].0..last {
        let disk = disk.fork();
        disk.put(&name, whole[..len as usize].to_vec());
        let (core, recovered) = reopened(&disk);
        assert!(!recovered.findings.is_empty(), "cut at {len}");
        // The end mark is written at a multiple of 8, with zeros before it: a record that lost only zeros is whole
        // again.
        let left = (len as usize).next_multiple_of(8);
        let whole = |(from, _): &(u32, u32)| {
            let end =
                *from as usize + RECORD_HEAD + crate::bytes::u32_at(&whole, *from as usize + 4) as usize;
            end <= left && whole[(len as usize).min(end)..end].iter().all(|byte| *byte == 0)
        };
        let mut wanted = BTreeSet::from([(1, 1), (1, 2), (1, 3)]);
        for (number, _) in records.iter().enumerate().filter(|(_, place)| whole(place)) {
            match number {
                1 => drop(wanted.insert((1, 4))),
                2 => drop(wanted.insert((2, 1))),
                3 => drop(wanted.insert((3, 1))),
                4 => drop(wanted.remove(&(1, 1))),
                7 => drop(wanted.insert((1, 5))),
                _ => {}
            }
        }
        assert_eq!(there(&core), wanted, "cut at {len}: {:?}", recovered.findings);
    }
}

#[test]
fn a_missing_or_damaged_note_of_the_last_sync_is_told() {
    let (disk, _, _) = killed();
    let note = disk.read(SYNCED_NAME).unwrap();
    for (at, byte) in note.iter().enumerate().take(20) {
        let disk = disk.fork();
        let mut bytes = note.clone();
        bytes[at] = !byte;
        disk.put(SYNCED_NAME, bytes);
        let (core, recovered) = reopened(&disk);
        let [finding] = &recovered.findings[..] else { panic!("{:?}", recovered.findings) };
        assert!(finding.file.ends_with(SYNCED_NAME));
        assert_eq!(there(&core), BTreeSet::from(ALL));
    }
    disk.remove(SYNCED_NAME).unwrap();
    let (_, recovered) = reopened(&disk);
    assert_eq!(recovered.findings.len(), 1, "{:?}", recovered.findings);
}

#[test]
fn a_newest_segment_that_is_gone_is_told() {
    let (disk, name, _) = killed();
    disk.remove(&name).unwrap();
    let (_, recovered) = reopened(&disk);
    let [finding] = &recovered.findings[..] else { panic!("{:?}", recovered.findings) };
    assert!(finding.file.ends_with(&name), "{finding}");
}

/// Offsets of records that settle, in all segments but the newest.
fn closed_settles(core: &Core) -> Vec<(String, usize)> {
    let mut segments = core.segments.all();
    segments.pop();
    let mut found = Vec::new();
    for (number, segment) in segments {
        let mut scanner = Scanner::new(&*segment.file, segment.seal).unwrap();
        while let Some(Scanned::Record { offset, payload, .. }) = scanner.next_record().unwrap() {
            if matches!(payload, Payload::Settle { .. }) {
                found.push((segment_name(number), offset as usize));
            }
        }
    }
    found
}

#[test]
fn damage_among_settles_that_are_carried_on_is_told() {
    for flipped in [false, true] {
        let (disk, db) = (SimDisk::new(5), SimDb::new(5));
        let (core, _) = open(&disk, &db).unwrap();
        let put = |records: Vec<Record>| {
            for one in records {
                core.append_queue.append(&mut vec![one]).unwrap();
            }
            commit(&core);
        };
        let settle = |seq, count| Record::Settle {
            queue: QueueId(1),
            first: Seq(seq),
            count,
            reason: SettleReason::Acked,
        };
        put((1..=100).map(|seq| enqueue(1, seq, &message(&[7; 700]))).collect());
        // Messages that stay keep the segments of the others, so that these settles are needed.
        put((1..=100).filter(|seq| seq % 20 != 0).map(|seq| settle(seq, 1)).collect());
        put((101..=200).map(|seq| enqueue(1, seq, &message(&[7; 700]))).collect());
        let settles = closed_settles(&core);
        assert!(settles.len() > 50, "{settles:?}");
        if flipped {
            let (file, offset) = &settles[settles.len() / 2];
            assert!(disk.flip(file, offset + RECORD_HEAD + 4));
        }
        put(vec![settle(101, 99)]);
        let carried = || settles.iter().all(|(file, _)| disk.read(file).is_none());
        for round in 0..900 {
            core.commit(Duration::from_secs(round));
            core.checkpoint().unwrap();
            if carried() {
                break;
            }
        }
        assert!(carried(), "their segments are retired");
        assert_eq!(core.metrics.damaged.get(), u64::from(flipped), "flipped: {flipped}");
    }
}
