//! Where the delayed messages of one exchange wait: the schedule behind its lock, with what it owes
//! to the store and the timer (rabbitmq-semantics 2p).
//!
//! Invariants: a persistent message on a durable exchange is in the store, under the holder's own id,
//! from before its publish is confirmed until the step that puts it into its queues; messages are
//! released in order of due time; at most [`DELAYED_BYTES_MAX`] of bodies stay in memory, and one
//! read from the store is under way at a time.
//! Absent: routing; a timer per message.

use std::sync::{Arc, Weak};

use leveret_queues::store::{Broken, ReadWish, Record, SettleReason, Stored};
use leveret_queues::{Message, Millis, QueueId, Seq};
use parking_lot::{Mutex, MutexGuard};

use super::deadlines::Ticks;
use super::delay::{Body, Pending, PendingId};
use super::limits::DELAYED_BYTES_MAX;
use super::names::{ExchangeName, VhostName};
use super::queue_handle::{QueueEnvironment, append};
use super::refusal::Refusal;
use super::turn::Turn;

/// A persistent message due later than this is not worth memory, in milliseconds.
const KEPT_FOR_MS: u64 = 60_000;

/// Messages released in one tick, at most: the timer serves others, too.
const RELEASED_AT_ONCE: usize = 512;

/// Entries taken over from the store in one tick after a start.
const RESTORED_AT_ONCE: usize = 10_000;

/// Bytes of bodies read back at once, beyond which no further one is.
const READ_BYTES: usize = 1024 * 1024;

/// The waiting room of one `x-delayed-message` exchange.
pub struct Holder {
    /// What the store knows it by.
    pub id: QueueId,
    /// Its exchange's vhost.
    pub vhost: VhostName,
    /// Its exchange.
    pub exchange: ExchangeName,
    /// Its exchange survives a restart, so its persistent messages do.
    pub durable: bool,
    environment: Arc<QueueEnvironment>,
    cell: Mutex<Cell>,
}

#[derive(Default)]
struct Cell {
    pending: Pending,
    /// The instant for which a tick is asked.
    tick_at: Option<Millis>,
    /// Entries are being read from the store; nothing is released meanwhile.
    reading: bool,
    /// Taken out to be read.
    in_flight: usize,
    /// What the store still has to tell after a start; nothing is released before.
    untold: Option<Untold>,
    /// Anything was ever appended.
    used_store: bool,
    gone: bool,
    counted: u64,
}

#[derive(Clone, Copy)]
struct Untold {
    from: Seq,
    left: u64,
}

/// What becomes of a message that is read back.
#[derive(Clone, Copy)]
enum Then {
    Release,
    Reschedule(Millis),
}

impl Holder {
    pub(super) fn new(
        id: QueueId,
        vhost: &VhostName,
        exchange: &ExchangeName,
        durable: bool,
        environment: &Arc<QueueEnvironment>,
    ) -> Arc<Self> {
        Arc::new(Self {
            id,
            vhost: vhost.clone(),
            exchange: exchange.clone(),
            durable,
            environment: Arc::clone(environment),
            cell: Mutex::default(),
        })
    }

    /// The store holds `count` messages up to `last`; they are taken over bit by bit.
    pub(super) fn restore(self: &Arc<Self>, last: Seq, count: u64, now: Millis) {
        let mut cell = self.cell.lock();
        cell.pending = Pending::after(last);
        cell.used_store = true;
        if count > 0 {
            cell.untold = Some(Untold { from: Seq(0), left: count });
            self.ask(&mut cell, now);
        }
    }

    /// Holds a message until it is due. When this returns it is appended, if it has to survive.
    pub(super) fn hold(self: &Arc<Self>, turn: &mut Turn, message: Message, due: Millis) {
        let Some(admission) = self.admit(turn, message, due) else { return };
        let appended = turn.records.is_empty() || append(&self.environment, turn).is_some();
        admission.done(appended);
    }

    /// Begins to hold a message. Its record, if it needs one, has to be appended before the admission
    /// is done; the holder is locked meanwhile. `None`: the exchange is gone.
    pub(super) fn admit(
        self: &Arc<Self>,
        turn: &mut Turn,
        message: Message,
        due: Millis,
    ) -> Option<Admission<'_>> {
        let mut cell = self.cell.lock();
        if cell.gone {
            return None;
        }
        let id = PendingId { due, seq: cell.pending.next_seq() };
        let logged = self.durable && message.meta().persistent;
        let room = cell.pending.bytes() + message.memory() <= DELAYED_BYTES_MAX;
        let stored = logged || !room;
        let keep = room && (!stored || due <= turn.now.plus(KEPT_FOR_MS));
        if stored {
            self.push_record(&mut cell, turn, id, &message, !logged);
        }
        Some(Admission { holder: self, cell, id, message, stored, keep })
    }

    fn push_record(
        &self,
        cell: &mut Cell,
        turn: &mut Turn,
        id: PendingId,
        message: &Message,
        transient: bool,
    ) {
        turn.records.push(Record::Enqueue {
            queue: self.id,
            seq: id.seq,
            message: message.clone(),
            lane: 0,
            expires: Some(id.due),
            transient,
            sole: false,
        });
        cell.used_store = true;
    }

    /// The record that says that a message waits no longer.
    pub(super) fn settled(&self, seq: Seq) -> Record {
        Record::Settle { queue: self.id, first: seq, count: 1, reason: SettleReason::Acked }
    }

    fn settle_up(self: &Arc<Self>, cell: &mut Cell) {
        let held = cell.pending.bytes() as u64;
        self.environment.memory.moved(cell.counted, held);
        cell.counted = held;
        if !cell.reading
            && cell.untold.is_none()
            && let Some(first) = cell.pending.first()
        {
            self.ask(cell, first.due);
        }
    }

    fn ask(self: &Arc<Self>, cell: &mut Cell, at: Millis) {
        if !cell.gone && cell.tick_at.is_none_or(|asked| at < asked) {
            self.environment.deadlines.set(at, cell.tick_at, self);
            cell.tick_at = Some(at);
        }
    }

    /// Takes over what the store holds, one stretch at a time.
    fn take_over(self: &Arc<Self>, cell: &mut Cell, now: Millis) {
        let Some(untold) = cell.untold else { return };
        let Ok(stands) = self.environment.store.stands(self.id, untold.from, RESTORED_AT_ONCE) else {
            tracing::error!(vhost = %self.vhost, exchange = %self.exchange, "{Broken}: {} delayed messages wait", untold.left);
            return;
        };
        for stand in &stands {
            // One without an instant is none of ours to keep waiting.
            let due = stand.expires.unwrap_or(now);
            cell.pending.insert(PendingId { due, seq: stand.seq }, None);
        }
        let told = stands.len() as u64;
        cell.untold = match stands.last() {
            Some(last) if told < untold.left => {
                Some(Untold { from: last.seq.next(), left: untold.left - told })
            }
            _ => None,
        };
        if cell.untold.is_some() {
            self.ask(cell, now);
        }
    }

    /// Releases what is due: what is in memory at once, the rest when it is read.
    fn release_due(self: &Arc<Self>, turn: &mut Turn) {
        for _ in 0..RELEASED_AT_ONCE {
            let mut cell = self.cell.lock();
            if cell.gone || cell.reading || cell.untold.is_some() {
                return;
            }
            if let Some((id, body)) = cell.pending.take_ready(turn.now) {
                drop(cell);
                self.release(turn, id, &body.message, body.stored);
                continue;
            }
            let run = cell.pending.take_run(turn.now);
            if run.is_empty() {
                break;
            }
            cell.reading = true;
            cell.in_flight = run.len();
            drop(cell);
            return self.read_run(run);
        }
        self.settle_up(&mut self.cell.lock());
    }

    fn release(&self, turn: &mut Turn, id: PendingId, message: &Message, stored: bool) {
        let Some(broker) = self.environment.broker.get().and_then(Weak::upgrade) else { return };
        let settle = stored.then(|| self.settled(id.seq));
        broker.release(turn, self, id.due, message, settle);
    }

    fn read_run(self: &Arc<Self>, run: Vec<PendingId>) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let wish = ReadWish {
            queue: self.id,
            lane: 0,
            from: first.seq,
            to: last.seq,
            max_messages: usize::try_from(last.seq.0 - first.seq.0 + 1).unwrap_or(usize::MAX),
            max_bytes: READ_BYTES,
        };
        let this = Arc::clone(self);
        let answer = move |read: Result<Vec<Stored>, Broken>| {
            let mut turn = Turn::at((this.environment.clock)());
            let whole = read.is_ok();
            this.was_read(&mut turn, run, read.unwrap_or_default(), whole);
            if whole {
                this.release_due(&mut turn);
            }
            this.finish(&mut turn);
        };
        self.environment.store.read(wish, Box::new(answer));
    }

    /// Releases what was read. What lies behind it waits for the next read.
    fn was_read(self: &Arc<Self>, turn: &mut Turn, run: Vec<PendingId>, read: Vec<Stored>, whole: bool) {
        let reached = read.last().map(|stored| stored.seq);
        let mut read = read.into_iter().peekable();
        let mut later = Vec::new();
        for id in run {
            while read.next_if(|stored| stored.seq < id.seq).is_some() {}
            match read.next_if(|stored| stored.seq == id.seq).map(|stored| stored.message) {
                Some(Ok(message)) => self.release(turn, id, &message, true),
                Some(Err(why)) => {
                    tracing::error!(vhost = %self.vhost, exchange = %self.exchange, "delayed message lost: {why}");
                    turn.records.push(self.settled(id.seq));
                    append(&self.environment, turn);
                }
                None if !whole || reached.is_some_and(|reached| id.seq > reached) => later.push(id),
                None => {
                    tracing::error!(
                        vhost = %self.vhost, exchange = %self.exchange,
                        "delayed message lost: place {} is not in the store", id.seq
                    );
                }
            }
        }
        let mut cell = self.cell.lock();
        cell.reading = false;
        cell.in_flight = 0;
        if cell.gone {
            return;
        }
        for id in later {
            cell.pending.insert(id, None);
        }
        // A broken store answers no better when asked again.
        if whole {
            self.settle_up(&mut cell);
        }
    }

    /// Reads one message that was taken out, and goes on with it.
    fn read_one(self: &Arc<Self>, id: PendingId, then: Then) {
        let wish = ReadWish {
            queue: self.id,
            lane: 0,
            from: id.seq,
            to: id.seq,
            max_messages: 1,
            max_bytes: READ_BYTES,
        };
        let this = Arc::clone(self);
        let answer = move |read: Result<Vec<Stored>, Broken>| {
            let mut turn = Turn::at((this.environment.clock)());
            let message = read.ok().and_then(|read| read.into_iter().next()).map(|stored| stored.message);
            match (message, then) {
                (Some(Ok(message)), Then::Release) => this.release(&mut turn, id, &message, true),
                (Some(Ok(message)), Then::Reschedule(due)) => {
                    this.hold_again(&mut turn, id, &Body { message, stored: true }, due);
                }
                (Some(Err(why)), _) => {
                    tracing::error!(vhost = %this.vhost, exchange = %this.exchange, "delayed message lost: {why}");
                }
                (None, _) => this.cell.lock().pending.insert(id, None),
            }
            this.finish(&mut turn);
        };
        self.environment.store.read(wish, Box::new(answer));
    }

    /// Puts a message that was taken out under another instant: a new place in the store, and the old
    /// one gone, in one step.
    fn hold_again(self: &Arc<Self>, turn: &mut Turn, id: PendingId, body: &Body, due: Millis) {
        let mut cell = self.cell.lock();
        if cell.gone {
            return;
        }
        let again = PendingId { due, seq: cell.pending.next_seq() };
        // A copy: whether a message is to be written is told by the message itself.
        let message = body.message.with_properties(body.message.properties(), body.message.meta());
        let transient = !(self.durable && message.meta().persistent);
        let mut stored = body.stored;
        if stored {
            self.push_record(&mut cell, turn, again, &message, transient);
            turn.records.push(self.settled(id.seq));
            stored = append(&self.environment, turn).is_some();
        }
        let keep = !stored || cell.pending.bytes() + message.memory() <= DELAYED_BYTES_MAX;
        cell.pending.insert(again, keep.then_some(Body { message, stored }));
        self.settle_up(&mut cell);
    }

    /// Ends the turn of a thread of the store.
    fn finish(&self, turn: &mut Turn) {
        match self.environment.broker.get().and_then(Weak::upgrade) {
            Some(broker) => broker.finish(turn),
            None => turn.wake(),
        }
    }

    /// The exchange is deleted, and what waits with it.
    pub(super) fn close(self: &Arc<Self>, turn: &mut Turn) {
        let mut cell = self.cell.lock();
        cell.gone = true;
        cell.untold = None;
        cell.pending.clear();
        if let Some(at) = cell.tick_at.take() {
            self.environment.deadlines.forget(at, self);
        }
        self.settle_up(&mut cell);
        if cell.used_store {
            turn.records.push(Record::Gone { queue: self.id });
            append(&self.environment, turn);
        }
    }

    /// Messages that wait.
    pub fn count(&self) -> u64 {
        let cell = self.cell.lock();
        let untold = cell.untold.map_or(0, |untold| untold.left);
        (cell.pending.len() + cell.in_flight) as u64 + untold
    }

    /// Up to `max` messages behind `after`, by due time. After a start, those not yet told by the
    /// store are missing.
    pub fn list(&self, after: Option<PendingId>, max: usize) -> Vec<PendingId> {
        self.cell.lock().pending.page(after, max)
    }

    /// Drops a waiting message. The turn has to be [finished](super::Broker::finish).
    pub fn cancel(self: &Arc<Self>, turn: &mut Turn, id: PendingId) -> Result<(), Refusal> {
        let body = self.take(id)?;
        if body.is_none_or(|body| body.stored) {
            turn.records.push(self.settled(id.seq));
            append(&self.environment, turn);
        }
        Ok(())
    }

    /// Has a waiting message released at another instant. It gets a new id, and is not listed until
    /// it is read if it has to be. The turn has to be [finished](super::Broker::finish).
    pub fn reschedule(self: &Arc<Self>, turn: &mut Turn, id: PendingId, due: Millis) -> Result<(), Refusal> {
        match self.take(id)? {
            Some(body) => self.hold_again(turn, id, &body, due),
            None => self.read_one(id, Then::Reschedule(due)),
        }
        Ok(())
    }

    /// Releases a waiting message without waiting any longer. The turn has to be
    /// [finished](super::Broker::finish).
    pub fn release_now(self: &Arc<Self>, turn: &mut Turn, id: PendingId) -> Result<(), Refusal> {
        match self.take(id)? {
            Some(body) => self.release(turn, id, &body.message, body.stored),
            None => self.read_one(id, Then::Release),
        }
        Ok(())
    }

    fn take(self: &Arc<Self>, id: PendingId) -> Result<Option<Body>, Refusal> {
        let mut cell = self.cell.lock();
        let taken = cell.pending.take(id).ok_or_else(|| {
            Refusal::Precondition(format!(
                "no delayed message {} due at {} on exchange '{}' in vhost '{}'",
                id.seq, id.due.0, self.exchange, self.vhost
            ))
        })?;
        self.settle_up(&mut cell);
        Ok(taken)
    }
}

/// A message on its way into a holder.
pub(super) struct Admission<'a> {
    holder: &'a Arc<Holder>,
    cell: MutexGuard<'a, Cell>,
    id: PendingId,
    message: Message,
    stored: bool,
    keep: bool,
}

impl Admission<'_> {
    /// The message waits now. `appended`: its record, if it had one, was taken by the store.
    pub(super) fn done(mut self, appended: bool) {
        let stored = self.stored && appended;
        let keep = self.keep || !stored;
        let body = keep.then_some(Body { message: self.message, stored });
        self.cell.pending.insert(self.id, body);
        self.holder.settle_up(&mut self.cell);
    }
}

impl Ticks for Holder {
    fn tick(self: Arc<Self>, turn: &mut Turn) {
        {
            let mut cell = self.cell.lock();
            cell.tick_at = None;
            self.take_over(&mut cell, turn.now);
        }
        self.release_due(turn);
    }
}

impl std::fmt::Debug for Holder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder").field("vhost", &self.vhost).field("exchange", &self.exchange).finish()
    }
}
