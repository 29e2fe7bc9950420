//! Releases a queue's memory while the total of all queues is over the limit.

use std::sync::Arc;

use leveret_store::Record;

use super::{Cell, QueueHandle, State, append_each};
use crate::turn::Turn;

/// Transient messages paged out at a time when memory is short.
const PAGED_AT_ONCE: usize = 1000;

impl QueueHandle {
    /// Pages bodies out while the total of all queues is over the limit.
    pub(super) fn keep_to_budget(self: &Arc<Self>, cell: &mut Cell, turn: &mut Turn) {
        let memory = &self.environment.memory;
        let keep = memory.share();
        let short = memory.is_short();
        cell.queue.hand_out_lean(short.then(|| cell.paging.written_upto()));
        if !short || cell.resident <= keep * 2 {
            return;
        }
        let store = &*self.environment.store;
        let logged = cell.paging.worthwhile(store).is_some();
        let transients = cell.paging.transients_written(store);
        if transients {
            cell.queue.paged();
        }
        let grown = cell.paging.grown(cell.resident, keep);
        if logged || transients || grown {
            cell.queue.page_out(keep, cell.paging.written_upto(), true);
            cell.paging.paged_out(cell.queue.counts().resident_bytes);
        }
        let candidates = if cell.paging.has_transients {
            cell.queue.page_candidates(keep, PAGED_AT_ONCE)
        } else {
            Vec::new()
        };
        if !candidates.is_empty() {
            turn.records.extend(candidates.into_iter().map(|candidate| Record::Enqueue {
                queue: self.id,
                seq: candidate.seq,
                message: candidate.message,
                priority_level: candidate.priority_level,
                expires: candidate.expires,
                transient: true,
                sole: false,
            }));
            let appended = append_each(&self.environment, turn);
            cell.paging.transients_appended(appended);
        }
        self.count_memory(cell);
    }

    /// Pages bodies out, for a queue without traffic while memory is short.
    pub(crate) fn page_out(self: &Arc<Self>, turn: &mut Turn) {
        if matches!(&*self.state.lock(), State::Busy(_)) {
            self.enter(turn, |_, _| ());
        }
    }

    pub(super) fn count_memory(&self, cell: &mut Cell) {
        let resident = cell.queue.counts().resident_bytes;
        if resident != cell.resident {
            self.environment.memory.moved(cell.resident, resident);
            cell.resident = resident;
        }
    }
}
