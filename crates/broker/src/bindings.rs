//! Binding and unbinding (docs/semantics.md, Routing).

use std::sync::Arc;

use leveret_exchanges::{Args, Bound, Destination, Origin, Removed};
use leveret_message::Message;

use super::Caller;
use super::arguments::{FieldTable, to_args};
use super::broker::Broker;
use super::definitions::{BindingDefinition, DestinationKind, Key};
use super::exchange_features::ExchangeFeatures;
use super::exchanges::{not_found, translated};
use super::names::{ExchangeName, QueueName};
use super::publish::route;
use super::queue_handle::move_message;
use super::refusal::{Access, Refusal, Resource};
use super::reply_to::is_reply_name;
use super::row::Row;
use super::turn::Turn;
use super::vhost::{Topology, Vhost};

/// `queue.bind`, `exchange.bind` and their inverses.
#[derive(Clone, Debug)]
pub struct BindingRequest {
    /// Source exchange.
    pub source: ExchangeName,
    /// Kind of destination.
    pub kind: DestinationKind,
    /// Destination name.
    pub destination: String,
    /// Routing key, pattern or weight.
    pub routing_key: String,
    /// Arguments.
    pub arguments: FieldTable,
}

impl BindingRequest {
    fn destination_resource(&self) -> Resource {
        match self.kind {
            DestinationKind::Queue => Resource::Queue(QueueName::new(&self.destination)),
            DestinationKind::Exchange => Resource::Exchange(ExchangeName::new(&self.destination)),
        }
    }

    fn definition(&self, vhost: &Vhost) -> BindingDefinition {
        BindingDefinition {
            vhost: vhost.name.as_str().to_owned(),
            source: self.source.as_str().to_owned(),
            destination: self.destination.clone(),
            destination_kind: self.kind,
            routing_key: self.routing_key.clone(),
            arguments: self.arguments.clone(),
        }
    }

    fn end<'a>(&'a self, topology: &Topology) -> Option<Destination<u32, &'a str>> {
        match self.kind {
            DestinationKind::Queue => {
                topology.by_name.get(self.destination.as_str()).map(|slot| Destination::Queue(*slot))
            }
            DestinationKind::Exchange => Some(Destination::Exchange(&self.destination)),
        }
    }

    fn no_destination(&self, vhost: &Vhost) -> Refusal {
        Refusal::NotFound { resource: self.destination_resource(), vhost: vhost.name.clone() }
    }

    /// Whether the binding would survive a restart; `None` if it already exists.
    fn plan(&self, vhost: &Vhost, args: &Args) -> Result<Option<bool>, Refusal> {
        let topology = vhost.topology.read();
        if topology.router.exchange(self.source.as_str()).is_none() {
            return Err(not_found(vhost, &self.source));
        }
        let end = self.end(&topology).ok_or_else(|| self.no_destination(vhost))?;
        let planned = topology.router.plan_bind(self.source.as_str(), end, &self.routing_key, args);
        planned.map_err(|refusal| translated(vhost, refusal))
    }

    /// Whether the binding exists.
    pub fn is_there(&self, vhost: &Vhost) -> bool {
        self.is_bound(vhost, &to_args(&self.arguments))
    }

    fn is_bound(&self, vhost: &Vhost, args: &Args) -> bool {
        let topology = vhost.topology.read();
        let end = self.end(&topology);
        end.is_some_and(|end| topology.router.is_bound(self.source.as_str(), end, &self.routing_key, args))
    }

    /// What unbinding would remove.
    fn plan_unbind(&self, vhost: &Vhost, args: &Args) -> Result<Removed<u32>, Refusal> {
        let topology = vhost.topology.read();
        let Some(end) = self.end(&topology) else { return Ok(Removed::default()) };
        let planned = topology.router.plan_unbind(self.source.as_str(), end, &self.routing_key, args);
        Ok(planned.map_err(|refusal| translated(vhost, refusal))?.unwrap_or_default())
    }

    fn permit(&self, vhost: &Vhost, caller: &Caller<'_>) -> Result<(), Refusal> {
        caller.rights.check(Access::Write, &self.destination_resource())?;
        let default_destination = self.kind == DestinationKind::Exchange && self.destination.is_empty();
        if self.source.as_str().is_empty() || default_destination {
            return Err(Refusal::DefaultExchange);
        }
        if self.kind == DestinationKind::Queue && is_reply_name(&self.destination) {
            return Err(Refusal::Forbidden(format!(
                "direct reply-to queue '{}' in vhost '{}' cannot be bound",
                self.destination, vhost.name
            )));
        }
        caller.rights.check(Access::Read, &Resource::Exchange(self.source.clone()))?;
        vhost.check_topics(caller.rights, Access::Read, self.source.as_str(), [self.routing_key.as_bytes()])
    }

    /// Whether the caller may make this binding.
    fn permitted(&self, vhost: &Vhost, caller: &Caller<'_>) -> Result<(), Refusal> {
        self.permit(vhost, caller)?;
        self.unlocked(vhost, caller)?;
        super::check_text("routing key", &self.routing_key)
    }

    /// Refuses another connection's exclusive queue.
    fn unlocked(&self, vhost: &Vhost, caller: &Caller<'_>) -> Result<(), Refusal> {
        if self.kind == DestinationKind::Queue
            && let Some(queue) = vhost.queue(&self.destination)
            && queue.exclusive_owner.is_some_and(|owner| Some(owner) != caller.connection)
        {
            return Err(Refusal::ExclusiveToAnother { queue: queue.name.clone(), vhost: vhost.name.clone() });
        }
        Ok(())
    }
}

impl Broker {
    /// Binds. A binding between durable objects is on disk before anything is routed through it.
    pub fn bind(&self, vhost: &Vhost, caller: &Caller<'_>, request: &BindingRequest) -> Result<(), Refusal> {
        self.bind_all(vhost, caller, std::slice::from_ref(request)).only()
    }

    /// Creates bindings in order, up to the first refusal.
    pub fn bind_all(&self, vhost: &Vhost, caller: &Caller<'_>, requests: &[BindingRequest]) -> Row<()> {
        self.in_a_row(
            vhost,
            requests,
            |broker, changes| broker.commit(&changes),
            |request, staged| {
                let args = to_args(&request.arguments);
                request.permitted(vhost, caller)?;
                let new = request.plan(vhost, &args)?;
                if new.is_some() {
                    self.has_room_for_arguments(&request.arguments)?;
                }
                if new == Some(true) {
                    let definition = request.definition(vhost);
                    staged.changes.put(Key::binding(&definition), &definition);
                }
                Ok(Some((request, new.map(|_| args))))
            },
            |(request, new)| new.map_or(Ok(()), |args| self.put_binding(vhost, request, args)),
        )
    }

    fn put_binding(&self, vhost: &Vhost, request: &BindingRequest, args: Args) -> Result<(), Refusal> {
        let recalled = {
            let mut topology = vhost.topology.write();
            let end = request.end(&topology).ok_or_else(|| request.no_destination(vhost))?;
            let bound = topology
                .router
                .bind(request.source.as_str(), end, &request.routing_key, args)
                .map_err(|refusal| translated(vhost, refusal))?;
            if matches!(bound, Bound::Existing) {
                return Ok(());
            }
            // Under the same lock: later messages are routed through the binding.
            let features = topology.features.get(request.source.as_str().as_bytes());
            features.map(ExchangeFeatures::recall).unwrap_or_default()
        };
        vhost.changed();
        if !recalled.is_empty() {
            self.recall(vhost, request, &recalled);
        }
        Ok(())
    }

    /// Sends the exchange's remembered messages through a new binding.
    fn recall(&self, vhost: &Vhost, request: &BindingRequest, messages: &[Message]) {
        let mut turn = Turn::at((self.environment().clock)());
        for message in messages {
            let mut queues = Vec::new();
            match request.kind {
                DestinationKind::Queue => queues.extend(vhost.queue(&request.destination)),
                DestinationKind::Exchange => {
                    let (exchange, keys) = (request.destination.as_bytes(), [message.routing_key()]);
                    // If the exchange was deleted meanwhile, the message is dropped.
                    let _ = route(vhost, turn.now, message, exchange, &keys, Origin::Broker, |queue| {
                        queues.push(Arc::clone(queue));
                    });
                }
            }
            move_message(&mut turn, self.environment(), message, queues, false, |_| None);
        }
        self.finish(&mut turn);
    }

    /// Unbinds. A missing binding counts as removed.
    pub fn unbind(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        request: &BindingRequest,
    ) -> Result<(), Refusal> {
        self.unbind_all(vhost, caller, std::slice::from_ref(request)).only()
    }

    /// Removes bindings in order, up to the first refusal.
    pub fn unbind_all(&self, vhost: &Vhost, caller: &Caller<'_>, requests: &[BindingRequest]) -> Row<()> {
        self.in_a_row(
            vhost,
            requests,
            Self::commit_removal,
            |request, staged| {
                request.permit(vhost, caller)?;
                let args = to_args(&request.arguments);
                if !request.is_bound(vhost, &args) {
                    return Ok(Some(None));
                }
                request.unlocked(vhost, caller)?;
                let planned = request.plan_unbind(vhost, &args)?;
                if staged.keeps_apart(Self::may_orphan(vhost, &planned)) {
                    return Ok(None);
                }
                Self::note_removed(vhost, &planned, None, &mut staged.changes);
                staged.note(request.source.as_str());
                Ok(Some(Some((request, args))))
            },
            |bound| bound.map_or(Ok(()), |(request, args)| self.remove_binding(vhost, request, &args)),
        )
    }

    fn remove_binding(&self, vhost: &Vhost, request: &BindingRequest, args: &Args) -> Result<(), Refusal> {
        let removed = {
            let mut topology = vhost.topology.write();
            let Some(end) = request.end(&topology) else { return Ok(()) };
            let removed = topology.router.unbind(request.source.as_str(), end, &request.routing_key, args);
            removed.map_err(|refusal| translated(vhost, refusal))?
        };
        vhost.changed();
        self.close_removed(vhost, &removed.unwrap_or_default());
        Ok(())
    }
}
