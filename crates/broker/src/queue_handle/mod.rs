//! The public handle of a queue: the pure state machine behind one short lock, with its calls' effects on the store,
//! the timer and the memory budget.
//!
//! Invariants: records are appended before the lock is released, so the store sees them in the queue's order;
//! deliveries are handed to their sink before the lock is released, so order is kept; no other queue's lock is taken
//! meanwhile; a deleted queue stays deleted.

mod calls;
mod change;
mod letters;
mod memory;
mod moves;
mod peek;
mod reading;
mod state;
mod view;

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use leveret_message::stored::SettleReason;
use leveret_message::{Message, Millis, QueueId, Seq};
use leveret_queues::{Delivery, Effects, Gone, Queue};
use leveret_store::{NotAppended, Position, Pressure, Record, Store};
use parking_lot::{Mutex, RwLock, RwLockReadGuard};
use rustc_hash::FxHashMap;

pub(super) use letters::READ_AGAIN_MS;
pub(super) use moves::move_message;
pub use peek::{DiskRange, Peek, PeekedMessage, Retry};
use state::{Cell, State};
pub use view::{ConsumerListed, QueueView};

use super::arguments::FieldTable;
use super::consumer::Consumer;
use super::deadlines::{Deadlines, Ticks};
use super::deduplication::DeduplicationRule;
use super::memory::Memory;
use super::names::{ConnectionId, ExchangeName, QueueName, VhostName};
use super::queue_kind::QueueKind;
use super::queue_options::{InForce, QueueSpec};
use super::turn::{Dead, Gathering, Turn};

/// Check interval in milliseconds while the store cannot keep up.
pub(super) const WRITE_AGAIN_MS: u64 = 100;

/// Check interval in milliseconds while the store cannot write at all, possibly for hours and for many queues.
pub(super) const ROOM_AGAIN_MS: u64 = 1000;

/// A delayed message leaving its delay room.
pub(super) struct Released<'a> {
    pub(super) vhost: &'a VhostName,
    pub(super) exchange: &'a ExchangeName,
    pub(super) due: Millis,
    pub(super) message: &'a Message,
    /// Removes it from the store.
    pub(super) settle: Option<Record>,
    /// It may have been released in an earlier run.
    pub(super) may_have_left: bool,
}

/// Finishes turns begun on a store thread. Implemented by the broker.
pub(super) trait Ends: Send + Sync {
    /// Ends the turn.
    fn finish(&self, turn: &mut Turn);

    /// Routes a message whose delay has elapsed, and moves it to its queues in one step of the store.
    fn release(&self, turn: &mut Turn, released: Released<'_>);
}

/// State shared by all queues of a broker.
pub struct QueueEnvironment {
    pub(super) store: Arc<dyn Store>,
    pub(super) memory: Memory,
    pub(super) deadlines: Deadlines,
    /// Number of queues whose next message cannot be read from disk.
    pub(super) unreadable: AtomicUsize,
    /// Totals of deleted queues.
    pub(super) retired: Mutex<QueueStats>,
    /// Queues adopted without their definitions: messages up to these sequence numbers never expire.
    pub(super) adopted: RwLock<FxHashMap<QueueId, Seq>>,
    pub(super) clock: fn() -> Millis,
    /// The broker, for turns begun on a store thread.
    pub(super) broker: OnceLock<Weak<dyn Ends>>,
}

impl QueueEnvironment {
    /// Messages of the queue up to `upto` never expire.
    pub(super) fn adopted(&self, id: QueueId, upto: Seq) {
        self.adopted.write().insert(id, upto);
    }

    /// Sequence number up to which the queue's messages never expire.
    pub(super) fn adopted_upto(&self, id: QueueId) -> Option<Seq> {
        self.adopted.read().get(&id).copied()
    }

    pub(super) fn forget_adopted(&self, id: QueueId) {
        if self.adopted_upto(id).is_some() {
            self.adopted.write().remove(&id);
        }
    }
}

/// Counts since the queue was declared or the broker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages enqueued.
    pub published: u64,
    /// Deliveries to consumers with acknowledgements.
    pub delivered: u64,
    /// Deliveries to consumers without.
    pub delivered_no_ack: u64,
    /// Redeliveries, `basic.get` included.
    pub redelivered: u64,
    /// Messages fetched by `basic.get` with acknowledgement.
    pub got: u64,
    /// Messages fetched by `basic.get` without.
    pub got_no_ack: u64,
    /// `basic.get` that found nothing.
    pub got_empty: u64,
    /// Acknowledgements.
    pub acked: u64,
}

impl QueueStats {
    /// Adds another's counts.
    pub fn add(&mut self, other: &Self) {
        self.published += other.published;
        self.delivered += other.delivered;
        self.delivered_no_ack += other.delivered_no_ack;
        self.redelivered += other.redelivered;
        self.got += other.got;
        self.got_no_ack += other.got_no_ack;
        self.got_empty += other.got_empty;
        self.acked += other.acked;
    }
}

/// One queue.
pub struct QueueHandle {
    /// Id of this incarnation.
    pub id: QueueId,
    /// Slot in the vhost's queue table; the router's result.
    pub slot: u32,
    /// Its name.
    pub name: QueueName,
    /// Its vhost.
    pub vhost: VhostName,
    /// The connection it is exclusive to.
    pub exclusive_owner: Option<ConnectionId>,
    /// Not listed, and reachable only through the default exchange.
    pub hidden: bool,
    durable: AtomicBool,
    auto_delete: AtomicBool,
    arguments: RwLock<FieldTable>,
    /// See [`QueueHandle::consumer_timeout_ms`]; 0 for none.
    consumer_timeout_ms: AtomicU64,
    /// The counts that redelivered messages carry: see [`TELLS_DELIVERIES`], [`TELLS_ACQUISITIONS`].
    tells_counts: AtomicU8,
    environment: Arc<QueueEnvironment>,
    state: Mutex<State>,
}

/// Identity of a queue.
pub(super) struct Place {
    pub(super) id: QueueId,
    pub(super) slot: u32,
    pub(super) name: QueueName,
    pub(super) vhost: VhostName,
}

/// A queue's initial messages and settings when it becomes visible.
pub(super) struct Installed {
    pub(super) in_force: InForce,
    pub(super) deduplication: Option<DeduplicationRule>,
    pub(super) queue: Queue<Arc<Consumer>>,
}

/// There may be a hundred thousand idle queues: including the counts of its `Arc`, one must fit the allocator's size
/// class of 192 bytes; the next is 224.
const _: () = assert!(size_of::<QueueHandle>() <= 176);

/// A message of a batch, for one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Index in the batch.
    pub(super) index: u32,
    /// No other queue of the batch gets it, so it can be moved.
    pub(super) only: bool,
    /// This queue is its only durable target.
    pub(super) sole: bool,
}

/// Redelivered messages carry `x-delivery-count`.
const TELLS_DELIVERIES: u8 = 1;

/// Redelivered messages carry `x-acquired-count`.
const TELLS_ACQUISITIONS: u8 = 2;

fn counts_told(in_force: &InForce, kind: QueueKind) -> u8 {
    let deliveries = if in_force.settings.counts_deliveries() { TELLS_DELIVERIES } else { 0 };
    let acquisitions = if kind.traits().tells_acquisitions { TELLS_ACQUISITIONS } else { 0 };
    deliveries | acquisitions
}

/// Result of `basic.get`.
#[derive(Debug)]
pub enum GetOutcome {
    /// A message, and the number of messages left.
    Message(Delivery, u64),
    /// No message is ready.
    Empty,
    /// The head is being read from disk; retry when woken.
    NotYet,
}

/// A queue closed by [`QueueHandle::close`].
pub(super) struct Closed {
    pub(super) messages: u64,
    pub(super) consumers: Vec<Arc<Consumer>>,
}

impl QueueHandle {
    pub(super) fn new(
        place: Place,
        spec: QueueSpec,
        installed: Installed,
        environment: Arc<QueueEnvironment>,
    ) -> Arc<Self> {
        let consumer_timeout_ms = installed.in_force.consumer_timeout_ms.unwrap_or(0);
        let tells_counts = counts_told(&installed.in_force, QueueKind::of(&spec.arguments));
        let state = State::new(installed);
        let Place { id, slot, name, vhost } = place;
        let QueueSpec { durable, auto_delete, exclusive_owner, hidden, arguments } = spec;
        Arc::new(Self {
            id,
            slot,
            name,
            vhost,
            exclusive_owner,
            hidden,
            durable: AtomicBool::new(durable),
            auto_delete: AtomicBool::new(auto_delete),
            arguments: RwLock::new(arguments),
            consumer_timeout_ms: AtomicU64::new(consumer_timeout_ms),
            tells_counts: AtomicU8::new(tells_counts),
            environment,
            state: Mutex::new(state),
        })
    }

    /// Whether it survives a restart.
    pub fn durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// Whether it is deleted with its last consumer.
    pub fn auto_delete(&self) -> bool {
        self.auto_delete.load(Ordering::Relaxed)
    }

    /// Its arguments as given, including unknown ones.
    pub fn arguments(&self) -> RwLockReadGuard<'_, FieldTable> {
        self.arguments.read()
    }

    /// Its current declaration.
    pub fn spec(&self) -> QueueSpec {
        QueueSpec {
            durable: self.durable(),
            auto_delete: self.auto_delete(),
            exclusive_owner: self.exclusive_owner,
            hidden: self.hidden,
            arguments: self.arguments().clone(),
        }
    }

    /// Schedules the first tick of a queue that became visible.
    pub(super) fn arm(self: &Arc<Self>) {
        if let State::Busy(cell) = &mut *self.state.lock() {
            self.ask_for_tick(cell);
        }
    }

    /// Its deletion could not be made durable, and will be retried. Returns `false` if that was already recorded. Until
    /// then it schedules no ticks for being idle.
    pub(crate) fn put_deletion_off(self: &Arc<Self>) -> bool {
        let mut cell = self.busy();
        if std::mem::replace(&mut cell.undeleted, true) {
            return false;
        }
        if let Some(at) = cell.tick_at.take() {
            self.environment.deadlines.forget(at, self);
        }
        self.ask_for_tick(&mut cell);
        true
    }

    /// The deletion is about to be retried.
    pub(crate) fn take_deletion_up(self: &Arc<Self>) {
        let mut cell = self.busy();
        cell.undeleted = false;
        self.ask_for_tick(&mut cell);
    }

    /// Runs `work` under the lock, and processes its effects before the lock is released.
    fn enter<R>(self: &Arc<Self>, turn: &mut Turn, work: impl FnOnce(&mut Cell, &mut Work<'_>) -> R) -> R {
        let mut cell = self.busy();
        self.hold_letters(&mut cell);
        let result = Self::run(&mut cell, turn, work);
        self.settle_up(&mut cell, turn);
        if !turn.records.is_empty() {
            let appended = append_each(&self.environment, turn);
            cell.paging.appended(appended, &*self.environment.store);
        }
        self.keep_to_budget(&mut cell, turn);
        result
    }

    fn run<R>(cell: &mut Cell, turn: &mut Turn, work: impl FnOnce(&mut Cell, &mut Work<'_>) -> R) -> R {
        let mut given = Work {
            now: turn.now,
            outlet: Gathering::new(&mut turn.deliveries, &mut turn.wakers),
            effects: &mut turn.effects,
            records: &mut turn.records,
            dead: &mut turn.dead,
        };
        let result = work(cell, &mut given);
        given.outlet.flush();
        let tally = given.outlet.tally();
        cell.stats.delivered += tally.delivered;
        cell.stats.delivered_no_ack += tally.delivered_no_ack;
        cell.stats.redelivered += tally.redelivered;
        result
    }

    fn settle_up(self: &Arc<Self>, cell: &mut Cell, turn: &mut Turn) {
        let Turn { now, effects, records, dead, purged, .. } = turn;
        for gone in effects.gone.drain(..) {
            if gone.dead_letter {
                self.serves(cell);
                dead.push(Dead {
                    source: Arc::clone(self),
                    message: gone.message,
                    reason: gone.reason,
                    place: gone.stored.then_some((gone.seq, gone.priority_level)),
                    may_have_left: cell.queue.may_have_left(gone.seq),
                });
            } else if gone.stored {
                self.owe_settle(&gone, records);
            }
        }
        if let Some(mut mark) = effects.purge.take() {
            if mark.stored {
                let kept = std::mem::take(&mut mark.kept);
                records.push(Record::Purge { queue: self.id, upto: mark.upto, kept });
            }
            purged.push(mark);
        }
        for (seq, count) in effects.returned.drain(..) {
            records.push(Record::Returned { queue: self.id, seq, count });
        }
        if let Some(upto) = effects.delivered_upto.take() {
            records.push(Record::Delivered { queue: self.id, upto });
        }
        for (seq, why) in effects.damaged.drain(..) {
            self.tell_damaged(&why);
            cell.damaged.push(seq);
        }
        let lost = std::mem::take(&mut effects.lost);
        if lost > 0 {
            tracing::error!(vhost = %self.vhost, queue = %self.name, "{lost} messages were not in the store");
        }
        effects.activity.clear();
        if let Some(ask) = effects.read.take() {
            self.read(ask);
        }
        self.count_memory(cell);
        if cell.queue.letters_wait() {
            cell.letters_again_at = Some(now.plus(self.write_again_ms()));
        }
        self.ask_for_tick(cell);
    }

    /// Dead letters are written anew: on a full disk they would take the last room, otherwise memory needed for
    /// messages being written.
    fn hold_letters(&self, cell: &mut Cell) {
        cell.letters_again_at = None;
        if cell.dead_letter.is_some() {
            cell.queue.hold_letters(self.environment.store.pressure() != Pressure::None);
        }
    }

    /// Milliseconds until writability is checked again.
    fn write_again_ms(&self) -> u64 {
        match self.environment.store.pressure() {
            Pressure::Blocked(_) => ROOM_AGAIN_MS,
            Pressure::None | Pressure::Full => WRITE_AGAIN_MS,
        }
    }

    fn ask_for_tick(self: &Arc<Self>, cell: &mut Cell) {
        let letters = cell.unread_letters.as_ref().and_then(|unread| unread.again_at());
        let idle = cell.queue.idle_deadline().filter(|_| !cell.undeleted);
        let wanted =
            [cell.queue.next_deadline(), idle, cell.requeue_backoff.until(), letters, cell.letters_again_at];
        if let Some(at) = wanted.into_iter().flatten().min()
            && !cell.gone
            && cell.tick_at.is_none_or(|asked| at < asked)
        {
            self.environment.deadlines.set(at, cell.tick_at, self);
            cell.tick_at = Some(at);
        }
    }

    /// Records for the store that the queue is done with a message, unless the store need not know.
    fn owe_settle(&self, gone: &Gone, records: &mut Vec<Record>) {
        if gone.message.as_ref().is_some_and(Message::settle_unless_taken) {
            return;
        }
        if let Some(Record::Settle { queue, first, count, reason }) = records.last_mut()
            && *queue == self.id
            && *reason == gone.reason
            && first.0 + *count == gone.seq.0
        {
            *count += 1;
            return;
        }
        records.push(self.settled(gone.seq, gone.reason));
    }

    /// The record that the queue is done with a message.
    pub(super) fn settled(&self, seq: Seq, reason: SettleReason) -> Record {
        Record::Settle { queue: self.id, first: seq, count: 1, reason }
    }

    /// The message with its counts in the headers, if it was delivered before and this queue adds them.
    pub fn with_counts(&self, delivery: &Delivery) -> Option<Message> {
        self.counted(&delivery.message, delivery.delivery_count, delivery.acquired_count)
    }

    fn counted(&self, message: &Message, delivery_count: u32, acquired_count: u32) -> Option<Message> {
        if acquired_count == 0 {
            return None;
        }
        let tells = self.tells_counts.load(Ordering::Relaxed);
        let told = |what: u8, count: u32| (tells & what != 0 && count > 0).then_some(count);
        let delivery_count = told(TELLS_DELIVERIES, delivery_count);
        let acquired_count = told(TELLS_ACQUISITIONS, acquired_count);
        if delivery_count.is_none() && acquired_count.is_none() {
            return None;
        }
        Some(super::copies::with_counts(message, delivery_count, acquired_count))
    }

    /// Finishes a turn that has no other owner.
    fn finish(&self, turn: &mut Turn) {
        match self.environment.broker.get().and_then(Weak::upgrade) {
            Some(broker) => broker.finish(turn),
            None => turn.wake(),
        }
    }
}

/// The resources of a call on the queue.
struct Work<'a> {
    now: Millis,
    outlet: Gathering<'a>,
    effects: &'a mut Effects,
    records: &'a mut Vec<Record>,
    dead: &'a mut Vec<Dead>,
}

impl Ticks for QueueHandle {
    fn tick(self: Arc<Self>, turn: &mut Turn) {
        Self::tick(&self, turn);
    }
}

impl std::fmt::Debug for QueueHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueHandle")
            .field("vhost", &self.vhost)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// Appends the turn's records as one group; under the locks of the queues concerned.
pub(super) fn append(environment: &QueueEnvironment, turn: &mut Turn) -> Option<Position> {
    let appended = environment.store.append(&mut turn.records);
    note(turn, appended)
}

/// The same for independent records.
pub(super) fn append_each(environment: &QueueEnvironment, turn: &mut Turn) -> Option<Position> {
    let appended = environment.store.append_each(&mut turn.records);
    note(turn, appended)
}

fn note(turn: &mut Turn, appended: Result<Position, NotAppended>) -> Option<Position> {
    turn.appended = true;
    let position = match appended {
        Ok(position) => Some(position),
        // A broken store reports through confirms and its pressure.
        Err(NotAppended::Broken) => None,
        Err(why @ NotAppended::TooLarge { .. }) => {
            let queue = turn.records.first().map(Record::queue);
            tracing::warn!(?queue, "not kept on disk: {why}");
            turn.unstorable = true;
            None
        }
    };
    turn.records.clear();
    position
}
