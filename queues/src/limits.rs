//! Messages that leave without a consumer: expired, over a limit, purged.

use leveret_message::ids::Millis;
use leveret_message::stored::SettleReason;

use super::priority_level::Front;
use super::{Counts, Effects, Overflow, PurgeMark, Queue};

/// One call drops at most this many messages (a few milliseconds); the rest is due at once.
pub(super) const DROPS_PER_CALL: usize = 10_000;

/// One call dead-letters at most about this many body bytes, as they may have to be written. Between calls the caller
/// checks whether more may be.
pub(super) const LETTER_BYTES_PER_CALL: u64 = 4 << 20;

/// What a call may still drop.
pub(super) struct Budget {
    drops: usize,
    letter_bytes: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { drops: DROPS_PER_CALL, letter_bytes: LETTER_BYTES_PER_CALL }
    }
}

impl Budget {
    pub(super) fn is_spent(&self) -> bool {
        self.drops == 0 || self.letter_bytes == 0
    }

    /// A message is dropped, `letter_bytes` of which are dead-lettered.
    pub(super) fn take(&mut self, letter_bytes: u32) {
        self.drops -= 1;
        self.letter_bytes = self.letter_bytes.saturating_sub(u64::from(letter_bytes));
    }
}

impl<C> Queue<C> {
    /// Whether `more` additional messages of `more_bytes` in total would exceed a limit. Unacknowledged messages do not
    /// count.
    pub(super) fn over_limit(&self, more: u64, more_bytes: u64) -> bool {
        let Counts { ready, ready_bytes, retrying, retrying_bytes, .. } = self.counts;
        self.settings.exceeded_by(ready + retrying + more, ready_bytes + retrying_bytes + more_bytes)
    }

    /// Drops expired messages and those over a limit from the front.
    pub(super) fn trim(&mut self, now: Millis, fx: &mut Effects) {
        self.trim_within(now, false, &mut Budget::default(), fx);
    }

    /// The same within `budget`, the rest of this call's share. Messages that expired behind a live one stay. A front
    /// on disk stays until it is read. `wanted`: a consumer would take what is behind what has to
    /// [wait](super::letters).
    pub(super) fn trim_within(&mut self, now: Millis, wanted: bool, budget: &mut Budget, fx: &mut Effects) {
        self.more_due = false;
        let held = self.letters_held(budget, fx);
        if self.retries.is_some() && !self.trim_retries(held, budget, fx) {
            return;
        }
        while let Some((level, Front::Entry { expires, .. })) = self.front() {
            let reason = if expires <= now {
                SettleReason::Expired
            } else if self.settings.overflow == Overflow::DropHead && self.over_limit(0, 0) {
                SettleReason::MaxLength
            } else {
                break;
            };
            if held {
                if wanted && reason == SettleReason::Expired && self.put_aside(level) {
                    continue;
                }
                self.wait_at_front();
                break;
            }
            if budget.is_spent() {
                self.more_due = true;
                break;
            }
            if let Some(entry) = self.pop(level) {
                budget.take(if self.settings.dead_letters { entry.bytes } else { 0 });
                self.lose(entry, reason, fx);
            }
        }
    }

    /// When to call [`Queue::tick`] next, if at all: when the front expires or a retry is due. An instant in the past:
    /// there is work to do at once.
    pub fn next_deadline(&self) -> Option<Millis> {
        let front = self.front_deadline();
        match &self.retries {
            None => front,
            Some(retries) => front.into_iter().chain(retries.next_due()).min(),
        }
    }

    fn front_deadline(&self) -> Option<Millis> {
        if self.more_due || self.letters_may_go() {
            return Some(Millis(0));
        }
        if self.front_waits() {
            return None;
        }
        match self.front()? {
            (_, Front::Entry { expires, .. }) if expires != super::entry::NEVER => Some(expires),
            (_, Front::Entry { here: true, .. }) => None,
            // A body that no consumer wants now need not be read.
            (_, Front::Entry { .. }) if self.takers() == 0 => None,
            _ if self.reading.is_some() => None,
            _ => Some(self.retry_at),
        }
    }

    /// Drops all messages that nobody holds and returns their number. Not dead-lettered.
    pub fn purge(&mut self, fx: &mut Effects) -> u64 {
        let purged = self.counts.ready + self.counts.retrying;
        if purged == 0 {
            return 0;
        }
        // Freed with the effects; the counts are rebuilt from what stays, without visiting what goes.
        let remains = (std::mem::take(&mut self.priority_levels), self.letters.take(), self.retries.take());
        self.counts = Counts { consumers: self.counts.consumers, ..Counts::default() };
        for held in self.unacked.iter() {
            self.counts.enter(&held.entry);
            self.counts.add_unacked(&held.entry);
        }
        self.more_due = false;
        fx.purge = Some(PurgeMark {
            upto: self.last_seq,
            stored: self.is_known_to_store(),
            kept: self.unacked.stored(),
            _remains: remains,
        });
        self.check_small();
        purged
    }
}
