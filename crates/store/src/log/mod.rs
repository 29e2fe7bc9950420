//! A broker's store: a log as the source of truth, and an index of where everything is.
//!
//! Invariants: see the interface ([the border](crate)); in addition, an append costs one short lock and wakes the
//! committer only when it sleeps; everything in the index can be rebuilt from the log. Three threads: the committer
//! writes and syncs, the keeper follows with the index and frees space, the reader answers reads. Absent: definitions
//! (`store::definitions`).

mod append_queue;
mod commit;
mod core;
#[cfg(test)]
mod crash_test;
#[cfg(test)]
mod damage_test;
mod encode;
#[cfg(test)]
mod forged_test;
mod format;
#[cfg(any(test, feature = "testing"))]
pub mod fuzzing;
mod head;
mod inspect;
mod keeper;
mod misnamed;
#[cfg(test)]
mod mutated_test;
#[cfg(test)]
mod once_test;
mod read;
mod reappend_settles;
mod recover;
mod scan;
mod segments;
mod served;
#[cfg(test)]
mod space_test;
#[cfg(test)]
mod stop_test;
mod synced;
#[cfg(test)]
mod unread_test;
mod walk;

use std::collections::{HashMap, VecDeque};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use self::append_queue::{AppendQueue, Woken};
use self::commit::{Committer, Inflight, Step};
use self::core::Core;
pub use self::core::Options;
pub use self::inspect::{QueueReport, Report, SegmentReport, inspect};
use self::keeper::Keeper;
pub use crate::finding::Finding;
use leveret_message::ids::{QueueId, Seq};
use leveret_message::stored::RecoveredQueue;

use self::recover::{RecoverError, open_segments, recover};
use self::served::Served;
use super::folder::{self, set_aside};
use super::index::db::{Sled, is_distrusted};
use super::index::stand_in::{StandIn, Terms};
use super::index::{CHECKPOINT_KEY, Db, DbError, Index};
use super::metrics::Metrics;
use super::watch::{Found, Pulse, Unclean, Watch, unended};
use super::{
    Broken, LiveEntry, NotAppended, Position, Pressure, ReadAnswer, ReadWish, Record, Store, Unread, Waiter,
};
use crate::disk::{Disk, RealDisk};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system failed.
    #[error("the message store: {0}")]
    Io(#[from] io::Error),
    /// A file of a version unknown to this program.
    #[error(
        "{file} was written in version {found} of the log's format, this program knows versions 1 and 2: \
         use the version of the program that wrote it, or another data folder"
    )]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// The index could be neither opened nor rebuilt.
    #[error("the index of the message store: {0}")]
    Index(String),
}

impl From<RecoverError> for StoreError {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Io(error) => Self::Io(error),
            RecoverError::Db(error) => Self::Index(error.to_string()),
            RecoverError::Version(file, found) => Self::Version { file, found },
        }
    }
}

const INDEX: &str = "index";

/// Pages of the index hold 16 records of up to some 20 KB; sled would move pages of a quarter of this to files that
/// it never syncs.
const INDEX_SEGMENT_BYTES: usize = 4 << 20;

/// The findings of [`LogStore::open`].
#[derive(Debug, Default)]
pub struct Recovered {
    /// Every queue that ever had a message here and is not known to be deleted.
    pub queues: HashMap<QueueId, RecoveredQueue>,
    /// What is damaged or missing.
    pub findings: Vec<Finding>,
}

impl Core {
    /// Opens a log on `disk` with its index in `db`; both are brought to the same state first.
    fn open(
        disk: Arc<dyn Disk>,
        db: Arc<dyn Db>,
        options: Options,
        recovered: &mut Recovered,
    ) -> Result<Self, RecoverError> {
        let segments = open_segments(disk, options.segment_bytes, &mut recovered.findings)?;
        let mut index = Index::new(Arc::clone(&db));
        recover(&segments, &*db, &mut index, options.cached_chunks, &mut recovered.findings)?;
        recovered.queues = index.recovered().into_iter().collect();
        // Only now, as the last run's notes are in the index.
        let served = Served::begin(segments.disk())?;
        Ok(Self {
            append_queue: AppendQueue::new(
                options.pending_limit,
                options.group_bytes_max,
                Arc::clone(&options.relief),
            ),
            segments,
            inflight: Mutex::new(Inflight::default()),
            committer: Mutex::new(Committer::new()),
            keeper: Mutex::new(Keeper::new(index.folded())),
            index: Mutex::new(index),
            events: Mutex::new(Vec::new()),
            db,
            metrics: Arc::new(Metrics::default()),
            served,
            unreadable: AtomicBool::new(false),
            save_space: AtomicBool::new(false),
            options,
        })
    }
}

fn open_index(dir: &Path, cache_bytes: u64) -> Result<Sled, DbError> {
    Sled::open(&dir.join(INDEX), INDEX_SEGMENT_BYTES, cache_bytes)
}

/// Removes the index: everything in it can be rebuilt from the log.
fn remove_index(dir: &Path) -> io::Result<()> {
    let unused = dir.join("index.unused");
    for gone in
        [fs::remove_dir_all(&unused), fs::rename(dir.join(INDEX), &unused), fs::remove_dir_all(&unused)]
    {
        gone.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })?;
    }
    Ok(())
}

/// An index in memory for as long as there is no room. The one on disk is removed, which frees some: it could not be
/// kept up to date, and everything in it can be rebuilt from the log.
fn roomless_index(dir: &Path, options: &Options) -> io::Result<StandIn<Sled>> {
    remove_index(dir)?;
    tracing::warn!(
        "data folder: index: too little room for it on the disk: it is made from the log, in memory, until {} MiB are free",
        folder::DATABASES_BYTES >> 20
    );
    let (dir, cache_bytes) = (dir.to_path_buf(), options.index_cache_bytes);
    let asked = dir.clone();
    Ok(StandIn::new(Terms {
        room: Box::new(move || folder::free(&asked) >= folder::DATABASES_BYTES),
        open: Box::new(move || open_index(&dir, cache_bytes)),
        // The log keeps everything needed to rebuild the index.
        syncs_in_memory: true,
        seal: CHECKPOINT_KEY,
    }))
}

#[derive(Default)]
struct Reads {
    waiting: Mutex<(VecDeque<(ReadWish, ReadAnswer)>, bool)>,
    wake: Condvar,
}

#[derive(Default)]
struct Bell {
    closing: Mutex<bool>,
    wake: Condvar,
}

/// See the module.
pub struct LogStore {
    core: Arc<Core>,
    reads: Arc<Reads>,
    bell: Arc<Bell>,
    watch: Arc<Mutex<Watch>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl LogStore {
    /// Opens the store in `dir` (`log/` and `index/` in it), creating it if missing. A damaged index is moved aside
    /// and rebuilt from the log.
    pub fn open(dir: &Path, options: &Options) -> Result<(Self, Recovered), StoreError> {
        fs::create_dir_all(dir)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&dir.join("log"))?);
        let without_room = |recovered: &mut Recovered| {
            let db = roomless_index(dir, options)?;
            Core::open(Arc::clone(&disk), Arc::new(db), options.clone(), recovered)
        };
        let mut recovered = Recovered::default();
        let free = folder::free(dir);
        if free < folder::INDEX_BYTES {
            return Ok((Self::start(without_room(&mut recovered)?)?, recovered));
        }
        if is_distrusted(&dir.join(INDEX)) {
            tracing::warn!(
                "data folder: index: it met a full or failing disk: it is made from the log again"
            );
            remove_index(dir)?;
        }
        let attempt = |recovered: &mut Recovered| {
            let db = open_index(dir, options.index_cache_bytes)?;
            Core::open(Arc::clone(&disk), Arc::new(db), options.clone(), recovered)
        };
        let core = match attempt(&mut recovered) {
            Err(RecoverError::Db(error)) if !error.io => {
                let aside = set_aside(dir, INDEX)?;
                recovered = Recovered::default();
                recovered.findings.push(Finding {
                    file: INDEX.into(),
                    offset: None,
                    queue: None,
                    count: 0,
                    what: format!("{error}; moved aside as {aside} and rebuilt from the log"),
                });
                attempt(&mut recovered)?
            }
            // A large index may need more room than most.
            Err(RecoverError::Db(error)) if error.io && free < folder::DATABASES_BYTES => {
                tracing::warn!(%error, "data folder: index");
                recovered = Recovered::default();
                without_room(&mut recovered)?
            }
            other => other?,
        };
        Ok((Self::start(core)?, recovered))
    }

    /// A store on these parts, for tests.
    #[cfg(test)]
    fn over(disk: Arc<dyn Disk>, db: Arc<dyn Db>, options: Options) -> Result<Self, StoreError> {
        Self::start(Core::open(disk, db, options, &mut Recovered::default())?)
    }

    fn start(core: Core) -> Result<Self, StoreError> {
        let stalled_after = core.options.stalled_after;
        let store = Self {
            core: Arc::new(core),
            reads: Arc::default(),
            bell: Arc::default(),
            watch: Arc::new(Mutex::new(Watch::new(stalled_after))),
            threads: Mutex::default(),
        };
        let core = &store.core;
        let mut threads = store.threads.lock();
        let mut watch = store.watch.lock();
        let mut spawn = |name: &'static str, run: Box<dyn FnOnce(&Pulse) + Send>| {
            let pulse = Pulse::new(name);
            let own = Arc::clone(&pulse);
            let work = move || own.live(|| run(&own));
            threads.push(std::thread::Builder::new().name(name.into()).spawn(work)?);
            io::Result::Ok(pulse)
        };
        let own = Arc::clone(core);
        let pulse = spawn("log-commit", Box::new(move |pulse| run_committer(&own, pulse)))?;
        let (busy, waits, done) = (Arc::clone(&pulse), Arc::clone(core), Arc::clone(core));
        let waits = move || busy.is_busy() || waits.append_queue.work_waits();
        watch.add(pulse, Box::new(waits), Box::new(move || done.committed()));
        let (own, bell) = (Arc::clone(core), Arc::clone(&store.bell));
        watch.add_pulse(spawn("log-keeper", Box::new(move |pulse| run_keeper(&own, &bell, pulse)))?);
        let (own, reads) = (Arc::clone(core), Arc::clone(&store.reads));
        let pulse = spawn("log-reader", Box::new(move |pulse| run_reader(&own, &reads, pulse)))?;
        let (busy, waits, done) = (Arc::clone(&pulse), Arc::clone(&store.reads), Arc::clone(&pulse));
        let waits = move || busy.is_busy() || !waits.waiting.lock().0.is_empty();
        watch.add(pulse, Box::new(waits), Box::new(move || done.beats()));
        drop(watch);
        let (own, bell, watch) = (Arc::clone(core), Arc::clone(&store.bell), Arc::clone(&store.watch));
        spawn("log-watch", Box::new(move |_| run_watch(&own, &bell, &watch)))?;
        drop(threads);
        Ok(store)
    }

    /// Also watches threads owned by others: while one of them is stalled, or after a panic in it, the effect is as
    /// with the store's own.
    pub fn watch_also(&self, pulses: impl IntoIterator<Item = Arc<Pulse>>) {
        let mut watch = self.watch.lock();
        pulses.into_iter().for_each(|pulse| watch.add_pulse(pulse));
    }

    /// The store's metrics.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.core.metrics)
    }

    /// Writes and syncs everything, saves the index, and ends the threads. Also done on drop. A stalled thread is
    /// waited for at most as long as a thread may stall.
    pub fn close(&self) -> Result<(), Unclean> {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return Ok(());
        }
        self.core.append_queue.close();
        *self.bell.closing.lock() = true;
        self.bell.wake.notify_all();
        self.reads.waiting.lock().1 = true;
        self.reads.wake.notify_all();
        if let Some(name) = unended(&threads, self.core.options.stalled_after) {
            // It may hold any lock.
            tracing::error!(thread = name, "a thread of the message store does not end");
            self.core.append_queue.set_broken();
            return Err(Unclean(format!("the thread {name} stands")));
        }
        let panicked = threads.into_iter().any(|thread| thread.join().is_err());
        let why = match self.core.append_queue.pressure() {
            _ if panicked => Some("a thread panicked".to_owned()),
            Pressure::Blocked(reason) if self.core.append_queue.is_broken() => Some(reason),
            _ => None,
        };
        if let Some(why) = why {
            self.core.append_queue.set_broken();
            return Err(Unclean(why));
        }
        let saved = self.core.keeper.lock().finish(&self.core);
        if let Err(error) = &saved {
            tracing::error!(%error, "the index could not be saved; the next start reads more log");
        }
        let closed = self.core.committer.lock().close(&self.core);
        if saved.is_ok() && closed {
            let ended = self.core.served.end();
            ended.unwrap_or_else(
                |error| tracing::error!(%error, "the message log could not be closed in order"),
            );
        }
        self.core.append_queue.set_broken();
        Ok(())
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the message store");
        }
    }
}

impl Store for LogStore {
    fn append(&self, records: &mut Vec<Record>) -> Result<Position, NotAppended> {
        self.core.append_queue.append(records)
    }

    fn append_each(&self, records: &mut Vec<Record>) -> Result<Position, NotAppended> {
        self.core.append_queue.append_cut(records, self.core.options.batch_bytes)
    }

    fn notify(&self, waiter: &Arc<dyn Waiter>, token: u64) {
        self.core.append_queue.notify(waiter, token);
    }

    fn read(&self, wish: ReadWish, answer: ReadAnswer) {
        let mut waiting = self.reads.waiting.lock();
        if waiting.1 {
            drop(waiting);
            answer(Err(Unread::Broken));
            return;
        }
        waiting.0.push_back((wish, answer));
        drop(waiting);
        self.reads.wake.notify_one();
    }

    fn live_entries(&self, queue: QueueId, from: Seq, max: usize) -> Result<Vec<LiveEntry>, Broken> {
        self.core.live_entries(queue, from, max).map_err(|error| {
            self.core.index_failed(&error);
            Broken
        })
    }

    fn serving(&self, queue: QueueId) {
        self.core.served.note(queue);
    }

    fn written(&self) -> Position {
        self.core.append_queue.written()
    }

    fn pressure(&self) -> Pressure {
        self.core.append_queue.pressure()
    }

    fn save_space(&self, save: bool) {
        self.core.save_space.store(save, Ordering::Relaxed);
    }
}

/// How long the committer gathers records that have no waiter.
const GATHER: std::time::Duration = std::time::Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "the committer's thread bounds how long settles stay unsynced")]
fn run_committer(core: &Core, pulse: &Pulse) {
    let start = Instant::now();
    let mut lazily = false;
    loop {
        pulse.begin();
        let step = core.commit(start.elapsed());
        let (timeout, closing_ends) = match step {
            Step::Worked => {
                lazily = true;
                continue;
            }
            Step::Broken => return,
            Step::Retry(wait) => (Some(wait), true),
            Step::Idle(wait) => (wait, true),
        };
        pulse.rest();
        let woken = match step {
            Step::Retry(wait) => core.append_queue.pause(wait),
            // After work, more may arrive bit by bit: gather it unless there is a waiter.
            _ if lazily => {
                lazily = false;
                let gather = timeout.map_or(GATHER, |timeout| timeout.min(GATHER));
                core.append_queue.sleep(Some(gather), true)
            }
            _ => core.append_queue.sleep(timeout, false),
        };
        if matches!(woken, Woken::Closing) && closing_ends {
            pulse.begin();
            finish_committer(core, start);
            return;
        }
    }
}

/// The last batches before the end; what cannot be written now is not confirmed.
fn finish_committer(core: &Core, start: Instant) {
    while core.commit(start.elapsed()) == Step::Worked {}
    core.committer.lock().sync(core);
}

fn run_keeper(core: &Core, bell: &Bell, pulse: &Pulse) {
    loop {
        {
            let mut closing = bell.closing.lock();
            if !*closing {
                bell.wake.wait_for(&mut closing, core.options.checkpoint_every);
            }
            if *closing {
                return;
            }
        }
        pulse.begin();
        if let Err(error) = core.checkpoint() {
            core.index_failed(&error);
        }
        pulse.rest();
    }
}

/// Watches the threads until the store is closed.
#[expect(clippy::disallowed_methods, reason = "this thread is where time comes from")]
fn run_watch(core: &Core, bell: &Bell, watch: &Mutex<Watch>) {
    let start = Instant::now();
    let every = LOOK_EVERY.min(core.options.stalled_after / 4);
    loop {
        {
            let mut closing = bell.closing.lock();
            if !*closing {
                bell.wake.wait_for(&mut closing, every);
            }
            if *closing {
                return;
            }
        }
        let mut watch = watch.lock();
        for found in watch.look(start.elapsed()) {
            match found {
                Found::Ended(name) => core.thread_ended(name),
                Found::Stands(name, since) => {
                    let seconds = since.as_secs();
                    tracing::error!(
                        thread = name,
                        "a thread of the store has not got on for {seconds} s: publishers are held up and refused until it does"
                    );
                    core.append_queue.set_stalled(watch.standing());
                }
                Found::Moves(name) => {
                    tracing::warn!(thread = name, "a thread of the store goes on");
                    core.append_queue.set_stalled(watch.standing());
                }
            }
        }
    }
}

/// Interval between checks of the threads.
const LOOK_EVERY: Duration = Duration::from_secs(1);

fn run_reader(core: &Core, reads: &Reads, pulse: &Pulse) {
    loop {
        let (wish, answer) = {
            let mut waiting = reads.waiting.lock();
            loop {
                if let Some(next) = waiting.0.pop_front() {
                    break next;
                }
                if waiting.1 {
                    return;
                }
                pulse.rest();
                reads.wake.wait(&mut waiting);
            }
        };
        pulse.begin();
        // A log that cannot be written can still be read.
        let result = if core.unreadable.load(Ordering::Acquire) {
            Err(Unread::Broken)
        } else {
            core.read_now(&wish).map_err(|failed| core.unread(failed))
        };
        answer(result);
    }
}
