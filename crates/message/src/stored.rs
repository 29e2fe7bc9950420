//! What queues and the store say to each other about messages on stable storage.

use crate::ids::Millis;
use crate::ids::Seq;
use crate::message::Message;

/// Why a queue is done with a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SettleReason {
    /// Acknowledged, or delivered without acknowledgement.
    Acked = 1,
    /// Rejected without requeue and not dead-lettered.
    Rejected = 2,
    /// Its time to live expired.
    Expired = 3,
    /// Dropped by a length limit.
    MaxLength = 4,
    /// Over the delivery limit.
    DeliveryLimit = 5,
    /// Purged by a client or an operator.
    Purged = 6,
}

/// A message read back.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its sequence number.
    pub seq: Seq,
    /// The message, or what is wrong with its record: read twice, the disk returned something else than was written.
    /// Nothing else counts as damage.
    pub message: Result<Message, String>,
    /// Expiry in this queue, if any.
    pub expires: Option<Millis>,
    /// Failed deliveries recorded for it.
    pub delivery_count: u32,
}

/// A range of one priority level of a queue whose messages are on disk only: sequence numbers and totals, no bodies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ColdRange {
    /// The priority level. Ranges of different priority levels may overlap.
    pub priority_level: u8,
    /// First live sequence number.
    pub first: Seq,
    /// Last live sequence number.
    pub last: Seq,
    /// Number of live messages in it, both ends included.
    pub count: u64,
    /// Sum of their body lengths.
    pub bytes: u64,
}

/// What a store found for one queue when it was opened.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RecoveredQueue {
    /// Live messages; ascending and not overlapping within a priority level.
    pub ranges: Vec<ColdRange>,
    /// The highest sequence number ever assigned, live or not.
    pub last_seq: Seq,
    /// Everything up to here may have been delivered.
    pub delivered_upto: Seq,
}
