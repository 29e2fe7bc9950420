//! Publishers that wait until they may go on.
//!
//! Invariants: each is noted once, however often it asks, and is forgotten when it is dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Those that are to be woken.
#[derive(Default)]
pub(super) struct Waiting {
    next: AtomicU64,
    wakers: Mutex<FxHashMap<u64, Waker>>,
}

impl Waiting {
    /// Has all look again.
    pub(super) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock());
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

/// Says whether publishers have to wait.
type MustWait = Box<dyn Fn() -> bool + Send + Sync>;

/// One that may have to wait.
pub struct PublishWait {
    waiting: Arc<Waiting>,
    must_wait: MustWait,
    id: u64,
}

impl PublishWait {
    /// One more. `must_wait` says whether publishers have to.
    pub(super) fn new(waiting: &Arc<Waiting>, must_wait: MustWait) -> Self {
        Self { waiting: Arc::clone(waiting), must_wait, id: waiting.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Ready when publishers may go on; otherwise `waker` is woken when they may.
    pub fn poll(&self, waker: &Waker) -> Poll<()> {
        if !(self.must_wait)() {
            return Poll::Ready(());
        }
        self.waiting.wakers.lock().insert(self.id, waker.clone());
        // The relief may have come before the waker was noted.
        if (self.must_wait)() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for PublishWait {
    fn drop(&mut self) {
        self.waiting.wakers.lock().remove(&self.id);
    }
}
