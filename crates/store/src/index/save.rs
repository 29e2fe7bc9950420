//! Between the index in memory and the database under it: keys, checkpoints, opening, eviction.
//!
//! Invariants: one checkpoint is one atomic batch; replay can start from its place. Keys: `C` entries and `S` summary
//! of a chunk (queue, priority level, first), `Q` queue, `D` which segments settle which and hold copies of which,
//! `M` the checkpoint. Numbers in keys are big-endian.

use super::chunk::{Chunk, get, put};
use super::db::{Change, DbError};
use super::{ChunkId, Index, QueueState, Totals};
use crate::place::Place;

/// A checkpoint ready to be applied.
pub(crate) struct Saved {
    pub(crate) changes: Vec<Change>,
}

pub(crate) const CHECKPOINT_KEY: &[u8] = b"M";
const SETTLES_KEY: &[u8] = b"D";
/// Version of these keys and values; an index of another version is rebuilt from the log.
const INDEX_VERSION: u64 = 1;

fn chunk_key(prefix: u8, (queue, priority_level, first): ChunkId) -> Vec<u8> {
    let mut key = Vec::with_capacity(19);
    key.push(prefix);
    key.extend_from_slice(&queue.to_be_bytes());
    key.extend_from_slice(&priority_level.to_be_bytes());
    key.extend_from_slice(&first.to_be_bytes());
    key
}

pub(super) fn entries_key(id: ChunkId) -> Vec<u8> {
    chunk_key(b'C', id)
}

pub(super) fn summary_key(id: ChunkId) -> Vec<u8> {
    chunk_key(b'S', id)
}

pub(super) fn queue_key(queue: u64) -> Vec<u8> {
    let mut key = vec![b'Q'];
    key.extend_from_slice(&queue.to_be_bytes());
    key
}

fn parse_chunk_key(key: &[u8]) -> Option<ChunkId> {
    let queue = u64::from_be_bytes(key.get(1..9)?.try_into().ok()?);
    let priority_level = u16::from_be_bytes(key.get(9..11)?.try_into().ok()?);
    let first = u64::from_be_bytes(key.get(11..19)?.try_into().ok()?);
    Some((queue, priority_level, first))
}

impl QueueState {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, self.last_seq);
        put(&mut out, self.last_enqueued);
        put(&mut out, self.delivered_upto);
        for (first, last) in self.early.iter() {
            put(&mut out, first);
            put(&mut out, last);
        }
        out
    }

    fn decode(mut input: &[u8]) -> Option<Self> {
        let mut state = Self {
            last_seq: get(&mut input)?,
            last_enqueued: get(&mut input)?,
            delivered_upto: get(&mut input)?,
            ..Self::default()
        };
        while !input.is_empty() {
            let (first, last) = (get(&mut input)?, get(&mut input)?);
            state.early.add(first, last);
        }
        Some(state)
    }
}

/// Which segments settle which, and hold copies of which.
fn encode_settles(totals: &Totals) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, u64::from(totals.unsure_upto));
    put(&mut out, totals.sure.len() as u64);
    for segment in &totals.sure {
        put(&mut out, u64::from(*segment));
    }
    for map in [&totals.settles, &totals.copies] {
        put(&mut out, map.len() as u64);
        for (segment, others) in map {
            put(&mut out, u64::from(*segment));
            put(&mut out, others.len() as u64);
            for other in others {
                put(&mut out, u64::from(*other));
            }
        }
    }
    out
}

impl Index {
    /// What must be written so that replay can start at `limit`: everything older is moved into chunks.
    /// `checkpoint: false` leaves out the place itself, so that an interrupted rebuild is not taken for a complete
    /// index.
    pub(crate) fn save(&mut self, limit: Place, checkpoint: bool) -> Result<Saved, DbError> {
        let mut changes = Vec::new();
        let totals = &mut self.totals;
        totals.tick = totals.tick.wrapping_add(1);
        let mut still_dirty = Vec::new();
        for queue in self.dirty.drain() {
            let Some(state) = self.queues.get_mut(&queue) else {
                continue;
            };
            let mut young = false;
            for (key, priority_level) in &mut state.priority_levels {
                let at = (queue, *key);
                priority_level.settle_down(at, &*self.db, totals, limit)?;
                young |= !priority_level.hot.is_empty();
                for first in std::mem::take(&mut priority_level.changed) {
                    let Some(chunk) = priority_level.chunks.get_mut(&first) else {
                        continue;
                    };
                    chunk.refresh_ends();
                    let id = (queue, *key, first);
                    changes.push((summary_key(id), Some(chunk.encode_summary())));
                    if chunk.dirty_entries {
                        changes.push((entries_key(id), Some(chunk.encode_entries(first))));
                    }
                    chunk.dirty_summary = false;
                    chunk.dirty_entries = false;
                }
            }
            state.priority_levels.retain(|_, priority_level| {
                !(priority_level.hot.is_empty() && priority_level.chunks.is_empty())
            });
            if state.dirty {
                changes.push((queue_key(queue), Some(state.encode())));
                state.dirty = false;
            }
            if young {
                still_dirty.push(queue);
            }
        }
        self.dirty.extend(still_dirty);
        // First, since a chunk may have been made again under the key of a removed one.
        let removed = totals.removed.drain(..).map(|key| (key, None));
        let mut changes: Vec<Change> = removed.chain(changes).collect();
        if std::mem::take(&mut totals.settles_dirty) {
            changes.push((SETTLES_KEY.to_vec(), Some(encode_settles(totals))));
        }
        if checkpoint {
            let mut out = Vec::new();
            put(&mut out, INDEX_VERSION);
            put(&mut out, u64::from(limit.segment));
            put(&mut out, u64::from(limit.offset));
            changes.push((CHECKPOINT_KEY.to_vec(), Some(out)));
        }
        Ok(Saved { changes })
    }

    /// Evicts chunks from memory until at most `keep` full ones remain. Only after what [`Self::save`] returned has
    /// been applied.
    pub(crate) fn evict(&mut self, keep: usize) {
        let totals = &mut self.totals;
        let mut looks = totals.loaded.len();
        while totals.loaded.len() > keep && looks > 0 {
            looks -= 1;
            let Some(id) = totals.loaded.pop_front() else {
                return;
            };
            let (queue, key, first) = id;
            let state = self.queues.get_mut(&queue);
            let Some(priority_level) = state.and_then(|state| state.priority_levels.get_mut(&key)) else {
                continue;
            };
            let Some(chunk) = priority_level.chunks.get_mut(&first) else {
                continue;
            };
            if chunk.dirty_entries || chunk.dirty_summary {
                totals.loaded.push_back(id);
            } else {
                chunk.entries = None;
            }
        }
    }

    /// Reads the saved index; `None` if no complete one exists. Transient messages are dropped: a restart voids them.
    pub(crate) fn load(&mut self) -> Result<Option<Place>, DbError> {
        let damaged = |what: &str| DbError::damaged(format!("a {what} record is damaged"));
        let Some(checkpoint) = self.db.get(CHECKPOINT_KEY)? else {
            return Ok(None);
        };
        let mut input = checkpoint.as_slice();
        let mut number = || get(&mut input).ok_or_else(|| damaged("checkpoint"));
        if number()? != INDEX_VERSION {
            return Ok(None);
        }
        let place = Place {
            segment: u32::try_from(number()?).map_err(|_| damaged("checkpoint"))?,
            offset: u32::try_from(number()?).map_err(|_| damaged("checkpoint"))?,
        };
        let mut wrong = None;
        let (queues, totals) = (&mut self.queues, &mut self.totals);
        self.db.scan(b"Q", &mut |key, value| {
            let id = key.get(1..9).and_then(|id| id.try_into().ok());
            match (id, QueueState::decode(value)) {
                (Some(id), Some(state)) => {
                    queues.insert(u64::from_be_bytes(id), state);
                }
                _ => wrong = Some("queue"),
            }
        })?;
        self.db.scan(b"S", &mut |key, value| {
            let (Some(id), Some(chunk)) = (parse_chunk_key(key), Chunk::decode_summary(value)) else {
                wrong = Some("chunk");
                return;
            };
            if id.1 & 1 == 1 {
                totals.removed.push(summary_key(id));
                totals.removed.push(entries_key(id));
                return;
            }
            for share in &chunk.shares {
                let live = totals.live.entry(share.segment).or_default();
                live.count += u64::from(share.count);
                live.bytes += share.bytes;
            }
            let state = queues.entry(id.0).or_default();
            state.priority_levels.entry(id.1).or_default().chunks.insert(id.2, chunk);
        })?;
        if let Some(what) = wrong {
            return Err(damaged(what));
        }
        if let Some(value) = self.db.get(SETTLES_KEY)? {
            self.load_settles(&value).ok_or_else(|| damaged("segment"))?;
        }
        self.folded = place;
        Ok(Some(place))
    }

    fn load_settles(&mut self, mut input: &[u8]) -> Option<()> {
        let mut number = || u32::try_from(get(&mut input)?).ok();
        self.totals.unsure_upto = number()?;
        for _ in 0..number()? {
            self.totals.sure.insert(number()?);
        }
        for map in [&mut self.totals.settles, &mut self.totals.copies] {
            for _ in 0..get(&mut input)? {
                let segment = u32::try_from(get(&mut input)?).ok()?;
                for _ in 0..get(&mut input)? {
                    let other = u32::try_from(get(&mut input)?).ok()?;
                    map.entry(segment).or_default().insert(other);
                }
            }
        }
        Some(())
    }
}
