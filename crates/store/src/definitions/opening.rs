//! Opening definitions: database, snapshot and journal are compared, and the newest whole state wins.
//!
//! Each of the three can be missing, damaged, or outdated (a database that lost its last pages opens in an earlier
//! state). Every commit has a revision, so gaps are detected by number. Where no state is whole, what can still be
//! read is used.
//!
//! Invariants: nothing damaged is deleted; what is lost, or may be, is a finding.

use std::collections::BTreeSet;
use std::io;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::sync::Arc;

use super::entries::{Entries, META_KEY, Meta, Step, apply, entry_key};
use super::journal::{self, Damage, Frame};
use super::noted;
use super::snapshot::{self, Snapshot};
use super::{DATABASE, DefinitionsError, NEXT_ID_KEY, SNAPSHOT, upkeep};
use crate::disk::Disk;
use crate::finding::Finding;
use crate::index::{Db, DbError};

/// Opens the database, and sets it aside when it is unusable.
pub(super) trait Database {
    /// Opens it, empty if it does not exist.
    fn open(&self) -> Result<Arc<dyn Db>, DbError>;
    /// Whether it exists.
    fn exists(&self) -> bool;
    /// Sets it aside; returns its new name.
    fn set_aside(&self) -> io::Result<String>;
    /// Free room on its disk.
    fn room(&self) -> Room;
    /// An empty one in memory, moved to the disk when there is room.
    fn in_memory(&self) -> Arc<dyn Db>;
}

/// Room on a disk.
pub(super) struct Room {
    /// The folder.
    pub(super) folder: PathBuf,
    /// Free bytes.
    pub(super) free: u64,
    /// Whether that is enough to open the database.
    pub(super) enough: bool,
    /// Whether lack of room can be ruled out as the reason why opening the database fails.
    pub(super) plenty: bool,
}

/// The merged result.
pub(super) struct Opened {
    pub(super) db: Arc<dyn Db>,
    pub(super) entries: Entries,
    pub(super) meta: Meta,
    /// Steps that the database does not have yet.
    pub(super) behind: Vec<Step>,
    /// Journal files of earlier runs.
    pub(super) stale: Vec<String>,
    /// Number of the next journal file.
    pub(super) next_file: u64,
    /// Revision of the snapshot, if it is whole.
    pub(super) snapshot: Option<u64>,
    pub(super) findings: Vec<Finding>,
    /// Entries read somewhere that are not part of the state.
    pub(super) remnants: Entries,
    /// To be written first: some changes are lost, or may be, so new revisions and ids continue beyond all of them.
    pub(super) jump: Option<Frame>,
}

/// The content of the database.
enum Stored {
    Missing,
    Whole(Arc<dyn Db>, Entries, Meta),
    Damaged(DbError, Entries),
    /// It is not opened: that takes room the disk does not have.
    NoRoom,
}

/// A state to which frames are applied.
struct Base {
    entries: Entries,
    revision: u64,
}

impl Base {
    /// Empty if there is no whole snapshot.
    fn in_snapshot(saved: snapshot::Found) -> Self {
        match saved {
            snapshot::Found::Whole(snapshot) => {
                Self { entries: snapshot.entries, revision: snapshot.revision }
            }
            _ => Self { entries: Entries::new(), revision: 0 },
        }
    }
}

pub(super) fn finding(file: &str, what: String) -> Finding {
    Finding { file: file.into(), offset: None, queue: None, count: 0, what }
}

/// A key in readable form.
fn shown(key: &str) -> String {
    key.replace('\0', " ").trim().to_owned()
}

/// Most names listed in one finding.
const NAMES_MAX: usize = 50;

fn names<'k>(keys: impl Iterator<Item = &'k str>) -> String {
    let all: BTreeSet<String> = keys.filter(|key| !key.starts_with('\0')).map(shown).collect();
    let more = all.len().saturating_sub(NAMES_MAX);
    let listed: Vec<_> = all.into_iter().take(NAMES_MAX).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", listed.join(", "))
}

/// Reads everything, and opens the database with it.
pub(super) fn open(disk: &dyn Disk, database: &dyn Database) -> Result<Opened, DefinitionsError> {
    let mut read = journal::read(disk)?;
    read.top = read.top.max(noted::read(disk)?);
    let stored = read_database(database)?;
    let saved = Snapshot::read(disk, SNAPSHOT)?;
    if matches!(stored, Stored::NoRoom) && !tell_all(&read, &saved, database.exists()) {
        let Room { folder, free, .. } = database.room();
        return Err(DefinitionsError::NoRoom { folder, free });
    }
    let mut findings = Vec::new();
    let mut lossy = !read.damaged.is_empty();
    findings.extend(read.damaged.iter().map(damage));
    let mut remnants = Entries::new();

    let (in_database, in_snapshot) = (revision_of(&stored), saved_revision(&saved));
    let top = read.top.max(in_database.unwrap_or(0)).max(in_snapshot.unwrap_or(0));
    if let Some(revision) = in_database.filter(|revision| *revision > 0) {
        lossy |= missing(revision, &read, &saved, &mut findings);
    }
    let no_room = matches!(stored, Stored::NoRoom);
    let database_first = choose(in_database, in_snapshot, &read.frames, top);
    let snapshot_revision = in_snapshot;
    let (base, db) = match (database_first, stored, saved) {
        (Some(true), Stored::Whole(db, entries, meta), saved) => {
            note_snapshot(&saved, &mut findings);
            add_remnants(&mut remnants, saved);
            (Base { entries, revision: meta.revision }, Some((db, meta)))
        }
        (_, Stored::NoRoom, saved) => (Base::in_snapshot(saved), None),
        (Some(_), stored, snapshot::Found::Whole(snapshot)) => {
            let problem = put_aside(database, stored, &mut remnants, Some(snapshot.revision))?;
            let what = format!("{problem}; restored from {SNAPSHOT} and the journal");
            findings.push(finding(DATABASE, what));
            (Base { entries: snapshot.entries, revision: snapshot.revision }, None)
        }
        (_, stored, saved) => {
            let (base, fresh) = salvage(database, stored, saved, &read.frames, &mut findings)?;
            lossy |= !fresh;
            (base, None)
        }
    };
    let (db, mut meta) = match db {
        Some(opened) => opened,
        None if no_room => fill(database.in_memory(), &base.entries, base.revision)?,
        None => fill(database.open()?, &base.entries, base.revision)?,
    };
    let (mut entries, mut behind) = (base.entries, Vec::new());
    let newer = read.frames.into_iter().filter(|frame| frame.revision > base.revision);
    let lost = replay(newer, top, &mut entries, &mut meta, &mut behind);
    lossy |= !lost.is_empty();
    remnants.retain(|key, _| !entries.contains_key(key));
    findings.extend(lost.iter().map(loss));
    if lossy && !remnants.is_empty() {
        findings.push(unused(&remnants));
    }
    let jump = lossy.then(|| jump(&entries, top.max(meta.revision)));
    if let Some(jump) = &jump {
        behind.push(apply(&mut entries, &mut meta, jump.clone()));
    }
    catch_up(&*db, &mut behind);
    Ok(Opened {
        db,
        entries,
        meta,
        behind,
        stale: read.files,
        next_file: read.next,
        snapshot: snapshot_revision,
        findings,
        remnants,
        jump,
    })
}

/// Entries that were read and are not part of the state.
fn unused(remnants: &Entries) -> Finding {
    let names = names(remnants.keys().map(|k| &**k));
    finding(DATABASE, format!("found, but of an older state, hence not in use: {names}"))
}

/// Brings the database up to date if it takes that now: snapshot and journal hold all of it.
fn catch_up(db: &dyn Db, behind: &mut Vec<Step>) {
    if let Err(error) = upkeep::catch_up(db, behind).and_then(|()| db.sync()) {
        tracing::warn!(%error, "the database of definitions cannot be brought up to date yet");
    }
}

/// Applies frames; returns the revisions up to `top` that are missing among them.
fn replay(
    frames: impl Iterator<Item = Frame>,
    top: u64,
    entries: &mut Entries,
    meta: &mut Meta,
    behind: &mut Vec<Step>,
) -> Vec<RangeInclusive<u64>> {
    let mut lost = Vec::new();
    for frame in frames {
        if frame.revision > meta.revision + 1 {
            lost.push(meta.revision + 1..=frame.revision - 1);
        }
        behind.push(apply(entries, meta, frame));
    }
    if top > meta.revision {
        lost.push(meta.revision + 1..=top);
    }
    lost
}

/// Finds files missing beside a database at `revision`. Returns whether changes may be lost with them.
fn missing(
    revision: u64,
    read: &journal::Read,
    saved: &snapshot::Found,
    findings: &mut Vec<Finding>,
) -> bool {
    let mut lossy = false;
    let from_the_start = read.frames.first().is_some_and(|frame| frame.revision == 1);
    if matches!(saved, snapshot::Found::Missing) && !from_the_start {
        let mut what = "it is missing; written anew from the database".to_owned();
        if read.top == 0 {
            what = format!("{what}, and nothing tells whether that is the newest (revision {revision})");
            lossy = true;
        }
        findings.push(finding(SNAPSHOT, what));
    }
    if read.files.is_empty() {
        let what = format!("it is missing; what was changed after revision {revision} would be lost");
        findings.push(finding("definitions.journal", what));
        lossy = true;
    }
    lossy
}

/// Gap left in front of new ids when the last one is uncertain.
const IDS_APART: u64 = 1 << 32;

/// A frame that moves beyond all revisions and ids ever issued.
fn jump(entries: &Entries, top: u64) -> Frame {
    let next = next_id(entries).unwrap_or(1).saturating_add(IDS_APART);
    Frame { revision: top + 1, changes: vec![(NEXT_ID_KEY.to_owned(), Some(next.to_string().into_bytes()))] }
}

/// The first id not reserved yet; `None` if unreadable.
pub(super) fn next_id(entries: &Entries) -> Option<u64> {
    match entries.get(NEXT_ID_KEY) {
        None => Some(1),
        Some(value) => std::str::from_utf8(value).ok()?.parse().ok(),
    }
}

fn damage(damage: &Damage) -> Finding {
    let keys = names(damage.keys.iter().map(String::as_str));
    let of = if keys.is_empty() { String::new() } else { format!(" of {keys}") };
    Finding {
        offset: Some(damage.offset),
        ..finding(&damage.file, format!("a change of definitions is damaged, and lost{of}"))
    }
}

fn loss(lost: &RangeInclusive<u64>) -> Finding {
    let (first, end) = (lost.start(), lost.end());
    let count = end - first + 1;
    Finding {
        count,
        ..finding(
            "definitions",
            format!("{count} changes of definitions (revisions {first} to {end}) are lost"),
        )
    }
}

/// Whether snapshot and journal have everything, so that the database is not needed.
fn tell_all(read: &journal::Read, saved: &snapshot::Found, is_there: bool) -> bool {
    let mut revision = match saved {
        snapshot::Found::Whole(snapshot) => snapshot.revision,
        snapshot::Found::Missing => 0,
        snapshot::Found::Damaged(..) => return false,
    };
    for frame in &read.frames {
        if frame.revision > revision + 1 {
            return false;
        }
        revision = revision.max(frame.revision);
    }
    // A database never exists without a journal.
    read.damaged.is_empty() && revision >= read.top && !(is_there && read.files.is_empty())
}

fn revision_of(stored: &Stored) -> Option<u64> {
    match stored {
        Stored::Whole(_, _, meta) => Some(meta.revision),
        _ => None,
    }
}

fn saved_revision(saved: &snapshot::Found) -> Option<u64> {
    match saved {
        snapshot::Found::Whole(snapshot) => Some(snapshot.revision),
        _ => None,
    }
}

/// Whether to start from the database (or from the snapshot): whichever loses fewer changes. `None`: neither is
/// whole.
fn choose(database: Option<u64>, snapshot: Option<u64>, frames: &[Frame], top: u64) -> Option<bool> {
    let lost = |base: u64| {
        let known = frames.iter().filter(|frame| frame.revision > base).count() as u64;
        (top - base).saturating_sub(known)
    };
    match (database, snapshot) {
        (Some(database), Some(snapshot)) => Some(lost(database) <= lost(snapshot)),
        // An empty database says nothing unless all changes since the first are known.
        (Some(0), None) => (lost(0) == 0).then_some(true),
        (Some(_), None) => Some(true),
        (None, Some(_)) => Some(false),
        (None, None) => None,
    }
}

fn note_snapshot(saved: &snapshot::Found, findings: &mut Vec<Finding>) {
    if let snapshot::Found::Damaged(why, _) = saved {
        let what = format!("cannot be used: {why}; written anew from the database");
        findings.push(finding(SNAPSHOT, what));
    }
}

fn add_remnants(remnants: &mut Entries, saved: snapshot::Found) {
    match saved {
        snapshot::Found::Whole(snapshot) => remnants.extend(snapshot.entries),
        snapshot::Found::Damaged(_, entries) => remnants.extend(entries),
        snapshot::Found::Missing => {}
    }
}

/// Sets aside a database that cannot be used or is older than another source; returns what is wrong with it.
fn put_aside(
    database: &dyn Database,
    stored: Stored,
    remnants: &mut Entries,
    newer: Option<u64>,
) -> Result<String, DefinitionsError> {
    let why = match stored {
        Stored::Missing | Stored::NoRoom => return Ok("the database is missing".to_owned()),
        Stored::Damaged(error, entries) => {
            remnants.extend(entries);
            error.to_string()
        }
        Stored::Whole(db, entries, meta) => {
            drop(db);
            remnants.extend(entries);
            let newer = newer.map_or(String::new(), |newer| format!(", the snapshot is of {newer}"));
            format!("the database has fallen back to revision {}{newer}", meta.revision)
        }
    };
    let aside = database.set_aside()?;
    Ok(format!("{why}; moved aside as {aside}"))
}

/// Nothing is whole: all that can still be read is used, of whatever revision. `true`: nothing existed, or the
/// journal has it all.
fn salvage(
    database: &dyn Database,
    stored: Stored,
    saved: snapshot::Found,
    frames: &[Frame],
    findings: &mut Vec<Finding>,
) -> Result<(Base, bool), DefinitionsError> {
    // The first start, or all changes since then are in the journal.
    let first = frames.first().is_none_or(|frame| frame.revision == 1);
    let mut entries = Entries::new();
    let fresh = matches!(stored, Stored::Missing) && matches!(saved, snapshot::Found::Missing) && first;
    if let snapshot::Found::Damaged(why, _) = &saved {
        findings.push(finding(SNAPSHOT, format!("cannot be used in whole: {why}")));
    }
    add_remnants(&mut entries, saved);
    let problem = put_aside(database, stored, &mut entries, None)?;
    if !fresh {
        let count = entries.len();
        let what = format!(
            "{problem}; no state of definitions is whole: the {count} that can be read are used, others are lost"
        );
        findings.push(finding(DATABASE, what));
    }
    let revision = frames.first().map_or(0, |frame| frame.revision - 1);
    Ok((Base { entries, revision }, fresh))
}

fn read_database(database: &dyn Database) -> Result<Stored, DefinitionsError> {
    let room = database.room();
    if !room.enough {
        return Ok(Stored::NoRoom);
    }
    if !database.exists() {
        return Ok(Stored::Missing);
    }
    let db = match database.open() {
        Ok(db) => db,
        Err(error) if error.io && !room.plenty => {
            tracing::warn!(%error, "data folder: definitions");
            return Ok(Stored::NoRoom);
        }
        Err(error) if error.io => return Err(error.into()),
        Err(error) => return Ok(Stored::Damaged(error, Entries::new())),
    };
    let mut found = Vec::new();
    let mut wrong = 0;
    let scanned = db.scan(b"d", &mut |key, value| match std::str::from_utf8(&key[1..]) {
        Ok(key) => found.push((Arc::from(key), Arc::from(value))),
        Err(_) => wrong += 1,
    });
    // Built from a sorted list, its nodes are full.
    let entries: Entries = found.into_iter().collect();
    let meta = match scanned.and_then(|()| db.get(META_KEY)) {
        Ok(bytes) => bytes.and_then(|bytes| Meta::decode(&bytes)).unwrap_or_default(),
        Err(error) if error.io => return Err(error.into()),
        Err(error) => return Ok(Stored::Damaged(error, entries)),
    };
    if wrong > 0 || Meta::of(&entries, meta.revision) != meta {
        let error = DbError::damaged("definitions are missing from the database");
        return Ok(Stored::Damaged(error, entries));
    }
    Ok(Stored::Whole(db, entries, meta))
}

/// Fills an empty database.
fn fill(db: Arc<dyn Db>, entries: &Entries, revision: u64) -> Result<(Arc<dyn Db>, Meta), DefinitionsError> {
    let meta = Meta::of(entries, revision);
    let mut changes: Vec<_> =
        entries.iter().map(|(key, value)| (entry_key(key), Some(value.to_vec()))).collect();
    changes.push((META_KEY.to_vec(), Some(meta.encode())));
    db.apply(&changes)?;
    Ok((db, meta))
}
