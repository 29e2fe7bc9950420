//! The catalog: all durable definitions, and the only path by which they change.
//!
//! Invariants: nothing in memory changes before it is durable, and a failed commit changes nothing; committed changes
//! are applied by the code that startup uses (`apply.rs`), from the same bytes.

use parking_lot::Mutex;

use super::definitions::{Changes, DefinitionStore};
use super::lost::Lost;
use super::refusal::Refusal;

/// The definition store, and changes it still lacks.
pub(super) struct Catalog {
    store: Box<dyn DefinitionStore>,
    /// Changes in force that could not be stored; added to the next commit.
    owed: Mutex<Changes>,
}

impl Catalog {
    pub(super) fn new(store: Box<dyn DefinitionStore>) -> Self {
        Self { store, owed: Mutex::default() }
    }

    /// Commits changes; a no-op if there are none. Unreadable definitions that are replaced are kept aside.
    pub(super) fn commit(&self, changes: &Changes, lost: &Lost) -> Result<(), Refusal> {
        if changes.is_empty() {
            return Ok(());
        }
        if let Some(what) = changes.too_long(0) {
            return Err(Refusal::Precondition(what));
        }
        let mut owed = self.owed.lock();
        let (aside, replaced) = lost.keep_aside(changes);
        if owed.is_empty() && aside.is_empty() {
            drop(owed);
            return self.store.commit(changes.as_slice()).map_err(Refusal::Storage);
        }
        let all = owed.and(changes).and(&aside);
        self.store.commit(all.as_slice()).map_err(Refusal::Storage)?;
        *owed = Changes::default();
        lost.replaced(&replaced);
        Ok(())
    }

    /// Adds changes to the next commit: they are in force already but could not be stored.
    pub(super) fn owe(&self, changes: &Changes) {
        let mut owed = self.owed.lock();
        *owed = owed.and(changes);
    }

    /// A number never issued before.
    pub(super) fn next_id(&self) -> Result<u64, Refusal> {
        self.store.next_id().map_err(Refusal::Storage)
    }
}
