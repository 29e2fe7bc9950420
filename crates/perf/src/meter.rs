//! State shared by the workers and the thread that monitors them: counters, the stage, and latencies.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use hdrhistogram::Histogram;
use parking_lot::{Condvar, Mutex};
use serde::Serialize;

use super::clock;

/// One worker's counters. Written only by that worker, once per batch; on their own cache lines.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(super) struct Counters {
    pub(super) sent: AtomicU64,
    pub(super) confirmed: AtomicU64,
    pub(super) rejected: AtomicU64,
    pub(super) returned: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) requeued: AtomicU64,
}

/// Adds to a counter that only the caller writes.
pub(super) fn add(counter: &AtomicU64, count: u64) {
    counter.store(counter.load(Ordering::Relaxed) + count, Ordering::Relaxed);
}

/// The sums of all workers' counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) confirmed: u64,
    pub(super) rejected: u64,
    pub(super) returned: u64,
    pub(super) received: u64,
    pub(super) requeued: u64,
}

impl Totals {
    pub(super) fn of<'a>(all: impl IntoIterator<Item = &'a Counters>) -> Self {
        let mut totals = Self::default();
        for counters in all {
            totals.sent += counters.sent.load(Ordering::Relaxed);
            totals.confirmed += counters.confirmed.load(Ordering::Relaxed);
            totals.rejected += counters.rejected.load(Ordering::Relaxed);
            totals.returned += counters.returned.load(Ordering::Relaxed);
            totals.received += counters.received.load(Ordering::Relaxed);
            totals.requeued += counters.requeued.load(Ordering::Relaxed);
        }
        totals
    }

    pub(super) fn since(self, before: Self) -> Self {
        Self {
            sent: self.sent - before.sent,
            confirmed: self.confirmed - before.confirmed,
            rejected: self.rejected - before.rejected,
            returned: self.returned - before.returned,
            received: self.received - before.received,
            requeued: self.requeued - before.requeued,
        }
    }
}

/// The stage of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Workers set up and wait.
    Prepare = 0,
    /// Workers run; latencies are discarded.
    Warmup = 1,
    /// Workers run, and results count.
    Measure = 2,
    /// Workers end.
    Stop = 3,
}

/// The stage, as workers see it.
#[derive(Debug, Default)]
pub(super) struct Control {
    stage: AtomicU8,
    started: Mutex<bool>,
    change: Condvar,
}

impl Control {
    pub(super) fn set(&self, stage: Stage) {
        self.stage.store(stage as u8, Ordering::Release);
        if stage != Stage::Prepare {
            *self.started.lock() = true;
            self.change.notify_all();
        }
    }

    pub(super) fn stopped(&self) -> bool {
        self.stage.load(Ordering::Acquire) == Stage::Stop as u8
    }

    pub(super) fn measuring(&self) -> bool {
        self.stage.load(Ordering::Acquire) == Stage::Measure as u8
    }

    /// Waits until the stage is no longer [`Stage::Prepare`].
    pub(super) fn wait_for_start(&self) {
        let mut started = self.started.lock();
        while !*started {
            self.change.wait(&mut started);
        }
    }
}

/// A worker's latencies in nanoseconds, to three significant digits.
pub(super) struct Latencies {
    histogram: Histogram<u64>,
}

impl Latencies {
    pub(super) fn new() -> Self {
        let (low, high) = (1, 3_600_000_000_000);
        let histogram = Histogram::new_with_bounds(low, high, 3);
        Self { histogram: histogram.unwrap_or_else(|_| unreachable!("the bounds are constant and sound")) }
    }

    #[inline]
    pub(super) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        // Fails only for values out of range; the ranges are equal.
        let _ = self.histogram.add(&other.histogram);
    }

    /// `None` if nothing was recorded.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let at = |percentile| clock::float(self.histogram.value_at_percentile(percentile)) / 1e3;
        (!self.histogram.is_empty()).then(|| Percentiles {
            samples: self.histogram.len(),
            min: clock::float(self.histogram.min()) / 1e3,
            mean: self.histogram.mean() / 1e3,
            p50: at(50.0),
            p90: at(90.0),
            p99: at(99.0),
            p999: at(99.9),
            max: clock::float(self.histogram.max()) / 1e3,
        })
    }
}

/// Latencies in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) samples: u64,
    pub(super) min: f64,
    pub(super) mean: f64,
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    #[serde(rename = "p99.9")]
    pub(super) p999: f64,
    pub(super) max: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_all_workers_in_microseconds() {
        let (mut first, mut second) = (Latencies::new(), Latencies::new());
        assert_eq!(first.percentiles(), None);
        (1..=500).for_each(|value| first.record(value * 1000));
        (501..=1000).for_each(|value| second.record(value * 1000));
        first.merge(&second);
        let found = first.percentiles().unwrap();
        assert_eq!(found.samples, 1000);
        for (value, want) in [
            (found.min, 1.0),
            (found.p50, 500.0),
            (found.p99, 990.0),
            (found.p999, 999.0),
            (found.max, 1000.0),
            (found.mean, 500.5),
        ] {
            assert!((value - want).abs() <= want * 0.002, "{value} {want}");
        }
    }

    #[test]
    fn latency_out_of_range_counts_at_its_end() {
        let mut latencies = Latencies::new();
        latencies.record(u64::MAX);
        assert_eq!(latencies.percentiles().unwrap().samples, 1);
    }

    #[test]
    fn totals_are_sums_and_differences() {
        let workers = [Counters::default(), Counters::default()];
        add(&workers[0].sent, 5);
        add(&workers[1].sent, 7);
        let before = Totals::of(&workers);
        add(&workers[1].sent, 1);
        add(&workers[0].received, 2);
        let want = Totals { sent: 1, received: 2, ..Totals::default() };
        assert_eq!((before.sent, Totals::of(&workers).since(before)), (12, want));
    }
}
