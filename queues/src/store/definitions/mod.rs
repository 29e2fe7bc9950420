//! Definitions: few, small, and on disk before the broker says -ok.
//!
//! Invariants: a commit is durable when it returns, whole or not at all, in commit order. The
//! journal is synced first; sled holds the definitions, checked by count and sum when opened; a
//! JSON snapshot follows from time to time. From snapshot and journal alone everything can be
//! restored, so sled's loss loses nothing. Ids never repeat.
//! Absent: what keys and values mean.

mod entries;
mod journal;
mod snapshot;

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::entries::{Entries, META_KEY, Meta, Step, apply, database_changes, entry_key};
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
/// Nothing is read from it after the start.
const CACHE_BYTES: u64 = 2 << 20;
/// Ids are reserved so many at a time.
const ID_BLOCK: u64 = 1_000;
const NEXT_ID_KEY: &str = "\0next_id";
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

/// What commits change, one after the other.
struct Writer {
    journal: Journal,
    entries: Entries,
    meta: Meta,
    /// Tickets below this are done.
    done: u64,
    /// Those of them that failed.
    failed: HashMap<u64, DefinitionsError>,
    broken: Option<String>,
    /// What sled has not taken yet.
    behind: Vec<Step>,
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
                    Ok(None) => (Entries::new(), 0),
                    Err(error) => {
                        findings.push(finding(SNAPSHOT, format!("cannot be read: {error}")));
                        (Entries::new(), 0)
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
        let mut behind = Vec::new();
        for frame in frames {
            if frame.revision > meta.revision {
                behind.push(apply(&mut entries, &mut meta, frame));
            }
        }
        catch_up(&db, &mut behind)?;
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
                behind,
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
    pub fn all(&self) -> Vec<(Arc<str>, Arc<[u8]>)> {
        let writer = self.shared.writer.lock();
        let entries = writer.entries.iter().filter(|(key, _)| !key.starts_with('\0'));
        entries.map(|(key, value)| (Arc::clone(key), Arc::clone(value))).collect()
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
            let step = apply(&mut writer.entries, &mut writer.meta, frame);
            writer.behind.push(step);
        }
        let mut bell = self.bell.state.lock();
        bell.changed = true;
        drop(bell);
        self.bell.wake.notify_one();
    }

    /// Sled and the snapshot are brought up to date, and the journal starts anew.
    fn tidy(&self) -> Result<(), DefinitionsError> {
        let _tidying = self.tidying.lock();
        let old = self.dir.join(OLD_JOURNAL);
        let (snapshot, mut behind) = {
            let mut writer = self.writer.lock();
            if writer.behind.is_empty() && writer.journal.len() == 0 && !old.exists() {
                return Ok(());
            }
            if !old.exists() && writer.broken.is_none() {
                writer.journal.rotate(&old)?;
            }
            let snapshot = Snapshot { revision: writer.meta.revision, entries: writer.entries.clone() };
            (snapshot, std::mem::take(&mut writer.behind))
        };
        // Commits go on meanwhile.
        let caught_up = catch_up(&self.db, &mut behind);
        if !behind.is_empty() {
            let mut writer = self.writer.lock();
            behind.append(&mut writer.behind);
            writer.behind = behind;
        }
        caught_up?;
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

/// Sled takes so many changes at a time: it frees nothing of what it replaces before a batch ends.
const BATCH: usize = 256;

/// Brings sled up to date, a batch of whole steps at a time; what it took is no longer in `behind`.
fn catch_up(db: &Sled, behind: &mut Vec<Step>) -> Result<(), DbError> {
    let mut taken = 0;
    let result = loop {
        let mut changes = 0;
        let mut more = behind[taken..].iter();
        let batch = more.position(|step| {
            changes += step.changes.len();
            changes >= BATCH
        });
        let upto = batch.map_or(behind.len(), |last| taken + last + 1);
        if upto == taken {
            break Ok(());
        }
        let changes = database_changes(&behind[taken..upto]);
        let again = |_| db.reopen().and_then(|()| db.apply(&changes));
        if let Err(error) = db.apply(&changes).or_else(again) {
            break Err(error);
        }
        taken = upto;
    };
    behind.drain(..taken);
    result
}

type Opened = (Sled, Entries, Meta);

/// Opens the database and checks that it holds what it says, and that the journal goes on where
/// it ends.
fn open_database(path: &Path, first_frame: u64) -> Result<Opened, DbError> {
    let db = Sled::open(path, SEGMENT_BYTES, CACHE_BYTES)?;
    let mut entries = Vec::new();
    let mut found = Meta::default();
    let mut wrong = false;
    db.scan(b"d", &mut |key, value| match std::str::from_utf8(&key[1..]) {
        Ok(key) => {
            found.add(key, value);
            entries.push((key.into(), value.into()));
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
    // Made from a sorted list, its nodes are full.
    Ok((db, entries.into_iter().collect(), meta))
}

/// Fills an empty database.
fn fill(db: &Sled, entries: &Entries, revision: u64) -> Result<Meta, DbError> {
    let mut meta = Meta::at(revision);
    let mut changes = Vec::with_capacity(entries.len() + 1);
    for (key, value) in entries {
        meta.add(key, value);
        changes.push((entry_key(key), Some(value.to_vec())));
    }
    changes.push((META_KEY.to_vec(), Some(meta.encode())));
    db.apply(&changes)?;
    Ok(meta)
}
