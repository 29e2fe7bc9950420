//! The methods of class queue.

use std::sync::Arc;

use leveret_broker::bindings::BindingRequest;
use leveret_broker::definitions::DestinationKind;
use leveret_broker::names::{ExchangeName, QueueName, without_line_breaks};
use leveret_broker::queues::{DeclaredQueue, QueueDeletion, QueueRequest};
use leveret_broker::refusal::Refusal;
use leveret_broker::reply_to::is_reply_name;

use super::connection::Connection;
use super::error::{MethodId, refused};
use super::row::{Answered, names_reply_queue, until_refused};
use crate::wire::method::{AMQPClass, FieldTable, ShortString, queue, short_string};

impl Connection {
    pub(super) fn queue_method(&mut self, number: u16, method: queue::AMQPMethod, id: MethodId) {
        use queue::AMQPMethod as M;
        let answer = match method {
            M::Declare(declare) if declare.passive || names_reply_queue(&declare) => {
                self.look_up_queue(number, &declare)
            }
            M::Purge(purge) => self.purge_queue(number, &purge),
            M::Declare(_) | M::Delete(_) | M::Bind(_) | M::Unbind(_) => {
                return self.carry_out(number, vec![AMQPClass::Queue(method)], id);
            }
            _ => return self.unimplemented(id),
        };
        match answer {
            Ok(Some(answer)) => self.send(number, &AMQPClass::Queue(answer)),
            Ok(None) => {}
            Err(refusal) => self.fail_on(number, &refused(&refusal, id)),
        }
    }

    fn look_up_queue(
        &mut self,
        number: u16,
        declare: &queue::Declare,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        let name = without_line_breaks(declare.queue.as_str());
        let name = if name.is_empty() { self.queue_name(number, "")? } else { QueueName::new(&name) };
        if is_reply_name(name.as_str()) {
            return self.declare_reply_queue(number, declare, &name);
        }
        let request = queue_request(declare);
        let found = self.as_caller(|broker, vhost, caller, turn| {
            broker.declare_queue(vhost, caller, turn, &name, &request)
        })?;
        self.remember_queue(number, &found.queue.name);
        Ok((!declare.nowait).then(|| declare_ok(&found)))
    }

    /// Declares queues, up to the first refused.
    pub(super) fn declare_queues(&mut self, number: u16, declares: &[queue::Declare]) -> Answered {
        let requests = declares.iter().map(|declare| {
            (QueueName::new(&without_line_breaks(declare.queue.as_str())), queue_request(declare))
        });
        let requests: Vec<_> = requests.collect();
        let row = self.as_caller(|broker, vhost, caller, turn| {
            Ok(broker.declare_queues(vhost, caller, turn, &requests))
        })?;
        for (declare, declared) in declares.iter().zip(&row.done) {
            if declared.created {
                self.log_declared("queue", &declared.queue.name);
            }
            if declared.created && declare.exclusive {
                self.exclusive.add(Arc::clone(&declared.queue), |queue| queue.is_gone());
            }
            if !declare.nowait {
                self.send(number, &AMQPClass::Queue(declare_ok(declared)));
            }
        }
        if let Some(last) = row.done.last() {
            self.remember_queue(number, &last.queue.name);
        }
        row.refused.map_or(Ok(()), Err)
    }

    /// Makes it the queue meant by an empty name.
    fn remember_queue(&mut self, number: u16, name: &QueueName) {
        if let Some(open) = self.channels.get_mut(&number) {
            open.last_queue = Some(name.clone());
        }
    }

    /// Direct reply-to names are only checked, whatever the method says.
    fn declare_reply_queue(
        &mut self,
        number: u16,
        declare: &queue::Declare,
        name: &QueueName,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        self.as_caller(|broker, vhost, _, _| broker.find_reply_queue(vhost, name))?;
        let ok = queue::DeclareOk { queue: short_string(name.as_str()), message_count: 0, consumer_count: 1 };
        self.remember_queue(number, name);
        Ok((!declare.nowait).then_some(queue::AMQPMethod::DeclareOk(ok)))
    }

    /// Deletes queues, up to the first refused.
    pub(super) fn delete_queues(&mut self, number: u16, deletes: &[queue::Delete]) -> Answered {
        let (requests, unnamed) = until_refused(deletes, |delete| {
            let name = self.queue_name(number, &without_line_breaks(delete.queue.as_str()))?;
            Ok(QueueDeletion { name, if_unused: delete.if_unused, if_empty: delete.if_empty })
        });
        let own: Vec<_> = requests.iter().map(|request| self.is_exclusive(&request.name)).collect();
        let row = self.as_caller(|broker, vhost, caller, turn| {
            Ok(broker.delete_queues(vhost, caller, turn, &requests))
        })?;
        for ((request, own), messages) in requests.iter().zip(own).zip(&row.done) {
            // A queue that was not there counts as deleted, and is no change.
            if let Some(own) = own {
                self.log_emptied("deleted", request.name.as_str(), *messages, own);
            }
        }
        for (delete, messages) in deletes.iter().zip(row.done) {
            if !delete.nowait {
                let message_count = u32::try_from(messages).unwrap_or(u32::MAX);
                let ok = queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count });
                self.send(number, &AMQPClass::Queue(ok));
            }
        }
        row.refused.or(unnamed).map_or(Ok(()), Err)
    }

    /// Whether a queue is exclusive to a connection; `None`: it is not there.
    fn is_exclusive(&self, name: &QueueName) -> Option<bool> {
        let queue = self.vhost.as_ref()?.queue(name.as_str())?;
        Some(queue.exclusive_owner.is_some())
    }

    fn purge_queue(
        &mut self,
        number: u16,
        purge: &queue::Purge,
    ) -> Result<Option<queue::AMQPMethod>, Refusal> {
        let name = self.queue_name(number, purge.queue.as_str())?;
        let own = self.is_exclusive(&name);
        let messages =
            self.as_caller(|broker, vhost, caller, turn| broker.purge_queue(vhost, caller, turn, &name))?;
        self.log_emptied("purged", name.as_str(), messages, own == Some(true));
        let message_count = u32::try_from(messages).unwrap_or(u32::MAX);
        Ok((!purge.nowait).then_some(queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count })))
    }

    /// Binds queues, up to the first refused.
    pub(super) fn bind_queues(&mut self, number: u16, binds: &[queue::Bind]) -> Answered {
        let (requests, unnamed) = until_refused(binds, |bind| {
            self.queue_binding(number, &bind.queue, &bind.exchange, &bind.routing_key, &bind.arguments)
        });
        let row = self.as_caller(|broker, vhost, caller, _| Ok(broker.bind_all(vhost, caller, &requests)))?;
        self.log_bindings("added", requests.iter().take(row.done.len()));
        for _ in binds.iter().zip(row.done).filter(|(bind, ())| !bind.nowait) {
            self.send(number, &AMQPClass::Queue(queue::AMQPMethod::BindOk(queue::BindOk {})));
        }
        row.refused.or(unnamed).map_or(Ok(()), Err)
    }

    /// Unbinds queues, up to the first refused.
    pub(super) fn unbind_queues(&mut self, number: u16, unbinds: &[queue::Unbind]) -> Answered {
        let (requests, unnamed) = until_refused(unbinds, |unbind| {
            self.queue_binding(
                number,
                &unbind.queue,
                &unbind.exchange,
                &unbind.routing_key,
                &unbind.arguments,
            )
        });
        let row =
            self.as_caller(|broker, vhost, caller, _| Ok(broker.unbind_all(vhost, caller, &requests)))?;
        self.log_bindings("removed", requests.iter().take(row.done.len()));
        for () in row.done {
            self.send(number, &AMQPClass::Queue(queue::AMQPMethod::UnbindOk(queue::UnbindOk {})));
        }
        row.refused.or(unnamed).map_or(Ok(()), Err)
    }

    fn queue_binding(
        &self,
        number: u16,
        queue: &ShortString,
        exchange: &ShortString,
        routing_key: &ShortString,
        arguments: &FieldTable,
    ) -> Result<BindingRequest, Refusal> {
        let queue = without_line_breaks(queue.as_str());
        let name = self.queue_name(number, &queue)?;
        // With the shorthand, an empty key also means the queue's name (2e).
        let key = routing_key.as_str();
        let routing_key =
            if queue.is_empty() && key.is_empty() { name.as_str().to_owned() } else { key.to_owned() };
        Ok(BindingRequest {
            source: ExchangeName::new(&without_line_breaks(exchange.as_str())),
            kind: DestinationKind::Queue,
            destination: name.as_str().to_owned(),
            routing_key,
            arguments: arguments.clone(),
        })
    }

    /// Resolves a queue name: empty means the last queue declared on the channel (2e).
    pub(super) fn queue_name(&self, number: u16, name: &str) -> Result<QueueName, Refusal> {
        if !name.is_empty() {
            return Ok(QueueName::new(name));
        }
        let last = self.channels.get(&number).and_then(|open| open.last_queue.clone());
        last.ok_or(Refusal::NoLastQueue)
    }
}

fn queue_request(declare: &queue::Declare) -> QueueRequest<'_> {
    QueueRequest {
        passive: declare.passive,
        durable: declare.durable,
        exclusive: declare.exclusive,
        auto_delete: declare.auto_delete,
        arguments: &declare.arguments,
    }
}

fn declare_ok(declared: &DeclaredQueue) -> queue::AMQPMethod {
    let count = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
    queue::AMQPMethod::DeclareOk(queue::DeclareOk {
        queue: short_string(declared.queue.name.as_str()),
        message_count: count(declared.messages),
        consumer_count: count(declared.consumers),
    })
}
