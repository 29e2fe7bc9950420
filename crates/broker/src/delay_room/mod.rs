//! Delay room of one exchange: its schedule behind a lock, with its records for the store and its timer
//! (docs/semantics.md, Delayed messages).
//!
//! Invariants: a persistent message on a durable exchange is in the store, under the room's own id, from before its
//! publish is confirmed until the step that moves it into its queues; messages are released in order of due time; at
//! most [`DELAYED_BYTES_MAX`] of bodies stay in memory, and at most one store read is in progress.
//! Absent: routing; a timer per message.

mod manage;
mod release;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leveret_message::stored::{RecoveredQueue, SettleReason};
use leveret_message::{Message, Millis, QueueId, Seq};
use leveret_store::Record;
use parking_lot::{Mutex, MutexGuard};

use crate::deadlines::Ticks;
use crate::delay::{Body, Pending, PendingId};
use crate::limits::DELAYED_BYTES_MAX;
use crate::names::{ExchangeName, VhostName};
use crate::queue_handle::{QueueEnvironment, READ_AGAIN_MS, append};
use crate::turn::Turn;

/// Bodies of persistent messages due later than this are not kept in memory, in milliseconds.
const KEPT_FOR_MS: u64 = 60_000;

/// Entries restored from the store per tick after a start.
const RESTORED_AT_ONCE: usize = 10_000;

/// The delay room of one `x-delayed-message` exchange.
pub struct DelayRoom {
    /// Its id in the store.
    pub id: QueueId,
    /// Its exchange's vhost.
    pub vhost: VhostName,
    /// Its exchange.
    pub exchange: ExchangeName,
    durable: AtomicBool,
    environment: Arc<QueueEnvironment>,
    cell: Mutex<Cell>,
}

#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
struct Cell {
    pending: Pending,
    /// The instant of the scheduled tick.
    tick_at: Option<Millis>,
    /// A release or its store read is in progress; a second one would break the order.
    releasing: bool,
    /// Messages removed for reading.
    in_flight: usize,
    /// Messages not yet reported by the store after a start; nothing is released before.
    untold: Option<Untold>,
    /// The next due message could not be read; when to retry.
    unread: Option<Millis>,
    /// The store could not write when a message was due; when to check again.
    unwritable: Option<Millis>,
    /// Whether anything was ever appended.
    used_store: bool,
    /// Whether the store knows that the room releases messages.
    serves: bool,
    /// Messages possibly released in an earlier run: up to this sequence number, and due by the instant of the start.
    released_upto: (Seq, Millis),
    gone: bool,
    counted: u64,
}

impl Cell {
    /// Records that a message is being released. Returns whether it may have been released before.
    fn leaves(&mut self, id: PendingId, stored: bool, delay_room: &DelayRoom) -> bool {
        if stored && !self.serves {
            self.serves = true;
            delay_room.environment.store.serving(delay_room.id);
        }
        let (upto, started) = self.released_upto;
        id.seq <= upto && id.due <= started
    }
}

#[derive(Clone, Copy)]
struct Untold {
    from: Seq,
    left: u64,
}

impl DelayRoom {
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
            durable: AtomicBool::new(durable),
            environment: Arc::clone(environment),
            cell: Mutex::default(),
        })
    }

    /// Whether the exchange, and so its persistent messages, survive a restart.
    pub fn durable(&self) -> bool {
        self.durable.load(Ordering::Relaxed)
    }

    /// Changes the exchange's durability. Messages already waiting keep theirs.
    pub(super) fn set_durable(&self, durable: bool) {
        self.durable.store(durable, Ordering::Relaxed);
    }

    /// The store found messages of this room; they are restored in portions.
    pub(super) fn restore(self: &Arc<Self>, found: &RecoveredQueue, now: Millis) {
        let count = found.ranges.iter().map(|range| range.count).sum();
        let mut cell = self.cell.lock();
        cell.pending = Pending::after(found.last_seq);
        cell.released_upto = (found.delivered_upto, now);
        cell.used_store = true;
        if count > 0 {
            cell.untold = Some(Untold { from: Seq(0), left: count });
            self.ask(&mut cell, now);
        }
    }

    /// Holds a message until it is due. On return it is appended, if it must survive a restart.
    pub(super) fn hold(self: &Arc<Self>, turn: &mut Turn, message: Message, due: Millis) {
        let Some(admission) = self.admit(turn, message, due) else { return };
        let appended = turn.records.is_empty() || append(&self.environment, turn).is_some();
        admission.done(appended);
    }

    /// Begins to hold a message. Its record, if any, must be appended before the admission is completed; the room stays
    /// locked until then. `None`: the exchange was deleted.
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
        let logged = self.durable() && message.meta().persistent;
        let room = cell.pending.bytes() + message.memory() <= DELAYED_BYTES_MAX;
        let stored = logged || !room;
        let keep = room && (!stored || due <= turn.now.plus(KEPT_FOR_MS));
        if stored {
            self.push_record(&mut cell, turn, id, &message, !logged);
        }
        Some(Admission { delay_room: self, cell, id, message, stored, keep })
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
            priority_level: 0,
            expires: Some(id.due),
            transient,
            sole: false,
        });
        cell.used_store = true;
    }

    /// The record that a message no longer waits.
    pub(super) fn settled(&self, seq: Seq) -> Record {
        Record::Settle { queue: self.id, first: seq, count: 1, reason: SettleReason::Acked }
    }

    fn settle_up(self: &Arc<Self>, cell: &mut Cell) {
        let held = cell.pending.bytes() as u64;
        self.environment.memory.moved(cell.counted, held);
        cell.counted = held;
        if !cell.releasing
            && cell.untold.is_none()
            && let Some(first) = cell.pending.first()
        {
            let again_at = cell.unread.max(cell.unwritable).unwrap_or_default();
            let due = first.due.max(again_at);
            self.ask(cell, due);
        }
    }

    fn ask(self: &Arc<Self>, cell: &mut Cell, at: Millis) {
        if !cell.gone && cell.tick_at.is_none_or(|asked| at < asked) {
            self.environment.deadlines.set(at, cell.tick_at, self);
            cell.tick_at = Some(at);
        }
    }

    /// Restores messages from the store, one run at a time.
    fn take_over(self: &Arc<Self>, cell: &mut Cell, now: Millis) {
        let Some(untold) = cell.untold else { return };
        let Ok(live_entries) = self.environment.store.live_entries(self.id, untold.from, RESTORED_AT_ONCE)
        else {
            tracing::error!(
                vhost = %self.vhost, exchange = %self.exchange,
                "what is held cannot be read, and is tried again; {} delayed messages wait", untold.left
            );
            return self.ask(cell, now.plus(READ_AGAIN_MS));
        };
        for stand in &live_entries {
            // Without a due time there is no reason to hold it.
            let due = stand.expires.unwrap_or(now);
            cell.pending.insert(PendingId { due, seq: stand.seq }, None);
        }
        let told = live_entries.len() as u64;
        cell.untold = match live_entries.last() {
            Some(last) if told < untold.left => {
                Some(Untold { from: last.seq.next(), left: untold.left - told })
            }
            _ => None,
        };
        if cell.untold.is_some() {
            self.ask(cell, now);
        }
    }

    /// The exchange is deleted, and its delayed messages with it.
    pub(super) fn close(self: &Arc<Self>, turn: &mut Turn) {
        let mut cell = self.cell.lock();
        cell.gone = true;
        self.readable(&mut cell);
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

    /// Number of waiting messages.
    pub fn count(&self) -> u64 {
        let cell = self.cell.lock();
        let untold = cell.untold.map_or(0, |untold| untold.left);
        (cell.pending.len() + cell.in_flight) as u64 + untold
    }
}

/// A message being added to a delay room.
pub(super) struct Admission<'a> {
    delay_room: &'a Arc<DelayRoom>,
    cell: MutexGuard<'a, Cell>,
    id: PendingId,
    message: Message,
    stored: bool,
    keep: bool,
}

impl Admission<'_> {
    /// The message now waits. `appended`: its record, if any, was accepted by the store.
    pub(super) fn done(mut self, appended: bool) {
        let stored = self.stored && appended;
        let keep = self.keep || !stored;
        let body = keep.then_some(Body { message: self.message, stored });
        self.cell.pending.insert(self.id, body);
        self.delay_room.settle_up(&mut self.cell);
    }
}

impl Ticks for DelayRoom {
    fn tick(self: Arc<Self>, turn: &mut Turn) {
        {
            let mut cell = self.cell.lock();
            cell.tick_at = None;
            self.take_over(&mut cell, turn.now);
        }
        self.release_due(turn);
    }
}

impl std::fmt::Debug for DelayRoom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Holder")
            .field("vhost", &self.vhost)
            .field("exchange", &self.exchange)
            .finish_non_exhaustive()
    }
}
