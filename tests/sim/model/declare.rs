//! Declaring and deleting, with cascading deletions.

use super::route::{Binding, End};
use super::shape::{ExchangeShape, PolicyShape, QueueShape};
use super::{Exchange, Model, Queue, Refused, State};

/// The contents of `queue.declare-ok`.
pub(crate) struct Counted {
    pub(crate) messages: usize,
    pub(crate) consumers: usize,
}

impl Model {
    /// Whether a connection may use a queue.
    pub(crate) fn usable(&self, client: usize, queue: &str) -> Result<(), Refused> {
        let queue = self.queues.get(queue).ok_or(Refused(404))?;
        if queue.owner.is_some_and(|owner| owner != client) { Err(Refused(405)) } else { Ok(()) }
    }

    fn kept(&self, durable: bool) -> Result<(), Refused> {
        if durable && self.storage_fails { Err(Refused(541)) } else { Ok(()) }
    }

    /// Refuses a removal that would delete durable objects, while definitions cannot be stored.
    pub(crate) fn can_do(&self, removal: impl FnOnce(&mut Self)) -> Result<(), Refused> {
        if !self.storage_fails {
            return Ok(());
        }
        let mut trial = Self {
            exchanges: self.exchanges.clone(),
            queues: self.queues.clone(),
            bindings: self.bindings.clone(),
            ..Self::default()
        };
        let before = trial.durable();
        removal(&mut trial);
        self.kept(trial.durable() != before)
    }

    /// Number of durable objects.
    fn durable(&self) -> usize {
        let exchanges = self.exchanges.values().filter(|exchange| exchange.shape.durable).count();
        let queues = self.queues.values().filter(|queue| queue.shape.survives()).count();
        exchanges + queues + self.bindings.iter().filter(|binding| self.is_durable(binding)).count()
    }

    fn counted(&self, queue: &str) -> Counted {
        let queue = &self.queues[queue];
        Counted { messages: queue.ready.len(), consumers: queue.consumers.len() }
    }

    pub(crate) fn find_queue(&mut self, client: usize, name: &str) -> Result<Counted, Refused> {
        self.usable(client, name)?;
        self.queues.get_mut(name).expect("usable").last_used = self.now;
        Ok(self.counted(name))
    }

    pub(crate) fn declare_queue(
        &mut self,
        client: usize,
        name: &str,
        shape: &QueueShape,
    ) -> Result<Counted, Refused> {
        if self.queues.contains_key(name) {
            self.usable(client, name)?;
            let queue = self.queues.get_mut(name).expect("usable");
            if queue.owner.is_some() != shape.exclusive {
                return Err(Refused(405));
            }
            if !queue.shape.is(shape) {
                return Err(Refused(406));
            }
            queue.last_used = self.now;
            return Ok(self.counted(name));
        }
        if shape.is_wrong() {
            return Err(Refused(406));
        }
        self.kept(shape.survives())?;
        self.births += 1;
        let queue = Queue {
            birth: self.births,
            shape: shape.clone(),
            owner: shape.exclusive.then_some(client),
            policy: self.policy_of(name),
            consumers: Vec::new(),
            active: None,
            had_consumer: false,
            ready: Vec::new(),
            last_used: self.now,
        };
        self.queues.insert(name.to_owned(), queue);
        Ok(self.counted(name))
    }

    /// `Ok` with the number of ready messages.
    pub(crate) fn delete_queue(
        &mut self,
        client: usize,
        name: &str,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<usize, Refused> {
        let Some(queue) = self.queues.get(name) else { return Ok(0) };
        self.usable(client, name)?;
        if (if_unused && !queue.consumers.is_empty()) || (if_empty && !queue.ready.is_empty()) {
            return Err(Refused(406));
        }
        let ready = queue.ready.len();
        self.can_do(|model| model.remove_queue(name))?;
        self.remove_queue(name);
        Ok(ready)
    }

    pub(crate) fn remove_queue(&mut self, name: &str) {
        let Some(queue) = self.queues.remove(name) else { return };
        for consumer in queue.consumers {
            self.cancelled.insert((consumer.client, consumer.channel, consumer.tag));
        }
        for copy in self.ledger.iter_mut().filter(|copy| copy.queue == name && copy.birth == queue.birth) {
            if matches!(copy.state, State::Ready | State::Out) {
                copy.state = State::Gone;
                copy.went = Some(self.syncs);
            }
        }
        let end = End::Queue(name.to_owned());
        self.unbind_all(|binding| binding.end == end);
    }

    pub(crate) fn purge(&mut self, client: usize, name: &str) -> Result<usize, Refused> {
        self.usable(client, name)?;
        let ready = self.queues[name].ready.clone();
        for id in &ready {
            self.lose(*id, "purged");
        }
        Ok(ready.len())
    }

    pub(crate) fn declare_exchange(&mut self, name: &str, shape: &ExchangeShape) -> Result<(), Refused> {
        if name.is_empty() {
            return Err(Refused(403));
        }
        if let Some(exchange) = self.exchanges.get(name) {
            return if exchange.shape == *shape { Ok(()) } else { Err(Refused(406)) };
        }
        if name.starts_with("amq.") {
            return Err(Refused(403));
        }
        self.kept(shape.durable)?;
        let exchange = Exchange { shape: shape.clone() };
        self.exchanges.insert(name.to_owned(), exchange);
        Ok(())
    }

    pub(crate) fn delete_exchange(&mut self, name: &str, if_unused: bool) -> Result<(), Refused> {
        if name.starts_with("amq.") || name.is_empty() {
            return Err(Refused(403));
        }
        if !self.exchanges.contains_key(name) {
            return Ok(());
        }
        if if_unused && self.bindings.iter().any(|binding| binding.source == name) {
            return Err(Refused(406));
        }
        self.can_do(|model| model.remove_exchange(name))?;
        self.remove_exchange(name);
        Ok(())
    }

    fn remove_exchange(&mut self, name: &str) {
        self.exchanges.remove(name);
        let end = End::Exchange(name.to_owned());
        self.bindings.retain(|binding| binding.source != name);
        self.unbind_all(|binding| binding.end == end);
    }

    /// Deletes bindings, and exchanges that lost their last one.
    fn unbind_all(&mut self, goes: impl Fn(&Binding) -> bool) {
        let (gone, rest): (Vec<Binding>, Vec<Binding>) =
            std::mem::take(&mut self.bindings).into_iter().partition(goes);
        self.bindings = rest;
        for binding in gone {
            let unused = !self.bindings.iter().any(|other| other.source == binding.source);
            let auto = self.exchanges.get(&binding.source).is_some_and(|source| source.shape.auto_delete);
            if unused && auto {
                self.remove_exchange(&binding.source);
            }
        }
    }

    fn is_durable(&self, binding: &Binding) -> bool {
        let end = match &binding.end {
            End::Queue(name) => self.queues.get(name).is_some_and(|queue| queue.shape.survives()),
            End::Exchange(name) => self.exchanges.get(name).is_some_and(|exchange| exchange.shape.durable),
        };
        end && self.exchanges.get(&binding.source).is_some_and(|source| source.shape.durable)
    }

    /// Whether both ends exist, and the caller may use them.
    fn ends(&self, client: usize, binding: &Binding) -> Result<(), Refused> {
        let no_end =
            |name: &String| if self.exchanges.contains_key(name) { Ok(()) } else { Err(Refused(404)) };
        if binding.source.is_empty() || binding.end == End::Exchange(String::new()) {
            return Err(Refused(403));
        }
        match &binding.end {
            End::Queue(name) => self.usable(client, name)?,
            End::Exchange(name) => no_end(name)?,
        }
        no_end(&binding.source)
    }

    pub(crate) fn bind(&mut self, client: usize, binding: &Binding) -> Result<(), Refused> {
        self.ends(client, binding)?;
        if self.bindings.contains(binding) {
            return Ok(());
        }
        self.kept(self.is_durable(binding))?;
        self.bindings.push(binding.clone());
        Ok(())
    }

    pub(crate) fn unbind(&mut self, client: usize, binding: &Binding) -> Result<(), Refused> {
        if binding.source.is_empty() || binding.end == End::Exchange(String::new()) {
            return Err(Refused(403));
        }
        if !self.bindings.contains(binding) {
            return Ok(());
        }
        self.ends(client, binding)?;
        self.can_do(|model| model.unbind_all(|other| other == binding))?;
        self.unbind_all(|other| other == binding);
        Ok(())
    }

    /// Sets or clears a policy. Queues are updated one after the other, in this order.
    pub(crate) fn set_policy(&mut self, name: &str, policy: Option<PolicyShape>, queues: &[String]) {
        match policy {
            Some(policy) => self.policies.insert(name.to_owned(), policy),
            None => self.policies.remove(name),
        };
        for name in queues {
            let policy = self.policy_of(name);
            if let Some(queue) = self.queues.get_mut(name) {
                queue.policy = policy;
                self.trim(name);
                self.finish();
            }
        }
    }

    pub(crate) fn declared(&mut self, at: (usize, u16), counted: &Counted) {
        let messages = ("message_count", counted.messages.to_string());
        self.reply(at, "queue.declare-ok", &[messages, ("consumer_count", counted.consumers.to_string())]);
    }

    /// Deletes unused queues that could not be deleted before.
    pub(crate) fn delete_unused(&mut self) {
        for name in std::mem::take(&mut self.undeleted) {
            self.deletable.push(name);
        }
        self.finish();
    }

    /// Drops everything that is lost with the memory.
    pub(crate) fn forget_transient(&mut self) {
        self.exchanges.retain(|_, exchange| exchange.shape.durable);
        let durable: Vec<bool> = self.bindings.iter().map(|binding| self.is_durable(binding)).collect();
        let mut durable = durable.into_iter();
        self.bindings.retain(|_| durable.next() == Some(true));
        self.queues.retain(|_, queue| queue.shape.survives());
        for queue in self.queues.values_mut() {
            queue.consumers.clear();
            queue.active = None;
            queue.had_consumer = false;
            queue.last_used = self.now;
        }
    }
}
