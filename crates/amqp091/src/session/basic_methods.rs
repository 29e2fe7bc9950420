//! Methods of class basic outside the hot path: qos, consume, cancel, get, recover.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leveret_broker::arguments::integer;
use leveret_broker::channel_stats;
use leveret_broker::consumer::{Consumer, Sink};
use leveret_broker::names::{ConsumerTag, QueueName, VhostName};
use leveret_broker::queue_handle::{GetOutcome, QueueHandle};
use leveret_broker::queue_options::no_integer;
use leveret_broker::refusal::{Refusal, Resource};
use leveret_broker::reply_to::REPLY_TO;
use leveret_queues::ConsumerId;

use super::channel::CONSUMERS_SWEPT;
use super::connection::Connection;
use super::error::{AmqpError, MethodId, ReplyCode, refused};
use crate::wire::control::prefetch_size;
use crate::wire::method::{AMQPClass, basic, short_string};

impl Connection {
    pub(super) fn basic_method(
        &mut self,
        number: u16,
        method: basic::AMQPMethod,
        id: MethodId,
        payload: &[u8],
    ) -> Option<Arc<QueueHandle>> {
        use basic::AMQPMethod as M;
        match method {
            M::Qos(qos) => self.qos(number, &qos, payload, id),
            M::Consume(consume) => {
                if let Err(refusal) = self.consume(number, &consume) {
                    self.fail_on(number, &refused(&refusal, id));
                }
            }
            M::Cancel(cancel) => self.cancel(number, &cancel),
            M::Get(get) => match self.get(number, &get) {
                Ok(waiting) => return waiting,
                Err(refusal) => self.fail_on(number, &refused(&refusal, id)),
            },
            M::Recover(recover) => {
                if self.may_recover(recover.requeue, id) {
                    // Before the redeliveries, as in RabbitMQ.
                    let ok = basic::AMQPMethod::RecoverOk(basic::RecoverOk {});
                    self.send(number, &AMQPClass::Basic(ok));
                    self.recover(number);
                }
            }
            M::RecoverAsync(recover) => {
                if self.may_recover(recover.requeue, id) {
                    self.recover(number);
                }
            }
            // Tolerated, although our basic.cancel requests no answer.
            M::CancelOk(_) => {}
            _ => self.unimplemented(id),
        }
        None
    }

    fn may_recover(&mut self, requeue: bool, id: MethodId) -> bool {
        if !requeue {
            self.fail(&AmqpError::new(ReplyCode::NotImplemented, id, "requeue=false"));
        }
        requeue
    }

    /// Without `global`, sets the limit of consumers started from now on and lifts the channel's, as
    /// `RabbitMQ` does; with it, sets the limit of the whole channel (2i). For py-amqp the former means the
    /// latter, as in the specification, unless it takes the server for certain `RabbitMQ` versions and sends
    /// `global`.
    fn qos(&mut self, number: u16, qos: &basic::Qos, payload: &[u8], id: MethodId) {
        let size = prefetch_size(payload).unwrap_or_default();
        if size != 0 {
            let text = format!("prefetch_size!=0 ({size})");
            return self.fail(&AmqpError::new(ReplyCode::NotImplemented, id, text));
        }
        let count = u32::from(qos.prefetch_count);
        // Before the deliveries that it allows, as in RabbitMQ.
        self.send(number, &AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})));
        let Some(open) = self.channels.get_mut(&number) else { return };
        let specified = self.py_amqp && self.broker.product().keeps_to_specified_prefetch();
        let of_channel = qos.global || specified;
        let limit = if of_channel { count } else { 0 };
        if !of_channel {
            open.prefetch = count;
            open.handle.prefetch.store(count, Ordering::Relaxed);
        }
        if limit > 0 || open.shared_credit.limit() > 0 {
            open.handle.global_prefetch.store(limit, Ordering::Relaxed);
            let in_transaction = open.tx.as_ref().map_or(0, |tx| tx.held_by_consumers());
            let held = self.outbox.held_by_consumers(number) + in_transaction;
            let held = u32::try_from(held).unwrap_or(u32::MAX);
            if self.py_amqp {
                let at = self.turn.now.plus(SEEN_BY_KOMBU_MS);
                open.shared_credit.set_limit_at(self.broker.deadlines(), at, limit, held);
            } else {
                open.shared_credit.set_limit(&mut self.turn, limit, held);
            }
        }
    }

    fn consume(&mut self, number: u16, consume: &basic::Consume) -> Result<(), Refusal> {
        let name = self.queue_name(number, consume.queue.as_str())?;
        let replies = name.as_str() == REPLY_TO;
        let queue = if replies {
            self.may_consume_replies(number, consume)?;
            None
        } else {
            Some(self.as_caller(|broker, vhost, caller, _| broker.readable_queue(vhost, caller, &name))?)
        };
        self.broker.has_room_for_arguments(&consume.arguments)?;
        let Some(vhost) = self.vhost.as_ref().map(|vhost| &vhost.name) else { return Ok(()) };
        let priority = number_argument(consume, "x-priority", &name, vhost)?.unwrap_or(0);
        if let Some(ms) = number_argument(consume, "x-consumer-timeout", &name, vhost)?.filter(|ms| *ms <= 0)
        {
            let why = format!("{{value_not_positive,{ms}}}");
            return Err(bad_argument("x-consumer-timeout", &name, vhost, why));
        }
        let Some(open) = self.channels.get(&number) else { return Ok(()) };
        let tag = if consume.consumer_tag.as_str().is_empty() {
            self.broker.generated_name("amq.ctag-")
        } else {
            consume.consumer_tag.as_str().to_owned()
        };
        let tag = ConsumerTag::new(&tag);
        if open.consumers.get(&tag).is_some_and(|taken| !taken.queue.is_gone()) {
            return Err(Refusal::NotAllowed(format!("attempt to reuse consumer tag '{tag}'")));
        }
        let max = self.limits.consumers_per_channel_max;
        if self.make_room(number, &tag, max) >= max {
            return Err(Refusal::NotAllowed(format!("reached maximum ({max}) of consumers per channel")));
        }
        let queue = match queue {
            Some(queue) => queue,
            None => self.open_reply_queue(number)?,
        };
        let Some(open) = self.channels.get(&number) else { return Ok(()) };
        let consumer = Arc::new(Consumer {
            id: ConsumerId(self.broker.next_consumer_id()),
            tag: tag.clone(),
            connection: self.id,
            channel: number,
            sink: Arc::clone(&self.outbox) as Arc<dyn Sink>,
            queue: Arc::clone(&queue),
            no_ack: consume.no_ack,
            exclusive: consume.exclusive,
            prefetch: if consume.no_ack { 0 } else { open.prefetch },
            priority: i32::try_from(priority.clamp(i64::from(i32::MIN), i64::from(i32::MAX)))
                .unwrap_or_default(),
            shared_credit: Arc::clone(&open.shared_credit),
            arguments: consume.arguments.clone(),
            ended: AtomicBool::new(false),
        });
        let ok = basic::ConsumeOk { consumer_tag: short_string(tag.as_str()) };
        let ok = (!consume.nowait).then_some(AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)));
        let outbox = &self.outbox;
        queue.attach(&mut self.turn, &consumer, || outbox.put(number, ok.as_ref()?))?;
        if let Some(open) = self.channels.get_mut(&number) {
            open.consumers.insert(tag, Arc::clone(&consumer));
        }
        if let Some(timeout_ms) = consumer.timeout_ms() {
            self.watch(number, &queue, timeout_ms);
        }
        queue.dispatch(&mut self.turn);
        Ok(())
    }

    /// Removes consumers whose queue was deleted: the one with this tag, and all if the channel has many. The
    /// client is told of their end before a new consumer reuses the tag. Returns the number of consumers
    /// remaining.
    fn make_room(&mut self, number: u16, tag: &ConsumerTag, max: usize) -> usize {
        let Some(open) = self.channels.get_mut(&number) else { return 0 };
        if let Some(ended) = open.consumers.remove(tag) {
            ended.shared_credit.forget(ended.id);
            self.turn.owe_wake(ended.sink.cancelled(&ended));
        }
        if open.consumers.len() >= open.consumers_swept.min(max) {
            open.consumers.retain(|_, consumer| {
                let gone = consumer.queue.is_gone();
                if gone {
                    consumer.shared_credit.forget(consumer.id);
                }
                !gone
            });
            open.consumers_swept = (open.consumers.len() * 2).max(CONSUMERS_SWEPT);
        }
        open.consumers.len()
    }

    /// The consumer's unacknowledged deliveries stay with the channel.
    fn cancel(&mut self, number: u16, cancel: &basic::Cancel) {
        let tag = cancel.consumer_tag.as_str();
        let consumer = self.channels.get_mut(&number).and_then(|open| open.consumers.remove(tag));
        if let Some(consumer) = consumer {
            consumer.ended.store(true, Ordering::Relaxed);
            consumer.shared_credit.forget(consumer.id);
            consumer.queue.detach(&mut self.turn, consumer.id);
            consumer.queue.dispatch(&mut self.turn);
            if consumer.queue.hidden
                && let Some(open) = self.channels.get_mut(&number)
            {
                open.replies = None;
            }
        }
        if !cancel.nowait {
            let ok = basic::CancelOk { consumer_tag: cancel.consumer_tag.clone() };
            self.send(number, &AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)));
        }
    }

    fn get(&mut self, number: u16, get: &basic::Get) -> Result<Option<Arc<QueueHandle>>, Refusal> {
        let name = self.queue_name(number, get.queue.as_str())?;
        let queue = self.as_caller(|broker, vhost, caller, _| broker.readable_queue(vhost, caller, &name))?;
        match queue.get(&mut self.turn, get.no_ack)? {
            GetOutcome::Message(delivery, left) => {
                if let Some(timeout_ms) = queue.consumer_timeout_ms()
                    && !get.no_ack
                {
                    self.watch(number, &queue, timeout_ms);
                }
                let writer = self.outbox.put_get_ok(number, &queue, &delivery, left);
                self.turn.owe_wake(writer);
            }
            GetOutcome::Empty => {
                if let Some(open) = self.channels.get(&number) {
                    channel_stats::add(&open.handle.stats.got_empty, 1);
                }
                let empty = basic::AMQPMethod::GetEmpty(basic::GetEmpty {});
                self.send(number, &AMQPClass::Basic(empty));
            }
            GetOutcome::NotYet => return Ok(Some(queue)),
        }
        Ok(None)
    }
}

/// Delay in milliseconds between `basic.qos-ok` and the deliveries to py-amqp that a raised limit allows. Celery
/// raises its limit by one for each task that it holds until its ETA, and acts on that when its socket wakes it:
/// it loses the request if the delivery arrives while it still waits for the previous answer, or right behind
/// that. `RabbitMQ` takes some tenths of a millisecond, and mostly loses that race.
const SEEN_BY_KOMBU_MS: u64 = 10;

/// A consumer's argument that has to be a whole number.
fn number_argument(
    consume: &basic::Consume,
    name: &str,
    queue: &QueueName,
    vhost: &VhostName,
) -> Result<Option<i64>, Refusal> {
    match consume.arguments.inner().get(name) {
        None => Ok(None),
        Some(value) => match integer(value) {
            Some(number) => Ok(Some(number)),
            None => Err(bad_argument(name, queue, vhost, no_integer(value))),
        },
    }
}

fn bad_argument(name: &str, queue: &QueueName, vhost: &VhostName, why: String) -> Refusal {
    Refusal::InvalidArgument {
        argument: name.to_owned(),
        resource: Resource::Queue(queue.clone()),
        vhost: vhost.clone(),
        why,
    }
}
