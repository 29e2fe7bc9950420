//! What operators see of a queue.

use std::sync::Arc;

use leveret_queues::queue::{ConsumerView, Counts};

use super::{QueueHandle, State};
use crate::broker::consumer::Consumer;
use crate::broker::listing::{ConsumerListed, QueueView};
use crate::broker::queue_options::InForce;

impl QueueHandle {
    /// All its numbers at one instant.
    pub fn view(&self) -> QueueView {
        match &*self.state.lock() {
            State::Idle(idle) => {
                let InForce { settings, matched, .. } = idle.in_force(self.durable());
                QueueView { counts: Counts::default(), stats: idle.stats(), settings, matched }
            }
            State::Busy(cell) => QueueView {
                counts: cell.queue.counts(),
                stats: cell.stats,
                settings: *cell.queue.settings(),
                matched: cell.matched.clone(),
            },
        }
    }

    /// Its consumers, in no particular order.
    pub fn consumers(&self) -> Vec<ConsumerListed> {
        let state = self.state.lock();
        let State::Busy(cell) = &*state else { return Vec::new() };
        let listed = |view: ConsumerView<'_, Arc<Consumer>>| ConsumerListed {
            consumer: Arc::clone(&view.spec.handle),
            active: view.active,
            unacked: view.unacked,
        };
        cell.queue.consumers().map(listed).collect()
    }
}
