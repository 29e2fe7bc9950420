//! Which deliveries of a connection's channels have an acknowledgement timeout (`overdue.rs`).

use std::sync::Arc;

use leveret_broker::queue_handle::QueueHandle;
use leveret_message::{Millis, QueueId};
use rustc_hash::FxHashMap;

use super::connection::Connection;
use super::error::AmqpError;
use super::overdue::{ChannelCloser, Watch};

impl Connection {
    /// Sets how channels are closed from outside of the connection's task.
    pub fn ended_by(&mut self, ender: Arc<dyn ChannelCloser>) {
        self.ender = Some(ender);
    }

    /// Closes the channel when deliveries from `queue` stay unacknowledged longer than this, from now on. The
    /// shortest timeout given for a queue counts.
    pub(super) fn watch(&mut self, number: u16, queue: &QueueHandle, timeout_ms: u64) {
        self.change_watch(number, |timeouts| {
            let timeout = timeouts.entry(queue.id).or_insert(timeout_ms);
            *timeout = timeout_ms.min(*timeout);
        });
    }

    fn change_watch(&mut self, number: u16, change: impl FnOnce(&mut FxHashMap<QueueId, u64>)) {
        let (Some(open), Some(ender)) = (self.channels.get_mut(&number), &self.ender) else { return };
        let watch = open.watch.get_or_insert_with(|| {
            let (broker, outbox) = (Arc::clone(&self.broker), Arc::clone(&self.outbox));
            Watch::new(broker, outbox, Arc::clone(ender), number, open.incarnation)
        });
        watch.change(self.turn.now, change);
    }

    /// Applies the consumers' current timeouts from now on: those of their queues may have changed. Messages
    /// from `basic.get` keep the timeout set when they were fetched.
    pub fn retime(&mut self, now: Millis) {
        self.turn.now = now;
        let numbers: Vec<u16> = self.channels.keys().copied().collect();
        for number in numbers {
            let Some(open) = self.channels.get(&number) else { continue };
            let mut shortest: FxHashMap<QueueId, Option<u64>> = FxHashMap::default();
            for consumer in open.consumers.values() {
                let known = shortest.entry(consumer.queue.id).or_default();
                *known = known.iter().copied().chain(consumer.timeout_ms()).min();
            }
            if open.watch.is_none() && shortest.values().all(Option::is_none) {
                continue;
            }
            self.change_watch(number, |timeouts| {
                for (queue, timeout_ms) in shortest {
                    match timeout_ms {
                        Some(timeout_ms) => timeouts.insert(queue, timeout_ms),
                        None => timeouts.remove(&queue),
                    };
                }
            });
        }
    }

    /// Closes one channel, unless its number was reused.
    pub fn shut_channel(&mut self, now: Millis, number: u16, incarnation: u64, error: &AmqpError) {
        self.turn.now = now;
        let open = self.channels.get(&number);
        if open.is_some_and(|open| open.incarnation == incarnation && !open.closing) {
            self.flush();
            self.fail_on(number, error);
            self.broker.finish(&mut self.turn);
        }
    }
}
