//! Messages that the broker moves itself: dead letters (`burying.rs`), what is redriven, and delayed ones that are due.
//! Each leaves its place for all of its targets in one step of the store.

use std::sync::Arc;

use leveret_exchanges::Origin;
use leveret_queues::Message;
use leveret_queues::store::Record;

use super::attributes::{held_until, released_headers};
use super::broker::Broker;
use super::copies;
use super::delay_room::DelayRoom;
use super::publish::route;
use super::queue_handle::{Ends, QueueHandle, Released, move_message};
use super::turn::Turn;

/// Where the broker moves a message.
#[derive(Default)]
pub(super) struct Targets {
    pub(super) queues: Vec<Arc<QueueHandle>>,
    pub(super) delay_rooms: Vec<Arc<DelayRoom>>,
}

impl Broker {
    /// Moves a message to queues and waiting rooms, and out of where it was, in one step of the store.
    /// `settle` hears whether any of them took it. Returns the same.
    pub(super) fn move_to(
        &self,
        turn: &mut Turn,
        message: &Message,
        targets: Targets,
        settle: impl FnOnce(bool) -> Option<Record>,
    ) -> bool {
        let Targets { queues, mut delay_rooms } = targets;
        // Delay rooms' locks come before queues', in order of their ids.
        delay_rooms.sort_by_key(|delay_room| delay_room.id);
        let mut admissions = Vec::new();
        for delay_room in &delay_rooms {
            // Whether the message is to be written is asked no more: it is, once for all of them.
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
        // In any case a copy: whether a message is to be written is told by the message itself.
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
            // The clock may have been set back; the message does not wait again.
            let now = turn.now.max(due);
            let exchange = exchange.as_str().as_bytes();
            // An exchange that is gone meanwhile drops the message, as a missing binding does.
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
