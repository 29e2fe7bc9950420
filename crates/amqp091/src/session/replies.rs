//! Direct reply-to on a channel (docs/semantics.md, Routing): one reply consumer, and its hidden queue's name in
//! requests.

use std::sync::Arc;

use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::refusal::Refusal;
use leveret_broker::reply_to::addressed;

use super::connection::Connection;
use super::content::{PUBLISH, Publication};
use super::error::{AmqpError, ReplyCode};
use crate::wire::method::basic;

impl Connection {
    /// Whether the channel may start a reply consumer.
    pub(super) fn may_consume_replies(&self, number: u16, consume: &basic::Consume) -> Result<(), Refusal> {
        if self.channels.get(&number).is_some_and(|open| open.replies.is_some()) {
            return Err(Refusal::Precondition("reply consumer already set".to_owned()));
        }
        if !consume.no_ack {
            return Err(Refusal::Precondition("reply consumer cannot acknowledge".to_owned()));
        }
        Ok(())
    }

    /// The hidden queue of the channel's reply consumer, which must be attached next.
    pub(super) fn open_reply_queue(&mut self, number: u16) -> Result<Arc<QueueHandle>, Refusal> {
        let now = self.turn.now;
        let queue = self.as_caller(|broker, vhost, _, _| broker.open_reply_queue(vhost, now))?;
        if let Some(open) = self.channels.get_mut(&number) {
            open.replies = Some(queue.name.clone());
        }
        Ok(queue)
    }

    /// Writes the hidden queue's name into a request. `false`: refused, no reply consumer exists.
    pub(super) fn address(&mut self, number: u16, outgoing: &mut Publication) -> bool {
        let replies = self.channels.get(&number).and_then(|open| open.replies.as_ref());
        if let Some(name) = replies {
            outgoing.message = addressed(&outgoing.message, name);
            return true;
        }
        self.flush();
        let text = "fast reply consumer does not exist";
        self.fail_on(number, &AmqpError::new(ReplyCode::PreconditionFailed, PUBLISH, text));
        false
    }
}
