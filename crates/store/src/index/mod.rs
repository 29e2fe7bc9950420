//! Which messages are live and where they are: the fold over the log, most of it on disk.
//!
//! Invariants: what is settled never comes back; every live entry is counted in its segment; folding a record twice
//! changes nothing, so replay may begin before what is already folded. In memory are entries younger than one
//! checkpoint, a summary of each chunk of about a thousand, and a bounded number of full chunks. Absent: files of the
//! log, threads, clocks.

pub(crate) mod chunk;
pub(crate) mod db;
mod early;
mod priority_level;
mod save;
pub(crate) mod stand_in;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

pub(crate) use self::chunk::Entry;
use self::chunk::{Chunk, Share};
pub(crate) use self::db::{Change, Db, DbError};
use self::priority_level::PriorityLevel;
pub(crate) use self::save::CHECKPOINT_KEY;
use leveret_message::ids::{QueueId, Seq};
use leveret_message::stored::{ColdRange, RecoveredQueue};

use crate::ReadWish;
use crate::place::Place;
use early::Early;

/// The meaning of a written record for the index.
#[derive(Clone, Debug)]
pub(crate) enum Event {
    Enqueue {
        queue: QueueId,
        priority_level: u8,
        transient: bool,
        entry: Entry,
    },
    /// A copy of a message at another place; counts only while the message is live. If it was settled meanwhile, then
    /// by a record in segment `since` or later.
    Moved {
        queue: QueueId,
        priority_level: u8,
        transient: bool,
        entry: Entry,
        since: u32,
    },
    /// `by`: the segment that holds the record.
    Settle {
        queue: QueueId,
        first: Seq,
        count: u64,
        by: u32,
    },
    Delivered {
        queue: QueueId,
        upto: Seq,
    },
    Returned {
        queue: QueueId,
        seq: Seq,
        count: u32,
    },
    Purge {
        queue: QueueId,
        upto: Seq,
        kept: Vec<Seq>,
        by: u32,
    },
    Gone {
        queue: QueueId,
    },
    /// All copies that were begun are handed over.
    AllMoved,
    /// Settle records of segment `from` about the segments `about` are now in segment `by` too; with `whole`, the
    /// last of them.
    Carried {
        from: u32,
        about: Vec<u32>,
        by: u32,
        whole: bool,
    },
    /// Records of segment `from`, whose sync failed, are written again to segment `by`.
    Rewritten {
        from: u32,
        by: u32,
    },
    /// Everything before this place has been handed over.
    Upto(Place),
}

/// The live content of a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Live {
    pub(crate) count: u64,
    pub(crate) bytes: u64,
}

/// Key of a queue's priority level; transient messages are kept apart, since a restart drops them.
pub(crate) fn level_key(priority_level: u8, transient: bool) -> u16 {
    u16::from(priority_level) << 1 | u16::from(transient)
}

#[derive(Default)]
struct QueueState {
    last_seq: u64,
    /// The highest sequence number that came with a message.
    last_enqueued: u64,
    delivered_upto: u64,
    /// Sequence numbers beyond `last_enqueued` that are settled already.
    early: Early,
    priority_levels: BTreeMap<u16, PriorityLevel>,
    dirty: bool,
}

/// A live entry with its queue and priority level key.
pub(crate) type Located = (QueueId, u16, Entry);

/// A chunk's key in the index: queue, priority level key, first sequence number.
type ChunkId = (u64, u16, u64);

/// Denotes all segments with unknown relations.
const UNSURE: u32 = 0;

/// Counts that every change of an entry updates.
#[derive(Default)]
struct Totals {
    live: BTreeMap<u32, Live>,
    /// For each segment: the segments with the messages that its settle records are about.
    settles: BTreeMap<u32, BTreeSet<u32>>,
    /// For each segment: the segments that hold older copies of messages in it.
    copies: BTreeMap<u32, BTreeSet<u32>>,
    /// The relations of segments up to this number are unknown: the index was lost.
    unsure_upto: u32,
    /// Those of them whose settle records are no longer needed.
    sure: BTreeSet<u32>,
    settles_dirty: bool,
    /// Keys that the next save removes.
    removed: Vec<Vec<u8>>,
    /// Full chunks in memory, longest there first.
    loaded: VecDeque<ChunkId>,
    tick: u32,
}

impl Totals {
    fn add(&mut self, entry: &Entry) {
        let live = self.live.entry(entry.place.segment).or_default();
        live.count += 1;
        live.bytes += entry.weight();
    }

    fn drop(&mut self, entry: &Entry) {
        self.drop_share(&Share { segment: entry.place.segment, count: 1, bytes: entry.weight() });
    }

    fn drop_share(&mut self, share: &Share) {
        if let Some(live) = self.live.get_mut(&share.segment) {
            live.count = live.count.saturating_sub(u64::from(share.count));
            live.bytes = live.bytes.saturating_sub(share.bytes);
            if live.count == 0 {
                self.live.remove(&share.segment);
            }
        }
    }

    /// Notes that a record in segment `by` settled messages of `segment`.
    fn settled(&mut self, segment: u32, by: u32) {
        if segment != by {
            self.settles_dirty |= self.settles.entry(by).or_default().insert(segment);
        }
        if segment <= self.unsure_upto {
            self.settles_dirty |= self.settles.entry(by).or_default().insert(UNSURE);
        }
        if let Some(copies) = self.copies.get(&segment) {
            let settles = self.settles.entry(by).or_default();
            for segment in copies.iter().filter(|segment| **segment != by) {
                self.settles_dirty |= settles.insert(*segment);
            }
        }
    }

    /// A live entry is now `new`: a copy remains at `old` until its segment is removed.
    fn replace(&mut self, old: &Entry, new: &Entry) {
        self.drop(old);
        self.add(new);
        let (from, to) = (old.place.segment, new.place.segment);
        if from != to {
            let older = self.copies.get(&from).cloned().unwrap_or_default();
            let copies = self.copies.entry(to).or_default();
            let before = copies.len();
            copies.insert(from);
            if from <= self.unsure_upto {
                copies.insert(UNSURE);
            }
            copies.extend(older);
            self.settles_dirty |= copies.len() > before;
        }
    }
}

/// See the module.
pub(crate) struct Index {
    db: Arc<dyn Db>,
    queues: FxHashMap<u64, QueueState>,
    totals: Totals,
    dirty: FxHashSet<u64>,
    folded: Place,
    /// Copies of messages are on their way to the log; they were live when it was written to this segment.
    moving_since: Option<u32>,
}

impl Index {
    /// An empty index over `db`.
    pub(crate) fn new(db: Arc<dyn Db>) -> Self {
        Self {
            db,
            queues: FxHashMap::default(),
            totals: Totals::default(),
            dirty: FxHashSet::default(),
            folded: Place::default(),
            moving_since: None,
        }
    }

    /// Everything before this place of the log is folded in.
    pub(crate) fn folded(&self) -> Place {
        self.folded
    }

    /// Folds in `events`, in order.
    pub(crate) fn fold(&mut self, events: impl IntoIterator<Item = Event>) -> Result<(), DbError> {
        for event in events {
            self.apply(event)?;
        }
        Ok(())
    }

    fn apply(&mut self, event: Event) -> Result<(), DbError> {
        match event {
            Event::Enqueue { queue, priority_level, transient, entry } => {
                self.enqueue(queue, level_key(priority_level, transient), entry)
            }
            Event::Moved { queue, priority_level, transient, entry, since } => {
                self.moved(queue, level_key(priority_level, transient), entry, since)
            }
            Event::Settle { queue, first, count, by } => {
                let last = first.0.saturating_add(count).saturating_sub(1);
                let state = self.queues.entry(queue.0).or_default();
                if last > state.last_enqueued {
                    state.settle_early(first.0, last);
                }
                self.settle(queue, first.0, last, &[], by)
            }
            Event::Purge { queue, upto, kept, by } => self.settle(queue, 0, upto.0, &kept, by),
            Event::Delivered { queue, upto } => {
                let state = self.queues.entry(queue.0).or_default();
                state.delivered_upto = state.delivered_upto.max(upto.0);
                state.last_seq = state.last_seq.max(upto.0);
                state.dirty = true;
                self.dirty.insert(queue.0);
                Ok(())
            }
            Event::Returned { queue, seq, count } => self.returned(queue, seq.0, count),
            Event::Gone { queue } => {
                self.gone(queue);
                Ok(())
            }
            Event::Carried { from, about, by, whole } => {
                for segment in about {
                    self.totals.settled(segment, by);
                }
                if !whole {
                    return Ok(());
                }
                self.totals.settles_dirty |= self.totals.settles.remove(&from).is_some();
                if from <= self.totals.unsure_upto {
                    self.totals.settles_dirty |= self.totals.sure.insert(from);
                }
                Ok(())
            }
            Event::AllMoved => {
                self.moving_since = None;
                Ok(())
            }
            Event::Rewritten { from, by } => {
                for map in [&mut self.totals.settles, &mut self.totals.copies] {
                    for (segment, set) in map {
                        if set.contains(&from) && *segment != by {
                            self.totals.settles_dirty |= set.insert(by);
                        }
                    }
                }
                // Its records about itself are not noted: what they settled was in the same segment.
                let about = self.totals.settles.get(&from).cloned().unwrap_or_default();
                for segment in about.into_iter().chain([from]) {
                    self.totals.settled(segment, by);
                }
                Ok(())
            }
            Event::Upto(place) => {
                self.folded = self.folded.max(place);
                Ok(())
            }
        }
    }

    fn enqueue(&mut self, queue: QueueId, key: u16, entry: Entry) -> Result<(), DbError> {
        let state = self.queues.entry(queue.0).or_default();
        if state.early.takes(entry.seq) {
            return Ok(());
        }
        state.last_seq = state.last_seq.max(entry.seq);
        state.last_enqueued = state.last_enqueued.max(entry.seq);
        state.dirty = true;
        self.dirty.insert(queue.0);
        let priority_level = state.priority_levels.entry(key).or_default();
        priority_level.enqueue((queue.0, key), &*self.db, &mut self.totals, entry)
    }

    fn moved(&mut self, queue: QueueId, key: u16, entry: Entry, since: u32) -> Result<(), DbError> {
        let Some(state) = self.queues.get_mut(&queue.0) else {
            return Ok(());
        };
        let live = match state.priority_levels.get_mut(&key) {
            Some(priority_level) => {
                priority_level.moved((queue.0, key), &*self.db, &mut self.totals, entry)?
            }
            None => false,
        };
        if live {
            self.dirty.insert(queue.0);
        } else if key & 1 == 0 {
            // The copy must not come back either: the record that settled it is needed for it.
            for by in since..=entry.place.segment {
                self.totals.settled(entry.place.segment, by);
            }
        }
        Ok(())
    }

    fn settle(
        &mut self,
        queue: QueueId,
        first: u64,
        last: u64,
        kept: &[Seq],
        by: u32,
    ) -> Result<(), DbError> {
        let state = self.queues.entry(queue.0).or_default();
        if last > state.last_seq {
            state.last_seq = last;
            state.dirty = true;
        }
        self.dirty.insert(queue.0);
        for (key, priority_level) in &mut state.priority_levels {
            let at = (queue.0, *key);
            priority_level.settle(at, &*self.db, &mut self.totals, (first, last), kept, by)?;
        }
        Ok(())
    }

    fn returned(&mut self, queue: QueueId, seq: u64, count: u32) -> Result<(), DbError> {
        let Some(state) = self.queues.get_mut(&queue.0) else {
            return Ok(());
        };
        self.dirty.insert(queue.0);
        for (key, priority_level) in &mut state.priority_levels {
            if priority_level.returned((queue.0, *key), &*self.db, &mut self.totals, seq, count)? {
                break;
            }
        }
        Ok(())
    }

    fn gone(&mut self, queue: QueueId) {
        self.dirty.remove(&queue.0);
        let Some(state) = self.queues.remove(&queue.0) else {
            return;
        };
        for (key, priority_level) in state.priority_levels {
            priority_level.remove_all((queue.0, key), &mut self.totals);
        }
        self.totals.removed.push(save::queue_key(queue.0));
    }

    /// Live messages that `wish` asks for, in sequence order.
    pub(crate) fn look_up(&mut self, wish: &ReadWish) -> Result<Vec<Entry>, DbError> {
        let Some(state) = self.queues.get_mut(&wish.queue.0) else {
            return Ok(Vec::new());
        };
        let mut found = Vec::new();
        for transient in [false, true] {
            let key = level_key(wish.priority_level, transient);
            if let Some(priority_level) = state.priority_levels.get_mut(&key) {
                let at = (wish.queue.0, key);
                priority_level.look_up(at, &*self.db, &mut self.totals, wish, &mut found)?;
            }
        }
        found.sort_unstable_by_key(|entry| entry.seq);
        found.truncate(enough(wish, found.iter().map(|e| e.body_len as usize)));
        Ok(found)
    }

    /// Live content of each segment that holds something live.
    pub(crate) fn live(&self) -> &BTreeMap<u32, Live> {
        &self.totals.live
    }

    /// Those of `existing` (ascending) that hold messages, or copies of them, that records of `segment` settle.
    pub(crate) fn settled_by(&self, segment: u32, existing: &[u32]) -> Vec<u32> {
        let totals = &self.totals;
        let settles = totals.settles.get(&segment);
        let names = |other: u32| settles.is_some_and(|set| set.contains(&other));
        let unsure = names(UNSURE) || (segment <= totals.unsure_upto && !totals.sure.contains(&segment));
        let others = existing.iter().copied().filter(|other| *other != segment);
        others.filter(|other| names(*other) || (unsure && *other <= totals.unsure_upto)).collect()
    }

    /// `segment` left the log.
    pub(crate) fn forget_segment(&mut self, segment: u32) {
        self.totals.settles_dirty |= self.totals.settles.remove(&segment).is_some();
        self.totals.settles_dirty |= self.totals.copies.remove(&segment).is_some();
        self.totals.settles_dirty |= self.totals.sure.remove(&segment);
        for map in [&mut self.totals.settles, &mut self.totals.copies] {
            for set in map.values_mut() {
                self.totals.settles_dirty |= set.remove(&segment);
            }
            map.retain(|_, set| !set.is_empty());
        }
    }

    /// Up to `max` live entries of `segment` with their queue and priority level key; `None` if some are too young to
    /// be in a chunk yet.
    pub(crate) fn entries_in(&mut self, segment: u32, max: usize) -> Result<Option<Vec<Located>>, DbError> {
        let mut found = Vec::new();
        for (queue, state) in &mut self.queues {
            for (key, priority_level) in &mut state.priority_levels {
                if priority_level.hot_in(segment) {
                    return Ok(None);
                }
                let mut entries = Vec::new();
                let at = (*queue, *key);
                priority_level.entries_in(at, &*self.db, &mut self.totals, segment, &mut entries)?;
                found.extend(entries.into_iter().map(|e| (QueueId(*queue), *key, e)));
                if found.len() >= max {
                    return Ok(Some(found));
                }
            }
        }
        Ok(Some(found))
    }

    /// Copies of live messages are about to be appended: returns the segment to pass with them.
    pub(crate) fn begin_moves(&mut self) -> u32 {
        self.moving_since = Some(self.folded.segment);
        self.folded.segment
    }

    /// Set from [`Self::begin_moves`] until all of them are folded in.
    pub(crate) fn moving_since(&self) -> Option<u32> {
        self.moving_since
    }

    /// Whether `queue` is known.
    pub(crate) fn knows(&self, queue: QueueId) -> bool {
        self.queues.contains_key(&queue.0)
    }

    /// The state after a restart: everything must be saved, so that the chunks are complete.
    pub(crate) fn recovered(&self) -> FxHashMap<QueueId, RecoveredQueue> {
        let one = |state: &QueueState| {
            let mut ranges = Vec::new();
            for (key, priority_level) in &state.priority_levels {
                if key & 1 == 0 {
                    priority_level.ranges((key >> 1).to_le_bytes()[0], &mut ranges);
                }
            }
            RecoveredQueue {
                ranges,
                last_seq: Seq(state.last_seq),
                delivered_upto: Seq(state.delivered_upto),
            }
        };
        let states = self.queues.iter();
        states.map(|(id, state)| (QueueId(*id), one(state))).collect()
    }

    /// Assumes that any segment up to `upto` holds settle records about messages of any other, and copies of them:
    /// after the index was lost.
    pub(crate) fn assume_related(&mut self, upto: u32) {
        self.totals.unsure_upto = upto;
        self.totals.settles_dirty = true;
    }

    /// Marks everything of the queues selected by `of` as possibly delivered: after the index was lost.
    pub(crate) fn assume_delivered(&mut self, of: impl Fn(u64) -> bool) {
        for (id, state) in self.queues.iter_mut().filter(|(id, _)| of(**id)) {
            state.delivered_upto = state.last_seq;
            state.dirty = true;
            self.dirty.insert(*id);
        }
    }
}

impl QueueState {
    fn settle_early(&mut self, first: u64, last: u64) {
        self.early.add(first.max(self.last_enqueued + 1), last);
        self.dirty = true;
    }
}

/// How many of the messages with these body lengths, in order, `wish` asks for.
pub(crate) fn enough(wish: &ReadWish, lens: impl Iterator<Item = usize>) -> usize {
    let mut count = 0;
    let mut bytes = 0usize;
    for len in lens {
        if count == wish.max_messages || (count > 0 && bytes > wish.max_bytes) {
            break;
        }
        count += 1;
        bytes = bytes.saturating_add(len);
    }
    count
}

/// A chunk as a range of cold messages.
fn cold_range(priority_level: u8, chunk: &Chunk) -> ColdRange {
    ColdRange {
        priority_level,
        first: Seq(chunk.first_live),
        last: Seq(chunk.last_live),
        count: u64::from(chunk.live),
        bytes: chunk.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::SimDb;

    #[test]
    fn records_written_again_elsewhere_are_needed_by_what_lay_beside_them() {
        let mut index = Index::new(Arc::new(SimDb::new(1)));
        let queue = QueueId(1);
        let place = Place { segment: 4, offset: 64 };
        let entry = Entry {
            seq: 1,
            place,
            len: 64,
            body_len: 8,
            expires: None,
            delivery_count: 0,
            shared: false,
            dead: false,
        };
        let settle = |by| Event::Settle { queue, first: Seq(1), count: 1, by };
        let enqueue = Event::Enqueue { queue, priority_level: 0, transient: false, entry };
        // The message was synced to segment 4; what settled it there was not.
        index.fold([enqueue, settle(4)]).unwrap();
        assert!(index.settled_by(4, &[4]).is_empty());
        index.fold([Event::Rewritten { from: 4, by: 5 }, settle(5)]).unwrap();
        assert_eq!(index.settled_by(5, &[4, 5]), [4]);
        index.forget_segment(4);
        assert!(index.settled_by(5, &[5]).is_empty());
    }
}
