//! Waiting for conditions, with a deadline. The only place in the tests that reads a clock or sleeps.
#![expect(
    clippy::disallowed_methods,
    reason = "a poll of a condition outside this process needs a clock and a pause"
)]

use std::time::{Duration, Instant};

/// Longer than any step should take on a loaded machine; reaching it is a failure.
pub(crate) const LIMIT: Duration = Duration::from_mins(3);

/// Polls until the condition holds; panics after [`LIMIT`].
#[track_caller]
pub(crate) fn until(what: &str, mut holds: impl FnMut() -> bool) {
    assert!(within(LIMIT, &mut holds), "not within {LIMIT:?}: {what}");
}

/// Polls until the condition holds or the time is up; returns whether it holds.
pub(crate) fn within(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let start = Instant::now();
    loop {
        if holds() {
            return true;
        }
        if start.elapsed() > limit {
            return false;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Measures how long the work takes.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = work();
    (result, start.elapsed())
}
