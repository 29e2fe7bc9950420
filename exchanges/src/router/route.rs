//! The hot path: who gets this message?
//!
//! Budget per exchange on the way: one look-up by name (the entry and alternates only), one in its
//! index, one copy of the matched ids. Doubles are looked for only if the result was made of
//! several pieces.

use crate::matcher::{Question, Sink};
use crate::router::{ExchangeId, Router};
use crate::{Attributes, InnerKind, QueueId, RouteError, Scratch};

/// What is to be routed.
#[derive(Clone, Copy)]
pub struct Envelope<'a> {
    /// The exchange's name.
    pub exchange: &'a [u8],
    /// The routing key, then those of CC and BCC. A binding matches if one of them does; hash
    /// exchanges look at the first only.
    pub keys: &'a [&'a [u8]],
    /// Headers and properties, looked at only if an exchange on the way needs them.
    pub attributes: &'a dyn Attributes,
    /// Who publishes.
    pub origin: Origin,
}

/// Who publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A client, who may not publish to internal exchanges.
    Client,
    /// The broker: dead letters, traces, released messages.
    Broker,
}

/// What there is to know of a result besides the destinations.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RouteInfo {
    /// The result is the same for every message with this exchange and these keys, as long as
    /// the [generation](Router::generation) stays.
    pub cacheable: bool,
    /// Exchanges must hold the message: see [`Scratch::delayed`]. What was routed already is in
    /// the result all the same.
    pub delayed: bool,
    /// Exchanges want to remember the message: see [`Scratch::histories`].
    pub remembered: bool,
}

impl<D: QueueId> Router<D> {
    /// Replaces `out` with the destinations of a message, each once, in an order that depends on
    /// the history of bindings only.
    ///
    /// Exchanges are followed through bindings, each visited once. One whose own bindings match
    /// nothing hands on to its alternate exchange, if that exists. An x-delayed-message exchange
    /// that the message must wait in routes nothing now, and needs no alternate.
    pub fn route(
        &self,
        envelope: &Envelope<'_>,
        scratch: &mut Scratch<D>,
        out: &mut Vec<D>,
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
            } else {
                if kind.inner == InnerKind::RecentHistory {
                    scratch.histories.push(id);
                }
                sink.hit = false;
                exchange.matcher.route(question, &mut scratch.work, &mut sink);
                if !sink.hit {
                    let alternate = exchange.alternate();
                    let alternate = alternate.and_then(|name| self.id_of(name.as_bytes()));
                    sink.exchanges.extend(alternate);
                }
            }
            next = None;
            while let Some(id) = sink.exchanges.pop() {
                if scratch.visited.insert(id) {
                    next = Some(id);
                    break;
                }
            }
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

    /// The id of an exchange, for comparing with those in a [`Scratch`].
    pub fn exchange_id(&self, name: &str) -> Option<ExchangeId> {
        self.id_of(name.as_bytes())
    }
}
