//! The hot path: which queues get this message?
//!
//! Budget per visited exchange: one look-up by name (the entry and alternates only), one in its index, one copy of
//! the matched ids. Duplicates are looked for only if the result was built from several pieces.

use crate::exchange_id::ExchangeId;
use crate::matcher::{Question, Sink};
use crate::router::Router;
use crate::{Attributes, InnerKind, QueueId, RouteError, Scratch};

/// A message to route.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// The exchange's name.
    pub exchange: &'a [u8],
    /// The routing key, then the keys of CC and BCC. A binding matches if one of them does; hash exchanges use the
    /// first only.
    pub keys: &'a [&'a [u8]],
    /// Headers and properties, read only if a visited exchange needs them.
    pub attributes: &'a dyn Attributes,
    /// The publisher.
    pub origin: Origin,
}

/// The publisher.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A client, which may not publish to internal exchanges.
    Client,
    /// The broker: dead letters, traces, released messages.
    Broker,
}

/// Facts about a result besides the destinations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteInfo {
    /// Every message with this exchange and these keys has the same result while the [generation](Router::generation)
    /// stays.
    pub cacheable: bool,
    /// Exchanges must hold the message: see [`Scratch::delayed`]. The result still contains what was routed already.
    pub delayed: bool,
    /// Exchanges must remember the message: see [`Scratch::histories`].
    pub remembered: bool,
}

/// What a walk reports of a visited exchange.
pub(super) enum Step<'a, D> {
    /// It must hold the message.
    Held,
    /// At least one binding matched. A destination may be there more than once.
    Matched {
        /// The queues.
        queues: &'a [D],
        /// The exchanges.
        exchanges: &'a [ExchangeId],
    },
    /// No binding matched.
    Unmatched {
        /// Its alternate exchange, if that exists.
        alternate: Option<ExchangeId>,
    },
}

/// Watches a walk; `()` watches nothing, at no cost.
pub(super) trait Watch<D> {
    /// An exchange was visited.
    fn visited(&mut self, id: ExchangeId, step: Step<'_, D>);
}

impl<D> Watch<D> for () {
    #[inline]
    fn visited(&mut self, _: ExchangeId, _: Step<'_, D>) {}
}

impl<D: QueueId> Router<D> {
    /// Replaces `out` with a message's destinations, each once, in an order that depends only on the history of
    /// bindings.
    ///
    /// Exchanges are followed through bindings, each visited once. If none of an exchange's own bindings match, its
    /// alternate exchange is visited, if it exists. An x-delayed-message exchange that must hold the message routes
    /// nothing now and uses no alternate.
    pub fn route(
        &self,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch<D>,
        out: &mut Vec<D>,
    ) -> Result<RouteInfo, RouteError> {
        self.walk(envelope, scratch, out, &mut ())
    }

    /// [`Router::route`], watched.
    #[inline]
    pub(super) fn walk(
        &self,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch<D>,
        out: &mut Vec<D>,
        watch: &mut impl Watch<D>,
    ) -> Result<RouteInfo, RouteError> {
        out.clear();
        scratch.delayed.clear();
        scratch.histories.clear();
        let first = self.id_of(envelope.exchange).ok_or(RouteError::NoSuchExchange)?;
        if self.at(first).info.internal && envelope.origin == Origin::Client {
            return Err(RouteError::Internal);
        }
        scratch.pending.clear();
        scratch.visited.clear();
        scratch.visited.insert(first);
        let question = Question { keys: envelope.keys, attributes: envelope.attributes };
        let mut sink = Sink {
            out,
            exchanges: &mut scratch.pending,
            sets: (envelope.keys.len() > 1).then_some(&mut scratch.sets),
            pieces: 0,
            hit: false,
        };
        if let Some(sets) = &mut sink.sets {
            sets.clear();
        }
        let mut cacheable = true;
        let mut next = Some(first);
        while let Some(id) = next {
            let exchange = self.at(id);
            let kind = exchange.info.kind;
            cacheable &= exchange.matcher.depends_on_key_only();
            if kind.delayed || kind.inner == InnerKind::RecentHistory {
                cacheable = false;
            }
            if kind.delayed && envelope.attributes.wants_delay() {
                scratch.delayed.push(id);
                watch.visited(id, Step::Held);
            } else {
                if kind.inner == InnerKind::RecentHistory {
                    scratch.histories.push(id);
                }
                sink.hit = false;
                let (queues, exchanges) = (sink.out.len(), sink.exchanges.len());
                exchange.matcher.route(question, &mut scratch.work, &mut sink);
                if sink.hit {
                    let (queues, exchanges) = (&sink.out[queues..], &sink.exchanges[exchanges..]);
                    watch.visited(id, Step::Matched { queues, exchanges });
                } else {
                    let alternate = exchange.alternate();
                    let alternate = alternate.and_then(|name| self.id_of(name.as_bytes()));
                    sink.exchanges.extend(alternate);
                    watch.visited(id, Step::Unmatched { alternate });
                }
            }
            next = std::iter::from_fn(|| sink.exchanges.pop()).find(|id| scratch.visited.insert(*id));
        }
        if sink.pieces > 1 {
            scratch.queues.clear();
            out.retain(|queue| scratch.queues.insert(*queue));
        }
        Ok(RouteInfo {
            cacheable,
            delayed: !scratch.delayed.is_empty(),
            remembered: !scratch.histories.is_empty(),
        })
    }

    /// The id of an exchange, for comparison with the ids in a [`Scratch`].
    pub fn exchange_id(&self, name: &str) -> Option<ExchangeId> {
        self.id_of(name.as_bytes())
    }
}
