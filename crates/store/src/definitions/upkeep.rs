//! Sled and the snapshot follow the journal, which then starts anew.
//!
//! Invariants: a journal file is removed only after a durable database and a durable snapshot contain everything in
//! it.

use std::io;
use std::time::Duration;

use super::entries::{META_KEY, Meta, Step, database_changes, entry_key};
use super::snapshot::Snapshot;
use super::{DefinitionsError, SNAPSHOT, Shared};
use crate::index::{Db, DbError};

/// How long changes are gathered before a snapshot; also the delay before a retry after a failure.
const SNAPSHOT_AFTER: Duration = Duration::from_secs(5);

impl Shared {
    /// Brings sled and the snapshot up to date, and restarts the journal.
    pub(super) fn tidy(&self) -> Result<(), DefinitionsError> {
        let _tidying = self.tidying.lock();
        let lacks_room = self.db.lacks_room();
        let (snapshot, mut behind, stale, written) = {
            let mut writer = self.writer.lock();
            let up_to_date = writer.snapshot == Some(writer.meta.revision);
            if writer.behind.is_empty() && writer.stale.is_empty() && up_to_date {
                return Ok(());
            }
            // Without the database on disk no journal file is removed, so another one would be useless.
            if !writer.journal.is_empty() && !lacks_room {
                writer.rotate(&*self.disk).map_err(|error| DefinitionsError::NotSaved(error.to_string()))?;
            }
            let snapshot = Snapshot { revision: writer.meta.revision, entries: writer.entries.clone() };
            (snapshot, std::mem::take(&mut writer.behind), writer.stale.clone(), up_to_date)
        };
        // Commits continue meanwhile.
        let caught_up = catch_up(&*self.db, &mut behind);
        if !behind.is_empty() {
            let mut writer = self.writer.lock();
            behind.append(&mut writer.behind);
            writer.behind = behind;
        }
        // The snapshot is useful without the database as well.
        let saved = if written { Ok(()) } else { snapshot.write(&*self.disk, SNAPSHOT) };
        if saved.is_ok() {
            self.writer.lock().snapshot = Some(snapshot.revision);
        }
        caught_up?;
        saved?;
        settle(&*self.db, &snapshot).map_err(|error| DefinitionsError::NotSaved(error.to_string()))?;
        for name in &stale {
            match self.disk.remove(name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
                _ => self.writer.lock().stale.retain(|other| other != name),
            }
        }
        Ok(())
    }
}

/// The thread: tidies some time after changes, and at the end.
pub(super) fn run(shared: &Shared) {
    let mut told = None;
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
        shared.tidies.begin();
        let tidied = shared.tidy();
        shared.tidies.rest();
        let problem = tidied.err().map(|error| error.to_string());
        if let Some(error) = problem.as_ref().filter(|_| problem != told) {
            tracing::error!(
                error,
                "snapshot and database of definitions are behind the journal, which has all; tried again"
            );
        }
        shared.bell.state.lock().changed |= problem.is_some();
        told = problem;
        if closing {
            return;
        }
    }
}

/// Makes durable what the database took, and verifies that it is complete: after an error it may have lost some.
fn settle(db: &dyn Db, snapshot: &Snapshot) -> Result<(), DbError> {
    db.sync().or_else(|_| db.reopen().and_then(|()| db.sync()))?;
    let meta = Meta::of(&snapshot.entries, snapshot.revision);
    if db.get(META_KEY)?.as_deref().and_then(Meta::decode) == Some(meta) {
        return Ok(());
    }
    tracing::warn!("the database of definitions lost some after an error, and is filled anew");
    db.clear()?;
    let entries: Vec<_> =
        snapshot.entries.iter().map(|(key, value)| (entry_key(key), Some(value.to_vec()))).collect();
    for batch in entries.chunks(BATCH) {
        db.apply(batch)?;
    }
    db.apply(&[(META_KEY.to_vec(), Some(meta.encode()))])?;
    db.sync()
}

/// Changes applied to sled at a time: it frees nothing of what it replaces before a batch ends.
const BATCH: usize = 256;

/// Brings the database up to date, in batches of whole steps; steps it has taken are removed from `behind`.
pub(super) fn catch_up(db: &dyn Db, behind: &mut Vec<Step>) -> Result<(), DbError> {
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
