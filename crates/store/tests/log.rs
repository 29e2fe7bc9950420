//! The log store on a real folder: what survives, what is reported, what is served.

#![expect(clippy::unwrap_used, reason = "a test may fail where it likes")]

#[path = "common/mod.rs"]
mod common;

use std::time::Duration;

use common::{PATIENCE, ask, enqueue, message, seqs, settle, waiter, wish};
use leveret_message::stored::Stored;
use leveret_message::{QueueId, Seq};
use leveret_store::log::{LogStore, Options, Recovered, inspect};
use leveret_store::{Pressure, Record, Store};

fn sync(store: &LogStore) {
    let (waiter, told) = waiter();
    store.notify(&waiter, 1);
    let (_, outcome) = told.recv_timeout(PATIENCE).unwrap();
    outcome.unwrap();
}

fn read(store: &LogStore, queue: u64, from: u64, to: u64) -> Vec<Stored> {
    let answer = ask(store, wish(queue, from, to));
    answer.recv_timeout(PATIENCE).unwrap().unwrap()
}

fn open(dir: &std::path::Path) -> (LogStore, Recovered) {
    let options = Options { segment_bytes: 1 << 20, ..Options::default() };
    LogStore::open(dir, &options).unwrap()
}

#[test]
fn messages_survive_a_restart_and_settled_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, recovered) = open(dir.path());
        assert!(recovered.queues.is_empty() && recovered.findings.is_empty());
        for seq in 1..=3000 {
            let body = format!("body {seq}").repeat(50);
            store.append(&mut vec![enqueue(7, seq, &message(body.as_bytes()))]).unwrap();
        }
        store.append(&mut vec![settle(7, 1, 1500), settle(7, 2000, 1)]).unwrap();
        sync(&store);
        assert_eq!(read(&store, 7, 1, 3000).len(), 1499);
    }
    let (store, recovered) = open(dir.path());
    assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
    let queue = &recovered.queues[&QueueId(7)];
    assert_eq!(queue.last_seq, Seq(3000));
    assert_eq!(queue.ranges.iter().map(|r| r.count).sum::<u64>(), 1499);
    assert_eq!(queue.ranges[0].first, Seq(1501));
    let stored = read(&store, 7, 1990, 2010);
    let expected: Vec<u64> = (1990..=2010).filter(|seq| *seq != 2000).collect();
    assert_eq!(seqs(&stored), expected);
    for one in stored {
        let message = one.message.unwrap();
        assert_eq!(message.body(), format!("body {}", one.seq.0).repeat(50).as_bytes());
        assert_eq!(message.routing_key(), b"a.key");
        assert!(!message.settle_unless_taken());
    }
}

#[test]
fn a_lost_index_is_rebuilt_from_the_log() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        for seq in 1..=2000 {
            store.append(&mut vec![enqueue(1, seq, &message(&[1; 2000]))]).unwrap();
            if seq % 3 == 0 {
                store.append(&mut vec![settle(1, seq, 1)]).unwrap();
            }
        }
    }
    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
    let (store, recovered) = open(dir.path());
    assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
    let expected: Vec<u64> = (1..=2000).filter(|seq| seq % 3 != 0).collect();
    assert_eq!(seqs(&read(&store, 1, 1, 2000)), expected);
    let queue = &recovered.queues[&QueueId(1)];
    assert_eq!((queue.last_seq, queue.delivered_upto), (Seq(2000), Seq(2000)));
}

#[test]
fn an_index_that_met_a_full_disk_is_made_from_the_log_again() {
    let dir = tempfile::tempdir().unwrap();
    let index = dir.path().join("index");
    drop(open(dir.path()));
    let older = std::fs::read(index.join("db")).unwrap();
    {
        let (store, _) = open(dir.path());
        for seq in 1..=2000 {
            store.append(&mut vec![enqueue(1, seq, &message(&[1; 2000]))]).unwrap();
        }
        store.append(&mut vec![settle(1, 1, 1500)]).unwrap();
        sync(&store);
    }
    std::fs::write(index.join("db"), older).unwrap();
    std::fs::write(index.join("distrusted"), "").unwrap();
    let (store, recovered) = open(dir.path());
    assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
    assert_eq!(seqs(&read(&store, 1, 1, 2000)), (1501..=2000).collect::<Vec<_>>());
    drop(store);
    assert!(!index.join("distrusted").exists(), "the new one is relied on");
}

#[test]
fn a_drained_log_gives_its_space_back() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    for seq in 1..=20_000 {
        store.append(&mut vec![enqueue(1, seq, &message(&[1; 1000]))]).unwrap();
    }
    sync(&store);
    // One message that stays in the middle holds no segment either.
    store.append(&mut vec![settle(1, 1, 9_999), settle(1, 10_001, 10_000)]).unwrap();
    let metrics = store.metrics();
    let mut rounds = 0;
    while metrics.segments.get() > 2 || metrics.compacted_bytes.get() == 0 {
        rounds += 1;
        assert!(rounds < 200, "{metrics:?}");
        // Keeps the log moving, as a broker's settles do.
        store.append(&mut vec![settle(2, 1, 1)]).unwrap();
        std::thread::park_timeout(Duration::from_millis(50));
    }
    assert_eq!(seqs(&read(&store, 1, 1, 20_000)), [10_000]);
}

#[test]
fn a_damaged_record_is_told_with_its_place_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        for seq in 1..=100 {
            let body = format!("body {seq:03}").repeat(20);
            store.append(&mut vec![enqueue(3, seq, &message(body.as_bytes()))]).unwrap();
        }
        sync(&store);
    }
    let segment = dir.path().join("log/0000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let at = bytes.windows(8).position(|w| w == b"body 050").unwrap();
    bytes[at] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    for index_lost in [false, true] {
        if index_lost {
            std::fs::remove_dir_all(dir.path().join("index")).unwrap();
        }
        let (store, recovered) = open(dir.path());
        let stored = read(&store, 3, 1, 100);
        let good: Vec<u64> = stored.iter().filter(|s| s.message.is_ok()).map(|s| s.seq.0).collect();
        assert_eq!(good, (1..=100).filter(|seq| *seq != 50).collect::<Vec<_>>());
        if index_lost {
            let finding = recovered.findings[0].to_string();
            assert!(finding.starts_with("log/0000000001.seg, offset "), "{finding}");
        } else {
            let problem = stored[49].message.as_ref().unwrap_err();
            assert!(problem.contains("0000000001.seg"), "{problem}");
            assert!(problem.contains("place 50 of queue #3"), "{problem}");
        }
    }
}

#[test]
fn a_missing_segment_is_told_and_the_rest_is_served() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        for seq in 1..=3000 {
            store.append(&mut vec![enqueue(3, seq, &message(&[1; 1000]))]).unwrap();
        }
        sync(&store);
    }
    std::fs::remove_file(dir.path().join("log/0000000002.seg")).unwrap();
    let (store, recovered) = open(dir.path());
    let finding = &recovered.findings[0];
    assert_eq!(finding.file, "log/0000000002.seg");
    let stored = read(&store, 3, 1, 3000);
    let lost = stored.iter().filter(|s| s.message.is_err()).count() as u64;
    assert_eq!((lost, stored.len()), (finding.count, 3000));
}

#[test]
fn a_damaged_index_is_moved_aside_and_rebuilt() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        for seq in 1..=2000 {
            store.append(&mut vec![enqueue(3, seq, &message(&[1; 100]))]).unwrap();
        }
        store.append(&mut vec![settle(3, 1, 10)]).unwrap();
        sync(&store);
    }
    let db = dir.path().join("index/db");
    let file = std::fs::File::options().write(true).open(&db).unwrap();
    let len = file.metadata().unwrap().len();
    file.set_len(len.min(20_000)).unwrap();
    drop(file);
    let mut bytes = std::fs::read(&db).unwrap();
    for byte in bytes.iter_mut().skip(20) {
        *byte ^= 0x5a;
    }
    std::fs::write(&db, bytes).unwrap();
    let (store, _) = open(dir.path());
    assert_eq!(seqs(&read(&store, 3, 1, 2000)), (11..=2000).collect::<Vec<_>>());
}

#[test]
fn a_queue_that_is_gone_stays_away_and_no_other_goes_with_it() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        let message = message(b"x");
        store.append(&mut vec![enqueue(1, 1, &message), enqueue(2, 1, &message)]).unwrap();
        sync(&store);
    }
    {
        let (store, recovered) = open(dir.path());
        assert_eq!(recovered.queues.len(), 2);
        store.append(&mut vec![Record::Gone { queue: QueueId(1) }]).unwrap();
    }
    let (_, recovered) = open(dir.path());
    assert_eq!(recovered.queues.keys().copied().collect::<Vec<_>>(), [QueueId(2)]);
    assert_eq!(recovered.queues[&QueueId(2)].last_seq, Seq(1));
}

#[test]
fn a_message_settled_before_its_turn_is_confirmed_and_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path());
    let mut records = Vec::new();
    for seq in 1..=100 {
        let message = message(&[1; 1000]);
        assert!(message.settle_unless_taken());
        let Record::Enqueue { .. } = enqueue(1, seq, &message) else { unreachable!() };
        records.push(Record::Enqueue {
            queue: QueueId(1),
            seq: Seq(seq),
            message,
            priority_level: 0,
            expires: None,
            transient: false,
            sole: true,
        });
    }
    store.append(&mut records).unwrap();
    sync(&store);
    let metrics = store.metrics();
    assert_eq!((metrics.elided.get(), metrics.bytes_written.get()), (100, 0));
    assert_eq!(metrics.syncs.get(), 0);
}

#[test]
fn more_waiting_than_the_limit_is_pressure_until_half_of_it_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let (sender, relieved) = std::sync::mpsc::channel();
    let sender = std::sync::Mutex::new(sender);
    let options = Options {
        pending_limit: 100_000,
        relief: std::sync::Arc::new(move || {
            let _ = sender.lock().unwrap().send(());
        }),
        ..Options::default()
    };
    let (store, _) = LogStore::open(dir.path(), &options).unwrap();
    let mut group = (1..=200).map(|seq| enqueue(1, seq, &message(&[1; 1000]))).collect();
    store.append(&mut group).unwrap();
    relieved.recv_timeout(PATIENCE).unwrap();
    assert_eq!(store.pressure(), Pressure::None);
}

#[test]
fn an_inspection_tells_what_is_there_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    {
        let (store, _) = open(dir.path());
        for seq in 1..=1500 {
            store.append(&mut vec![enqueue(3, seq, &message(&[1; 1000]))]).unwrap();
        }
        store.append(&mut vec![settle(3, 1, 500)]).unwrap();
        sync(&store);
    }
    let report = inspect(dir.path()).unwrap();
    assert_eq!(report.findings, []);
    assert_eq!(report.segments.len(), 2);
    let queue = report.queues[&QueueId(3)];
    assert_eq!((queue.messages, queue.bytes, queue.last_seq), (1000, 1_000_000, 1500));
    assert_eq!(inspect(dir.path()).unwrap(), report);
}

/// A folder written by the previous release: `clean` was closed, `killed` copied while it was open.
fn folder_of_format_1(end: &str) -> tempfile::TempDir {
    fn copy(from: &std::path::Path, to: &std::path::Path) {
        std::fs::create_dir_all(to).unwrap();
        for entry in std::fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            let to = to.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                copy(&entry.path(), &to);
            } else {
                std::fs::copy(entry.path(), to).unwrap();
            }
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let made = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/format_1").join(end);
    copy(&made, dir.path());
    dir
}

#[test]
fn a_folder_of_format_1_is_read_and_goes_on_in_format_2() {
    let check = |store: &LogStore, more: &[u64]| {
        let bodies = |queue| {
            let stored = read(store, queue, 1, 1000).into_iter();
            stored.map(|one| (one.seq.0, one.message.unwrap())).collect::<Vec<_>>()
        };
        let one = bodies(1);
        let wanted: Vec<u64> = (11..=61).chain(more.iter().copied()).collect();
        assert_eq!(one.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), wanted);
        for (seq, message) in &one[..50] {
            let body = format!("one {seq}").repeat(usize::try_from(*seq).unwrap());
            assert_eq!(message.body(), body.as_bytes());
        }
        assert_eq!(one[50].1.body(), b"after the checkpoint");
        let two: Vec<u64> = (1..=60).filter(|seq| *seq != 5).collect();
        assert_eq!(bodies(2).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), two);
        let three: Vec<u64> = [7].into_iter().chain(51..=60).collect();
        assert_eq!(bodies(3).iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), three);
        assert!(bodies(3).iter().all(|(seq, m)| m.body() == format!("both {seq}").as_bytes()));
        let four = read(store, 4, 1, 10);
        assert_eq!(four[0].message.as_ref().unwrap().body(), vec![b'l'; 40_000]);
        assert_eq!(four[1].expires.unwrap().0, 4_000_000_000_000);
    };
    for end in ["clean", "killed"] {
        for keep_index in [true, false] {
            let dir = folder_of_format_1(end);
            if !keep_index {
                std::fs::remove_dir_all(dir.path().join("index")).unwrap();
            }
            let mut more = Vec::new();
            for round in 0..3 {
                let (store, recovered) = open(dir.path());
                assert!(recovered.findings.is_empty(), "{end}: {:?}", recovered.findings);
                check(&store, &more);
                let seq = 62 + round;
                store.append(&mut vec![enqueue(1, seq, &message(b"in format 2"))]).unwrap();
                more.push(seq);
                sync(&store);
                if round == 1 {
                    store.close().unwrap();
                    std::fs::remove_dir_all(dir.path().join("index")).unwrap();
                }
            }
            let report = inspect(dir.path()).unwrap();
            assert!(report.findings.is_empty(), "{:?}", report.findings);
        }
    }
}
