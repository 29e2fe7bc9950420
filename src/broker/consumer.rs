//! A consumer as the broker knows it, and the border to whoever writes its messages out.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;

use leveret_queues::queue::{ConsumerId, Delivery};

use super::arguments::{FieldTable, get, integer};
use super::names::{ConnectionId, ConsumerTag};
use super::queue_handle::QueueHandle;
use super::shared_credit::SharedCredit;

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
    /// The client knows that it has ended, or has ended it: it is not told again.
    pub ended: AtomicBool,
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
