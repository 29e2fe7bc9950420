//! Delayed retries: a returned message waits before it is delivered again.
//!
//! It stays in the queue: it counts towards the limits, expires, is purged and deleted with the others, and its body can
//! leave memory. It blocks no one: what is behind it is delivered meanwhile. Once due it resumes its old place, in front
//! of everything that was never delivered. With overflow `drop-head` it goes first, as it is older than what is ready.
//!
//! Cost: 64 bytes besides its body, in one map by due time; no timer each, see [`Queue::next_deadline`].
//!
//! The store knows only how often a message failed. So after a restart what failed before waits anew, from the start of
//! the run: it is never early, and no later than one delay. What was returned without a failure does not wait again.

use std::collections::BTreeMap;

use leveret_message::ids::{Millis, Seq};
use leveret_message::stored::SettleReason;

use super::entry::{Disk, Entry};
use super::limits::{Budget, DROPS_PER_CALL};
use super::{Effects, Overflow, Queue, Requeue};

/// By the instant at which they are looked at: when they are due, or expire if that is earlier.
type ByDue = BTreeMap<(Millis, Seq), Waiting>;

#[derive(Debug)]
struct Waiting {
    due: Millis,
    entry: Entry,
}

/// See the module. Exists only while messages wait, or may have to after a restart.
#[derive(Debug, Default)]
pub(super) struct Retries {
    waiting: ByDue,
    /// Released before they were due. Apart, as one call moves a bounded number.
    released: ByDue,
    /// The start of the run, if the queue was recovered: messages that failed before wait from then on.
    recovered_at: Option<Millis>,
}

impl Retries {
    /// For a queue recovered now.
    pub(super) fn recovered(now: Millis) -> Self {
        Self { recovered_at: Some(now), ..Self::default() }
    }

    /// When the next message is to be made ready; in the past if at once.
    pub(super) fn next_due(&self) -> Option<Millis> {
        if !self.released.is_empty() {
            return Some(Millis(0));
        }
        self.waiting.first_key_value().map(|((at, _), _)| *at)
    }

    fn is_needed(&self) -> bool {
        self.recovered_at.is_some() || !self.waiting.is_empty() || !self.released.is_empty()
    }

    /// The next message to be made ready.
    fn pop_due(&mut self, now: Millis) -> Option<Entry> {
        let first = self.released.pop_first().or_else(|| {
            let due = self.waiting.first_key_value().is_some_and(|((at, _), _)| *at <= now);
            if due { self.waiting.pop_first() } else { None }
        });
        first.map(|(_, waiting)| waiting.entry)
    }

    /// The next message, due or not.
    fn pop(&mut self) -> Option<Entry> {
        let first = self.released.pop_first().or_else(|| self.waiting.pop_first());
        first.map(|(_, waiting)| waiting.entry)
    }
}

impl<C> Queue<C> {
    /// When a message returned now is due again; `None`: it does not wait, or has expired.
    pub(super) fn retry_due(&self, now: Millis, entry: &Entry, cause: Requeue) -> Option<Millis> {
        let retry = self.settings.delayed_retry.filter(|retry| retry.which.covers(cause))?;
        let due = now.plus(retry.delay_ms(entry.delivery_count));
        (due > now && lives_until(entry, self.all_expire) > now).then_some(due)
    }

    /// Puts a message aside that is neither ready nor held, until `due`.
    pub(super) fn wait_for_retry(&mut self, mut entry: Entry, due: Millis) {
        if self.lean.is_some_and(|upto| entry.pageable(self.settings.durable, upto)) {
            self.counts.resident_bytes -= entry.memory();
            entry.message = None;
        }
        self.counts.add_retrying(&entry);
        let at = due.min(lives_until(&entry, self.all_expire));
        let retries = self.retries.get_or_insert_default();
        retries.waiting.insert((at, entry.seq), Waiting { due, entry });
    }

    /// Messages that are due or have expired become ready: a bounded number, the rest at the next tick.
    pub(super) fn release_due_retries(&mut self, now: Millis) {
        let Some(retries) = &mut self.retries else {
            return;
        };
        for _ in 0..DROPS_PER_CALL {
            let Some(entry) = retries.pop_due(now) else {
                break;
            };
            self.counts.take_retrying(&entry);
            self.counts.add_ready(&entry);
            let level = entry.priority_level;
            self.priority_levels.make(level).returned.insert(entry.seq, entry);
            self.priority_levels.note(level);
        }
        self.retries.take_if(|retries| !retries.is_needed());
    }

    /// All messages that wait for their retry are due now. Returns their number. The caller dispatches; a large number
    /// becomes ready in parts, see [`Queue::next_deadline`].
    pub fn release_retries(&mut self) -> u64 {
        let Some(retries) = &mut self.retries else {
            return 0;
        };
        // What had to wait for the restart's sake is ready at once as well.
        retries.recovered_at = None;
        let mut waiting = std::mem::take(&mut retries.waiting);
        let count = waiting.len() as u64;
        if retries.released.is_empty() {
            retries.released = waiting;
        } else {
            retries.released.append(&mut waiting);
        }
        count
    }

    /// The front of a level waits if it failed before the restart; `false`: it is not such a message. As many in a row as
    /// one read brings may do so in one call.
    pub(super) fn retry_after_restart(&mut self, now: Millis, level: u8) -> bool {
        let Some(recovered_at) = self.retries.as_ref().and_then(|retries| retries.recovered_at) else {
            return false;
        };
        let (Some(retry), Some(priority_level)) =
            (self.settings.delayed_retry, self.priority_levels.get(level))
        else {
            return false;
        };
        if !priority_level.returned.is_empty() {
            // Delivered in this run.
            return false;
        }
        let failed = priority_level.head.front().map_or(0, |entry| entry.delivery_count);
        let due = recovered_at.plus(retry.delay_ms(failed));
        if failed == 0 || due <= now {
            return false;
        }
        let Some(mut entry) = self.pop(level) else {
            return false;
        };
        entry.redelivered = true;
        if entry.disk == Disk::Written {
            // It was only read to learn this: what waits after a restart may be more than memory holds.
            self.counts.resident_bytes -= entry.memory();
            entry.message = None;
        }
        self.wait_for_retry(entry, due);
        true
    }

    /// Drops messages over a limit. `false`: there are more, which have to wait.
    pub(super) fn trim_retries(&mut self, held: bool, budget: &mut Budget, fx: &mut Effects) -> bool {
        while self.counts.retrying > 0
            && self.settings.overflow == Overflow::DropHead
            && self.over_limit(0, 0)
        {
            if held {
                self.wait_at_front();
                return false;
            }
            if budget.is_spent() {
                self.more_due = true;
                return false;
            }
            let Some(entry) = self.retries.as_deref_mut().and_then(Retries::pop) else {
                break;
            };
            budget.take(if self.settings.dead_letters { entry.bytes } else { 0 });
            self.counts.take_retrying(&entry);
            self.lose(entry, SettleReason::MaxLength, fx);
        }
        true
    }

    /// The time to live has changed. Linear in the number of waiting messages.
    pub(super) fn expire_retries(&mut self) {
        let all_expire = self.all_expire;
        if let Some(retries) = &mut self.retries {
            let waiting = std::mem::take(&mut retries.waiting).into_values();
            retries.waiting = waiting
                .map(|waiting| {
                    let at = waiting.due.min(lives_until(&waiting.entry, all_expire));
                    ((at, waiting.entry.seq), waiting)
                })
                .collect();
        }
    }

    /// Messages that wait, by due time, with it.
    pub(super) fn retrying(&self) -> impl Iterator<Item = (Millis, &Entry)> {
        let retries = self.retries.iter();
        retries
            .flat_map(|retries| retries.released.values().chain(retries.waiting.values()))
            .map(|waiting| (waiting.due, &waiting.entry))
    }

    /// Messages that wait.
    pub(super) fn retrying_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let retries = self.retries.iter_mut();
        retries
            .flat_map(|retries| retries.released.values_mut().chain(retries.waiting.values_mut()))
            .map(|waiting| &mut waiting.entry)
    }
}

/// When a message expires at the latest.
fn lives_until(entry: &Entry, all_expire: Option<(Seq, Millis)>) -> Millis {
    match all_expire {
        Some((upto, at)) if entry.seq <= upto => at.min(entry.expires),
        _ => entry.expires,
    }
}
