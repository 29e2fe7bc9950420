//! Messages move between queues in one step of the store.

use std::sync::Arc;

use leveret_queues::Message;
use leveret_queues::store::Record;
use parking_lot::MutexGuard;

use super::{Cell, QueueEnvironment, QueueHandle, append};
use crate::broker::turn::Turn;

/// Puts a message into all of `targets` and appends `settle`, which says that its source is done with
/// it, as one group of records: after a crash it is either still in the source or in all targets.
///
/// The only place where several queues' locks are held at once; always in the order of their ids.
pub(in crate::broker) fn move_message(
    turn: &mut Turn,
    environment: &QueueEnvironment,
    message: &Message,
    mut targets: Vec<Arc<QueueHandle>>,
    settle: Option<Record>,
) {
    targets.sort_by_key(|queue| queue.id);
    targets.dedup_by_key(|queue| queue.id);
    if targets.len() > 1 {
        message.always_log();
    }
    let sole = targets.len() == 1;
    let mut cells: Vec<(&Arc<QueueHandle>, MutexGuard<'_, Cell>)> =
        targets.iter().map(|queue| (queue, queue.cell.lock())).collect();
    for (queue, cell) in &mut cells {
        QueueHandle::run(cell, turn, |cell, work| queue.take_in(cell, work, message.clone(), sole));
        queue.settle_up(cell, turn);
    }
    turn.records.extend(settle);
    if !turn.records.is_empty() {
        let appended = append(environment, turn);
        for (_, cell) in &mut cells {
            cell.paging.appended(appended, &*environment.store);
        }
    }
}
