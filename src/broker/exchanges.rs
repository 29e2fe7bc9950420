//! Exchanges come and go (rabbitmq-semantics 1d, 2a-2d).

use leveret_exchanges::{ExchangeSpec, Kind, Router, names};
use leveret_queues::QueueId;

use super::Caller;
use super::arguments::{FieldTable, get, text, to_args, type_name};
use super::broker::Broker;
use super::deduplication::DeduplicationRule;
use super::definitions::{Changes, DelayDefinition, ExchangeDefinition, Key};
use super::holder::Holder;
use super::names::{ExchangeName, is_reserved};
use super::policies::apply_to_exchange;
use super::refusal::{Access, Refusal, Resource};
use super::turn::Turn;
use super::vhost::Vhost;

/// The argument that names where what cannot be routed goes.
const ALTERNATE: &str = "alternate-exchange";

/// `exchange.declare`.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeRequest<'a> {
    /// The type's name.
    pub kind: &'a str,
    /// Survives a restart.
    pub durable: bool,
    /// Goes when the last binding from it is removed.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// Arguments.
    pub arguments: &'a FieldTable,
}

impl Broker {
    /// Whether the exchange is there (`exchange.declare` with `passive`).
    pub fn find_exchange(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &ExchangeName,
    ) -> Result<(), Refusal> {
        if names::is_default(name.as_str()) {
            return Err(Refusal::DefaultExchange);
        }
        caller.rights.check_any(&Resource::Exchange(name.clone()))?;
        match vhost.topology.read().router.exchange(name.as_str()) {
            Some(_) => Ok(()),
            None => Err(not_found(vhost, name)),
        }
    }

    /// Declares an exchange. A durable one is on disk before anybody sees it: one that delays takes
    /// messages into its keeping.
    pub fn declare_exchange(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &ExchangeName,
        request: &ExchangeRequest<'_>,
    ) -> Result<(), Refusal> {
        if names::is_default(name.as_str()) {
            return Err(Refusal::DefaultExchange);
        }
        super::check_text("exchange", name.as_str())?;
        let resource = Resource::Exchange(name.clone());
        caller.rights.check(Access::Configure, &resource)?;
        let alternate = get(request.arguments, ALTERNATE).map(|value| {
            text(value).ok_or_else(|| Refusal::ArgumentType {
                argument: ALTERNATE,
                given: type_name(value),
                resource: resource.clone(),
                vhost: vhost.name.clone(),
            })
        });
        let alternate = alternate.transpose()?;
        let deduplication = DeduplicationRule::read(request.arguments).map_err(|(argument, why)| {
            Refusal::InvalidArgument {
                argument: argument.to_owned(),
                resource: resource.clone(),
                vhost: vhost.name.clone(),
                why,
            }
        })?;
        let _change = vhost.change()?;
        let spec = ExchangeSpec {
            kind: request.kind,
            durable: request.durable,
            auto_delete: request.auto_delete,
            internal: request.internal,
            args: to_args(request.arguments),
        };
        let exists = vhost.topology.read().router.exchange(name.as_str()).is_some();
        if exists {
            let same = vhost.topology.write().router.declare(name.as_str(), spec);
            return same.map(|_| ()).map_err(|refusal| translated(vhost, refusal));
        }
        if is_reserved(name.as_str()) {
            return Err(Refusal::ReservedName(resource));
        }
        if let Some(alternate) = alternate {
            caller.rights.check(Access::Read, &resource)?;
            caller.rights.check(Access::Write, &Resource::Exchange(ExchangeName::new(alternate)))?;
        }
        self.has_room_for_exchange(name)?;
        let holder = if request.kind == Kind::DELAYED {
            let id = QueueId(self.next_queue_id()?);
            Some(Holder::new(id, &vhost.name, name, request.durable, self.environment()))
        } else {
            None
        };
        if request.durable {
            // A router of its own tells whether the declaration is sound before it is written.
            Router::<u32>::new()
                .declare(name.as_str(), spec.clone())
                .map_err(|refusal| translated(vhost, refusal))?;
            self.commit(&definitions_of(vhost, name, request, holder.as_deref()))?;
        }
        let mut topology = vhost.topology.write();
        topology.router.declare(name.as_str(), spec).map_err(|refusal| translated(vhost, refusal))?;
        topology.install_features(name.as_str(), deduplication, holder);
        apply_to_exchange(&mut topology, &vhost.policies(), name.as_str());
        drop(topology);
        vhost.changed();
        Ok(())
    }

    /// Deletes an exchange. One that is not there is deleted already.
    pub fn delete_exchange(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &ExchangeName,
        if_unused: bool,
    ) -> Result<(), Refusal> {
        if names::is_default(name.as_str()) {
            return Err(Refusal::DefaultExchange);
        }
        if is_reserved(name.as_str()) {
            return Err(Refusal::SystemExchange(name.clone(), vhost.name.clone()));
        }
        caller.rights.check(Access::Configure, &Resource::Exchange(name.clone()))?;
        let _change = vhost.change()?;
        let removed = vhost
            .topology
            .write()
            .router
            .delete(name.as_str(), if_unused)
            .map_err(|refusal| translated(vhost, refusal))?;
        let Some(removed) = removed else { return Ok(()) };
        vhost.changed();
        let mut changes = Changes::default();
        self.forget_removed(vhost, &removed, None, &mut changes);
        self.commit(&changes)
    }
}

impl Broker {
    /// Refuses one more exchange when there are as many as there may be. Vhosts are counted one after the
    /// other: declarations in several at the same instant may go over by as many.
    pub(super) fn has_room_for_exchange(&self, name: &ExchangeName) -> Result<(), Refusal> {
        let Some(max) = self.limits().exchanges_max else { return Ok(()) };
        if self.vhosts().iter().map(|vhost| vhost.exchange_count()).sum::<usize>() < max {
            return Ok(());
        }
        Err(Refusal::Precondition(format!(
            "cannot declare exchange '{name}': exchange limit of {max} is reached"
        )))
    }

    /// What the exchange did besides routing ends, and its counts; its delayed messages go. `true`: it had a place for those.
    pub(super) fn close_features(&self, vhost: &Vhost, exchange: &str) -> bool {
        let mut topology = vhost.topology.write();
        topology.stats.remove(exchange.as_bytes());
        let features = topology.features.remove(exchange.as_bytes());
        drop(topology);
        let Some(holder) = features.and_then(|features| features.holder) else { return false };
        let mut turn = Turn::at((self.environment().clock)());
        holder.close(&mut turn);
        true
    }
}

/// What is stored of a durable exchange.
fn definitions_of(
    vhost: &Vhost,
    name: &ExchangeName,
    request: &ExchangeRequest<'_>,
    holder: Option<&Holder>,
) -> Changes {
    let mut changes = Changes::default();
    let definition = ExchangeDefinition {
        vhost: vhost.name.as_str().to_owned(),
        name: name.as_str().to_owned(),
        kind: request.kind.to_owned(),
        auto_delete: request.auto_delete,
        internal: request.internal,
        arguments: request.arguments.clone(),
    };
    changes.put(Key::exchange(&vhost.name, name), &definition);
    if let Some(holder) = holder {
        let definition = DelayDefinition {
            vhost: vhost.name.as_str().to_owned(),
            exchange: name.as_str().to_owned(),
            id: holder.id.0,
        };
        changes.put(Key::delay(&vhost.name, name), &definition);
    }
    changes
}

pub(super) fn not_found(vhost: &Vhost, name: &ExchangeName) -> Refusal {
    Refusal::NotFound { resource: Resource::Exchange(name.clone()), vhost: vhost.name.clone() }
}

/// The router's refusal in the broker's words.
pub(super) fn translated(vhost: &Vhost, refusal: leveret_exchanges::Refusal) -> Refusal {
    use leveret_exchanges::Refusal as R;
    let resource = |name: &str| Resource::Exchange(ExchangeName::new(name));
    match refusal {
        R::UnknownKind(kind) => Refusal::UnknownExchangeType(kind),
        R::InvalidArgument(text) | R::InvalidBinding(text) => Refusal::Precondition(text),
        R::Inequivalent { exchange, field, wanted, current } => Refusal::Inequivalent {
            field: field.to_owned(),
            resource: resource(&exchange),
            vhost: vhost.name.clone(),
            received: wanted,
            current,
        },
        R::InUse(exchange) => Refusal::InUse { resource: resource(&exchange), vhost: vhost.name.clone() },
        R::NoSuchExchange(exchange) => not_found(vhost, &ExchangeName::new(&exchange)),
        R::NoSuchQueue => Refusal::Precondition("the queue was deleted meanwhile".to_owned()),
        R::DefaultExchange => Refusal::DefaultExchange,
    }
}
