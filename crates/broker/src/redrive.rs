//! Redrive: moves a queue's messages back to where they came from, or elsewhere, in order.
//!
//! Invariants: a message is in its source until it is in a target; after a crash it is in one of the two, as with dead
//! letters; a message that no target takes stays at its old position.
//! Absent: loops over messages. The caller takes them one by one, and returns those that stay.

use std::sync::Arc;

use leveret_exchanges::{Origin, RouteError};
use leveret_message::{Message, ShortText};
use leveret_queues::Delivery;

use super::broker::Broker;
use super::copies::as_redelivered;
use super::dead_letter::{LastDeath, last_death};
use super::names::{ExchangeName, QueueName};
use super::publish::route;
use super::queue_handle::QueueHandle;
use super::refusal::{Access, Refusal, Resource};
use super::transfer::Targets;
use super::turn::Turn;
use super::users::AccessRights;
use super::vhost::Vhost;

/// Target of a redrive.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Each message to the queue that dropped it last.
    Origin,
    /// To one queue.
    Queue(QueueName),
    /// Through an exchange, with this key or the message's original one.
    Exchange(ExchangeName, Option<ShortText>),
}

/// Filter on the last death of dead letters; `None` matches all.
#[derive(Clone, Debug, Default)]
pub struct Only {
    /// Name of the queue that dropped it.
    pub queue: Option<String>,
    /// Reason: `rejected`, `expired`, `maxlen`, `delivery_limit`.
    pub reason: Option<String>,
    /// Its routing key there.
    pub routing_key: Option<String>,
}

impl Only {
    /// Whether the filter matches the message.
    pub fn means(&self, message: &Message) -> bool {
        if self.queue.is_none() && self.reason.is_none() && self.routing_key.is_none() {
            return true;
        }
        let fits = |wanted: &Option<String>, has: &[u8]| {
            wanted.as_ref().is_none_or(|wanted| wanted.as_bytes() == has)
        };
        last_death(message).is_some_and(|last| {
            fits(&self.queue, last.queue.as_bytes())
                && fits(&self.reason, last.reason.as_bytes())
                && fits(&self.routing_key, last.routing_key.as_str().as_bytes())
        })
    }
}

/// Why a message stays where it is.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Stays {
    /// It was never dead-lettered, so it has no origin.
    #[error("it is no dead letter: nothing says where it came from")]
    NoOrigin,
    /// Its origin is this queue itself.
    #[error("it would come back to the same queue")]
    SameQueue,
    /// The queue no longer exists.
    #[error("no queue '{0}'")]
    NoQueue(QueueName),
    /// The exchange does not exist.
    #[error("no exchange '{0}'")]
    NoExchange(ExchangeName),
    /// No binding of the exchange matches.
    #[error("no queue is bound to '{0}' for the key '{1}'")]
    Unroutable(ExchangeName, String),
    /// The caller may not publish it there.
    #[error("{0}")]
    Denied(String),
    /// The queue is full and refuses it.
    #[error("the queue is full and refuses messages")]
    Refused,
}

impl Stays {
    /// Whether the reason concerns only this message: the next may be movable.
    pub const fn is_of_this_message(&self) -> bool {
        matches!(
            self,
            Self::NoOrigin | Self::SameQueue | Self::NoQueue(_) | Self::Unroutable(..) | Self::Denied(_)
        )
    }
}

impl Destination {
    /// Whether the caller may publish there, apart from routing keys.
    pub fn check(&self, rights: &AccessRights) -> Result<(), Refusal> {
        let exchange = match self {
            Self::Origin | Self::Queue(_) => ExchangeName::new(""),
            Self::Exchange(name, _) => name.clone(),
        };
        rights.check(Access::Write, &Resource::Exchange(exchange))
    }
}

impl Broker {
    /// Moves a message that was [taken](QueueHandle::get) from `source`, in one step of the store. The turn must be
    /// [finished](Self::finish). A message that stays must still be returned by the caller. `rights` must permit
    /// publishing it to the destination.
    pub fn redrive(
        &self,
        vhost: &Vhost,
        rights: &AccessRights,
        turn: &mut Turn,
        source: &Arc<QueueHandle>,
        delivery: &Delivery,
        to: &Destination,
    ) -> Result<(), Stays> {
        let Some(token) = delivery.token else { return Ok(()) };
        to.check(rights).map_err(|refusal| Stays::Denied(refusal.to_string()))?;
        let origin = last_death(&delivery.message);
        let (message, targets) = match to {
            Destination::Origin => {
                let origin = origin.ok_or(Stays::NoOrigin)?;
                let queue = one_queue(vhost, source, &QueueName::new(&origin.queue))?;
                (origin.restored(&delivery.message), queue)
            }
            Destination::Queue(name) => {
                let queue = one_queue(vhost, source, name)?;
                let message = match origin {
                    Some(origin) => origin.restored(&delivery.message),
                    None => anew(&delivery.message),
                };
                (message, queue)
            }
            Destination::Exchange(name, key) => {
                through(vhost, rights, turn, source, &delivery.message, origin.as_ref(), name, key.as_ref())?
            }
        };
        let (settled, may_have_left) = source.to_move(token);
        let message = if may_have_left { as_redelivered(&message) } else { message };
        if self.move_to(turn, &message, targets, |taken| settled.filter(|_| taken)) {
            source.forget(turn, token);
            Ok(())
        } else {
            Err(Stays::Refused)
        }
    }
}

/// A copy: clones share one write state; this target needs its own.
fn anew(message: &Message) -> Message {
    message.with_properties(message.properties(), message.meta())
}

fn one_queue(vhost: &Vhost, source: &Arc<QueueHandle>, name: &QueueName) -> Result<Targets, Stays> {
    let found = vhost.queue(name.as_str()).filter(|queue| !queue.hidden && !queue.is_gone());
    let queue = found.ok_or_else(|| Stays::NoQueue(name.clone()))?;
    if Arc::ptr_eq(&queue, source) {
        return Err(Stays::SameQueue);
    }
    Ok(Targets { queues: vec![queue], delay_rooms: Vec::new() })
}

#[expect(clippy::too_many_arguments, reason = "of one message")]
fn through(
    vhost: &Vhost,
    rights: &AccessRights,
    turn: &Turn,
    source: &Arc<QueueHandle>,
    message: &Message,
    origin: Option<&LastDeath>,
    exchange: &ExchangeName,
    key: Option<&ShortText>,
) -> Result<(Message, Targets), Stays> {
    let own = origin.map_or_else(|| message.short_routing_key(), |origin| origin.routing_key.short());
    let key = key.map_or(own, ShortText::short);
    vhost
        .check_topics(rights, Access::Write, exchange.as_str(), [key.bytes()])
        .map_err(|refusal| Stays::Denied(refusal.to_string()))?;
    let message = message.republished(exchange.short(), key, message.properties(), message.meta());
    let mut targets = Targets::default();
    let name = exchange.as_str().as_bytes();
    let routed = route(vhost, turn.now, &message, name, &[key.bytes()], Origin::Client, |queue| {
        targets.queues.push(Arc::clone(queue));
    });
    let refused = |error| match error {
        RouteError::Internal => Stays::Denied(format!("exchange '{exchange}' is internal")),
        RouteError::NoSuchExchange => Stays::NoExchange(exchange.clone()),
    };
    targets.delay_rooms = routed.map_err(refused)?.delay_rooms;
    if targets.queues.iter().any(|queue| Arc::ptr_eq(queue, source)) {
        return Err(Stays::SameQueue);
    }
    if targets.queues.is_empty() && targets.delay_rooms.is_empty() {
        return Err(Stays::Unroutable(exchange.clone(), String::from_utf8_lossy(key.bytes()).into_owned()));
    }
    Ok((message, targets))
}
