//! Deleted queues, until the store knows that they are.
//!
//! The commit that deletes a queue leaves a grave: whatever the process does next, its messages are known to go,
//! and no others. When the store has it on disk, the next such commit takes the grave away.
//!
//! Invariants: a grave goes only after the record that the queue is gone is durable.

use std::sync::Arc;

use leveret_queues::QueueId;
use leveret_queues::store::{Broken, Store, Synced, Waiter};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// What is stored of a deleted queue or waiting room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Grave {
    pub(super) vhost: String,
    pub(super) name: String,
}

/// See the module.
#[derive(Default)]
pub(super) struct Graves(Mutex<State>);

#[derive(Default)]
struct State {
    token: u64,
    /// Told to the store as of this token.
    waiting: Vec<(u64, QueueId)>,
    /// On disk.
    over: Vec<QueueId>,
}

impl Graves {
    /// The store was told that these are gone; nothing needs to be told of what it never knew.
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

    /// Graves that are not needed any more; whoever takes them removes them, or puts them back.
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
