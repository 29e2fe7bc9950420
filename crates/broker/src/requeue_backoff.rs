//! Backoff for consumers that requeue everything: slows a loop that would run at full speed, so that it costs little
//! and others are served. Specific to Leveret; order is unaffected.

use leveret_message::Millis;

/// Requeues without an acknowledgement in between before the queue pauses.
const PATIENCE: u64 = 1_000;

/// The longest pause, in milliseconds.
const PAUSE_MS_MAX: u64 = 20;

/// Requeues of a queue's messages since the last acknowledgement, and the end of the resulting pause in deliveries.
#[derive(Debug, Default)]
pub(super) struct RequeueBackoff {
    returned: u64,
    until: Option<Millis>,
}

impl RequeueBackoff {
    /// Counts messages requeued to be delivered again at once.
    pub(super) fn returned(&mut self, now: Millis, count: u64) {
        self.returned = self.returned.saturating_add(count);
        if self.returned > PATIENCE && self.until.is_none() {
            let pause = (self.returned / PATIENCE).min(PAUSE_MS_MAX);
            self.until = Some(now.plus(pause));
        }
    }

    /// Whether requeued messages must wait.
    pub(super) fn pauses(&self, now: Millis) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When deliveries resume.
    pub(super) const fn until(&self) -> Option<Millis> {
        self.until
    }

    /// Ends the pause if it is over.
    pub(super) fn resume(&mut self, now: Millis) {
        self.until = self.until.filter(|until| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_pauses_when_much_came_back_and_nothing_was_acknowledged() {
        let mut requeue_backoff = RequeueBackoff::default();
        requeue_backoff.returned(Millis(5), 1_000);
        assert!(!requeue_backoff.pauses(Millis(5)));
        requeue_backoff.returned(Millis(5), 1_000);
        assert!(requeue_backoff.pauses(Millis(5)));
        assert_eq!(requeue_backoff.until(), Some(Millis(7)));
        requeue_backoff.resume(Millis(7));
        assert!(!requeue_backoff.pauses(Millis(7)));
        assert_eq!(requeue_backoff.until(), None);
    }

    #[test]
    fn pauses_stay_short() {
        let mut requeue_backoff = RequeueBackoff::default();
        requeue_backoff.returned(Millis(0), 1_000_000);
        assert_eq!(requeue_backoff.until(), Some(Millis(PAUSE_MS_MAX)));
    }
}
