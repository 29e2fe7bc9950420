//! What a removal would take along, computed in advance, so that it can be made durable first.
//!
//! Invariants: nothing is changed; the plan equals what the removal does if nothing else happens in between.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::exchange_id::ExchangeId;
use crate::router::{Destination, Removed, Router};
use crate::targets::Target;
use crate::{Args, QueueId, Refusal, names};

/// A planned removal.
struct Plan<'r, D> {
    router: &'r Router<D>,
    links: FxHashSet<usize>,
    /// Number of bindings that would remain from an exchange.
    left: FxHashMap<ExchangeId, usize>,
    removed: Removed<D>,
}

impl<'r, D: QueueId> Plan<'r, D> {
    fn new(router: &'r Router<D>) -> Self {
        Self { router, links: FxHashSet::default(), left: FxHashMap::default(), removed: Removed::default() }
    }

    /// Returns its source if that must be removed as well.
    fn link(&mut self, id: usize) -> Option<ExchangeId> {
        if !self.links.insert(id) {
            return None;
        }
        let link = &self.router.links[id];
        self.removed.bindings.push(self.router.show(link));
        let source = self.router.at(link.source);
        let left = self.left.entry(link.source).or_insert(source.outgoing.len());
        *left -= 1;
        (*left == 0 && source.info.auto_delete).then_some(link.source)
    }

    fn exchanges(mut self, mut doomed: Vec<ExchangeId>) -> Removed<D> {
        while let Some(id) = doomed.pop() {
            let exchange = self.router.at(id);
            for link in exchange.outgoing.iter().chain(&exchange.incoming) {
                doomed.extend(self.link(*link).filter(|orphan| *orphan != id));
            }
            self.removed.exchanges.push(exchange.info.clone());
        }
        self.removed
    }
}

impl<D: QueueId> Router<D> {
    /// What [`Router::delete`] would remove, or why it would refuse.
    pub fn plan_delete(&self, name: &str, if_unused: bool) -> Result<Option<Removed<D>>, Refusal> {
        if names::is_default(name) {
            return Err(Refusal::DefaultExchange);
        }
        let Some(id) = self.id_of(name.as_bytes()) else { return Ok(None) };
        if if_unused && !self.at(id).outgoing.is_empty() {
            return Err(Refusal::InUse(name.to_owned()));
        }
        Ok(Some(Plan::new(self).exchanges(vec![id])))
    }

    /// What [`Router::queue_gone`] would remove.
    pub fn plan_queue_gone(&self, queue: D) -> Removed<D> {
        let mut plan = Plan::new(self);
        let Some(known) = self.queues.get(&queue) else { return Removed::default() };
        let orphans = known.incoming.iter().filter_map(|link| plan.link(*link)).collect();
        plan.exchanges(orphans)
    }

    /// What [`Router::unbind`] would remove, or why it would refuse.
    pub fn plan_unbind(
        &self,
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
        let Some(link) = self.find_link(source, target, key, args) else { return Ok(None) };
        let mut plan = Plan::new(self);
        let orphan = plan.link(link);
        Ok(Some(plan.exchanges(Vec::from_iter(orphan))))
    }

    /// Whether the binding that [`Router::bind`] would make survives a restart; or why it would refuse. `None`: the
    /// binding exists already.
    pub fn plan_bind(
        &self,
        source: &str,
        destination: Destination<D, &str>,
        key: &str,
        args: &Args,
    ) -> Result<Option<bool>, Refusal> {
        let (source, target) = self.ends(source, destination)?;
        let to_queue = matches!(target, Target::Queue(_));
        let info = &self.at(source).info;
        info.kind.inner.check_binding(to_queue, key, args)?;
        let durable = match target {
            Target::Queue(queue) => self.queues.get(&queue).is_some_and(|queue| queue.durable),
            Target::Exchange(id) => self.at(id).info.durable,
        };
        let there = self.find_link(source, target, key, args).is_some();
        Ok((!there).then_some(durable && info.durable))
    }
}
