//! Whether the threads of a store are alive and make progress.
//!
//! Invariants: time is passed in; a thread is stalled when it had work waiting and completed none of it for the time
//! allowed, whether it waits for a disk, spins or was never woken; each stall is reported once, and so is its end.
//! Absent: the reaction; threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread's signs of life.
#[derive(Debug)]
pub struct Pulse {
    name: &'static str,
    busy: AtomicBool,
    beats: AtomicU64,
    ended: AtomicBool,
}

impl Pulse {
    /// The pulse of a thread that has nothing to do yet.
    pub fn new(name: &'static str) -> Arc<Self> {
        Arc::new(Self {
            name,
            busy: AtomicBool::new(false),
            beats: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        })
    }

    /// A piece of work begins.
    pub fn begin(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.busy.store(true, Ordering::Relaxed);
    }

    /// The work is done, and nothing else is at hand.
    pub fn rest(&self) {
        self.beats.fetch_add(1, Ordering::Relaxed);
        self.busy.store(false, Ordering::Relaxed);
    }

    /// Whether a piece of work is in hand.
    pub fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// Increases with every piece of work begun or done.
    pub fn beats(&self) -> u64 {
        self.beats.load(Ordering::Relaxed)
    }

    /// Runs the thread's `work`. A panic that ends it is noted.
    pub fn live<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Ending<'a>(&'a Pulse);
        impl Drop for Ending<'_> {
            fn drop(&mut self) {
                self.0.busy.store(false, Ordering::Relaxed);
                self.0.ended.store(std::thread::panicking(), Ordering::Release);
            }
        }
        let _ending = Ending(self);
        work()
    }

    fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }
}

/// Returns whether a thread has work waiting.
type Waits = Box<dyn Fn() -> bool + Send>;
/// Returns a measure of the work done: it changes whenever some was.
type Done = Box<dyn Fn() -> u64 + Send>;

struct Watched {
    pulse: Arc<Pulse>,
    waits: Waits,
    done: Done,
    seen: u64,
    since: Duration,
    stands: bool,
    ended: bool,
}

/// A change in a thread's state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Found {
    /// It has work waiting and completed none for this long.
    Stands(&'static str, Duration),
    /// It continues.
    Moves(&'static str),
    /// It ended in a panic.
    Ended(&'static str),
}

/// Watches threads.
pub(crate) struct Watch {
    /// How long work may wait without progress.
    patience: Duration,
    threads: Vec<Watched>,
}

impl Watch {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, threads: Vec::new() }
    }

    /// Watches this thread as well.
    pub(crate) fn add(&mut self, pulse: Arc<Pulse>, waits: Waits, done: Done) {
        let seen = done();
        self.threads.push(Watched {
            pulse,
            waits,
            done,
            seen,
            since: Duration::ZERO,
            stands: false,
            ended: false,
        });
    }

    /// Watches a thread of which only the pulse is known.
    pub(crate) fn add_pulse(&mut self, pulse: Arc<Pulse>) {
        let (busy, beats) = (Arc::clone(&pulse), Arc::clone(&pulse));
        self.add(pulse, Box::new(move || busy.is_busy()), Box::new(move || beats.beats()));
    }

    /// A description of the threads stalled now; `None`: there are none.
    pub(crate) fn standing(&self) -> Option<String> {
        let standing = self.threads.iter().filter(|thread| thread.stands);
        let names: Vec<_> = standing.map(|thread| thread.pulse.name).collect();
        let seconds = self.patience.as_secs();
        (!names.is_empty()).then(|| {
            format!("the store stands: nothing was done for {seconds} s by its threads {}", names.join(", "))
        })
    }

    /// Changes as of `now`, which only has to be monotonic.
    pub(crate) fn look(&mut self, now: Duration) -> Vec<Found> {
        let mut found = Vec::new();
        for thread in &mut self.threads {
            let name = thread.pulse.name;
            if thread.pulse.has_ended() {
                if !thread.ended {
                    thread.ended = true;
                    found.push(Found::Ended(name));
                }
                continue;
            }
            let done = (thread.done)();
            if done != thread.seen || !(thread.waits)() {
                thread.seen = done;
                thread.since = now;
                if std::mem::take(&mut thread.stands) {
                    found.push(Found::Moves(name));
                }
                continue;
            }
            let stood = now.saturating_sub(thread.since);
            if stood >= self.patience && !thread.stands {
                thread.stands = true;
                found.push(Found::Stands(name, stood));
            }
        }
        found
    }
}

/// Unclean shutdown: what was not confirmed may not be on disk.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the store did not end in order: {0}")]
pub struct Unclean(pub(crate) String);

/// Waits at most `patience` for `threads` to end; returns the name of one that has not.
#[expect(clippy::disallowed_methods, reason = "the end of a thread is waited for, with a limit")]
pub(crate) fn unended(threads: &[JoinHandle<()>], patience: Duration) -> Option<String> {
    let start = Instant::now();
    for thread in threads {
        while !thread.is_finished() {
            if start.elapsed() >= patience {
                return Some(thread.thread().name().unwrap_or_default().to_owned());
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn watched() -> (Watch, Arc<Pulse>, Arc<AtomicBool>) {
        let (pulse, waits) = (Pulse::new("worker"), Arc::new(AtomicBool::new(false)));
        let mut watch = Watch::new(PATIENCE);
        let (own, beats) = (Arc::clone(&waits), Arc::clone(&pulse));
        watch.add(
            Arc::clone(&pulse),
            Box::new(move || own.load(Ordering::Relaxed)),
            Box::new(move || beats.beats()),
        );
        (watch, pulse, waits)
    }

    #[test]
    fn a_thread_without_work_may_stand_for_ever() {
        let (mut watch, _, _) = watched();
        assert_eq!(watch.look(at(0)), []);
        assert_eq!(watch.look(at(1_000_000)), []);
    }

    #[test]
    fn a_thread_that_does_nothing_of_what_waits_is_told_once_and_that_it_goes_on() {
        let (mut watch, pulse, waits) = watched();
        watch.look(at(0));
        waits.store(true, Ordering::Relaxed);
        assert_eq!(watch.look(at(29)), []);
        assert_eq!(watch.look(at(30)), [Found::Stands("worker", PATIENCE)]);
        assert_eq!(watch.look(at(31)), []);
        assert!(watch.standing().is_some_and(|words| words.ends_with("30 s by its threads worker")));
        pulse.begin();
        assert_eq!(watch.look(at(32)), [Found::Moves("worker")]);
        assert_eq!(watch.standing(), None);
        assert_eq!(watch.look(at(61)), [], "it counts from the last sign of life");
        assert_eq!(watch.look(at(62)), [Found::Stands("worker", PATIENCE)]);
    }

    #[test]
    fn a_thread_that_works_slowly_does_not_stand() {
        let (mut watch, pulse, waits) = watched();
        waits.store(true, Ordering::Relaxed);
        for second in (0..1000).step_by(20) {
            pulse.begin();
            assert_eq!(watch.look(at(second)), []);
        }
    }

    #[test]
    fn a_panic_is_told_once_and_an_orderly_end_never() {
        let (mut watch, pulse, _) = watched();
        pulse.live(|| ());
        assert_eq!(watch.look(at(1)), []);
        let own = Arc::clone(&pulse);
        let panicked = std::thread::spawn(move || own.live(|| panic!("on purpose"))).join();
        assert!(panicked.is_err());
        assert_eq!(watch.look(at(2)), [Found::Ended("worker")]);
        assert_eq!(watch.look(at(100)), []);
    }
}
