//! Why a message goes where it goes. Takes the same path as `route`, but tests every binding against the rule itself
//! instead of the index: slow, and a check on the index.

use std::sync::Arc;

use crate::exchange_id::ExchangeId;
use crate::federation::Horizon;
use crate::kind::InnerKind;
use crate::matcher::{Question, Sink};
use crate::router::{Binding, Destination, Envelope, Origin, Router};
use crate::targets::Target;
use crate::{QueueId, RouteError, Scratch, naive, names};

/// How a message is routed, step by step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Explanation<D> {
    /// The exchanges visited, in order.
    pub visits: Vec<Visit<D>>,
    /// The destinations, each once.
    pub queues: Vec<D>,
}

/// One exchange that a message visits.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Visit<D> {
    /// The exchange.
    pub exchange: Arc<str>,
    /// How the message reached it.
    pub reached: Reached,
    /// The matching bindings.
    pub matched: Vec<Binding<D>>,
    /// The message is held here because it has a delay.
    pub delayed: bool,
}

/// How a message reached an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Reached {
    /// It was published to the exchange.
    Published,
    /// Through a binding from this exchange.
    Bound(Arc<str>),
    /// As the alternate of this exchange, where nothing matched.
    Alternate(Arc<str>),
}

impl<D: QueueId> Router<D> {
    /// Routes like [`Router::route`], and explains each step. Examines every binding of every visited exchange.
    /// Random exchanges pick anew.
    pub fn explain(
        &self,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch<D>,
    ) -> Result<Explanation<D>, RouteError> {
        let first = self.id_of(envelope.exchange).ok_or(RouteError::NoSuchExchange)?;
        if self.at(first).info.internal && envelope.origin == Origin::Client {
            return Err(RouteError::Internal);
        }
        let mut explanation = Explanation { visits: Vec::new(), queues: Vec::new() };
        let mut pending = vec![(first, Reached::Published)];
        scratch.visited.clear();
        scratch.queues.clear();
        while let Some((id, reached)) = pending.pop() {
            if !scratch.visited.insert(id) {
                continue;
            }
            let exchange = self.at(id);
            let name = &exchange.info.name;
            let delayed = exchange.info.delayed() && envelope.attributes.wants_delay();
            let matched = if delayed { Vec::new() } else { self.matched(id, envelope, scratch) };
            if matched.is_empty() && !delayed {
                let alternate = exchange.alternate();
                let alternate = alternate.and_then(|name| self.id_of(name.as_bytes()));
                pending.extend(alternate.map(|id| (id, Reached::Alternate(Arc::clone(name)))));
            }
            for binding in &matched {
                match &binding.destination {
                    Destination::Queue(queue) => {
                        if scratch.queues.insert(*queue) {
                            explanation.queues.push(*queue);
                        }
                    }
                    Destination::Exchange(to) => {
                        let to = self.id_of(to.as_bytes());
                        pending.extend(to.map(|id| (id, Reached::Bound(Arc::clone(name)))));
                    }
                }
            }
            explanation.visits.push(Visit { exchange: Arc::clone(name), reached, matched, delayed });
        }
        Ok(explanation)
    }

    /// The matching bindings of one exchange.
    fn matched(&self, id: ExchangeId, envelope: &Envelope<'_>, scratch: &mut Scratch<D>) -> Vec<Binding<D>> {
        let exchange = self.at(id);
        if names::is_default(&exchange.info.name) {
            let queues = self.queues.iter();
            let matched = queues.filter(|(_, queue)| envelope.keys.contains(&queue.name.as_bytes()));
            return matched.map(|(id, queue)| self.show_implicit(&queue.name, *id)).collect();
        }
        let picked = exchange.matcher.picks_one().then(|| self.pick(id, envelope, scratch));
        let links = exchange.outgoing.iter().map(|id| &self.links[*id]);
        let matched = links.filter(|link| match (exchange.info.kind.inner, &picked) {
            (_, Some(picked)) => *picked == Some(link.target),
            (InnerKind::Direct, _) => envelope.keys.contains(&link.key.as_bytes()),
            (InnerKind::Topic, _) => {
                let mut keys = envelope.keys.iter();
                keys.any(|key| naive::topic(link.key.as_bytes(), key))
            }
            (InnerKind::Headers, _) => naive::headers(&link.args, envelope.attributes),
            (InnerKind::FederationUpstream, _) => Horizon::from_args(&exchange.info.args)
                .is_ok_and(|horizon| horizon.reaches(envelope.attributes)),
            _ => true,
        });
        matched.map(|link| self.show(link)).collect()
    }

    /// The one target that an exchange picks.
    fn pick(&self, id: ExchangeId, envelope: &Envelope<'_>, scratch: &mut Scratch<D>) -> Option<Target<D>> {
        let (mut queues, mut exchanges) = (Vec::new(), Vec::new());
        let question = Question { keys: envelope.keys, attributes: envelope.attributes };
        let mut sink =
            Sink { out: &mut queues, exchanges: &mut exchanges, sets: None, pieces: 0, hit: false };
        let matcher = &self.at(id).matcher;
        matcher.route(question, &mut scratch.work, &mut sink);
        let queue = queues.pop().map(Target::Queue);
        queue.or_else(|| exchanges.pop().map(Target::Exchange))
    }
}
