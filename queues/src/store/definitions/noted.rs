//! Up to which revision definitions are known to be synced: a note beside the journal.
//!
//! A journal that was cut, or replaced by an older copy of it, ends as one does whose last commit was never answered. So
//! each commit is noted after it was synced and before it is answered; the note is not synced itself. After the end of
//! the process it is exact, after a power cut it may be late. Invariants: it never says more than what a sync covered.

use std::io;
use std::sync::Arc;

use crate::store::log::{Disk, LogFile};
use crate::store::note::{Found, Note};

const NOTE: Note = Note { name: "definitions.synced", magic: *b"LVRTDEFS" };

/// The revision in the note; 0 if there is none, or none that can be read.
pub(super) fn read(disk: &dyn Disk) -> io::Result<u64> {
    Ok(match NOTE.read(disk)? {
        Found::Says(revision) => u64::from_le_bytes(revision),
        Found::Missing | Found::Damaged => 0,
    })
}

/// The note that is kept up to date.
#[derive(Default)]
pub(super) struct SyncedNote {
    file: Option<Arc<dyn LogFile>>,
    failing: bool,
}

impl SyncedNote {
    /// Everything up to `revision` is synced. A note that cannot be written stays at what it said.
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
