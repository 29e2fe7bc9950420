//! Messages moved by the broker itself: dead letters (`burying.rs`), redriven messages, and due delayed ones. Each
//! leaves its source for all its targets in one step of the store.

use std::sync::Arc;

use leveret_exchanges::Origin;
use leveret_message::Message;
use leveret_store::Record;

use super::attributes::{held_until, released_headers};
use super::broker::Broker;
use super::copies;
use super::delay_room::DelayRoom;
use super::publish::route;
use super::queue_handle::{Ends, QueueHandle, Released, move_message};
use super::turn::Turn;

/// Targets of a moved message.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) queues: Vec<Arc<QueueHandle>>,
    pub(super) delay_rooms: Vec<Arc<DelayRoom>>,
}

impl Broker {
    /// Moves a message to queues and delay rooms, and out of its source, in one step of the store. `settle` is called
    /// with whether any of them took it, which is also the result.
    pub(super) fn move_to(
        &self,
        turn: &mut Turn,
        message: &Message,
        targets: Targets,
        settle: impl FnOnce(bool) -> Option<Record>,
    ) -> bool {
        let Targets { queues, mut delay_rooms } = targets;
        // Delay rooms are locked before queues, in order of their ids.
        delay_rooms.sort_by_key(|delay_room| delay_room.id);
        let mut admissions = Vec::new();
        for delay_room in &delay_rooms {
            // No write decision is left: the message is written, once for all of them.
            message.always_log();
            let due = held_until(message, turn.now).unwrap_or(turn.now);
            admissions.extend(delay_room.admit(turn, message.clone(), due));
        }
        let held = !admissions.is_empty();
        let taken =
            move_message(turn, self.environment(), message, queues, held, |taken| settle(taken || held));
        for admission in admissions {
            admission.done(true);
        }
        taken || held
    }
}

impl Ends for Broker {
    fn finish(&self, turn: &mut Turn) {
        self.finish(turn);
    }

    fn release(&self, turn: &mut Turn, released: Released<'_>) {
        let Released { vhost, exchange, due, message, settle, may_have_left } = released;
        let headers = released_headers(message);
        // Always a copy: clones share one write state; this target needs its own.
        let mut message = match headers {
            Some(headers) => copies::with_headers(message, &headers),
            None => message.with_properties(message.properties(), message.meta()),
        };
        let copies = copies::keys(&message).ok().flatten();
        let mut keys = vec![message.routing_key()];
        keys.extend(copies.iter().flat_map(|copies| copies.keys.iter().map(Vec::as_slice)));
        let mut targets = Targets::default();
        let vhost = self.vhost(vhost.as_str());
        if let Some(vhost) = &vhost {
            // Even if the clock was set back, the message does not wait again.
            let now = turn.now.max(due);
            let exchange = exchange.as_str().as_bytes();
            // If the exchange was deleted meanwhile, the message is dropped, as with a missing binding.
            let _ = route(vhost, now, &message, exchange, &keys, Origin::Broker, |queue| {
                targets.queues.push(Arc::clone(queue));
            });
        }
        if let Some(without) = copies.and_then(|copies| copies.without_bcc) {
            message = without;
        }
        if message.meta().died
            && let Some(vhost) = &vhost
            && let Some(multiplied) = self.bound_copies(vhost, exchange.as_str(), &message, &mut targets)
        {
            message = multiplied;
        }
        if may_have_left {
            message = copies::as_redelivered(&message);
        }
        self.move_to(turn, &message, targets, |_| settle);
    }
}
