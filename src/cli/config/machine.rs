//! Memory available to the process.

use leveret_broker::limits::Limits;

/// In bytes. If unknown, an amount whose 40 % is the broker's default.
pub(super) fn memory() -> u64 {
    leveret_platform::memory().unwrap_or(Limits::default().memory_bytes_max / 2 * 5)
}
