//! A simulated disk and index database that lose, tear and fail by seed, for tests.
//!
//! Invariants: the same seed and calls give the same faults; what a sync that returned Ok covered survives every
//! crash completely; of the rest any sectors may survive, in any order, and of name changes a prefix. A failed sync
//! leaves its bytes readable, but no later sync makes them durable. A write within one sector is atomic. Absent:
//! threads, time.

mod db;

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

pub use self::db::SimDb;
use super::salt::Salt;
use crate::disk::{Disk, LogFile};

/// Bytes that a disk writes atomically.
const SECTOR: usize = 512;

/// A stream of pseudo-random numbers (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// A stream determined by this seed alone.
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

    /// True once in `n` times on average.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// Failure rates: each kind of operation fails once in this many; 0: never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Writes (a part may have been written).
    pub write: u64,
    /// Reads.
    pub read: u64,
    /// Syncs of a file.
    pub sync: u64,
    /// Creations, renames, removals, openings, syncs of the folder, cuts.
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

    /// The effect of a power cut.
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
    salts: Rng,
    faults: Faults,
    inodes: Vec<Inode>,
    names: Names,
    durable_names: Names,
    since_sync: Vec<NameOp>,
    /// Number of successful syncs of files.
    syncs: u64,
    syncs_to_fail: u64,
    /// Most bytes of all files together.
    space: u64,
    /// Number of power cuts.
    crashes: u128,
    /// Number of calls still allowed.
    calls_left: u64,
    reads: u64,
    reads_to_flip: Option<u64>,
    hook: Option<Hook>,
}

impl State {
    fn fails(&mut self, one_in: u64) -> io::Result<()> {
        if one_in > 0 && self.rng.one_in(one_in) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }

    /// As [`Self::fails`] with `names`: disk full, out of file descriptors, or disk failure.
    fn name_fails(&mut self) -> io::Result<()> {
        self.called();
        if self.faults.names > 0 && self.rng.one_in(self.faults.names) {
            const ERRORS: [i32; 3] = [5, 24, 28];
            let error = ERRORS[usize::try_from(self.rng.below(3)).unwrap_or(0)];
            return Err(io::Error::from_raw_os_error(error));
        }
        Ok(())
    }

    fn called(&mut self) {
        assert!(self.calls_left > 0, "calls without progress");
        self.calls_left -= 1;
    }

    fn used(&self) -> u64 {
        self.names.values().map(|inode| self.inodes[*inode].now.len() as u64).sum()
    }

    fn name_op(&mut self, op: NameOp) -> io::Result<()> {
        self.name_fails()?;
        apply_name(&mut self.names, &op);
        self.since_sync.push(op);
        Ok(())
    }
}

/// A call that a test may delay or make panic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Call {
    /// A file is read.
    Read,
    /// A file is written.
    Write,
    /// A file is synced.
    Sync,
    /// The index database is changed.
    Index,
}

/// Called before every call is carried out, with no lock held.
type Hook = Arc<dyn Fn(Call) + Send + Sync>;

/// A folder in memory. Clones are the same folder.
#[derive(Clone)]
pub struct SimDisk(Arc<Mutex<State>>);

impl SimDisk {
    /// An empty folder whose faults follow from `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::new(seed),
            salts: Rng::new(!seed),
            faults: Faults::default(),
            inodes: Vec::new(),
            names: Names::new(),
            durable_names: Names::new(),
            since_sync: Vec::new(),
            syncs: 0,
            syncs_to_fail: 0,
            space: u64::MAX,
            crashes: 0,
            calls_left: u64::MAX,
            reads: 0,
            reads_to_flip: None,
            hook: None,
        })))
    }

    /// Sets the failure rates from now on.
    pub fn set_faults(&self, faults: Faults) {
        self.0.lock().faults = faults;
    }

    /// From now on files take at most `bytes` together; others cannot be created.
    pub fn set_space(&self, bytes: u64) {
        self.0.lock().space = bytes;
    }

    /// Total bytes of all files.
    pub fn used(&self) -> u64 {
        self.0.lock().used()
    }

    /// Panics if more than `calls` calls follow until this is called again.
    pub fn allow_calls(&self, calls: u64) {
        self.0.lock().calls_left = calls;
    }

    /// Ends the process that uses it: everything is as that process wrote it, and may still be lost by a later power
    /// cut.
    pub fn kill(&self) {
        let mut state = self.0.lock();
        state.faults = Faults::default();
        state.syncs_to_fail = 0;
    }

    /// Another folder with the same content.
    #[must_use]
    pub fn fork(&self) -> Self {
        let state = self.0.lock();
        Self(Arc::new(Mutex::new(State {
            rng: state.rng.clone(),
            salts: state.salts.clone(),
            faults: state.faults,
            inodes: state.inodes.clone(),
            names: state.names.clone(),
            durable_names: state.durable_names.clone(),
            since_sync: state.since_sync.clone(),
            syncs: state.syncs,
            syncs_to_fail: state.syncs_to_fail,
            space: state.space,
            crashes: state.crashes,
            calls_left: state.calls_left,
            reads: 0,
            reads_to_flip: None,
            hook: None,
        })))
    }

    /// The bytes of a file, if it exists.
    pub fn read(&self, name: &str) -> Option<Vec<u8>> {
        let state = self.0.lock();
        state.names.get(name).map(|inode| state.inodes[*inode].now.clone())
    }

    /// Creates a file or replaces its bytes; durable at once.
    pub fn put(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.0.lock();
        let inode = state.inodes.len();
        state.inodes.push(Inode { now: bytes.clone(), durable: bytes, since_sync: Vec::new() });
        state.names.insert(name.to_owned(), inode);
        state.durable_names.insert(name.to_owned(), inode);
    }

    /// Cuts the power: open handles keep their old files, which nobody else sees.
    pub fn crash(&self) {
        let mut state = self.0.lock();
        let state = &mut *state;
        state.crashes += 1;
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

    /// Changes one byte of a file. False if the file or byte does not exist.
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

    /// From now on `hook` sees the calls.
    pub fn on_call(&self, hook: impl Fn(Call) + Send + Sync + 'static) {
        self.0.lock().hook = Some(Arc::new(hook));
    }

    fn before(&self, call: Call) {
        let hook = self.0.lock().hook.clone();
        if let Some(hook) = hook {
            hook(call);
        }
    }

    /// The next `n` reads return garbage, as a bad cable or cache would while the disk is intact.
    pub fn garble_reads(&self, n: u64) {
        self.0.lock().reads_to_flip = Some(n);
    }

    /// Number of attempted reads.
    pub fn reads(&self) -> u64 {
        self.0.lock().reads
    }

    /// Number of successful syncs of files.
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
        let replaced = state.names.get(name).map_or(0, |old| state.inodes[*old].now.len() as u64);
        if (state.used() - replaced).saturating_add(len) > state.space {
            state.called();
            return Err(io::ErrorKind::StorageFull.into());
        }
        state.name_op(NameOp::Link(name.to_owned(), inode))?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.inodes.push(Inode { now: vec![0; len], durable: vec![0; len], since_sync: Vec::new() });
        drop(state);
        Ok(self.file(inode))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn LogFile>> {
        let mut state = self.0.lock();
        state.name_fails()?;
        let inode = state.names.get(name).copied();
        drop(state);
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
        state.name_fails()?;
        state.durable_names = state.names.clone();
        state.since_sync.clear();
        Ok(())
    }

    fn salt(&self) -> io::Result<Salt> {
        let mut state = self.0.lock();
        Ok(Salt::from_bytes(state.salts.any().to_le_bytes()))
    }

    fn boot(&self) -> Option<[u8; 16]> {
        Some(self.0.lock().crashes.to_le_bytes())
    }
}

struct SimFile {
    disk: SimDisk,
    inode: usize,
}

impl LogFile for SimFile {
    fn write_at(&self, parts: &mut [IoSlice<'_>], offset: u64) -> io::Result<()> {
        self.disk.before(Call::Write);
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        let mut data: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
        let mut state = self.disk.0.lock();
        state.called();
        let one_in = state.faults.write;
        let result = state.fails(one_in);
        let one_sector = offset / SECTOR == (offset + data.len()) / SECTOR;
        if result.is_err() && one_sector {
            data.clear();
        } else if result.is_err() {
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
        self.disk.before(Call::Read);
        let mut state = self.disk.0.lock();
        state.called();
        state.reads += 1;
        let one_in = state.faults.read;
        if one_in > 0 && state.rng.one_in(one_in) {
            return Err(io::Error::other("simulated read failure"));
        }
        if let Some(left) = &mut state.reads_to_flip {
            let flipped = *left > 0;
            *left = left.saturating_sub(1);
            if flipped {
                buf.fill(0x5a);
                return Ok(buf.len());
            }
        }
        let now = &state.inodes[self.inode].now;
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(now.len());
        let len = buf.len().min(now.len() - from);
        buf[..len].copy_from_slice(&now[from..from + len]);
        Ok(len)
    }

    fn forget_cached(&self, _offset: u64, _len: u64) {}

    fn sync_data(&self) -> io::Result<()> {
        self.disk.before(Call::Sync);
        let mut state = self.disk.0.lock();
        let state = &mut *state;
        state.called();
        let inode = &mut state.inodes[self.inode];
        let told = state.syncs_to_fail > 0;
        state.syncs_to_fail = state.syncs_to_fail.saturating_sub(1);
        if told || (state.faults.sync > 0 && state.rng.one_in(state.faults.sync)) {
            // The system now takes the pages for clean: no more of them will reach the disk.
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
        state.name_fails()?;
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
