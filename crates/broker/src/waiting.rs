//! Publishers waiting to continue.
//!
//! Invariants: each is registered once, however often it polls, and removed when dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Poll, Waker};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Publishers to wake.
#[derive(Default)]
pub(super) struct Waiting {
    next: AtomicU64,
    wakers: Mutex<FxHashMap<u64, Waker>>,
}

impl Waiting {
    /// Wakes all to check again.
    pub(super) fn wake_all(&self) {
        let wakers = std::mem::take(&mut *self.wakers.lock());
        for waker in wakers.into_values() {
            waker.wake();
        }
    }
}

/// Whether publishers must wait.
type MustWait = Box<dyn Fn() -> bool + Send + Sync>;

/// A publisher that may have to wait.
pub struct PublishWait {
    waiting: Arc<Waiting>,
    must_wait: MustWait,
    id: u64,
}

impl PublishWait {
    /// Registers a publisher. `must_wait` reports whether publishers must wait.
    pub(super) fn new(waiting: &Arc<Waiting>, must_wait: MustWait) -> Self {
        Self { waiting: Arc::clone(waiting), must_wait, id: waiting.next.fetch_add(1, Ordering::Relaxed) }
    }

    /// Ready when publishers may continue; otherwise `waker` is woken then.
    pub fn poll(&self, waker: &Waker) -> Poll<()> {
        if !(self.must_wait)() {
            return Poll::Ready(());
        }
        self.waiting.wakers.lock().insert(self.id, waker.clone());
        // Publishers may have been relieved before the waker was registered.
        if (self.must_wait)() { Poll::Pending } else { Poll::Ready(()) }
    }
}

impl Drop for PublishWait {
    fn drop(&mut self) {
        self.waiting.wakers.lock().remove(&self.id);
    }
}
