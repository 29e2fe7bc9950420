//! Publishes in a transaction: checked and routed on arrival, carried out at commit.
//!
//! As in `RabbitMQ`: errors in a publish are reported immediately; exchanges and bindings are those at arrival; queues
//! are looked up by name at commit, so that a deleted one gets nothing, a redeclared one gets the message, and the
//! default exchange, which routes to names, reaches one declared meanwhile.
//!
//! Invariants: before the commit nothing outside the transaction knows of the message, so a rollback has nothing to
//! undo; deduplication ids, histories and delays take effect at commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_message::Millis;

use super::broker::Broker;
use super::publish::{Fate, Found, HasBody, Incoming, Looks, Own, Publisher};
use super::refusal::Refusal;
use super::route::Later;
use super::turn::Turn;
use super::users::AccessRights;
use super::vhost::Vhost;

/// A message to be published at commit.
pub struct Prepared {
    incoming: Incoming,
    /// `None`: through the default exchange, whose queues are looked up at commit.
    way: Option<Way>,
}

struct Way {
    found: Found,
    later: Later,
    /// Topology generation of the lookup.
    generation: u64,
}

impl HasBody for Prepared {
    fn body_bytes(&self) -> usize {
        self.incoming.body_bytes()
    }
}

impl Prepared {
    /// Approximate memory, in bytes.
    pub fn memory(&self) -> usize {
        let way = match self.way.as_ref().map(|way| &way.found) {
            Some(Found::Own(own)) => (own.queues.len() + own.delay_rooms.len()) * size_of::<Arc<()>>(),
            _ => 0,
        };
        size_of::<Self>() + self.incoming.message.memory() + way
    }
}

impl Publisher {
    /// Checks and routes a message to be published at commit.
    pub fn prepare(
        &mut self,
        broker: &Broker,
        vhost: &Vhost,
        rights: &mut AccessRights,
        now: Millis,
        mut incoming: Incoming,
    ) -> Result<Prepared, Refusal> {
        self.catch_up(broker, vhost, rights);
        // Read before the routes: a change after that costs only another lookup.
        let generation = vhost.generation.load(Ordering::Acquire);
        if incoming.message.exchange().is_empty() {
            let headers = incoming.headers;
            let looks = Looks { permitted: false, later: None };
            // The stored message keeps BCC, which the commit reads again.
            self.find(vhost, rights, now, &mut incoming.message.clone(), headers, looks)?;
            return Ok(Prepared { incoming, way: None });
        }
        let mut later = Later::default();
        let looks = Looks { permitted: false, later: Some(&mut later) };
        let found = self.find(vhost, rights, now, &mut incoming.message, incoming.headers, looks)?;
        Ok(Prepared { incoming, way: Some(Way { found, later, generation }) })
    }

    /// Publishes the prepared messages in order. Returns as [`Publisher::publish`].
    pub fn commit(
        &mut self,
        broker: &Broker,
        vhost: &Arc<Vhost>,
        rights: &mut AccessRights,
        turn: &mut Turn,
        prepared: impl Iterator<Item = Prepared>,
    ) -> (&mut Vec<Fate>, Option<Refusal>) {
        self.catch_up(broker, vhost, rights);
        self.each(vhost, turn, prepared, |this, turn, next| {
            let Prepared { incoming: Incoming { mut message, headers, mandatory }, way } = next;
            let found = match way {
                None => {
                    let looks = Looks { permitted: true, later: None };
                    this.find(vhost, rights, turn.now, &mut message, headers, looks)?
                }
                Some(way) => {
                    let mut found = way.found;
                    if way.generation != vhost.generation.load(Ordering::Acquire) {
                        found = found.by_name(vhost);
                    }
                    if !vhost.topology.read().do_later(&way.later, &message, turn.now) {
                        found.is_duplicate();
                    }
                    found
                }
            };
            Ok(this.enlist(vhost, turn, message, mandatory, &found))
        })
    }
}

impl Found {
    /// The same queue names, with the queues that bear them now.
    fn by_name(self, vhost: &Vhost) -> Self {
        let mut own = match self {
            Self::Own(own) => own,
            Self::Known(route) => Box::new(Own {
                queues: route.queues.to_vec(),
                stats: Arc::clone(&route.stats),
                delay_rooms: Vec::new(),
                duplicate: false,
                whole: None,
            }),
        };
        let topology = vhost.topology.read();
        own.queues.retain_mut(|queue| match topology.queue(queue.name.as_str()) {
            Some(now) => {
                *queue = Arc::clone(now);
                true
            }
            None => false,
        });
        drop(topology);
        Self::Own(own)
    }

    /// The message is dropped: its exchange has seen it before.
    fn is_duplicate(&mut self) {
        if let Self::Own(own) = self {
            own.queues.clear();
            own.delay_rooms.clear();
            own.duplicate = true;
        }
    }
}
