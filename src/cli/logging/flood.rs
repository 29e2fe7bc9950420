//! Rate limit for the log: per kind of line, and for warnings also per subject; beyond it lines are only counted,
//! so that a client failing as fast as it can does not fill the disk. A kind is a call site that logs. Errors are
//! the broker's own, not a client's, and each may name another damaged object.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use leveret_message::Millis;
use parking_lot::Mutex;
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::net::now;

/// Lines of one kind per second. Levels debug and trace are exempt: whoever enables them wants all lines.
const LINES: Bound = Bound { lines: 50, within_ms: 1_000 };

/// Warnings of one kind, over all subjects.
const WARNINGS: Bound = Bound { lines: 100, within_ms: 10_000 };

/// Warnings of one kind about the same subject: if each message may cause one, thousands per second are possible.
const SAME: Bound = Bound { lines: 5, within_ms: 10_000 };

/// Fields that identify a line's subject. For a peer, the address without the port.
const ABOUT: [&str; 7] = ["vhost", "queue", "exchange", "from", "user", "account", "peer"];

/// Subjects distinguished per kind. Lines about others count as one subject.
const THINGS_MAX: usize = 1_000;

struct Bound {
    lines: u32,
    within_ms: u64,
}

/// The layer that suppresses lines. Clones share their state.
#[derive(Clone, Debug, Default)]
pub(super) struct Gate(Arc<Mutex<HashMap<Identifier, Kind>>>);

/// One kind. At most one per call site.
#[derive(Debug, Default)]
struct Kind {
    lines: Window,
    warnings: Window,
    things: HashMap<u64, Thing>,
    left_out: LeftOut,
}

/// A subject of lines.
#[derive(Debug, Default)]
struct Thing {
    lines: Window,
    left_out: LeftOut,
}

#[derive(Debug, Default)]
struct Window {
    began: u64,
    lines: u32,
}

#[derive(Debug, Default)]
struct LeftOut {
    lines: u64,
    /// Text of the first suppressed line.
    example: String,
}

impl Window {
    fn is_over(&self, now: Millis, bound: &Bound) -> bool {
        now.0.wrapping_sub(self.began) >= bound.within_ms
    }

    /// Counts a line; returns whether it may be written.
    fn passes(&mut self, now: Millis, bound: &Bound) -> bool {
        if self.is_over(now, bound) {
            *self = Self { began: now.0, lines: 0 };
        }
        self.lines = self.lines.saturating_add(1);
        self.lines <= bound.lines
    }
}

impl Kind {
    /// Counts a line, and for a warning its subject `about`. `Err`: suppressed, to be counted there.
    fn admit(&mut self, now: Millis, about: Option<u64>) -> Result<(), &mut LeftOut> {
        if let Some(about) = about {
            let known = self.things.len() < THINGS_MAX || self.things.contains_key(&about);
            let thing = self.things.entry(if known { about } else { 0 }).or_default();
            if !thing.lines.passes(now, &SAME) {
                return Err(&mut thing.left_out);
            }
            if !self.warnings.passes(now, &WARNINGS) {
                return Err(&mut self.left_out);
            }
        }
        if self.lines.passes(now, &LINES) { Ok(()) } else { Err(&mut self.left_out) }
    }

    /// Takes the suppressed counts that are due for reporting.
    fn take_left_out(&mut self, now: Millis, told: &mut Vec<LeftOut>) {
        let over = |thing: &Thing| thing.lines.is_over(now, &SAME);
        let things = self.things.extract_if(|_, thing| over(thing)).map(|(_, thing)| thing.left_out);
        let kind = std::mem::take(&mut self.left_out);
        told.extend(things.chain([kind]).filter(|left_out| left_out.lines > 0));
    }
}

impl Gate {
    /// Writes a line for each kind with suppressed lines since the last call, and for each subject once its
    /// period is over.
    pub(super) fn tell(&self) {
        let mut told = Vec::new();
        let now = now();
        for kind in self.0.lock().values_mut() {
            kind.take_left_out(now, &mut told);
        }
        // Not under the lock: these lines pass the gate, too.
        for LeftOut { lines, example } in told {
            tracing::warn!(suppressed = lines, "suppressed {lines} lines like: {example}");
        }
    }
}

impl<S: Subscriber> Layer<S> for Gate {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        let level = *event.metadata().level();
        if level > Level::INFO {
            return true;
        }
        let mut about = About::default();
        if level == Level::WARN {
            event.record(&mut about);
        }
        let about = about.0.map(|about| about.finish());
        let mut kinds = self.0.lock();
        let kind = kinds.entry(event.metadata().callsite()).or_default();
        let Err(left_out) = kind.admit(now(), about) else { return true };
        left_out.lines += 1;
        if left_out.lines == 1 {
            event.record(&mut Line(&mut left_out.example));
        }
        false
    }
}

fn is_about(field: &Field) -> bool {
    ABOUT.contains(&field.name())
}

/// A line's subject as a hash, if it has one.
#[derive(Default)]
struct About(Option<DefaultHasher>);

impl Visit for About {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if is_about(field) {
            let value = format!("{value:?}");
            let ends = if field.name() == "peer" { value.rfind(':') } else { None };
            let about = self.0.get_or_insert_default();
            (field.name(), &value[..ends.unwrap_or(value.len())]).hash(about);
        }
    }
}

/// A line's text and subject.
struct Line<'a>(&'a mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0.insert_str(0, &format!("{value:?}"));
        } else if is_about(field) {
            let _ = write!(self.0, " {}={value:?}", field.name());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `lines` lines are written.
    fn written(kind: &mut Kind, now: u64, lines: usize, about: Option<u64>) -> usize {
        let mut written = 0;
        for _ in 0..lines {
            match kind.admit(Millis(now), about) {
                Ok(()) => written += 1,
                Err(left_out) => left_out.lines += 1,
            }
        }
        written
    }

    fn told(kind: &mut Kind, now: u64) -> Vec<u64> {
        let mut told = Vec::new();
        kind.take_left_out(Millis(now), &mut told);
        told.into_iter().map(|left_out| left_out.lines).collect()
    }

    #[test]
    fn lines_beyond_the_bound_wait_for_the_next_window() {
        let mut kind = Kind::default();
        assert_eq!(written(&mut kind, 5_000, 150, None), 50);
        assert_eq!(told(&mut kind, 5_500), [100]);
        assert_eq!(written(&mut kind, 5_999, 1, None), 0);
        assert_eq!(written(&mut kind, 6_000, 1, None), 1);
    }

    #[test]
    fn warnings_about_one_queue_are_few_and_hide_none_about_another() {
        let mut kind = Kind::default();
        assert_eq!(written(&mut kind, 20_000, 306, Some(1)), 5);
        assert_eq!(written(&mut kind, 20_000, 1, Some(2)), 1);
        assert_eq!(written(&mut kind, 29_999, 10, Some(1)), 0);
        assert!(told(&mut kind, 29_999).is_empty(), "a line for each thing and time");
        assert_eq!(told(&mut kind, 30_000), [311]);
        assert_eq!(written(&mut kind, 30_000, 10, Some(1)), 5);
    }

    #[test]
    fn warnings_about_ever_other_things_are_bounded_too_and_so_is_what_is_known_of_them() {
        let mut kind = Kind::default();
        let sum: usize =
            (0..20_000).map(|n| written(&mut kind, 20_000 + n / 2, 1, Some(n.wrapping_mul(7)))).sum();
        assert!(sum <= 100, "{sum} written in ten seconds");
        assert!(kind.things.len() <= THINGS_MAX + 1);
        assert_eq!(told(&mut kind, 50_000).iter().sum::<u64>(), 20_000 - sum as u64);
        assert!(kind.things.is_empty());
    }

    #[test]
    fn a_clock_that_goes_back_does_not_silence_the_log() {
        let mut kind = Kind::default();
        assert_eq!(written(&mut kind, 9_000, 100, None), 50);
        assert_eq!(written(&mut kind, 1_000, 1, None), 1);
    }
}
