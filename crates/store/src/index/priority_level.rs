//! One priority level of one queue: young entries individually, older ones in chunks.
//!
//! Invariants: chunks do not overlap; a sequence number is in at most one place; `changed` names every chunk that
//! differs from its saved form, and those are fully in memory.
//! Absent: saving (`save`).

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use leveret_message::ids::Seq;
use leveret_message::stored::ColdRange;

use super::chunk::{CHUNK_MESSAGES, Chunk, Entry};
use super::db::{Db, DbError};
use super::{Totals, cold_range, save};
use crate::ReadWish;
use crate::place::Place;

/// A queue and its priority level key.
pub(super) type At = (u64, u16);

#[derive(Default)]
pub(super) struct PriorityLevel {
    /// Ascending by sequence number; the front one is not dead.
    pub(super) hot: VecDeque<Entry>,
    /// By first sequence number.
    pub(super) chunks: BTreeMap<u64, Chunk>,
    pub(super) changed: BTreeSet<u64>,
}

impl PriorityLevel {
    pub(super) fn enqueue(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        entry: Entry,
    ) -> Result<(), DbError> {
        if let Some(first) = self.chunk_of(entry.seq) {
            let entries = self.load(at, db, totals, first)?;
            if let Ok(index) = entries.binary_search_by_key(&entry.seq, |e| e.seq) {
                if !entries[index].dead {
                    self.replace(totals, first, index, entry);
                }
                return Ok(());
            }
        }
        if self.hot.back().is_none_or(|back| back.seq < entry.seq) {
            self.hot.push_back(entry);
        } else {
            match self.hot.binary_search_by_key(&entry.seq, |e| e.seq) {
                Ok(index) => {
                    let old = &mut self.hot[index];
                    if old.dead {
                        return Ok(());
                    }
                    totals.replace(old, &entry);
                    *old = Entry { delivery_count: old.delivery_count, ..entry };
                    return Ok(());
                }
                Err(index) => self.hot.insert(index, entry),
            }
        }
        totals.add(&entry);
        Ok(())
    }

    /// Notes a copy of a message; `false` if the message is not live.
    pub(super) fn moved(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        entry: Entry,
    ) -> Result<bool, DbError> {
        if let Ok(index) = self.hot.binary_search_by_key(&entry.seq, |e| e.seq) {
            let old = &mut self.hot[index];
            if !old.dead {
                totals.replace(old, &entry);
                *old = Entry { delivery_count: old.delivery_count, ..entry };
                return Ok(true);
            }
        } else if let Some(first) = self.chunk_of(entry.seq) {
            let entries = self.load(at, db, totals, first)?;
            if let Ok(index) = entries.binary_search_by_key(&entry.seq, |e| e.seq)
                && !entries[index].dead
            {
                self.replace(totals, first, index, entry);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Replaces a live entry of a chunk in memory with `new`.
    fn replace(&mut self, totals: &mut Totals, first: u64, index: usize, new: Entry) {
        let Some(chunk) = self.chunks.get_mut(&first) else {
            return;
        };
        let Some(entries) = &mut chunk.entries else {
            return;
        };
        let old = entries[index];
        entries[index] = Entry { delivery_count: old.delivery_count, ..new };
        chunk.bytes = chunk.bytes - u64::from(old.body_len) + u64::from(new.body_len);
        chunk.drop_share(&old);
        chunk.add_share(&new);
        chunk.dirty_entries = true;
        chunk.dirty_summary = true;
        totals.replace(&old, &new);
        self.changed.insert(first);
    }

    /// Settles what is live in `first..=last` except `kept` (ascending).
    pub(super) fn settle(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        (first, last): (u64, u64),
        kept: &[Seq],
        by: u32,
    ) -> Result<(), DbError> {
        let from = self.hot.partition_point(|e| e.seq < first);
        for entry in self.hot.range_mut(from..) {
            if entry.seq > last {
                break;
            }
            if !entry.dead && kept.binary_search(&Seq(entry.seq)).is_err() {
                entry.dead = true;
                totals.drop(entry);
                totals.settled(entry.place.segment, by);
            }
        }
        while self.hot.front().is_some_and(|e| e.dead) {
            self.hot.pop_front();
        }
        if self.chunks.last_key_value().is_none_or(|(_, c)| c.last < first) {
            return Ok(());
        }
        let start = self.chunk_of(first).unwrap_or(first);
        if start > last {
            return Ok(());
        }
        let touched: Vec<u64> = self.chunks.range(start..=last).map(|(k, _)| *k).collect();
        for key in touched {
            let chunk_last = self.chunks[&key].last;
            let holds_kept = {
                let from = kept.partition_point(|seq| seq.0 < key);
                kept.get(from).is_some_and(|seq| seq.0 <= chunk_last)
            };
            if key >= first && chunk_last <= last && !holds_kept {
                self.drop_chunk(at, totals, key, Some(by));
                continue;
            }
            self.load(at, db, totals, key)?;
            let Some(chunk) = self.chunks.get_mut(&key) else {
                continue;
            };
            let mut entries = chunk.entries.take().unwrap_or_default();
            let from = entries.partition_point(|e| e.seq < first);
            for entry in &mut entries[from..] {
                if entry.seq > last {
                    break;
                }
                if !entry.dead && kept.binary_search(&Seq(entry.seq)).is_err() {
                    entry.dead = true;
                    chunk.note_dead(entry);
                    totals.drop(entry);
                    totals.settled(entry.place.segment, by);
                }
            }
            chunk.entries = Some(entries);
            if chunk.live == 0 {
                self.drop_chunk(at, totals, key, None);
            } else if chunk.dirty_summary {
                self.changed.insert(key);
            }
        }
        Ok(())
    }

    /// Sets a delivery count; `false` if `seq` is not live here.
    pub(super) fn returned(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        seq: u64,
        count: u32,
    ) -> Result<bool, DbError> {
        if let Ok(index) = self.hot.binary_search_by_key(&seq, |e| e.seq) {
            self.hot[index].delivery_count = count;
            return Ok(true);
        }
        let Some(first) = self.chunk_of(seq) else {
            return Ok(false);
        };
        self.load(at, db, totals, first)?;
        if let Some(chunk) = self.chunks.get_mut(&first)
            && let Some(entries) = &mut chunk.entries
            && let Ok(index) = entries.binary_search_by_key(&seq, |e| e.seq)
            && !entries[index].dead
        {
            entries[index].delivery_count = count;
            chunk.dirty_summary = true;
            self.changed.insert(first);
            return Ok(true);
        }
        Ok(false)
    }

    /// The chunk whose span contains `seq`.
    pub(super) fn chunk_of(&self, seq: u64) -> Option<u64> {
        let (first, chunk) = self.chunks.range(..=seq).next_back()?;
        (seq <= chunk.last).then_some(*first)
    }

    /// The entries of the chunk at `first`, read from the database if they are not in memory.
    pub(super) fn load(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        first: u64,
    ) -> Result<&[Entry], DbError> {
        let missing = || DbError::damaged(format!("no chunk {first} of queue #{}", at.0));
        let chunk = self.chunks.get_mut(&first).ok_or_else(missing)?;
        chunk.used = totals.tick;
        if chunk.entries.is_none() {
            let id = (at.0, at.1, first);
            let entries = db.get(&save::entries_key(id))?.ok_or_else(missing)?;
            let summary = db.get(&save::summary_key(id))?.ok_or_else(missing)?;
            let entries = Chunk::decode_entries(first, &entries, &summary)
                .filter(|entries| entries.len() == chunk.total as usize)
                .ok_or_else(|| DbError::damaged(format!("chunk {first} of queue #{} is damaged", at.0)))?;
            chunk.entries = Some(entries);
            totals.loaded.push_back(id);
        }
        Ok(chunk.entries.as_deref().unwrap_or(&[]))
    }

    /// Removes a chunk with what is still live in it.
    pub(super) fn drop_chunk(&mut self, at: At, totals: &mut Totals, first: u64, by: Option<u32>) {
        self.changed.remove(&first);
        if let Some(chunk) = self.chunks.remove(&first) {
            for share in &chunk.shares {
                totals.drop_share(share);
                if let Some(by) = by {
                    totals.settled(share.segment, by);
                }
            }
            let id = (at.0, at.1, first);
            totals.removed.push(save::entries_key(id));
            totals.removed.push(save::summary_key(id));
        }
    }

    pub(super) fn remove_all(mut self, at: At, totals: &mut Totals) {
        for entry in self.hot.iter().filter(|e| !e.dead) {
            totals.drop(entry);
        }
        let keys: Vec<u64> = self.chunks.keys().copied().collect();
        for first in keys {
            self.drop_chunk(at, totals, first, None);
        }
    }

    /// Adds what `wish` asks for from this priority level, chunks first.
    pub(super) fn look_up(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        wish: &ReadWish,
        found: &mut Vec<Entry>,
    ) -> Result<(), DbError> {
        let (from, to) = (wish.from.0, wish.to.0);
        if from > to {
            return Ok(());
        }
        let wanted = |entry: &&Entry| !entry.dead && entry.seq >= from && entry.seq <= to;
        let start = self.chunk_of(from).unwrap_or(from);
        let (mut count, mut bytes) = (0usize, 0usize);
        let mut next = start;
        while count < wish.max_messages && bytes <= wish.max_bytes {
            let Some(key) = self.chunks.range(next..=to.max(next)).next().map(|(k, _)| *k) else {
                break;
            };
            for entry in self.load(at, db, totals, key)?.iter().filter(wanted) {
                found.push(*entry);
                count += 1;
                bytes += entry.body_len as usize;
            }
            next = key + 1;
        }
        let hot_from = self.hot.partition_point(|e| e.seq < from);
        let (mut count, mut bytes) = (0usize, 0usize);
        for entry in self.hot.range(hot_from..) {
            if entry.seq > to || count == wish.max_messages || bytes > wish.max_bytes {
                break;
            }
            if !entry.dead {
                found.push(*entry);
                count += 1;
                bytes += entry.body_len as usize;
            }
        }
        Ok(())
    }

    pub(super) fn hot_in(&self, segment: u32) -> bool {
        let mut hot = self.hot.iter();
        hot.any(|e| !e.dead && e.place.segment == segment)
    }

    pub(super) fn entries_in(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        segment: u32,
        found: &mut Vec<Entry>,
    ) -> Result<(), DbError> {
        let holds = |chunk: &Chunk| chunk.shares.iter().any(|s| s.segment == segment);
        let chunks = self.chunks.iter();
        let keys: Vec<u64> = chunks.filter(|(_, c)| holds(c)).map(|(k, _)| *k).collect();
        for key in keys {
            let entries = self.load(at, db, totals, key)?.iter();
            found.extend(entries.filter(|e| !e.dead && e.place.segment == segment));
        }
        Ok(())
    }

    pub(super) fn ranges(&self, priority_level: u8, ranges: &mut Vec<ColdRange>) {
        let live = self.chunks.values().filter(|chunk| chunk.live > 0);
        ranges.extend(live.map(|chunk| cold_range(priority_level, chunk)));
    }

    /// Moves young entries before `limit` into chunks.
    pub(super) fn settle_down(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        limit: Place,
    ) -> Result<(), DbError> {
        if self.hot.is_empty() {
            return Ok(());
        }
        let mut run = Vec::new();
        self.hot.retain(|entry| {
            let old = entry.place < limit;
            if old && !entry.dead {
                run.push(*entry);
            }
            !old && !entry.dead
        });
        let mut rest = run.as_slice();
        while let Some(first) = rest.first() {
            if let Some(key) = self.chunk_of(first.seq) {
                let last = self.chunks[&key].last;
                let count = rest.partition_point(|e| e.seq <= last);
                self.extend_chunk(at, db, totals, key, &rest[..count])?;
                rest = &rest[count..];
            } else {
                let after = self.chunks.range(first.seq..).next();
                let end = after.map_or(u64::MAX, |(key, _)| *key);
                let count = rest.partition_point(|e| e.seq < end).min(CHUNK_MESSAGES);
                self.add_chunk(at, totals, rest[..count].to_vec());
                rest = &rest[count..];
                if after_is_none(end) {
                    self.merge_tail(at, db, totals)?;
                }
            }
        }
        Ok(())
    }

    fn add_chunk(&mut self, at: At, totals: &mut Totals, entries: Vec<Entry>) {
        let Some(first) = entries.first().map(|e| e.seq) else {
            return;
        };
        let chunk = Chunk::new(entries, totals.tick);
        self.chunks.insert(first, chunk);
        self.changed.insert(first);
        totals.loaded.push_back((at.0, at.1, first));
    }

    /// Adds `new` (within its span) to an existing chunk; splits it when it grows too long.
    fn extend_chunk(
        &mut self,
        at: At,
        db: &dyn Db,
        totals: &mut Totals,
        key: u64,
        new: &[Entry],
    ) -> Result<(), DbError> {
        let mut entries = self.load(at, db, totals, key)?.to_vec();
        entries.extend_from_slice(new);
        entries.sort_unstable_by_key(|e| e.seq);
        self.chunks.remove(&key);
        for part in entries.chunks(CHUNK_MESSAGES) {
            self.add_chunk(at, totals, part.to_vec());
        }
        Ok(())
    }

    /// Joins short chunks at the end, so that slow queues do not collect many: each message is rewritten a
    /// logarithmic number of times.
    fn merge_tail(&mut self, at: At, db: &dyn Db, totals: &mut Totals) -> Result<(), DbError> {
        loop {
            let mut tail = self.chunks.iter().rev().take(2);
            let (Some((&last, b)), Some((&first, a))) = (tail.next(), tail.next()) else {
                return Ok(());
            };
            let small = (a.total + b.total) as usize <= CHUNK_MESSAGES && a.total <= 2 * b.total;
            if !small {
                return Ok(());
            }
            let mut entries = self.load(at, db, totals, first)?.to_vec();
            entries.extend_from_slice(self.load(at, db, totals, last)?);
            // The key must remain that of the first entry; other dead ones need not be kept.
            let mut index = 0;
            entries.retain(|e| {
                index += 1;
                index == 1 || !e.dead
            });
            self.chunks.remove(&last);
            self.changed.remove(&last);
            let id = (at.0, at.1, last);
            totals.removed.push(save::entries_key(id));
            totals.removed.push(save::summary_key(id));
            self.chunks.remove(&first);
            self.add_chunk(at, totals, entries);
        }
    }
}

/// Whether a gap extends to the end of the priority level.
fn after_is_none(end: u64) -> bool {
    end == u64::MAX
}
