//! What was counted of what a connection holds beside queued messages.
//!
//! Invariant: it is counted again when what came since the last time is worth it, and as long as something is counted.

use crate::broker::held::{STEP, Share};

/// See the module.
#[derive(Default)]
pub(super) struct Holding {
    /// Bytes that came in since it was counted, whatever became of them.
    pub(super) grown: usize,
    /// Bytes of a frame that has not come in whole.
    pub(super) left: usize,
    /// Bytes that were counted.
    pub(super) counted: u64,
    /// Counts them against the budget of all.
    pub(super) share: Option<Share>,
}

impl Holding {
    /// More was put aside.
    pub(super) const fn grows(&mut self, bytes: usize) {
        self.grown += bytes;
    }

    /// Whether it is time to count.
    pub(super) const fn is_due(&self) -> bool {
        self.grown as u64 >= STEP || self.counted > 0
    }
}
