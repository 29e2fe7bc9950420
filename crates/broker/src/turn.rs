//! One turn of work on queues: scratch memory shared by its calls, and the work deferred to its end, when no lock is
//! held (wake-ups, dead letters, queue deletions).

use std::sync::Arc;
use std::task::Waker;

use leveret_message::stored::SettleReason;
use leveret_message::{Message, Millis, Seq};
use leveret_queues::{Delivery, Effects, Outlet, PurgeMark};
use leveret_store::Record;

use super::consumer::Consumer;
use super::queue_handle::QueueHandle;

/// Scratch memory and deferred work of one turn. Reused by its owner, so that a steady flow of messages does not
/// allocate here.
#[derive(Default)]
pub struct Turn {
    /// Wall-clock time of the turn, read once.
    pub now: Millis,
    /// Effects of the queue call in progress.
    pub(super) effects: Effects,
    /// Records to append before the queue's lock is released.
    pub(super) records: Vec<Record>,
    /// Deliveries gathered for one consumer.
    pub(super) deliveries: Vec<Delivery>,
    /// Connections with a sleeping writer and new output.
    pub(super) wakers: Vec<Waker>,
    /// Messages on their way to a dead-letter exchange.
    pub(super) dead: Vec<Dead>,
    /// Auto-delete queues that lost their last consumer.
    pub(super) deletable: Vec<Arc<QueueHandle>>,
    /// Consumers of deleted queues; notified after the reply to the deletion.
    pub(super) cancelled: Vec<Arc<Consumer>>,
    /// Purged messages, freed when no lock is held.
    pub(super) purged: Vec<PurgeMark>,
    /// Whether anything was appended to the store, so that confirms must wait for it.
    pub appended: bool,
    /// A record can never be appended: the publish is refused.
    pub unstorable: bool,
    /// How long-running work is executed.
    pub(super) aside: Aside,
}

/// Proof that nothing was appended to the store, so that a confirm need not wait.
#[derive(Clone, Copy, Debug)]
pub struct NothingAppended(());

/// Runs long work without blocking other users of the thread. Set by the thread's owner; by default the work is simply
/// run.
#[derive(Clone, Copy)]
pub struct Aside(pub fn(&mut dyn FnMut()));

impl Aside {
    pub(super) fn run(self, work: &mut dyn FnMut()) {
        self.0(work);
    }
}

impl Default for Aside {
    fn default() -> Self {
        Self(|work| work())
    }
}

/// A message that left its queue for a dead-letter exchange. It stays in the store under its source until it is
/// appended to its targets, in one group.
pub(super) struct Dead {
    pub(super) source: Arc<QueueHandle>,
    /// `None`: must first be read back from the store.
    pub(super) message: Option<Message>,
    pub(super) reason: SettleReason,
    /// Its location in the store: sequence number and priority level in its source.
    pub(super) place: Option<(Seq, u8)>,
    /// It may have been moved in an earlier run.
    pub(super) may_have_left: bool,
}

impl Turn {
    /// A turn that starts at `now`.
    #[inline]
    pub fn at(now: Millis) -> Self {
        Self { now, ..Self::default() }
    }

    /// Sets how long-running work is executed.
    pub fn does_aside(&mut self, aside: Aside) {
        self.aside = aside;
    }

    /// Begins the next turn with the same scratch.
    #[inline]
    pub fn restart(&mut self, now: Millis) {
        debug_assert!(self.dead.is_empty() && self.wakers.is_empty(), "the last turn was finished");
        self.now = now;
        self.appended = false;
        self.unstorable = false;
    }

    /// Proof that nothing was appended, if that is so.
    #[inline]
    pub fn nothing_appended(&self) -> Option<NothingAppended> {
        (!self.appended).then_some(NothingAppended(()))
    }

    /// Wakes all connections with output.
    pub fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Adds a waker to call at the end.
    #[inline]
    pub fn owe_wake(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }
}

/// Gathers consecutive deliveries to one consumer, so that its connection's lock is taken once for all of them.
pub(super) struct Gathering<'a> {
    consumer: Option<Arc<Consumer>>,
    deliveries: &'a mut Vec<Delivery>,
    wakers: &'a mut Vec<Waker>,
    tally: Tally,
}

/// Delivery counts by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) delivered_no_ack: u64,
    pub(super) redelivered: u64,
}

/// Maximum deliveries gathered: their memory is not counted by the consumer's outbox yet.
const GATHERED_MAX: usize = 256;

impl<'a> Gathering<'a> {
    pub(super) fn new(deliveries: &'a mut Vec<Delivery>, wakers: &'a mut Vec<Waker>) -> Self {
        Self { consumer: None, deliveries, wakers, tally: Tally::default() }
    }

    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Hands over the gathered deliveries. Must be called before the queue's lock is released: another thread's
    /// deliveries must not overtake these.
    pub(super) fn flush(&mut self) {
        if let Some(consumer) = self.consumer.take() {
            self.wakers.extend(consumer.sink.deliver(&consumer, self.deliveries));
        }
    }
}

impl Outlet<Arc<Consumer>> for Gathering<'_> {
    fn reserve(&mut self, consumer: &Arc<Consumer>, bytes: usize) -> bool {
        consumer.sink.reserve(consumer, bytes)
    }

    fn deliver(&mut self, consumer: &Arc<Consumer>, delivery: Delivery) {
        if self.consumer.as_ref().is_none_or(|current| !Arc::ptr_eq(current, consumer)) {
            self.flush();
            self.consumer = Some(Arc::clone(consumer));
        }
        if consumer.no_ack {
            self.tally.delivered_no_ack += 1;
        } else {
            self.tally.delivered += 1;
        }
        self.tally.redelivered += u64::from(delivery.redelivered);
        self.deliveries.push(delivery);
        if self.deliveries.len() >= GATHERED_MAX {
            self.wakers.extend(consumer.sink.deliver(consumer, self.deliveries));
        }
    }
}
