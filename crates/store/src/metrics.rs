//! The store's metrics; readable at any time without a lock.
//!
//! Invariants: counters only grow, gauges are the last value noted. Absent: names and formats of any metrics system.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The current count.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The last value noted.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    /// The value.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Distribution of values: one bucket per power of two.
#[derive(Debug)]
pub struct Histogram {
    /// Bucket `n` counts values below `2^n` that are in no lower bucket.
    buckets: [AtomicU64; 64],
    sum: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; 64], sum: AtomicU64::new(0) }
    }
}

impl Histogram {
    pub(crate) fn record(&self, value: u64) {
        let bucket = (u64::BITS - value.leading_zeros()).min(63) as usize;
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum.fetch_add(value, Ordering::Relaxed);
    }

    /// Number of values so far.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Ordering::Relaxed)).sum()
    }

    /// Their sum.
    pub fn sum(&self) -> u64 {
        self.sum.load(Ordering::Relaxed)
    }

    /// Counts of values up to and including `2^n - 1`, for each `n` below 64 (not cumulative).
    pub fn buckets(&self) -> [u64; 64] {
        std::array::from_fn(|n| self.buckets[n].load(Ordering::Relaxed))
    }

    /// An upper bound of the values at `quantile` (0 to 1).
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a quantile of powers of two needs no precision"
    )]
    pub fn quantile(&self, quantile: f64) -> u64 {
        let buckets = self.buckets();
        let total: u64 = buckets.iter().sum();
        let rank = (total as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (n, count) in buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return (1u64 << n) - 1;
            }
        }
        u64::MAX
    }
}

/// Metrics of a log store.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Batches written.
    pub commits: Counter,
    /// Successful calls of fdatasync on the log.
    pub syncs: Counter,
    /// Records written.
    pub records: Counter,
    /// Bytes written to the log.
    pub bytes_written: Counter,
    /// Messages settled before their turn and never written.
    pub elided: Counter,
    /// Failed writes (which are tried again).
    pub write_failures: Counter,
    /// Failed syncs.
    pub sync_failures: Counter,
    /// Records per sync.
    pub group_size: Histogram,
    /// Duration of fdatasync in microseconds.
    pub sync_latency_us: Histogram,
    /// Bytes of all segment files in use.
    pub log_bytes: Gauge,
    /// Bytes in them that hold live messages.
    pub live_bytes: Gauge,
    /// Live messages.
    pub live_messages: Gauge,
    /// Segment files.
    pub segments: Gauge,
    /// Size of the index database on disk in bytes.
    pub index_bytes: Gauge,
    /// Checkpoints of the index.
    pub checkpoints: Counter,
    /// Bytes of live messages copied to free a sparse segment.
    pub compacted_bytes: Counter,
    /// Segments taken out of the log.
    pub retired_segments: Counter,
    /// Messages read back.
    pub paged_reads: Counter,
    /// Bytes of messages read back.
    pub paged_read_bytes: Counter,
    /// Reads of messages that the disk did not answer.
    pub read_failures: Counter,
    /// Records found damaged: messages, and acknowledgements that are still needed.
    pub damaged: Counter,
}

/// Runs `act` and returns the microseconds it took.
#[expect(
    clippy::disallowed_methods,
    reason = "latencies of the store's threads are measured, nothing depends on them"
)]
pub(crate) fn timed<T>(act: impl FnOnce() -> T) -> (T, u64) {
    let start = Instant::now();
    let result = act();
    let took = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    (result, took)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_bounds_of_the_values() {
        let histogram = Histogram::default();
        for value in 1..=100 {
            histogram.record(value);
        }
        assert_eq!((histogram.count(), histogram.sum()), (100, 5050));
        assert_eq!(histogram.quantile(0.5), 63);
        assert_eq!(histogram.quantile(1.0), 127);
    }
}
