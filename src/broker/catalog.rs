//! The catalog: all that is declared and outlives the process, and the one way by which it changes.
//!
//! Invariants: nothing in memory changes before it is durable, and a failed commit changes nothing; what a commit brings
//! is put in place by the code that a start uses (`apply.rs`), from the same bytes.

use parking_lot::Mutex;

use super::broker::Broker;
use super::definitions::{Changes, DefinitionStore};
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
}

impl Broker {
    /// Makes changes durable, then puts them in place. They were checked, and concern no topology that is there already:
    /// what goes from it takes its messages along (`removal.rs`).
    pub(super) fn change(&self, changes: &Changes) -> Result<(), Refusal> {
        self.commit(changes)?;
        self.apply(changes, |_| true).map_err(Refusal::Storage)
    }

    /// Makes changes durable; nothing to do if there are none.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), Refusal> {
        if changes.is_empty() {
            return Ok(());
        }
        if let Some(what) = changes.too_long(0) {
            return Err(Refusal::Precondition(what));
        }
        let Catalog { store, owed } = &self.catalog;
        let mut owed = owed.lock();
        let (aside, replaced) = self.lost.keep_aside(changes);
        if owed.is_empty() && aside.is_empty() {
            drop(owed);
            return store.commit(changes.as_slice()).map_err(Refusal::Storage);
        }
        let all = owed.and(changes).and(&aside);
        store.commit(all.as_slice()).map_err(Refusal::Storage)?;
        *owed = Changes::default();
        self.lost.replaced(&replaced);
        Ok(())
    }

    /// Commits what is in force already; if that fails, the next commit takes it along.
    pub(super) fn commit_or_owe(&self, changes: &Changes) {
        if let Err(error) = self.commit(changes) {
            tracing::error!("what was found at the start is not kept yet: {error}");
            self.owe(changes);
        }
    }

    /// Has the next commit take these along: they are in force already, and could not be kept.
    pub(super) fn owe(&self, changes: &Changes) {
        let mut owed = self.catalog.owed.lock();
        *owed = owed.and(changes);
    }

    pub(super) fn next_queue_id(&self) -> Result<u64, Refusal> {
        self.catalog.store.next_id().map_err(Refusal::Storage)
    }
}
