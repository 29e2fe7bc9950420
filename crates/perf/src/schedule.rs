//! Due times of messages at a given rate.

/// Lateness in nanoseconds beyond which a message's delay is attributed to the broker.
const LATE: u64 = 5_000_000;

/// Shortest wait between two sends, in nanoseconds: at high rates messages are sent a few at a time, as waking for
/// each would cost more than sending it.
const WAIT_MIN: u64 = 200_000;

/// A fixed rate.
#[derive(Debug)]
pub(super) struct Schedule {
    start: u64,
    /// Nanoseconds between messages.
    interval: f64,
    sent: u64,
}

impl Schedule {
    /// `rate` messages per second, shared evenly by `of` publishers of which this is number `index`.
    pub(super) fn new(start: u64, rate: u64, index: usize, of: usize) -> Self {
        let of = super::clock::float(of as u64);
        let interval = 1e9 / super::clock::float(rate) * of;
        // Publishers alternate instead of sending simultaneously.
        let offset = interval * super::clock::float(index as u64) / of;
        Self { start: start + whole(offset), interval, sent: 0 }
    }

    /// How many messages are due by `now` and not sent.
    pub(super) fn due(&self, now: u64) -> u64 {
        match now.checked_sub(self.start) {
            None => 0,
            Some(passed) => {
                (whole(super::clock::float(passed) / self.interval) + 1).saturating_sub(self.sent)
            }
        }
    }

    /// When the next message is due, if none is at `now`.
    pub(super) fn next(&self, now: u64) -> u64 {
        self.moment(self.sent).max(now + WAIT_MIN)
    }

    /// The time to stamp the next message with; counts it as sent. Normally `now`; if it is sent much too
    /// late, its due time, so that a broker which holds publishers back does not look fast.
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
        // 500 per second for this one, offset by half an interval.
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
