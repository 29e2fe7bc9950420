//! Publishes of a transaction: checked and routed when they come, carried out at the commit.
//!
//! As `RabbitMQ` does: what is wrong with a publish is told at once; exchanges and bindings count as they were then;
//! queues are found by their names at the commit, so that one which was deleted gets nothing, one that was declared
//! anew gets it, and the default exchange, which routes to names, reaches one that was declared meanwhile.
//!
//! Invariants: until the commit nothing outside of the transaction knows of the message, so a rollback has nothing to
//! undo; ids that an exchange has seen, histories and delays begin with the commit.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_queues::Millis;

use super::broker::Broker;
use super::publish::{Fate, Found, HasBody, Incoming, Looks, Own, Publisher};
use super::refusal::Refusal;
use super::route::Later;
use super::turn::Turn;
use super::users::AccessRights;
use super::vhost::Vhost;

/// A message that is published at the commit.
pub struct Prepared {
    incoming: Incoming,
    /// `None`: by the default exchange, whose queues are looked up at the commit.
    way: Option<Way>,
}

struct Way {
    found: Found,
    later: Later,
    /// The topology it was found in.
    generation: u64,
}

impl HasBody for Prepared {
    fn body_bytes(&self) -> usize {
        self.incoming.body_bytes()
    }
}

impl Prepared {
    /// Memory it takes, near enough.
    pub fn memory(&self) -> usize {
        let way = match self.way.as_ref().map(|way| &way.found) {
            Some(Found::Own(own)) => (own.queues.len() + own.delay_rooms.len()) * size_of::<Arc<()>>(),
            _ => 0,
        };
        size_of::<Self>() + self.incoming.message.memory() + way
    }
}

impl Publisher {
    /// Checks and routes a message that is to be published at the commit.
    pub fn prepare(
        &mut self,
        broker: &Broker,
        vhost: &Vhost,
        rights: &mut AccessRights,
        now: Millis,
        mut incoming: Incoming,
    ) -> Result<Prepared, Refusal> {
        self.catch_up(broker, vhost, rights);
        // Before the routes: what is found later than that only costs a look.
        let generation = vhost.generation.load(Ordering::Acquire);
        if incoming.message.exchange().is_empty() {
            let headers = incoming.headers;
            let looks = Looks { permitted: false, later: None };
            // Its message keeps BCC, which the commit looks at again.
            self.find(vhost, rights, now, &mut incoming.message.clone(), headers, looks)?;
            return Ok(Prepared { incoming, way: None });
        }
        let mut later = Later::default();
        let looks = Looks { permitted: false, later: Some(&mut later) };
        let found = self.find(vhost, rights, now, &mut incoming.message, incoming.headers, looks)?;
        Ok(Prepared { incoming, way: Some(Way { found, later, generation }) })
    }

    /// Publishes what was prepared, in order. Returns the same as [`Publisher::publish`].
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
    /// The same names, with the queues that have them now.
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

    /// The message goes nowhere: its exchange has seen it before.
    fn is_duplicate(&mut self) {
        if let Self::Own(own) = self {
            own.queues.clear();
            own.delay_rooms.clear();
            own.duplicate = true;
        }
    }
}
