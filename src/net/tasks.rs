//! Tasks that run for the broker's lifetime, and the handling of panics.
//!
//! A panic in one of these tasks ends the broker, which cannot work without it: it is logged as an ERROR, and the
//! process exits with failure. A panic in a client's task is contained: that client is lost, and what it held is
//! released.
//!
//! Invariants: all tasks end before what they use is torn down; none outlives [`Tasks::stop`], except one that
//! does not return from the disk in time.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::{Notify, watch};

use leveret_broker::turn::Aside;

/// Runs long work of a task while another thread takes over the other tasks.
pub const ASIDE: Aside = Aside(|work| tokio::task::block_in_place(work));

/// How long tasks may take to end.
const STOPPING: Duration = Duration::from_secs(5);

/// All tasks of one broker except clients'.
#[derive(Debug)]
pub struct Tasks {
    stop: watch::Sender<bool>,
    /// The first task that failed.
    failed: watch::Sender<Option<&'static str>>,
    live: AtomicUsize,
    ended: Notify,
}

impl Tasks {
    /// No tasks.
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            stop: watch::Sender::new(false),
            failed: watch::Sender::new(None),
            live: AtomicUsize::new(0),
            ended: Notify::new(),
        })
    }

    /// Spawns a task that must not end by itself while the broker runs. `name`: for the log.
    pub fn spawn(self: &Arc<Self>, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let (here, tasks) = (self.here(), Arc::clone(self));
        tokio::spawn(async move {
            let outcome = tokio::select! {
                () = tasks.stopping() => return,
                outcome = AssertUnwindSafe(task).catch_unwind() => outcome,
            };
            if let Err(panic) = outcome {
                tracing::error!("{name} has failed, the broker ends: {}", words(&*panic));
                tasks.failed.send_replace(Some(name));
            }
            drop(here);
        });
    }

    /// Waits until a task has failed; returns its name.
    pub async fn failed(&self) -> &'static str {
        let mut failed = self.failed.subscribe();
        let name = failed.wait_for(Option::is_some).await.ok().and_then(|name| *name);
        name.unwrap_or("a task")
    }

    /// Waits until all tasks are to end.
    pub async fn stopping(&self) {
        // We own the sender.
        let _ = self.stop.subscribe().wait_for(|stop| *stop).await;
    }

    /// Counts a client's task, to be waited for, until the returned guard is dropped.
    pub fn here(self: &Arc<Self>) -> Here {
        self.live.fetch_add(1, Ordering::AcqRel);
        Here(Arc::clone(self))
    }

    /// Ends all tasks, and waits for them for a limited time.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let all_gone = async {
            loop {
                let ended = self.ended.notified();
                if self.live.load(Ordering::Acquire) == 0 {
                    return;
                }
                ended.await;
            }
        };
        if tokio::time::timeout(STOPPING, all_gone).await.is_err() {
            tracing::warn!("{} tasks take long to end", self.live.load(Ordering::Acquire));
        }
    }
}

/// A running task, counted until dropped.
#[derive(Debug)]
pub struct Here(Arc<Tasks>);

impl Drop for Here {
    fn drop(&mut self) {
        self.0.live.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

/// Runs a client's task. `None`: it panicked, which was logged.
pub(super) async fn contained<T>(what: &str, task: impl Future<Output = T>) -> Option<T> {
    match AssertUnwindSafe(task).catch_unwind().await {
        Ok(outcome) => Some(outcome),
        Err(panic) => {
            tracing::error!("{what} has failed, and is closed: {}", words(&*panic));
            None
        }
    }
}

/// The same for synchronous work.
pub(super) fn contained_now(what: &str, work: impl FnOnce()) {
    if let Err(panic) = std::panic::catch_unwind(AssertUnwindSafe(work)) {
        tracing::error!("{what} has failed: {}", words(&*panic));
    }
}

/// A panic's message.
fn words(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("a panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_told_and_names_the_task() {
        let tasks = Tasks::new();
        tasks.spawn("the good one", std::future::pending());
        tasks.spawn("the bad one", async { panic!("on purpose") });
        assert_eq!(tasks.failed().await, "the bad one");
        tasks.stop().await;
        assert_eq!(tasks.live.load(Ordering::Acquire), 0);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn stopping_waits_for_a_task_at_work() {
        let tasks = Tasks::new();
        let (begun, done) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let (tell, count) = (Arc::clone(&begun), Arc::clone(&done));
        tasks.spawn("at work", async move {
            tell.notify_one();
            tokio::task::block_in_place(std::thread::yield_now);
            count.fetch_add(1, Ordering::AcqRel);
            std::future::pending::<()>().await;
        });
        begun.notified().await;
        tasks.stop().await;
        assert_eq!(done.load(Ordering::Acquire), 1);
    }

    #[tokio::test]
    async fn a_client_s_panic_is_contained() {
        assert_eq!(contained("a client", async { 1 }).await, Some(1));
        assert_eq!(contained::<()>("a client", async { panic!("on purpose") }).await, None);
    }
}
