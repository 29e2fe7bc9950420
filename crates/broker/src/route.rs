//! Routing of a message through the exchanges of its vhost.

use std::cell::RefCell;
use std::sync::Arc;

use leveret_exchanges::{Envelope, ExchangeId, Origin, RouteError, RouteInfo, Scratch};
use leveret_message::{Message, Millis};

use super::attributes::MessageAttributes;
use super::delay_room::DelayRoom;
use super::exchange_features::ExchangeFeatures;
use super::queue_handle::QueueHandle;
use super::vhost::{Topology, Vhost};

thread_local! {
    static SCRATCH: RefCell<(Scratch<u32>, Vec<u32>)> =
        RefCell::new((Scratch::new(rand::random()), Vec::new()));
}

/// Routing results besides the queues.
#[derive(Default)]
pub(super) struct Routed {
    /// Valid for all messages with this exchange and key.
    pub(super) cacheable: bool,
    /// The exchange has seen the message's id before.
    pub(super) duplicate: bool,
    /// Hold the message before it is routed further.
    pub(super) delay_rooms: Vec<Arc<DelayRoom>>,
}

/// Side effects of exchanges on a message's path, deferred until it is published for good: a rolled-back transaction
/// must leave no trace.
#[derive(Default)]
pub(super) struct Later {
    /// The message's own exchange checks its id for duplicates.
    pub(super) deduplicates: bool,
    /// Exchanges that remember the message.
    pub(super) histories: Vec<Box<[u8]>>,
}

/// Routes one message through the vhost's exchanges. `found` is called with the queues.
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

/// As `route`; with `later`, side effects of exchanges are recorded there instead of carried out.
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
    /// Carries out or records the side effects of exchanges on the message's path. Returns `false` if the message is
    /// dropped.
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

    /// Carries out recorded side effects. Returns `false` if the message is dropped.
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
