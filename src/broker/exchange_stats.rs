//! What clients published to each exchange, and to how many queues it went.
//!
//! As in `RabbitMQ`, where channels count: what the broker routes itself (dead letters, delayed messages that are
//! due, what is redriven) is in neither number, and a message counts at the exchange it was published to only.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::vhost::Vhost;

/// Counts of one exchange since it was declared or the broker started.
#[derive(Debug)]
pub struct ExchangeStats {
    /// Tells it from all others that there were, of the same name too.
    pub id: u64,
    published_in: AtomicU64,
    published_out: AtomicU64,
}

impl ExchangeStats {
    fn new() -> Arc<Self> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        Arc::new(Self { id, published_in: AtomicU64::new(0), published_out: AtomicU64::new(0) })
    }

    /// Messages published, and how often they were put into a queue: one that goes to three queues counts
    /// three times there, one that no queue takes not at all.
    pub fn read(&self) -> [u64; 2] {
        [&self.published_in, &self.published_out].map(|count| count.load(Ordering::Relaxed))
    }
}

impl Vhost {
    /// The counts of an exchange that something was published to.
    pub fn exchange_stats(&self, exchange: &str) -> Option<Arc<ExchangeStats>> {
        self.topology.read().stats.get(exchange.as_bytes()).cloned()
    }

    /// The counts of all exchanges that something was published to, in no order.
    pub fn all_exchange_stats(&self) -> Vec<Arc<ExchangeStats>> {
        self.topology.read().stats.values().cloned().collect()
    }

    /// The counts of an exchange that is about to be published to. Without an exchange nobody sees them.
    pub(super) fn stats_for_publish(&self, exchange: &[u8]) -> Arc<ExchangeStats> {
        if let Some(known) = self.topology.read().stats.get(exchange) {
            return Arc::clone(known);
        }
        let mut topology = self.topology.write();
        let exists = std::str::from_utf8(exchange).is_ok_and(|name| topology.router.exchange(name).is_some());
        if exists {
            Arc::clone(topology.stats.entry(exchange.into()).or_insert_with(ExchangeStats::new))
        } else {
            ExchangeStats::new()
        }
    }
}

/// What a batch adds, so that it costs as many writes as it has exchanges.
#[derive(Default)]
pub(super) struct Counts(Vec<(Arc<ExchangeStats>, [u64; 2])>);

impl Counts {
    /// A message was published to the exchange and goes to so many queues.
    pub(super) fn add(&mut self, stats: &Arc<ExchangeStats>, queues: usize) {
        // Mostly the last one, or one of a few.
        let known = self.0.iter_mut().rev().find(|(known, _)| Arc::ptr_eq(known, stats));
        match known {
            Some((_, [published_in, published_out])) => {
                *published_in += 1;
                *published_out += queues as u64;
            }
            None => self.0.push((Arc::clone(stats), [1, queues as u64])),
        }
    }

    /// The batch is over.
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
}
