//! A queue: what enters, what is dropped, and who gets the next message.

use super::shape::Overflow;
use super::{Consumer, CopyId, Dead, Delivered, Left, Model, Msg, State};
use crate::model::channel::Out;

impl Model {
    /// Adds a message to a queue. `None`: the queue rejects it.
    pub(crate) fn enqueue(&mut self, queue: &str, msg: &Msg, parent: Option<CopyId>) -> Option<CopyId> {
        let rules = self.rules(queue);
        let of = &self.queues[queue];
        let full = match self.taken.get(queue).filter(|_| parent.is_some()) {
            Some(taken) => !taken.contains(&msg.sign()),
            None => rules.max_length.is_some_and(|max| of.ready.len() as u64 + 1 > max),
        };
        if rules.overflow != Overflow::DropHead && full {
            if rules.overflow == Overflow::RejectDeadLetter && rules.dead_letter.is_some() {
                self.dead.push_back((Dead::Refused(msg.clone(), queue.to_owned()), "maxlen"));
            }
            return None;
        }
        let ttl = rules.ttl.into_iter().chain(msg.expiration).min();
        let was_empty = of.ready.is_empty();
        self.places += 1;
        let id = self.ledger.len();
        self.ledger.push(super::Copy {
            msg: msg.clone(),
            queue: queue.to_owned(),
            birth: of.birth,
            source: parent.map(|parent| self.ledger[parent].queue.clone()).unwrap_or_default(),
            priority_level: of.shape.max_priority.map_or(0, |max| msg.priority.min(max)),
            order: (self.step, self.places),
            expires: ttl.map(|ttl| self.now + ttl),
            redelivered: msg.left == Left::Yes,
            left: Left::No,
            delivered: false,
            count: 0,
            stored: msg.persistent && of.shape.survives(),
            state: State::Ready,
            came: self.syncs,
            went: None,
            children: Vec::new(),
        });
        if let Some(parent) = parent {
            self.ledger[parent].children.push(id);
        }
        self.make_ready(id);
        if was_empty {
            self.serve(queue);
            self.trim(queue);
        } else {
            self.trim(queue);
            self.serve(queue);
        }
        Some(id)
    }

    /// Inserts a copy at its place among the ready ones.
    pub(crate) fn make_ready(&mut self, id: CopyId) {
        self.ledger[id].state = State::Ready;
        let queue = self.queues.get_mut(&self.ledger[id].queue).expect("its queue");
        let ledger = &self.ledger;
        queue.ready.push(id);
        queue.ready.sort_by_key(|id| (std::cmp::Reverse(ledger[*id].priority_level), ledger[*id].order));
    }

    /// Removes a copy for good.
    pub(crate) fn lose(&mut self, id: CopyId, reason: &'static str) {
        let copy = &mut self.ledger[id];
        copy.state = State::Gone;
        copy.went = Some(self.syncs);
        let queue = copy.queue.clone();
        if let Some(queue) = self.queues.get_mut(&queue) {
            queue.ready.retain(|ready| *ready != id);
        }
        let letter = ["expired", "maxlen", "rejected", "delivery_limit"].contains(&reason);
        if letter && self.queues.contains_key(&queue) && self.rules(&queue).dead_letter.is_some() {
            self.dead.push_back((Dead::Copy(id), reason));
        }
    }

    /// Drops expired and excess messages, from the front.
    pub(crate) fn trim(&mut self, queue: &str) {
        let rules = self.rules(queue);
        while let Some(head) = self.queues[queue].ready.first().copied() {
            let length = self.queues[queue].ready.len() as u64;
            if self.ledger[head].expires.is_some_and(|at| at <= self.now) {
                self.lose(head, "expired");
            } else if rules.overflow == Overflow::DropHead && rules.max_length.is_some_and(|max| length > max)
            {
                self.lose(head, "maxlen");
            } else {
                return;
            }
        }
    }

    /// The messages that may be delivered next: the first, and among those that arrived in the same step from
    /// elsewhere the first of each source, as the order among sources is unspecified.
    fn heads(&self, queue: &str) -> Vec<CopyId> {
        let mut heads: Vec<CopyId> = Vec::new();
        for id in &self.queues[queue].ready {
            let copy = &self.ledger[*id];
            let Some(first) = heads.first() else {
                heads.push(*id);
                continue;
            };
            let first = &self.ledger[*first];
            if (copy.priority_level, copy.order.0) != (first.priority_level, first.order.0) {
                break;
            }
            if heads.iter().all(|head| self.ledger[*head].source != copy.source) {
                heads.push(*id);
            }
        }
        heads
    }

    /// Applies received deliveries, while they match the messages in front.
    pub(crate) fn serve(&mut self, queue: &str) {
        while let Some((at, id)) = self.next_delivery(queue) {
            let heard = self.heard.remove(at);
            self.hand_out(queue, id, &heard);
            self.trim(queue);
        }
    }

    fn next_delivery(&self, queue: &str) -> Option<(usize, CopyId)> {
        let consumers = &self.queues[queue].consumers;
        for id in self.heads(queue) {
            let sign = self.ledger[id].msg.sign();
            let fits = |heard: &Delivered| {
                heard.sign == sign
                    && consumers.iter().any(|consumer| {
                        consumer.tag == heard.consumer
                            && self.is_held_up(queue, consumer, heard.tag).is_none()
                    })
            };
            if let Some(at) = self.heard.iter().position(fits) {
                return Some((at, id));
            }
        }
        None
    }

    fn hand_out(&mut self, queue: &str, id: CopyId, heard: &Delivered) {
        let consumers = &self.queues[queue].consumers;
        let consumer =
            consumers.iter().find(|consumer| consumer.tag == heard.consumer).expect("was found").clone();
        let better = self.queues[queue].consumers.iter().find(|other| {
            other.priority > consumer.priority
                && self.is_held_up(queue, other, u64::MAX).is_none()
                && self.shared_limit(other) == 0
        });
        if let Some(better) = better {
            self.fault(format!(
                "{} got {:?}, not {} of higher priority",
                consumer.tag, heard.sign, better.tag
            ));
        }
        let copy = &self.ledger[id];
        let limited = self.rules(queue).delivery_limit.is_some();
        let count = if limited { copy.count } else { 0 };
        let may_say_so = copy.msg.left == Left::Maybe && heard.redelivered;
        if (heard.redelivered, heard.count) != (copy.redelivered || may_say_so, count) {
            let what = (copy.redelivered, count);
            self.fault(format!(
                "{:?} from {queue} with redelivered and count {:?} instead of {what:?}",
                heard.sign,
                (heard.redelivered, heard.count)
            ));
        }
        self.queues.get_mut(queue).expect("the queue").ready.retain(|ready| *ready != id);
        self.ledger[id].delivered = true;
        if consumer.no_ack {
            return self.lose(id, "acked");
        }
        self.ledger[id].state = State::Out;
        let out = Out { tag: heard.tag, copy: id, consumer: Some(consumer.tag), pending: false };
        let channel = self.channel(consumer.client, consumer.channel);
        channel.out.push(out);
        channel.out.sort_by_key(|out| out.tag);
    }

    /// The prefetch shared by all consumers of its channel; 0 for none.
    fn shared_limit(&self, consumer: &Consumer) -> u64 {
        self.clients[&consumer.client][&consumer.channel].shared
    }

    /// Why a consumer can take nothing, or could not when its channel assigned this tag.
    fn is_held_up(&self, queue: &str, consumer: &Consumer, tag: u64) -> Option<String> {
        let of = &self.queues[queue];
        if of.shape.single_active && of.active.as_ref() != Some(&consumer.tag) {
            return Some("another one is the single active one".to_owned());
        }
        let channel = &self.clients[&consumer.client][&consumer.channel];
        let held =
            channel.out.iter().filter(|out| out.consumer.as_ref() == Some(&consumer.tag)).count() as u64;
        if !consumer.no_ack && consumer.prefetch > 0 && held >= consumer.prefetch {
            return Some(format!("it holds {held} of {}", consumer.prefetch));
        }
        let held = channel.out.iter().filter(|out| out.consumer.is_some() && out.tag < tag).count() as u64;
        if channel.shared > 0 && held >= channel.shared {
            return Some(format!("its channel holds {held} of {}", channel.shared));
        }
        None
    }

    /// Why the consumer of a delivery should have been blocked, for error messages.
    pub(crate) fn why_not(&self, heard: &Delivered) -> String {
        let why = self.queues.iter().find_map(|(name, queue)| {
            let consumer = queue.consumers.iter().find(|consumer| consumer.tag == heard.consumer)?;
            self.is_held_up(name, consumer, heard.tag)
        });
        why.map_or_else(String::new, |why| format!(", though {why}"))
    }

    /// A consumer of the queue that can take a message.
    pub(crate) fn taker(&self, queue: &str) -> Option<String> {
        let consumers = &self.queues[queue].consumers;
        consumers
            .iter()
            .find(|one| self.is_held_up(queue, one, u64::MAX).is_none())
            .map(|one| one.tag.clone())
    }

    /// The single active consumer: the current one, else the first of the highest priority.
    pub(crate) fn elect(&mut self, queue: &str) {
        let of = self.queues.get_mut(queue).expect("the queue");
        let is_here = of.consumers.iter().any(|consumer| Some(&consumer.tag) == of.active.as_ref());
        if !is_here {
            let top = of.consumers.iter().map(|consumer| consumer.priority).max();
            of.active = of.consumers.iter().find(|one| Some(one.priority) == top).map(|one| one.tag.clone());
        }
    }

    /// Advances time.
    pub(crate) fn pass(&mut self, now: u64) {
        self.now = now;
        let names: Vec<String> = self.queues.keys().cloned().collect();
        for name in names {
            self.trim(&name);
            self.serve(&name);
            let idle = self.rules(&name).expires.map(|expires| self.queues[&name].last_used + expires);
            if idle.is_some_and(|at| at <= now) && self.queues[&name].consumers.is_empty() {
                self.deletable.push(name);
            }
        }
        self.finish();
    }
}
