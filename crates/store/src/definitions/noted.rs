//! The revision up to which definitions are known to be synced: a note beside the journal.
//!
//! A journal that was cut, or replaced by an older copy, ends like one whose last commit was never acknowledged. So
//! each commit is noted after it is synced and before it is acknowledged; the note itself is not synced. After the
//! end of the process it is exact, after a power cut it may lag. Invariants: it never exceeds what a sync covered.

use std::io;
use std::sync::Arc;

use crate::disk::{Disk, LogFile};
use crate::note::{Found, Note};

const NOTE: Note = Note { name: "definitions.synced", magic: *b"LVRTDEFS" };

/// The revision in the note; 0 if it is missing or unreadable.
pub(super) fn read(disk: &dyn Disk) -> io::Result<u64> {
    Ok(match NOTE.read(disk)? {
        Found::Says(revision) => u64::from_le_bytes(revision),
        Found::Missing | Found::Damaged => 0,
    })
}

/// The note, kept up to date.
#[derive(Default)]
pub(super) struct SyncedNote {
    file: Option<Arc<dyn LogFile>>,
    failing: bool,
}

impl SyncedNote {
    /// Everything up to `revision` is synced. If the note cannot be written, it keeps its old value.
    pub(super) fn set(&mut self, disk: &dyn Disk, revision: u64) {
        let result = self.write(disk, revision);
        if let Err(error) = &result
            && !self.failing
        {
            tracing::warn!(%error, "how far the definitions are synced cannot be noted");
        }
        self.failing = result.is_err();
    }

    fn write(&mut self, disk: &dyn Disk, revision: u64) -> io::Result<()> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(NOTE.open(disk)?),
        };
        NOTE.write(&**file, revision.to_le_bytes())
    }
}
