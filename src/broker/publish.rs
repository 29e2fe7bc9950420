//! The publish path: from a batch of messages to the queues that get them, top to bottom.
//!
//! Budget per message when its route is known: one lookup in the connection's route cache, no lock
//! beyond one short lock per queue and batch, no allocation beside the message itself, no copy of
//! the body.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_exchanges::{Envelope, ExchangeId, Origin, RouteError, RouteInfo, Scratch};
use leveret_queues::{Message, Millis};
use rustc_hash::FxHashMap;

use super::attributes::{MessageAttributes, held_until};
use super::broker::Broker;
use super::copies;
use super::exchange_stats::{Counts, ExchangeStats};
use super::holder::Holder;
use super::message_sizes::Tally;
use super::names::{ExchangeName, VhostName};
use super::queue_handle::{Member, QueueHandle};
use super::refusal::{Access, Refusal, Resource};
use super::reply_to::is_reply;
use super::turn::Turn;
use super::users::AccessRights;
use super::vhost::{Topology, Vhost};

/// Routes that a connection remembers, at most.
const CACHED_ROUTES_MAX: usize = 1024;

/// A message to be published.
pub struct Incoming {
    /// The message.
    pub message: Message,
    /// It has headers.
    pub headers: bool,
    /// It is to be returned if no queue takes it.
    pub mandatory: bool,
}

/// What became of a publish.
#[derive(Debug)]
pub enum Fate {
    /// Routed, or dropped as unroutable: either way the broker is responsible for it no more than
    /// its queues are.
    Accepted,
    /// Mandatory, and no queue took it.
    Returned(Message),
    /// A queue refused it.
    Refused,
}

/// The queues that messages of one exchange and key go to.
struct Route {
    queues: Box<[Arc<QueueHandle>]>,
    durable: usize,
    stats: Arc<ExchangeStats>,
}

struct Group {
    queue: Arc<QueueHandle>,
    members: Vec<Member>,
}

/// The publishing side of one connection: its route cache and the scratch of a batch.
#[derive(Default)]
pub struct Publisher {
    routes: FxHashMap<Box<[u8]>, Arc<Route>>,
    /// Exchanges that may be published to, with their counts.
    permitted: FxHashMap<Box<[u8]>, Arc<ExchangeStats>>,
    /// What the cache was filled under: the vhost's generation and the users' revision.
    valid_for: (u64, u64),
    last: Option<Arc<Route>>,
    last_key: Vec<u8>,
    key: Vec<u8>,
    batch: Vec<Option<Message>>,
    fates: Vec<Fate>,
    groups: Vec<Group>,
    counts: Counts,
    spare: Vec<Vec<Member>>,
    refused: Vec<u32>,
}

thread_local! {
    static SCRATCH: RefCell<(Scratch<u32>, Vec<u32>)> =
        RefCell::new((Scratch::new(rand::random()), Vec::new()));
}

/// What routing told besides the queues.
#[derive(Default)]
pub(super) struct Routed {
    /// The same for all messages with this exchange and key.
    cacheable: bool,
    /// The exchange has seen the message's id before.
    duplicate: bool,
    /// Where it has to wait before it is routed further.
    pub(super) holders: Vec<Arc<Holder>>,
}

/// Routes one message through the vhost's exchanges. `found` gets the queues.
pub(super) fn route(
    vhost: &Vhost,
    now: Millis,
    message: &Message,
    exchange: &[u8],
    keys: &[&[u8]],
    origin: Origin,
    mut found: impl FnMut(&Arc<QueueHandle>),
) -> Result<Routed, RouteError> {
    SCRATCH.with_borrow_mut(|(scratch, slots)| {
        let topology = vhost.topology.read();
        let envelope = Envelope { exchange, keys, attributes: &MessageAttributes { message, now }, origin };
        let info = topology.router.route(&envelope, scratch, slots)?;
        let mut routed = Routed { cacheable: info.cacheable, ..Routed::default() };
        if !topology.features.is_empty()
            && !topology.beside_routing(&mut routed, message, &envelope, now, info, scratch)
        {
            return Ok(routed);
        }
        for slot in slots.iter() {
            if let Some(queue) = topology.queues.get(*slot as usize) {
                found(queue);
            }
        }
        Ok(routed)
    })
}

impl Topology {
    /// Does what the exchanges on a message's way do besides routing. `false`: it goes nowhere.
    fn beside_routing(
        &self,
        routed: &mut Routed,
        message: &Message,
        envelope: &Envelope<'_>,
        now: Millis,
        info: RouteInfo,
        scratch: &Scratch<u32>,
    ) -> bool {
        if envelope.origin == Origin::Client
            && let Some(entry) = self.features.get(envelope.exchange)
            && entry.deduplicates()
        {
            routed.cacheable = false;
            if entry.is_duplicate(message, now) {
                routed.duplicate = true;
                return false;
            }
        }
        let features = |id: &ExchangeId| self.features.get(self.router.exchange_at(*id)?.name.as_bytes());
        if info.remembered {
            scratch.histories().iter().filter_map(features).for_each(|features| features.remember(message));
        }
        if info.delayed {
            let delaying = scratch.delayed().iter().filter_map(features);
            routed.holders.extend(delaying.filter_map(|features| features.holder.clone()));
        }
        true
    }
}

impl Publisher {
    /// Publishes messages in order. Returns what became of each, and why it stopped early, if it
    /// did: then the message behind the last fate is to blame, and those after it are dropped.
    pub fn publish(
        &mut self,
        broker: &Broker,
        vhost: &Arc<Vhost>,
        rights: &mut AccessRights,
        turn: &mut Turn,
        incoming: impl Iterator<Item = Incoming>,
    ) -> (&mut Vec<Fate>, Option<Refusal>) {
        self.catch_up(broker, vhost, rights);
        self.fates.clear();
        self.batch.clear();
        let (mut refusal, mut sizes) = (None, Tally::default());
        for next in incoming {
            let bytes = next.message.body_len();
            match self.assign(vhost, rights, turn, next) {
                Ok(fate) => {
                    self.fates.push(fate);
                    sizes.add(bytes);
                }
                Err(why) => {
                    refusal = Some(why);
                    break;
                }
            }
        }
        vhost.stats.published.fetch_add(self.fates.len() as u64, Ordering::Relaxed);
        vhost.stats.sizes.count(&sizes);
        self.counts.settle();
        for group in self.groups.drain(..) {
            group.queue.publish(turn, &mut self.batch, &group.members, &mut self.refused);
            let mut members = group.members;
            members.clear();
            self.spare.push(members);
        }
        // What went to several queues is still here; the next batch may be long in coming.
        self.batch.clear();
        for index in self.refused.drain(..) {
            if let Some(fate) = self.fates.get_mut(index as usize) {
                *fate = Fate::Refused;
            }
        }
        (&mut self.fates, refusal)
    }

    /// Forgets what was found under other permissions or another topology.
    fn catch_up(&mut self, broker: &Broker, vhost: &Vhost, rights: &mut AccessRights) {
        let valid_for = (vhost.generation.load(Ordering::Acquire), broker.users.revision());
        if self.valid_for != valid_for {
            rights.refresh(&broker.users);
            self.routes.clear();
            self.permitted.clear();
            self.last = None;
            self.valid_for = valid_for;
        }
    }

    /// Refuses a message that will be published later, as a publish would be now.
    pub fn check(
        &mut self,
        broker: &Broker,
        vhost: &Vhost,
        rights: &mut AccessRights,
        message: &Message,
        headers: bool,
    ) -> Result<(), Refusal> {
        self.catch_up(broker, vhost, rights);
        let copies = if headers { copies::keys(message)? } else { None };
        if copies.is_none() && self.known_route(message).is_some() {
            return Ok(());
        }
        self.permit(vhost, rights, message.exchange())?;
        let name = String::from_utf8_lossy(message.exchange());
        let found = match vhost.topology.read().router.exchange(&name) {
            None => Err(RouteError::NoSuchExchange),
            Some(exchange) if exchange.internal => Err(RouteError::Internal),
            Some(_) => Ok(()),
        };
        found.map_err(|error| not_routed(error, message, &vhost.name))?;
        let more = copies.iter().flat_map(|copies| copies.keys.iter().map(Vec::as_slice));
        vhost.check_topics(rights, Access::Write, &name, std::iter::once(message.routing_key()).chain(more))
    }

    /// Finds the queues of a message and adds it to their groups.
    fn assign(
        &mut self,
        vhost: &Arc<Vhost>,
        rights: &AccessRights,
        turn: &mut Turn,
        incoming: Incoming,
    ) -> Result<Fate, Refusal> {
        let Incoming { mut message, headers, mandatory } = incoming;
        let index = u32::try_from(self.batch.len()).unwrap_or(u32::MAX);
        let copies = if headers { copies::keys(&message)? } else { None };
        let known = if copies.is_some() { None } else { self.known_route(&message) };
        let (total, durable, first_group);
        let mut settled = false;
        if let Some(route) = known {
            total = route.queues.len();
            durable = route.durable;
            self.counts.add(&route.stats, total);
            first_group = (total == 1).then(|| self.group_of(&route.queues[0]));
            if total > 1 {
                for queue in &route.queues {
                    let group = self.group_of(queue);
                    self.join(group, index, false, durable == 1);
                }
            }
        } else {
            let stats = self.permit(vhost, rights, message.exchange())?;
            let more = copies.iter().flat_map(|copies| copies.keys.iter().map(Vec::as_slice));
            let keys = std::iter::once(message.routing_key()).chain(more);
            vhost.check_topics(rights, Access::Write, &String::from_utf8_lossy(message.exchange()), keys)?;
            let mut queues = Vec::new();
            let first = message.routing_key();
            let routed = match &copies {
                None => self::route(
                    vhost,
                    turn.now,
                    &message,
                    message.exchange(),
                    &[first],
                    Origin::Client,
                    |queue| {
                        queues.push(Arc::clone(queue));
                    },
                ),
                Some(copies) => {
                    let keys: Vec<&[u8]> =
                        std::iter::once(first).chain(copies.keys.iter().map(Vec::as_slice)).collect();
                    self::route(
                        vhost,
                        turn.now,
                        &message,
                        message.exchange(),
                        &keys,
                        Origin::Client,
                        |queue| {
                            queues.push(Arc::clone(queue));
                        },
                    )
                    .map(|routed| Routed { cacheable: false, ..routed })
                }
            }
            .map_err(|error| not_routed(error, &message, &vhost.name))?;
            let only = queues.is_empty() && routed.holders.len() == 1;
            for holder in &routed.holders {
                hold(turn, holder, &message, only);
            }
            settled = routed.duplicate || !routed.holders.is_empty();
            total = queues.len();
            durable = queues.iter().filter(|queue| queue.durable()).count();
            self.counts.add(&stats, total);
            if let Some(without) = copies.and_then(|copies| copies.without_bcc) {
                message = without;
            }
            first_group = (total == 1).then(|| self.group_of(&queues[0]));
            if total > 1 {
                for queue in &queues {
                    let group = self.group_of(queue);
                    self.join(group, index, false, durable == 1);
                }
            }
            if routed.cacheable {
                self.remember(&message, Route { queues: queues.into(), durable, stats });
            }
        }
        if total == 0 {
            self.batch.push(None);
            let stats = &vhost.stats;
            if settled {
                return Ok(Fate::Accepted);
            }
            if mandatory && !is_reply(&message) {
                stats.returned.fetch_add(1, Ordering::Relaxed);
                return Ok(Fate::Returned(message));
            }
            stats.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(Fate::Accepted);
        }
        if let Some(group) = first_group {
            self.join(group, index, true, true);
        } else if durable > 1 {
            message.always_log();
        }
        self.batch.push(Some(message));
        Ok(Fate::Accepted)
    }

    fn join(&mut self, group: usize, index: u32, only: bool, sole: bool) {
        self.groups[group].members.push(Member { index, only, sole });
    }

    fn group_of(&mut self, queue: &Arc<QueueHandle>) -> usize {
        // Mostly the last one, or one of a few.
        let found = self.groups.iter().rposition(|group| Arc::ptr_eq(&group.queue, queue));
        found.unwrap_or_else(|| {
            let members = self.spare.pop().unwrap_or_default();
            self.groups.push(Group { queue: Arc::clone(queue), members });
            self.groups.len() - 1
        })
    }

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

    fn remember(&mut self, message: &Message, route: Route) {
        if self.routes.len() >= CACHED_ROUTES_MAX {
            self.routes.clear();
        }
        write_key(&mut self.key, message);
        self.routes.insert(self.key.as_slice().into(), Arc::new(route));
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

/// Has the message wait. A copy of its own: whether a message is to be written at all is told by the
/// message itself, and queues that get it at once may be done with it first.
fn hold(turn: &mut Turn, holder: &Arc<Holder>, message: &Message, only: bool) {
    let due = held_until(message, turn.now).unwrap_or(turn.now);
    let anew = || message.with_properties(message.properties(), message.meta());
    holder.hold(turn, if only { message.clone() } else { anew() }, due);
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
