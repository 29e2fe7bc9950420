//! Exchange features besides routing: deduplication, recent history, delay.

use std::sync::Arc;

use leveret_message::{Message, Millis};
use parking_lot::Mutex;

use super::deduplication::{Deduplication, DeduplicationRule, DuplicateCheck};
use super::delay_room::DelayRoom;
use super::recent_history::RecentHistory;

/// Features of one exchange; most have none.
#[derive(Default)]
pub(super) struct ExchangeFeatures {
    deduplication: Option<Mutex<Deduplication>>,
    history: Option<Mutex<RecentHistory>>,
    /// Holds its delayed messages.
    pub(super) delay_room: Option<Arc<DelayRoom>>,
}

impl ExchangeFeatures {
    /// `None`: the exchange only routes.
    pub(super) fn of(
        deduplication: Option<DeduplicationRule>,
        history_length: Option<u64>,
        delay_room: Option<Arc<DelayRoom>>,
    ) -> Option<Self> {
        if deduplication.is_none() && history_length.is_none() && delay_room.is_none() {
            return None;
        }
        Some(Self {
            deduplication: deduplication.map(|rule| Mutex::new(Deduplication::new(rule))),
            history: history_length.map(|length| Mutex::new(RecentHistory::new(length))),
            delay_room,
        })
    }

    /// These features, with the ids seen and the history of `old`, as far as requested.
    pub(super) fn with_memory_of(self, old: Self, seen: bool, history: bool) -> Self {
        Self {
            deduplication: if seen { old.deduplication } else { self.deduplication },
            history: if history { old.history } else { self.history },
            ..self
        }
    }

    /// Whether every message must be checked, so that routes must not be cached.
    pub(super) const fn deduplicates(&self) -> bool {
        self.deduplication.is_some()
    }

    /// Whether the message's id was seen before.
    pub(super) fn is_duplicate(&self, message: &Message, now: Millis) -> bool {
        self.deduplication.as_ref().is_some_and(|seen| seen.lock().is_duplicate(message, now))
    }

    /// What a check for duplicates would find; nothing is remembered. `None`: it does not deduplicate.
    pub(super) fn look_for_duplicate(&self, message: &Message, now: Millis) -> Option<DuplicateCheck> {
        self.deduplication.as_ref().map(|seen| seen.lock().look(message, now))
    }

    /// Records the message for later bindings.
    pub(super) fn remember(&self, message: &Message) {
        if let Some(history) = &self.history {
            history.lock().remember(message);
        }
    }

    /// Messages for a new binding.
    pub(super) fn recall(&self) -> Vec<Message> {
        self.history.as_ref().map(|history| history.lock().recall()).unwrap_or_default()
    }
}
