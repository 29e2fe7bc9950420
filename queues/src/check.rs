//! The invariants, as code.

use leveret_message::ids::Seq;

use super::consumers::{Consumers, Holder};
use super::entry::Entry;
use super::priority_level::Chunk;
use super::{Counts, Queue};

/// Larger queues are checked only on request, not after every step.
const SMALL: u64 = 64;

impl<C> Queue<C> {
    /// Checks small queues after every step, in debug builds.
    pub(super) fn check_small(&self) {
        if cfg!(debug_assertions) && self.counts.total() + (self.counts.consumers as u64) < SMALL {
            self.check();
        }
    }

    /// Checks all invariants. Linear in the number of messages in memory.
    ///
    /// # Panics
    /// If an invariant does not hold: a bug in this module.
    pub fn check(&self) {
        let mut sums =
            Counts { consumers: self.consumers.as_deref().map_or(0, Consumers::len), ..Counts::default() };
        for level in 0..=u8::MAX {
            let Some(priority_level) = self.priority_levels.get(level) else {
                continue;
            };
            assert_eq!(
                self.priority_levels.filled().any(|filled| filled == level),
                !priority_level.is_empty(),
                "lane noted"
            );
            let mut last = Seq(0);
            let mut follow = |entry: &Entry| {
                assert!(entry.seq > last, "order in a lane");
                assert!(entry.seq <= self.last_seq);
                assert_eq!(entry.priority_level, level);
                last = entry.seq;
                sums.enter(entry);
                sums.add_ready(entry);
            };
            for (seq, entry) in &priority_level.returned {
                assert_eq!(*seq, entry.seq);
                assert!(entry.redelivered);
                assert!(entry.message.is_some() || entry.stored());
            }
            priority_level.entries().for_each(&mut follow);
            let mut last = priority_level.head.back().map_or(Seq(0), |entry| entry.seq);
            for chunk in &priority_level.rest {
                let (first, next) = match chunk {
                    Chunk::Warm(warm) => (warm[0].seq, warm[warm.len() - 1].seq),
                    Chunk::Cold(cold) => {
                        sums.enter_cold(cold);
                        (cold.first, cold.last)
                    }
                };
                assert!(first > last, "order of stretches");
                last = next;
            }
            let fronts_warm = matches!(priority_level.rest.front(), Some(Chunk::Warm(_)));
            assert!(!(priority_level.head.is_empty() && fronts_warm), "empty head");
            let away = priority_level.head.iter().any(|entry| entry.message.is_none());
            assert!(!away, "bodies of the head are in memory");
        }
        for entry in self.aside() {
            sums.enter(entry);
            sums.add_ready(entry);
        }
        for (_, entry) in self.retrying() {
            assert!(entry.redelivered);
            assert!(entry.message.is_some() || entry.stored());
            sums.enter(entry);
            sums.add_retrying(entry);
        }
        for held in self.unacked.iter() {
            sums.enter(&held.entry);
            sums.add_unacked(&held.entry);
        }
        assert_eq!(sums, self.counts, "sums");
        if let Some(consumers) = self.consumers.as_deref() {
            assert!(consumers.len() > 0, "no consumers, no box");
            let mut held = std::collections::HashMap::<Holder, u32>::new();
            for one in self.unacked.iter() {
                *held.entry(one.holder).or_default() += 1;
            }
            consumers.check(|holder| held.get(&holder).copied().unwrap_or(0));
        }
    }
}
