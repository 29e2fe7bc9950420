//! What operators see of a queue.

use std::sync::Arc;

use leveret_queues::queue::ConsumerView;

use super::QueueHandle;
use crate::broker::consumer::Consumer;
use crate::broker::listing::{ConsumerListed, QueueView};

impl QueueHandle {
    /// All its numbers at one instant.
    pub fn view(&self) -> QueueView {
        let cell = self.cell.lock();
        QueueView {
            counts: cell.queue.counts(),
            stats: cell.stats,
            settings: *cell.queue.settings(),
            matched: cell.matched.clone(),
        }
    }

    /// Its consumers, in no particular order.
    pub fn consumers(&self) -> Vec<ConsumerListed> {
        let cell = self.cell.lock();
        let listed = |view: ConsumerView<'_, Arc<Consumer>>| ConsumerListed {
            consumer: Arc::clone(&view.spec.handle),
            active: view.active,
            unacked: view.unacked,
        };
        cell.queue.consumers().map(listed).collect()
    }
}
