//! Adding and removing queues and bindings. The cost of each step does not depend on how many there are.

use std::hash::BuildHasher;
use std::sync::Arc;

use crate::exchange_id::ExchangeId;
use crate::matcher::Entry;
use crate::router::{Binding, Bound, Destination, Link, Queue, Removed, Router};
use crate::targets::Target;
use crate::{Args, QueueId, Refusal, names};

impl<D: QueueId> Router<D> {
    /// Registers a queue: it can be bound, and the default exchange routes its name to it. False, and no change, if
    /// the name or the id is already registered.
    pub fn queue_named(&mut self, name: impl Into<Arc<str>>, queue: D, durable: bool) -> bool {
        let name = name.into();
        if self.queues.contains_key(&queue) || self.queue(&name).is_some() {
            return false;
        }
        self.change_implicit(&name, queue, true);
        self.queues.insert(queue, Queue { name, durable, incoming: Vec::new() });
        self.generation += 1;
        true
    }

    /// Removes a queue with its bindings, and any auto-delete exchanges that thereby lose their last binding. The
    /// cost is linear in the number of its bindings.
    pub fn queue_gone(&mut self, queue: D) -> Removed<D> {
        let mut removed = Removed::default();
        let Some(gone) = self.queues.get_mut(&queue) else {
            return removed;
        };
        let name = Arc::clone(&gone.name);
        let mut orphans = Vec::new();
        for link in std::mem::take(&mut gone.incoming) {
            let orphan = self.remove_link(link, &mut removed);
            orphans.extend(orphan);
        }
        self.change_implicit(&name, queue, false);
        self.queues.remove(&queue);
        self.generation += 1;
        self.remove_exchanges(orphans, &mut removed);
        removed
    }

    /// Binds a queue or an exchange to the exchange `source`. Source, destination, key and arguments identify a
    /// binding: repeating it changes nothing. The order of arguments does not matter, their types do.
    pub fn bind(
        &mut self,
        source: &str,
        destination: Destination<D, &str>,
        key: &str,
        args: Args,
    ) -> Result<Bound<D>, Refusal> {
        let (source, target) = self.ends(source, destination)?;
        let to_queue = matches!(target, Target::Queue(_));
        let inner = self.at(source).info.kind.inner;
        inner.check_binding(to_queue, key, &args)?;
        if self.find_link(source, target, key, &args).is_some() {
            return Ok(Bound::Existing);
        }
        let link = Link {
            source,
            target,
            key: key.into(),
            args,
            place_at_source: self.at(source).outgoing.len(),
            place_at_target: self.incoming(target).len(),
        };
        let hash = identity(&self.hasher, source, target, key, &link.args);
        self.index(&link, true);
        let id = self.links.insert(link);
        self.at_mut(source).outgoing.push(id);
        if let Some(incoming) = self.incoming_mut(target) {
            incoming.push(id);
        }
        let (links, hasher) = (&self.links, &self.hasher);
        self.identities.insert_unique(hash, id, |id| {
            let link = &links[*id];
            identity(hasher, link.source, link.target, &link.key, &link.args)
        });
        self.generation += 1;
        Ok(Bound::New(self.show(&self.links[id])))
    }

    /// Whether there is a binding that [`Self::unbind`] would remove.
    pub fn is_bound(&self, source: &str, destination: Destination<D, &str>, key: &str, args: &Args) -> bool {
        let ends = self.ends(source, destination);
        ends.is_ok_and(|(source, target)| self.find_link(source, target, key, args).is_some())
    }

    /// Removes a binding, and any auto-delete exchanges that thereby go. `None` if the binding or one of its ends
    /// does not exist, which is not an error.
    pub fn unbind(
        &mut self,
        source: &str,
        destination: Destination<D, &str>,
        key: &str,
        args: &Args,
    ) -> Result<Option<Removed<D>>, Refusal> {
        let (source, target) = match self.ends(source, destination) {
            Ok(ends) => ends,
            Err(Refusal::DefaultExchange) => return Err(Refusal::DefaultExchange),
            Err(_) => return Ok(None),
        };
        let Some(link) = self.find_link(source, target, key, args) else {
            return Ok(None);
        };
        let mut removed = Removed::default();
        let orphan = self.remove_link(link, &mut removed);
        self.remove_exchanges(Vec::from_iter(orphan), &mut removed);
        Ok(Some(removed))
    }

    pub(super) fn ends(
        &self,
        source: &str,
        destination: Destination<D, &str>,
    ) -> Result<(ExchangeId, Target<D>), Refusal> {
        let exchange = |name: &str| {
            if names::is_default(name) {
                return Err(Refusal::DefaultExchange);
            }
            self.id_of(name.as_bytes()).ok_or_else(|| Refusal::NoSuchExchange(name.to_owned()))
        };
        let source = exchange(source)?;
        let target = match destination {
            Destination::Exchange(name) => Target::Exchange(exchange(name)?),
            Destination::Queue(queue) if self.queues.contains_key(&queue) => Target::Queue(queue),
            Destination::Queue(_) => return Err(Refusal::NoSuchQueue),
        };
        Ok((source, target))
    }

    pub(super) fn find_link(
        &self,
        source: ExchangeId,
        target: Target<D>,
        key: &str,
        args: &Args,
    ) -> Option<usize> {
        let hash = identity(&self.hasher, source, target, key, args);
        let found = self.identities.find(hash, |id| {
            let link = &self.links[*id];
            link.source == source && link.target == target && *link.key == *key && link.args == *args
        });
        found.copied()
    }

    /// Removes a binding from all structures. Returns its source if that must be removed as well.
    pub(super) fn remove_link(&mut self, id: usize, removed: &mut Removed<D>) -> Option<ExchangeId> {
        let link = self.links.remove(id);
        removed.bindings.push(self.show(&link));
        self.generation += 1;
        let hash = identity(&self.hasher, link.source, link.target, &link.key, &link.args);
        if let Ok(entry) = self.identities.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        self.index(&link, false);
        if let Some(incoming) = self.incoming_mut(link.target)
            && link.place_at_target < incoming.len()
        {
            incoming.swap_remove(link.place_at_target);
            if let Some(moved) = incoming.get(link.place_at_target).copied() {
                self.links[moved].place_at_target = link.place_at_target;
            }
        }
        let source = self.at_mut(link.source);
        source.outgoing.swap_remove(link.place_at_source);
        let moved = source.outgoing.get(link.place_at_source).copied();
        let orphaned = source.outgoing.is_empty() && source.info.auto_delete;
        if let Some(moved) = moved {
            self.links[moved].place_at_source = link.place_at_source;
        }
        orphaned.then_some(link.source)
    }

    /// Adds a binding to its source's index, or removes it.
    fn index(&mut self, link: &Link<D>, add: bool) {
        let name = Arc::clone(match link.target {
            Target::Exchange(id) => &self.at(id).info.name,
            Target::Queue(queue) => match self.queues.get(&queue) {
                Some(queue) => &queue.name,
                None => return,
            },
        });
        let entry = Entry { target: link.target, name: &name, key: &link.key, args: &link.args };
        let matcher = &mut self.at_mut(link.source).matcher;
        if add {
            matcher.add(&entry);
        } else {
            matcher.remove(&entry);
        }
    }

    /// Adds an existing binding to its source's index.
    pub(super) fn enter(&mut self, id: usize) {
        let Link { source, target, key, args, .. } = &self.links[id];
        let link = Link {
            source: *source,
            target: *target,
            key: Arc::clone(key),
            args: args.clone(),
            place_at_source: 0,
            place_at_target: 0,
        };
        self.index(&link, true);
    }

    /// Adds a queue to the default exchange's index, or removes it.
    fn change_implicit(&mut self, name: &Arc<str>, queue: D, add: bool) {
        let entry = Entry { target: Target::Queue(queue), name, key: name, args: &Args::EMPTY };
        if let Some(id) = self.id_of(names::DEFAULT.as_bytes()) {
            let matcher = &mut self.at_mut(id).matcher;
            if add {
                matcher.add(&entry);
            } else {
                matcher.remove(&entry);
            }
        }
    }

    /// The bindings to `target`.
    pub(super) fn incoming(&self, target: Target<D>) -> &[usize] {
        match target {
            Target::Exchange(id) => &self.at(id).incoming,
            Target::Queue(queue) => match self.queues.get(&queue) {
                Some(queue) => &queue.incoming,
                None => &[],
            },
        }
    }

    fn incoming_mut(&mut self, target: Target<D>) -> Option<&mut Vec<usize>> {
        match target {
            Target::Exchange(id) => Some(&mut self.at_mut(id).incoming),
            Target::Queue(queue) => Some(&mut self.queues.get_mut(&queue)?.incoming),
        }
    }

    /// A binding in its public form.
    pub(super) fn show(&self, link: &Link<D>) -> Binding<D> {
        let source = &self.at(link.source).info;
        let (destination, durable) = match link.target {
            Target::Queue(queue) => {
                let durable = self.queues.get(&queue).is_some_and(|queue| queue.durable);
                (Destination::Queue(queue), durable)
            }
            Target::Exchange(id) => {
                let info = &self.at(id).info;
                (Destination::Exchange(Arc::clone(&info.name)), info.durable)
            }
        };
        Binding {
            source: Arc::clone(&source.name),
            destination,
            key: Arc::clone(&link.key),
            args: link.args.clone(),
            durable: durable && source.durable,
        }
    }
}

fn identity<D: QueueId>(
    hasher: &impl BuildHasher,
    source: ExchangeId,
    target: Target<D>,
    key: &str,
    args: &Args,
) -> u64 {
    hasher.hash_one((source, target, key, args))
}
