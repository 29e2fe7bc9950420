//! Settling: messages are acknowledged, rejected or requeued.

use leveret_message::ids::Millis;
use leveret_message::stored::SettleReason;

use super::deliver::gone;
use super::entry::Entry;
use super::unacked::Held;
use super::{Effects, Queue, Requeue, Token};

impl<C> Queue<C> {
    /// The messages are acknowledged. Stale tokens are ignored. Frees credit: the caller dispatches.
    pub fn settle(&mut self, tokens: &[Token], fx: &mut Effects) {
        for &token in tokens {
            if let Some(entry) = self.give_back(token) {
                self.lose(entry, SettleReason::Acked, fx);
            }
        }
        self.unacked.relax();
        self.check_small();
    }

    /// The messages are rejected without requeue: dead-lettered, as soon as that is allowed
    /// ([`Queue::hold_letters`]), or dropped. Stale tokens are ignored. Frees credit: the caller dispatches.
    pub fn reject(&mut self, _now: Millis, tokens: &[Token], fx: &mut Effects) {
        for &token in tokens {
            if let Some(entry) = self.give_back(token) {
                self.lose_or_wait(entry, SettleReason::Rejected, fx);
            }
        }
        self.unacked.relax();
        self.check_small();
    }

    /// The messages return to their old places, wait for their retry first, or are dropped if they failed too often, expired meanwhile, or do not
    /// fit any more. Stale tokens are ignored. The caller dispatches.
    ///
    /// A large number (a channel closed without prefetch) is best passed in parts, oldest first, so that a lock can
    /// be released in between and order holds.
    pub fn requeue(&mut self, now: Millis, tokens: &[Token], cause: Requeue, fx: &mut Effects) {
        let mut came_back = false;
        let mut failed_too_often = Vec::new();
        for &token in tokens {
            let Some(mut entry) = self.give_back(token) else {
                continue;
            };
            entry.redelivered = true;
            entry.acquired_count = entry.acquired_count.saturating_add(1);
            if cause.is_failure() {
                entry.delivery_count = entry.delivery_count.saturating_add(1);
                if self.settings.delivery_limit.is_some_and(|limit| entry.delivery_count > limit) {
                    failed_too_often.push(entry);
                    continue;
                }
                if self.settings.counts_deliveries() && entry.stored() {
                    fx.returned.push((entry.seq, entry.delivery_count));
                }
            }
            came_back = true;
            if let Some(due) = self.retry_due(now, &entry, cause) {
                self.wait_for_retry(entry, due);
                continue;
            }
            self.counts.add_ready(&entry);
            let level = entry.priority_level;
            let priority_level = self.priority_levels.make(level);
            priority_level.returned.insert(entry.seq, entry);
            self.priority_levels.note(level);
        }
        // Several channels may have held them: dead letters go in queue order.
        failed_too_often.sort_unstable_by_key(|entry| entry.seq);
        for entry in failed_too_often {
            self.lose_or_wait(entry, SettleReason::DeliveryLimit, fx);
        }
        self.unacked.relax();
        if came_back {
            self.trim(now, fx);
        }
        self.check_small();
    }

    /// Takes a message back from its holder.
    fn give_back(&mut self, token: Token) -> Option<Entry> {
        let Held { entry, holder } = self.unacked.take(token)?;
        self.counts.take_unacked(&entry);
        if let Some(consumers) = self.consumers.as_deref_mut() {
            consumers.credit(holder);
        }
        Some(entry)
    }

    /// A message that is neither ready nor unacknowledged any more leaves the queue.
    pub(super) fn lose(&mut self, entry: Entry, reason: SettleReason, fx: &mut Effects) {
        self.counts.leave(&entry);
        let dead_letter =
            self.settings.dead_letters && !matches!(reason, SettleReason::Acked | SettleReason::Purged);
        if entry.stored() || dead_letter {
            fx.gone.push(gone(entry, reason, dead_letter));
        }
    }
}
