//! Transactions of a channel (docs/semantics.md, Transactions): publishes and settlements are buffered, then
//! carried out or undone together.
//!
//! Invariants: `tx.commit-ok` is sent only when everything that the commit appended is durable; deliveries
//! returned by a rollback are outstanding again under their old delivery tags; a channel that ends with an open
//! transaction rolls it back. Absent: atomicity across queues, as in `RabbitMQ`.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_broker::channel_stats;
use leveret_broker::prepared::Prepared;
use leveret_broker::publish::{Fate, Incoming};
use leveret_broker::refusal::Refusal;
use leveret_store::{Broken, Synced, Waiter};

use super::closing::by_queue;
use super::connection::Connection;
use super::content::PUBLISH;
use super::error::{AmqpError, MethodId, ReplyCode, refused};
use super::outbox::Outbox;
use super::transaction::How;
use super::unacked::Unacked;
use crate::wire::method::{AMQPClass, tx};

/// Publishes carried out together, at most. Bounds how long one commit holds a queue.
const BATCH_MAX: usize = 512;

impl Connection {
    pub(super) fn tx_method(&mut self, number: u16, method: &tx::AMQPMethod, id: MethodId) {
        let outcome = match method {
            tx::AMQPMethod::Select(_) => self.select_transactions(number),
            tx::AMQPMethod::Commit(_) => return self.commit(number, id),
            tx::AMQPMethod::Rollback(_) => self.roll_back(number),
            _ => return self.unimplemented(id),
        };
        match outcome {
            Ok(answer) => self.send(number, &AMQPClass::Tx(answer)),
            Err(refusal) => self.fail_on(number, &refused(&refusal, id)),
        }
    }

    fn select_transactions(&mut self, number: u16) -> Result<tx::AMQPMethod, Refusal> {
        if let Some(open) = self.channels.get_mut(&number) {
            if open.confirms.is_some() {
                return Err(precondition("cannot switch from confirm to tx mode"));
            }
            open.handle.transactional.store(true, Ordering::Relaxed);
            open.tx.get_or_insert_default();
        }
        Ok(tx::AMQPMethod::SelectOk(tx::SelectOk {}))
    }

    /// Buffers the batch if its channel has a transaction open: routing is decided now, and invalid publishes
    /// are refused.
    pub(super) fn buffer_publishes_in_transaction(&mut self) -> bool {
        let number = self.batch.channel;
        let Some(open) = self.channels.get_mut(&number) else { return false };
        let Some(tx) = &mut open.tx else { return false };
        let (Some(vhost), Some(rights)) = (&self.vhost, &mut self.rights) else { return false };
        let mut refusal = None;
        for outgoing in self.batch.messages.drain(..) {
            let incoming = Incoming {
                message: outgoing.message,
                headers: outgoing.headers,
                mandatory: outgoing.mandatory,
            };
            match self.publisher.prepare(&self.broker, vhost, rights, self.turn.now, incoming) {
                Ok(prepared) => {
                    self.holding.grows(tx.put_publish(prepared));
                }
                Err(why) => {
                    refusal = Some(why);
                    break;
                }
            }
        }
        open.show_transaction();
        match refusal {
            Some(refusal) => self.fail_on(number, &refused(&refusal, PUBLISH)),
            None => self.bound_transaction(number),
        }
        true
    }

    /// Buffers settlements if the channel has a transaction open; then leaves `settled` empty.
    pub(super) fn buffer_settles_in_transaction(
        &mut self,
        number: u16,
        how: How,
        settled: &mut Vec<Unacked>,
    ) -> bool {
        let Some(open) = self.channels.get_mut(&number) else { return false };
        let Some(tx) = &mut open.tx else { return false };
        self.holding.grows(tx.put_settles(how, settled));
        open.show_transaction();
        self.bound_transaction(number);
        true
    }

    fn bound_transaction(&mut self, number: u16) {
        let max = self.limits.transaction_bytes_max;
        let Some(tx) = self.channels.get(&number).and_then(|open| open.tx.as_ref()) else { return };
        // A single message is bounded by its own limit.
        if tx.bytes() > max && tx.publishes.len() + tx.settles.len() > 1 {
            let text = format!("transaction is larger than configured max size {max}");
            self.fail_on(number, &AmqpError::new(ReplyCode::PreconditionFailed, PUBLISH, text));
        }
    }

    fn commit(&mut self, number: u16, id: MethodId) {
        let Some(tx) = self.channels.get_mut(&number).and_then(|open| open.tx.as_mut()) else {
            return self.not_transactional(number, id);
        };
        let publishes = tx.take_publishes();
        let complete = match self.commit_publishes(number, publishes) {
            Ok(complete) => complete,
            // The channel's end returns the deliveries to be settled.
            Err(refusal) => return self.fail_on(number, &refused(&refusal, PUBLISH)),
        };
        self.commit_settles(number);
        self.heed_pressure();
        if !complete {
            let refusal = precondition("partial tx completion");
            return self.fail_on(number, &refused(&refusal, id));
        }
        let Some(open) = self.channels.get(&number) else { return };
        // One waiter per commit: the store may merge calls of the same waiter.
        let waiter: Arc<dyn Waiter> = Arc::new(CommitWaiter {
            outbox: Arc::clone(&self.outbox),
            channel: number,
            incarnation: open.incarnation,
        });
        self.broker.store().notify(&waiter, 0);
    }

    /// Whether all were accepted; a queue may refuse one (`reject-publish`).
    fn commit_publishes(&mut self, number: u16, publishes: Vec<Prepared>) -> Result<bool, Refusal> {
        let mut complete = true;
        let before = std::mem::take(&mut self.turn.unstorable);
        let mut rest = publishes.into_iter().peekable();
        while rest.peek().is_some() {
            let (Some(vhost), Some(rights)) = (&self.vhost, &mut self.rights) else { return Ok(true) };
            let prepared = rest.by_ref().take(BATCH_MAX);
            let (fates, refusal) =
                self.publisher.commit(&self.broker, vhost, rights, &mut self.turn, prepared);
            let (carried_out, mut returned) = (fates.len() as u64, 0);
            for fate in fates.drain(..) {
                match fate {
                    Fate::Accepted => {}
                    Fate::Refused => complete = false,
                    Fate::Returned(message) => {
                        returned += 1;
                        self.turn.owe_wake(self.outbox.put_return(number, &message, None));
                    }
                }
            }
            if let Some(open) = self.channels.get(&number) {
                channel_stats::add(&open.handle.stats.published, carried_out);
                channel_stats::add(&open.handle.stats.returned, returned);
            }
            if let Some(refusal) = refusal {
                return Err(refusal);
            }
        }
        let unstorable = std::mem::replace(&mut self.turn.unstorable, before);
        Ok(complete && !unstorable)
    }

    fn commit_settles(&mut self, number: u16) {
        let Some(tx) = self.channels.get_mut(&number).and_then(|open| open.tx.as_mut()) else { return };
        let settles = std::mem::take(&mut tx.settles);
        if let Some(open) = self.channels.get(&number) {
            open.show_transaction();
        }
        let freed = self.credit_used(number, settles.iter().map(|(_, unacked)| unacked));
        let mut run = Vec::new();
        let mut settles = settles.into_iter().peekable();
        while let Some((how, unacked)) = settles.next() {
            run.push(unacked);
            while let Some((_, unacked)) = settles.next_if(|(next, _)| *next == how) {
                run.push(unacked);
            }
            if how == How::Ack {
                self.count_acked(number, run.len());
            }
            by_queue(&mut run, |queue, tokens| match how {
                How::Ack => queue.settle(&mut self.turn, tokens),
                How::Reject => queue.reject(&mut self.turn, tokens),
                How::Requeue(cause) => queue.requeue(&mut self.turn, tokens, cause),
            });
        }
        self.credit(number, freed);
    }

    fn roll_back(&mut self, number: u16) -> Result<tx::AMQPMethod, Refusal> {
        let tx = self.channels.get_mut(&number).and_then(|open| open.tx.as_mut());
        let tx = tx.ok_or_else(|| precondition(NOT_TRANSACTIONAL))?;
        self.outbox.give_back(number, std::mem::take(tx).into_unacked());
        if let Some(open) = self.channels.get(&number) {
            open.show_transaction();
        }
        Ok(tx::AMQPMethod::RollbackOk(tx::RollbackOk {}))
    }

    fn not_transactional(&mut self, number: u16, id: MethodId) {
        self.fail_on(number, &refused(&precondition(NOT_TRANSACTIONAL), id));
    }
}

const NOT_TRANSACTIONAL: &str = "channel is not transactional";

fn precondition(text: &str) -> Refusal {
    Refusal::Precondition(text.to_owned())
}

/// Sends `tx.commit-ok` after the store's sync.
struct CommitWaiter {
    outbox: Arc<Outbox>,
    channel: u16,
    incarnation: u64,
}

impl Waiter for CommitWaiter {
    fn synced(&self, _token: u64, outcome: Result<Synced, Broken>) {
        let writer = match outcome {
            Ok(_) => {
                let ok = AMQPClass::Tx(tx::AMQPMethod::CommitOk(tx::CommitOk {}));
                self.outbox.put_for(self.channel, self.incarnation, &ok)
            }
            // The commit's outcome is unknown, which is what a lost connection means to the client.
            Err(Broken) => self.outbox.close(),
        };
        if let Some(writer) = writer {
            writer.wake();
        }
    }
}
