//! A message's way through the exchanges of its vhost.

use std::cell::RefCell;
use std::sync::Arc;

use leveret_exchanges::{Envelope, ExchangeId, Origin, RouteError, RouteInfo, Scratch};
use leveret_queues::{Message, Millis};

use super::attributes::MessageAttributes;
use super::delay_room::DelayRoom;
use super::exchange_features::ExchangeFeatures;
use super::queue_handle::QueueHandle;
use super::vhost::{Topology, Vhost};

thread_local! {
    static SCRATCH: RefCell<(Scratch<u32>, Vec<u32>)> =
        RefCell::new((Scratch::new(rand::random()), Vec::new()));
}

/// What routing told besides the queues.
#[derive(Default)]
pub(super) struct Routed {
    /// The same for all messages with this exchange and key.
    pub(super) cacheable: bool,
    /// The exchange has seen the message's id before.
    pub(super) duplicate: bool,
    /// Where it has to wait before it is routed further.
    pub(super) delay_rooms: Vec<Arc<DelayRoom>>,
}

/// What exchanges on a message's way do besides routing once it is published for good: a transaction that is rolled
/// back must leave no trace.
#[derive(Default)]
pub(super) struct Later {
    /// The message's own exchange looks whether it has seen its id.
    pub(super) deduplicates: bool,
    /// Exchanges that remember the message.
    pub(super) histories: Vec<Box<[u8]>>,
}

/// Routes one message through the vhost's exchanges. `found` gets the queues.
pub(super) fn route(
    vhost: &Vhost,
    now: Millis,
    message: &Message,
    exchange: &[u8],
    keys: &[&[u8]],
    origin: Origin,
    found: impl FnMut(&Arc<QueueHandle>),
) -> Result<Routed, RouteError> {
    route_or_note(vhost, now, message, exchange, keys, origin, None, found)
}

/// The same; what exchanges would do besides routing is noted in `later`, if that is given, instead of being done.
#[expect(clippy::too_many_arguments, reason = "a message, its way, and what to do on it")]
pub(super) fn route_or_note(
    vhost: &Vhost,
    now: Millis,
    message: &Message,
    exchange: &[u8],
    keys: &[&[u8]],
    origin: Origin,
    later: Option<&mut Later>,
    mut found: impl FnMut(&Arc<QueueHandle>),
) -> Result<Routed, RouteError> {
    SCRATCH.with_borrow_mut(|(scratch, slots)| {
        let topology = vhost.topology.read();
        let envelope = Envelope { exchange, keys, attributes: &MessageAttributes { message, now }, origin };
        let info = topology.router.route(&envelope, scratch, slots)?;
        let mut routed = Routed { cacheable: info.cacheable, ..Routed::default() };
        if !topology.features.is_empty()
            && !topology.beside_routing(&mut routed, later, message, &envelope, now, info, scratch)
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
    /// Does what the exchanges on a message's way do besides routing, or notes it. `false`: it goes nowhere.
    #[expect(clippy::too_many_arguments, reason = "a message, its way, and what to do on it")]
    fn beside_routing(
        &self,
        routed: &mut Routed,
        mut later: Option<&mut Later>,
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
            if let Some(later) = &mut later {
                later.deduplicates = true;
            } else if entry.is_duplicate(message, now) {
                routed.duplicate = true;
                return false;
            }
        }
        let features = |id: &ExchangeId| self.features.get(self.router.exchange_at(*id)?.name.as_bytes());
        if info.remembered {
            let histories = scratch.histories().iter();
            match later {
                Some(later) => {
                    let names = histories.filter_map(|id| self.router.exchange_at(*id));
                    later.histories.extend(names.map(|exchange| exchange.name.as_bytes().into()));
                }
                None => histories.filter_map(features).for_each(|features| features.remember(message)),
            }
        }
        if info.delayed {
            let delaying = scratch.delayed().iter().filter_map(features);
            routed.delay_rooms.extend(delaying.filter_map(|features| features.delay_room.clone()));
        }
        true
    }

    /// Does what was noted. `false`: the message goes nowhere.
    pub(super) fn do_later(&self, later: &Later, message: &Message, now: Millis) -> bool {
        let features = |name: &[u8]| self.features.get(name);
        if later.deduplicates
            && features(message.exchange()).is_some_and(|entry| entry.is_duplicate(message, now))
        {
            return false;
        }
        let remembering = later.histories.iter().filter_map(|name| features(name));
        remembering.for_each(|entry: &ExchangeFeatures| entry.remember(message));
        true
    }
}
