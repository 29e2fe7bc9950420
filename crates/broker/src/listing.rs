//! A vhost's objects for listings: copies that hold no lock.

use std::sync::Arc;

use leveret_exchanges::{Binding, Destination, ExchangeInfo};

use super::arguments::{FieldTable, from_args, get};
use super::definitions::{BindingDefinition, DestinationKind};
use super::names::VhostName;
use super::policies::{Source, Sourced};
use super::vhost::{Topology, Vhost};

/// A binding.
#[derive(Clone, Debug, PartialEq)]
pub struct BindingView {
    /// Source exchange; empty for the default exchange's implicit bindings.
    pub source: Arc<str>,
    /// Kind of destination.
    pub kind: DestinationKind,
    /// Destination name.
    pub destination: Arc<str>,
    /// Routing key, pattern or weight.
    pub routing_key: Arc<str>,
    /// Arguments.
    pub arguments: FieldTable,
    /// Survives a restart.
    pub durable: bool,
}

impl BindingView {
    /// `None`: its destination is not listed.
    pub(super) fn of(topology: &Topology, binding: Binding<u32>) -> Option<Self> {
        let (kind, destination) = match binding.destination {
            Destination::Exchange(name) => (DestinationKind::Exchange, name),
            Destination::Queue(slot) => {
                if topology.queues.get(slot as usize).is_none_or(|queue| queue.hidden) {
                    return None;
                }
                let name = topology.router.queue_name(slot)?;
                (DestinationKind::Queue, Arc::clone(name))
            }
        };
        Some(Self {
            source: binding.source,
            kind,
            destination,
            routing_key: binding.key,
            arguments: from_args(&binding.args),
            durable: binding.durable,
        })
    }

    pub(super) fn definition(&self, vhost: &VhostName) -> BindingDefinition {
        BindingDefinition {
            vhost: vhost.as_str().to_owned(),
            source: self.source.to_string(),
            destination: self.destination.to_string(),
            destination_kind: self.kind,
            routing_key: self.routing_key.to_string(),
            arguments: self.arguments.clone(),
        }
    }
}

impl Vhost {
    /// All exchanges, by name.
    pub fn exchanges(&self) -> Vec<ExchangeInfo> {
        let mut exchanges: Vec<_> = self.topology.read().router.exchanges().cloned().collect();
        exchanges.sort_by(|a, b| a.name.cmp(&b.name));
        exchanges
    }

    /// An exchange by name; the empty name is the default exchange.
    pub fn exchange(&self, name: &str) -> Option<ExchangeInfo> {
        self.topology.read().router.exchange(name).cloned()
    }

    /// The alternate exchange in force, and its source. `None`: the exchange does not exist.
    pub fn alternate_of(&self, name: &str) -> Option<Sourced<Option<String>>> {
        let topology = self.topology.read();
        let exchange = topology.router.exchange(name)?;
        let argument = get(&from_args(&exchange.args), "alternate-exchange").is_some();
        let value = topology.router.alternate(name).map(str::to_owned);
        let source = match (argument, &value) {
            (true, _) => Source::Argument,
            (false, Some(_)) => Source::Policy,
            (false, None) => Source::Default,
        };
        Some(Sourced { value, source })
    }

    /// Number of exchanges.
    pub fn exchange_count(&self) -> usize {
        self.topology.read().router.exchange_count()
    }

    /// Number of queues.
    pub fn queue_count(&self) -> usize {
        let topology = self.topology.read();
        topology.queues.len() - topology.hidden
    }

    /// All bindings, the implicit ones of the default exchange first.
    pub fn bindings(&self) -> Vec<BindingView> {
        let topology = self.topology.read();
        topology.router.bindings().filter_map(|binding| BindingView::of(&topology, binding)).collect()
    }

    /// The bindings from an exchange.
    pub fn bindings_from(&self, source: &str) -> Vec<BindingView> {
        let topology = self.topology.read();
        let bindings = topology.router.bindings_from(source);
        bindings.filter_map(|binding| BindingView::of(&topology, binding)).collect()
    }

    /// The bindings to a queue or an exchange; none if it does not exist.
    pub fn bindings_to(&self, kind: DestinationKind, name: &str) -> Vec<BindingView> {
        let topology = self.topology.read();
        let end = match kind {
            DestinationKind::Exchange => Destination::Exchange(name),
            DestinationKind::Queue => match topology.by_name.get(name) {
                Some(slot) => Destination::Queue(*slot),
                None => return Vec::new(),
            },
        };
        let bindings = topology.router.bindings_to(end);
        bindings.filter_map(|binding| BindingView::of(&topology, binding)).collect()
    }
}

/// An exchange's arguments, as declared.
pub fn exchange_arguments(exchange: &ExchangeInfo) -> FieldTable {
    from_args(&exchange.args)
}
