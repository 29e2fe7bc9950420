//! The wall clock.

use std::time::{SystemTime, UNIX_EPOCH};

use leveret_message::Millis;

/// Milliseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "this is where the clock is read")]
pub fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Millis(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
