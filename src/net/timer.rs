//! The task that ticks queues: sleeps until the earliest instant that any of them requested.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use leveret_broker::Broker;
use leveret_message::Millis;

use super::clock::now;

/// Longest sleep, since the wall clock may be set meanwhile.
const SLEEP_MAX: Duration = Duration::from_mins(1);

/// Ticks queues for the broker's lifetime.
pub(super) async fn run(broker: Arc<Broker>) {
    loop {
        wait_until_due(&broker).await;
        // Deleting an expired queue waits for the disk.
        tokio::task::block_in_place(|| broker.tick(now()));
        // Much may be due at once; the thread's other tasks get a turn in between.
        tokio::task::yield_now().await;
    }
}

/// Makes idle queues release memory when the common budget is exceeded, and resumes publishers that need not wait:
/// their obstacle may have come and gone unnoticed.
pub(super) async fn relieve_memory(broker: Arc<Broker>) {
    let mut was_short = false;
    loop {
        let short = broker.memory().is_short();
        if short || was_short {
            tokio::task::block_in_place(|| broker.relieve_memory(now()));
        }
        was_short = short;
        if !broker.publishers_must_wait() {
            broker.relieve();
        }
        tokio::time::sleep(if short { SHORT_INTERVAL } else { MEMORY_INTERVAL }).await;
    }
}

/// Makes unused queues release their working memory, or deletes them if that was impossible before.
pub(super) async fn rest_queues(broker: Arc<Broker>) {
    loop {
        tokio::time::sleep(REST_INTERVAL).await;
        tokio::task::block_in_place(|| {
            broker.rest_queues();
            broker.delete_again();
        });
    }
}

/// Interval of searches for idle queues. Resting too early costs an allocation at the next use.
const REST_INTERVAL: Duration = Duration::from_mins(1);

/// Check interval of the memory of all queues.
const MEMORY_INTERVAL: Duration = Duration::from_millis(200);

/// Check interval while memory is short and publishers may be waiting.
const SHORT_INTERVAL: Duration = Duration::from_millis(10);

async fn wait_until_due(broker: &Broker) {
    let sleep = tokio::time::sleep(SLEEP_MAX);
    tokio::pin!(sleep);
    let mut set_for: Option<Millis> = None;
    poll_fn(|context| {
        let earliest = broker.deadlines().earliest(context.waker());
        if let Some(at) = earliest {
            let wait = at.0.saturating_sub(now().0);
            if wait == 0 {
                return Poll::Ready(());
            }
            if set_for != earliest {
                set_for = earliest;
                let wait = Duration::from_millis(wait).min(SLEEP_MAX);
                sleep.as_mut().reset(tokio::time::Instant::now() + wait);
            }
        }
        sleep.as_mut().poll(context)
    })
    .await;
}
