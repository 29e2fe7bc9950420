//! A queue as shown to operators.

use std::sync::Arc;

use leveret_message::{Message, Millis};
use leveret_queues::{ConsumerView, Counts, Settings};

use super::{QueueHandle, QueueStats, State};
use crate::consumer::Consumer;
use crate::deduplication::DuplicateCheck;
use crate::policies::Matched;
use crate::queue_options::InForce;

/// A queue's state, read under one lock.
#[derive(Clone, Debug)]
pub struct QueueView {
    /// Message and consumer counts.
    pub counts: Counts,
    /// Counters.
    pub stats: QueueStats,
    /// Settings in force.
    pub settings: Settings,
    /// Policies that apply.
    pub matched: Matched,
}

/// A consumer on a queue.
#[derive(Clone, Debug)]
pub struct ConsumerListed {
    /// The consumer.
    pub consumer: Arc<Consumer>,
    /// Whether it is served; `false` only while waiting behind a single active consumer.
    pub active: bool,
    /// Unacknowledged messages it holds.
    pub unacked: u32,
}

impl QueueHandle {
    /// All values at one instant.
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

    /// What a check for duplicates would find; nothing is remembered. `None`: the queue does not deduplicate.
    pub fn look_for_duplicate(&self, message: &Message, now: Millis) -> Option<DuplicateCheck> {
        match &*self.state.lock() {
            // A queue that deduplicates is never idle: it has ids to remember.
            State::Idle(_) => None,
            State::Busy(cell) => cell.deduplication.as_ref().map(|seen| seen.look(message, now)),
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
