//! Inputs and outputs of a queue besides its own state.

use leveret_message::ids::{Millis, Seq};
use leveret_message::message::Message;
use leveret_message::stored::SettleReason;

use super::letters::Letters;
use super::priority_levels::PriorityLevels;
use super::retry::Retries;

/// A consumer's id, unique within its queue; chosen by the caller.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConsumerId(pub u64);

/// Names one unacknowledged message of one queue. Stale tokens are recognised and ignored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Token {
    pub(super) slot: u32,
    /// Fetched by `basic.get`.
    pub(super) got: bool,
    pub(super) seq: Seq,
}

impl Token {
    /// The sequence number of the message that it names.
    pub fn seq(self) -> Seq {
        self.seq
    }

    /// Whether a consumer holds the message; otherwise `basic.get` fetched it, which no prefetch counts.
    pub fn is_with_consumer(self) -> bool {
        !self.got
    }
}

/// Receives deliveries.
pub trait Outlet<C> {
    /// Asks the consumer's connection for room for one more message of `bytes` body bytes.
    /// `false`: the consumer takes nothing more until [`Queue::unblock`](super::Queue::unblock).
    fn reserve(&mut self, consumer: &C, bytes: usize) -> bool;

    /// Hands over one message, in queue order. Room was reserved just before.
    fn deliver(&mut self, consumer: &C, delivery: Delivery);
}

/// One message on its way to a consumer.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The message.
    pub message: Message,
    /// Names it until it is settled; `None`: no acknowledgement is expected.
    pub token: Option<Token>,
    /// Its sequence number.
    pub seq: Seq,
    /// It was, or may have been, delivered before.
    pub redelivered: bool,
    /// Failed deliveries so far.
    pub delivery_count: u32,
    /// Earlier deliveries, failed or not. Those that were not failures are forgotten by a restart.
    pub acquired_count: u32,
}

/// A message that the queue is done with.
#[derive(Clone, Debug)]
pub struct Gone {
    /// Its sequence number.
    pub seq: Seq,
    /// The message; `None`: its body is on disk only.
    pub message: Option<Message>,
    /// Why.
    pub reason: SettleReason,
    /// Whether to dead-letter it.
    pub dead_letter: bool,
    /// The store was, or is being, told of it: a settle record is owed, unless [`Message::settle_unless_taken`] says
    /// otherwise.
    pub stored: bool,
    /// Its priority level.
    pub priority_level: u8,
    /// When it would have expired.
    pub expires: Option<Millis>,
    /// Failed deliveries so far.
    pub delivery_count: u32,
}

/// All messages that nobody holds are gone, without a list.
#[derive(Debug)]
pub struct PurgeMark {
    /// Last sequence number covered by the purge.
    pub upto: Seq,
    /// The store may know of some of them: a purge record is owed.
    pub stored: bool,
    /// Stored sequence numbers that stay because their messages are held, ascending.
    pub kept: Vec<Seq>,
    /// Freed with the mark, so that the caller can do that outside its lock.
    pub(super) _remains: (PriorityLevels, Option<Box<Letters>>, Option<Box<Retries>>),
}

/// Which messages the queue wants back from the store. One request is outstanding at a time; the answer is passed to
/// [`Queue::fetched`](super::Queue::fetched) or [`Queue::read_failed`](super::Queue::read_failed).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReadAsk {
    /// The priority level.
    pub priority_level: u8,
    /// First sequence number.
    pub from: Seq,
    /// Last sequence number.
    pub to: Seq,
    /// At most this many are wanted now.
    pub max_messages: usize,
}

/// What the caller must do after a call. Calls only add to it.
#[derive(Debug, Default)]
pub struct Effects {
    /// Messages that left the queue and need a settle record, a dead letter, or both. Others are not listed.
    pub gone: Vec<Gone>,
    /// Stored messages up to here may have been delivered; set only when it grew.
    pub delivered_upto: Option<Seq>,
    /// Stored messages that were returned, with their new delivery count; only with a delivery limit or
    /// delayed retries.
    pub returned: Vec<(Seq, u32)>,
    /// Single active consumer: consumers that became active (`true`) or now wait (`false`).
    pub activity: Vec<(ConsumerId, bool)>,
    /// What to read from the store.
    pub read: Option<ReadAsk>,
    /// Set by a purge that removed something.
    pub purge: Option<PurgeMark>,
    /// Messages with damaged records, with the reason. They left the queue.
    pub damaged: Vec<(Seq, String)>,
    /// Messages that should have been in the store and were not. They left the queue's counts.
    pub lost: u64,
}

impl Effects {
    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.gone.is_empty()
            && self.delivered_upto.is_none()
            && self.returned.is_empty()
            && self.activity.is_empty()
            && self.read.is_none()
            && self.purge.is_none()
            && self.damaged.is_empty()
            && self.lost == 0
    }

    /// Clears everything, keeps the allocations.
    pub fn clear(&mut self) {
        self.gone.clear();
        self.delivered_upto = None;
        self.returned.clear();
        self.activity.clear();
        self.read = None;
        self.purge = None;
        self.damaged.clear();
        self.lost = 0;
    }
}

/// The outcome of a publish.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Published {
    /// It went straight to a consumer that does not acknowledge. It never was in the queue: nothing is to be stored.
    Passed,
    /// It is in the queue (or with a consumer that acknowledges), or was dropped at once, which [`Effects::gone`]
    /// reports if it matters.
    Enqueued {
        /// Its sequence number.
        seq: Seq,
        /// Its priority level.
        priority_level: u8,
        /// Expiry, if any.
        expires: Option<Millis>,
    },
    /// The queue is full and refuses publishes.
    Refused {
        /// Whether to dead-letter the message, with reason `maxlen`.
        dead_letter: bool,
    },
}

/// A message taken by `basic.get`.
#[derive(Debug)]
pub struct Got {
    /// The message.
    pub delivery: Delivery,
    /// Number of ready messages behind it.
    pub ready_left: u64,
}

/// The answer to `basic.get`.
#[derive(Debug)]
pub enum GetReply {
    /// A message.
    Got(Got),
    /// Nothing is ready.
    Empty,
    /// There may be one, but not now: it is being read from disk, or too many before it have expired for one call.
    /// Ask again after the next [`Queue::fetched`](super::Queue::fetched) or [`Queue::tick`](super::Queue::tick).
    NotYet,
}

/// Why messages are requeued.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Requeue {
    /// `basic.nack` with requeue: a failed delivery.
    Nack,
    /// `basic.reject` with requeue: a failed delivery.
    Reject,
    /// `basic.recover`: the consumer asks again, nothing failed.
    Recover,
    /// The channel or connection closed: a failed delivery.
    ChannelClosed,
}

impl Requeue {
    /// Whether it counts towards the delivery limit.
    pub(super) fn is_failure(self) -> bool {
        self != Self::Recover
    }
}

/// The parameters of a consumer.
#[derive(Clone, Debug)]
pub struct ConsumerSpec<C> {
    /// Its id.
    pub id: ConsumerId,
    /// The caller's handle, passed to the [`Outlet`].
    pub handle: C,
    /// It does not acknowledge; prefetch does not apply.
    pub no_ack: bool,
    /// Most unacknowledged messages; 0: no limit.
    pub prefetch: u32,
    /// `x-priority`: higher ones are served first.
    pub priority: i32,
    /// It must be the only consumer.
    pub exclusive: bool,
}

/// Why a consumer was not attached (403 for the client).
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AttachRefused {
    /// There is an exclusive consumer, or this one asks for exclusive use and there are others.
    #[error("the queue has consumers, and one of them is exclusive")]
    ExclusiveInUse,
    /// Exclusive use is refused with a single active consumer.
    #[error("a queue with a single active consumer takes no exclusive consumers")]
    ExclusiveOnSingleActive,
    /// A bug in the caller: ids are unique.
    #[error("a consumer of this id is attached already")]
    DuplicateId,
}
