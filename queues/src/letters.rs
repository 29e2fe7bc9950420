//! Dead letters that must wait: each is written anew elsewhere, which the store may be unable to do.
//!
//! What is due stays in place. Only if a consumer wants what is behind it are expired messages put aside, so that
//! they block no one and are delivered to no one: a bounded number, after which the queue waits as a whole. What
//! clients reject is put aside without a bound, as the queue held it before. They count as ready, their bodies can
//! leave memory, they share the fate of the queue (a purge, a deletion), and are dropped first as soon as that is
//! allowed. The store is told nothing meanwhile.

use std::collections::VecDeque;

use leveret_message::stored::SettleReason;

use super::entry::Entry;
use super::limits::Budget;
use super::{Effects, Queue};

/// Most expired messages put aside.
pub(super) const ASIDE_MAX: usize = 10_000;

/// See the module. Exists only while something waits, or would have to wait once due.
#[derive(Debug, Default)]
pub(super) struct Letters {
    held: bool,
    /// The front is due and waits.
    due: bool,
    /// With the reasons for which they are to be dropped, in that order.
    aside: VecDeque<(Entry, SettleReason)>,
    /// Number of expired ones among them.
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
    /// While `hold`, messages that a rule would drop and dead-letter stay instead. To be set before a call that may
    /// drop something; when it is cleared, [`Queue::tick`] drops what is due.
    pub fn hold_letters(&mut self, hold: bool) {
        if hold {
            self.letters.get_or_insert_default().held = true;
        } else if let Some(letters) = &mut self.letters {
            letters.held = false;
        }
    }

    /// Whether something due is held. The caller then checks whether it still has to be.
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

    /// Whether what is due has to wait. If not, messages put aside go first.
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

    /// A held message leaves the queue, or waits behind others until it may.
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

    /// The due front waits.
    pub(super) fn wait_at_front(&mut self) {
        if let Some(letters) = &mut self.letters {
            letters.due = true;
        }
    }

    /// Whether the front is due and has to stay.
    pub(super) fn front_waits(&self) -> bool {
        self.letters.as_ref().is_some_and(|letters| letters.held && letters.due)
    }

    /// Messages put aside.
    pub(super) fn aside(&self) -> impl Iterator<Item = &Entry> {
        self.letters.iter().flat_map(|letters| letters.aside.iter()).map(|(entry, _)| entry)
    }

    /// Messages put aside.
    pub(super) fn aside_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        self.letters.iter_mut().flat_map(|letters| letters.aside.iter_mut()).map(|(entry, _)| entry)
    }
}
