//! Bindings come and go (rabbitmq-semantics 1b, 2a, 2o).

use std::sync::Arc;

use leveret_exchanges::{Args, Bound, Destination, Origin, Removed};
use leveret_queues::Message;

use super::Caller;
use super::arguments::{FieldTable, from_args, to_args};
use super::broker::Broker;
use super::definitions::{BindingDefinition, Changes, DestinationKind, Key};
use super::exchange_features::ExchangeFeatures;
use super::exchanges::{not_found, translated};
use super::names::{ExchangeName, QueueName};
use super::publish::route;
use super::queue_handle::{QueueHandle, move_message};
use super::refusal::{Access, Refusal, Resource};
use super::reply_to::is_reply_name;
use super::turn::Turn;
use super::vhost::{Topology, Vhost};

/// `queue.bind`, `exchange.bind` and their undoing.
#[derive(Clone, Debug)]
pub struct BindingRequest {
    /// The exchange it leads from.
    pub source: ExchangeName,
    /// What it leads to.
    pub kind: DestinationKind,
    /// The name of what it leads to.
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

    fn is_bound(&self, vhost: &Vhost, args: &Args) -> bool {
        let topology = vhost.topology.read();
        let end = self.end(&topology);
        end.is_some_and(|end| topology.router.is_bound(self.source.as_str(), end, &self.routing_key, args))
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

    /// Refuses the exclusive queue of another connection.
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
    /// Binds. A binding with two durable ends is on disk when this returns.
    pub fn bind(&self, vhost: &Vhost, caller: &Caller<'_>, request: &BindingRequest) -> Result<(), Refusal> {
        request.permit(vhost, caller)?;
        request.unlocked(vhost, caller)?;
        super::check_text("routing key", &request.routing_key)?;
        let _change = vhost.change()?;
        let args = to_args(&request.arguments);
        let (bound, recalled) = {
            let mut topology = vhost.topology.write();
            if topology.router.exchange(request.source.as_str()).is_none() {
                return Err(not_found(vhost, &request.source));
            }
            let end = request.end(&topology).ok_or_else(|| Refusal::NotFound {
                resource: request.destination_resource(),
                vhost: vhost.name.clone(),
            })?;
            let bound = topology
                .router
                .bind(request.source.as_str(), end, &request.routing_key, args.clone())
                .map_err(|refusal| translated(vhost, refusal))?;
            // Under the same lock: what comes later is routed through the binding.
            let features = topology.features.get(request.source.as_str().as_bytes());
            (bound, features.map(ExchangeFeatures::recall).unwrap_or_default())
        };
        let Bound::New(binding) = bound else { return Ok(()) };
        vhost.changed();
        if binding.durable {
            self.keep_binding(vhost, request, &args)?;
        }
        if !recalled.is_empty() {
            self.recall(vhost, request, &recalled);
        }
        Ok(())
    }

    /// Gives a new binding what its exchange remembers.
    fn recall(&self, vhost: &Vhost, request: &BindingRequest, messages: &[Message]) {
        let mut turn = Turn::at((self.environment().clock)());
        for message in messages {
            let mut queues = Vec::new();
            match request.kind {
                DestinationKind::Queue => queues.extend(vhost.queue(&request.destination)),
                DestinationKind::Exchange => {
                    let (exchange, keys) = (request.destination.as_bytes(), [message.routing_key()]);
                    // An exchange that is gone meanwhile gets nothing.
                    let _ = route(vhost, turn.now, message, exchange, &keys, Origin::Broker, |queue| {
                        queues.push(Arc::clone(queue));
                    });
                }
            }
            move_message(&mut turn, self.environment(), message, queues, |_| None);
        }
        self.finish(&mut turn);
    }

    fn keep_binding(&self, vhost: &Vhost, request: &BindingRequest, args: &Args) -> Result<(), Refusal> {
        let mut changes = Changes::default();
        let definition = request.definition(vhost);
        changes.put(Key::binding(&definition), &definition);
        self.commit(&changes).inspect_err(|_| {
            let mut topology = vhost.topology.write();
            if let Some(end) = request.end(&topology) {
                let source = request.source.as_str();
                let _ = topology.router.unbind(source, end, &request.routing_key, args);
            }
            vhost.changed();
        })
    }

    /// Unbinds. A binding that is not there is undone already.
    pub fn unbind(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        request: &BindingRequest,
    ) -> Result<(), Refusal> {
        request.permit(vhost, caller)?;
        let _change = vhost.change()?;
        let args = to_args(&request.arguments);
        if !request.is_bound(vhost, &args) {
            return Ok(());
        }
        request.unlocked(vhost, caller)?;
        let removed = {
            let mut topology = vhost.topology.write();
            let Some(end) = request.end(&topology) else { return Ok(()) };
            topology
                .router
                .unbind(request.source.as_str(), end, &request.routing_key, &args)
                .map_err(|refusal| translated(vhost, refusal))?
        };
        let Some(removed) = removed else { return Ok(()) };
        vhost.changed();
        let mut changes = Changes::default();
        self.forget_removed(vhost, &removed, None, &mut changes);
        self.commit(&changes)
    }

    /// Notes what went from the topology and was durable. `queue`: the queue that went, which the
    /// topology does not know any more.
    pub(super) fn forget_removed(
        &self,
        vhost: &Vhost,
        removed: &Removed<u32>,
        queue: Option<&Arc<QueueHandle>>,
        changes: &mut Changes,
    ) {
        let topology = vhost.topology.read();
        for binding in removed.bindings.iter().filter(|binding| binding.durable) {
            let (destination_kind, destination) = match &binding.destination {
                Destination::Exchange(name) => (DestinationKind::Exchange, name.to_string()),
                Destination::Queue(slot) => {
                    let known = topology.queues.get(*slot as usize);
                    let gone = queue.filter(|queue| queue.slot == *slot);
                    let Some(queue) = gone.or(known) else { continue };
                    (DestinationKind::Queue, queue.name.as_str().to_owned())
                }
            };
            changes.remove(Key::binding(&BindingDefinition {
                vhost: vhost.name.as_str().to_owned(),
                source: binding.source.to_string(),
                destination,
                destination_kind,
                routing_key: binding.key.to_string(),
                arguments: from_args(&binding.args),
            }));
        }
        drop(topology);
        for exchange in &removed.exchanges {
            let holds = self.close_features(vhost, &exchange.name);
            if exchange.durable {
                let name = ExchangeName::new(&exchange.name);
                if holds {
                    changes.remove(Key::delay(&vhost.name, &name));
                }
                changes.remove(Key::exchange(&vhost.name, &name));
            }
        }
    }
}
