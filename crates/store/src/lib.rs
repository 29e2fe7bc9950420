//! The interface to durable storage: records in, positions out, `Synced` later.
//!
//! Two stores implement it: the log with sled as its index, and an in-memory one that fails on command. One
//! conformance suite checks both.
//!
//! Invariants: records become durable in append order, a group whole or not at all; a waiter is called exactly once,
//! and with `Ok` only when everything appended before it was registered is durable; after `Broken` nothing becomes
//! synced on this handle any more.
//! Absent: exchange names, sockets, tokio. Time comes in with the records.

mod bytes;
pub mod definitions;
mod disk;
mod finding;
pub mod fold;
pub mod folder;
mod index;
pub mod log;
pub mod memory;
pub mod metrics;
mod note;
mod place;
mod platform;
mod salt;
mod settled;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
pub mod watch;

use std::sync::Arc;

use leveret_message::stored::{SettleReason, Stored};
use leveret_message::{Message, Millis, QueueId, Seq};

/// A position in the order of all appends of one store. Positions only grow.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Position(pub u64);

/// Everything up to this position is on stable storage: `fdatasync` returned Ok for it. Only a store can create one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Synced(pub(crate) Position);

impl Synced {
    /// The last durable position.
    pub fn position(self) -> Position {
        self.0
    }
}

/// One fact about a queue. A queue's durable state is the fold over its records.
#[derive(Clone, Debug)]
pub enum Record {
    /// `message` is in `queue` at `seq`. Appended under the queue's lock, hence before any record that settles it.
    /// The same message for several queues comes as several records; the store writes the body once.
    Enqueue {
        /// The queue.
        queue: QueueId,
        /// The message's sequence number in it.
        seq: Seq,
        /// The message.
        message: Message,
        /// The priority level in the queue (the message's priority clamped to the queue's maximum; 0 without).
        priority_level: u8,
        /// Expiry in this queue, if any.
        expires: Option<Millis>,
        /// `true`: written only to free memory; void after a restart.
        transient: bool,
        /// `true`: this queue is the only durable target, so the store may leave out a message that is settled before
        /// its turn ([`Message::take_for_log`]).
        sole: bool,
    },
    /// The queue is done with `count` messages from `first` on (consecutive sequence numbers; those without a message
    /// any more are skipped).
    Settle {
        /// The queue.
        queue: QueueId,
        /// First sequence number.
        first: Seq,
        /// Number of sequence numbers.
        count: u64,
        /// Why.
        reason: SettleReason,
    },
    /// Everything up to `upto` may have been delivered: after a restart it is marked as redelivered.
    Delivered {
        /// The queue.
        queue: QueueId,
        /// Last sequence number that may have been delivered.
        upto: Seq,
    },
    /// A message was returned after a failed delivery; `count` is its new delivery count.
    Returned {
        /// The queue.
        queue: QueueId,
        /// Its sequence number.
        seq: Seq,
        /// Failed deliveries so far.
        count: u32,
    },
    /// Everything in the queue up to `upto` that is ready now is gone, except `kept` (sequence numbers of
    /// unacknowledged messages, ascending).
    Purge {
        /// The queue.
        queue: QueueId,
        /// Last sequence number covered by the purge.
        upto: Seq,
        /// Sequence numbers that stay because a consumer holds them.
        kept: Vec<Seq>,
    },
    /// The queue is deleted with everything in it.
    Gone {
        /// The queue.
        queue: QueueId,
    },
}

impl Record {
    /// The queue that the record is about.
    pub fn queue(&self) -> QueueId {
        match self {
            Self::Enqueue { queue, .. }
            | Self::Settle { queue, .. }
            | Self::Delivered { queue, .. }
            | Self::Returned { queue, .. }
            | Self::Purge { queue, .. }
            | Self::Gone { queue } => *queue,
        }
    }
}

/// Called when what was appended has become durable, or never will.
pub trait Waiter: Send + Sync {
    /// `token` is the highest token registered by this waiter before the sync. Called on a thread of the store, or at
    /// once on the caller's when nothing is outstanding: must be short and must not call the store.
    fn synced(&self, token: u64, outcome: Result<Synced, Broken>);
}

/// The store stopped: what lies above the last [`Synced`] is unknown until it is opened again. A full disk is not
/// `Broken`: it is pressure, and passes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the message store has stopped; what was not yet confirmed is unknown until the next start")]
pub struct Broken;

/// Why records were not accepted. They are not in the store, and never will be.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAppended {
    /// The store has stopped.
    #[error("{Broken}")]
    Broken,
    /// The group can never be written as a whole: others go on.
    #[error("records of {bytes} bytes are to be written in one step, which takes at most {max}")]
    TooLarge {
        /// Upper bound of its size in bytes.
        bytes: usize,
        /// Largest size of a group in bytes.
        max: usize,
    },
}

/// Whether publishers should be read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pressure {
    /// Go on.
    None,
    /// More is waiting to be written than the store wants to hold: pause publishers until the store's relief hook is
    /// called.
    Full,
    /// Nothing can be written at present (disk full, read-only): block publishers with this reason until the relief
    /// hook is called.
    Blocked(String),
}

/// Why a read got no answer. The messages requested remain in the store.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Unread {
    /// The store has stopped.
    #[error("{Broken}")]
    Broken,
    /// The disk did not return it, with file and place; a later read may succeed.
    #[error("{0}")]
    Later(String),
}

impl ReadWish {
    /// The request of [`Store::live_entries`].
    fn standing(queue: QueueId, from: Seq, max: usize) -> Self {
        Self { queue, priority_level: 0, from, to: Seq(u64::MAX), max_messages: max, max_bytes: usize::MAX }
    }
}

/// Called once with what was read, on a thread of the store.
pub type ReadAnswer = Box<dyn FnOnce(Result<Vec<Stored>, Unread>) + Send>;

/// Durable storage of messages. Shared by all queues of a broker.
pub trait Store: Send + Sync {
    /// Takes all of `records` (leaves it empty) as one group: after a crash all or none of them are there. Returns at
    /// once; never waits for the disk. The position is that of the last one. A message named by several consecutive
    /// records of the group is written, and counted, once.
    fn append(&self, records: &mut Vec<Record>) -> Result<Position, NotAppended>;

    /// The same for any number of independent records: the store may split them into several groups. After a crash a
    /// prefix of them is there.
    fn append_each(&self, records: &mut Vec<Record>) -> Result<Position, NotAppended> {
        self.append(records)
    }

    /// Calls `waiter` when everything appended so far is durable (messages settled before their turn count as
    /// durable). Registrations of one waiter may be merged: then it is called once, with the highest token.
    fn notify(&self, waiter: &Arc<dyn Waiter>, token: u64);

    /// Reads live messages back, in sequence order. Answers later. Messages after one that the disk does not return
    /// are left out; if that is the first one, the answer is [`Unread::Later`].
    fn read(&self, wish: ReadWish, answer: ReadAnswer);

    /// Up to `max` live messages of priority level 0 of a queue from `from` on, in sequence order, without their
    /// bodies. For what was found at the start: messages appended since may be missing. May read the disk.
    fn live_entries(&self, queue: QueueId, from: Seq, max: usize) -> Result<Vec<LiveEntry>, Broken>;

    /// Messages of `queue` may be delivered from now on: after an unclean end, what it holds is marked as
    /// redelivered. To be called before the first delivery; repeated calls are cheap.
    fn serving(&self, _queue: QueueId) {}

    /// Everything at or below this position has been written to the log's files, so that its bodies can be dropped
    /// and read back.
    fn written(&self) -> Position;

    /// Whether publishers should continue.
    fn pressure(&self) -> Pressure;

    /// While `true`, the disk is low on room: the store frees what it can, even where that costs more reading and
    /// writing than is otherwise worthwhile.
    fn save_space(&self, save: bool) {
        let _ = save;
    }
}

/// A live message without its body.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LiveEntry {
    /// Its sequence number.
    pub seq: Seq,
    /// Expiry in this queue, if any.
    pub expires: Option<Millis>,
}

/// Which messages to read back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadWish {
    /// The queue.
    pub queue: QueueId,
    /// The priority level; messages of other priority levels in between are left out.
    pub priority_level: u8,
    /// First sequence number.
    pub from: Seq,
    /// Last sequence number.
    pub to: Seq,
    /// At most this many messages.
    pub max_messages: usize,
    /// Stop after the message whose body makes the total exceed this many bytes; at least one is read.
    pub max_bytes: usize,
}
