//! Direct reply-to (docs/semantics.md, Routing): a requester consumes a pseudo-queue, and its requests carry the name
//! of a hidden queue instead, so that replies are ordinary publishes.
//!
//! Invariants: a hidden queue lives as long as its only consumer; its name cannot be guessed; it is not listed, and
//! only its consumer and publishers to the default exchange reach it.

use std::sync::Arc;

use leveret_message::properties::{Field, PropertiesEdit};
use leveret_message::{Message, Millis, QueueId};
use leveret_queues::Queue;

use super::arguments::FieldTable;
use super::broker::Broker;
use super::names::QueueName;
use super::queue_handle::{Installed, QueueHandle};
use super::queue_options::InForce;
use super::queue_options::QueueSpec;
use super::refusal::{Refusal, Resource};
use super::vhost::Vhost;

/// The name a requester consumes from, and sets in `reply_to`.
pub const REPLY_TO: &str = "amq.rabbitmq.reply-to";

/// Whether the name is that of direct reply-to, or of one of its hidden queues.
pub fn is_reply_name(name: &str) -> bool {
    name.strip_prefix(REPLY_TO).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

/// Whether the message is a reply to a hidden queue. It counts as routed even if the requester is gone (`RabbitMQ`
/// since 4.2).
pub(super) fn is_reply(message: &Message) -> bool {
    message.exchange().is_empty() && std::str::from_utf8(message.routing_key()).is_ok_and(is_reply_name)
}

/// The request with the hidden queue's name in `reply_to`.
pub fn addressed(message: &Message, name: &QueueName) -> Message {
    let mut edit = PropertiesEdit::new(message.properties()).unwrap_or_default();
    edit.set_text(Field::ReplyTo, name.as_str().as_bytes());
    message.with_properties(&edit.finish(), message.meta())
}

impl Broker {
    /// Creates a requester's hidden queue. It is deleted with its consumer, so one must be attached.
    pub fn open_reply_queue(&self, vhost: &Vhost, now: Millis) -> Result<Arc<QueueHandle>, Refusal> {
        let id = QueueId(self.next_queue_id()?);
        // Two parts, as in RabbitMQ: the first names the channel, the second is the secret; clients split the name.
        let channel = self.generated_name(&format!("{REPLY_TO}."));
        let name = QueueName::new(&self.generated_name(&format!("{channel}.")));
        let spec = QueueSpec {
            durable: false,
            auto_delete: true,
            exclusive_owner: None,
            hidden: true,
            arguments: FieldTable::default(),
        };
        let in_force = InForce::default();
        let queue = Queue::new(in_force.settings, now);
        Ok(self.install_queue(vhost, id, &name, spec, Installed { in_force, deduplication: None, queue }))
    }

    /// Whether the name has a consumer; the bare name always counts as existing.
    pub fn find_reply_queue(&self, vhost: &Vhost, name: &QueueName) -> Result<(), Refusal> {
        let there = name.as_str() == REPLY_TO || vhost.queue(name.as_str()).is_some_and(|queue| queue.hidden);
        if there {
            return Ok(());
        }
        let resource = Resource::Queue(name.clone());
        Err(Refusal::NotFound { resource, vhost: vhost.name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_from_those_that_only_begin_alike() {
        for (name, is) in [
            ("amq.rabbitmq.reply-to", true),
            ("amq.rabbitmq.reply-to.abc", true),
            ("amq.rabbitmq.reply-top", false),
            ("amq.rabbitmq.reply", false),
            ("", false),
        ] {
            assert_eq!(is_reply_name(name), is, "{name}");
        }
    }
}
