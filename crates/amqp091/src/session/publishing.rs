//! Carrying out publishes: returns, refusals, confirms (docs/semantics.md, Publishing).

use std::sync::atomic::Ordering;

use leveret_broker::channel_stats;
use leveret_broker::publish::Fate;
use leveret_store::Pressure;

use super::connection::Connection;
use super::content::PUBLISH;
use super::error::refused;
use super::handshake::capability;
use crate::wire::method::{connection, short_string};

impl Connection {
    /// Carries out the buffered publishes, then the acknowledgements.
    pub(super) fn flush(&mut self) {
        if !self.batch.messages.is_empty() {
            if self.held_up.on {
                self.hold_publishes();
            } else {
                self.flush_publishes();
            }
        }
        if !self.acked.is_empty() {
            self.flush_acks();
        }
    }

    fn flush_publishes(&mut self) {
        if self.buffer_publishes_in_transaction() {
            return;
        }
        let number = self.batch.channel;
        let (Some(vhost), Some(rights)) = (&self.vhost, &mut self.rights) else {
            self.batch.messages.clear();
            return;
        };
        let appended_before = std::mem::take(&mut self.turn.appended);
        let (fates, refusal) = self.publisher.publish(
            &self.broker,
            vhost,
            rights,
            &mut self.turn,
            self.batch.messages.drain(..).map(Into::into),
        );
        let nothing_appended = self.turn.nothing_appended();
        let unstorable = std::mem::take(&mut self.turn.unstorable);
        self.turn.appended |= appended_before;
        let Some(open) = self.channels.get_mut(&number) else { return };
        channel_stats::add(&open.handle.stats.published, fates.len() as u64);
        let mut next = open.confirms.as_ref().map(|confirms| confirms.next);
        if next.is_some() {
            vhost.stats.published_confirm.fetch_add(fates.len() as u64, Ordering::Relaxed);
        }
        let (mut accepted, mut returned) = (None, 0);
        if !unstorable && fates.iter().all(|fate| matches!(fate, Fate::Accepted)) {
            next = next.map(|tag| tag + fates.len() as u64);
            accepted = next.filter(|_| !fates.is_empty()).map(|tag| tag - 1);
            fates.clear();
        }
        for fate in fates.drain(..) {
            let tag = next;
            next = next.map(|tag| tag + 1);
            let fate = if unstorable && matches!(fate, Fate::Accepted) { Fate::Refused } else { fate };
            match fate {
                Fate::Accepted => accepted = tag,
                Fate::Refused => {
                    let Some(tag) = tag else { continue };
                    let writer = self.outbox.refuse(number, tag);
                    self.turn.owe_wake(writer);
                }
                Fate::Returned(message) => {
                    returned += 1;
                    // Clients expect the ack of a returned message directly behind it.
                    if let (Some(confirms), Some(upto)) = (&mut open.confirms, accepted.take()) {
                        confirms.upto(
                            upto,
                            nothing_appended,
                            self.broker.store(),
                            &self.outbox,
                            &mut self.turn,
                        );
                    }
                    let writer = self.outbox.put_return(number, &message, tag);
                    self.turn.owe_wake(writer);
                }
            }
        }
        channel_stats::add(&open.handle.stats.returned, returned);
        if let (Some(confirms), Some(next)) = (&mut open.confirms, next) {
            confirms.next = next;
            if let Some(upto) = accepted {
                confirms.upto(upto, nothing_appended, self.broker.store(), &self.outbox, &mut self.turn);
            }
        }
        if let Some(refusal) = refusal {
            self.fail_on(number, &refused(&refusal, PUBLISH));
        }
        self.heed_pressure();
    }

    /// Stops reading while the client does not read, the store cannot keep up, or an alarm is raised.
    pub(super) fn heed_pressure(&mut self) {
        self.throttled |= self.outbox.is_full() || self.broker.memory().is_overdrawn();
        if let Some(reason) = self.broker.alarms.reason() {
            self.throttled = true;
            self.tell_blocked(&reason);
        }
        match self.broker.store().pressure() {
            Pressure::None => {}
            Pressure::Full => self.throttled = true,
            Pressure::Blocked(reason) => {
                self.throttled = true;
                self.tell_blocked(&reason);
            }
        }
    }

    /// Tells a held-up client the reason, if it is worth reporting.
    pub(super) fn tell_if_blocked(&mut self) {
        let reason = self.broker.alarms.reason().or_else(|| match self.broker.store().pressure() {
            Pressure::Blocked(reason) => Some(reason),
            Pressure::None | Pressure::Full => None,
        });
        if let Some(reason) = reason {
            self.tell_blocked(&reason);
        }
    }

    /// Sends `connection.blocked` to a publishing client that understands it.
    fn tell_blocked(&mut self, reason: &str) {
        if self.blocked || !capability(&self.client.properties, "connection.blocked") {
            return;
        }
        self.blocked = true;
        self.show_blocked();
        let reason = short_string(reason);
        self.send_connection(connection::AMQPMethod::Blocked(connection::Blocked { reason }));
    }

    fn show_blocked(&self) {
        if let Some(handle) = &self.handle {
            handle.blocked.store(self.blocked, Ordering::Relaxed);
        }
    }

    /// Sends `connection.unblocked` when publishers may proceed.
    pub(super) fn tell_unblocked(&mut self) {
        if self.blocked && !self.broker.publishers_must_wait() {
            self.blocked = false;
            self.show_blocked();
            self.send_connection(connection::AMQPMethod::Unblocked(connection::Unblocked {}));
        }
    }
}
