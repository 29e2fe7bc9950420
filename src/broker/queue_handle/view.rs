//! What operators see of a queue.

use std::sync::Arc;

use leveret_queues::queue::{ConsumerView, Counts, Settings};

use super::{QueueHandle, QueueStats, State};
use crate::broker::consumer::Consumer;
use crate::broker::policies::Matched;
use crate::broker::queue_options::InForce;

/// A queue's numbers, read under one lock.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// What it holds.
    pub counts: Counts,
    /// What it did.
    pub stats: QueueStats,
    /// The rules in force.
    pub settings: Settings,
    /// The policies that apply.
    pub matched: Matched,
}

/// A consumer on a queue.
#[derive(Clone, Debug)]
pub struct ConsumerListed {
    /// The consumer.
    pub consumer: Arc<Consumer>,
    /// It is served; `false` only for those who wait behind a single active consumer.
    pub active: bool,
    /// Messages it holds unacknowledged.
    pub unacked: u32,
}

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
