//! A consumer as the broker knows it, and the border to whoever writes its messages out.

use std::sync::Arc;
use std::task::Waker;

use leveret_queues::queue::{ConsumerId, Delivery};

use super::arguments::{FieldTable, get, integer};
use super::names::{ConnectionId, ConsumerTag};
use super::queue_handle::QueueHandle;

/// Takes deliveries for a connection's consumers. Its methods are called under a queue's lock, so
/// they must be short, must not block and must not call a queue.
pub trait Sink: Send + Sync {
    /// Asks for room for one more message. `false`: the sink keeps the consumer in mind and will
    /// have it unblocked when there is room again.
    fn reserve(&self, consumer: &Arc<Consumer>, body_bytes: usize) -> bool;

    /// Takes deliveries, in order, leaving `batch` empty. Returns whom to wake when the locks are
    /// released.
    fn deliver(&self, consumer: &Arc<Consumer>, batch: &mut Vec<Delivery>) -> Option<Waker>;

    /// The queue is gone: tells the client that this consumer gets nothing more.
    fn cancelled(&self, consumer: &Arc<Consumer>) -> Option<Waker>;
}

/// One consumer on one queue.
pub struct Consumer {
    /// Unique in the process.
    pub id: ConsumerId,
    /// As the client calls it.
    pub tag: ConsumerTag,
    /// Whose it is.
    pub connection: ConnectionId,
    /// The channel it was started on.
    pub channel: u16,
    /// Where its messages go.
    pub sink: Arc<dyn Sink>,
    /// The queue it consumes from.
    pub queue: Arc<QueueHandle>,
    /// No acknowledgements wanted.
    pub no_ack: bool,
    /// Nobody else may consume.
    pub exclusive: bool,
    /// Unacknowledged messages it may hold; 0 means any number.
    pub prefetch: u32,
    /// Higher is served first.
    pub priority: i32,
    /// Shared limit of its channel, if `basic.qos` with `global` set one.
    pub shared_credit: Arc<SharedCredit>,
    /// As given in `basic.consume`.
    pub arguments: FieldTable,
}

/// The channel-wide prefetch (`basic.qos` with `global`): counts what all consumers of a channel
/// hold together.
#[derive(Debug, Default)]
pub struct SharedCredit {
    state: parking_lot::Mutex<SharedCreditState>,
    /// Read without the lock; 0 means no limit and that nothing is counted.
    limit: std::sync::atomic::AtomicU32,
}

#[derive(Debug, Default)]
struct SharedCreditState {
    held: u32,
    waiting: Vec<Arc<Consumer>>,
}

impl Consumer {
    /// Milliseconds after which an unacknowledged delivery closes its channel, if it does: its own, or its queue's.
    pub fn timeout_ms(&self) -> Option<u64> {
        if self.no_ack {
            return None;
        }
        let own = get(&self.arguments, "x-consumer-timeout").and_then(integer);
        own.and_then(|timeout_ms| u64::try_from(timeout_ms).ok()).or_else(|| self.queue.consumer_timeout_ms())
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consumer")
            .field("tag", &self.tag)
            .field("queue", &self.queue.name)
            .finish_non_exhaustive()
    }
}

impl SharedCredit {
    /// The limit in force; 0 for none.
    pub fn limit(&self) -> u32 {
        self.limit.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Sets the limit (0 for none) while `held` messages are out, and returns the consumers that
    /// waited for credit and may have it now.
    pub fn set_limit(&self, limit: u32, held: u32) -> Vec<Arc<Consumer>> {
        let mut state = self.state.lock();
        self.limit.store(limit, std::sync::atomic::Ordering::Relaxed);
        state.held = held;
        std::mem::take(&mut state.waiting)
    }

    /// Takes one credit for `consumer`, or notes that it waits for one.
    pub fn take(&self, consumer: &Arc<Consumer>) -> bool {
        if self.limit() == 0 {
            return true;
        }
        let mut state = self.state.lock();
        let limit = self.limit();
        if limit == 0 || state.held < limit {
            state.held += 1;
            return true;
        }
        if !state.waiting.iter().any(|waiting| waiting.id == consumer.id) {
            state.waiting.push(Arc::clone(consumer));
        }
        false
    }

    /// A credit that was taken is not used after all. Whoever waits goes on waiting: the consumer that
    /// took it will come again, and its acknowledgement wakes them.
    pub fn not_used(&self) {
        let mut state = self.state.lock();
        state.held = state.held.saturating_sub(1);
    }

    /// Gives `count` credits back and returns the consumers that waited for one.
    pub fn give_back(&self, count: usize) -> Vec<Arc<Consumer>> {
        if self.limit() == 0 {
            return Vec::new();
        }
        let mut state = self.state.lock();
        state.held = state.held.saturating_sub(u32::try_from(count).unwrap_or(u32::MAX));
        std::mem::take(&mut state.waiting)
    }

    /// A consumer that left waits no longer.
    pub fn forget(&self, id: ConsumerId) {
        self.state.lock().waiting.retain(|waiting| waiting.id != id);
    }
}
