//! Listings for the management API. The order is internal, and stable between changes.

use std::sync::Arc;

use crate::exchange_id::ExchangeId;
use crate::router::{Binding, Destination, ExchangeInfo, Router};
use crate::targets::Target;
use crate::{Args, QueueId, names};

impl<D: QueueId> Router<D> {
    /// The exchange with this name.
    pub fn exchange(&self, name: &str) -> Option<&ExchangeInfo> {
        self.exchange_named(name).map(|exchange| &exchange.info)
    }

    /// The exchange with this id, which the router returned since its last change.
    pub fn exchange_at(&self, id: ExchangeId) -> Option<&ExchangeInfo> {
        let exchange = self.exchanges.get(id.0 as usize);
        exchange.map(|exchange| &exchange.info)
    }

    /// All exchanges.
    pub fn exchanges(&self) -> impl Iterator<Item = &ExchangeInfo> {
        self.exchanges.iter().map(|(_, exchange)| &exchange.info)
    }

    /// Number of exchanges.
    pub fn exchange_count(&self) -> usize {
        self.exchanges.len()
    }

    /// Number of bindings, without the implicit ones.
    pub fn binding_count(&self) -> usize {
        self.links.len()
    }

    /// The alternate exchange in force; it need not exist.
    pub fn alternate(&self, name: &str) -> Option<&str> {
        self.exchange_named(name)?.alternate()
    }

    /// The queue with this name.
    pub fn queue(&self, name: &str) -> Option<D> {
        let default = self.exchange_named(names::DEFAULT)?;
        default.matcher.only_queue(name.as_bytes())
    }

    /// The name of a registered queue.
    pub fn queue_name(&self, queue: D) -> Option<&Arc<str>> {
        self.queues.get(&queue).map(|queue| &queue.name)
    }

    /// All bindings, the implicit ones of the default exchange first.
    pub fn bindings(&self) -> impl Iterator<Item = Binding<D>> {
        let links = self.links.iter().map(|(_, link)| self.show(link));
        self.implicit().chain(links)
    }

    /// The bindings from an exchange; none if it does not exist.
    pub fn bindings_from(&self, source: &str) -> impl Iterator<Item = Binding<D>> {
        let implicit = names::is_default(source).then(|| self.implicit());
        let exchange = self.exchange_named(source);
        let outgoing = exchange.map_or(&[][..], |exchange| &exchange.outgoing);
        let links = outgoing.iter().map(|id| self.show(&self.links[*id]));
        implicit.into_iter().flatten().chain(links)
    }

    /// The bindings to a queue, the implicit one first, or to an exchange.
    pub fn bindings_to(&self, destination: Destination<D, &str>) -> impl Iterator<Item = Binding<D>> {
        let (implicit, target) = match destination {
            Destination::Queue(queue) => (
                self.queue_name(queue).map(|name| self.show_implicit(name, queue)),
                Some(Target::Queue(queue)),
            ),
            Destination::Exchange(name) => (None, self.id_of(name.as_bytes()).map(Target::Exchange)),
        };
        let incoming = target.map_or(&[][..], |target| self.incoming(target));
        let links = incoming.iter().map(|id| self.show(&self.links[*id]));
        implicit.into_iter().chain(links)
    }

    fn implicit(&self) -> impl Iterator<Item = Binding<D>> {
        let queues = self.queues.iter();
        queues.map(|(id, queue)| self.show_implicit(&queue.name, *id))
    }

    pub(super) fn show_implicit(&self, name: &Arc<str>, queue: D) -> Binding<D> {
        Binding {
            source: self
                .exchange_named(names::DEFAULT)
                .map_or_else(|| names::DEFAULT.into(), |default| default.info.name.clone()),
            destination: Destination::Queue(queue),
            key: Arc::clone(name),
            args: Args::EMPTY,
            durable: self.queues.get(&queue).is_some_and(|queue| queue.durable),
        }
    }
}
