//! A queue's settings, from its declaration and the policies in force.

use super::Requeue;

/// What happens when a length limit is hit (`x-overflow`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Overflow {
    /// The oldest ready message is dropped, and dead-lettered if there is a dead-letter exchange.
    #[default]
    DropHead,
    /// The publish is refused.
    RejectPublish,
    /// The publish is refused, and the refused message is dead-lettered.
    RejectPublishDeadLetter,
}

/// Which returned messages wait before they are delivered again (`x-delayed-retry-type`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryType {
    /// Those of failed deliveries.
    Failed,
    /// Those that a consumer gave back itself, which need not be failures: `basic.nack` and `basic.recover`.
    Returned,
    /// All.
    All,
}

impl RetryType {
    pub(super) fn covers(self, cause: Requeue) -> bool {
        match self {
            Self::Failed => cause.is_failure(),
            Self::Returned => matches!(cause, Requeue::Nack | Requeue::Recover),
            Self::All => true,
        }
    }
}

/// Returned messages wait, longer each time. The formula is `RabbitMQ` 4.3's.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DelayedRetry {
    /// Which of them.
    pub which: RetryType,
    /// `x-delayed-retry-min`: the wait after the first failed delivery, in milliseconds.
    pub min_ms: u64,
    /// `x-delayed-retry-max`: the longest wait in milliseconds; `u64::MAX` for no limit.
    pub max_ms: u64,
}

impl DelayedRetry {
    /// The wait after this many failed deliveries, in milliseconds. What was returned without a failure waits as after
    /// the first.
    pub fn delay_ms(self, delivery_count: u32) -> u64 {
        self.min_ms.saturating_mul(u64::from(delivery_count.max(1))).min(self.max_ms)
    }
}

/// The rules of one queue. The default has no limits at all, and is not durable.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Settings {
    /// The queue survives a restart: persistent messages in it are logged. Policies cannot change it.
    pub durable: bool,
    /// `x-max-priority`: highest priority level; `None` for a single level. Policies cannot change it.
    pub max_priority: Option<u8>,
    /// `x-message-ttl` in milliseconds; the lower of this and the message's own applies.
    pub message_ttl_ms: Option<u64>,
    /// `x-max-length`: most messages ready or waiting for their retry.
    pub max_length: Option<u64>,
    /// `x-max-length-bytes`: most body bytes of the same messages.
    pub max_bytes: Option<u64>,
    /// What happens beyond these two limits.
    pub overflow: Overflow,
    /// `x-delivery-limit`: a message returned more often than this is dropped.
    pub delivery_limit: Option<u32>,
    /// Returned messages wait.
    pub delayed_retry: Option<DelayedRetry>,
    /// `x-single-active-consumer`. Policies cannot change it.
    pub single_active_consumer: bool,
    /// A dead-letter exchange is set: dropped messages are flagged for it.
    pub dead_letters: bool,
    /// `x-expires` in milliseconds.
    pub expires_ms: Option<u64>,
}

impl Settings {
    /// The priority level of a message with this priority.
    pub fn priority_level(&self, priority: Option<u8>) -> u8 {
        self.max_priority.map_or(0, |max| priority.unwrap_or(0).min(max))
    }

    /// The time to live of a message with this expiration, in milliseconds.
    pub fn ttl_ms(&self, expiration_ms: Option<u64>) -> Option<u64> {
        match (self.message_ttl_ms, expiration_ms) {
            (Some(queue), Some(own)) => Some(queue.min(own)),
            (queue, own) => queue.or(own),
        }
    }

    /// Whether so many ready messages, with so many body bytes, exceed a length limit.
    pub fn exceeded_by(&self, ready: u64, ready_bytes: u64) -> bool {
        self.max_length.is_some_and(|max| ready > max) || self.max_bytes.is_some_and(|max| ready_bytes > max)
    }

    /// Whether failed deliveries matter, so that their number has to survive a restart.
    pub fn counts_deliveries(&self) -> bool {
        self.delivery_limit.is_some() || self.delayed_retry.is_some()
    }
}
