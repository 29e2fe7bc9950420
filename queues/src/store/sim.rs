//! A simulated disk and index database that lose, tear and fail by seed, for tests.
//!
//! Invariants: the same seed and calls give the same faults; what a sync that returned Ok covered
//! survives every crash, in whole; of the rest any sectors may survive, in any order, and of the
//! changes of names a prefix. A failed sync leaves its bytes readable, but never makes them
//! durable by a later one. Absent: threads, time.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use super::index::{Change, Db, DbError};
use super::log::{Disk, LogFile};

/// Bytes that a disk writes whole or not at all.
const SECTOR: usize = 512;

/// One stream of pseudo-random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream that this seed alone determines.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn any(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound` (which is not 0).
    pub fn below(&mut self, bound: u64) -> u64 {
        self.any() % bound
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Which operations fail, each once in so many; 0: never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Writes (a part may have been written).
    pub write: u64,
    /// Syncs of a file.
    pub sync: u64,
    /// Creations, renames, removals, syncs of the folder, cuts.
    pub names: u64,
    /// Changes and syncs of the index database.
    pub index: u64,
}

#[derive(Clone)]
enum Op {
    Write(usize, Vec<u8>),
    SetLen(usize),
}

#[derive(Clone, Default)]
struct Inode {
    now: Vec<u8>,
    durable: Vec<u8>,
    since_sync: Vec<Op>,
}

impl Inode {
    fn apply(bytes: &mut Vec<u8>, op: &Op) {
        match op {
            Op::Write(offset, data) => {
                let end = offset + data.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(data);
            }
            Op::SetLen(len) => bytes.resize(*len, 0),
        }
    }

    /// What a power cut makes of it.
    fn lose(&mut self, rng: &mut Rng) {
        let mut bytes = std::mem::take(&mut self.durable);
        let all = rng.one_in(4);
        for op in self.since_sync.drain(..) {
            match &op {
                Op::Write(offset, data) => {
                    for (index, sector) in data.chunks(SECTOR).enumerate() {
                        if all || rng.one_in(2) {
                            let at = offset + index * SECTOR;
                            Self::apply(&mut bytes, &Op::Write(at, sector.to_vec()));
                        }
                    }
                }
                Op::SetLen(_) => {
                    if all || rng.one_in(2) {
                        Self::apply(&mut bytes, &op);
                    }
                }
            }
        }
        self.now.clone_from(&bytes);
        self.durable = bytes;
    }
}

#[derive(Clone)]
enum NameOp {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

type Names = BTreeMap<String, usize>;

fn apply_name(names: &mut Names, op: &NameOp) {
    match op {
        NameOp::Link(name, inode) => {
            names.insert(name.clone(), *inode);
        }
        NameOp::Unlink(name) => {
            names.remove(name);
        }
        NameOp::Rename(from, to) => {
            if let Some(inode) = names.remove(from) {
                names.insert(to.clone(), inode);
            }
        }
    }
}

struct State {
    rng: Rng,
    faults: Faults,
    inodes: Vec<Inode>,
    names: Names,
    durable_names: Names,
    since_sync: Vec<NameOp>,
    /// Successful syncs of files.
    syncs: u64,
    syncs_to_fail: u64,
}

impl State {
    fn fails(&mut self, one_in: u64) -> io::Result<()> {
        if one_in > 0 && self.rng.one_in(one_in) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    fn name_op(&mut self, op: NameOp) -> io::Result<()> {
        self.fails(self.faults.names)?;
        apply_name(&mut self.names, &op);
        self.since_sync.push(op);
        Ok(())
    }
}

/// A folder in memory. Clones are the same folder.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty folder whose faults follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            faults: Faults::default(),
            inodes: Vec::new(),
            names: Names::new(),
            durable_names: Names::new(),
            since_sync: Vec::new(),
            syncs: 0,
            syncs_to_fail: 0,
        })))
    }

    /// From now on these fail.
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// Cuts the power: what is open keeps its old files, which nobody else sees.
    pub fn crash(&self) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let kept = state.rng.below(state.since_sync.len() as u64 + 1);
        let kept = usize::try_from(kept).unwrap_or(0);
        for op in state.since_sync.drain(..).take(kept) {
            apply_name(&mut state.durable_names, &op);
        }
        state.names = state.durable_names.clone();
        for inode in &mut state.inodes {
            inode.lose(&mut state.rng);
        }
        state.faults = Faults::default();
    }

    /// Changes one byte of a file. False if there is no such file or byte.
    pub fn flip(&self, name: &str, offset: usize) -> bool {
        let mut state = self.0.lock();
        let Some(&inode) = state.names.get(name) else {
            return false;
        };
        let inode = &mut state.inodes[inode];
        let Some(byte) = inode.now.get_mut(offset) else {
            return false;
        };
        *byte ^= 0x55;
        if let Some(byte) = inode.durable.get_mut(offset) {
            *byte ^= 0x55;
        }
        true
    }

    /// The next `n` syncs of files fail.
    pub fn fail_syncs(&self, n: u64) {
        self.0.lock().syncs_to_fail = n;
    }

    /// How many syncs of files have succeeded.
    pub fn syncs(&self) -> u64 {
        self.0.lock().syncs
    }

    fn file(&self, inode: usize) -> Arc<dyn LogFile> {
        Arc::new(SimFile { disk: self.clone(), inode })
    }
}

impl Disk for SimDisk {
    fn create(&self, name: &str, len: u64) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.0.lock();
        let inode = state.inodes.len();
        state.name_op(NameOp::Link(name.to_owned(), inode))?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.inodes.push(Inode { now: vec![0; len], durable: vec![0; len], since_sync: Vec::new() });
        drop(state);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let inode = self.0.lock().names.get(name).copied();
        inode.map(|inode| self.file(inode)).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let op = NameOp::Rename(from.to_owned(), to.to_owned());
        self.0.lock().name_op(op)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.0.lock().name_op(NameOp::Unlink(name.to_owned()))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.0.lock().names.keys().cloned().collect())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.0.lock();
        let one_in = state.faults.names;
        state.fails(one_in)?;
        state.durable_names = state.names.clone();
        state.since_sync.clear();
        Ok(())
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl LogFile for SimFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut state = self.disk.0.lock();
        let one_in = state.faults.write;
        let result = state.fails(one_in);
        if result.is_err() {
            let part = state.rng.below(data.len() as u64 + 1);
            data.truncate(usize::try_from(part).unwrap_or(0));
        }
        let inode = &mut state.inodes[self.inode];
        let op = Op::Write(offset, data);
        Inode::apply(&mut inode.now, &op);
        inode.since_sync.push(op);
        result
    }

    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let state = self.disk.0.lock();
        let now = &state.inodes[self.inode].now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(now.len());
        let len = buf.len().min(now.len() - from);
        buf[..len].copy_from_slice(&now[from..from + len]);
        Ok(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.disk.0.lock();
        let state = &mut *state;
        let inode = &mut state.inodes[self.inode];
        let told = state.syncs_to_fail > 0;
        state.syncs_to_fail = state.syncs_to_fail.saturating_sub(1);
        if told || (state.faults.sync > 0 && state.rng.one_in(state.faults.sync)) {
            // The system takes the pages for clean now: whatever reached the disk is all.
            let now = inode.now.clone();
            inode.lose(&mut state.rng);
            inode.now = now;
            return Err(io::Error::other("simulated fdatasync failure"));
        }
        for op in inode.since_sync.drain(..) {
            Inode::apply(&mut inode.durable, &op);
        }
        state.syncs += 1;
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).map_err(io::Error::other)?;
        let mut state = self.disk.0.lock();
        let one_in = state.faults.names;
        state.fails(one_in)?;
        let inode = &mut state.inodes[self.inode];
        let op = Op::SetLen(len);
        Inode::apply(&mut inode.now, &op);
        inode.since_sync.push(op);
        Ok(())
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().inodes[self.inode].now.len() as u64)
    }
}

struct DbState {
    rng: Rng,
    one_in: u64,
    now: BTreeMap<Vec<u8>, Vec<u8>>,
    durable: BTreeMap<Vec<u8>, Vec<u8>>,
    since_sync: Vec<Vec<Change>>,
}

/// A database in memory. Clones are the same database.
#[derive(Clone)]
pub struct SimDb(Arc<Mutex<DbState>>);

impl SimDb {
    /// An empty database whose faults follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(DbState {
            rng: Rng::new(seed),
            one_in: 0,
            now: BTreeMap::new(),
            durable: BTreeMap::new(),
            since_sync: Vec::new(),
        })))
    }

    /// From now on changes and syncs fail once in so many times (0: never).
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().one_in = faults.index;
    }

    /// Cuts the power: of what was not synced, a prefix of the batches survives.
    pub fn crash(&self) {
        let mut state = self.0.lock();
        let state = &mut *state;
        let kept = state.rng.below(state.since_sync.len() as u64 + 1);
        for batch in state.since_sync.drain(..).take(usize::try_from(kept).unwrap_or(0)) {
            apply_batch(&mut state.durable, &batch);
        }
        state.now = state.durable.clone();
        state.one_in = 0;
    }

    /// Loses everything.
    pub fn lose_all(&self) {
        let mut state = self.0.lock();
        state.now.clear();
        state.durable.clear();
        state.since_sync.clear();
    }
}

fn apply_batch(map: &mut BTreeMap<Vec<u8>, Vec<u8>>, batch: &[Change]) {
    for (key, value) in batch {
        match value {
            Some(value) => map.insert(key.clone(), value.clone()),
            None => map.remove(key),
        };
    }
}

impl DbState {
    fn fails(&mut self) -> Result<(), DbError> {
        if self.one_in > 0 && self.rng.one_in(self.one_in) {
            return Err(DbError::io("simulated index failure"));
        }
        Ok(())
    }
}

impl Db for SimDb {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, DbError> {
        Ok(self.0.lock().now.get(key).cloned())
    }

    fn scan(&self, prefix: &[u8], each: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), DbError> {
        let state = self.0.lock();
        for (key, value) in state.now.range(prefix.to_vec()..) {
            if !key.starts_with(prefix) {
                break;
            }
            each(key, value);
        }
        Ok(())
    }

    fn apply(&self, changes: &[Change]) -> Result<(), DbError> {
        let mut state = self.0.lock();
        state.fails()?;
        apply_batch(&mut state.now, changes);
        state.since_sync.push(changes.to_vec());
        Ok(())
    }

    fn sync(&self) -> Result<(), DbError> {
        let mut state = self.0.lock();
        state.fails()?;
        state.durable = state.now.clone();
        state.since_sync.clear();
        Ok(())
    }

    fn reopen(&self) -> Result<(), DbError> {
        self.0.lock().fails()
    }

    fn clear(&self) -> Result<(), DbError> {
        let mut state = self.0.lock();
        let keys: Vec<Change> = state.now.keys().map(|key| (key.clone(), None)).collect();
        state.now.clear();
        state.since_sync.push(keys);
        Ok(())
    }

    fn size(&self) -> u64 {
        0
    }
}
