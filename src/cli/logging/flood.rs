//! So many lines a second of each kind, and then only their number: a client that fails as fast as it can shall not
//! fill the disk with it. A kind is a place in the code that logs.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use leveret_queues::Millis;
use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::net::now;

/// Lines of one kind in a second. Lines of level debug and trace are not counted: whoever turns them on wants all.
const LINES_MAX: u32 = 50;

/// The length of a window, in milliseconds.
const WINDOW_MS: u64 = 1_000;

/// The layer that leaves lines out. Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Mutex<HashMap<Identifier, Kind>>>);

/// One kind in its current window. As many as there are places in the code, at most.
#[derive(Clone, Debug, Default)]
struct Kind {
    began: u64,
    lines: u32,
    suppressed: u64,
    /// What the first of those said.
    example: String,
}

impl Kind {
    /// Counts a line; whether it may be written.
    fn passes(&mut self, now: Millis) -> bool {
        if now.0.wrapping_sub(self.began) >= WINDOW_MS {
            self.began = now.0;
            self.lines = 0;
        }
        self.lines = self.lines.saturating_add(1);
        if self.lines <= LINES_MAX {
            return true;
        }
        self.suppressed += 1;
        false
    }
}

impl Gate {
    /// Writes a line for each kind of which lines were left out since the last time.
    pub(super) fn tell(&self) {
        let mut told = Vec::new();
        for kind in self.0.lock().values_mut().filter(|kind| kind.suppressed > 0) {
            told.push((std::mem::take(&mut kind.suppressed), std::mem::take(&mut kind.example)));
        }
        // Not under the lock: these lines come through the gate, too.
        for (suppressed, example) in told {
            tracing::warn!(suppressed, "suppressed {suppressed} lines like: {example}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Gate {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        if *event.metadata().level() > Level::INFO {
            return true;
        }
        let mut kinds = self.0.lock();
        let kind = kinds.entry(event.metadata().callsite()).or_default();
        if kind.passes(now()) {
            return true;
        }
        if kind.suppressed == 1 {
            event.record(&mut Message(&mut kind.example));
        }
        false
    }
}

struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            *self.0 = format!("{value:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_beyond_the_bound_wait_for_the_next_window() {
        let mut kind = Kind::default();
        let passed = (0..LINES_MAX * 3).filter(|_| kind.passes(Millis(5_000))).count();
        assert_eq!((passed, kind.suppressed), (50, 100));
        assert!(!kind.passes(Millis(5_999)));
        assert!(kind.passes(Millis(6_000)));
    }

    #[test]
    fn a_clock_that_goes_back_does_not_silence_the_log() {
        let mut kind = Kind::default();
        assert!(kind.passes(Millis(9_000)));
        kind.lines = LINES_MAX;
        assert!(kind.passes(Millis(1_000)));
    }
}
