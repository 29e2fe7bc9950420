//! Definitions on a simulated disk on which every file operation fails once, in every way, with a power cut after
//! each.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::journal::{Damage, Frame, Journal, Read};
use super::opening::{Database, Room};
use super::{Change, Definitions, DefinitionsError, META_KEY};
use crate::disk::{Disk, LogFile};
use crate::index::stand_in::{StandIn, Terms};
use crate::index::{self, Db, DbError};
use crate::salt::Salt;
use crate::sim::{SimDb, SimDisk};

/// What happens at an operation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fault {
    /// It fails and does nothing (a write: half of it).
    Fails(i32),
    /// It reports failure but takes effect.
    Lies(i32),
    /// From this one on, this many operations fail.
    FailsFor(u64),
    /// Power cut before it: every operation fails until the next start.
    PowerCut,
}

const EIO: i32 = 5;
const EMFILE: i32 = 24;
const ENOSPC: i32 = 28;

/// Counts operations, and makes one of them fail.
#[derive(Default)]
struct Plan {
    count: AtomicU64,
    /// The operation, counted from 1; 0: none.
    at: u64,
    fault: Option<Fault>,
}

/// What an operation is to do.
enum Do {
    It,
    Half(i32),
    ItAndFail(i32),
}

impl Plan {
    fn next(&self) -> Do {
        let now = self.count.fetch_add(1, Ordering::Relaxed) + 1;
        match self.fault {
            Some(Fault::Fails(code)) if now == self.at => Do::Half(code),
            Some(Fault::Lies(code)) if now == self.at => Do::ItAndFail(code),
            Some(Fault::FailsFor(count)) if (self.at..self.at + count).contains(&now) => Do::Half(ENOSPC),
            Some(Fault::PowerCut) if now >= self.at => Do::Half(EIO),
            _ => Do::It,
        }
    }

    fn act<T>(&self, act: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self.next() {
            Do::It => act(),
            Do::Half(code) => Err(io::Error::from_raw_os_error(code)),
            Do::ItAndFail(code) => act().and_then(|_| Err(io::Error::from_raw_os_error(code))),
        }
    }
}

/// A disk, or one of its files, that fails as planned.
struct Faulty<T> {
    inner: T,
    disk: SimDisk,
    plan: Arc<Plan>,
}

type FaultyFile = Faulty<Arc<dyn LogFile>>;

impl Faulty<SimDisk> {
    fn file(&self, inner: Arc<dyn LogFile>) -> Arc<dyn LogFile> {
        Arc::new(FaultyFile { inner, disk: self.disk.clone(), plan: Arc::clone(&self.plan) })
    }
}

impl Disk for Faulty<SimDisk> {
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn LogFile>> {
        self.plan.act(|| self.inner.create(name, len)).map(|file| self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        self.plan.act(|| self.inner.open(name)).map(|file| self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.plan.act(|| self.inner.rename(from, to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.plan.act(|| self.inner.remove(name))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.plan.act(|| self.inner.list())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.plan.act(|| self.inner.sync_dir())
    }

    fn salt(&self) -> io::Result<Salt> {
        self.plan.act(|| self.inner.salt())
    }

    fn boot(&self) -> Option<[u8; 16]> {
        self.inner.boot()
    }
}

impl LogFile for FaultyFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let (half, code) = match self.plan.next() {
            Do::It => return self.inner.write_at(parts, offset),
            Do::Half(code) => (2, code),
            Do::ItAndFail(code) => (1, code),
        };
        let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let _ = self.inner.write_at(&mut [IoSlice::new(&all[..all.len() / half])], offset);
        Err(io::Error::from_raw_os_error(code))
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        self.plan.act(|| self.inner.read_at(buf, offset))
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.plan.next() {
            Do::It => self.inner.sync_data(),
            Do::Half(_) => {
                self.disk.fail_syncs(1);
                self.inner.sync_data()
            }
            Do::ItAndFail(code) => {
                self.inner.sync_data()?;
                Err(io::Error::from_raw_os_error(code))
            }
        }
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.plan.act(|| self.inner.set_len(len))
    }

    fn size(&self) -> io::Result<u64> {
        self.plan.act(|| self.inner.size())
    }

    fn forget_cached(&self, offset: u64, len: u64) {
        self.inner.forget_cached(offset, len);
    }
}

impl Faulty<SimDb> {
    fn act<T>(&self, act: impl FnOnce() -> Result<T, DbError>) -> Result<T, DbError> {
        match self.plan.next() {
            Do::It => act(),
            Do::Half(_) => Err(DbError::io("planned")),
            Do::ItAndFail(_) => act().and_then(|_| Err(DbError::io("planned"))),
        }
    }
}

impl Db for Faulty<SimDb> {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        self.act(|| self.inner.get(key))
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DbError> {
        self.act(|| self.inner.scan(prefix, each))
    }

    fn apply(&self, changes: &[index::Change]) -> Result<(), DbError> {
        self.act(|| self.inner.apply(changes))
    }

    fn sync(&self) -> Result<(), DbError> {
        self.act(|| self.inner.sync())
    }

    fn distrust(&self) -> Result<(), DbError> {
        self.act(|| self.inner.distrust())
    }

    fn reopen(&self) -> Result<(), DbError> {
        self.act(|| self.inner.reopen())
    }

    fn clear(&self) -> Result<(), DbError> {
        self.act(|| self.inner.clear())
    }

    fn size(&self) -> u64 {
        0
    }
}

/// The machine: what survives a process.
struct Machine {
    /// Whether there is room for the database.
    room: Arc<AtomicBool>,
    disk: SimDisk,
    db: SimDb,
}

struct Opener<'m> {
    machine: &'m Machine,
    plan: Arc<Plan>,
}

impl Database for Opener<'_> {
    fn open(&self) -> Result<Arc<dyn Db>, DbError> {
        let (inner, disk) = (self.machine.db.clone(), self.machine.disk.clone());
        Ok(Arc::new(Faulty { inner, disk, plan: Arc::clone(&self.plan) }))
    }

    fn exists(&self) -> bool {
        true
    }

    fn room(&self) -> Room {
        let enough = self.machine.room.load(Ordering::Relaxed);
        let free = if enough { u64::MAX } else { 0 };
        Room { folder: "data".into(), free, enough, plenty: enough }
    }

    fn in_memory(&self) -> Arc<dyn Db> {
        let (db, room) = (self.machine.db.clone(), Arc::clone(&self.machine.room));
        Arc::new(StandIn::new(Terms {
            room: Box::new(move || room.load(Ordering::Relaxed)),
            open: Box::new(move || Ok(db.clone())),
            syncs_in_memory: false,
            seal: META_KEY,
        }))
    }

    fn set_aside(&self) -> io::Result<String> {
        self.plan.act(|| Ok(()))?;
        self.machine.db.lose_all();
        Ok("aside".to_owned())
    }
}

impl Machine {
    fn new(seed: u64) -> Self {
        Self { room: Arc::new(AtomicBool::new(true)), disk: SimDisk::new(seed), db: SimDb::new(seed) }
    }

    fn open(&self, plan: &Arc<Plan>) -> Result<(Definitions, Vec<super::Finding>), DefinitionsError> {
        let (inner, disk) = (self.disk.clone(), self.disk.clone());
        let faulty = Faulty { inner, disk, plan: Arc::clone(plan) };
        Definitions::open_on(Arc::new(faulty), &Opener { machine: self, plan: Arc::clone(plan) })
    }

    fn crash(&self) {
        self.disk.fail_syncs(0);
        self.disk.crash();
        self.db.crash();
    }
}

type Model = BTreeMap<String, Vec<u8>>;

/// What clients were told.
#[derive(Default)]
struct Told {
    sure: Model,
    /// A commit with unknown outcome, which only a restart decides.
    unsure: Option<Vec<Change>>,
}

fn apply(model: &mut Model, changes: &[Change]) {
    for (key, value) in changes {
        match value {
            Some(value) => model.insert(key.clone(), value.clone()),
            None => model.remove(key),
        };
    }
}

fn all(definitions: &Definitions) -> Model {
    definitions.all().iter().map(|(key, value)| (key.to_string(), value.to_vec())).collect()
}

impl Told {
    fn commit(&mut self, definitions: &Definitions, changes: &[Change]) {
        match definitions.commit(changes) {
            Ok(()) => {
                apply(&mut self.sure, changes);
                self.unsure = None;
            }
            Err(DefinitionsError::Unsure(_)) => self.unsure = Some(changes.to_vec()),
            Err(_) => {}
        }
        assert_eq!(all(definitions), self.sure, "memory has what was answered, and nothing else");
    }

    fn check(&self, definitions: &Definitions, what: &str) {
        let found = all(definitions);
        let mut with_unsure = self.sure.clone();
        apply(&mut with_unsure, self.unsure.as_deref().unwrap_or_default());
        assert!(found == self.sure || found == with_unsure, "{what}: {found:?} instead of {:?}", self.sure);
    }
}

fn set(key: &str, value: &str) -> Change {
    (key.into(), Some(value.into()))
}

/// Commits, with upkeep in between, in two runs.
fn work(machine: &Machine, plan: &Arc<Plan>, told: &mut Told, room: [bool; 2]) {
    for (run, room) in room.into_iter().enumerate() {
        machine.room.store(room, Ordering::Relaxed);
        let Ok((definitions, _)) = machine.open(plan) else { continue };
        told.check(&definitions, "a start in between");
        *told = Told { sure: all(&definitions), unsure: None };
        for n in 0..3 {
            told.commit(
                &definitions,
                &[set(&format!("{run} {n}"), "one"), set("same", &format!("{run} {n}"))],
            );
        }
        let _ = definitions.shared.tidy();
        told.commit(&definitions, &[(format!("{run} 1"), None), set("after", &run.to_string())]);
        if run == 1 {
            let _ = definitions.shared.tidy();
            let _ = definitions.shared.tidy();
            told.commit(&definitions, &[set("last", "of all")]);
        }
    }
}

/// Number of operations of [`work`].
fn operations() -> u64 {
    let plan = Arc::new(Plan::default());
    work(&Machine::new(0), &plan, &mut Told::default(), [true; 2]);
    plan.count.load(Ordering::Relaxed)
}

fn check_fault(fault: Fault, at: u64, seed: u64, room: [bool; 2]) {
    let what = format!("{fault:?} at operation {at}, seed {seed}, room {room:?}");
    let machine = Machine::new(seed);
    let mut told = Told::default();
    let plan = Arc::new(Plan { at, fault: Some(fault), ..Plan::default() });
    work(&machine, &plan, &mut told, room);
    machine.room.store(true, Ordering::Relaxed);
    if fault == Fault::PowerCut || seed.is_multiple_of(2) {
        machine.crash();
    }
    let none = Arc::new(Plan::default());
    let (definitions, findings) = machine.open(&none).unwrap_or_else(|error| panic!("{what}: {error}"));
    told.check(&definitions, &what);
    assert!(findings.is_empty() || all(&definitions) == told.sure, "{what}: {findings:?}");
    let lost = findings.iter().find(|finding| finding.what.contains("lost"));
    assert!(lost.is_none(), "{what}: {lost:?}");
    // It goes on, and the next start has all of it.
    let mut told = Told { sure: all(&definitions), unsure: None };
    told.commit(&definitions, &[set("new", "one")]);
    assert_eq!(told.sure.get("new").map(Vec::as_slice), Some(&b"one"[..]), "{what}");
    definitions.shared.tidy().unwrap_or_else(|error| panic!("{what}: {error}"));
    told.commit(&definitions, &[set("newer", "two")]);
    drop(definitions);
    machine.crash();
    let (definitions, findings) = machine.open(&none).unwrap();
    assert!(findings.is_empty(), "{what}: {findings:?}");
    assert_eq!(all(&definitions), told.sure, "{what}");
}

#[test]
fn whatever_fails_once_what_was_answered_is_there_and_what_was_refused_is_not() {
    let seeds: u64 = std::env::var("LEVERET_FAULT_SEEDS").map_or(4, |text| text.parse().unwrap());
    let operations = operations();
    assert!(operations > 60, "{operations} operations");
    let faults = [
        Fault::Fails(EIO),
        Fault::Fails(EMFILE),
        Fault::Lies(EIO),
        Fault::FailsFor(2),
        Fault::FailsFor(5),
        Fault::FailsFor(20),
        Fault::PowerCut,
    ];
    for seed in 0..seeds {
        for fault in faults {
            for at in 1..=operations {
                check_fault(fault, at, seed, [true, true]);
                // Less often, as few of the operations are on the database.
                if at % 3 == seed % 3 {
                    for room in [[true, false], [false, true], [false, false]] {
                        check_fault(fault, at, seed, room);
                    }
                }
            }
        }
    }
}

#[test]
fn without_room_and_without_a_whole_snapshot_it_is_said_what_is_needed() {
    let machine = Machine::new(1);
    let none = Arc::new(Plan::default());
    work(&machine, &none, &mut Told::default(), [true; 2]);
    machine.disk.remove(super::SNAPSHOT).unwrap();
    machine.room.store(false, Ordering::Relaxed);
    let error = machine.open(&none).err().expect("an error").to_string();
    assert!(error.contains("0 bytes are free in the data folder data"), "{error}");
    assert!(error.contains("needs 6 MiB: make room"), "{error}");
    machine.room.store(true, Ordering::Relaxed);
    machine.open(&none).unwrap();
}

/// A file as it is on disk after these commits.
fn file_of(frames: &[Frame]) -> Vec<u8> {
    file_on(1, frames)
}

/// The same on a disk with salts derived from `seed`.
fn file_on(seed: u64, frames: &[Frame]) -> Vec<u8> {
    let disk = SimDisk::new(seed);
    let mut journal = Journal::create(&disk, 1, 0).unwrap();
    for frame in frames {
        let mut bytes = Vec::new();
        frame.encode(journal.salt(), &mut bytes);
        journal.append(&bytes).unwrap();
    }
    super::journal::whole(&disk, "definitions.journal.1").unwrap()
}

fn read(bytes: &[u8]) -> Read {
    let disk = SimDisk::new(1);
    let file = disk.create("definitions.journal.1", 0).unwrap();
    file.write_at(&mut [IoSlice::new(bytes)], 0).unwrap();
    super::journal::read(&disk).unwrap()
}

fn frames(count: u64) -> Vec<Frame> {
    let frame = |revision| Frame { revision, changes: vec![set(&format!("key {revision}"), "value")] };
    (1..=count).map(frame).collect()
}

#[test]
fn a_flipped_bit_anywhere_in_a_journal_is_told_and_costs_one_commit_at_most() {
    let frames = frames(4);
    let bytes = file_of(&frames);
    for bit in 0..bytes.len() * 8 {
        let mut damaged = bytes.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        let read = read(&damaged);
        assert!(read.frames.len() >= 3, "bit {bit}");
        assert!(read.frames.iter().all(|frame| frames.contains(frame)), "bit {bit}");
        assert_eq!(read.damaged.len(), 4 - read.frames.len(), "bit {bit}: {:?}", read.damaged);
    }
}

#[test]
fn a_torn_end_is_no_damage() {
    let frames = frames(3);
    let bytes = file_of(&frames);
    for len in 0..bytes.len() {
        let read = read(&bytes[..len]);
        assert_eq!(read.damaged, [] as [Damage; 0], "{len} bytes");
        assert!(read.frames.iter().eq(frames.iter().take(read.frames.len())), "{len} bytes");
    }
}

#[test]
fn a_frame_inside_of_a_value_is_none_at_any_offset() {
    // What a client could have learnt from another journal of its own.
    let forged = Frame { revision: 9, changes: vec![set("user root", "mine")] };
    for offset in 0..64 {
        let mut value = vec![b'x'; offset];
        for salt in [0, 1, u64::MAX] {
            forged.encode(salt, &mut value);
        }
        value.extend_from_slice(&file_on(2, std::slice::from_ref(&forged)));
        let frame = Frame { revision: 1, changes: vec![("key".into(), Some(value))] };
        let bytes = file_of(&[frame]);
        // The frame that holds it is torn, or damaged at its front.
        for cut in [1, 7, 40] {
            let read = read(&bytes[..bytes.len() - cut]);
            assert!(read.frames.is_empty(), "offset {offset}");
        }
        let mut damaged = bytes.clone();
        damaged[56] ^= 1;
        assert!(read(&damaged).frames.is_empty(), "offset {offset}");
    }
}
