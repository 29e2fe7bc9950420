//! When each message of a given rate is due.

/// How late a message may be sent before its delay counts as the broker's doing, in nanoseconds.
const LATE: u64 = 5_000_000;

/// Shortest wait between two sends, in nanoseconds: at high rates messages leave a few at a time, as waking up for each
/// would cost more than sending it.
const WAIT_MIN: u64 = 200_000;

/// A fixed rate.
#[derive(Debug)]
pub(super) struct Schedule {
    start: u64,
    /// Nanoseconds from one message to the next.
    interval: f64,
    sent: u64,
}

impl Schedule {
    /// `rate` messages per second, shared evenly by `of` publishers of which this is number `index`.
    pub(super) fn new(start: u64, rate: u64, index: usize, of: usize) -> Self {
        let of = super::clock::float(of as u64);
        let interval = 1e9 / super::clock::float(rate) * of;
        // Publishers take turns instead of firing together.
        let offset = interval * super::clock::float(index as u64) / of;
        Self { start: start + whole(offset), interval, sent: 0 }
    }

    /// How many messages should have left by `now` and have not.
    pub(super) fn due(&self, now: u64) -> u64 {
        match now.checked_sub(self.start) {
            None => 0,
            Some(passed) => {
                (whole(super::clock::float(passed) / self.interval) + 1).saturating_sub(self.sent)
            }
        }
    }

    /// When to look again, if nothing is due at `now`.
    pub(super) fn next(&self, now: u64) -> u64 {
        self.moment(self.sent).max(now + WAIT_MIN)
    }

    /// The moment to stamp the next message with, and counts it as sent. Normally `now`; when it leaves much too late, the
    /// moment it was due, so that a broker which holds publishers back cannot look fast.
    pub(super) fn stamp(&mut self, now: u64) -> u64 {
        let due = self.moment(self.sent);
        self.sent += 1;
        if now.saturating_sub(due) > LATE { due } else { now }
    }

    fn moment(&self, index: u64) -> u64 {
        self.start + whole(super::clock::float(index) * self.interval)
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_due_at_the_rate_and_once_each() {
        let mut schedule = Schedule::new(1_000_000_000, 1000, 1, 2);
        // 500 per second for this one, the first half an interval late.
        assert_eq!(schedule.due(1_000_999_999), 0);
        assert_eq!(schedule.due(1_001_000_000), 1);
        assert_eq!(schedule.stamp(1_001_000_500), 1_001_000_500);
        assert_eq!(schedule.due(1_001_000_600), 0);
        assert_eq!(schedule.next(1_001_000_600), 1_003_000_000);
        assert_eq!(schedule.due(2_001_000_000), 500);
    }

    #[test]
    fn a_message_that_leaves_late_is_stamped_with_when_it_was_due() {
        let mut schedule = Schedule::new(0, 1000, 0, 1);
        assert_eq!(schedule.stamp(4_000_000), 4_000_000);
        assert_eq!(schedule.stamp(9_000_000), 1_000_000);
    }
}
