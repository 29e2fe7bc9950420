//! Deleted queues, until their deletion is durable in the store.
//!
//! The commit that deletes a queue leaves a grave: after a crash at any point, the store knows whose messages to drop,
//! and drops no others. Once the store has the deletion on disk, the next such commit removes the grave.
//!
//! Invariants: a grave is removed only after the queue's deletion record is durable.

use std::sync::Arc;

use leveret_message::QueueId;
use leveret_store::{Broken, Store, Synced, Waiter};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// Stored data of a deleted queue or delay room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grave {
    pub(super) vhost: String,
    pub(super) name: String,
}

/// See the module documentation.
#[derive(Default)]
pub(super) struct Graves(Mutex<State>);

#[derive(Default)]
struct State {
    token: u64,
    /// Reported to the store, as of this token.
    waiting: Vec<(u64, QueueId)>,
    /// Deletion on disk.
    over: Vec<QueueId>,
}

impl Graves {
    /// Reports deleted queues to the store; queues it never knew need no report.
    pub(super) fn bury(self: &Arc<Self>, store: &dyn Store, ids: impl IntoIterator<Item = QueueId>) {
        let token = {
            let mut state = self.0.lock();
            state.token += 1;
            let token = state.token;
            let before = state.waiting.len();
            state.waiting.extend(ids.into_iter().map(|id| (token, id)));
            if state.waiting.len() == before {
                return;
            }
            token
        };
        let waiter: Arc<dyn Waiter> = Arc::clone(self) as _;
        store.notify(&waiter, token);
    }

    /// Graves no longer needed; the caller removes them, or puts them back.
    pub(super) fn take_over(&self) -> Vec<QueueId> {
        std::mem::take(&mut self.0.lock().over)
    }

    pub(super) fn put_back(&self, ids: Vec<QueueId>) {
        self.0.lock().over.extend(ids);
    }
}

impl Waiter for Graves {
    fn synced(&self, token: u64, outcome: Result<Synced, Broken>) {
        if outcome.is_err() {
            return;
        }
        let mut state = self.0.lock();
        let state = &mut *state;
        let done = state.waiting.extract_if(.., |(of, _)| *of <= token).map(|(_, id)| id);
        state.over.extend(done);
    }
}
