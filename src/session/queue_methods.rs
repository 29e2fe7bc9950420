//! The methods of class queue.

use super::connection::Connection;
use super::error::{MethodId, refused};
use crate::broker::bindings::BindingRequest;
use crate::broker::definitions::DestinationKind;
use crate::broker::names::{ExchangeName, QueueName, without_line_breaks};
use crate::broker::queues::QueueRequest;
use crate::broker::refusal::Refusal;
use crate::broker::reply_to::is_reply_name;
use crate::wire::method::{AMQPClass, queue, short_string};

impl Connection {
    pub(super) fn queue_method(&mut self, number: u16, method: queue::AMQPMethod, id: MethodId) {
        use queue::AMQPMethod as M;
        let outcome = match method {
            M::Declare(declare) => self.declare_queue(number, &declare),
            M::Delete(delete) => self.delete_queue(number, &delete),
            M::Purge(purge) => self.purge_queue(number, &purge),
            M::Bind(bind) => self.bind_queue(number, bind),
            M::Unbind(unbind) => self.unbind_queue(number, unbind),
            _ => return self.unimplemented(id),
        };
        match outcome {
            Ok(Some(answer)) => self.send(number, &AMQPClass::Queue(answer)),
            Ok(None) => {}
            Err(refusal) => self.fail_on(number, &refused(&refusal, id)),
        }
    }

    fn declare_queue(
        &mut self,
        number: u16,
        declare: &queue::Declare,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        let name = without_line_breaks(declare.queue.as_str());
        let name = if name.is_empty() && declare.passive {
            self.queue_name(number, "")?
        } else {
            QueueName::new(&name)
        };
        if is_reply_name(name.as_str()) {
            return self.declare_reply_queue(number, declare, name);
        }
        let request = QueueRequest {
            passive: declare.passive,
            durable: declare.durable,
            exclusive: declare.exclusive,
            auto_delete: declare.auto_delete,
            arguments: &declare.arguments,
        };
        let declared = self.as_caller(|broker, vhost, caller, turn| {
            broker.declare_queue(vhost, caller, turn, &name, &request)
        })?;
        if declared.created && declare.exclusive {
            self.exclusive.retain(|queue| !queue.is_gone());
            self.exclusive.push(std::sync::Arc::clone(&declared.queue));
        }
        if let Some(open) = self.channels.get_mut(&number) {
            open.last_queue = Some(declared.queue.name.clone());
        }
        let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Ok((!declare.nowait).then(|| {
            queue::AMQPMethod::DeclareOk(queue::DeclareOk {
                queue: short_string(declared.queue.name.as_str()),
                message_count: count(declared.messages),
                consumer_count: count(declared.consumers),
            })
        }))
    }

    /// Names of direct reply-to are only looked at, whatever the method says.
    fn declare_reply_queue(
        &mut self,
        number: u16,
        declare: &queue::Declare,
        name: QueueName,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        self.as_caller(|broker, vhost, _, _| broker.find_reply_queue(vhost, &name))?;
        let ok = queue::DeclareOk { queue: short_string(name.as_str()), message_count: 0, consumer_count: 1 };
        if let Some(open) = self.channels.get_mut(&number) {
            open.last_queue = Some(name);
        }
        Ok((!declare.nowait).then_some(queue::AMQPMethod::DeclareOk(ok)))
    }

    fn delete_queue(
        &mut self,
        number: u16,
        delete: &queue::Delete,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        let name = self.queue_name(number, &without_line_breaks(delete.queue.as_str()))?;
        let messages = self.as_caller(|broker, vhost, caller, turn| {
            broker.delete_queue(vhost, caller, turn, &name, delete.if_unused, delete.if_empty)
        })?;
        let message_count = u32::try_from(messages).unwrap_or(u32::MAX);
        Ok((!delete.nowait).then_some(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count })))
    }

    fn purge_queue(
        &mut self,
        number: u16,
        purge: &queue::Purge,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        let name = self.queue_name(number, purge.queue.as_str())?;
        let messages =
            self.as_caller(|broker, vhost, caller, turn| broker.purge_queue(vhost, caller, turn, &name))?;
        let message_count = u32::try_from(messages).unwrap_or(u32::MAX);
        Ok((!purge.nowait).then_some(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count })))
    }

    fn bind_queue(&mut self, number: u16, bind: queue::Bind) -> Result<Option<queue::AMQPMethod>, Refusal> {
        let queue = without_line_breaks(bind.queue.as_str());
        let name = self.queue_name(number, &queue)?;
        // With the shorthand, an empty key means the queue's name, too (2e).
        let key = bind.routing_key.as_str();
        let routing_key =
            if queue.is_empty() && key.is_empty() { name.as_str().to_owned() } else { key.to_owned() };
        let request = BindingRequest {
            source: ExchangeName::new(&without_line_breaks(bind.exchange.as_str())),
            kind: DestinationKind::Queue,
            destination: name.as_str().to_owned(),
            routing_key,
            arguments: bind.arguments,
        };
        self.as_caller(|broker, vhost, caller, _| broker.bind(vhost, caller, &request))?;
        Ok((!bind.nowait).then_some(queue::AMQPMethod::BindOk(queue::BindOk {})))
    }

    fn unbind_queue(
        &mut self,
        number: u16,
        unbind: queue::Unbind,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        let queue = without_line_breaks(unbind.queue.as_str());
        let name = self.queue_name(number, &queue)?;
        let key = unbind.routing_key.as_str();
        let routing_key =
            if queue.is_empty() && key.is_empty() { name.as_str().to_owned() } else { key.to_owned() };
        let request = BindingRequest {
            source: ExchangeName::new(&without_line_breaks(unbind.exchange.as_str())),
            kind: DestinationKind::Queue,
            destination: name.as_str().to_owned(),
            routing_key,
            arguments: unbind.arguments,
        };
        self.as_caller(|broker, vhost, caller, _| broker.unbind(vhost, caller, &request))?;
        Ok(Some(queue::AMQPMethod::UnbindOk(queue::UnbindOk {})))
    }

    /// The queue that is meant: an empty name is the one last declared on the channel (2e).
    pub(super) fn queue_name(&self, number: u16, name: &str) -> Result<QueueName, Refusal> {
        if !name.is_empty() {
            return Ok(QueueName::new(name));
        }
        let last = self.channels.get(&number).and_then(|open| open.last_queue.clone());
        last.ok_or(Refusal::NoLastQueue)
    }
}
