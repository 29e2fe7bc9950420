//! The parts of a log store, and their lock order.
//!
//! Invariants: locks are taken in the order keeper, committer, inflight, append queue; index before events; none is
//! held while a waiter or a reader is answered. Everything here can be stepped by hand, without threads. Absent:
//! threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::append_queue::AppendQueue;
use super::commit::{Committer, Inflight, Step};
use super::keeper::Keeper;
use super::read::ReadFailed;
use super::segments::Segments;
use super::served::Served;
use crate::index::{Db, DbError, Event, Index};
use crate::metrics::{Counter, Metrics};
use crate::{Pressure, Unread};

/// Parameters of a log store. The defaults are for a broker.
#[derive(Clone)]
pub struct Options {
    /// Length of a segment file in bytes; a longer group gets a longer file.
    pub segment_bytes: u32,
    /// A batch is cut at about this many bytes, which bounds the duration of one write.
    pub batch_bytes: usize,
    /// Most bytes of an atomic group. A segment offset has 32 bits; a message has at most 512 MiB.
    pub group_bytes_max: usize,
    /// More waiting bytes than this is pressure; fewer than half of it is relief.
    pub pending_limit: usize,
    /// Records without a waiter (settles) are synced at the latest after this time.
    pub lazy_sync_after: Duration,
    /// Interval between writes of the index.
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
    /// A thread of the store that has work waiting and completes none of it for this long is stalled: publishers are
    /// held up and refused until it continues. Longer than any healthy disk takes for one sync.
    pub stalled_after: Duration,
    /// Called when pressure ends. Must be short and must not call the store.
    pub relief: Arc<dyn Fn() + Send + Sync>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bytes: 64 << 20,
            batch_bytes: 1 << 20,
            group_bytes_max: 1 << 30,
            pending_limit: 16 << 20,
            lazy_sync_after: Duration::from_millis(100),
            checkpoint_every: Duration::from_millis(100),
            cached_chunks: 128,
            spare_segments: 2,
            index_cache_bytes: 16 << 20,
            compact_bytes: 4 << 20,
            carry_runs: 1 << 16,
            stalled_after: Duration::from_secs(30),
            relief: Arc::new(|| {}),
        }
    }
}

/// Reserved for settles: one part in this many of a segment.
const KEPT_FOR_SETTLES: u32 = 8;

/// See the module.
pub(crate) struct Core {
    pub(crate) options: Options,
    pub(crate) append_queue: AppendQueue,
    pub(crate) segments: Segments,
    pub(crate) inflight: Mutex<Inflight>,
    pub(crate) committer: Mutex<Committer>,
    pub(crate) keeper: Mutex<Keeper>,
    pub(crate) index: Mutex<Index>,
    /// Written and not folded into the index yet.
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) db: Arc<dyn Db>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) served: Served,
    /// The index cannot be relied on: nothing is read any more.
    pub(crate) unreadable: AtomicBool,
    /// See [`Store::save_space`](crate::Store::save_space).
    pub(crate) save_space: AtomicBool,
}

impl Core {
    /// One batch; see [`Committer::step`].
    pub(crate) fn commit(&self, now: Duration) -> Step {
        let mut committer = self.committer.lock();
        let _ending = Ending(self);
        committer.step(self, now)
    }

    /// One checkpoint of the index, and the space that it frees.
    pub(crate) fn checkpoint(&self) -> Result<(), DbError> {
        let mut keeper = self.keeper.lock();
        let _ending = Ending(self);
        keeper.step(self)
    }

    /// The index cannot continue, unless the error is a possibly transient one of the file system. Its memory may no
    /// longer agree with the disk, so the store stops; the next start opens the index again or rebuilds it.
    pub(crate) fn index_failed(&self, error: &DbError) {
        if error.io {
            return;
        }
        tracing::error!(%error, "the message store stops until the next start");
        self.unreadable.store(true, Ordering::Release);
        self.append_queue.set_broken();
    }

    /// Increases with everything the committer completes, or finds that it cannot do.
    pub(crate) fn committed(&self) -> u64 {
        let metrics = &self.metrics;
        let counted = [&metrics.commits, &metrics.write_failures, &metrics.sync_failures];
        let positions = self.append_queue.written().0 + self.append_queue.durable();
        positions + counted.into_iter().map(Counter::get).sum::<u64>()
    }

    /// Whether freeing disk space takes precedence over its cost.
    pub(crate) fn saves_space(&self) -> bool {
        self.save_space.load(Ordering::Relaxed) || self.append_queue.is_short_of_space()
    }

    /// Bytes that the store may write of its own accord, to free segments; `None`: nothing now. While there is no
    /// room for another segment, a part of the current one is reserved for consumers' settles.
    pub(crate) fn upkeep_room(&self) -> Option<u64> {
        if self.append_queue.pressure() == Pressure::None {
            return Some(u64::MAX);
        }
        if !self.append_queue.is_only_short_of_space() {
            return None;
        }
        let kept = u64::from(self.options.segment_bytes / KEPT_FOR_SETTLES);
        // Half of the rest: what was in flight when publishers were stopped goes there as well.
        self.committer.lock().room().checked_sub(kept).map(|rest| rest / 2)
    }

    /// The reader's error for a failed read.
    pub(crate) fn unread(&self, failed: ReadFailed) -> Unread {
        match failed {
            ReadFailed::Disk(why) => Unread::Later(why),
            ReadFailed::Db(error) if error.io => {
                self.metrics.read_failures.add(1);
                Unread::Later(error.to_string())
            }
            ReadFailed::Db(error) => {
                self.index_failed(&error);
                Unread::Broken
            }
        }
    }

    /// A thread of the store panicked. What it was working on may be half done: nothing is saved from it.
    pub(crate) fn thread_ended(&self, name: &str) {
        tracing::error!(
            thread = name,
            "a thread of the message store panicked; the store stops until the next start"
        );
        self.unreadable.store(true, Ordering::Release);
        self.append_queue
            .stop(format!("the message store has stopped: its thread {name} ended; see the log"));
    }

    /// Folds what was written since the last call into `index`.
    pub(crate) fn fold(&self, index: &mut Index) -> Result<(), DbError> {
        let events = std::mem::take(&mut *self.events.lock());
        index.fold(events)
    }
}

/// Held within the locks of work: after a panic nobody takes up what it left half done. The rest is reported when the
/// end of the thread is noticed.
struct Ending<'a>(&'a Core);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.unreadable.store(true, Ordering::Release);
            self.0.append_queue.halt();
        }
    }
}
