//! Read requests of a user take turns: each occupies a thread while it runs, so that long lists keep no workers from
//! the requests of others.
//!
//! Invariants: at most [`AT_ONCE`] requests of a user run at a time, the others wait in order of arrival; answers
//! being sent do not count. Absent: modifying requests, which may wait for their own bodies.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Concurrent requests per user.
const AT_ONCE: usize = 4;

/// The turns of all users.
#[derive(Default)]
pub(super) struct Turns {
    users: Mutex<FxHashMap<Arc<str>, Weak<Semaphore>>>,
}

impl Turns {
    /// Waits for the user's turn, which lasts until the permit is dropped.
    pub(super) async fn take(&self, user: &str) -> Option<OwnedSemaphorePermit> {
        let turns = self.of(user);
        turns.acquire_owned().await.ok()
    }

    fn of(&self, user: &str) -> Arc<Semaphore> {
        let mut users = self.users.lock();
        if let Some(turns) = users.get(user).and_then(Weak::upgrade) {
            return turns;
        }
        users.retain(|_, turns| turns.strong_count() > 0);
        let turns = Arc::new(Semaphore::new(AT_ONCE));
        users.insert(user.into(), Arc::downgrade(&turns));
        turns
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn a_user_waits_for_its_own_requests_only_and_is_forgotten_after_them() {
        let turns = Turns::default();
        let mut mine: Vec<_> = (0..AT_ONCE).map(|_| turns.take("a").now_or_never().unwrap()).collect();
        let waiting = turns.take("a");
        assert!(turns.take("a").now_or_never().is_none());
        let other = turns.take("b").now_or_never().unwrap();
        mine.pop();
        assert!(waiting.now_or_never().is_some());
        drop((mine, other));
        assert!(turns.take("c").now_or_never().is_some());
        assert_eq!(turns.users.lock().len(), 1);
    }
}
