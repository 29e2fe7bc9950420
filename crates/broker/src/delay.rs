//! The schedule of delayed messages: pure, with as many bodies as may stay in memory.
//!
//! Invariants: entries are released in order of due time, then of arrival; an entry costs two numbers in an ordered
//! set; a body not in memory is in the store; whoever adds bodies bounds them by `Pending::bytes`. Absent: locks,
//! clocks, the store.

use std::collections::BTreeSet;
use std::ops::Bound;

use leveret_message::{Message, Millis, Seq};
use rustc_hash::FxHashMap;

/// Identifies a waiting message of one exchange.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct PendingId {
    /// Due time.
    pub due: Millis,
    /// Sequence number.
    pub seq: Seq,
}

/// A body in memory.
#[derive(Clone, Debug)]
pub(super) struct Body {
    pub(super) message: Message,
    /// Also in the store.
    pub(super) stored: bool,
}

/// An entry that was taken or looked up.
#[derive(Debug)]
pub(super) enum Taken {
    /// Its body was in memory.
    Here(Body),
    /// Its body is only in the store.
    Stored,
}

/// Waiting messages.
#[derive(Debug, Default)]
pub(super) struct Pending {
    schedule: BTreeSet<PendingId>,
    bodies: FxHashMap<Seq, Body>,
    bytes: usize,
    last: Seq,
}

/// Consecutive due entries without a body are read together if their sequence numbers are at most this far apart.
const GAP_MAX: u64 = 16;

/// Maximum entries per read.
const RUN_MAX: usize = 256;

impl Pending {
    /// Empty; sequence numbers up to `last` are taken.
    pub(super) fn after(last: Seq) -> Self {
        Self { last, ..Self::default() }
    }

    /// The sequence number of the next message.
    pub(super) fn next_seq(&mut self) -> Seq {
        self.last = self.last.next();
        self.last
    }

    /// Adds an entry; without a body, the message must be in the store.
    pub(super) fn insert(&mut self, id: PendingId, body: Option<Body>) {
        self.schedule.insert(id);
        if let Some(body) = body {
            self.bytes += body.message.memory();
            self.bodies.insert(id.seq, body);
        }
    }

    /// Removes an entry, if present.
    pub(super) fn take(&mut self, id: PendingId) -> Option<Taken> {
        if !self.schedule.remove(&id) {
            return None;
        }
        let Some(body) = self.bodies.remove(&id.seq) else { return Some(Taken::Stored) };
        self.bytes -= body.message.memory();
        Some(Taken::Here(body))
    }

    /// Looks up an entry without removing it.
    pub(super) fn look(&self, id: PendingId) -> Option<Taken> {
        let known = self.schedule.contains(&id);
        known.then(|| self.bodies.get(&id.seq).map_or(Taken::Stored, |body| Taken::Here(body.clone())))
    }

    /// The next entry to release.
    pub(super) fn first(&self) -> Option<PendingId> {
        self.schedule.first().copied()
    }

    /// Removes the next entry if it is due and its body is in memory.
    pub(super) fn take_ready(&mut self, now: Millis) -> Option<(PendingId, Body)> {
        let id = self.first().filter(|id| id.due <= now && self.bodies.contains_key(&id.seq))?;
        match self.take(id)? {
            Taken::Here(body) => Some((id, body)),
            Taken::Stored => None,
        }
    }

    /// Removes due entries that must be read from the store: the next ones, as long as they are close together there.
    pub(super) fn take_run(&mut self, now: Millis) -> Vec<PendingId> {
        let mut run: Vec<PendingId> = Vec::new();
        while let Some(id) = self.first() {
            let near = run.last().is_none_or(|last| {
                id.seq.0.checked_sub(last.seq.0).is_some_and(|gap| gap > 0 && gap <= GAP_MAX)
            });
            if id.due > now || !near || run.len() == RUN_MAX || self.bodies.contains_key(&id.seq) {
                break;
            }
            self.schedule.remove(&id);
            run.push(id);
        }
        run
    }

    /// Up to `max` entries after `after`, in order.
    pub(super) fn page(&self, after: Option<PendingId>, max: usize) -> Vec<PendingId> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.schedule.range((from, Bound::Unbounded)).take(max).copied().collect()
    }

    /// Number of entries.
    pub(super) fn len(&self) -> usize {
        self.schedule.len()
    }

    /// Memory of the bodies held, in bytes.
    pub(super) const fn bytes(&self) -> usize {
        self.bytes
    }

    /// Drops all entries; sequence numbers are not reused.
    pub(super) fn clear(&mut self) {
        *self = Self::after(self.last);
    }
}

#[cfg(test)]
mod tests {
    use leveret_message::{MessageMeta, Short};
    use proptest::prelude::*;

    use super::*;

    fn body(size: usize) -> Body {
        let message = Message::new(
            Short::literal("x"),
            Short::literal("k"),
            b"",
            &vec![0; size],
            MessageMeta::default(),
        );
        Body { message, stored: false }
    }

    fn id(due: u64, seq: u64) -> PendingId {
        PendingId { due: Millis(due), seq: Seq(seq) }
    }

    #[test]
    fn entries_come_out_by_due_time_then_arrival() {
        let mut pending = Pending::default();
        for due in [30, 10, 20, 10] {
            let seq = pending.next_seq();
            pending.insert(PendingId { due: Millis(due), seq }, Some(body(1)));
        }
        let mut out = Vec::new();
        while let Some((id, _)) = pending.take_ready(Millis(25)) {
            out.push((id.due.0, id.seq.0));
        }
        assert_eq!(out, [(10, 2), (10, 4), (20, 3)]);
        assert_eq!(pending.first(), Some(id(30, 1)));
    }

    #[test]
    fn a_run_ends_at_a_body_at_a_jump_and_at_what_is_not_due() {
        let mut pending = Pending::after(Seq(100));
        for (due, seq) in [(1, 1), (2, 2), (3, 5), (4, 50), (5, 51), (9, 52)] {
            pending.insert(id(due, seq), None);
        }
        assert_eq!(pending.take_run(Millis(8)), [id(1, 1), id(2, 2), id(3, 5)]);
        let seq = pending.next_seq();
        assert_eq!(seq, Seq(101));
        pending.insert(PendingId { due: Millis(4), seq }, Some(body(1)));
        assert_eq!(pending.take_run(Millis(8)), [id(4, 50)]);
        assert_eq!(pending.take_run(Millis(8)), []);
        assert!(pending.take_ready(Millis(8)).is_some());
        assert_eq!(pending.take_run(Millis(8)), [id(5, 51)]);
        assert_eq!(pending.take_run(Millis(8)), []);
        assert_eq!(pending.len(), 1);
    }

    #[test]
    fn pages_follow_each_other() {
        let mut pending = Pending::default();
        for seq in 1..=5 {
            pending.insert(id(7, seq), None);
        }
        let first = pending.page(None, 2);
        assert_eq!(first, [id(7, 1), id(7, 2)]);
        assert_eq!(pending.page(first.last().copied(), 10), [id(7, 3), id(7, 4), id(7, 5)]);
    }

    proptest! {
        /// Against a sorted list: every entry comes out once, in order, and bytes add up.
        #[test]
        fn nothing_is_lost_or_doubled(
            entries in proptest::collection::vec((0u64..50, proptest::option::of(0usize..100)), 0..60),
            step in 1u64..20,
        ) {
            let mut pending = Pending::default();
            let mut model = Vec::new();
            for (due, size) in entries {
                let seq = pending.next_seq();
                pending.insert(PendingId { due: Millis(due), seq }, size.map(body));
                model.push(PendingId { due: Millis(due), seq });
            }
            model.sort_unstable();
            let mut out = Vec::new();
            let mut now = 0;
            while out.len() < model.len() {
                now += step;
                loop {
                    let before = out.len();
                    while let Some((id, _)) = pending.take_ready(Millis(now)) {
                        out.push(id);
                    }
                    out.extend(pending.take_run(Millis(now)));
                    if out.len() == before {
                        break;
                    }
                }
                prop_assert!(out.iter().all(|id| id.due.0 <= now));
            }
            prop_assert_eq!(out, model);
            prop_assert_eq!((pending.len(), pending.bytes()), (0, 0));
        }
    }
}
