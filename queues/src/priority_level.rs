//! The ready messages of one priority, in publish order.
//!
//! Three parts, in this order: `returned` (came back from a consumer), `head` (never delivered, in memory), `rest`
//! (never delivered; ranges in memory alternate with ranges on disk).
//!
//! Invariants: every sequence number in `returned` is lower than every one in `head` and `rest`, because messages are
//! taken from the front only. So a range on disk never spans a message that a consumer holds or has returned, and may
//! be read back as a whole. `head` is empty only if `rest` is empty or begins on disk.

use std::collections::{BTreeMap, VecDeque};

use leveret_message::ids::{Millis, Seq};

use super::entry::Entry;

/// A range of messages on disk: totals only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cold {
    /// Lower bound of the range's sequence numbers.
    pub(super) first: Seq,
    pub(super) last: Seq,
    pub(super) count: u64,
    pub(super) bytes: u64,
    pub(super) persistent: u64,
    pub(super) persistent_bytes: u64,
}

impl Cold {
    pub(super) fn of(entry: &Entry) -> Self {
        let bytes = u64::from(entry.bytes);
        Self {
            first: entry.seq,
            last: entry.seq,
            count: 1,
            bytes,
            persistent: u64::from(entry.persistent),
            persistent_bytes: if entry.persistent { bytes } else { 0 },
        }
    }

    /// Appends a range that follows this one.
    pub(super) fn join(&mut self, next: &Self) {
        self.last = next.last;
        self.count += next.count;
        self.bytes += next.bytes;
        self.persistent += next.persistent;
        self.persistent_bytes += next.persistent_bytes;
    }

    /// Subtracts one message from the totals, which may have been wrong.
    pub(super) fn leave(&mut self, bytes: u64, persistent: bool) {
        self.count = self.count.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
        if persistent {
            self.persistent = self.persistent.saturating_sub(1);
            self.persistent_bytes = self.persistent_bytes.saturating_sub(bytes);
        }
    }
}

/// A part of a priority level behind its head.
#[derive(Debug)]
pub(super) enum Chunk {
    /// In memory.
    Warm(VecDeque<Entry>),
    /// On disk.
    Cold(Cold),
}

/// The front of a priority level.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Front {
    /// A message with known rules.
    Entry {
        expires: Millis,
        seq: Seq,
        bytes: u32,
        /// `false`: its body is on disk, it cannot be delivered yet.
        here: bool,
    },
    /// A range on disk.
    Cold,
}

/// One priority's ready messages.
#[derive(Debug, Default)]
pub(super) struct PriorityLevel {
    pub(super) returned: BTreeMap<Seq, Entry>,
    pub(super) head: VecDeque<Entry>,
    pub(super) rest: VecDeque<Chunk>,
    /// Read ahead when the head has this many messages or fewer.
    pub(super) low: usize,
}

impl PriorityLevel {
    pub(super) fn is_empty(&self) -> bool {
        self.head.is_empty() && self.returned.is_empty() && self.rest.is_empty()
    }

    pub(super) fn push(&mut self, entry: Entry) {
        if self.rest.is_empty() {
            self.head.push_back(entry);
        } else if let Some(Chunk::Warm(tail)) = self.rest.back_mut() {
            tail.push_back(entry);
        } else {
            self.rest.push_back(Chunk::Warm(VecDeque::from([entry])));
        }
    }

    pub(super) fn front(&self) -> Option<Front> {
        let first = if self.returned.is_empty() {
            self.head.front()
        } else {
            self.returned.first_key_value().map(|(_, entry)| entry)
        };
        match first {
            Some(entry) => Some(Front::Entry {
                expires: entry.expires,
                seq: entry.seq,
                bytes: entry.bytes,
                here: entry.message.is_some(),
            }),
            None if self.rest.is_empty() => None,
            None => Some(Front::Cold),
        }
    }

    /// Takes the front, unless it is a range on disk.
    pub(super) fn pop(&mut self) -> Option<Entry> {
        if !self.returned.is_empty() {
            return self.returned.pop_first().map(|(_, entry)| entry);
        }
        let entry = self.head.pop_front();
        if self.head.is_empty() {
            self.refill();
        } else {
            thin(&mut self.head);
        }
        entry
    }

    /// Restores the invariant of an empty head, and frees room that a long queue needed.
    pub(super) fn refill(&mut self) {
        if self.head.is_empty() {
            if matches!(self.rest.front(), Some(Chunk::Warm(_))) {
                if let Some(Chunk::Warm(warm)) = self.rest.pop_front() {
                    self.head = warm;
                }
            } else if self.head.capacity() > ROOM_KEPT {
                self.head = VecDeque::new();
            }
        }
    }

    /// The range on disk right behind the head.
    pub(super) fn cold_mut(&mut self) -> Option<&mut Cold> {
        match self.rest.front_mut() {
            Some(Chunk::Cold(cold)) => Some(cold),
            _ => None,
        }
    }

    /// The range on disk right behind the head.
    pub(super) fn cold(&self) -> Option<&Cold> {
        match self.rest.front() {
            Some(Chunk::Cold(cold)) => Some(cold),
            _ => None,
        }
    }

    /// All messages in memory, in order.
    pub(super) fn entries(&self) -> impl Iterator<Item = &Entry> {
        let rest = self.rest.iter().filter_map(|chunk| match chunk {
            Chunk::Warm(warm) => Some(warm.iter()),
            Chunk::Cold(_) => None,
        });
        self.returned.values().chain(self.head.iter()).chain(rest.flatten())
    }

    /// All messages in memory, in order.
    pub(super) fn entries_mut(&mut self) -> impl Iterator<Item = &mut Entry> {
        let rest = self.rest.iter_mut().filter_map(|chunk| match chunk {
            Chunk::Warm(warm) => Some(warm.iter_mut()),
            Chunk::Cold(_) => None,
        });
        self.returned.values_mut().chain(self.head.iter_mut()).chain(rest.flatten())
    }
}

/// Shrinks a deque that was once much longer.
pub(super) fn thin(entries: &mut VecDeque<Entry>) {
    if entries.capacity() > ROOM_KEPT && entries.len() < entries.capacity() / 8 {
        entries.shrink_to(entries.len() * 2);
    }
}

/// An emptied head keeps room for this many entries (10 KiB), so that a short queue under load does not allocate.
/// [`Queue::shrink`](super::Queue::shrink) frees that as well.
const ROOM_KEPT: usize = 256;
