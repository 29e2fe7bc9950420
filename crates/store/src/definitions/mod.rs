//! Definitions: few, small, and on disk before the broker replies -ok.
//!
//! Invariants: a commit is durable when it returns, whole or not at all, in commit order; a refused commit changes
//! nothing. The journal is synced first; sled holds the definitions, checked by count and sum on opening; a JSON
//! snapshot follows from time to time. Snapshot and journal suffice to restore everything, so losing sled loses
//! nothing. Each file operation may fail, and is tried again. Ids never repeat.
//! Absent: the meaning of keys and values.

mod entries;
#[cfg(test)]
mod fault_test;
mod journal;
mod noted;
mod opening;
mod snapshot;
mod upkeep;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::entries::{Entries, META_KEY, Meta, Step, apply};
use self::journal::{Frame, Journal};
use self::noted::SyncedNote;
use self::opening::{Database, Opened, Room};
use super::folder::{self, set_aside};
use super::index::db::Sled;
use super::index::stand_in::{StandIn, Terms};
use super::index::{Db, DbError};
use super::watch::{Pulse, Unclean, unended};
use crate::disk::{Disk, RealDisk};
use crate::finding::Finding;

/// A key and its new value; `None`: removed.
pub type Change = (String, Option<Vec<u8>>);

/// A key and its value.
pub type Stored = (Arc<str>, Arc<[u8]>);

/// Longest value in bytes: sixteen of them must fit into a page that sled keeps in its main file.
pub const VALUE_BYTES_MAX: usize = 60_000;
/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 2_000;

const SEGMENT_BYTES: usize = 4 << 20;
/// Nothing is read from it after the start.
const CACHE_BYTES: u64 = 2 << 20;
/// Ids are reserved in blocks of this size.
const ID_BLOCK: u64 = 1_000;
const NEXT_ID_KEY: &str = "\0next_id";

/// How long closing waits for the thread.
const CLOSE_PATIENCE: Duration = Duration::from_secs(30);

const SNAPSHOT: &str = "definitions.snapshot.json";
const DATABASE: &str = "definitions";

/// Why definitions could not be read or changed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DefinitionsError {
    /// A key or value is too long.
    #[error(
        "the definition {key:.80?} is too long: keys have at most {KEY_BYTES_MAX} bytes, values {VALUE_BYTES_MAX}"
    )]
    TooLong {
        /// The key.
        key: String,
    },
    /// Nothing was changed.
    #[error("definitions cannot be saved: {0}")]
    NotSaved(String),
    /// Nothing was changed for now, but what was written could not be undone: its fate shows only at the next start.
    #[error("definitions cannot be saved: {0}; whether this change is there after a restart is not known")]
    Unsure(String),
    /// Snapshot and journal are incomplete, and there is no room to open the database.
    #[error(
        "definitions cannot be read: {free} bytes are free in the data folder {folder}, and as the snapshot or the journal is \
         damaged, opening their database needs {needed} MiB: make room on that disk, or move the folder to a larger one",
        needed = folder::DEFINITIONS_BYTES >> 20
    )]
    NoRoom {
        /// The data folder.
        folder: PathBuf,
        /// Free bytes.
        free: u64,
    },
    /// Neither the database nor snapshot and journal can be read.
    #[error("definitions cannot be read: {0}")]
    Unreadable(String),
}

impl From<io::Error> for DefinitionsError {
    fn from(error: io::Error) -> Self {
        Self::Unreadable(error.to_string())
    }
}

impl From<DbError> for DefinitionsError {
    fn from(error: DbError) -> Self {
        Self::Unreadable(error.to_string())
    }
}

/// All definitions, sorted by key, from snapshot and journal in the data folder `dir` alone. Changes nothing and does
/// not open the database. An error if the folder cannot be read; `None` if they are incomplete.
pub fn peek(dir: &Path) -> io::Result<Option<Vec<Stored>>> {
    let disk = RealDisk::new(dir)?;
    let read = journal::read(&disk)?;
    let top = read.top.max(noted::read(&disk)?);
    let (mut entries, revision) = match snapshot::Snapshot::read(&disk, SNAPSHOT)? {
        snapshot::Found::Whole(snapshot) => (snapshot.entries, snapshot.revision),
        snapshot::Found::Missing => (Entries::new(), 0),
        snapshot::Found::Damaged(..) => return Ok(None),
    };
    let mut meta = Meta::of(&entries, revision);
    for frame in read.frames.into_iter().filter(|frame| frame.revision > revision) {
        if frame.revision > meta.revision + 1 {
            return Ok(None);
        }
        apply(&mut entries, &mut meta, frame);
    }
    Ok((read.damaged.is_empty() && meta.revision >= top).then(|| visible(&entries)))
}

/// Parses arbitrary bytes as journal and snapshot: for the fuzzer.
#[cfg(feature = "testing")]
pub fn read_any(journal: &[u8], snapshot: &[u8]) -> usize {
    let (frames, damaged) = journal::read_bytes(journal);
    let entries = match snapshot::Snapshot::parse(snapshot) {
        snapshot::Found::Missing => 0,
        snapshot::Found::Whole(snapshot) => snapshot.entries.len(),
        snapshot::Found::Damaged(_, entries) => entries.len(),
    };
    frames + damaged + entries
}

/// The state that commits change, one after the other.
struct Writer {
    journal: Journal,
    /// How far it is synced.
    note: SyncedNote,
    entries: Entries,
    meta: Meta,
    /// Tickets below this are done.
    done: u64,
    /// Those of them that failed.
    failed: HashMap<u64, DefinitionsError>,
    /// The journal may hold frames that were refused; nothing is appended to it before they are void.
    unsure: bool,
    /// Steps that sled has not taken yet.
    behind: Vec<Step>,
    /// Journal files to be removed when sled and the snapshot are up to date.
    stale: Vec<String>,
    /// Number of the next journal file.
    next_file: u64,
    /// Revision of the snapshot, if it is whole.
    snapshot: Option<u64>,
}

/// Commits waiting for the one that writes.
#[derive(Default)]
struct Line {
    waiting: Vec<Vec<Change>>,
    /// Ticket of the first of them.
    first: u64,
}

#[derive(Default)]
struct Bell {
    state: Mutex<BellState>,
    wake: Condvar,
}

#[derive(Default)]
struct BellState {
    changed: bool,
    closing: bool,
}

struct Shared {
    disk: Arc<dyn Disk>,
    db: Arc<dyn Db>,
    line: Mutex<Line>,
    writer: Mutex<Writer>,
    /// Held while a snapshot is made.
    tidying: Mutex<()>,
    bell: Bell,
    /// Pulse of the thread.
    tidies: Arc<Pulse>,
    /// Pulse of whoever writes commits.
    commits: Arc<Pulse>,
}

/// See the module.
pub struct Definitions {
    shared: Arc<Shared>,
    ids: Mutex<(u64, u64)>,
    thread: Mutex<Option<JoinHandle<()>>>,
    remnants: Entries,
}

/// sled in a folder.
struct SledFolder {
    dir: PathBuf,
}

impl SledFolder {
    fn sled(dir: &Path) -> Result<Sled, DbError> {
        Sled::open(&dir.join(DATABASE), SEGMENT_BYTES, CACHE_BYTES)
    }
}

impl Database for SledFolder {
    fn room(&self) -> Room {
        let free = folder::free(&self.dir);
        let folder = self.dir.clone();
        Room {
            folder,
            free,
            enough: free >= folder::DEFINITIONS_BYTES,
            plenty: free >= folder::DATABASES_BYTES,
        }
    }

    fn in_memory(&self) -> Arc<dyn Db> {
        let (asked, dir) = (self.dir.clone(), self.dir.clone());
        Arc::new(StandIn::new(Terms {
            room: Box::new(move || folder::free(&asked) >= folder::DATABASES_BYTES),
            open: Box::new(move || Self::sled(&dir)),
            // The journal has to stay until the database is on disk.
            syncs_in_memory: false,
            seal: META_KEY,
        }))
    }

    fn open(&self) -> Result<Arc<dyn Db>, DbError> {
        Ok(Arc::new(Self::sled(&self.dir)?))
    }

    fn exists(&self) -> bool {
        self.dir.join(DATABASE).exists()
    }

    fn set_aside(&self) -> io::Result<String> {
        set_aside(&self.dir, DATABASE)
    }
}

impl Definitions {
    /// Opens the definitions in the data folder `dir`. Database, snapshot and journal are compared: what one of them
    /// lacks is restored from the others; what all lack is reported in the findings.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Finding>), DefinitionsError> {
        let disk = Arc::new(RealDisk::new(dir)?);
        let (definitions, findings) = Self::open_on(disk, &SledFolder { dir: dir.to_path_buf() })?;
        let own = Arc::clone(&definitions.shared);
        let thread = std::thread::Builder::new()
            .name("definitions".into())
            .spawn(move || own.tidies.live(|| upkeep::run(&own)))?;
        *definitions.thread.lock() = Some(thread);
        Ok((definitions, findings))
    }

    /// Without a thread.
    fn open_on(
        disk: Arc<dyn Disk>,
        database: &dyn Database,
    ) -> Result<(Self, Vec<Finding>), DefinitionsError> {
        let opened = opening::open(&*disk, database)?;
        let Opened { db, entries, meta, behind, stale, next_file, snapshot, findings, remnants, jump } =
            opened;
        let base = jump.as_ref().map_or(meta.revision, |jump| jump.revision - 1);
        let mut journal = Journal::create(&*disk, next_file, base)?;
        let mut note = SyncedNote::default();
        if let Some(jump) = jump {
            let mut bytes = Vec::new();
            jump.encode(journal.salt(), &mut bytes);
            journal.append(&bytes)?;
            note.set(&*disk, jump.revision);
        }
        let changed = !stale.is_empty() || snapshot != Some(meta.revision);
        let shared = Shared {
            disk,
            db,
            line: Mutex::default(),
            writer: Mutex::new(Writer {
                journal,
                note,
                entries,
                meta,
                done: 0,
                failed: HashMap::new(),
                unsure: false,
                behind,
                stale,
                next_file: next_file + 1,
                snapshot,
            }),
            tidying: Mutex::new(()),
            bell: Bell { state: Mutex::new(BellState { changed, closing: false }), wake: Condvar::new() },
            tidies: Pulse::new("definitions"),
            commits: Pulse::new("definitions-commit"),
        };
        let definitions =
            Self { shared: Arc::new(shared), ids: Mutex::new((0, 0)), thread: Mutex::new(None), remnants };
        Ok((definitions, findings))
    }

    /// All definitions, by key.
    pub fn all(&self) -> Vec<Stored> {
        visible(&self.shared.writer.lock().entries)
    }

    /// Definitions found on opening in an older or damaged state, hence not in use: for the names of things that are
    /// lost.
    pub fn remnants(&self) -> Vec<Stored> {
        visible(&self.remnants)
    }

    /// Makes all of `changes` durable, or none. Commits of several threads share one sync.
    pub fn commit(&self, changes: &[Change]) -> Result<(), DefinitionsError> {
        for (key, value) in changes {
            let value_len = value.as_ref().map_or(0, Vec::len);
            if key.len() > KEY_BYTES_MAX || value_len > VALUE_BYTES_MAX {
                return Err(DefinitionsError::TooLong { key: key.clone() });
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        let ticket = {
            let mut line = self.shared.line.lock();
            line.waiting.push(changes.to_vec());
            line.first + line.waiting.len() as u64 - 1
        };
        let mut writer = self.shared.writer.lock();
        if writer.done <= ticket {
            self.shared.commits.begin();
            self.shared.write(&mut writer);
            self.shared.commits.rest();
        }
        match writer.failed.remove(&ticket) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// An id never issued before, in this or an earlier run.
    pub fn next_id(&self) -> Result<u64, DefinitionsError> {
        let mut ids = self.ids.lock();
        if ids.0 == ids.1 {
            *ids = self.reserve_ids(0)?;
        }
        let id = ids.0;
        ids.0 += 1;
        Ok(id)
    }

    /// Makes future ids larger than `id`, which is in use somewhere.
    pub fn raise_ids(&self, id: u64) -> Result<(), DefinitionsError> {
        let mut ids = self.ids.lock();
        let reserved = opening::next_id(&self.shared.writer.lock().entries);
        if ids.0 <= id && reserved.is_none_or(|next| next <= id) {
            *ids = self.reserve_ids(id.saturating_add(1))?;
        }
        Ok(())
    }

    /// Reserves a block of ids, none below `from`.
    fn reserve_ids(&self, from: u64) -> Result<(u64, u64), DefinitionsError> {
        let next = opening::next_id(&self.shared.writer.lock().entries);
        let unreadable = || DefinitionsError::Unreadable("the next id is not a number".to_owned());
        let start = next.ok_or_else(unreadable)?.max(from);
        let end = start.saturating_add(ID_BLOCK);
        self.commit(&[(NEXT_ID_KEY.into(), Some(end.to_string().into_bytes()))])?;
        Ok((start, end))
    }

    /// The pulses of writing changes, and of the snapshot that follows them.
    pub fn pulses(&self) -> [Arc<Pulse>; 2] {
        [Arc::clone(&self.shared.tidies), Arc::clone(&self.shared.commits)]
    }

    /// Writes the snapshot and ends the thread. Also done on drop. The wait is bounded.
    pub fn close(&self) -> Result<(), Unclean> {
        let Some(thread) = self.thread.lock().take() else {
            return Ok(());
        };
        self.shared.bell.state.lock().closing = true;
        self.shared.bell.wake.notify_all();
        let threads = [thread];
        if let Some(name) = unended(&threads, CLOSE_PATIENCE) {
            return Err(Unclean(format!("the thread {name} stands")));
        }
        let [thread] = threads;
        thread.join().map_err(|_| Unclean("the definitions' thread panicked".to_owned()))
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "definitions");
        }
    }
}

/// All but the entries for the module's own use.
fn visible(entries: &Entries) -> Vec<Stored> {
    let entries = entries.iter().filter(|(key, _)| !key.starts_with('\0'));
    entries.map(|(key, value)| (Arc::clone(key), Arc::clone(value))).collect()
}

impl Shared {
    /// Writes all waiting commits. Every waiting ticket is done afterwards.
    fn write(&self, writer: &mut Writer) {
        let (commits, first) = {
            let mut line = self.line.lock();
            let commits = std::mem::take(&mut line.waiting);
            let first = line.first;
            line.first += commits.len() as u64;
            (commits, first)
        };
        writer.done = first + commits.len() as u64;
        if let Err(error) = writer.append(&*self.disk, commits) {
            tracing::error!(%error, "a change of definitions was refused");
            let tickets = first..writer.done;
            writer.failed.extend(tickets.map(|ticket| (ticket, error.clone())));
            return;
        }
        let mut bell = self.bell.state.lock();
        bell.changed = true;
        drop(bell);
        self.bell.wake.notify_one();
    }
}

impl Writer {
    /// Makes these commits durable, then visible; all or none.
    fn append(&mut self, disk: &dyn Disk, commits: Vec<Vec<Change>>) -> Result<(), DefinitionsError> {
        let not_saved = |error: io::Error| DefinitionsError::NotSaved(error.to_string());
        if self.unsure {
            self.void(disk).map_err(not_saved)?;
        }
        let mut bytes = Vec::new();
        let mut frames = Vec::with_capacity(commits.len());
        let revisions = self.meta.revision + 1..;
        for (revision, changes) in revisions.zip(commits) {
            let frame = Frame { revision, changes };
            frame.encode(self.journal.salt(), &mut bytes);
            frames.push(frame);
        }
        if let Err(error) = self.journal.append(&bytes) {
            self.unsure = self.journal.cut().is_err();
            if self.unsure && self.void(disk).is_err() {
                return Err(DefinitionsError::Unsure(error.to_string()));
            }
            return Err(not_saved(error));
        }
        for frame in frames {
            let step = apply(&mut self.entries, &mut self.meta, frame);
            self.behind.push(step);
        }
        self.note.set(disk, self.meta.revision);
        Ok(())
    }

    /// Continues in a new file, whose first frame voids what this one may hold beyond the last good commit.
    fn void(&mut self, disk: &dyn Disk) -> io::Result<()> {
        let mut journal = Journal::create(disk, self.next_file, self.meta.revision)?;
        // A file with a frame counts, even if it could not be synced: its number is not reused.
        self.next_file += 1;
        let nothing = Frame { revision: self.meta.revision + 1, changes: Vec::new() };
        let mut bytes = Vec::new();
        nothing.encode(journal.salt(), &mut bytes);
        if let Err(error) = journal.append(&bytes) {
            self.stale.push(journal.name().to_owned());
            return Err(error);
        }
        let step = apply(&mut self.entries, &mut self.meta, nothing);
        self.behind.push(step);
        self.replace_journal(journal);
        self.unsure = false;
        Ok(())
    }

    /// Continues in a new file, so that this one can be removed.
    fn rotate(&mut self, disk: &dyn Disk) -> io::Result<()> {
        if self.unsure {
            return self.void(disk);
        }
        let journal = Journal::create(disk, self.next_file, self.meta.revision)?;
        self.next_file += 1;
        self.replace_journal(journal);
        Ok(())
    }

    fn replace_journal(&mut self, journal: Journal) {
        let old = std::mem::replace(&mut self.journal, journal);
        self.stale.push(old.name().to_owned());
    }
}
