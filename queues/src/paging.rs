//! Paging out: bodies leave memory.
//!
//! The queue decides what may go: bodies that the store has written, behind the head and, on request, those that
//! consumers hold. Messages never delivered become a range on disk, of which only totals stay. Messages delivered
//! before keep their entry without the body. For the way back see [`reading`](super::reading).

use std::collections::VecDeque;

use leveret_message::ids::{Millis, Seq};
use leveret_message::message::Message;

use super::Queue;
use super::entry::{Disk, Entry};
use super::priority_level::{Chunk, Cold, PriorityLevel, thin};

/// Most ready messages paged out by one call.
const PAGED_PER_CALL: usize = 50_000;

/// Messages of a priority level examined for one that can leave memory. Those that cannot yet are in front of those
/// that can for the time their write takes; rescanning all of them each time would be quadratic.
const LOOKED_AT_MAX: usize = 100_000;

/// Fewer consecutive messages than this do not get a range of their own.
const STRETCH_MIN: usize = 8;

/// A message that the store must be told of: a transient one, so that its body can leave memory, or one of a queue
/// that has become durable.
#[derive(Clone, Debug)]
pub struct PageCandidate {
    /// Its sequence number.
    pub seq: Seq,
    /// The message.
    pub message: Message,
    /// Its priority level.
    pub priority_level: u8,
    /// Expiry, if any.
    pub expires: Option<Millis>,
    /// Failed deliveries so far: to be recorded as well if not 0.
    pub delivery_count: u32,
}

impl<C> Queue<C> {
    /// Drops bodies that the store has written, in delivery order, behind the first `keep_head_bytes` of memory:
    /// logged ones up to `written_upto`, and those of [`Queue::paged`]. With `held`, also all such bodies that
    /// consumers hold (an acknowledgement does not need them). Returns the bytes of memory freed. One call drops the
    /// bodies of at most 50,000 ready messages (a few milliseconds), so call again if that was not enough, and
    /// examines 100,000 of a priority level if none of them can go.
    pub fn page_out(&mut self, keep_head_bytes: u64, written_upto: Seq, held: bool) -> u64 {
        let durable = self.settings.durable;
        let before = self.counts.resident_bytes;
        let mut pager =
            Pager { keep: keep_head_bytes, durable, written_upto, freed: 0, away: 0, budget: PAGED_PER_CALL };
        for level in self.priority_levels.filled() {
            if let Some(priority_level) = self.priority_levels.get_mut(level) {
                let reading = self.reading.as_ref().is_some_and(|reading| reading.fills_head(level));
                pager.priority_level(priority_level, reading);
            }
        }
        for entry in self.aside_mut() {
            if pager.goes(entry) {
                pager.away += 1;
                pager.budget -= 1;
                pager.strip(entry);
            }
        }
        self.counts.away += pager.away;
        for entry in self.retrying_mut() {
            if pager.goes(entry) {
                pager.budget -= 1;
                pager.strip(entry);
            }
        }
        if held {
            for held in self.unacked.iter_mut() {
                if held.entry.pageable(durable, written_upto) {
                    pager.strip(&mut held.entry);
                }
            }
        }
        self.counts.resident_bytes -= pager.freed;
        self.check_small();
        before - self.counts.resident_bytes
    }

    /// While memory is short: a message is delivered without keeping its body, if the store has written it (logged
    /// ones up to `written_upto`, and all that was read back). Otherwise consumers that take a backlog without
    /// acknowledging it would bring all of it into memory. `None`: unacknowledged messages keep their bodies.
    pub fn hand_out_lean(&mut self, written_upto: Option<Seq>) {
        self.lean = written_upto;
    }

    /// Up to `max` transient messages behind the first `keep_head_bytes`, to be written as transient records. From
    /// now on they count as stored. Empty while those of an earlier call are not known to be written.
    pub fn page_candidates(&mut self, keep_head_bytes: u64, max: usize) -> Vec<PageCandidate> {
        let mut candidates = Vec::new();
        if self.paging_out {
            return candidates;
        }
        let mut keep = keep_head_bytes;
        for level in self.priority_levels.filled() {
            let Some(priority_level) = self.priority_levels.get_mut(level) else {
                continue;
            };
            for entry in priority_level.entries_mut() {
                if candidates.len() >= max {
                    break;
                }
                let memory = entry.memory();
                if keep >= memory && keep > 0 {
                    keep -= memory;
                    continue;
                }
                keep = 0;
                candidates.extend(candidate(entry));
            }
        }
        let room = max - candidates.len();
        candidates.extend(self.retrying_mut().filter_map(candidate).take(room));
        self.paging_out = !candidates.is_empty();
        self.paged_ever |= self.paging_out;
        candidates
    }

    /// The candidates handed out last are written: the next [`Queue::page_out`] can drop them.
    pub fn paged(&mut self) {
        self.paging_out = false;
        let durable = self.settings.durable;
        for level in self.priority_levels.filled() {
            if let Some(priority_level) = self.priority_levels.get_mut(level) {
                for entry in priority_level.entries_mut() {
                    entry.paged(durable);
                }
            }
        }
        for entry in self.retrying_mut() {
            entry.paged(durable);
        }
        for held in self.unacked.iter_mut() {
            held.entry.paged(durable);
        }
    }
}

/// A message that the store knows nothing of; it counts as told from here on.
fn candidate(entry: &mut Entry) -> Option<PageCandidate> {
    let (Disk::Never, Some(message)) = (entry.disk, &entry.message) else {
        return None;
    };
    entry.disk = Disk::Told;
    Some(PageCandidate {
        seq: entry.seq,
        message: message.clone(),
        priority_level: entry.priority_level,
        expires: entry.expires_option(),
        delivery_count: entry.delivery_count,
    })
}

/// Walks the priority levels in delivery order.
struct Pager {
    /// Bytes of memory that may stay.
    keep: u64,
    durable: bool,
    written_upto: Seq,
    freed: u64,
    /// Number of ready messages paged out.
    away: u64,
    /// Number of messages that may still go.
    budget: usize,
}

impl Pager {
    fn strip(&mut self, entry: &mut Entry) {
        self.freed += entry.memory();
        entry.message = None;
    }

    /// Whether an entry is within what stays.
    fn stays(&mut self, entry: &Entry) -> bool {
        match self.keep.checked_sub(entry.memory()) {
            Some(left) if self.keep > 0 => {
                self.keep = left;
                true
            }
            _ => {
                self.keep = 0;
                false
            }
        }
    }

    fn goes(&self, entry: &Entry) -> bool {
        self.budget > 0 && entry.pageable(self.durable, self.written_upto)
    }

    fn priority_level(&mut self, priority_level: &mut PriorityLevel, reading: bool) {
        for entry in priority_level.returned.values_mut() {
            if !self.stays(entry) && self.goes(entry) {
                self.away += 1;
                self.budget -= 1;
                self.strip(entry);
            }
        }
        if reading {
            // The answer of its read must fit behind the head as it is.
            for entry in &priority_level.head {
                self.stays(entry);
            }
        } else {
            let stay = priority_level.head.iter().take_while(|entry| self.stays(entry)).count();
            if priority_level.head.iter().skip(stay).any(|entry| self.goes(entry)) {
                let head = priority_level.head.drain(..stay).collect();
                let tail = std::mem::replace(&mut priority_level.head, head);
                priority_level.rest.push_front(Chunk::Warm(tail));
            }
        }
        let warm = priority_level.rest.iter().filter_map(|chunk| match chunk {
            Chunk::Warm(warm) => Some(warm),
            Chunk::Cold(_) => None,
        });
        let mut warm = warm.flatten().take(LOOKED_AT_MAX);
        if warm.any(|entry| self.goes(entry)) {
            let mut rest = Rest::default();
            for chunk in std::mem::take(&mut priority_level.rest) {
                match chunk {
                    Chunk::Cold(cold) => rest.cold(&cold),
                    Chunk::Warm(warm) => self.warm(warm, &mut rest),
                }
            }
            priority_level.rest = rest.chunks;
        }
        priority_level.refill();
        // Read ahead once half of what stays is gone.
        priority_level.low = priority_level.low.max(priority_level.head.len() / 2);
    }

    /// Turns long enough runs of pageable messages into ranges on disk.
    fn warm(&mut self, mut warm: VecDeque<Entry>, rest: &mut Rest) {
        let mut run = Vec::with_capacity(STRETCH_MIN);
        while self.budget > 0
            && let Some(entry) = warm.pop_front()
        {
            if self.stays(&entry) || !self.goes(&entry) {
                rest.warm(run.drain(..));
                rest.warm([entry]);
            } else if rest.is_cold() {
                self.sink(&entry, rest);
            } else {
                run.push(entry);
                if run.len() == STRETCH_MIN {
                    for entry in run.drain(..) {
                        self.sink(&entry, rest);
                    }
                }
            }
        }
        rest.warm(run.drain(..));
        rest.remainder(warm);
    }

    fn sink(&mut self, entry: &Entry, rest: &mut Rest) {
        self.freed += entry.memory();
        self.away += 1;
        self.budget = self.budget.saturating_sub(1);
        rest.cold(&Cold::of(entry));
    }
}

/// A priority level's chunks while they are rebuilt.
#[derive(Default)]
struct Rest {
    chunks: VecDeque<Chunk>,
}

impl Rest {
    fn is_cold(&self) -> bool {
        matches!(self.chunks.back(), Some(Chunk::Cold(_)))
    }

    fn cold(&mut self, cold: &Cold) {
        match self.chunks.back_mut() {
            Some(Chunk::Cold(before)) => before.join(cold),
            _ => self.chunks.push_back(Chunk::Cold(*cold)),
        }
    }

    /// The rest of a range in memory, without copying it.
    fn remainder(&mut self, mut entries: VecDeque<Entry>) {
        thin(&mut entries);
        match self.chunks.back_mut() {
            _ if entries.is_empty() => {}
            Some(Chunk::Warm(warm)) => warm.append(&mut entries),
            _ => self.chunks.push_back(Chunk::Warm(entries)),
        }
    }

    fn warm(&mut self, entries: impl IntoIterator<Item = Entry>) {
        for entry in entries {
            if let Some(Chunk::Warm(warm)) = self.chunks.back_mut() {
                warm.push_back(entry);
            } else {
                self.chunks.push_back(Chunk::Warm(VecDeque::from([entry])));
            }
        }
    }
}
