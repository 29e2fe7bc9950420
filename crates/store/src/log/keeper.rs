//! Keeps the index on disk close behind the log, and frees space that nothing live needs.
//!
//! Invariants: a checkpoint is applied only after the log is durable up to everything in it; a segment is retired
//! only after a durable checkpoint that neither points into it nor replays it, and only when its settle records are
//! about no segment that stays (otherwise they are carried on first).
//! Absent: threads; the committer's work.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use leveret_message::Message;

use super::append_queue::Extra;
use super::core::Core;
use super::read::{Problem, read_entry};
use super::reappend_settles::{Progress, reappend_settles};
use super::segments::segment_name;
use crate::index::{Change, DbError, Index, Located};
use crate::log::format::EntryHead;
use crate::place::Place;

/// See the module.
#[derive(Default)]
pub(crate) struct Keeper {
    /// How far the log was folded at the last checkpoint: the start of replay for the next one.
    previous: Place,
    /// Start of replay in the last applied checkpoint.
    applied: Place,
    /// Changes that could not be applied yet.
    unapplied: Vec<Change>,
    /// Segments whose needed settle records are being appended again, and the progress.
    carrying: BTreeMap<u32, Progress>,
    /// For how many checkpoints segments have waited for other dead ones to be retired.
    waiting: BTreeMap<u32, u32>,
    /// The sparse segment being emptied, the number of live entries it should come down to, and the checkpoints
    /// waited for that.
    emptying: Option<(u32, u64, u32)>,
    /// Segments with live entries that cannot be read, hence not moved.
    stuck: BTreeSet<u32>,
    /// The disk failed to return a message; number of checkpoints until the next attempt.
    read_wait: u32,
    /// The disk had no room for the next segment; number of checkpoints until the next attempt.
    space_wait: u32,
}

/// A segment with less than one part in this many live is emptied.
const SPARSE: u64 = 3;
/// While the disk is low on room: a segment with less than this many tenths live is emptied, as publishers wait for
/// the space.
const SPARSE_WHEN_SHORT: u64 = 8;
/// Checkpoints between attempts to read what is to be moved: five seconds.
const READ_WAIT: u32 = 50;
/// Checkpoints between attempts to find room for the next segment.
const SPACE_WAIT: u32 = 10;
/// After this many checkpoints without progress, emptying a segment starts over, and a dead one waits no longer.
const PATIENCE: u32 = 50;

impl Keeper {
    pub(crate) fn new(start: Place) -> Self {
        Self { previous: start, applied: start, ..Self::default() }
    }

    /// One checkpoint; then segments that are now free are retired, and one sparse one is emptied a bit further.
    pub(crate) fn step(&mut self, core: &Core) -> Result<(), DbError> {
        let limit = self.previous;
        let (dead, idle) = {
            let mut index = core.index.lock();
            core.fold(&mut index)?;
            let saved = index.save(limit, true)?;
            let idle = saved.changes.len() == 1 && limit == self.applied;
            if !(idle && self.unapplied.is_empty()) {
                self.unapplied.extend(saved.changes);
            }
            self.previous = index.folded();
            self.gauges(core, &index);
            (dead_segments(core, &index, limit), idle)
        };
        self.prepare_space(core);
        if !core.committer.lock().sync(core) {
            return Ok(());
        }
        if !self.unapplied.is_empty() {
            self.apply(core)?;
            self.applied = limit;
            core.metrics.checkpoints.add(1);
        }
        core.index.lock().evict(core.options.cached_chunks);
        self.retire(core, &dead);
        if core.saves_space() {
            let _ = core.segments.trim_spares(0);
        } else if idle {
            let _ = core.segments.trim_spares(1);
        }
        self.empty_sparse(core, limit)
    }

    /// Writes everything folded to the database, with the log's end as the start of replay.
    pub(crate) fn finish(&mut self, core: &Core) -> Result<(), DbError> {
        self.step(core)?;
        self.step(core)
    }

    fn apply(&mut self, core: &Core) -> Result<(), DbError> {
        let attempt = |changes: &[Change]| core.db.apply(changes).and_then(|()| core.db.sync());
        // sled keeps reporting an I/O error (a full disk) until it is opened again. That opening finds a complete
        // state; the one after it was seen to find an older one, pointing to segments that had been removed.
        let reopened = || core.db.distrust().and_then(|()| core.db.reopen());
        let again = |_| reopened().and_then(|()| attempt(&self.unapplied));
        if let Err(error) = attempt(&self.unapplied).or_else(again) {
            if error.io {
                core.append_queue.set_index_failed(Some(error.to_string()));
            }
            return Err(error);
        }
        core.append_queue.set_index_failed(None);
        self.unapplied.clear();
        Ok(())
    }

    fn gauges(&self, core: &Core, index: &Index) {
        let metrics = &core.metrics;
        let (mut count, mut bytes) = (0, 0);
        for live in index.live().values() {
            count += live.count;
            bytes += live.bytes;
        }
        metrics.live_messages.set(count);
        metrics.live_bytes.set(bytes);
        let segments = core.segments.all();
        metrics.segments.set(segments.len() as u64);
        let used = |(_, s): &(u32, super::segments::Segment)| s.used.map_or(0, u64::from);
        metrics.log_bytes.set(segments.iter().map(used).sum::<u64>() + u64::from(self.previous.offset));
        metrics.index_bytes.set(core.db.size());
    }

    /// Prepares the file for a full disk, and the next segment's before it is needed. Publishers stopped because the
    /// former was used continue once it exists again; on a disk that never had room for it they are stopped when
    /// there is none for the latter.
    fn prepare_space(&mut self, core: &Core) {
        if self.space_wait > 0 {
            self.space_wait -= 1;
            return;
        }
        let short = core.append_queue.is_short_of_space();
        let half = core.options.segment_bytes / 2;
        let relief = core.segments.make_relief_if_none();
        let wanted = self.previous.offset >= half && !core.saves_space();
        let spare = if wanted { core.segments.make_spare_if_none() } else { Ok(()) };
        if relief.is_err() || spare.is_err() {
            self.space_wait = SPACE_WAIT;
        }
        match (relief, spare) {
            (Ok(()), _) if short => core.append_queue.set_short_of_space(None),
            (Err(_), Err(error)) => {
                let reason = format!("no room for the next segment of the message log: {error}");
                core.append_queue.set_short_of_space(Some(reason));
            }
            _ => {}
        }
    }

    fn retire(&mut self, core: &Core, dead: &[(u32, Vec<u32>)]) {
        let mut gone = BTreeSet::new();
        for (number, about) in dead {
            let stays = |segment: &u32| !gone.contains(segment);
            let about: Vec<u32> = about.iter().copied().filter(stays).collect();
            if about.is_empty() {
                if let Err(error) = core.segments.retire(*number, core.options.spare_segments) {
                    not_yet(*number, &error);
                    continue;
                }
                core.index.lock().forget_segment(*number);
                self.carrying.remove(number);
                self.waiting.remove(number);
                self.stuck.remove(number);
                core.metrics.retired_segments.add(1);
                gone.insert(*number);
                continue;
            }
            // If only dead ones need it, it waits for them to be retired. That may be in vain: a copy that was
            // settled while it was being written can make two of them need each other.
            let waited = self.waiting.entry(*number).or_default();
            *waited += 1;
            let stays = |segment: &u32| dead.iter().all(|(number, _)| number != segment);
            let needed = *waited > PATIENCE || about.iter().any(stays);
            if needed {
                let progress = self.carrying.entry(*number).or_insert(Progress::From(0));
                match reappend_settles(core, *number, &about, *progress) {
                    Ok(further) => *progress = further,
                    // The others do not wait for it.
                    Err(error) => not_yet(*number, &error),
                }
            }
        }
        if !gone.is_empty()
            && let Err(error) = core.segments.disk().sync_dir()
        {
            tracing::warn!(%error, "that segments of the message log are removed may not last");
        }
    }

    fn empty_sparse(&mut self, core: &Core, limit: Place) -> Result<(), DbError> {
        let Some(room) = core.upkeep_room().filter(|_| core.options.compact_bytes > 0) else {
            return Ok(());
        };
        if self.read_wait > 0 {
            self.read_wait -= 1;
            return Ok(());
        }
        let mut index = core.index.lock();
        if index.moving_since().is_some() {
            return Ok(());
        }
        if let Some((number, expected, waited)) = self.emptying {
            let live = index.live().get(&number).map_or(0, |live| live.count);
            if live > expected && waited < PATIENCE {
                self.emptying = Some((number, expected, waited + 1));
                return Ok(());
            }
            self.emptying = None;
        }
        let Some((number, live)) = self.sparsest(core, &index, limit, room) else {
            return Ok(());
        };
        let Some(mut entries) = index.entries_in(number, 65_536)? else {
            return Ok(());
        };
        let since = index.begin_moves();
        drop(index);
        // Messages that share a record are adjacent, so that the copies share one.
        entries.sort_unstable_by_key(|(queue, _, entry)| (entry.place, *queue, entry.seq));
        let mut moved = self.copies(core, number, entries, since);
        moved.push(Extra::AllMoved);
        if moved.len() > 1 {
            let left = live.saturating_sub(moved.len() as u64 - 1);
            self.emptying = Some((number, left, 0));
            tracing::debug!(
                segment = segment_name(number),
                messages = moved.len() - 1,
                "live messages are moved out of a sparse segment"
            );
        }
        core.append_queue.extras(moved);
        Ok(())
    }

    /// Copies of a segment's messages, ordered by place, as many as one step may write.
    fn copies(&mut self, core: &Core, number: u32, entries: Vec<Located>, since: u32) -> Vec<Extra> {
        let mut bytes = 0u64;
        let mut moved = Vec::new();
        let mut last: Option<(Place, Message)> = None;
        for (queue, key, entry) in entries {
            // All messages that share a record move together, or it would be copied for each of them.
            let shared = last.as_ref().is_some_and(|(place, _)| *place == entry.place);
            if bytes >= core.options.compact_bytes && !shared {
                break;
            }
            let message = match &last {
                Some((place, message)) if *place == entry.place => message.clone(),
                _ => match read_entry(core, &entry) {
                    Ok(message) => {
                        bytes += u64::from(entry.len);
                        message
                    }
                    Err(Problem::Unread(why)) => {
                        let (segment, offset) = (segment_name(number), entry.place.offset);
                        tracing::error!(%queue, seq = entry.seq, segment, offset, why, "cannot read a message to move it; it stays");
                        core.metrics.read_failures.add(1);
                        self.read_wait = READ_WAIT;
                        break;
                    }
                    Err(Problem::Damaged(problem)) => {
                        let (segment, offset) = (segment_name(number), entry.place.offset);
                        tracing::error!(%queue, seq = entry.seq, segment, offset, problem, "cannot move a damaged message; it stays");
                        self.stuck.insert(number);
                        continue;
                    }
                },
            };
            last = Some((entry.place, message.clone()));
            moved.push(Extra::Moved {
                at: EntryHead {
                    queue,
                    seq: leveret_message::ids::Seq(entry.seq),
                    priority_level: (key >> 1).to_le_bytes()[0],
                    expires: entry.expires,
                    transient: key & 1 == 1,
                },
                message,
                since,
            });
        }
        moved
    }

    /// The closed segment with the fewest live bytes, if they are few and fit into `room`.
    fn sparsest(&self, core: &Core, index: &Index, limit: Place, room: u64) -> Option<(u32, u64)> {
        let closed = core.segments.all().into_iter();
        let saves_space = core.saves_space();
        let is_sparse = |live: u64, used: u64| {
            if saves_space { live < used / 10 * SPARSE_WHEN_SHORT } else { live * SPARSE < used }
        };
        closed
            .filter(|(number, _)| *number < limit.segment && !self.stuck.contains(number))
            .filter_map(|(number, segment)| {
                let live = index.live().get(&number)?;
                let used = segment.used.map_or(core.options.segment_bytes, |used| used);
                (live.count > 0 && live.bytes <= room && is_sparse(live.bytes, u64::from(used)))
                    .then_some((live.bytes, number, live.count))
            })
            .min()
            .map(|(_, number, count)| (number, count))
    }
}

/// A segment that could be retired stays for now.
fn not_yet(number: u32, error: &io::Error) {
    tracing::warn!(%error, segment = segment_name(number), "a segment of the message log could not be removed");
}

/// Closed segments that replay from `limit` does not need and that hold nothing live, with the segments that their
/// settle records are about.
fn dead_segments(core: &Core, index: &Index, limit: Place) -> Vec<(u32, Vec<u32>)> {
    let numbers = core.segments.numbers();
    // A copy still to be written may be of a message that is settled meanwhile.
    let end = index.moving_since().map_or(limit.segment, |since| since.min(limit.segment));
    let dead = numbers.iter().filter(|number| **number < end && !index.live().contains_key(number));
    dead.map(|number| (*number, index.settled_by(*number, &numbers))).collect()
}
