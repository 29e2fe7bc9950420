//! A consumer as the broker sees it, and the interface to the connection that writes its messages.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::Waker;

use leveret_queues::{ConsumerId, Delivery};

use super::arguments::{FieldTable, get, integer};
use super::names::{ConnectionId, ConsumerTag};
use super::queue_handle::QueueHandle;
use super::shared_credit::SharedCredit;

/// Accepts deliveries for a connection's consumers. Methods are called under a queue's lock: they must be short, must
/// not block and must not call a queue.
pub trait Sink: Send + Sync {
    /// Reserves room for one more message. On `false`, the sink remembers the consumer and unblocks it when there is
    /// room.
    fn reserve(&self, consumer: &Arc<Consumer>, body_bytes: usize) -> bool;

    /// Takes deliveries in order, leaving `batch` empty. Returns the waker to call once the locks are released.
    fn deliver(&self, consumer: &Arc<Consumer>, batch: &mut Vec<Delivery>) -> Option<Waker>;

    /// The queue was deleted: notifies the client that the consumer is cancelled.
    fn cancelled(&self, consumer: &Arc<Consumer>) -> Option<Waker>;
}

/// One consumer on one queue.
pub struct Consumer {
    /// Process-unique.
    pub id: ConsumerId,
    /// Consumer tag.
    pub tag: ConsumerTag,
    /// Owning connection.
    pub connection: ConnectionId,
    /// The channel it was started on.
    pub channel: u16,
    /// Receives its messages.
    pub sink: Arc<dyn Sink>,
    /// The queue it consumes from.
    pub queue: Arc<QueueHandle>,
    /// Deliveries need no acknowledgement.
    pub no_ack: bool,
    /// No other consumer is allowed.
    pub exclusive: bool,
    /// Maximum unacknowledged messages; 0 for no limit.
    pub prefetch: u32,
    /// Higher priorities are served first.
    pub priority: i32,
    /// Shared limit of its channel, if `basic.qos` with `global` set one.
    pub shared_credit: Arc<SharedCredit>,
    /// As given in `basic.consume`.
    pub arguments: FieldTable,
    /// The client knows that it has ended, and is not notified again.
    pub ended: AtomicBool,
}

impl Consumer {
    /// Milliseconds after which an unacknowledged delivery closes its channel: the consumer's own setting, or its
    /// queue's.
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
