//! Facts about a vhost's topology that only the router can tell: how exchanges are used, and where dead letters go.
//! Gathered in one pass over all bindings, under one read lock.

use std::sync::Arc;

use leveret_exchanges::{
    Destination, Envelope, ExchangeInfo, InnerKind, NoAttributes, Origin, Scratch, names,
};
use rustc_hash::FxHashMap;

use super::dead_letter::DeadLetterRule;
use super::vhost::{Topology, Vhost};

/// Maximum queues kept of one route of dead letters.
pub const LEADS_MAX: usize = 100;

/// An exchange and its use.
pub struct ExchangeUse {
    /// The exchange.
    pub info: ExchangeInfo,
    /// The alternate exchange in force, and whether it exists.
    pub alternate: Option<(String, bool)>,
    /// Number of bindings from it.
    pub outgoing: usize,
    /// Number of bindings to it.
    pub incoming: usize,
    /// Messages published to it by clients since the start.
    pub published: u64,
}

/// Where the dead letters of a queue go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Leads {
    /// The dead-letter exchange does not exist.
    Missing,
    /// It exists, and no queue can be reached.
    Nowhere,
    /// To these queues, whatever the message; at most [`LEADS_MAX`] of them.
    To(Arc<[Arc<str>]>),
    /// That depends on the message.
    Depends,
}

/// See the module documentation.
pub struct Survey {
    /// All exchanges, unordered.
    pub exchanges: Vec<ExchangeUse>,
    /// Durable queues bound to transient exchanges: queue, exchange.
    pub transient_sources: Vec<(Arc<str>, Arc<str>)>,
    /// Where dead letters go, by queue.
    pub dead_letters: FxHashMap<Arc<str>, (Arc<DeadLetterRule>, Leads)>,
}

impl Vhost {
    /// Surveys the vhost's topology.
    pub fn survey(&self) -> Survey {
        // Each takes its queue's lock, and so must not be asked for under the topology's.
        let rules: Vec<_> = self
            .queues()
            .into_iter()
            .filter_map(|queue| queue.dead_letter_rule().map(|rule| (queue.name.shared(), rule)))
            .collect();
        let topology = self.topology.read();
        let mut survey = topology.uses();
        let (mut scratch, mut known) = (Scratch::new(0), FxHashMap::default());
        for (queue, rule) in rules {
            let place = (rule.exchange.shared(), rule.routing_key.clone());
            let leads = known.entry(place).or_insert_with(|| topology.leads(&rule, &mut scratch)).clone();
            survey.dead_letters.insert(queue, (rule, leads));
        }
        survey
    }
}

impl Topology {
    fn uses(&self) -> Survey {
        let (mut outgoing, mut incoming) = (FxHashMap::<Arc<str>, usize>::default(), FxHashMap::default());
        let mut transient_sources = Vec::new();
        for binding in self.router.bindings() {
            *outgoing.entry(Arc::clone(&binding.source)).or_default() += 1;
            match binding.destination {
                Destination::Exchange(name) => *incoming.entry(name).or_default() += 1,
                // Between durable ends a binding is durable, so one that is not has a transient source here.
                Destination::Queue(slot) => {
                    let queue = self.queues.get(slot as usize).filter(|queue| queue.durable());
                    if let Some(queue) = queue.filter(|_| !binding.durable) {
                        transient_sources.push((queue.name.shared(), binding.source));
                    }
                }
            }
        }
        let exchanges = self.router.exchanges().map(|info| {
            let alternate = self.router.alternate(&info.name);
            let stats = self.stats.get(info.name.as_bytes());
            ExchangeUse {
                alternate: alternate.map(|name| (name.to_owned(), self.router.exchange(name).is_some())),
                outgoing: outgoing.get(&info.name).copied().unwrap_or_default(),
                incoming: incoming.get(&info.name).copied().unwrap_or_default(),
                published: stats.map_or(0, |stats| stats.read()[0]),
                info: info.clone(),
            }
        });
        Survey { exchanges: exchanges.collect(), transient_sources, dead_letters: FxHashMap::default() }
    }

    /// Routes a dead letter as far as that does not depend on the message.
    fn leads(&self, rule: &DeadLetterRule, scratch: &mut Scratch<u32>) -> Leads {
        let name = rule.exchange.as_str();
        let Some(exchange) = self.router.exchange(name) else { return Leads::Missing };
        let any_key = exchange.kind.inner == InnerKind::Fanout;
        let key = rule.routing_key.as_ref().map(|key| key.short().bytes().to_vec());
        if let Some(key) = key.or_else(|| any_key.then(Vec::new)) {
            let keys = [key.as_slice()];
            let (attributes, origin) = (&NoAttributes, Origin::Broker);
            let envelope = Envelope { exchange: name.as_bytes(), keys: &keys, attributes, origin };
            let mut slots = Vec::new();
            // A result that may be cached holds for every message with this key.
            if self.router.route(&envelope, scratch, &mut slots).is_ok_and(|info| info.cacheable) {
                if slots.is_empty() {
                    return Leads::Nowhere;
                }
                let queues = slots.iter().take(LEADS_MAX);
                return Leads::To(
                    queues.filter_map(|slot| self.router.queue_name(*slot).map(Arc::clone)).collect(),
                );
            }
        }
        let bound = names::is_default(name) || self.router.bindings_from(name).next().is_some();
        let alternate = self.router.alternate(name).is_some_and(|name| self.router.exchange(name).is_some());
        if bound || alternate { Leads::Depends } else { Leads::Nowhere }
    }
}
