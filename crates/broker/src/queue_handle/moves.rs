//! Moving messages between queues in one step of the store.

use std::sync::Arc;

use leveret_message::Message;
use leveret_message::stored::SettleReason;
use leveret_queues::Token;
use leveret_store::Record;
use parking_lot::MappedMutexGuard;

use super::{Cell, QueueEnvironment, QueueHandle, append};
use crate::turn::Turn;

impl QueueHandle {
    /// The record that the queue is done with an unacknowledged message, if the store has it, and whether the message
    /// may have been moved in an earlier run.
    pub(crate) fn to_move(&self, token: Token) -> (Option<Record>, bool) {
        let (stored, may_have_left) = {
            let queue = &self.busy().queue;
            (queue.is_stored(token), queue.may_have_left(token.seq()))
        };
        (stored.then(|| self.settled(token.seq(), SettleReason::Acked)), may_have_left)
    }

    /// Drops an unacknowledged message that was moved: its record is already appended.
    pub(crate) fn forget(self: &Arc<Self>, turn: &mut Turn, token: Token) {
        self.enter(turn, |cell, work| {
            cell.stats.acked += 1;
            cell.queue.settle(&[token], work.effects);
            work.effects.gone.clear();
            cell.queue.dispatch(work.now, &mut work.outlet, work.effects);
        });
    }
}

/// Enqueues a message to all of `targets` and appends `settle`, the record that its source is done with it, as one
/// group: after a crash it is either still in the source or in all targets. `settle` is called with whether any target
/// took it, which is also the result. `elsewhere`: the group in progress has other records of the message.
///
/// The only place where several queues' locks are held at once; always in the order of their ids.
pub(crate) fn move_message(
    turn: &mut Turn,
    environment: &QueueEnvironment,
    message: &Message,
    mut targets: Vec<Arc<QueueHandle>>,
    elsewhere: bool,
    settle: impl FnOnce(bool) -> Option<Record>,
) -> bool {
    targets.sort_by_key(|queue| queue.id);
    targets.dedup_by_key(|queue| queue.id);
    if targets.len() > 1 {
        message.always_log();
    }
    let sole = targets.len() == 1 && !elsewhere;
    let mut cells: Vec<(&Arc<QueueHandle>, MappedMutexGuard<'_, Cell>)> =
        targets.iter().map(|queue| (queue, queue.busy())).collect();
    let mut taken = false;
    for (queue, cell) in &mut cells {
        queue.hold_letters(cell);
        taken |= !cell.gone
            && QueueHandle::run(cell, turn, |cell, work| queue.take_in(cell, work, message.clone(), sole));
        queue.settle_up(cell, turn);
    }
    turn.records.extend(settle(taken));
    if !turn.records.is_empty() {
        let appended = append(environment, turn);
        for (_, cell) in &mut cells {
            cell.paging.appended(appended, &*environment.store);
        }
    }
    taken
}
