//! Histogram of published message sizes, as in `RabbitMQ`.

use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the buckets, in bytes; larger messages count only in the last, unbounded bucket.
pub const BOUNDS: [u64; 8] = [100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 50_000_000, 100_000_000];

/// Messages by body size.
#[derive(Debug, Default)]
pub struct MessageSizes {
    counts: [AtomicU64; BOUNDS.len() + 1],
    bytes: AtomicU64,
}

/// A batch's sizes, so that it costs as many writes as it has buckets.
#[derive(Debug, Default)]
pub(super) struct Tally {
    counts: [u64; BOUNDS.len() + 1],
    bytes: u64,
}

impl Tally {
    pub(super) fn add(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.counts[BOUNDS.partition_point(|bound| *bound < bytes)] += 1;
        self.bytes += bytes;
    }
}

impl MessageSizes {
    pub(super) fn count(&self, tally: &Tally) {
        for (sum, more) in self.counts.iter().zip(tally.counts).filter(|(_, more)| *more > 0) {
            sum.fetch_add(more, Ordering::Relaxed);
        }
        self.bytes.fetch_add(tally.bytes, Ordering::Relaxed);
    }

    /// Adds another's counts.
    pub fn add(&self, other: &Self) {
        let (counts, bytes) = other.read();
        self.count(&Tally { counts, bytes });
    }

    /// Messages per bucket, and the total bytes.
    pub fn read(&self) -> ([u64; BOUNDS.len() + 1], u64) {
        (
            self.counts.each_ref().map(|count| count.load(Ordering::Relaxed)),
            self.bytes.load(Ordering::Relaxed),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_in_the_first_bucket_that_has_room_for_it() {
        let (sizes, mut tally) = (MessageSizes::default(), Tally::default());
        for bytes in [0, 100, 101, 1_000, 100_000_001] {
            tally.add(bytes);
        }
        sizes.count(&tally);
        assert_eq!(sizes.read(), ([2, 2, 0, 0, 0, 0, 0, 0, 1], 100_001_202));
    }
}
