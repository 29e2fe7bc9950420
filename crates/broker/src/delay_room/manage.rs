//! Listing, reading and changing delayed messages, for operators.

use std::sync::Arc;

use leveret_message::{Message, Millis};

use super::DelayRoom;
use super::release::Then;
use crate::delay::{Body, PendingId, Taken};
use crate::limits::DELAYED_BYTES_MAX;
use crate::queue_handle::append;
use crate::refusal::Refusal;
use crate::turn::Turn;

impl DelayRoom {
    /// Up to `max` messages after `after`, by due time. After a start, messages not yet reported by the store are
    /// missing.
    pub fn list(&self, after: Option<PendingId>, max: usize) -> Vec<PendingId> {
        self.cell.lock().pending.page(after, max)
    }

    /// Drops a waiting message. The turn must be [finished](crate::Broker::finish).
    pub fn cancel(self: &Arc<Self>, turn: &mut Turn, id: PendingId) -> Result<(), Refusal> {
        let stored = match self.take(id)? {
            Taken::Here(body) => body.stored,
            Taken::Stored => true,
        };
        if stored {
            turn.records.push(self.settled(id.seq));
            append(&self.environment, turn);
        }
        Ok(())
    }

    /// Reschedules a waiting message. It gets a new id; if it must be read first, it is not listed until then. `then`
    /// is called when it waits again, with `false` if it could not be read. The turn must be
    /// [finished](crate::Broker::finish).
    pub fn reschedule(
        self: &Arc<Self>,
        turn: &mut Turn,
        id: PendingId,
        due: Millis,
        then: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), Refusal> {
        match self.take(id)? {
            Taken::Here(body) => {
                self.hold_again(turn, id, &body, due);
                then(true);
            }
            Taken::Stored => self.read_one(id, Then::Reschedule(due), then),
        }
        Ok(())
    }

    /// Releases a waiting message immediately; `then` is called afterwards, with `false` if it could not be read. The
    /// turn must be [finished](crate::Broker::finish).
    pub fn release_now(
        self: &Arc<Self>,
        turn: &mut Turn,
        id: PendingId,
        then: impl FnOnce(bool) + Send + 'static,
    ) -> Result<(), Refusal> {
        match self.take(id)? {
            Taken::Here(body) => {
                self.release(turn, id, &body.message, body.stored);
                then(true);
            }
            Taken::Stored => self.read_one(id, Then::Release, then),
        }
        Ok(())
    }

    /// Reads a waiting message, from memory or through the store; `None` if it no longer waits.
    pub fn look(self: &Arc<Self>, id: PendingId, then: impl FnOnce(Option<Message>) + Send + 'static) {
        let found = self.cell.lock().pending.look(id);
        match found {
            None => then(None),
            Some(Taken::Here(body)) => then(Some(body.message)),
            Some(Taken::Stored) => self.read_only(id, then),
        }
    }

    fn take(self: &Arc<Self>, id: PendingId) -> Result<Taken, Refusal> {
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

    /// Puts a removed message back with another due time: a new sequence number in the store and removal of the old
    /// one, in one step.
    pub(super) fn hold_again(self: &Arc<Self>, turn: &mut Turn, id: PendingId, body: &Body, due: Millis) {
        let mut cell = self.cell.lock();
        if cell.gone {
            return;
        }
        let again = PendingId { due, seq: cell.pending.next_seq() };
        // A copy: clones share one write state; this one needs its own.
        let message = body.message.with_properties(body.message.properties(), body.message.meta());
        let transient = !(self.durable() && message.meta().persistent);
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
}
