//! A queue as everyone outside reaches it: the pure state machine behind its one short lock, with
//! what its calls owe to the store, the timer and the memory budget.
//!
//! Invariants: records are appended before the lock is released, so the store sees them in the
//! queue's order; deliveries are handed to their sink before the lock is released, so nobody
//! overtakes; no other queue's lock is taken meanwhile; a queue that is gone stays gone.

use std::sync::{Arc, OnceLock, Weak};

use std::task::{Poll, Waker};

use leveret_queues::queue::{
    AttachRefused, ConsumerId, ConsumerSpec, Counts, Delivery, Effects, GetReply, Gone, Overflow, Published,
    Queue, ReadAsk, Requeue, Settings, Token,
};
use leveret_queues::store::{Broken, Position, ReadWish, Record, SettleReason, Store, Stored};
use leveret_queues::{Message, Millis, QueueId, Seq};
use parking_lot::{Mutex, MutexGuard};

use super::arguments::FieldTable;
use super::broker::Broker;
use super::consumer::Consumer;
use super::dead_letter::DeadLetterRule;
use super::deadlines::{Deadlines, Ticks};
use super::deduplication::Deduplication;
use super::futility::Futility;
use super::memory::Memory;
use super::names::{ConnectionId, QueueName, VhostName};
use super::paging::Paging;
use super::queue_options::QueueOptions;
use super::refusal::{Refusal, Resource};
use super::turn::{Dead, Gathering, Turn};

/// What all queues of a broker share.
pub struct QueueEnvironment {
    pub(super) store: Arc<dyn Store>,
    pub(super) memory: Memory,
    pub(super) deadlines: Deadlines,
    pub(super) clock: fn() -> Millis,
    /// The broker, for turns that begin on a thread of the store.
    pub(super) broker: OnceLock<Weak<Broker>>,
}

/// How a queue was declared.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// Survives a restart.
    pub durable: bool,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// Belongs to this connection only.
    pub exclusive_owner: Option<ConnectionId>,
    /// In no list, and reached through the default exchange only.
    pub hidden: bool,
    /// As given, unknown ones too.
    pub arguments: FieldTable,
}

/// Counts since the queue was declared or the broker started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct QueueStats {
    /// Messages that came in.
    pub published: u64,
    /// Deliveries to consumers that acknowledge.
    pub delivered: u64,
    /// Deliveries to consumers that do not.
    pub delivered_no_ack: u64,
    /// Deliveries of messages that had been delivered before, gets included.
    pub redelivered: u64,
    /// `basic.get` with acknowledgement.
    pub got: u64,
    /// `basic.get` without.
    pub got_no_ack: u64,
    /// `basic.get` that found nothing.
    pub got_empty: u64,
    /// Acknowledgements.
    pub acked: u64,
}

/// One queue.
pub struct QueueHandle {
    /// This incarnation.
    pub id: QueueId,
    /// Its place in the vhost's table of queues; what the router gives back.
    pub slot: u32,
    /// Its name.
    pub name: QueueName,
    /// Its vhost.
    pub vhost: VhostName,
    /// How it was declared.
    pub spec: QueueSpec,
    /// Milliseconds after which an unacknowledged delivery closes its channel (`x-consumer-timeout`).
    pub consumer_timeout_ms: Option<u64>,
    /// Redelivered messages tell how often (`x-delivery-count`).
    tells_delivery_count: bool,
    environment: Arc<QueueEnvironment>,
    cell: Mutex<Cell>,
}

/// Which queue it is.
pub(super) struct Place {
    pub(super) id: QueueId,
    pub(super) slot: u32,
    pub(super) name: QueueName,
    pub(super) vhost: VhostName,
}

#[expect(clippy::struct_excessive_bools, reason = "four facts that do not exclude each other")]
struct Cell {
    queue: Queue<Arc<Consumer>>,
    dead_letter: Option<Arc<DeadLetterRule>>,
    /// What it refuses is dead-lettered (`reject-publish-dlx`).
    refused_die: bool,
    deduplication: Option<Box<Deduplication>>,
    gone: bool,
    had_consumer: bool,
    /// The instant for which a tick is asked already.
    tick_at: Option<Millis>,
    paging: Paging,
    futility: Futility,
    resident: u64,
    /// A `basic.get` found that the head is not in memory.
    head_unready: bool,
    /// Clients whose `basic.get` waits for it.
    waiting: Vec<Waker>,
    stats: QueueStats,
}

impl Cell {
    fn head_may_be_ready(&mut self) {
        self.head_unready = false;
        for waiting in self.waiting.drain(..) {
            waiting.wake();
        }
    }
}

/// One message of a batch for one queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// Index in the batch.
    pub(super) index: u32,
    /// No other queue of the batch gets it, so it can be moved out.
    pub(super) only: bool,
    /// This queue is its only durable target.
    pub(super) sole: bool,
}

/// What `basic.get` finds.
#[derive(Debug)]
pub enum GetOutcome {
    /// A message, and how many are left behind it.
    Message(Delivery, u64),
    /// Nothing is ready.
    Empty,
    /// The head is being read from disk; ask again when woken.
    NotYet,
}

/// What was closed by [`QueueHandle::close`].
pub(super) struct Closed {
    pub(super) messages: u64,
    pub(super) consumers: Vec<Arc<Consumer>>,
}

impl QueueHandle {
    pub(super) fn new(
        place: Place,
        spec: QueueSpec,
        options: &QueueOptions,
        queue: Queue<Arc<Consumer>>,
        environment: Arc<QueueEnvironment>,
    ) -> Arc<Self> {
        let cell = Cell {
            queue,
            dead_letter: options.dead_letter.clone(),
            refused_die: options.settings.overflow == Overflow::RejectPublishDeadLetter,
            deduplication: options.deduplication.clone().map(|rule| Box::new(Deduplication::new(rule))),
            gone: false,
            had_consumer: false,
            tick_at: None,
            paging: Paging::default(),
            futility: Futility::default(),
            resident: 0,
            head_unready: false,
            waiting: Vec::new(),
            stats: QueueStats::default(),
        };
        let Place { id, slot, name, vhost } = place;
        let tells_delivery_count = options.settings.delivery_limit.is_some();
        Arc::new(Self {
            id,
            slot,
            name,
            vhost,
            spec,
            consumer_timeout_ms: options.consumer_timeout_ms,
            tells_delivery_count,
            environment,
            cell: Mutex::new(cell),
        })
    }

    /// Asks for the first tick; for a queue that was just made visible.
    pub(super) fn arm(self: &Arc<Self>) {
        self.ask_for_tick(&mut self.cell.lock());
    }

    /// Runs `work` under the lock, and settles what it owes before the lock is released.
    fn enter<R>(self: &Arc<Self>, turn: &mut Turn, work: impl FnOnce(&mut Cell, &mut Work<'_>) -> R) -> R {
        let mut cell = self.cell.lock();
        let result = Self::run(&mut cell, turn, work);
        self.settle_up(&mut cell, turn);
        if !turn.records.is_empty() {
            let appended = append(&self.environment, turn);
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

    /// Gives memory back to the disk while all queues together hold too much.
    fn keep_to_budget(self: &Arc<Self>, cell: &mut Cell, turn: &mut Turn) {
        let memory = &self.environment.memory;
        let keep = memory.share();
        if !memory.is_short() || cell.resident <= keep * 2 {
            return;
        }
        let store = &*self.environment.store;
        let logged = cell.paging.worthwhile(store).is_some();
        let transients = cell.paging.transients_written(store);
        if transients {
            cell.queue.paged();
        }
        if logged || transients {
            cell.queue.page_out(keep, cell.paging.written_upto(), true);
        }
        let candidates = if cell.paging.has_transients {
            cell.queue.page_candidates(keep, PAGED_AT_ONCE)
        } else {
            Vec::new()
        };
        if !candidates.is_empty() {
            turn.records.extend(candidates.into_iter().map(|candidate| Record::Enqueue {
                queue: self.id,
                seq: candidate.seq,
                message: candidate.message,
                lane: candidate.lane,
                expires: candidate.expires,
                transient: true,
                sole: false,
            }));
            let appended = append(&self.environment, turn);
            cell.paging.transients_appended(appended);
        }
        self.count_memory(cell);
    }

    /// Pages out, for a queue that nobody touches while memory is short.
    pub(super) fn page_out(self: &Arc<Self>, turn: &mut Turn) {
        self.enter(turn, |_, _| ());
    }

    fn count_memory(&self, cell: &mut Cell) {
        let resident = cell.queue.counts().resident_bytes;
        if resident != cell.resident {
            self.environment.memory.moved(cell.resident, resident);
            cell.resident = resident;
        }
    }

    fn settle_up(self: &Arc<Self>, cell: &mut Cell, turn: &mut Turn) {
        let Turn { effects, records, dead, purged, .. } = turn;
        for gone in effects.gone.drain(..) {
            if gone.dead_letter {
                dead.push(Dead {
                    source: Arc::clone(self),
                    message: gone.message,
                    reason: gone.reason,
                    place: gone.stored.then_some((gone.seq, gone.lane)),
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
            tracing::error!(vhost = %self.vhost, queue = %self.name, seq = seq.0, "message lost: {why}");
            records.push(self.settled(seq, SettleReason::Purged));
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
        self.ask_for_tick(cell);
    }

    fn ask_for_tick(self: &Arc<Self>, cell: &mut Cell) {
        let wanted = [cell.queue.next_deadline(), cell.queue.idle_deadline(), cell.futility.until()];
        if let Some(at) = wanted.into_iter().flatten().min()
            && !cell.gone
            && cell.tick_at.is_none_or(|asked| at < asked)
        {
            self.environment.deadlines.set(at, cell.tick_at, self);
            cell.tick_at = Some(at);
        }
    }

    /// The store is told that the queue is done with a message, unless it need not hear of it at all.
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

    /// The record that says that the queue is done with one message.
    pub(super) fn settled(&self, seq: Seq, reason: SettleReason) -> Record {
        Record::Settle { queue: self.id, first: seq, count: 1, reason }
    }

    fn read(self: &Arc<Self>, ask: ReadAsk) {
        let wish = ReadWish {
            queue: self.id,
            lane: ask.lane,
            from: ask.from,
            to: ask.to,
            max_messages: ask.max_messages,
            max_bytes: READ_AHEAD_BYTES,
        };
        let this = Arc::clone(self);
        self.environment.store.read(wish, Box::new(move |read| this.fetched(ask, read)));
    }

    fn fetched(self: &Arc<Self>, ask: ReadAsk, read: Result<Vec<Stored>, Broken>) {
        let mut turn = Turn::at((self.environment.clock)());
        self.enter(&mut turn, |cell, work| {
            match read {
                Ok(stored) => cell.queue.fetched(work.now, stored, ask, &mut work.outlet, work.effects),
                Err(Broken) => cell.queue.read_failed(work.now, ask),
            }
            cell.head_may_be_ready();
        });
        self.finish(&mut turn);
    }

    /// Reads a dead letter's body back, then sends it on.
    pub(super) fn read_dead(self: &Arc<Self>, seq: Seq, lane: u8, reason: SettleReason) {
        let wish =
            ReadWish { queue: self.id, lane, from: seq, to: seq, max_messages: 1, max_bytes: usize::MAX };
        let this = Arc::clone(self);
        let answer = move |read: Result<Vec<Stored>, Broken>| {
            let Ok(stored) = read else { return };
            let mut turn = Turn::at((this.environment.clock)());
            for stored in stored {
                match stored.message {
                    Ok(message) => turn.dead.push(Dead {
                        source: Arc::clone(&this),
                        message: Some(message),
                        reason,
                        place: Some((seq, lane)),
                    }),
                    Err(why) => {
                        tracing::error!(vhost = %this.vhost, queue = %this.name, "dead letter lost: {why}");
                    }
                }
            }
            this.finish(&mut turn);
        };
        self.environment.store.read(wish, Box::new(answer));
    }

    /// Ready when a `basic.get` that found the head unread may be tried again.
    pub fn poll_head(&self, waker: &Waker) -> Poll<()> {
        let mut cell = self.cell.lock();
        if cell.gone || !cell.head_unready {
            return Poll::Ready(());
        }
        cell.waiting.push(waker.clone());
        Poll::Pending
    }

    /// The message with its delivery count in the headers, if this queue tells it.
    pub fn with_delivery_count(&self, delivery: &Delivery) -> Option<Message> {
        if !self.tells_delivery_count || delivery.delivery_count == 0 {
            return None;
        }
        Some(super::copies::with_delivery_count(&delivery.message, delivery.delivery_count))
    }

    /// Ends a turn that nobody else ends.
    fn finish(&self, turn: &mut Turn) {
        match self.environment.broker.get().and_then(Weak::upgrade) {
            Some(broker) => broker.finish(turn),
            None => turn.wake(),
        }
    }
}

/// Transient messages handed to the store at a time when memory is short.
const PAGED_AT_ONCE: usize = 1000;

/// Bytes of bodies read back from disk at a time, for one queue.
const READ_AHEAD_BYTES: usize = 1024 * 1024;

/// What a call on the queue may use.
struct Work<'a> {
    now: Millis,
    outlet: Gathering<'a>,
    effects: &'a mut Effects,
    records: &'a mut Vec<Record>,
    dead: &'a mut Vec<Dead>,
}

impl QueueHandle {
    /// Publishes the batch's `members` in order. Indices of messages that the queue refuses
    /// (`reject-publish`) are added to `refused`.
    pub(super) fn publish(
        self: &Arc<Self>,
        turn: &mut Turn,
        batch: &mut [Option<Message>],
        members: &[Member],
        refused: &mut Vec<u32>,
    ) {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return;
            }
            cell.stats.published += members.len() as u64;
            for member in members {
                let slot = &mut batch[member.index as usize];
                let taken = if member.only { slot.take() } else { slot.clone() };
                let Some(message) = taken else { continue };
                if !self.take_in(cell, work, message, member.sole) {
                    refused.push(member.index);
                }
            }
        });
    }

    /// Puts one message into the queue, with the record it owes. `false`: the queue refuses it.
    fn take_in(self: &Arc<Self>, cell: &mut Cell, work: &mut Work<'_>, message: Message, sole: bool) -> bool {
        if cell.gone {
            return true;
        }
        if let Some(seen) = &mut cell.deduplication
            && seen.is_duplicate(&message, work.now)
        {
            return true;
        }
        let logged = self.spec.durable && message.meta().persistent;
        cell.paging.has_transients |= !logged;
        let copy = (logged || cell.refused_die).then(|| message.clone());
        match cell.queue.publish(work.now, message, &mut work.outlet, work.effects) {
            Published::Passed => {}
            Published::Enqueued { seq, lane, expires } => {
                if let Some(message) = copy.filter(|_| logged) {
                    cell.paging.logged(seq);
                    work.records.push(Record::Enqueue {
                        queue: self.id,
                        seq,
                        message,
                        lane,
                        expires,
                        transient: false,
                        sole,
                    });
                }
            }
            Published::Refused { dead_letter } => {
                if let Some(message) = copy.filter(|_| dead_letter) {
                    work.dead.push(Dead {
                        source: Arc::clone(self),
                        message: Some(message),
                        reason: SettleReason::MaxLength,
                        place: None,
                    });
                }
                return false;
            }
        }
        true
    }

    /// Registers a consumer. Nothing is delivered before [`QueueHandle::kick`], so that
    /// `basic.consume-ok` can go out first.
    pub fn attach(self: &Arc<Self>, turn: &mut Turn, consumer: &Arc<Consumer>) -> Result<(), Refusal> {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return Err(self.not_found());
            }
            let spec = ConsumerSpec {
                id: consumer.id,
                handle: Arc::clone(consumer),
                no_ack: consumer.no_ack,
                prefetch: consumer.prefetch,
                priority: consumer.priority,
                exclusive: consumer.exclusive,
            };
            match cell.queue.attach(work.now, spec, work.effects) {
                Ok(()) => {
                    cell.had_consumer = true;
                    Ok(())
                }
                Err(
                    AttachRefused::ExclusiveInUse
                    | AttachRefused::ExclusiveOnSingleActive
                    | AttachRefused::DuplicateId,
                ) => Err(Refusal::ExclusiveUse { queue: self.name.clone(), vhost: self.vhost.clone() }),
            }
        })
    }

    /// Takes a consumer away. What it has not acknowledged stays with its channel. An auto-delete
    /// queue that lost its last consumer is noted in the turn. Nobody is served in its place before
    /// [`QueueHandle::kick`]: what it held may have to come back first.
    pub fn detach(self: &Arc<Self>, turn: &mut Turn, id: ConsumerId) {
        let last = self.enter(turn, |cell, work| {
            let existed = cell.queue.detach(work.now, id, work.effects);
            existed && cell.had_consumer && cell.queue.counts().consumers == 0
        });
        if last && self.spec.auto_delete {
            turn.deletable.push(Arc::clone(self));
        }
    }

    /// Delivers whatever can be delivered.
    pub fn kick(self: &Arc<Self>, turn: &mut Turn) {
        self.enter(turn, |cell, work| {
            cell.queue.kick(work.now, &mut work.outlet, work.effects);
        });
    }

    /// A consumer's connection has room again.
    pub fn unblock(self: &Arc<Self>, turn: &mut Turn, id: ConsumerId) {
        self.enter(turn, |cell, work| {
            cell.queue.unblock(id);
            cell.queue.kick(work.now, &mut work.outlet, work.effects);
        });
    }

    /// Takes one message, as `basic.get` does.
    pub fn get(self: &Arc<Self>, turn: &mut Turn, no_ack: bool) -> Result<GetOutcome, Refusal> {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return Err(self.not_found());
            }
            cell.queue.touch(work.now);
            match cell.queue.get(work.now, no_ack, work.effects) {
                GetReply::Got(got) => {
                    cell.stats.redelivered += u64::from(got.delivery.redelivered);
                    if no_ack {
                        cell.stats.got_no_ack += 1;
                    } else {
                        cell.stats.got += 1;
                    }
                    Ok(GetOutcome::Message(got.delivery, got.ready_left))
                }
                GetReply::Empty => {
                    cell.stats.got_empty += 1;
                    Ok(GetOutcome::Empty)
                }
                GetReply::NotYet => {
                    cell.head_unready = true;
                    Ok(GetOutcome::NotYet)
                }
            }
        })
    }

    /// Messages were acknowledged.
    pub fn settle(self: &Arc<Self>, turn: &mut Turn, tokens: &[Token]) {
        self.enter(turn, |cell, work| {
            cell.stats.acked += tokens.len() as u64;
            cell.futility = Futility::default();
            cell.queue.settle(tokens, work.effects);
            cell.queue.kick(work.now, &mut work.outlet, work.effects);
        });
    }

    /// Messages were rejected for good: dead-lettered or dropped.
    pub fn reject(self: &Arc<Self>, turn: &mut Turn, tokens: &[Token]) {
        self.enter(turn, |cell, work| {
            cell.futility = Futility::default();
            cell.queue.reject(work.now, tokens, work.effects);
            cell.queue.kick(work.now, &mut work.outlet, work.effects);
        });
    }

    /// Messages come back to their old places.
    pub fn requeue(self: &Arc<Self>, turn: &mut Turn, tokens: &[Token], cause: Requeue) {
        self.enter(turn, |cell, work| {
            cell.queue.requeue(work.now, tokens, cause, work.effects);
            if cause != Requeue::ChannelClosed {
                cell.futility.returned(work.now, tokens.len());
            }
            if !cell.futility.pauses(work.now) {
                cell.queue.kick(work.now, &mut work.outlet, work.effects);
            }
        });
    }

    /// Drops all ready messages; returns how many.
    pub fn purge(self: &Arc<Self>, turn: &mut Turn) -> Result<u64, Refusal> {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return Err(self.not_found());
            }
            Ok(cell.queue.purge(work.effects))
        })
    }

    /// The queue's asked-for instant has come.
    pub fn tick(self: &Arc<Self>, turn: &mut Turn) {
        let idle = self.enter(turn, |cell, work| {
            cell.tick_at = None;
            cell.futility.resume(work.now);
            cell.head_may_be_ready();
            cell.queue.tick(work.now, &mut work.outlet, work.effects);
            cell.queue.idle_deadline().is_some_and(|at| at <= work.now)
        });
        if idle {
            turn.deletable.push(Arc::clone(self));
        }
    }

    /// The queue was used in a way that renews its lease (`x-expires`).
    pub fn touch(&self, now: Millis) {
        self.cell.lock().queue.touch(now);
    }

    /// Message and consumer counts.
    pub fn counts(&self) -> Counts {
        self.cell.lock().queue.counts()
    }

    /// Counters since it was declared.
    pub fn stats(&self) -> QueueStats {
        self.cell.lock().stats
    }

    /// Where its dead letters go.
    pub fn dead_letter_rule(&self) -> Option<Arc<DeadLetterRule>> {
        self.cell.lock().dead_letter.clone()
    }

    /// Applies changed settings to the live queue.
    pub fn set_options(
        self: &Arc<Self>,
        turn: &mut Turn,
        settings: Settings,
        rule: Option<Arc<DeadLetterRule>>,
    ) {
        self.enter(turn, |cell, work| {
            cell.dead_letter = rule;
            cell.refused_die = settings.overflow == Overflow::RejectPublishDeadLetter;
            cell.queue.set_settings(work.now, settings, &mut work.outlet, work.effects);
        });
    }

    /// Whether an auto-delete queue is still without consumers, or an expiring one still idle, so
    /// that it may go.
    pub(super) fn may_go(&self, now: Millis) -> bool {
        let cell = self.cell.lock();
        let counts = cell.queue.counts();
        let idle = cell.queue.idle_deadline().is_some_and(|at| at <= now);
        !cell.gone && counts.consumers == 0 && ((self.spec.auto_delete && cell.had_consumer) || idle)
    }

    /// Ends the queue, if the conditions hold. From here on nothing enters or leaves it.
    pub(super) fn close(
        self: &Arc<Self>,
        turn: &mut Turn,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<Closed, Refusal> {
        let mut cell = self.cell.lock();
        let counts = cell.queue.counts();
        if cell.gone {
            return Err(self.not_found());
        }
        if if_unused && counts.consumers > 0 {
            return Err(Refusal::InUse {
                resource: Resource::Queue(self.name.clone()),
                vhost: self.vhost.clone(),
            });
        }
        if if_empty && counts.ready + counts.unacked > 0 {
            return Err(Refusal::NotEmpty { queue: self.name.clone(), vhost: self.vhost.clone() });
        }
        cell.gone = true;
        if let Some(at) = cell.tick_at.take() {
            self.environment.deadlines.forget(at, self);
        }
        let consumers: Vec<_> =
            cell.queue.consumers().map(|consumer| Arc::clone(&consumer.spec.handle)).collect();
        cell.queue = Queue::new(Settings::default(), turn.now);
        self.environment.memory.moved(cell.resident, 0);
        cell.resident = 0;
        if self.spec.durable {
            turn.records.push(Record::Gone { queue: self.id });
            let _ = self.environment.store.append(&mut turn.records);
            turn.records.clear();
        }
        cell.head_may_be_ready();
        Ok(Closed { messages: counts.ready, consumers })
    }

    /// Whether it was deleted.
    pub fn is_gone(&self) -> bool {
        self.cell.lock().gone
    }

    pub(super) fn not_found(&self) -> Refusal {
        Refusal::NotFound { resource: Resource::Queue(self.name.clone()), vhost: self.vhost.clone() }
    }
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

/// Puts a message into all of `targets` and appends `settle`, which says that its source is done with
/// it, as one group of records: after a crash it is either still in the source or in all targets.
///
/// The only place where several queues' locks are held at once; always in the order of their ids.
pub(super) fn move_message(
    turn: &mut Turn,
    environment: &QueueEnvironment,
    message: &Message,
    mut targets: Vec<Arc<QueueHandle>>,
    settle: Option<Record>,
) {
    targets.sort_by_key(|queue| queue.id);
    targets.dedup_by_key(|queue| queue.id);
    if targets.len() > 1 {
        message.always_log();
    }
    let sole = targets.len() == 1;
    let mut cells: Vec<(&Arc<QueueHandle>, MutexGuard<'_, Cell>)> =
        targets.iter().map(|queue| (queue, queue.cell.lock())).collect();
    for (queue, cell) in &mut cells {
        QueueHandle::run(cell, turn, |cell, work| queue.take_in(cell, work, message.clone(), sole));
        queue.settle_up(cell, turn);
    }
    turn.records.extend(settle);
    if !turn.records.is_empty() {
        let appended = append(environment, turn);
        for (_, cell) in &mut cells {
            cell.paging.appended(appended, &*environment.store);
        }
    }
}

/// Appends what the turn owes the store; under the locks of the queues that it is about.
pub(super) fn append(environment: &QueueEnvironment, turn: &mut Turn) -> Option<Position> {
    turn.appended = true;
    // A broken store says so to the waiters of confirms and through its pressure.
    let appended = environment.store.append(&mut turn.records).ok();
    turn.records.clear();
    appended
}
