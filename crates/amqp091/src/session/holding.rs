//! Accounting of the bytes that a connection holds beside queued messages.
//!
//! Invariant: recounted when enough has arrived since the last count, and as long as anything is counted.

use leveret_broker::held::{STEP, Share};

/// See the module.
#[derive(Default)]
pub(super) struct Holding {
    /// Bytes received since the last count, whatever became of them.
    pub(super) grown: usize,
    /// Bytes of an incomplete frame.
    pub(super) left: usize,
    /// Bytes at the last count.
    pub(super) counted: u64,
    /// The connection's share of the common budget.
    pub(super) share: Option<Share>,
}

impl Holding {
    /// More was buffered.
    pub(super) const fn grows(&mut self, bytes: usize) {
        self.grown += bytes;
    }

    /// Whether a recount is due.
    pub(super) const fn is_due(&self) -> bool {
        self.grown as u64 >= STEP || self.counted > 0
    }
}
