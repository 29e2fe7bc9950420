//! Ends of channels and of the connection, whatever the side and the reason.

use std::sync::Arc;

use leveret_message::Millis;
use leveret_queues::Requeue;

use super::connection::{Connection, Phase};
use super::error::AmqpError;
use super::handshake::close_of;
use super::holding::Holding;
use super::unacked::Unacked;
use crate::log_connection;
use crate::wire::method::{AMQPClass, channel, connection, short_string};

impl Connection {
    /// An error on a channel: closes it, or the connection if the error says so.
    pub(super) fn fail_on(&mut self, number: u16, error: &AmqpError) {
        if error.closes_connection || number == 0 {
            self.fail(error);
            return;
        }
        log_connection!(warn, self, channel = number, "channel closed: {error}");
        self.end_channel(number);
        if let Some(open) = self.channels.get_mut(&number) {
            open.closing = true;
            open.content = None;
        }
        let close = channel::AMQPMethod::Close(channel::Close {
            reply_code: error.code.number(),
            reply_text: short_string(&error.reply_text()),
            class_id: error.method.0,
            method_id: error.method.1,
        });
        self.send(number, &AMQPClass::Channel(close));
    }

    /// An error that ends the connection.
    pub(super) fn fail(&mut self, error: &AmqpError) {
        if matches!(self.phase, Phase::StartOk | Phase::TuneOk) {
            // As RabbitMQ. Clients that publish during a reconnect retry once more then; an error stops
            // them.
            log_connection!(warn, self, "connection closed without a word before it was tuned: {error}");
            self.phase = Phase::Closed;
            return;
        }
        self.fail_aloud(error);
    }

    /// The same, but the client is told even before it has tuned.
    pub(super) fn fail_aloud(&mut self, error: &AmqpError) {
        if matches!(self.phase, Phase::Closing | Phase::Closed) {
            return;
        }
        log_connection!(warn, self, "connection closed: {error}");
        self.close_for(error);
    }

    /// Closes the connection without logging.
    pub(super) fn close_for(&mut self, error: &AmqpError) {
        self.end_all();
        self.send(0, &close_of(error));
        self.phase = Phase::Closing;
    }

    /// The broker closes the connection: at shutdown, or on an operator's request.
    pub fn shut(&mut self, now: Millis, error: &AmqpError) {
        self.turn.now = now;
        self.flush();
        self.end_all_held();
        self.fail(error);
        self.broker.finish(&mut self.turn);
    }

    /// The client closes the connection, possibly while our own close awaits its answer.
    pub(super) fn closed_by_client(&mut self) {
        self.end_all_held();
        self.end_all();
        self.client_closes = true;
        self.send_connection(connection::AMQPMethod::CloseOk(connection::CloseOk {}));
        self.phase = Phase::Closed;
    }

    /// The socket is gone, or the conversation over: releases everything that the client held.
    pub fn lost(&mut self, now: Millis) {
        self.turn.now = now;
        self.batch.messages.clear();
        self.end_all_held();
        self.end_all();
        self.phase = Phase::Closed;
        self.broker.finish(&mut self.turn);
    }

    /// The client closes a channel.
    pub(super) fn channel_closed_by_client(&mut self, number: u16) {
        self.end_channel(number);
        self.channels.remove(&number);
        self.send(number, &AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {})));
    }

    fn end_all(&mut self) {
        let numbers: Vec<_> = self.channels.keys().copied().collect();
        self.end_channels(&numbers);
        self.channels.clear();
        self.holding = Holding::default();
        for queue in self.exclusive.take() {
            self.broker.delete_exclusive(&mut self.turn, &queue);
        }
        if let Some(vhost) = self.vhost.take() {
            vhost.connection_ended(self.id);
            self.broker.connection_ended(self.id);
            self.quota_use = None;
        }
    }

    fn end_channel(&mut self, number: u16) {
        self.end_channels(&[number]);
    }

    /// Detaches the channels' consumers and requeues their messages. All consumers are detached first:
    /// otherwise one channel's messages would go to the next channel to end, each counting as a failed
    /// delivery. All outstanding messages return before any is delivered again, which keeps their order.
    fn end_channels(&mut self, numbers: &[u16]) {
        let mut consumers = Vec::new();
        for &number in numbers {
            self.end_held(number);
            let Some(open) = self.channels.get_mut(&number) else { continue };
            self.outbox.mute_channel(number);
            consumers.extend(open.consumers.drain().map(|(_, consumer)| consumer));
        }
        for consumer in &consumers {
            consumer.shared_credit.forget(consumer.id);
            consumer.queue.detach(&mut self.turn, consumer.id);
        }
        let mut unacked = Vec::new();
        for &number in numbers {
            let of_channel = unacked.len();
            unacked.extend(self.outbox.close_channel(number));
            let tx = self.channels.get_mut(&number).and_then(|open| open.tx.take());
            if let Some(tx) = tx {
                unacked.extend(tx.into_unacked());
                unacked[of_channel..].sort_unstable_by_key(|entry| entry.tag);
            }
        }
        self.requeue(unacked, Requeue::ChannelClosed);
        for consumer in consumers {
            consumer.queue.dispatch(&mut self.turn);
        }
    }

    /// Requeues messages, in order.
    pub(super) fn requeue(&mut self, mut unacked: Vec<Unacked>, cause: Requeue) {
        by_queue(&mut unacked, |queue, tokens| queue.requeue(&mut self.turn, tokens, cause));
    }
}

/// Calls `each` once per queue with its outstanding messages, in delivery order.
pub(super) fn by_queue(
    unacked: &mut Vec<Unacked>,
    mut each: impl FnMut(&Arc<leveret_broker::queue_handle::QueueHandle>, &[leveret_queues::Token]),
) {
    let one_queue = unacked.windows(2).all(|pair| Arc::ptr_eq(&pair[0].queue, &pair[1].queue));
    if !one_queue {
        unacked.sort_by_key(|entry| (entry.queue.id, entry.tag));
    }
    let mut tokens = Vec::with_capacity(unacked.len());
    for run in unacked.chunk_by(|a, b| Arc::ptr_eq(&a.queue, &b.queue)) {
        tokens.clear();
        tokens.extend(run.iter().map(|entry| entry.token));
        each(&run[0].queue, &tokens);
    }
    unacked.clear();
}
