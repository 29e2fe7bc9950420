//! Reading messages back that are only on disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Poll, Waker};

use leveret_message::stored::Stored;
use leveret_queues::ReadAsk;
use leveret_store::{ReadWish, Unread};

use super::{Cell, QueueHandle, State};
use crate::turn::Turn;

/// Maximum bytes of bodies per read and queue.
const READ_AHEAD_BYTES: usize = 1024 * 1024;

impl QueueHandle {
    pub(super) fn read(self: &Arc<Self>, ask: ReadAsk) {
        let wish = ReadWish {
            queue: self.id,
            priority_level: ask.priority_level,
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

    /// Reports a damaged message: it is removed from the queue, and its record stays on disk.
    pub(super) fn tell_damaged(&self, why: &str) {
        tracing::error!(
            vhost = %self.vhost, queue = %self.name,
            "a message is damaged on disk; its bytes are kept until the queue is purged or deleted: {why}"
        );
    }

    /// The next messages cannot be read: logged once until a read succeeds.
    pub(super) fn unreadable(&self, cell: &mut Cell, why: &Unread) {
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

    /// Reads succeed again.
    pub(super) fn readable(&self, cell: &mut Cell) {
        if cell.unread.take().is_some() {
            self.environment.unreadable.fetch_sub(1, Ordering::Relaxed);
            tracing::info!(vhost = %self.vhost, queue = %self.name, "can be read again");
        }
    }

    /// Why the next messages cannot currently be read from disk.
    pub fn read_problem(&self) -> Option<String> {
        match &*self.state.lock() {
            State::Busy(cell) => cell.unread.as_deref().map(str::to_owned),
            State::Idle(_) => None,
        }
    }

    /// Ready when a `basic.get` that found the head unread may be retried.
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
