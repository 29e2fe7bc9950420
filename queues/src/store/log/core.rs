//! The parts of a log store, and the order in which they may lock each other.
//!
//! Invariants: locks are taken in the order keeper, committer, inflight, intake; index before
//! events; none is held while a waiter or a reader is answered. Everything here can be stepped by
//! hand, without threads. Absent: threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::commit::{Committer, Inflight, Step};
use super::intake::Intake;
use super::keeper::Keeper;
use super::segments::Segments;
use crate::store::index::{Db, DbError, Event, Index};
use crate::store::metrics::Metrics;

/// How a log store works. The defaults are for a broker.
#[derive(Clone)]
pub struct Options {
    /// Length of a segment file in bytes; a longer group gets a longer file.
    pub segment_bytes: u32,
    /// A batch is cut at about this many bytes, which bounds how long one write takes.
    pub batch_bytes: usize,
    /// More bytes than this waiting to be written is pressure; below half of it, relief.
    pub pending_limit: usize,
    /// What nobody waits for (settles) is synced at the latest after this time.
    pub lazy_sync_after: Duration,
    /// How often the index is written.
    pub checkpoint_every: Duration,
    /// Chunks (of up to 1,000 messages, some 50 KB) of the index kept in memory.
    pub cached_chunks: usize,
    /// Retired segment files kept for reuse.
    pub spare_segments: usize,
    /// Cache of the index database in bytes.
    pub index_cache_bytes: u64,
    /// At most this many bytes of live messages are copied per checkpoint to free sparse segments.
    pub compact_bytes: u64,
    /// At most about this many settle records of a dead segment are appended again per checkpoint.
    pub carry_runs: usize,
    /// Called when pressure ends. Must be short and must not call the store.
    pub relief: Arc<dyn Fn() + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            batch_bytes: 1 << 20,
            pending_limit: 16 << 20,
            lazy_sync_after: Duration::from_millis(100),
            checkpoint_every: Duration::from_millis(100),
            cached_chunks: 128,
            spare_segments: 2,
            index_cache_bytes: 16 << 20,
            compact_bytes: 4 << 20,
            carry_runs: 1 << 16,
            relief: Arc::new(|| {}),
        }
    }
}

/// See the module.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) intake: Intake,
    pub(crate) segments: Segments,
    pub(crate) inflight: Mutex<Inflight>,
    pub(crate) committer: Mutex<Committer>,
    pub(crate) keeper: Mutex<Keeper>,
    pub(crate) index: Mutex<Index>,
    /// Written and not folded into the index yet.
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) db: Arc<dyn Db>,
    pub(crate) metrics: Arc<Metrics>,
    /// The index cannot be relied on: nothing is read any more.
    pub(crate) unreadable: AtomicBool,
}

impl Core {
    /// One batch; see [`Committer::step`].
    pub(crate) fn commit(&self, now: Duration) -> Step {
        self.committer.lock().step(self, now)
    }

    /// One checkpoint of the index, and what space it frees.
    pub(crate) fn checkpoint(&self) -> Result<(), DbError> {
        self.keeper.lock().step(self)
    }

    /// The index cannot go on, unless it is the file system's fault and may pass. What is in memory of it
    /// may no longer be what is on disk, so the store stops; the next start opens the index again or
    /// rebuilds it.
    pub(crate) fn index_failed(&self, error: &DbError) {
        if error.io {
            return;
        }
        tracing::error!(%error, "the message store stops until the next start");
        self.unreadable.store(true, Ordering::Release);
        self.intake.set_broken();
    }

    /// Folds what was written since the last time into `index`.
    pub(crate) fn fold(&self, index: &mut Index) -> Result<(), DbError> {
        let events = std::mem::take(&mut *self.events.lock());
        index.fold(events)
    }
}
