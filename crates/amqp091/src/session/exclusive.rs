//! Queues that belong to a connection and end with it.

use std::sync::Arc;

use leveret_broker::queue_handle::QueueHandle;

/// Below this number, deleted queues are not searched for.
const WORTH_A_LOOK: usize = 64;

/// The exclusive queues of a connection. Deleted ones are swept now and then, so that declaring costs the same
/// however many exist.
pub(super) struct Exclusive<Q = Arc<QueueHandle>> {
    queues: Vec<Q>,
    /// Number of queues that triggers the next sweep.
    look_at: usize,
}

impl<Q> Default for Exclusive<Q> {
    fn default() -> Self {
        Self { queues: Vec::new(), look_at: 0 }
    }
}

impl<Q> Exclusive<Q> {
    /// Adds a queue.
    pub(super) fn add(&mut self, queue: Q, is_gone: impl Fn(&Q) -> bool) {
        if self.queues.len() >= self.look_at.max(WORTH_A_LOOK) {
            self.queues.retain(|queue| !is_gone(queue));
            self.look_at = self.queues.len() * 2;
        }
        self.queues.push(queue);
    }

    /// Takes all of them, some possibly deleted.
    pub(super) fn take(&mut self) -> Vec<Q> {
        self.look_at = 0;
        std::mem::take(&mut self.queues)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn steps(queues: u32, is_gone: impl Fn(u32) -> bool) -> (u32, usize) {
        let (looks, mut exclusive) = (Cell::new(0), Exclusive::default());
        for queue in 0..queues {
            exclusive.add(queue, |queue| {
                looks.set(looks.get() + 1);
                is_gone(*queue)
            });
        }
        (looks.get(), exclusive.queues.len())
    }

    #[test]
    fn looks_grow_with_the_declarations_whether_queues_stay_or_go() {
        for is_gone in [|_| false, |_| true, |queue| queue % 2 == 0] {
            for queues in [5_000, 20_000, 80_000] {
                let looks = steps(queues, is_gone).0;
                assert!(looks <= 3 * queues, "{looks} looks for {queues} queues");
            }
        }
    }

    #[test]
    fn what_is_gone_takes_no_room_for_long() {
        assert!(steps(100_000, |_| true).1 <= WORTH_A_LOOK);
    }
}
