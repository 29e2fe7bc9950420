//! Releases due messages: bodies in memory immediately, others once the store has read them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use leveret_message::stored::Stored;
use leveret_message::{Message, Millis};
use leveret_store::{Pressure, ReadWish, Unread};

use super::{Cell, DelayRoom};
use crate::delay::{Body, PendingId};
use crate::queue_handle::{READ_AGAIN_MS, Released, WRITE_AGAIN_MS};
use crate::turn::Turn;

/// Maximum messages released per tick: the timer serves other objects too.
const RELEASED_AT_ONCE: usize = 512;

/// Bytes of bodies per read, after which no further body is read.
const READ_BYTES: usize = 1024 * 1024;

/// The action on a message that was read back.
#[derive(Clone, Copy)]
pub(super) enum Then {
    Release,
    Reschedule(Millis),
}

impl DelayRoom {
    /// Releases due messages: bodies in memory immediately, others once read.
    pub(super) fn release_due(self: &Arc<Self>, turn: &mut Turn) {
        {
            let mut cell = self.cell.lock();
            if cell.releasing
                || cell.untold.is_some()
                || cell.unread.is_some_and(|again_at| turn.now < again_at)
            {
                return;
            }
            cell.releasing = true;
        }
        self.go_on(turn);
    }

    fn go_on(self: &Arc<Self>, turn: &mut Turn) {
        self.cell.lock().unwritable = None;
        for _ in 0..RELEASED_AT_ONCE {
            let mut cell = self.cell.lock();
            // Releasing writes the message anew, which takes memory, or on a full disk space, needed for publishes in
            // progress.
            if self.environment.store.pressure() != Pressure::None {
                cell.unwritable = Some(turn.now.plus(WRITE_AGAIN_MS));
                break;
            }
            if let Some((id, body)) = cell.pending.take_ready(turn.now) {
                drop(cell);
                self.release(turn, id, &body.message, body.stored);
                // Earlier receivers need not wait for the rest.
                turn.wake();
                continue;
            }
            let run = cell.pending.take_run(turn.now);
            if run.is_empty() {
                break;
            }
            cell.in_flight = run.len();
            drop(cell);
            return self.read_run(run);
        }
        let mut cell = self.cell.lock();
        cell.releasing = false;
        self.settle_up(&mut cell);
    }

    pub(super) fn release(&self, turn: &mut Turn, id: PendingId, message: &Message, stored: bool) {
        let Some(broker) = self.environment.broker.get().and_then(Weak::upgrade) else { return };
        let settle = stored.then(|| self.settled(id.seq));
        let may_have_left = self.cell.lock().leaves(id, stored, self);
        let (vhost, exchange, due) = (&self.vhost, &self.exchange, id.due);
        broker.release(turn, Released { vhost, exchange, due, message, settle, may_have_left });
    }

    fn read_run(self: &Arc<Self>, run: Vec<PendingId>) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { return };
        let wish = ReadWish {
            queue: self.id,
            priority_level: 0,
            from: first.seq,
            to: last.seq,
            max_messages: usize::try_from(last.seq.0 - first.seq.0 + 1).unwrap_or(usize::MAX),
            max_bytes: READ_BYTES,
        };
        let this = Arc::clone(self);
        let answer = move |read: Result<Vec<Stored>, Unread>| {
            let mut turn = Turn::at((this.environment.clock)());
            match read {
                Ok(read) => {
                    this.was_read(&mut turn, run, read);
                    this.go_on(&mut turn);
                }
                Err(why) => this.was_not_read(&turn, run, &why),
            }
            this.finish(&mut turn);
        };
        self.environment.store.read(wish, Box::new(answer));
    }

    /// Releases messages that were read. Later ones wait for the next read.
    fn was_read(self: &Arc<Self>, turn: &mut Turn, run: Vec<PendingId>, read: Vec<Stored>) {
        if self.cell.lock().gone {
            return;
        }
        let reached = read.last().map(|stored| stored.seq);
        let mut read = read.into_iter().peekable();
        let mut later = Vec::new();
        for id in run {
            while read.next_if(|stored| stored.seq < id.seq).is_some() {}
            match read.next_if(|stored| stored.seq == id.seq).map(|stored| stored.message) {
                Some(Ok(message)) => {
                    self.release(turn, id, &message, true);
                    turn.wake();
                }
                Some(Err(why)) => self.tell_damaged(&why),
                None if reached.is_some_and(|reached| id.seq > reached) => later.push(id),
                None => {
                    tracing::error!(
                        vhost = %self.vhost, exchange = %self.exchange,
                        "delayed message lost: place {} is not in the store", id.seq
                    );
                }
            }
        }
        let mut cell = self.cell.lock();
        cell.in_flight = 0;
        if cell.gone {
            return;
        }
        for id in later {
            cell.pending.insert(id, None);
        }
        self.readable(&mut cell);
    }

    /// The first due messages could not be read. All of them stay, and the read is retried later.
    fn was_not_read(self: &Arc<Self>, turn: &Turn, run: Vec<PendingId>, why: &Unread) {
        let mut cell = self.cell.lock();
        cell.in_flight = 0;
        if cell.gone {
            return;
        }
        for id in run {
            cell.pending.insert(id, None);
        }
        cell.releasing = false;
        self.unreadable(&mut cell, why, turn.now.plus(READ_AGAIN_MS));
        self.settle_up(&mut cell);
    }

    /// Reports a damaged message: it no longer waits, and its record stays on disk.
    fn tell_damaged(&self, why: &str) {
        tracing::error!(
            vhost = %self.vhost, exchange = %self.exchange,
            "a delayed message is damaged on disk; its bytes are kept until the exchange is deleted: {why}"
        );
    }

    /// The next due messages cannot be read: logged once until a read succeeds.
    fn unreadable(&self, cell: &mut Cell, why: &Unread, again_at: Millis) {
        if cell.unread.replace(again_at).is_some() {
            return;
        }
        self.environment.unreadable.fetch_add(1, Ordering::Relaxed);
        let waiting = cell.pending.len();
        tracing::error!(
            vhost = %self.vhost, exchange = %self.exchange,
            "delayed messages cannot be read, and are tried again: {why}; {waiting} wait"
        );
    }

    /// Reads succeed again, or are no longer needed.
    pub(super) fn readable(&self, cell: &mut Cell) {
        if cell.unread.take().is_some() {
            self.environment.unreadable.fetch_sub(1, Ordering::Relaxed);
        }
    }

    const fn wish(&self, id: PendingId) -> ReadWish {
        ReadWish {
            queue: self.id,
            priority_level: 0,
            from: id.seq,
            to: id.seq,
            max_messages: 1,
            max_bytes: READ_BYTES,
        }
    }

    /// Reads one message without removing it.
    pub(super) fn read_only(&self, id: PendingId, then: impl FnOnce(Option<Message>) + Send + 'static) {
        let answer = |read: Result<Vec<Stored>, Unread>| {
            then(read.ok().and_then(|read| read.into_iter().next()?.message.ok()));
        };
        self.environment.store.read(self.wish(id), Box::new(answer));
    }

    /// Reads one message that was removed, and continues with it.
    pub(super) fn read_one(
        self: &Arc<Self>,
        id: PendingId,
        then: Then,
        done: impl FnOnce(bool) + Send + 'static,
    ) {
        let wish = self.wish(id);
        let this = Arc::clone(self);
        let answer = move |read: Result<Vec<Stored>, Unread>| {
            let mut turn = Turn::at((this.environment.clock)());
            let message = read.ok().and_then(|read| read.into_iter().next()).map(|stored| stored.message);
            let found = matches!(message, Some(Ok(_)));
            match (message, then) {
                (Some(Ok(message)), Then::Release) => this.release(&mut turn, id, &message, true),
                (Some(Ok(message)), Then::Reschedule(due)) => {
                    this.hold_again(&mut turn, id, &Body { message, stored: true }, due);
                }
                (Some(Err(why)), _) => this.tell_damaged(&why),
                // It keeps waiting.
                (None, _) => {
                    let mut cell = this.cell.lock();
                    if !cell.gone {
                        cell.pending.insert(id, None);
                        this.settle_up(&mut cell);
                    }
                }
            }
            this.finish(&mut turn);
            done(found);
        };
        self.environment.store.read(wish, Box::new(answer));
    }

    /// Ends a turn on a store thread.
    fn finish(&self, turn: &mut Turn) {
        match self.environment.broker.get().and_then(Weak::upgrade) {
            Some(broker) => broker.finish(turn),
            None => turn.wake(),
        }
    }
}
