//! Declaring and deleting exchanges (docs/semantics.md, Declaring again).

use std::sync::Arc;

use leveret_exchanges::{ExchangeSpec, Kind, Router, names};
use leveret_message::QueueId;
use leveret_message::short::SHORT_BYTES_MAX;

use super::Caller;
use super::arguments::{FieldTable, get, text, to_args, too_long, type_name};
use super::broker::Broker;
use super::deduplication::DeduplicationRule;
use super::definitions::{Changes, DelayDefinition, ExchangeDefinition, Key};
use super::delay_room::DelayRoom;
use super::names::{ExchangeName, is_reserved};
use super::refusal::{Access, Refusal, Resource};
use super::row::{Row, Staged};
use super::turn::Turn;
use super::vhost::Vhost;

/// The argument that names the exchange for unroutable messages.
const ALTERNATE: &str = "alternate-exchange";

/// `exchange.declare`.
#[derive(Clone, Copy, Debug)]
pub struct ExchangeRequest<'a> {
    /// Name of the exchange type.
    pub kind: &'a str,
    /// Survives a restart.
    pub durable: bool,
    /// Deleted when the last binding from it is removed.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// Arguments.
    pub arguments: &'a FieldTable,
}

impl Broker {
    /// Checks that the exchange exists (`exchange.declare` with `passive`).
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

    /// Declares an exchange. A durable one is on disk before it becomes visible: a delayed-message exchange stores
    /// messages.
    pub fn declare_exchange(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &ExchangeName,
        request: &ExchangeRequest<'_>,
    ) -> Result<(), Refusal> {
        self.declare_exchanges(vhost, caller, &[(name.clone(), *request)]).only()
    }

    /// Declares exchanges in order, up to the first refusal.
    pub fn declare_exchanges(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        requests: &[(ExchangeName, ExchangeRequest<'_>)],
    ) -> Row<()> {
        self.in_a_row(
            vhost,
            requests,
            |broker, changes| broker.commit(&changes),
            |(name, request), staged| {
                if staged.concerns(name.as_str()) {
                    return Ok(None);
                }
                let planned = self.plan_exchange(vhost, caller, name, request, staged)?;
                Ok(Some(planned.map(|planned| (name, planned))))
            },
            |new| new.map_or(Ok(()), |(name, planned)| Self::put_exchange(vhost, name, planned)),
        )
    }

    /// The exchange to create; `None` if it exists.
    fn plan_exchange<'a>(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &ExchangeName,
        request: &ExchangeRequest<'a>,
        staged: &mut Staged,
    ) -> Result<Option<PlannedExchange<'a>>, Refusal> {
        if names::is_default(name.as_str()) {
            return Err(Refusal::DefaultExchange);
        }
        super::check_text("exchange", name.as_str())?;
        let resource = Resource::Exchange(name.clone());
        caller.rights.check(Access::Configure, &resource)?;
        let alternate = alternate(vhost, &resource, request.arguments)?;
        let deduplication = DeduplicationRule::read(request.arguments).map_err(|(argument, why)| {
            Refusal::InvalidArgument {
                argument: argument.to_owned(),
                resource: resource.clone(),
                vhost: vhost.name.clone(),
                why,
            }
        })?;
        let spec = ExchangeSpec {
            kind: request.kind,
            durable: request.durable,
            auto_delete: request.auto_delete,
            internal: request.internal,
            args: to_args(request.arguments),
        };
        let refused = |refusal| translated(vhost, refusal);
        let exists = vhost.topology.read().router.exchange(name.as_str()).is_some();
        if exists {
            let same = vhost.topology.write().router.declare(name.as_str(), spec);
            return same.map(|_| None).map_err(refused);
        }
        if is_reserved(name.as_str()) {
            return Err(Refusal::ReservedName(resource));
        }
        if let Some(alternate) = alternate {
            caller.rights.check(Access::Read, &resource)?;
            caller.rights.check(Access::Write, &Resource::Exchange(ExchangeName::new(alternate)))?;
        }
        self.has_room_for_arguments(request.arguments)?;
        self.has_room_for_exchanges(name, staged.count())?;
        let delay_room = if request.kind == Kind::DELAYED {
            let id = QueueId(self.next_queue_id()?);
            Some(DelayRoom::new(id, &vhost.name, name, request.durable, self.environment()))
        } else {
            None
        };
        // A private router validates the declaration before it is written.
        Router::<u32>::new().declare(name.as_str(), spec.clone()).map_err(refused)?;
        if request.durable {
            note_definitions(vhost, name, request, delay_room.as_deref(), &mut staged.changes);
        }
        staged.note(name.as_str());
        Ok(Some(PlannedExchange { spec, deduplication, delay_room }))
    }

    fn put_exchange(vhost: &Vhost, name: &ExchangeName, planned: PlannedExchange<'_>) -> Result<(), Refusal> {
        let PlannedExchange { spec, deduplication, delay_room } = planned;
        let installed = vhost.install_exchange(name.as_str(), spec, deduplication, delay_room);
        installed.map_err(|refusal| translated(vhost, refusal))?;
        vhost.changed();
        Ok(())
    }

    /// Deletes an exchange. A missing one counts as deleted.
    pub fn delete_exchange(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &ExchangeName,
        if_unused: bool,
    ) -> Result<(), Refusal> {
        self.delete_exchanges(vhost, caller, &[(name.clone(), if_unused)]).only()
    }

    /// Deletes exchanges in order, some only if unused, up to the first refusal.
    pub fn delete_exchanges(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        requests: &[(ExchangeName, bool)],
    ) -> Row<()> {
        let refused = |refusal| translated(vhost, refusal);
        self.in_a_row(
            vhost,
            requests,
            Self::commit_removal,
            |(name, if_unused), staged| {
                if names::is_default(name.as_str()) {
                    return Err(Refusal::DefaultExchange);
                }
                if is_reserved(name.as_str()) {
                    return Err(Refusal::SystemExchange(name.clone(), vhost.name.clone()));
                }
                caller.rights.check(Access::Configure, &Resource::Exchange(name.clone()))?;
                if staged.concerns(name.as_str()) || (*if_unused && staged.count() > 0) {
                    return Ok(None);
                }
                let planned = vhost.topology.read().router.plan_delete(name.as_str(), *if_unused);
                let Some(planned) = planned.map_err(refused)? else { return Ok(Some(None)) };
                let takes_along = planned.exchanges.len() > 1 || Self::may_orphan(vhost, &planned);
                if staged.keeps_apart(takes_along) {
                    return Ok(None);
                }
                Self::note_removed(vhost, &planned, None, &mut staged.changes);
                staged.note(name.as_str());
                Ok(Some(Some(name)))
            },
            |there| {
                let Some(name) = there else { return Ok(()) };
                let removed = vhost.topology.write().router.delete(name.as_str(), false).map_err(refused)?;
                vhost.changed();
                self.close_removed(vhost, &removed.unwrap_or_default());
                Ok(())
            },
        )
    }
}

impl Broker {
    /// Refuses one more exchange after `more` planned ones if the limit is reached. Vhosts are counted one after
    /// another: concurrent declarations in several vhosts may exceed the limit by their number.
    pub(super) fn has_room_for_exchanges(&self, name: &ExchangeName, more: usize) -> Result<(), Refusal> {
        let Some(max) = self.limits().exchanges_max else { return Ok(()) };
        if self.vhosts().iter().map(|vhost| vhost.exchange_count()).sum::<usize>() + more < max {
            return Ok(());
        }
        Err(Refusal::Precondition(format!(
            "cannot declare exchange '{name}': exchange limit of {max} is reached"
        )))
    }

    /// Ends the exchange's features and counters; its delayed messages are dropped.
    pub(super) fn close_features(&self, vhost: &Vhost, exchange: &str) {
        let mut topology = vhost.topology.write();
        topology.stats.remove(exchange.as_bytes());
        let features = topology.features.remove(exchange.as_bytes());
        drop(topology);
        let Some(delay_room) = features.and_then(|features| features.delay_room) else { return };
        let mut turn = Turn::at((self.environment().clock)());
        delay_room.close(&mut turn);
        self.graves.bury(self.store(), delay_room.durable().then_some(delay_room.id));
    }
}

/// A new exchange that passed all checks.
struct PlannedExchange<'a> {
    spec: ExchangeSpec<'a>,
    deduplication: Option<DeduplicationRule>,
    delay_room: Option<Arc<DelayRoom>>,
}

/// Records the definitions of a durable exchange.
fn note_definitions(
    vhost: &Vhost,
    name: &ExchangeName,
    request: &ExchangeRequest<'_>,
    delay_room: Option<&DelayRoom>,
    changes: &mut Changes,
) {
    let definition = ExchangeDefinition {
        vhost: vhost.name.as_str().to_owned(),
        name: name.as_str().to_owned(),
        kind: request.kind.to_owned(),
        auto_delete: request.auto_delete,
        internal: request.internal,
        arguments: request.arguments.clone(),
    };
    changes.put(Key::exchange(&vhost.name, name), &definition);
    if let Some(delay_room) = delay_room {
        let definition = DelayDefinition {
            vhost: vhost.name.as_str().to_owned(),
            exchange: name.as_str().to_owned(),
            id: delay_room.id.0,
        };
        changes.put(Key::delay(&vhost.name, name), &definition);
    }
}

pub(super) fn not_found(vhost: &Vhost, name: &ExchangeName) -> Refusal {
    Refusal::NotFound { resource: Resource::Exchange(name.clone()), vhost: vhost.name.clone() }
}

/// The alternate exchange set by these arguments.
pub(super) fn alternate<'a>(
    vhost: &Vhost,
    resource: &Resource,
    arguments: &'a FieldTable,
) -> Result<Option<&'a str>, Refusal> {
    let Some(value) = get(arguments, ALTERNATE) else { return Ok(None) };
    let (resource, vhost) = (resource.clone(), vhost.name.clone());
    match text(value) {
        Some(name) if name.len() <= SHORT_BYTES_MAX => Ok(Some(name)),
        Some(name) => Err(Refusal::InvalidArgument {
            argument: ALTERNATE.to_owned(),
            resource,
            vhost,
            why: too_long(name),
        }),
        None => Err(Refusal::ArgumentType { argument: ALTERNATE, given: type_name(value), resource, vhost }),
    }
}

/// The router's refusal as the broker's.
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
