//! Dead letters that have to wait: each is written anew elsewhere, which the store may not be able to do.
//!
//! What is due stays where it is. Only if somebody wants what stands behind it, expired messages are put aside, so that
//! they hold up nobody and are delivered to nobody: a bounded number, after which the queue waits as a whole. What clients
//! reject is put aside without a bound, as the queue held it before. They count as ready, their bodies can leave memory,
//! they share the fate of the queue (a purge, a deletion), and are dropped first as soon as that may be. The store is told
//! nothing meanwhile.

use std::collections::VecDeque;

use super::entry::Entry;
use super::limits::Budget;
use super::{Effects, Queue};
use crate::store::SettleReason;

/// Expired messages put aside, at most.
pub(super) const ASIDE_MAX: usize = 10_000;

/// See the module. There is one only while something waits, or has to should it become due.
#[derive(Debug, Default)]
pub(super) struct Letters {
    held: bool,
    /// The front is due, and waits.
    due: bool,
    /// With the reasons why they are to be dropped, in that order.
    aside: VecDeque<(Entry, SettleReason)>,
    /// Of these, expired ones.
    expired: usize,
}

impl Letters {
    fn pop(&mut self) -> Option<(Entry, SettleReason)> {
        let (entry, reason) = self.aside.pop_front()?;
        self.expired -= usize::from(reason == SettleReason::Expired);
        Some((entry, reason))
    }
}

impl<C> Queue<C> {
    /// While `hold`, what is to be dropped by a rule and dead-lettered stays instead. To be told before a call that may
    /// drop something; when it is over, [`Queue::tick`] drops what is due.
    pub fn hold_letters(&mut self, hold: bool) {
        if hold {
            self.letters.get_or_insert_default().held = true;
        } else if let Some(letters) = &mut self.letters {
            letters.held = false;
        }
    }

    /// Whether something that is due is held. The caller looks again whether it has to be.
    pub fn letters_wait(&self) -> bool {
        self.letters
            .as_ref()
            .is_some_and(|letters| letters.held && (letters.due || !letters.aside.is_empty()))
    }

    /// Something is due that need not wait any more.
    pub(super) fn letters_may_go(&self) -> bool {
        self.letters
            .as_ref()
            .is_some_and(|letters| !letters.held && (letters.due || !letters.aside.is_empty()))
    }

    /// Whether what is due has to wait. If not, what was put aside goes first.
    pub(super) fn letters_held(&mut self, budget: &mut Budget, fx: &mut Effects) -> bool {
        let Some(letters) = &mut self.letters else {
            return false;
        };
        letters.due = false;
        if letters.held && self.settings.dead_letters {
            return true;
        }
        while !budget.is_spent()
            && let Some((entry, reason)) = self.letters.as_deref_mut().and_then(Letters::pop)
        {
            budget.take(entry.bytes);
            self.counts.take_ready(&entry);
            self.lose(entry, reason, fx);
        }
        self.letters.take_if(|letters| letters.aside.is_empty());
        false
    }

    /// Puts the expired front of a priority level aside; `false`: that would be too many.
    pub(super) fn put_aside(&mut self, level: u8) -> bool {
        if self.letters.as_ref().is_none_or(|letters| letters.expired >= ASIDE_MAX) {
            return false;
        }
        let Some(entry) = self.pop(level) else {
            return false;
        };
        self.wait_aside(entry, SettleReason::Expired);
        true
    }

    /// A message that somebody held leaves the queue, or waits for that behind others.
    pub(super) fn lose_or_wait(&mut self, entry: Entry, reason: SettleReason, fx: &mut Effects) {
        let waits = |letters: &Letters| letters.held || !letters.aside.is_empty();
        if self.settings.dead_letters && self.letters.as_deref().is_some_and(waits) {
            self.wait_aside(entry, reason);
        } else {
            self.lose(entry, reason, fx);
        }
    }

    fn wait_aside(&mut self, mut entry: Entry, reason: SettleReason) {
        if self.lean.is_some_and(|upto| entry.pageable(self.settings.durable, upto)) {
            self.counts.resident_bytes -= entry.memory();
            entry.message = None;
        }
        self.counts.add_ready(&entry);
        let letters = self.letters.get_or_insert_default();
        letters.expired += usize::from(reason == SettleReason::Expired);
        letters.aside.push_back((entry, reason));
    }

    /// What is due at the front waits.
    pub(super) fn wait_at_front(&mut self) {
        if let Some(letters) = &mut self.letters {
            letters.due = true;
        }
    }

    /// Whether something due stands at the front and has to stay.
    pub(super) fn front_waits(&self) -> bool {
        self.letters.as_ref().is_some_and(|letters| letters.held && letters.due)
    }

    /// What was put aside.
    pub(super) fn aside(&self) -> impl Iterator<Item = &Entry> {
        self.letters.iter().flat_map(|letters| letters.aside.iter()).map(|(entry, _)| entry)
    }

    /// What was put aside.
    pub(super) fn aside_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.letters.iter_mut().flat_map(|letters| letters.aside.iter_mut()).map(|(entry, _)| entry)
    }
}
