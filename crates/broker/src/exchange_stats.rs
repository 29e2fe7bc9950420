//! Per-exchange counters: messages published by clients, and deliveries to queues.
//!
//! As in `RabbitMQ`, where channels count: messages routed by the broker itself (dead letters, due delayed messages,
//! redriven messages) are in neither count, and a message counts only at the exchange it was published to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one exchange since it was declared or the broker started.
#[derive(Debug)]
pub struct ExchangeStats {
    /// Process-unique, never reused, not even for the same name.
    pub id: u64,
    published_in: AtomicU64,
    published_out: AtomicU64,
}

impl ExchangeStats {
    pub(super) fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, published_in: AtomicU64::new(0), published_out: AtomicU64::new(0) })
    }

    /// Messages published, and enqueues: a message routed to three queues adds three, an unroutable one none.
    pub fn read(&self) -> [u64; 2] {
        [&self.published_in, &self.published_out].map(|count| count.load(Ordering::Relaxed))
    }
}

/// Maximum exchanges searched per message; beyond that the batch is written down early.
const SEARCHED_MAX: usize = 16;

/// A batch's counts, so that it costs as many writes as it has exchanges.
#[derive(Default)]
pub(super) struct Counts(Vec<(Arc<ExchangeStats>, [u64; 2])>);

impl Counts {
    /// A message was published to the exchange and routed to `queues` queues.
    pub(super) fn add(&mut self, stats: &Arc<ExchangeStats>, queues: usize) {
        // Usually the last one, or one of a few.
        let known = self.0.iter_mut().rev().find(|(known, _)| Arc::ptr_eq(known, stats));
        if let Some((_, [published_in, published_out])) = known {
            *published_in += 1;
            *published_out += queues as u64;
            return;
        }
        if self.0.len() == SEARCHED_MAX {
            self.settle();
        }
        self.0.push((Arc::clone(stats), [1, queues as u64]));
    }

    /// Ends the batch.
    pub(super) fn settle(&mut self) {
        for (stats, [published_in, published_out]) in self.0.drain(..) {
            stats.published_in.fetch_add(published_in, Ordering::Relaxed);
            stats.published_out.fetch_add(published_out, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_counted_by_exchange_when_it_is_over() {
        let (mut counts, [one, other]) = (Counts::default(), [ExchangeStats::new(), ExchangeStats::new()]);
        for (stats, queues) in [(&one, 3), (&other, 1), (&one, 0)] {
            counts.add(stats, queues);
        }
        assert_eq!((one.read(), other.read()), ([0, 0], [0, 0]));
        counts.settle();
        counts.settle();
        assert_eq!((one.read(), other.read()), ([2, 3], [1, 1]));
    }

    #[test]
    fn a_message_is_looked_for_among_few_exchanges_however_many_a_batch_has() {
        let all: Vec<_> = (0..1000).map(|_| ExchangeStats::new()).collect();
        let mut counts = Counts::default();
        for stats in all.iter().chain(&all) {
            counts.add(stats, 2);
            assert!(counts.0.len() <= SEARCHED_MAX);
        }
        counts.settle();
        assert!(all.iter().all(|stats| stats.read() == [2, 4]));
    }
}
