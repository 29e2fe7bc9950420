//! Delivered messages not settled yet, found by token.
//!
//! Slots are reused at once, so one message that is never settled keeps its slot and nothing more.

use leveret_message::ids::Seq;
use slab::Slab;

use super::consumers::Holder;
use super::effects::Token;
use super::entry::Entry;

/// Slots kept after a burst (48 KiB).
const SLOTS_KEPT: usize = 1024;

/// A held message.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) entry: Entry,
    pub(super) holder: Holder,
}

const _: () = assert!(size_of::<Option<Held>>() == 48);

/// All of them.
#[derive(Debug, Default)]
pub(super) struct Unacked(Slab<Held>);

impl Unacked {
    pub(super) fn hold(&mut self, entry: Entry, holder: Holder) -> Token {
        let seq = entry.seq;
        let slot = self.0.insert(Held { entry, holder });
        let slot = u32::try_from(slot).expect("4 billion slots take 200 GB");
        Token { slot, got: holder == Holder::NOBODY, seq }
    }

    /// `None`: the token is stale.
    pub(super) fn take(&mut self, token: Token) -> Option<Held> {
        let slot = token.slot as usize;
        if self.0.get(slot)?.entry.seq != token.seq {
            return None;
        }
        Some(self.0.remove(slot))
    }

    pub(super) fn get(&self, token: Token) -> Option<&Held> {
        let held = self.0.get(token.slot as usize)?;
        (held.entry.seq == token.seq).then_some(held)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Held> {
        self.0.iter().map(|(_, held)| held)
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Held> {
        self.0.iter_mut().map(|(_, held)| held)
    }

    /// Sequence numbers of those the store knows of, ascending.
    pub(super) fn stored(&self) -> Vec<Seq> {
        let stored = self.iter().filter(|held| held.entry.stored());
        let mut places: Vec<Seq> = stored.map(|held| held.entry.seq).collect();
        places.sort_unstable();
        places
    }

    /// Frees slots that a burst needed, once none is in use.
    pub(super) fn relax(&mut self) {
        if self.0.is_empty() && self.0.capacity() > SLOTS_KEPT {
            self.0 = Slab::new();
        }
    }

    /// Frees all slots that can be freed: those behind the last in use.
    pub(super) fn shrink(&mut self) {
        self.0.shrink_to_fit();
    }
}
