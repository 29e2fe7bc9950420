//! The store of a broker: a log that is the truth, and an index that knows where everything is.
//!
//! Invariants: see the border ([`crate::store`]); besides, an append costs one short lock and
//! wakes the committer only when it sleeps; whatever the index holds can be rebuilt from the log.
//! Three threads: the committer writes and syncs, the keeper follows with the index and frees
//! space, the reader answers reads. Absent: definitions (`store::definitions`).

pub(crate) mod bytes;
mod carry;
mod commit;
mod core;
#[cfg(test)]
mod crash_test;
mod disk;
mod encode;
mod format;
mod inspect;
mod intake;
mod keeper;
mod read;
mod recover;
mod scan;
mod segments;
mod settled;
#[cfg(test)]
mod space_test;
mod walk;

use std::collections::{HashMap, HashSet, VecDeque};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use self::commit::{Committer, Inflight, Step};
use self::core::Core;
pub use self::core::Options;
pub(crate) use self::disk::Disk;
#[cfg(any(test, feature = "testing"))]
pub(crate) use self::disk::LogFile;
use self::disk::RealDisk;
pub(crate) use self::format::Place;
pub use self::inspect::{QueueReport, Report, SegmentReport, inspect};
use self::intake::{Intake, Woken};
use self::keeper::Keeper;
pub use self::recover::Finding;
use self::recover::{RecoverError, open_segments, recover};
use super::folder::set_aside;
use super::index::db::Sled;
use super::index::{Db, Index};
use super::metrics::Metrics;
use super::{
    Broken, Position, Pressure, ReadAnswer, ReadWish, Record, RecoveredQueue, Standing, Store, Waiter,
};
use crate::ids::{QueueId, Seq};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system said no.
    #[error("the message store: {0}")]
    Io(#[from] io::Error),
    /// A file of a version that this program does not know.
    #[error(
        "{file} was written in version {found} of the log's format, this program knows version 1: \
         use the version of the program that wrote it, or another data folder"
    )]
    Version {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// The index could not be opened and not be rebuilt either.
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

/// Pages of the index hold 16 records of up to some 20 KB; sled would move pages of a quarter of
/// this to files that it never syncs.
const INDEX_SEGMENT_BYTES: usize = 4 << 20;

/// What [`LogStore::open`] found.
#[derive(Debug, Default)]
pub struct Recovered {
    /// Every queue that has ever had a message here and is not known to be gone.
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
        Ok(Self {
            intake: Intake::new(options.pending_limit, Arc::clone(&options.relief)),
            segments,
            inflight: Mutex::new(Inflight::default()),
            committer: Mutex::new(Committer::new()),
            keeper: Mutex::new(Keeper::new(index.folded())),
            index: Mutex::new(index),
            events: Mutex::new(Vec::new()),
            db,
            metrics: Arc::new(Metrics::default()),
            unreadable: AtomicBool::new(false),
            options,
        })
    }
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
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl LogStore {
    /// Opens the store in `dir` (`log/` and `index/` in it), making it if it is not there. A
    /// damaged index is moved aside and rebuilt from the log.
    pub fn open(dir: &Path, options: &Options) -> Result<(Self, Recovered), StoreError> {
        std::fs::create_dir_all(dir)?;
        let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&dir.join("log"))?);
        let attempt = |recovered: &mut Recovered| {
            let index = dir.join("index");
            let db = Sled::open(&index, INDEX_SEGMENT_BYTES, options.index_cache_bytes)?;
            Core::open(Arc::clone(&disk), Arc::new(db), options.clone(), recovered)
        };
        let mut recovered = Recovered::default();
        let core = match attempt(&mut recovered) {
            Err(RecoverError::Db(error)) if !error.io => {
                let aside = set_aside(dir, "index")?;
                recovered = Recovered::default();
                recovered.findings.push(Finding {
                    file: "index".into(),
                    offset: None,
                    queue: None,
                    count: 0,
                    what: format!("{error}; moved aside as {aside} and rebuilt from the log"),
                });
                attempt(&mut recovered)?
            }
            other => other?,
        };
        Ok((Self::start(core)?, recovered))
    }

    fn start(core: Core) -> Result<Self, StoreError> {
        let store = Self {
            core: Arc::new(core),
            reads: Arc::default(),
            bell: Arc::default(),
            threads: Mutex::default(),
        };
        let spawn = |name: &str, run: Box<dyn FnOnce() + Send>| {
            std::thread::Builder::new().name(name.into()).spawn(run)
        };
        let core = &store.core;
        let mut threads = store.threads.lock();
        let own = Arc::clone(core);
        threads.push(spawn("log-commit", Box::new(move || run_committer(&own)))?);
        let (own, bell) = (Arc::clone(core), Arc::clone(&store.bell));
        threads.push(spawn("log-keeper", Box::new(move || run_keeper(&own, &bell)))?);
        let (own, reads) = (Arc::clone(core), Arc::clone(&store.reads));
        threads.push(spawn("log-reader", Box::new(move || run_reader(&own, &reads)))?);
        drop(threads);
        Ok(store)
    }

    /// What the store counts.
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.core.metrics)
    }

    /// Drops the messages of all queues but these: the others' definitions are gone. To be called
    /// once, when the store has been opened and nothing was appended yet.
    pub fn retain_queues(&self, existing: &HashSet<QueueId>) -> Result<(), Broken> {
        let known = self.core.index.lock().queue_ids();
        let gone = known.into_iter().filter(|queue| !existing.contains(queue));
        let mut records: Vec<_> = gone.map(|queue| Record::Gone { queue }).collect();
        self.append(&mut records).map(|_| ())
    }

    /// Writes and syncs everything, saves the index, and ends the threads. Also done on drop.
    pub fn close(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        if threads.is_empty() {
            return;
        }
        self.core.intake.close();
        *self.bell.closing.lock() = true;
        self.bell.wake.notify_all();
        self.reads.waiting.lock().1 = true;
        self.reads.wake.notify_all();
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!("a thread of the message store panicked");
            }
        }
        if let Err(error) = self.core.keeper.lock().finish(&self.core) {
            tracing::error!(%error, "the index could not be saved; the next start reads more log");
        }
        self.core.committer.lock().close(&self.core);
        self.core.intake.set_broken();
    }
}

impl Drop for LogStore {
    fn drop(&mut self) {
        self.close();
    }
}

impl Store for LogStore {
    fn append(&self, records: &mut Vec<Record>) -> Result<Position, Broken> {
        self.core.intake.append(records)
    }

    fn notify(&self, waiter: &Arc<dyn Waiter>, token: u64) {
        self.core.intake.notify(waiter, token);
    }

    fn read(&self, wish: ReadWish, answer: ReadAnswer) {
        let mut waiting = self.reads.waiting.lock();
        if waiting.1 {
            drop(waiting);
            answer(Err(Broken));
            return;
        }
        waiting.0.push_back((wish, answer));
        drop(waiting);
        self.reads.wake.notify_one();
    }

    fn stands(&self, queue: QueueId, from: Seq, max: usize) -> Result<Vec<Standing>, Broken> {
        self.core.stands(queue, from, max).map_err(|error| {
            self.core.index_failed(&error);
            Broken
        })
    }

    fn written(&self) -> Position {
        self.core.intake.written()
    }

    fn pressure(&self) -> Pressure {
        self.core.intake.pressure()
    }
}

/// How long the committer lets records gather that nobody waits for.
const GATHER: std::time::Duration = std::time::Duration::from_millis(5);

#[expect(clippy::disallowed_methods, reason = "the committer's thread bounds how long settles stay unsynced")]
fn run_committer(core: &Core) {
    let start = Instant::now();
    let mut lazily = false;
    loop {
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
        let woken = match step {
            Step::Retry(wait) => core.intake.pause(wait),
            // After work, more of it may come bit by bit: gather it unless someone waits.
            _ if lazily => {
                lazily = false;
                let gather = timeout.map_or(GATHER, |timeout| timeout.min(GATHER));
                core.intake.sleep(Some(gather), true)
            }
            _ => core.intake.sleep(timeout, false),
        };
        if matches!(woken, Woken::Closing) && closing_ends {
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

fn run_keeper(core: &Core, bell: &Bell) {
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
        if let Err(error) = core.checkpoint() {
            core.index_failed(&error);
        }
    }
}

fn run_reader(core: &Core, reads: &Reads) {
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
                reads.wake.wait(&mut waiting);
            }
        };
        // A log that cannot be written can still be read.
        let result = if core.unreadable.load(Ordering::Acquire) {
            Err(Broken)
        } else {
            core.read_now(&wish).map_err(|error| {
                core.index_failed(&error);
                Broken
            })
        };
        answer(result);
    }
}
