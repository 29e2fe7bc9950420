//! What a channel does with messages, counted where its batches end.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of one channel since it was opened.
#[derive(Debug, Default)]
pub struct ChannelStats {
    /// Messages published; in a transaction, when it is committed.
    pub published: AtomicU64,
    /// Publishes confirmed.
    pub confirmed: AtomicU64,
    /// Messages returned because no queue took them.
    pub returned: AtomicU64,
    /// Deliveries to consumers that acknowledge.
    pub delivered: AtomicU64,
    /// Deliveries to consumers that do not.
    pub delivered_no_ack: AtomicU64,
    /// Messages taken by `basic.get` with acknowledgement.
    pub got: AtomicU64,
    /// Messages taken by `basic.get` without.
    pub got_no_ack: AtomicU64,
    /// Gets that found nothing.
    pub got_empty: AtomicU64,
    /// Deliveries of messages that had been delivered before, gets included.
    pub redelivered: AtomicU64,
    /// Deliveries acknowledged; in a transaction, when it is committed. Rejections are none.
    pub acked: AtomicU64,
}

/// Adds what a batch has counted.
pub fn add(count: &AtomicU64, more: u64) {
    if more > 0 {
        count.fetch_add(more, Ordering::Relaxed);
    }
}
