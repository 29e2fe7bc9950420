//! The only clock of `perf`: nanoseconds since the Unix epoch, monotonic within a process, and comparable across
//! processes for message stamps.

use std::sync::LazyLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

static START: LazyLock<(Instant, u64)> = LazyLock::new(start);

#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
fn start() -> (Instant, u64) {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (Instant::now(), nanoseconds(since_1970))
}

/// Nanoseconds since the Unix epoch.
#[expect(clippy::disallowed_methods, reason = "a load generator measures time")]
pub(super) fn now() -> u64 {
    let (instant, since_1970) = *START;
    since_1970 + nanoseconds(Instant::now().duration_since(instant))
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Sleeps. Only for use without any other event to wait for: between two sends at a given rate, and between two
/// reports.
#[expect(clippy::disallowed_methods, reason = "waits for time to pass, which is the condition")]
pub(super) fn sleep(nanoseconds: u64) {
    std::thread::sleep(Duration::from_nanos(nanoseconds));
}

/// Converts nanoseconds to seconds.
pub(super) fn seconds(nanoseconds: u64) -> f64 {
    float(nanoseconds) / 1e9
}

/// A count as a float.
#[expect(clippy::cast_precision_loss, reason = "shown with four digits")]
pub(super) fn float(count: u64) -> f64 {
    count as f64
}
