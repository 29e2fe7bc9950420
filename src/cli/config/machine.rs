//! How much memory the process may use.

use crate::broker::limits::Limits;
use crate::platform;

/// In bytes. Where nothing is known, so much that 40 % of it are the broker's default.
pub(super) fn memory() -> u64 {
    platform::memory().unwrap_or(Limits::default().memory_bytes_max / 2 * 5)
}
