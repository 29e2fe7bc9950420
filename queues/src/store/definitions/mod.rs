//! Definitions: few, small, and on disk before the broker says -ok.
//!
//! Invariants: a commit is durable when it returns, whole or not at all, in commit order. The
//! journal is synced first; sled holds the definitions, checked by count and sum when opened; a
//! JSON snapshot follows from time to time. From snapshot and journal alone everything can be
//! restored, so sled's loss loses nothing. Ids never repeat.
//! Absent: what keys and values mean.

mod journal;
mod snapshot;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::journal::{Frame, Journal};
use self::snapshot::Snapshot;
use super::folder::set_aside;
use super::index::db::Sled;
use super::index::{Db, DbError};
use super::log::Finding;

/// A key and its new value; `None`: it goes.
pub type Change = (String, Option<Vec<u8>>);

/// Longest value in bytes: sixteen of them must fit into a page that sled keeps in its main file.
pub const VALUE_BYTES_MAX: usize = 60_000;
/// Longest key in bytes.
pub const KEY_BYTES_MAX: usize = 2_000;

const SEGMENT_BYTES: usize = 4 << 20;
const CACHE_BYTES: u64 = 8 << 20;
/// Ids are reserved so many at a time.
const ID_BLOCK: u64 = 1_000;
const NEXT_ID_KEY: &str = "\0next_id";
const META_KEY: &[u8] = b"m";
/// Changes are gathered so long before a snapshot.
const SNAPSHOT_AFTER: Duration = Duration::from_secs(5);

const JOURNAL: &str = "definitions.journal";
const OLD_JOURNAL: &str = "definitions.journal.old";
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
    /// An earlier failure left open what is on disk.
    #[error("definitions cannot be saved until the next start: {0}")]
    Broken(String),
    /// Neither the database nor what is beside it can be read.
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

/// What must agree with what sled holds, so that entries it lost are noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Meta {
    revision: u64,
    count: u64,
    /// Sum of the checksums of all entries.
    sum: u64,
}

impl Meta {
    fn encode(self) -> Vec<u8> {
        let numbers = [self.revision, self.count, self.sum];
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        Some(Self { revision: number(0)?, count: number(8)?, sum: number(16)? })
    }

    fn add(&mut self, key: &str, value: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(checksum(key, value));
    }

    fn remove(&mut self, key: &str, value: &[u8]) {
        self.count -= 1;
        self.sum = self.sum.wrapping_sub(checksum(key, value));
    }
}

fn checksum(key: &str, value: &[u8]) -> u64 {
    let key_crc = crc32c::crc32c(key.as_bytes());
    u64::from(crc32c::crc32c_append(key_crc, value)) << 32 | u64::from(key_crc)
}

/// What commits change, one after the other.
struct Writer {
    journal: Journal,
    entries: BTreeMap<String, Vec<u8>>,
    meta: Meta,
    /// Tickets below this are done.
    done: u64,
    /// Those of them that failed.
    failed: HashMap<u64, DefinitionsError>,
    broken: Option<String>,
    /// Changes that sled has not taken yet.
    behind: Vec<Change>,
}

/// Commits that wait for the one that writes.
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
    dir: PathBuf,
    db: Sled,
    line: Mutex<Line>,
    writer: Mutex<Writer>,
    /// Held while a snapshot is made.
    tidying: Mutex<()>,
    bell: Bell,
}

/// See the module.
pub struct Definitions {
    shared: Arc<Shared>,
    ids: Mutex<(u64, u64)>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

fn finding(file: &str, what: String) -> Finding {
    Finding { file: file.into(), offset: None, queue: None, count: 0, what }
}

impl Definitions {
    /// Opens the definitions in the data folder `dir`, restoring them if their database is
    /// missing or damaged.
    pub fn open(dir: &Path) -> Result<(Self, Vec<Finding>), DefinitionsError> {
        std::fs::create_dir_all(dir)?;
        let mut findings = Vec::new();
        let mut frames = Vec::new();
        let mut len = 0;
        for name in [OLD_JOURNAL, JOURNAL] {
            let read = journal::read(&dir.join(name))?;
            for offset in read.damaged {
                findings.push(Finding {
                    offset: Some(offset),
                    ..finding(name, "a change of definitions is damaged, and lost".into())
                });
            }
            frames.extend(read.frames);
            len = read.len;
        }
        let path = dir.join(DATABASE);
        let first = frames.first().map_or(u64::MAX, |frame| frame.revision);
        let existed = path.exists();
        let (db, mut entries, mut meta) = match open_database(&path, first) {
            Ok(opened) => opened,
            Err(error) if error.io => return Err(error.into()),
            Err(error) => {
                let problem = if existed {
                    let aside = set_aside(dir, DATABASE)?;
                    format!("{error}; moved aside as {aside}")
                } else {
                    "the database is missing".into()
                };
                let what = format!("{problem}; restored from {SNAPSHOT} and {JOURNAL}");
                findings.push(finding(DATABASE, what));
                let (entries, revision) = match Snapshot::read(&dir.join(SNAPSHOT)) {
                    Ok(Some(snapshot)) => (snapshot.entries, snapshot.revision),
                    Ok(None) => (BTreeMap::new(), 0),
                    Err(error) => {
                        findings.push(finding(SNAPSHOT, format!("cannot be read: {error}")));
                        (BTreeMap::new(), 0)
                    }
                };
                if revision.saturating_add(1) < first && first != u64::MAX {
                    let what = format!("changes between revision {revision} and {first} are lost");
                    findings.push(finding(SNAPSHOT, what));
                }
                let db = Sled::open(&path, SEGMENT_BYTES, CACHE_BYTES)?;
                let meta = fill(&db, &entries, revision)?;
                (db, entries, meta)
            }
        };
        for frame in frames {
            if frame.revision > meta.revision {
                apply(&mut entries, &mut meta, &frame);
                db.apply(&database_changes(&frame.changes, meta))?;
            }
        }
        db.sync()?;
        let shared = Arc::new(Shared {
            dir: dir.to_path_buf(),
            db,
            line: Mutex::default(),
            writer: Mutex::new(Writer {
                journal: Journal::open(dir.join(JOURNAL), len)?,
                entries,
                meta,
                done: 0,
                failed: HashMap::new(),
                broken: None,
                behind: Vec::new(),
            }),
            tidying: Mutex::new(()),
            bell: Bell::default(),
        });
        let own = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("definitions".into()).spawn(move || run(&own))?;
        let definitions = Self { shared, ids: Mutex::new((0, 0)), thread: Mutex::new(Some(thread)) };
        Ok((definitions, findings))
    }

    /// All definitions, by key.
    pub fn all(&self) -> Vec<(String, Vec<u8>)> {
        let writer = self.shared.writer.lock();
        let entries = writer.entries.iter().filter(|(key, _)| !key.starts_with('\0'));
        entries.map(|(key, value)| (key.clone(), value.clone())).collect()
    }

    /// Makes all of `changes`, durably, or none. Commits of several threads share one sync.
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
            self.shared.write(&mut writer);
        }
        match writer.failed.remove(&ticket) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// A number that was never given out before, in this or an earlier run.
    pub fn next_id(&self) -> Result<u64, DefinitionsError> {
        let mut ids = self.ids.lock();
        if ids.0 == ids.1 {
            let reserved = {
                let writer = self.shared.writer.lock();
                let value = writer.entries.get(NEXT_ID_KEY);
                let text = value.and_then(|value| std::str::from_utf8(value).ok());
                match text.map(str::parse::<u64>) {
                    None => 1,
                    Some(Ok(number)) => number,
                    Some(Err(error)) => {
                        return Err(DefinitionsError::Unreadable(format!("next id: {error}")));
                    }
                }
            };
            let end = reserved + ID_BLOCK;
            self.commit(&[(NEXT_ID_KEY.into(), Some(end.to_string().into_bytes()))])?;
            *ids = (reserved, end);
        }
        let id = ids.0;
        ids.0 += 1;
        Ok(id)
    }

    /// Writes the snapshot and ends the thread. Also done on drop.
    pub fn close(&self) {
        let Some(thread) = self.thread.lock().take() else {
            return;
        };
        self.shared.bell.state.lock().closing = true;
        self.shared.bell.wake.notify_all();
        if thread.join().is_err() {
            tracing::error!("the definitions' thread panicked");
        }
    }
}

impl Drop for Definitions {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    /// Writes all that waits. Each waiting ticket is done afterwards.
    fn write(&self, writer: &mut Writer) {
        let (commits, first) = {
            let mut line = self.line.lock();
            let commits = std::mem::take(&mut line.waiting);
            let first = line.first;
            line.first += commits.len() as u64;
            (commits, first)
        };
        writer.done = first + commits.len() as u64;
        let mut bytes = Vec::new();
        let mut frames = Vec::with_capacity(commits.len());
        let revisions = writer.meta.revision + 1..;
        for (revision, changes) in revisions.zip(commits) {
            let frame = Frame { revision, changes };
            frame.encode(&mut bytes);
            frames.push(frame);
        }
        let result = match &writer.broken {
            Some(reason) => Err(DefinitionsError::Broken(reason.clone())),
            None => writer.journal.append(&bytes).map_err(|(error, unsure)| {
                if unsure {
                    writer.broken = Some(error.to_string());
                }
                DefinitionsError::NotSaved(error.to_string())
            }),
        };
        if let Err(error) = result {
            tracing::error!(%error, "a change of definitions was refused");
            let tickets = first..writer.done;
            writer.failed.extend(tickets.map(|ticket| (ticket, error.clone())));
            return;
        }
        for frame in frames {
            apply(&mut writer.entries, &mut writer.meta, &frame);
            writer.behind.extend(frame.changes);
        }
        let mut bell = self.bell.state.lock();
        bell.changed = true;
        drop(bell);
        self.bell.wake.notify_one();
    }

    /// Brings sled up to date.
    fn catch_up(&self, writer: &mut Writer) -> Result<(), DbError> {
        if writer.behind.is_empty() {
            return Ok(());
        }
        let changes = database_changes(&writer.behind, writer.meta);
        let again = |_| self.db.reopen().and_then(|()| self.db.apply(&changes));
        self.db.apply(&changes).or_else(again)?;
        writer.behind.clear();
        Ok(())
    }

    /// Sled and the snapshot are brought up to date, and the journal starts anew.
    fn tidy(&self) -> Result<(), DefinitionsError> {
        let _tidying = self.tidying.lock();
        let old = self.dir.join(OLD_JOURNAL);
        let snapshot = {
            let mut writer = self.writer.lock();
            self.catch_up(&mut writer)?;
            if writer.journal.len() == 0 && !old.exists() {
                return Ok(());
            }
            if !old.exists() && writer.broken.is_none() {
                writer.journal.rotate(&old)?;
            }
            Snapshot { revision: writer.meta.revision, entries: writer.entries.clone() }
        };
        self.db.sync()?;
        snapshot.write(&self.dir.join(SNAPSHOT))?;
        std::fs::remove_file(&old)?;
        Ok(())
    }
}

fn run(shared: &Shared) {
    loop {
        let closing = {
            let mut state = shared.bell.state.lock();
            while !(state.changed || state.closing) {
                shared.bell.wake.wait(&mut state);
            }
            if !state.closing {
                shared.bell.wake.wait_while_for(&mut state, |s| !s.closing, SNAPSHOT_AFTER);
            }
            state.changed = false;
            state.closing
        };
        if let Err(error) = shared.tidy() {
            tracing::error!(%error, "the snapshot of definitions could not be written");
        }
        if closing {
            return;
        }
    }
}

fn entry_key(key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(b'd');
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// `changes` as sled is told of them; `meta` as it is after them.
fn database_changes(changes: &[Change], meta: Meta) -> Vec<super::index::Change> {
    let entries = changes.iter();
    let entries = entries.map(|(key, value)| (entry_key(key), value.clone()));
    let meta = (META_KEY.to_vec(), Some(meta.encode()));
    entries.chain([meta]).collect()
}

/// Applies a frame in memory.
fn apply(entries: &mut BTreeMap<String, Vec<u8>>, meta: &mut Meta, frame: &Frame) {
    for (key, value) in &frame.changes {
        let old = match value {
            Some(value) => {
                meta.add(key, value);
                entries.insert(key.clone(), value.clone())
            }
            None => entries.remove(key),
        };
        if let Some(old) = old {
            meta.remove(key, &old);
        }
    }
    meta.revision = frame.revision;
}

type Opened = (Sled, BTreeMap<String, Vec<u8>>, Meta);

/// Opens the database and checks that it holds what it says, and that the journal goes on where
/// it ends.
fn open_database(path: &Path, first_frame: u64) -> Result<Opened, DbError> {
    let db = Sled::open(path, SEGMENT_BYTES, CACHE_BYTES)?;
    let mut entries = BTreeMap::new();
    let mut found = Meta::default();
    let mut wrong = false;
    db.scan(b"d", &mut |key, value| match std::str::from_utf8(&key[1..]) {
        Ok(key) => {
            found.add(key, value);
            entries.insert(key.to_owned(), value.to_vec());
        }
        Err(_) => wrong = true,
    })?;
    let meta = match db.get(META_KEY)? {
        Some(bytes) => Meta::decode(&bytes).unwrap_or_default(),
        None => Meta::default(),
    };
    found.revision = meta.revision;
    let gap = first_frame != u64::MAX && first_frame > meta.revision + 1;
    let snapshot = path.with_file_name(SNAPSHOT);
    let empty = meta == Meta::default() && snapshot.exists();
    if wrong || found != meta || gap || empty {
        return Err(DbError::damaged("definitions are missing from the database"));
    }
    Ok((db, entries, meta))
}

/// Fills an empty database.
fn fill(db: &Sled, entries: &BTreeMap<String, Vec<u8>>, revision: u64) -> Result<Meta, DbError> {
    let mut meta = Meta { revision, ..Meta::default() };
    let mut changes = Vec::with_capacity(entries.len() + 1);
    for (key, value) in entries {
        meta.add(key, value);
        changes.push((entry_key(key), Some(value.clone())));
    }
    changes.push((META_KEY.to_vec(), Some(meta.encode())));
    db.apply(&changes)?;
    Ok(meta)
}
