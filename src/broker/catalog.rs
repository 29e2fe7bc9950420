//! The catalog: all that is declared and outlives the process, and the one way by which it changes.
//!
//! Invariants: nothing in memory changes before it is durable, and a failed commit changes nothing; what a commit brings
//! is put in place by the code that a start uses (`apply.rs`), from the same bytes.

use parking_lot::Mutex;

use super::definitions::{Changes, DefinitionStore};
use super::lost::Lost;
use super::refusal::Refusal;

/// Where definitions are kept, and what is owed to it.
pub(super) struct Catalog {
    store: Box<dyn DefinitionStore>,
    /// Changes that are in force and could not be kept; the next commit takes them along.
    owed: Mutex<Changes>,
}

impl Catalog {
    pub(super) fn new(store: Box<dyn DefinitionStore>) -> Self {
        Self { store, owed: Mutex::default() }
    }

    /// Makes changes durable; nothing to do if there are none. What cannot be read and is replaced is kept aside.
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

    /// Has the next commit take these along: they are in force already, and could not be kept.
    pub(super) fn owe(&self, changes: &Changes) {
        let mut owed = self.owed.lock();
        *owed = owed.and(changes);
    }

    /// A number that was never given out before.
    pub(super) fn next_id(&self) -> Result<u64, Refusal> {
        self.store.next_id().map_err(Refusal::Storage)
    }
}
