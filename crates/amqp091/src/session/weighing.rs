//! Counts what a connection holds beside queued messages against the common budget (`broker::held`): incomplete
//! contents, open transactions, waiting publishes, incomplete frames.
//!
//! Invariant: a connection that holds too much loses the channel that holds most, or ends if no channel holds
//! anything.

use std::sync::Arc;

use leveret_broker::held::{Overdrawn, STEP, Share};

use super::connection::Connection;
use super::error::{AmqpError, MethodId, ReplyCode};

/// Incomplete frames count from this many bytes on.
const LEFT_BYTES: usize = 16 * 1024;

impl Connection {
    /// Bytes of an incomplete frame kept until the rest arrives.
    pub fn keeps(&mut self, left: usize) {
        if left >= LEFT_BYTES || self.holding.left > 0 {
            self.holding.left = if left >= LEFT_BYTES { left } else { 0 };
            self.count_held();
            self.broker.finish(&mut self.turn);
        }
    }

    /// Recounts what is held, if it may be much.
    pub(super) fn count_if_due(&mut self) {
        if self.holding.is_due() {
            self.count_held();
        }
    }

    fn count_held(&mut self) {
        self.holding.grown = 0;
        let in_channels: usize = self.channels.values().map(super::channel::Channel::held_bytes).sum();
        let bytes = (in_channels + self.held_up.bytes() + self.holding.left) as u64;
        let bytes = if bytes < STEP / 4 { 0 } else { bytes };
        if bytes == self.holding.counted {
            return;
        }
        let now = self.turn.now;
        let Some(share) = self.share() else { return };
        match share.hold(now, bytes) {
            Ok(()) => self.holding.counted = bytes,
            Err(overdrawn) => self.give_up(overdrawn),
        }
    }

    fn share(&mut self) -> Option<&Share> {
        if self.holding.share.is_none() {
            let account = match self.user() {
                Some(user) => Arc::from(user.as_str()),
                None => Arc::from(self.peer.address.ip().to_string()),
            };
            let ender = self.ender.clone()?;
            self.holding.share = Some(self.broker.held().share(account, move || ender.give_way()));
        }
        self.holding.share.as_ref()
    }

    /// The common budget is exceeded, and this connection holds most.
    pub fn give_way(&mut self) {
        let limit = self.broker.held().limit();
        self.give_up(Overdrawn { limit });
        if let Some(share) = &self.holding.share {
            share.gave_way();
        }
        self.broker.finish(&mut self.turn);
    }

    fn give_up(&mut self, overdrawn: Overdrawn) {
        let heaviest = self.channels.iter().max_by_key(|(_, open)| open.held_bytes());
        let heaviest = heaviest.map(|(number, open)| (*number, open.held_bytes()));
        let text = overdrawn.to_string();
        match heaviest {
            Some((number, bytes)) if bytes as u64 >= STEP / 4 => {
                self.fail_on(
                    number,
                    &AmqpError::new(ReplyCode::ContentTooLarge, super::content::PUBLISH, text),
                );
            }
            _ => self.fail(&AmqpError::new(ReplyCode::ResourceError, MethodId::default(), text)),
        }
        self.count_held();
    }
}
