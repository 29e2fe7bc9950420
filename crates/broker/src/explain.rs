//! What would happen to a message: the publish path without its effects. Nothing is published, counted or remembered.
//!
//! The checks, the router and the dead letters are those of a publish; a queue is looked at after routing, so that its
//! numbers may be those of a moment later.
//! Absent: transactions, alarms (a publisher waits, but its message takes the same way).

use std::sync::Arc;

use leveret_exchanges::{
    Alternate, Envelope, ExchangeInfo, ExplainLimits, Explanation, Origin, Reached, RouteError, Scratch,
    Visit, Why, Word,
};
use leveret_message::stored::SettleReason;
use leveret_message::{Message, Millis};
use leveret_queues::Overflow;

use super::attributes::{MessageAttributes, held_until, released_headers};
use super::broker::Broker;
use super::copies;
use super::dead_letter::dead_letter;
pub use super::deduplication::DuplicateCheck;
use super::listing::BindingView;
use super::names::ExchangeName;
use super::policies::Matched;
use super::publish::not_routed;
use super::queue_handle::{QueueHandle, QueueView};
use super::refusal::{Access, Refusal, Resource};
use super::route::{Later, route_or_note};
use super::users::AccessRights;
use super::vhost::{Topology, Vhost};

/// Maximum queues listed and looked at.
pub const QUEUES_MAX: usize = 100;

/// Maximum queues listed for the dead letters of one queue.
pub const DEAD_LETTER_QUEUES_MAX: usize = 10;

/// 100,000 bindings with patterns of nine words are examined entirely, in some tens of milliseconds, during which the
/// vhost's topology is locked for reading.
const LIMITS: ExplainLimits = ExplainLimits { visits: 20, listed: 100, work: 10_000_000 };

/// A message to explain.
pub struct Asked<'a> {
    /// The message; its body does not matter.
    pub message: &'a Message,
    /// Size of its body in bytes.
    pub body_bytes: u64,
    /// The publisher's rights. `None`: it may not enter the vhost.
    pub rights: Option<&'a AccessRights>,
}

/// What would happen to a message.
pub struct Explained {
    /// The routing key, then those of CC and BCC.
    pub keys: Vec<Vec<u8>>,
    /// The publisher's permissions.
    pub permitted: Permitted,
    /// Why the publish would be refused. The rest is then what would happen otherwise.
    pub refusal: Option<Refusal>,
    /// The exchanges visited, at most 20 at publish and at most 20 after each delay.
    pub hops: Vec<Hop>,
    /// Number of exchanges visited.
    pub hop_count: usize,
    /// The queues that get the message, at most [`QUEUES_MAX`].
    pub queues: Vec<Arrival>,
    /// Number of queues that get it.
    pub queue_count: usize,
    /// The result.
    pub outcome: Outcome,
}

/// A publisher's permissions for one message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Permitted {
    /// It has permissions in the vhost.
    pub enter: bool,
    /// It may write to the exchange.
    pub write: bool,
    /// Its topic permissions allow the routing keys.
    pub topic: bool,
}

/// What would become of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The publish is refused: the channel is closed.
    Refused,
    /// The exchange has seen its id before and drops it.
    Duplicate,
    /// At least one queue is full and refuses it (`basic.nack` with confirms).
    Rejected,
    /// At least one queue gets it at once.
    Queued,
    /// It is held until its delay has elapsed.
    Held,
    /// No queue gets it: returned if it is mandatory, else dropped.
    Unroutable,
}

/// One exchange on the message's way.
pub struct Hop {
    /// The exchange.
    pub exchange: ExchangeInfo,
    /// How the message reached it.
    pub reached: Reached,
    /// Only after a delay.
    pub after_delay: bool,
    /// It holds the message until then.
    pub held_until: Option<Millis>,
    /// It picks one of its bindings.
    pub picks_one: bool,
    /// It keeps the message for later bindings.
    pub remembers: bool,
    /// What its deduplication finds. Only the exchange published to checks.
    pub duplicates: Option<DuplicateCheck>,
    /// The policies that apply.
    pub policies: Matched,
    /// Its alternate exchange.
    pub alternate: Option<Alternate>,
    /// The first matching bindings; of a topic exchange with the words of the pattern.
    pub matched: Vec<(BindingView, Vec<Word>)>,
    /// Number of matching bindings.
    pub matched_count: usize,
    /// The first other bindings.
    pub missed: Vec<(BindingView, Why)>,
    /// Number of other bindings.
    pub missed_count: usize,
    /// Number of bindings that were not examined.
    pub unexamined: usize,
}

/// A queue that gets the message.
pub struct Arrival {
    /// The queue.
    pub queue: Arc<QueueHandle>,
    /// Only after a delay.
    pub after_delay: bool,
    /// Its state.
    pub view: QueueView,
    /// The message's level there.
    pub priority: u8,
    /// Time to live there, in milliseconds.
    pub ttl_ms: Option<u64>,
    /// It is written to disk.
    pub written: bool,
    /// A length limit is exceeded with the message: what happens then.
    pub full: Option<Overflow>,
    /// What the queue's deduplication finds.
    pub duplicates: Option<DuplicateCheck>,
    /// Where it goes if it dies there.
    pub dead_letters: Option<DeadLetterWay>,
}

/// Where a queue's dead letters go, by the example of the message expiring there.
pub struct DeadLetterWay {
    /// The dead-letter exchange.
    pub exchange: ExchangeName,
    /// Whether it exists; otherwise dead letters are dropped.
    pub exists: bool,
    /// Their routing keys.
    pub keys: Vec<Vec<u8>>,
    /// It holds them because of a delay.
    pub held: bool,
    /// The queues, at most [`DEAD_LETTER_QUEUES_MAX`].
    pub queues: Vec<Arc<QueueHandle>>,
    /// Number of queues.
    pub queue_count: usize,
    /// Number of queues left out because they dropped the message before, with no client involved.
    pub cycles: usize,
}

/// One walk through the exchanges, from a publish or a release.
struct Walk {
    hops: Vec<Hop>,
    hop_count: usize,
    queues: Vec<Arc<QueueHandle>>,
    queue_count: usize,
    /// The exchanges that hold the message.
    holding: Vec<ExchangeName>,
}

impl Broker {
    /// What a publish of this message would do.
    pub fn explain(&self, vhost: &Vhost, asked: &Asked<'_>) -> Explained {
        let (now, message) = (self.now(), asked.message);
        let (copies, mut refusal) = match copies::keys(message) {
            Ok(copies) => (copies, None),
            Err(refusal) => (None, Some(refusal)),
        };
        let mut keys = vec![message.routing_key().to_vec()];
        keys.extend(copies.iter().flat_map(|copies| copies.keys.iter().cloned()));
        let permitted = permitted(vhost, asked, &keys, &mut refusal);
        let mut explained = Explained {
            keys,
            permitted,
            refusal,
            hops: Vec::new(),
            hop_count: 0,
            queues: Vec::new(),
            queue_count: 0,
            outcome: Outcome::Unroutable,
        };
        let origin = Origin::Client;
        let walked = match walk(vhost, message, message.exchange(), &explained.keys, now, origin) {
            Err(error) => {
                let refusal = not_routed(error, message, &vhost.name);
                explained.refusal.get_or_insert(refusal);
                walk(vhost, message, message.exchange(), &explained.keys, now, Origin::Broker)
            }
            walked => walked,
        };
        let Ok(walked) = walked else {
            explained.outcome = Outcome::Refused;
            return explained;
        };
        let holding = walked.holding.clone();
        let at_once = walked.queue_count;
        explained.add(walked, vhost, asked, now, false);
        explained.after_delays(&holding, vhost, asked, now);
        explained.outcome = explained.concluded(at_once, !holding.is_empty());
        explained
    }
}

/// Checks as a publish does; the first refusal counts.
fn permitted(vhost: &Vhost, asked: &Asked<'_>, keys: &[Vec<u8>], refusal: &mut Option<Refusal>) -> Permitted {
    let exchange = String::from_utf8_lossy(asked.message.exchange());
    let Some(rights) = asked.rights else {
        refusal
            .get_or_insert_with(|| Refusal::Forbidden("the user has no permissions in the vhost".to_owned()));
        return Permitted { enter: false, write: false, topic: false };
    };
    let write = rights.check(Access::Write, &Resource::Exchange(ExchangeName::new(&exchange)));
    let topic = vhost.check_topics(rights, Access::Write, &exchange, keys.iter().map(Vec::as_slice));
    let permitted = Permitted { enter: true, write: write.is_ok(), topic: topic.is_ok() };
    if refusal.is_none() {
        *refusal = write.and(topic).err();
    }
    permitted
}

/// Routes without effects.
fn walk(
    vhost: &Vhost,
    message: &Message,
    exchange: &[u8],
    keys: &[Vec<u8>],
    now: Millis,
    origin: Origin,
) -> Result<Walk, RouteError> {
    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let attributes = MessageAttributes { message, now };
    let envelope = Envelope { exchange, keys: &keys, attributes: &attributes, origin };
    let mut scratch = Scratch::new(rand::random());
    let topology = vhost.topology.read();
    let explained = topology.router.explain(&envelope, &mut scratch, LIMITS)?;
    let Explanation { visits, visit_count, queues } = explained;
    let listed = queues.iter().filter_map(|slot| topology.queues.get(*slot as usize));
    let listed = listed.filter(|queue| !queue.hidden).take(QUEUES_MAX).cloned().collect();
    let holding = visits.iter().filter(|visit| visit.held);
    let holding = holding.map(|visit| ExchangeName::new(&visit.exchange.name)).collect();
    let due = held_until(message, now);
    let hops = visits.into_iter().map(|visit| {
        let mut hop = Hop::of(&topology, visit, due);
        let features = topology.features.get(hop.exchange.name.as_bytes());
        if origin == Origin::Client && hop.reached == Reached::Published {
            hop.duplicates = features.and_then(|features| features.look_for_duplicate(message, now));
        }
        hop
    });
    let mut hops: Vec<Hop> = hops.collect();
    drop(topology);
    for hop in &mut hops {
        hop.policies = vhost.policies_of_exchange(&hop.exchange.name);
    }
    Ok(Walk { hops, hop_count: visit_count, queue_count: queues.len(), queues: listed, holding })
}

impl Hop {
    fn of(topology: &Topology, visit: Visit<u32>, due: Option<Millis>) -> Self {
        let matched = visit.matched.into_iter().filter_map(|matched| {
            BindingView::of(topology, matched.binding).map(|binding| (binding, matched.words))
        });
        let missed = visit
            .missed
            .into_iter()
            .filter_map(|miss| BindingView::of(topology, miss.binding).map(|binding| (binding, miss.why)));
        Self {
            reached: visit.reached,
            after_delay: false,
            held_until: due.filter(|_| visit.held),
            picks_one: visit.picks_one,
            remembers: !visit.held && visit.exchange.history_length().is_some(),
            duplicates: None,
            policies: Matched::default(),
            alternate: visit.alternate,
            matched: matched.collect(),
            matched_count: visit.matched_count,
            missed: missed.collect(),
            missed_count: visit.missed_count,
            unexamined: visit.unexamined,
            exchange: visit.exchange,
        }
    }
}

impl Explained {
    fn add(&mut self, walk: Walk, vhost: &Vhost, asked: &Asked<'_>, now: Millis, after_delay: bool) {
        self.hop_count += walk.hop_count;
        self.queue_count += walk.queue_count;
        self.hops.extend(walk.hops.into_iter().map(|hop| Hop { after_delay, ..hop }));
        let room = QUEUES_MAX.saturating_sub(self.queues.len());
        let arrivals = walk.queues.into_iter().take(room);
        self.queues.extend(arrivals.map(|queue| arrival(vhost, queue, asked, now, after_delay)));
    }

    /// Goes on where exchanges hold the message, as its release would.
    fn after_delays(&mut self, holding: &[ExchangeName], vhost: &Vhost, asked: &Asked<'_>, now: Millis) {
        let Some(due) = held_until(asked.message, now) else { return };
        let headers = released_headers(asked.message);
        let message = headers
            .map_or_else(|| asked.message.clone(), |headers| copies::with_headers(asked.message, &headers));
        let asked = Asked { message: &message, ..*asked };
        for exchange in holding {
            let name = exchange.as_str().as_bytes();
            let walked = walk(vhost, &message, name, &self.keys, due, Origin::Broker);
            if let Ok(walked) = walked {
                self.add(walked, vhost, &asked, due, true);
            }
        }
    }

    fn concluded(&self, at_once: usize, held: bool) -> Outcome {
        let duplicate = |hop: &Hop| hop.duplicates.as_ref().is_some_and(|found| found.duplicate);
        let refuses = |arrival: &Arrival| {
            !arrival.after_delay && arrival.full.is_some_and(|overflow| overflow != Overflow::DropHead)
        };
        if self.refusal.is_some() {
            Outcome::Refused
        } else if self.hops.iter().any(duplicate) {
            Outcome::Duplicate
        } else if self.queues.iter().any(refuses) {
            Outcome::Rejected
        } else if at_once > 0 {
            Outcome::Queued
        } else if held {
            Outcome::Held
        } else {
            Outcome::Unroutable
        }
    }
}

fn arrival(
    vhost: &Vhost,
    queue: Arc<QueueHandle>,
    asked: &Asked<'_>,
    now: Millis,
    after_delay: bool,
) -> Arrival {
    let (view, meta) = (queue.view(), asked.message.meta());
    let (settings, counts) = (&view.settings, &view.counts);
    let full = settings.exceeded_by(
        counts.ready + counts.retrying + 1,
        (counts.ready_bytes + counts.retrying_bytes).saturating_add(asked.body_bytes),
    );
    Arrival {
        after_delay,
        priority: settings.priority_level(meta.priority),
        ttl_ms: settings.ttl_ms(meta.expiration_ms),
        written: settings.durable && meta.persistent,
        full: full.then_some(settings.overflow),
        duplicates: queue.look_for_duplicate(asked.message, now),
        dead_letters: dead_letter_way(vhost, &queue, asked.message, now),
        view,
        queue,
    }
}

fn dead_letter_way(
    vhost: &Vhost,
    source: &QueueHandle,
    message: &Message,
    now: Millis,
) -> Option<DeadLetterWay> {
    let rule = source.dead_letter_rule()?;
    let letter = dead_letter(message, &source.name, SettleReason::Expired, &rule, now, false);
    let mut keys = vec![letter.message.routing_key()];
    keys.extend(letter.more_keys.iter().map(Vec::as_slice));
    let (mut queues, mut queue_count, mut cycles) = (Vec::new(), 0, 0);
    let exchange = rule.exchange.as_str().as_bytes();
    let mut later = Later::default();
    let found = |queue: &Arc<QueueHandle>| {
        if letter.is_cycle(&queue.name) {
            cycles += 1;
            return;
        }
        queue_count += 1;
        if queues.len() < DEAD_LETTER_QUEUES_MAX && !queue.hidden {
            queues.push(Arc::clone(queue));
        }
    };
    let routed =
        route_or_note(vhost, now, &letter.message, exchange, &keys, Origin::Broker, Some(&mut later), found);
    Some(DeadLetterWay {
        exchange: rule.exchange.clone(),
        exists: routed.is_ok(),
        held: routed.is_ok_and(|routed| !routed.delay_rooms.is_empty()),
        keys: keys.into_iter().map(<[u8]>::to_vec).collect(),
        queues,
        queue_count,
        cycles,
    })
}
