//! A data folder with arbitrary changes: opening it never panics, what is intact is served, what is not is reported.
//!
//! `LEVERET_MUTATIONS` is the number of folders to try, starting at `LEVERET_FIRST_SEED`; `LEVERET_SEED` replays one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::message::{Message, MessageMeta};
use leveret_message::short::Short;
use leveret_message::stored::SettleReason;

use super::format::Payload;
use super::head::{SegmentHead, read_head};
use super::scan::{Scanned, Scanner};
use super::segments::segment_number;
use super::{LogStore, Options};
use crate::disk::{Disk, RealDisk};
use crate::sim::Rng;
use crate::{Broken, ReadWish, Record, Store, Synced, Waiter};

/// A message: queue and sequence number.
type Name = (u64, u64);

/// A byte range of a file of the folder.
type Part = (String, Range<u64>);

struct Base {
    dir: tempfile::TempDir,
    live: BTreeMap<Name, Vec<u8>>,
    /// The parts of the log's files that each message needs.
    needs: BTreeMap<Name, Vec<Part>>,
}

fn options() -> Options {
    // Copies made by compaction would give one message several places.
    Options { segment_bytes: 24 << 10, compact_bytes: 0, ..Options::default() }
}

fn enqueue((queue, seq): Name, message: &Message) -> Record {
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

fn settle((queue, seq): Name) -> Record {
    Record::Settle { queue: QueueId(queue), first: Seq(seq), count: 1, reason: SettleReason::Acked }
}

struct Told(parking_lot::Mutex<Sender<()>>);

impl Waiter for Told {
    fn synced(&self, _token: u64, outcome: Result<Synced, Broken>) {
        outcome.unwrap();
        let _ = self.0.lock().send(());
    }
}

/// A folder of several segments, as left by a store that was closed, or killed while the index was behind.
fn base(closed: bool) -> Base {
    let dir = tempfile::tempdir().unwrap();
    let copy = tempfile::tempdir().unwrap();
    let (store, _) = LogStore::open(dir.path(), &options()).unwrap();
    let mut rng = Rng::new(u64::from(closed));
    let mut live = BTreeMap::new();
    for seq in 1..=120u64 {
        let long = if seq == 50 { 40_000 } else { rng.below(600) };
        let body = format!("{seq} ").repeat(usize::try_from(long / 4 + 1).unwrap()).into_bytes();
        let meta = MessageMeta { persistent: true, ..MessageMeta::default() };
        let message = Message::new(Short::literal("x"), Short::literal("k"), b"\0\0", &body, meta);
        message.always_log();
        let queues: &[u64] = if rng.one_in(4) { &[1, 2, 3] } else { &[1] };
        let mut group: Vec<_> = queues.iter().map(|queue| enqueue((*queue, seq), &message)).collect();
        live.extend(queues.iter().map(|queue| ((*queue, seq), body.clone())));
        if rng.one_in(3) {
            let at = usize::try_from(rng.below(live.len() as u64)).unwrap();
            let settled = *live.keys().nth(at).unwrap();
            if settled.1 != seq {
                live.remove(&settled);
                group.push(settle(settled));
            }
        }
        store.append(&mut group).unwrap();
        if seq == 80 {
            let before = store.metrics().checkpoints.get();
            while store.metrics().checkpoints.get() < before + 3 {
                // Something new for each checkpoint.
                store.append(&mut vec![settle((9, 1))]).unwrap();
                std::thread::park_timeout(Duration::from_millis(20));
            }
        }
    }
    let (sender, receiver) = channel();
    let waiter: Arc<dyn Waiter> = Arc::new(Told(parking_lot::Mutex::new(sender)));
    store.notify(&waiter, 1);
    receiver.recv().unwrap();
    if closed {
        store.close().unwrap();
        copy_folder(dir.path(), copy.path());
    } else {
        copy_folder(dir.path(), copy.path());
        drop(store);
    }
    let needs = needs(&copy.path().join("log"));
    assert!(live.keys().all(|name| needs.contains_key(name)));
    Base { dir: copy, live, needs }
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Where the records of each message lie.
fn needs(log: &Path) -> BTreeMap<Name, Vec<Part>> {
    let disk = RealDisk::new(log).unwrap();
    let mut needs = BTreeMap::new();
    for name in disk.list().unwrap().into_iter().filter(|name| segment_number(name).is_some()) {
        let file = disk.open(&name).unwrap();
        let SegmentHead::Number(_, seal) = read_head(&*file).unwrap() else { panic!("{name}") };
        let mut scanner = Scanner::new(&*file, seal).unwrap();
        let mut messages = BTreeMap::new();
        while let Some(Scanned::Record { offset, len, payload, .. }) = scanner.next_record().unwrap() {
            let part = |offset: u32, len: u32| {
                (format!("log/{name}"), u64::from(offset)..u64::from(offset) + u64::from(len))
            };
            match payload {
                Payload::Enqueue { at, .. } => {
                    messages.insert(offset, len);
                    needs.insert((at.queue.0, at.seq.0), vec![part(offset, len)]);
                }
                Payload::EnqueueRef { at, message_at, .. } => {
                    let parts = vec![part(offset, len), part(message_at, messages[&message_at])];
                    needs.insert((at.queue.0, at.seq.0), parts);
                }
                _ => {}
            }
        }
    }
    needs
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in ["log", "index"] {
        let entries = fs::read_dir(dir.join(folder)).unwrap();
        files.extend(entries.map(|entry| entry.unwrap().path()).filter(|path| path.is_file()));
    }
    files.sort();
    files
}

/// Changes something; returns the parts of files that differ.
fn mutate(dir: &Path, rng: &mut Rng, told: &mut Vec<String>) -> Vec<Part> {
    let files = files(dir);
    let pick = |rng: &mut Rng| files[usize::try_from(rng.below(files.len() as u64)).unwrap()].clone();
    let name = |path: &Path| path.strip_prefix(dir).unwrap().display().to_string();
    let path = pick(rng);
    let mut bytes = fs::read(&path).unwrap();
    let len = bytes.len() as u64;
    let at = if len == 0 { 0 } else { rng.below(len) };
    let (what, parts) = match rng.below(7) {
        0 | 1 if len > 0 => {
            bytes[usize::try_from(at).unwrap()] ^= 1 << rng.below(8);
            ("a flipped bit", vec![(name(&path), at..at + 1)])
        }
        2 if len > 0 => {
            let end = (at + 1 + rng.below(5000)).min(len);
            bytes[usize::try_from(at).unwrap()..usize::try_from(end).unwrap()].fill(0);
            ("zeros", vec![(name(&path), at..end)])
        }
        3 => {
            bytes.truncate(usize::try_from(at).unwrap());
            ("cut", vec![(name(&path), at..u64::MAX)])
        }
        4 => {
            let more = rng.below(10_000);
            bytes.extend((0..more).map(|_| rng.any().to_le_bytes()[0]));
            ("longer", vec![(name(&path), len..u64::MAX)])
        }
        5 => {
            let other = pick(rng);
            let theirs = fs::read(&other).unwrap();
            fs::write(&other, &bytes).unwrap();
            let parts = vec![(name(&path), 0..u64::MAX), (name(&other), 0..u64::MAX)];
            bytes = theirs;
            ("swapped", if other == path { Vec::new() } else { parts })
        }
        _ => {
            fs::remove_file(&path).unwrap();
            told.push(format!("{} is gone", name(&path)));
            return vec![(name(&path), 0..u64::MAX)];
        }
    };
    fs::write(&path, bytes).unwrap();
    told.push(format!("{what}: {parts:?} of {len}"));
    parts
}

/// All messages of the store, and those that it reports as unreadable.
fn read_all(store: &LogStore) -> (BTreeMap<Name, Vec<u8>>, BTreeSet<Name>) {
    let (mut found, mut unreadable) = (BTreeMap::new(), BTreeSet::new());
    for queue in [1, 2, 3, 9] {
        let (sender, receiver) = channel();
        let wish = ReadWish {
            queue: QueueId(queue),
            priority_level: 0,
            from: Seq(0),
            to: Seq(u64::MAX),
            max_messages: usize::MAX,
            max_bytes: usize::MAX,
        };
        store.read(wish, Box::new(move |answer| sender.send(answer).unwrap()));
        for stored in receiver.recv().unwrap().unwrap() {
            match stored.message {
                Ok(message) => drop(found.insert((queue, stored.seq.0), message.body().to_vec())),
                Err(_) => drop(unreadable.insert((queue, stored.seq.0))),
            }
        }
    }
    (found, unreadable)
}

fn check(base: &Base, seed: u64) {
    let dir = tempfile::tempdir().unwrap();
    copy_folder(base.dir.path(), dir.path());
    let mut rng = Rng::new(seed);
    let (mut damaged, mut told) = (Vec::new(), Vec::new());
    for _ in 0..=rng.below(3) {
        damaged.extend(mutate(dir.path(), &mut rng, &mut told));
    }
    // Whether the rest of that segment was synced is then unknown: a group without an end is taken as never
    // completed.
    let note_lost = damaged.iter().any(|(file, _)| file == "log/synced");
    let index_lost = damaged.iter().any(|(file, _)| file.starts_with("index/"));
    let (store, recovered) = LogStore::open(dir.path(), &options()).unwrap_or_else(|error| {
        panic!("not opened: {error}; {told:?}");
    });
    let (found, unreadable) = read_all(&store);
    let what = || format!("{told:?}; found: {:?}", recovered.findings);
    for (name, body) in &found {
        let wanted = base.live.get(name);
        // Settled messages may return, if that is reported.
        let back = wanted.is_none() && base.needs.contains_key(name) && !recovered.findings.is_empty();
        assert!(
            wanted == Some(body) || back || wanted.is_none() && index_lost,
            "{name:?} is new: {}",
            what()
        );
    }
    for name in base.live.keys().filter(|name| !found.contains_key(name)) {
        let hit = |(file, part): &Part| {
            let overlaps = |other: &Range<u64>| part.start < other.end && other.start < part.end;
            damaged.iter().any(|(other, range)| other == file && overlaps(range))
        };
        // The two copies of a head, of which one is enough, lie before all records.
        let headless = base.needs[name].iter().any(|(file, _)| {
            let copies = [0..32u64, 2048..2080].map(|copy| {
                damaged.iter().any(|(other, r)| other == file && r.start < copy.end && copy.start < r.end)
            });
            copies == [true, true]
        });
        let torn = |(file, part): &Part| {
            note_lost && damaged.iter().any(|(other, range)| other == file && range.start >= part.end)
        };
        let lost = headless || base.needs[name].iter().any(|part| hit(part) || torn(part));
        assert!(lost, "{name:?} is intact and gone: {}", what());
        // Without an index, which is a warning, a missing segment cannot be noticed.
        let said = unreadable.contains(name) || !recovered.findings.is_empty() || index_lost;
        assert!(said, "{name:?} is gone without a word: {}", what());
    }
    // It keeps working, and what it found stays the same.
    store.append(&mut vec![settle((9, 1))]).unwrap();
    drop(store);
    let (store, _) = LogStore::open(dir.path(), &options()).unwrap();
    assert_eq!(read_all(&store).0, found, "after another start: {}", what());
}

#[test]
fn a_mutated_folder_keeps_what_is_intact_and_tells_what_is_not() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let bases = [base(false), base(true)];
    let first = number("LEVERET_SEED").or(number("LEVERET_FIRST_SEED")).unwrap_or(0);
    let count = number("LEVERET_SEED").map(|_| 1).or(number("LEVERET_MUTATIONS")).unwrap_or(150);
    let seeds = first..first + count;
    for seed in seeds {
        let base = &bases[usize::from(seed % 2 == 1)];
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(base, seed))) {
            println!("failing seed: LEVERET_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
