//! Messages that are on disk only come back.

use std::sync::Arc;
use std::task::{Poll, Waker};

use leveret_queues::Seq;
use leveret_queues::queue::ReadAsk;
use leveret_queues::store::{Broken, ReadWish, SettleReason, Stored};

use super::QueueHandle;
use crate::broker::turn::{Dead, Turn};

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

    fn fetched(self: &Arc<Self>, ask: ReadAsk, read: Result<Vec<Stored>, Broken>) {
        let mut turn = Turn::at((self.environment.clock)());
        self.enter(&mut turn, |cell, work| {
            let counts = cell.queue.counts();
            self.environment.memory.read_back(counts.ready > counts.away);
            match read {
                Ok(stored) => cell.queue.fetched(work.now, stored, ask, &mut work.outlet, work.effects),
                Err(Broken) => cell.queue.read_failed(work.now, ask),
            }
            cell.head_may_be_ready();
        });
        self.finish(&mut turn);
    }

    /// Reads a dead letter's body back, then sends it on.
    pub(in crate::broker) fn read_dead(self: &Arc<Self>, seq: Seq, lane: u8, reason: SettleReason) {
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
        let mut cell = self.busy();
        if cell.gone {
            return Poll::Ready(());
        }
        let Some(unready) = &mut cell.head_unready else { return Poll::Ready(()) };
        unready.clients.push(waker.clone());
        Poll::Pending
    }
}
