//! Memory available to the process.

use crate::broker::limits::Limits;
use crate::platform;

/// In bytes. If unknown, an amount whose 40 % is the broker's default.
pub(super) fn memory() -> u64 {
    platform::memory().unwrap_or(Limits::default().memory_bytes_max / 2 * 5)
}
