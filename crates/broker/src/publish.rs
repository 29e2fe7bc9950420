//! The publish path: from a batch of messages to their queues, top to bottom.
//!
//! Budget per message with a cached route: one lookup in the connection's route cache, no lock other than one short
//! lock per queue and batch, no allocation besides the message itself, no copy of the body.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_exchanges::{Origin, RouteError};
use leveret_message::Message;
use rustc_hash::FxHashMap;

use super::attributes::held_until;
use super::broker::Broker;
use super::copies::{self, Copies};
use super::delay_room::DelayRoom;
use super::exchange_stats::{Counts, ExchangeStats};
use super::gather::Gather;
use super::message_sizes::Tally;
use super::names::{ExchangeName, VhostName};
use super::queue_handle::{Member, QueueHandle};
use super::refusal::{Access, Refusal, Resource};
use super::reply_to::is_reply;
pub(super) use super::route::route;
use super::route::{Later, Routed, route_or_note};
use super::turn::Turn;
use super::users::AccessRights;
use super::vhost::Vhost;

/// Maximum routes in a connection's cache.
const CACHED_ROUTES_MAX: usize = 1024;

/// Maximum queues in these routes: 512 KiB.
const CACHED_QUEUES_MAX: usize = 64 * 1024;

/// A message for more queues than this is published alone, without blocking the thread for other connections: each
/// queue takes a fraction of a microsecond.
const WIDE: usize = 1024;

/// Batches of this many enqueues (messages times queues) are carried out without blocking the thread for other
/// connections: they take milliseconds. One read's messages for one queue are fewer.
const MANY: usize = 4 * 1024;

/// Maximum enqueues (messages times queues) gathered before they are carried out: 256 KiB.
const GATHERED_MAX: usize = 16 * 1024;

/// A message to be published.
pub struct Incoming {
    /// The message.
    pub message: Message,
    /// Whether it has headers.
    pub headers: bool,
    /// Whether it is returned if no queue takes it.
    pub mandatory: bool,
}

/// An incoming message in any form.
pub(super) trait HasBody {
    /// Size of its body in bytes.
    fn body_bytes(&self) -> usize;
}

impl HasBody for Incoming {
    fn body_bytes(&self) -> usize {
        self.message.body_len()
    }
}

/// Outcome of a publish.
#[derive(Debug)]
pub enum Fate {
    /// Routed, or dropped as unroutable: in both cases only its queues remain responsible for it.
    Accepted,
    /// Mandatory, and no queue took it.
    Returned(Message),
    /// A queue refused it.
    Refused,
}

/// The queues for one exchange and routing key.
pub(super) struct Route {
    pub(super) queues: Box<[Arc<QueueHandle>]>,
    pub(super) durable: usize,
    pub(super) stats: Arc<ExchangeStats>,
}

/// The route of a message.
pub(super) enum Found {
    /// Shared by all messages with its exchange and key.
    Known(Arc<Route>),
    /// Specific to the message.
    Own(Box<Own>),
}

/// See [`Found`].
pub(super) struct Own {
    pub(super) queues: Vec<Arc<QueueHandle>>,
    pub(super) stats: Arc<ExchangeStats>,
    /// Hold the message before it is routed further.
    pub(super) delay_rooms: Vec<Arc<DelayRoom>>,
    /// Its exchange has seen it before.
    pub(super) duplicate: bool,
    /// The message including the BCC header, which has since been removed.
    pub(super) whole: Option<Message>,
}

/// Permission and side-effect handling during routing.
pub(super) struct Looks<'a> {
    /// Permissions were checked when it was published.
    pub(super) permitted: bool,
    /// Set if the message may still be rolled back.
    pub(super) later: Option<&'a mut Later>,
}

/// The publishing side of one connection: its route cache and a batch's scratch memory.
#[derive(Default)]
pub struct Publisher {
    routes: FxHashMap<Box<[u8]>, Arc<Route>>,
    /// Exchanges with write permission, with their counters.
    permitted: FxHashMap<Box<[u8]>, Arc<ExchangeStats>>,
    /// Validity of the cache: the vhost's generation and the users' revision.
    valid_for: (u64, u64),
    last: Option<Arc<Route>>,
    last_key: Vec<u8>,
    key: Vec<u8>,
    batch: Vec<Option<Message>>,
    fates: Vec<Fate>,
    gather: Gather<Arc<QueueHandle>>,
    counts: Counts,
    refused: Vec<u32>,
    /// Queues in `routes`.
    cached_queues: usize,
}

impl Publisher {
    /// Publishes messages in order. Returns the fate of each, and the reason for an early stop, if any: then the
    /// message after the last fate caused it, and later ones are dropped.
    pub fn publish(
        &mut self,
        broker: &Broker,
        vhost: &Arc<Vhost>,
        rights: &mut AccessRights,
        turn: &mut Turn,
        incoming: impl Iterator<Item = Incoming>,
    ) -> (&mut Vec<Fate>, Option<Refusal>) {
        self.catch_up(broker, vhost, rights);
        self.each(vhost, turn, incoming, |this, turn, next| this.assign(vhost, rights, turn, next))
    }

    /// Calls `assign` for each of `incoming` in order, until it refuses one; then enqueues the assigned messages.
    pub(super) fn each<I: HasBody>(
        &mut self,
        vhost: &Vhost,
        turn: &mut Turn,
        incoming: impl Iterator<Item = I>,
        mut assign: impl FnMut(&mut Self, &mut Turn, I) -> Result<Fate, Refusal>,
    ) -> (&mut Vec<Fate>, Option<Refusal>) {
        self.fates.clear();
        self.batch.clear();
        let (mut refusal, mut sizes) = (None, Tally::default());
        for next in incoming {
            let bytes = next.body_bytes();
            match assign(self, turn, next) {
                Ok(fate) => {
                    self.fates.push(fate);
                    sizes.add(bytes);
                }
                Err(why) => {
                    refusal = Some(why);
                    break;
                }
            }
            if self.gather.members() > GATHERED_MAX {
                self.carry_out(turn);
            }
        }
        vhost.stats.published.fetch_add(self.fates.len() as u64, Ordering::Relaxed);
        vhost.stats.sizes.count(&sizes);
        self.counts.settle();
        self.carry_out(turn);
        // Messages for several queues are still here; the next batch may be long in coming.
        self.batch.clear();
        for index in self.refused.drain(..) {
            if let Some(fate) = self.fates.get_mut(index as usize) {
                *fate = Fate::Refused;
            }
        }
        (&mut self.fates, refusal)
    }

    /// Enqueues the gathered messages.
    fn carry_out(&mut self, turn: &mut Turn) {
        if self.gather.members() > MANY {
            let aside = turn.aside;
            aside.run(&mut || self.carry_out_here(turn));
            // The next one may take as long.
            turn.wake();
        } else {
            self.carry_out_here(turn);
        }
    }

    fn carry_out_here(&mut self, turn: &mut Turn) {
        let groups = self.gather.take();
        for group in &groups {
            group.queue.publish(turn, &mut self.batch, &group.members, &mut self.refused);
        }
        self.gather.done(groups);
    }

    /// Drops results found under other permissions or another topology.
    pub(super) fn catch_up(&mut self, broker: &Broker, vhost: &Vhost, rights: &mut AccessRights) {
        let valid_for = (vhost.generation.load(Ordering::Acquire), broker.users.revision());
        if self.valid_for != valid_for {
            rights.refresh(&broker.users);
            self.routes.clear();
            self.cached_queues = 0;
            self.permitted.clear();
            self.last = None;
            self.valid_for = valid_for;
        }
    }

    /// Finds a message's queues and adds it to their batches.
    fn assign(
        &mut self,
        vhost: &Arc<Vhost>,
        rights: &AccessRights,
        turn: &mut Turn,
        incoming: Incoming,
    ) -> Result<Fate, Refusal> {
        let Incoming { mut message, headers, mandatory } = incoming;
        let looks = Looks { permitted: false, later: None };
        let found = self.find(vhost, rights, turn.now, &mut message, headers, looks)?;
        Ok(self.enlist(vhost, turn, message, mandatory, &found))
    }

    /// Finds a message's route. Removes its BCC header.
    #[inline]
    pub(super) fn find(
        &mut self,
        vhost: &Vhost,
        rights: &AccessRights,
        now: leveret_message::Millis,
        message: &mut Message,
        headers: bool,
        looks: Looks<'_>,
    ) -> Result<Found, Refusal> {
        let copies = if headers { copies::keys(message)? } else { None };
        if copies.is_none()
            && let Some(route) = self.known_route(message)
        {
            return Ok(Found::Known(route));
        }
        self.find_anew(vhost, rights, now, message, copies, looks)
    }

    fn find_anew(
        &mut self,
        vhost: &Vhost,
        rights: &AccessRights,
        now: leveret_message::Millis,
        message: &mut Message,
        copies: Option<Copies>,
        looks: Looks<'_>,
    ) -> Result<Found, Refusal> {
        let keys: Vec<&[u8]> = std::iter::once(message.routing_key())
            .chain(copies.iter().flat_map(|copies| copies.keys.iter().map(Vec::as_slice)))
            .collect();
        let stats = if looks.permitted {
            vhost.stats_for_publish(message.exchange())
        } else {
            let stats = self.permit(vhost, rights, message.exchange())?;
            let exchange = String::from_utf8_lossy(message.exchange());
            vhost.check_topics(rights, Access::Write, &exchange, keys.iter().copied())?;
            stats
        };
        let mut queues = Vec::new();
        let (exchange, origin) = (message.exchange(), Origin::Client);
        let routed = route_or_note(vhost, now, message, exchange, &keys, origin, looks.later, |queue| {
            queues.push(Arc::clone(queue));
        });
        let Routed { cacheable, duplicate, delay_rooms } =
            routed.map_err(|error| not_routed(error, message, &vhost.name))?;
        if cacheable && copies.is_none() {
            return Ok(Found::Known(self.remember(message, queues, stats)));
        }
        let without = copies.and_then(|copies| copies.without_bcc);
        let whole = without.map(|without| std::mem::replace(message, without));
        Ok(Found::Own(Box::new(Own { queues, stats, delay_rooms, duplicate, whole })))
    }

    /// Adds a message to its queues' batches.
    pub(super) fn enlist(
        &mut self,
        vhost: &Vhost,
        turn: &mut Turn,
        message: Message,
        mandatory: bool,
        found: &Found,
    ) -> Fate {
        let (queues, durable, stats, settled) = match found {
            Found::Known(route) => (&*route.queues, route.durable, &route.stats, false),
            Found::Own(own) => {
                for delay_room in &own.delay_rooms {
                    // A delayed message is routed again, by BCC too.
                    let message = own.whole.as_ref().unwrap_or(&message);
                    // No write decision is left: the message is written, once for all of them.
                    message.always_log();
                    let due = held_until(message, turn.now).unwrap_or(turn.now);
                    delay_room.hold(turn, message.clone(), due);
                }
                let durable =
                    own.queues.iter().filter(|queue| queue.durable()).count() + own.delay_rooms.len();
                let settled = own.duplicate || !own.delay_rooms.is_empty();
                (own.queues.as_slice(), durable, &own.stats, settled)
            }
        };
        self.counts.add(stats, queues.len());
        let index = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
        if durable > 1 {
            message.always_log();
        }
        match queues {
            [] => {
                self.batch.push(None);
                if settled {
                    return Fate::Accepted;
                }
                if mandatory && !is_reply(&message) {
                    vhost.stats.returned.fetch_add(1, Ordering::Relaxed);
                    return Fate::Returned(message);
                }
                vhost.stats.dropped.fetch_add(1, Ordering::Relaxed);
            }
            [queue] => {
                self.batch.push(Some(message));
                self.gather.add(queue.id, queue, Member { index, only: true, sole: durable <= 1 });
            }
            queues => {
                self.batch.push(Some(message));
                let member = Member { index, only: false, sole: durable == 1 };
                if queues.len() > WIDE {
                    self.spread(turn, queues, member);
                } else {
                    for queue in queues {
                        self.gather.add(queue.id, queue, member);
                    }
                }
            }
        }
        Fate::Accepted
    }

    /// Publishes one message to very many queues, after the messages before it.
    fn spread(&mut self, turn: &mut Turn, queues: &[Arc<QueueHandle>], member: Member) {
        self.carry_out(turn);
        let aside = turn.aside;
        aside.run(&mut || {
            for some in queues.chunks(WIDE) {
                for queue in some {
                    queue.publish(turn, &mut self.batch, &[member], &mut self.refused);
                }
                // Their consumers do not wait for the rest.
                turn.wake();
            }
        });
    }

    #[inline]
    fn known_route(&mut self, message: &Message) -> Option<Arc<Route>> {
        write_key(&mut self.key, message);
        if let Some(last) = &self.last
            && self.last_key == self.key
        {
            return Some(Arc::clone(last));
        }
        let route = Arc::clone(self.routes.get(self.key.as_slice())?);
        self.last = Some(Arc::clone(&route));
        std::mem::swap(&mut self.last_key, &mut self.key);
        Some(route)
    }

    fn remember(
        &mut self,
        message: &Message,
        queues: Vec<Arc<QueueHandle>>,
        stats: Arc<ExchangeStats>,
    ) -> Arc<Route> {
        self.cached_queues += queues.len();
        if self.routes.len() >= CACHED_ROUTES_MAX || self.cached_queues > CACHED_QUEUES_MAX {
            self.routes.clear();
            self.cached_queues = queues.len();
        }
        let durable = queues.iter().filter(|queue| queue.durable()).count();
        let route = Arc::new(Route { queues: queues.into(), durable, stats });
        write_key(&mut self.key, message);
        self.routes.insert(self.key.as_slice().into(), Arc::clone(&route));
        route
    }

    fn permit(
        &mut self,
        vhost: &Vhost,
        rights: &AccessRights,
        exchange: &[u8],
    ) -> Result<Arc<ExchangeStats>, Refusal> {
        debug_assert_eq!(vhost.name, rights.vhost);
        if let Some(stats) = self.permitted.get(exchange) {
            return Ok(Arc::clone(stats));
        }
        let name = ExchangeName::new(&String::from_utf8_lossy(exchange));
        rights.check(Access::Write, &Resource::Exchange(name))?;
        if self.permitted.len() >= CACHED_ROUTES_MAX {
            self.permitted.clear();
        }
        let stats = vhost.stats_for_publish(exchange);
        self.permitted.insert(exchange.into(), Arc::clone(&stats));
        Ok(stats)
    }
}

fn write_key(key: &mut Vec<u8>, message: &Message) {
    key.clear();
    let exchange = message.exchange();
    key.push(u8::try_from(exchange.len()).unwrap_or(u8::MAX));
    key.extend_from_slice(exchange);
    key.extend_from_slice(message.routing_key());
}

pub(super) fn not_routed(error: RouteError, message: &Message, vhost: &VhostName) -> Refusal {
    let name = ExchangeName::new(&String::from_utf8_lossy(message.exchange()));
    match error {
        RouteError::NoSuchExchange => {
            Refusal::NotFound { resource: Resource::Exchange(name), vhost: vhost.clone() }
        }
        RouteError::Internal => Refusal::InternalExchange(name, vhost.clone()),
    }
}
