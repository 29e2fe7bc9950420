//! One turn of work on queues: the scratch memory shared by the calls made in it, and what is owed
//! at its end, when no lock is held any more (wake-ups, dead letters, queues to delete).

use std::sync::Arc;
use std::task::Waker;

use leveret_queues::queue::{Delivery, Effects, Outlet, PurgeMark};
use leveret_queues::store::{Record, SettleReason};
use leveret_queues::{Message, Millis, Seq};

use super::consumer::Consumer;
use super::queue_handle::QueueHandle;

/// Scratch and debts of one turn. Reused from turn to turn by its owner, so that a steady flow of
/// messages allocates nothing here.
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
    /// Connections whose writer sleeps and now has something to write.
    pub(super) wakers: Vec<Waker>,
    /// Messages on their way to a dead-letter exchange.
    pub(super) dead: Vec<Dead>,
    /// Auto-delete queues that lost their last consumer.
    pub(super) deletable: Vec<Arc<QueueHandle>>,
    /// Consumers whose queue was deleted; they hear of it after the deletion's own answer.
    pub(super) cancelled: Vec<Arc<Consumer>>,
    /// What was purged: freed when no lock is held.
    pub(super) purged: Vec<PurgeMark>,
    /// Whether anything was appended to the store, so that a confirm has to wait for it.
    pub(crate) appended: bool,
    /// Something that was to be appended never can be: whoever published it is refused.
    pub(crate) unstorable: bool,
    /// How long work is done.
    pub(super) aside: Aside,
}

/// Nothing of what was published was appended to the store, so that its confirm has nothing to wait for.
#[derive(Clone, Copy, Debug)]
pub struct NothingAppended(());

/// Runs work that takes long, so that whoever waits for the same thread is not kept waiting. The owner of the thread
/// says how; else it is simply done.
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

/// A message that left its queue for a dead-letter exchange. It stays in the store under its
/// source until it is appended to its targets, in one group.
pub(super) struct Dead {
    pub(super) source: Arc<QueueHandle>,
    /// `None`: to be read back from the store first.
    pub(super) message: Option<Message>,
    pub(super) reason: SettleReason,
    /// Where the store knows it to be: place and priority level in its source.
    pub(super) place: Option<(Seq, u8)>,
    /// It may have been moved before the broker's last end.
    pub(super) may_have_left: bool,
}

impl Turn {
    /// A turn that starts at `now`.
    pub fn at(now: Millis) -> Self {
        Self { now, ..Self::default() }
    }

    /// From now on long work is done so.
    pub fn does_aside(&mut self, aside: Aside) {
        self.aside = aside;
    }

    /// Begins the next turn with the same scratch.
    pub fn restart(&mut self, now: Millis) {
        debug_assert!(self.dead.is_empty() && self.wakers.is_empty(), "the last turn was finished");
        self.now = now;
        self.appended = false;
        self.unstorable = false;
    }

    /// Proof that nothing was appended, if so.
    pub(crate) fn nothing_appended(&self) -> Option<NothingAppended> {
        (!self.appended).then_some(NothingAppended(()))
    }

    /// Wakes everyone who has something to write.
    pub fn wake(&mut self) {
        for waker in self.wakers.drain(..) {
            waker.wake();
        }
    }

    /// Notes someone to wake at the end.
    pub fn owe_wake(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }
}

/// Gathers consecutive deliveries to one consumer, so that its connection's lock is taken once for
/// all of them.
pub(super) struct Gathering<'a> {
    consumer: Option<Arc<Consumer>>,
    deliveries: &'a mut Vec<Delivery>,
    wakers: &'a mut Vec<Waker>,
    tally: Tally,
}

/// Deliveries counted by kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    pub(super) delivered: u64,
    pub(super) delivered_no_ack: u64,
    pub(super) redelivered: u64,
}

/// Deliveries gathered at most: they hold memory that the consumer's outbox does not count yet.
const GATHERED_MAX: usize = 256;

impl<'a> Gathering<'a> {
    pub(super) fn new(deliveries: &'a mut Vec<Delivery>, wakers: &'a mut Vec<Waker>) -> Self {
        Self { consumer: None, deliveries, wakers, tally: Tally::default() }
    }

    pub(super) const fn tally(&self) -> Tally {
        self.tally
    }

    /// Hands over what is gathered. Must be called before the queue's lock is released: another
    /// thread's deliveries must not overtake these.
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
