//! Messages that are on disk only come back.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use leveret_queues::queue::ReadAsk;
use leveret_queues::store::{ReadWish, SettleReason, Stored, Unread};
use leveret_queues::{Millis, Seq};

use super::{Cell, QueueHandle, State};
use crate::broker::turn::{Dead, Turn};

/// After a read that failed, dead letters and delayed messages are asked for again after this long.
pub(in crate::broker) const READ_AGAIN_MS: u64 = 5000;

/// A dead letter whose body is on disk only.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::broker) struct UnreadLetter {
    pub(in crate::broker) seq: Seq,
    pub(in crate::broker) lane: u8,
    pub(in crate::broker) reason: SettleReason,
    pub(in crate::broker) may_have_left: bool,
}

/// Dead letters that the disk did not give.
#[derive(Default)]
pub(super) struct UnreadLetters {
    pub(super) again_at: Millis,
    letters: Vec<UnreadLetter>,
}

/// Bytes of bodies read back from disk at a time, for one queue.
const READ_AHEAD_BYTES: usize = 1024 * 1024;

impl QueueHandle {
    pub(super) fn read(self: &Arc<Self>, ask: ReadAsk) {
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

    fn fetched(self: &Arc<Self>, ask: ReadAsk, read: Result<Vec<Stored>, Unread>) {
        let mut turn = Turn::at((self.environment.clock)());
        self.enter(&mut turn, |cell, work| {
            let counts = cell.queue.counts();
            self.environment.memory.read_back(counts.ready > counts.away);
            match read {
                Ok(mut stored) => {
                    self.readable(cell);
                    if let Some(upto) = self.environment.adopted_upto(self.id) {
                        stored.iter_mut().filter(|one| one.seq <= upto).for_each(|one| one.expires = None);
                    }
                    cell.queue.fetched(work.now, stored, ask, &mut work.outlet, work.effects);
                }
                Err(why) => {
                    self.unreadable(cell, &why);
                    cell.queue.read_failed(work.now, ask);
                }
            }
            cell.head_may_be_ready();
        });
        self.finish(&mut turn);
    }

    /// Reads a dead letter's body back, then sends it on. It stays in the store under its source meanwhile.
    pub(in crate::broker) fn read_dead(self: &Arc<Self>, letter: UnreadLetter) {
        let UnreadLetter { seq, lane, reason, may_have_left } = letter;
        let wish =
            ReadWish { queue: self.id, lane, from: seq, to: seq, max_messages: 1, max_bytes: usize::MAX };
        let this = Arc::clone(self);
        let answer = move |read: Result<Vec<Stored>, Unread>| {
            let mut turn = Turn::at((this.environment.clock)());
            let stored = match read {
                Ok(stored) => stored,
                Err(why) => {
                    this.enter(&mut turn, |cell, work| {
                        this.unreadable(cell, &why);
                        let unread = cell.unread_letters.get_or_insert_default();
                        unread.again_at = work.now.plus(READ_AGAIN_MS);
                        unread.letters.push(letter);
                    });
                    return this.finish(&mut turn);
                }
            };
            for stored in stored {
                match stored.message {
                    Ok(message) => turn.dead.push(Dead {
                        source: Arc::clone(&this),
                        message: Some(message),
                        reason,
                        place: Some((seq, lane)),
                        may_have_left,
                    }),
                    Err(why) => {
                        this.tell_damaged(&why);
                        this.busy().damaged.push(seq);
                    }
                }
            }
            this.finish(&mut turn);
        };
        self.environment.store.read(wish, Box::new(answer));
    }

    /// Asks again for the dead letters that could not be read, if it is time.
    pub(super) fn read_letters_again(self: &Arc<Self>, cell: &mut Cell, now: Millis) {
        let Some(unread) = cell.unread_letters.take_if(|unread| cell.gone || unread.again_at <= now) else {
            return;
        };
        if cell.gone {
            return;
        }
        self.readable(cell);
        for letter in unread.letters {
            self.read_dead(letter);
        }
    }

    /// A damaged message: it is in no queue any more, and its record stays where it is.
    pub(super) fn tell_damaged(&self, why: &str) {
        tracing::error!(
            vhost = %self.vhost, queue = %self.name,
            "a message is damaged on disk; its bytes are kept until the queue is purged or deleted: {why}"
        );
    }

    /// The disk does not give what comes next: said once, until it does.
    fn unreadable(&self, cell: &mut Cell, why: &Unread) {
        if cell.unread.is_none() {
            let counts = cell.queue.counts();
            tracing::error!(
                vhost = %self.vhost, queue = %self.name,
                "cannot be read, and is tried again: {why}; {} messages of the queue are on disk only", counts.away
            );
            self.environment.unreadable.fetch_add(1, Ordering::Relaxed);
        }
        cell.unread = Some(why.to_string().into());
    }

    /// It does.
    pub(super) fn readable(&self, cell: &mut Cell) {
        if cell.unread.take().is_some() {
            self.environment.unreadable.fetch_sub(1, Ordering::Relaxed);
            tracing::info!(vhost = %self.vhost, queue = %self.name, "can be read again");
        }
    }

    /// Why what comes next cannot be read from disk at present.
    pub fn read_problem(&self) -> Option<String> {
        match &*self.state.lock() {
            State::Busy(cell) => cell.unread.as_deref().map(str::to_owned),
            State::Idle(_) => None,
        }
    }

    /// Ready when a `basic.get` that found the head unread may be tried again.
    pub fn poll_head(&self, waker: &Waker) -> Poll<()> {
        let mut cell = self.busy();
        if cell.gone {
            return Poll::Ready(());
        }
        let Some(unready) = &mut cell.head_unready else { return Poll::Ready(()) };
        unready.clients.push(waker.clone());
        Poll::Pending
    }
}
