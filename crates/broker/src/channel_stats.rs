//! Per-channel message counters, updated at the end of each batch.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counters of one channel since it was opened.
#[derive(Debug, Default)]
pub struct ChannelStats {
    /// Messages published; in a transaction, counted at commit.
    pub published: AtomicU64,
    /// Publishes confirmed.
    pub confirmed: AtomicU64,
    /// Mandatory messages returned as unroutable.
    pub returned: AtomicU64,
    /// Deliveries to consumers with acknowledgements.
    pub delivered: AtomicU64,
    /// Deliveries to consumers without.
    pub delivered_no_ack: AtomicU64,
    /// Messages fetched by `basic.get` with acknowledgement.
    pub got: AtomicU64,
    /// Messages fetched by `basic.get` without.
    pub got_no_ack: AtomicU64,
    /// Gets that found nothing.
    pub got_empty: AtomicU64,
    /// Redeliveries, `basic.get` included.
    pub redelivered: AtomicU64,
    /// Deliveries acknowledged; in a transaction, counted at commit. Rejections are not included.
    pub acked: AtomicU64,
}

/// Adds a batch's count.
pub fn add(count: &AtomicU64, more: u64) {
    if more > 0 {
        count.fetch_add(more, Ordering::Relaxed);
    }
}
