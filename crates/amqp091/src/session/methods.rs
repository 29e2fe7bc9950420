//! Control methods: which one is legal now, and its call on the broker.

use std::sync::Arc;

use leveret_broker::consumer::Consumer;
use leveret_broker::publish::Publisher;
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::refusal::{Access, Refusal, Resource};
use leveret_broker::reply_to::REPLY_TO;

use super::channel::Channel;
use super::connection::{Connection, Outcome, Phase};
use super::error::{AmqpError, MethodId, ReplyCode, refused};
use super::handshake::credentials;
use super::left::CloseAnswer;
use crate::wire::method::{AMQPClass, access, basic, channel, confirm, connection};

impl Connection {
    /// Whether a method may wait for the disk or for a slow computation, and for which: definitions are
    /// durable before they are answered, password checks are slow, and closing may delete auto-delete queues.
    pub(super) fn may_block(&self, method: &AMQPClass) -> Option<Outcome> {
        let blocks = match method {
            AMQPClass::Connection(method) => match method {
                connection::AMQPMethod::StartOk(answer) => {
                    let credentials = credentials(answer).and_then(Result::ok);
                    return credentials.and_then(|given| self.slow_login(given.user, given.password));
                }
                connection::AMQPMethod::Close(_) => true,
                _ => false,
            },
            AMQPClass::Channel(method) => matches!(method, channel::AMQPMethod::Close(_)),
            AMQPClass::Exchange(_) | AMQPClass::Queue(_) => true,
            AMQPClass::Basic(method) => match method {
                basic::AMQPMethod::Cancel(_) => true,
                basic::AMQPMethod::Consume(consume) => consume.queue.as_str() == REPLY_TO,
                _ => false,
            },
            _ => false,
        };
        blocks.then_some(Outcome::MayBlock)
    }

    fn slow_login(&self, user: &str, password: &[u8]) -> Option<Outcome> {
        self.broker.login_is_slow(user, password, self.origin()).then_some(Outcome::Password)
    }

    /// Carries out a control method. Returns a queue if the method must be repeated once that queue's head was
    /// read from disk.
    pub(super) fn method(
        &mut self,
        number: u16,
        method: AMQPClass,
        id: MethodId,
        payload: &[u8],
    ) -> Option<Arc<QueueHandle>> {
        if self.phase == Phase::Closing {
            self.while_closing(&method);
            return None;
        }
        if number == 0 {
            match method {
                AMQPClass::Connection(method) => self.connection_method(method, id),
                _ => self.illegal(id),
            }
            return None;
        }
        if self.phase != Phase::Running || matches!(method, AMQPClass::Connection(_)) {
            self.illegal(id);
            return None;
        }
        if !self.on_open_channel(number, &method, id) {
            return None;
        }
        match method {
            AMQPClass::Channel(method) => self.channel_method(number, method, id),
            AMQPClass::Exchange(method) => self.exchange_method(number, method, id),
            AMQPClass::Queue(method) => self.queue_method(number, method, id),
            AMQPClass::Basic(method) => return self.basic_method(number, method, id, payload),
            AMQPClass::Confirm(confirm::AMQPMethod::Select(select)) => {
                if let Some(open) = self.channels.get_mut(&number) {
                    if open.tx.is_some() {
                        let text = "cannot switch from tx to confirm mode";
                        let error = AmqpError::new(ReplyCode::PreconditionFailed, id, text);
                        self.fail_on(number, &error);
                        return None;
                    }
                    open.select_confirms(&self.outbox);
                }
                if !select.nowait {
                    let ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
                    self.send(number, &AMQPClass::Confirm(ok));
                }
            }
            AMQPClass::Tx(method) => self.tx_method(number, &method, id),
            AMQPClass::Access(access::AMQPMethod::Request(_)) => {
                let ok = access::AMQPMethod::RequestOk(access::RequestOk {});
                self.send(number, &AMQPClass::Access(ok));
            }
            _ => self.unimplemented(id),
        }
        None
    }

    /// Whether the method may run on this channel; errors are handled here.
    pub(super) fn on_open_channel(&mut self, number: u16, method: &AMQPClass, id: MethodId) -> bool {
        let opening = matches!(method, AMQPClass::Channel(channel::AMQPMethod::Open(_)));
        match self.channels.get_mut(&number) {
            Some(open) if open.closing => {
                match method {
                    AMQPClass::Channel(channel::AMQPMethod::CloseOk(_)) => {
                        self.channels.remove(&number);
                        self.left.note(number, CloseAnswer::Answered);
                    }
                    AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                        self.channel_closed_by_client(number);
                        self.left.note(number, CloseAnswer::Owed);
                    }
                    _ => {}
                }
                false
            }
            Some(open) if open.content.is_some() => {
                self.fail(&super::connection::cut_short());
                false
            }
            Some(_) if opening => {
                let text = "second 'channel.open' seen";
                self.fail(&AmqpError::new(ReplyCode::ChannelError, id, text));
                false
            }
            None if !opening => {
                self.on_no_channel(number, method, id);
                false
            }
            _ => true,
        }
    }

    /// A method on a channel that is not open. Possible answers to our own close are accepted.
    fn on_no_channel(&mut self, number: u16, method: &AMQPClass, id: MethodId) {
        use channel::AMQPMethod::{Close, CloseOk};
        match (self.left.close_answer(number), method) {
            (Some(_), AMQPClass::Channel(CloseOk(_))) => self.left.note(number, CloseAnswer::Answered),
            (Some(_), AMQPClass::Channel(Close(_))) => self.channel_closed_by_client(number),
            (Some(CloseAnswer::Owed), _) => {}
            (Some(CloseAnswer::Answered) | None, _) => {
                let text = format!("expected 'channel.open' on channel {number}");
                self.fail(&AmqpError::new(ReplyCode::ChannelError, id, text));
            }
        }
    }

    fn while_closing(&mut self, method: &AMQPClass) {
        match method {
            AMQPClass::Connection(connection::AMQPMethod::CloseOk(_)) => self.phase = Phase::Closed,
            AMQPClass::Connection(connection::AMQPMethod::Close(_)) => self.closed_by_client(),
            _ => {}
        }
    }

    fn connection_method(&mut self, method: connection::AMQPMethod, id: MethodId) {
        match (self.phase, method) {
            (Phase::StartOk, connection::AMQPMethod::StartOk(answer)) => self.start_ok(answer),
            (Phase::TuneOk, connection::AMQPMethod::TuneOk(answer)) => self.tune_ok(&answer),
            (Phase::Open, connection::AMQPMethod::Open(open)) => self.open(open.virtual_host.as_str()),
            (_, connection::AMQPMethod::Close(_)) => self.closed_by_client(),
            (Phase::Running, connection::AMQPMethod::UpdateSecret(update)) => {
                self.update_secret(&update);
            }
            _ => self.illegal(id),
        }
    }

    /// Renews the credentials. Only for tokens, which expire: other users keep their identity whatever the
    /// secret, as RabbitMQ's own users do.
    fn update_secret(&mut self, update: &connection::UpdateSecret) {
        let id = MethodId(10, 70);
        let Some(old) = self.identity.clone() else { return self.illegal(id) };
        let user = old.user.clone();
        let renewed = if old.is_stored() {
            Ok(old)
        } else {
            self.broker.login_with_token(update.new_secret.as_bytes(), self.origin())
        };
        let identity = match renewed {
            Ok(identity) if identity.user == user => identity,
            outcome => {
                if let Err(why) = outcome {
                    tracing::warn!(peer = %self.peer.address, user = %user, "new secret refused: {why}");
                }
                let text = format!("the new secret of user '{user}' was refused");
                return self.fail(&AmqpError::new(ReplyCode::NotAllowed, id, text));
            }
        };
        let Some(vhost) = self.vhost.clone() else { return self.illegal(id) };
        let Some(rights) = identity.rights(&self.broker.users, &vhost.name) else {
            let refusal = Refusal::VhostDenied { vhost: vhost.name.as_str().to_owned(), user };
            return self.fail(&refused(&refusal, id));
        };
        self.identity = Some(identity);
        self.rights = Some(rights);
        // It caches where this client could publish to.
        self.publisher = Publisher::default();
        self.cancel_unreadable();
        self.send_connection(connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {}));
    }

    /// Cancels the consumers whose queue the user may no longer read.
    fn cancel_unreadable(&mut self) {
        let Some(rights) = &self.rights else { return };
        for open in self.channels.values_mut() {
            let denied = |consumer: &Consumer| {
                let queue = &consumer.queue;
                !queue.hidden && rights.check(Access::Read, &Resource::Queue(queue.name.clone())).is_err()
            };
            for (_, consumer) in open.consumers.extract_if(|_, consumer| denied(consumer)) {
                consumer.shared_credit.forget(consumer.id);
                consumer.queue.detach(&mut self.turn, consumer.id);
                consumer.queue.dispatch(&mut self.turn);
                self.turn.owe_wake(consumer.sink.cancelled(&consumer));
            }
        }
    }

    fn channel_method(&mut self, number: u16, method: channel::AMQPMethod, id: MethodId) {
        match method {
            channel::AMQPMethod::Open(_) => self.open_channel(number, id),
            channel::AMQPMethod::Close(_) => self.channel_closed_by_client(number),
            // The answer to a close that crossed the client's own.
            channel::AMQPMethod::CloseOk(_) => {}
            channel::AMQPMethod::Flow(flow) if flow.active => {
                let ok = channel::AMQPMethod::FlowOk(channel::FlowOk { active: true });
                self.send(number, &AMQPClass::Channel(ok));
            }
            channel::AMQPMethod::Flow(_) => {
                self.fail(&AmqpError::new(ReplyCode::NotImplemented, id, "active=false"));
            }
            _ => self.unimplemented(id),
        }
    }

    fn open_channel(&mut self, number: u16, id: MethodId) {
        let (max, count) = (self.negotiated.channel_max, self.channels.len());
        if count >= usize::from(max) {
            let text =
                format!("number of channels opened ({count}) has reached the negotiated channel_max ({max})");
            return self.fail(&AmqpError::new(ReplyCode::NotAllowed, id, text));
        }
        let Some(user) = self.user().cloned() else { return self.illegal(id) };
        let handle = match self.broker.open_channel(self.id, &user, number) {
            Ok(handle) => handle,
            Err(refusal) => return self.fail(&refused(&refusal, id)),
        };
        let incarnation = self.outbox.open_channel(number, Arc::clone(&handle.stats));
        self.channels.insert(number, Channel::new(number, incarnation, handle));
        self.left.forget(number);
        let ok = channel::AMQPMethod::OpenOk(channel::OpenOk {});
        self.send(number, &AMQPClass::Channel(ok));
    }

    /// A known method that is illegal now.
    fn illegal(&mut self, id: MethodId) {
        let text = "unexpected method in connection state";
        self.fail(&AmqpError::new(ReplyCode::ChannelError, id, text));
    }

    /// A method that clients must not send.
    pub(super) fn unimplemented(&mut self, id: MethodId) {
        self.fail(&AmqpError::new(ReplyCode::CommandInvalid, id, "unimplemented method"));
    }
}
