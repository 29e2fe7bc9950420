//! A connection whose publishes must wait, but which is still read: methods that end it, settle deliveries or take
//! nothing more must not queue behind its own publishes.
//!
//! Invariants: publishes are carried out in order of arrival; on a channel only settling, cancelling and the
//! channel's end overtake its publishes; buffered publishes are bounded by [`HELD_BYTES_MAX`] plus the message
//! that exceeds it; a publish taken is carried out however the connection ends.
//! Absent: when holding starts and ends, which `net` and the broker decide.

use std::sync::atomic::Ordering;

use leveret_broker::channel_stats;
use leveret_broker::publish::{Fate, Incoming};

use super::connection::Connection;
use super::held_up::HeldUp;
use crate::wire::control::method_id;
use crate::wire::frame::{Frame, FrameKind};

/// Bytes of publishes buffered per client before the next one is left unread. Mostly enough for what is in flight
/// when the client receives `connection.blocked`.
const HELD_BYTES_MAX: usize = 1024 * 1024;

impl Connection {
    /// Buffers publishes from now on, until they may proceed.
    pub fn hold_up(&mut self) {
        self.held_up.on = true;
    }

    /// Whether publishes are buffered.
    pub fn is_held_up(&self) -> bool {
        self.held_up.on
    }

    /// Carries out buffered publishes if allowed. `false`: more are buffered than may be carried out now.
    pub(super) fn go_on(&mut self) -> bool {
        if self.held_up.on {
            if self.broker.publishers_must_wait() || self.outbox.is_full() {
                self.throttled = false;
                self.tell_if_blocked();
                return true;
            }
            self.held_up.on = false;
        }
        if self.held_up.is_empty() {
            return true;
        }
        self.throttled = false;
        while let Some(channel) = self.held_up.first().filter(|_| !self.throttled) {
            self.batch.channel = channel;
            self.batch.messages = self.held_up.next_run();
            self.flush();
        }
        !self.throttled
    }

    /// Buffers the batch's publishes.
    pub(super) fn hold_publishes(&mut self) {
        if self.buffer_publishes_in_transaction() {
            return;
        }
        let channel = self.batch.channel;
        for outgoing in self.batch.messages.drain(..) {
            let bytes = self.held_up.push(channel, outgoing);
            self.holding.grows(bytes);
        }
    }

    /// Whether a frame cannot be handled while publishes wait.
    pub(super) fn has_to_wait(&mut self, frame: &Frame, payload: &[u8]) -> bool {
        self.flush();
        if frame.kind != FrameKind::Method {
            return false;
        }
        match method_id(payload).unwrap_or_default() {
            // publish
            (60, 40) => {
                self.held_up.bytes() >= HELD_BYTES_MAX
                    || self.outbox.is_full()
                    || (self.held_up.bytes() > 0 && self.broker.held().is_tight())
            }
            // ack, reject, nack; closes of the connection and of channels, and their answers
            (60, 80 | 90 | 120) | (10, 50 | 51) | (20, 40 | 41) => false,
            // cancel and cancel-ok
            (60, 30 | 31) => self.outbox.is_full(),
            _ => self.outbox.is_full() || self.held_up.has(frame.channel),
        }
    }

    /// The channel ends. Its earlier publishes wait no longer, unless one of them was refused.
    pub(super) fn end_held(&mut self, channel: u16) {
        if self.held_up.is_empty() {
            return;
        }
        let gone = self.held_up.split_off(channel);
        if self.held_up.on {
            self.publish_last(gone);
        }
    }

    /// Carries out all buffered publishes: the connection ends.
    pub(super) fn end_all_held(&mut self) {
        let gone = std::mem::take(&mut self.held_up);
        self.publish_last(gone);
    }

    /// Carries out publishes of ending channels: nobody waits for confirms, and a refusal closes nothing.
    fn publish_last(&mut self, mut held: HeldUp) {
        let (Some(vhost), Some(rights)) = (&self.vhost, &mut self.rights) else { return };
        while let Some(number) = held.first() {
            let incoming = held.next_run().into_iter().map(|outgoing| Incoming {
                message: outgoing.message,
                headers: outgoing.headers,
                mandatory: outgoing.mandatory,
            });
            let (fates, refusal) =
                self.publisher.publish(&self.broker, vhost, rights, &mut self.turn, incoming);
            let carried_out = fates.len() as u64;
            for fate in fates.drain(..) {
                if let Fate::Returned(message) = fate {
                    self.turn.owe_wake(self.outbox.put_return(number, &message, None));
                }
            }
            if let Some(open) = self.channels.get(&number) {
                channel_stats::add(&open.handle.stats.published, carried_out);
                if open.confirms.is_some() {
                    vhost.stats.published_confirm.fetch_add(carried_out, Ordering::Relaxed);
                }
            }
            if let Some(refusal) = refusal {
                tracing::debug!(channel = number, "a publish that had to wait was refused: {refusal:?}");
                // Its later publishes on that channel would not have been carried out either.
                held.split_off(number);
            }
        }
    }
}
