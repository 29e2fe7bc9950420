//! The calls on a queue: each is one turn at its lock.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Waker;

use leveret_message::stored::SettleReason;
use leveret_message::{Message, Millis};
use leveret_queues::{
    AttachRefused, ConsumerId, ConsumerSpec, GetReply, Published, Queue, Requeue, Settings, Token,
};
use leveret_store::Record;

use super::{Cell, Closed, GetOutcome, Member, QueueHandle, State, Work};
use crate::consumer::Consumer;
use crate::queue_options::InForce;
use crate::refusal::{Refusal, Resource};
use crate::requeue_backoff::RequeueBackoff;
use crate::turn::{Dead, Turn};

impl QueueHandle {
    /// Publishes the batch's `members` in order. Indices of messages refused by the queue (`reject-publish`) are added
    /// to `refused`.
    pub(crate) fn publish(
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

    /// Enqueues one message, and adds its record, if any. Returns `false` if the queue refuses it.
    pub(super) fn take_in(
        self: &Arc<Self>,
        cell: &mut Cell,
        work: &mut Work<'_>,
        message: Message,
        sole: bool,
    ) -> bool {
        if cell.gone {
            return true;
        }
        if let Some(seen) = &mut cell.deduplication
            && seen.is_duplicate(&message, work.now)
        {
            return true;
        }
        let logged = cell.queue.settings().durable && message.meta().persistent;
        let (message, sole) = if logged && cell.became_durable {
            // A copy: clones share one write state, and routing may have assigned the write to other queues only.
            (message.with_properties(message.properties(), message.meta()), true)
        } else {
            (message, sole)
        };
        cell.paging.has_transients |= !logged;
        let may_have_left = message.meta().redelivered;
        let copy = (logged || cell.refused_die).then(|| message.clone());
        match cell.queue.publish(work.now, message, &mut work.outlet, work.effects) {
            Published::Passed => {}
            Published::Enqueued { seq, priority_level, expires } => {
                if let Some(message) = copy.filter(|_| logged) {
                    cell.paging.logged(seq);
                    work.records.push(Record::Enqueue {
                        queue: self.id,
                        seq,
                        message,
                        priority_level,
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
                        may_have_left,
                    });
                }
                return false;
            }
        }
        true
    }

    /// Registers a consumer. `announce` queues its `basic.consume-ok` while the queue is locked: once it is unlocked,
    /// any publisher serves the new consumer. Ready messages are delivered by [`QueueHandle::dispatch`].
    pub fn attach(
        self: &Arc<Self>,
        turn: &mut Turn,
        consumer: &Arc<Consumer>,
        announce: impl FnOnce() -> Option<Waker>,
    ) -> Result<(), Refusal> {
        let waker = self.enter(turn, |cell, work| {
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
                    self.serves(cell);
                    Ok(announce())
                }
                Err(
                    AttachRefused::ExclusiveInUse
                    | AttachRefused::ExclusiveOnSingleActive
                    | AttachRefused::DuplicateId,
                ) => Err(Refusal::ExclusiveUse { queue: self.name.clone(), vhost: self.vhost.clone() }),
            }
        })?;
        turn.owe_wake(waker);
        Ok(())
    }

    /// Called before the first delivery or move: after a crash, the queue's messages then count as delivered.
    pub(super) fn serves(&self, cell: &mut Cell) {
        if !cell.served && self.durable() {
            cell.served = true;
            self.environment.store.serving(self.id);
        }
    }

    /// Removes a consumer. Its unacknowledged messages stay with its channel. An auto-delete queue that lost its last
    /// consumer is recorded in the turn. Other consumers are not served before [`QueueHandle::dispatch`]: its messages
    /// may have to be requeued first.
    pub fn detach(self: &Arc<Self>, turn: &mut Turn, id: ConsumerId) {
        let last = self.enter(turn, |cell, work| {
            let existed = cell.queue.detach(work.now, id, work.effects);
            existed && cell.had_consumer && cell.queue.counts().consumers == 0
        });
        if last && self.auto_delete() {
            turn.deletable.push(Arc::clone(self));
        }
    }

    /// Delivers all deliverable messages.
    pub fn dispatch(self: &Arc<Self>, turn: &mut Turn) {
        self.enter(turn, |cell, work| {
            cell.queue.dispatch(work.now, &mut work.outlet, work.effects);
        });
    }

    /// These consumers can take messages again: their connection has room, or their channel credit.
    pub fn unblock(self: &Arc<Self>, turn: &mut Turn, consumers: &[Arc<Consumer>]) {
        self.enter(turn, |cell, work| {
            for consumer in consumers {
                cell.queue.unblock(consumer.id);
            }
            cell.queue.dispatch(work.now, &mut work.outlet, work.effects);
        });
    }

    /// Takes one message (`basic.get`).
    pub fn get(self: &Arc<Self>, turn: &mut Turn, no_ack: bool) -> Result<GetOutcome, Refusal> {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return Err(self.not_found());
            }
            cell.queue.touch(work.now);
            if cell.queue.counts().ready > 0 {
                self.serves(cell);
            }
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
                    cell.head_unready.get_or_insert_default();
                    Ok(GetOutcome::NotYet)
                }
            }
        })
    }

    /// Acknowledges messages.
    pub fn settle(self: &Arc<Self>, turn: &mut Turn, tokens: &[Token]) {
        self.enter(turn, |cell, work| {
            cell.stats.acked += tokens.len() as u64;
            cell.requeue_backoff = RequeueBackoff::default();
            cell.queue.settle(tokens, work.effects);
            cell.queue.dispatch(work.now, &mut work.outlet, work.effects);
        });
    }

    /// Rejects messages without requeue: they are dead-lettered or dropped.
    pub fn reject(self: &Arc<Self>, turn: &mut Turn, tokens: &[Token]) {
        self.enter(turn, |cell, work| {
            cell.requeue_backoff = RequeueBackoff::default();
            cell.queue.reject(work.now, tokens, work.effects);
            cell.queue.dispatch(work.now, &mut work.outlet, work.effects);
        });
    }

    /// Requeues messages at their original positions, or until their retry is due.
    pub fn requeue(self: &Arc<Self>, turn: &mut Turn, tokens: &[Token], cause: Requeue) {
        self.enter(turn, |cell, work| {
            let waiting = cell.queue.counts().retrying;
            cell.queue.requeue(work.now, tokens, cause, work.effects);
            // What waits for its retry is no loop at full speed.
            let waiting = cell.queue.counts().retrying.saturating_sub(waiting);
            let at_once = (tokens.len() as u64).saturating_sub(waiting);
            if cause != Requeue::ChannelClosed && at_once > 0 {
                cell.requeue_backoff.returned(work.now, at_once);
            }
            if !cell.requeue_backoff.pauses(work.now) {
                cell.queue.dispatch(work.now, &mut work.outlet, work.effects);
            }
        });
    }

    /// All messages that wait for their retry are due now; returns their number.
    pub fn release_retries(self: &Arc<Self>, turn: &mut Turn) -> Result<u64, Refusal> {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return Err(self.not_found());
            }
            let released = cell.queue.release_retries();
            cell.queue.dispatch(work.now, &mut work.outlet, work.effects);
            Ok(released)
        })
    }

    /// Drops all messages that nobody holds; returns their number.
    pub fn purge(self: &Arc<Self>, turn: &mut Turn) -> Result<u64, Refusal> {
        self.enter(turn, |cell, work| {
            if cell.gone {
                return Err(self.not_found());
            }
            let damaged = std::mem::take(&mut cell.damaged).into_iter();
            work.records.extend(damaged.map(|seq| self.settled(seq, SettleReason::Purged)));
            Ok(cell.queue.purge(work.effects))
        })
    }

    /// The scheduled tick is due.
    pub fn tick(self: &Arc<Self>, turn: &mut Turn) {
        let idle = self.enter(turn, |cell, work| {
            cell.tick_at = None;
            cell.requeue_backoff.resume(work.now);
            self.read_letters_again(cell, work.now, work.dead);
            cell.head_may_be_ready();
            cell.queue.tick(work.now, &mut work.outlet, work.effects);
            !cell.undeleted && cell.queue.idle_deadline().is_some_and(|at| at <= work.now)
        });
        if idle {
            turn.deletable.push(Arc::clone(self));
        }
    }

    /// Replaces the settings in force.
    pub(crate) fn keep_to(self: &Arc<Self>, turn: &mut Turn, in_force: InForce) {
        if let State::Idle(idle) = &mut *self.state.lock()
            && in_force.settings.expires_ms.is_none()
        {
            self.note_rules(&in_force);
            idle.keep_to(in_force, self.durable());
            return;
        }
        self.enter(turn, |cell, work| {
            if !cell.gone {
                let settings = self.follow(cell, in_force);
                cell.queue.set_settings(work.now, settings, &mut work.outlet, work.effects);
            }
        });
    }

    /// Milliseconds after which an unacknowledged delivery closes its channel, if limited.
    pub fn consumer_timeout_ms(&self) -> Option<u64> {
        let timeout_ms = self.consumer_timeout_ms.load(Ordering::Relaxed);
        (timeout_ms > 0).then_some(timeout_ms)
    }

    /// Whether an auto-delete queue is still without consumers, or an expiring one still idle, so that it may be
    /// deleted.
    pub(crate) fn may_go(&self, now: Millis) -> bool {
        let state = self.state.lock();
        let State::Busy(cell) = &*state else { return false };
        let counts = cell.queue.counts();
        let idle = cell.queue.idle_deadline().is_some_and(|at| at <= now);
        !cell.gone && counts.consumers == 0 && ((self.auto_delete() && cell.had_consumer) || idle)
    }

    /// Whether [`QueueHandle::close`] would succeed now.
    pub(crate) fn check_close(&self, if_unused: bool, if_empty: bool) -> Result<(), Refusal> {
        self.may_close(&self.busy(), if_unused, if_empty)
    }

    fn may_close(&self, cell: &Cell, if_unused: bool, if_empty: bool) -> Result<(), Refusal> {
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
        if if_empty && counts.ready + counts.retrying > 0 {
            return Err(Refusal::NotEmpty { queue: self.name.clone(), vhost: self.vhost.clone() });
        }
        Ok(())
    }

    /// Closes the queue if the conditions hold; unacknowledged messages do not count for `if_empty`. From then on
    /// nothing enters or leaves it.
    pub(crate) fn close(
        self: &Arc<Self>,
        turn: &mut Turn,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<Closed, Refusal> {
        let mut cell = self.busy();
        self.may_close(&cell, if_unused, if_empty)?;
        let counts = cell.queue.counts();
        cell.gone = true;
        self.readable(&mut cell);
        Self::forget_unread_letters(&mut cell);
        self.environment.retired.lock().add(&cell.stats);
        if let Some(at) = cell.tick_at.take() {
            self.environment.deadlines.forget(at, self);
        }
        let consumers: Vec<_> =
            cell.queue.consumers().map(|consumer| Arc::clone(&consumer.spec.handle)).collect();
        let stored = cell.queue.is_known_to_store();
        cell.queue = Queue::new(Settings::default(), turn.now);
        self.environment.memory.moved(cell.resident, 0);
        cell.resident = 0;
        if stored {
            turn.records.push(Record::Gone { queue: self.id });
            let _ = self.environment.store.append(&mut turn.records);
            turn.records.clear();
        }
        cell.head_may_be_ready();
        Ok(Closed { messages: counts.ready + counts.retrying, consumers })
    }

    pub(crate) fn not_found(&self) -> Refusal {
        Refusal::NotFound { resource: Resource::Queue(self.name.clone()), vhost: self.vhost.clone() }
    }
}
