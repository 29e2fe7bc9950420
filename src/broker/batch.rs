//! Many declarations in one vhost at once: all of them or none, on disk with one commit.
//!
//! Invariants: nothing is changed before everything has been checked and the commit is durable; what is then
//! put in place is read from the very records that a restart would read.
//! Absent: what does not survive a restart, which needs no disk and is declared one by one.

use std::collections::HashMap;
use std::sync::Arc;

use leveret_exchanges::{Destination, ExchangeSpec, Kind, Router};

use super::arguments::{FieldTable, to_args};
use super::bindings::BindingRequest;
use super::broker::{Broker, rank};
use super::deduplication::DeduplicationRule;
use super::definitions::{
    BindingDefinition, Changes, DelayDefinition, DestinationKind, ExchangeDefinition, Key, QueueDefinition,
};
use super::exchanges::translated;
use super::names::{ExchangeName, QueueName, is_reserved};
use super::queue_handle::QueueSpec;
use super::queue_options;
use super::refusal::{Refusal, Resource};
use super::vhost::Vhost;

/// A durable exchange to be made.
#[derive(Clone, Debug)]
pub struct NewExchange {
    /// Its name.
    pub name: ExchangeName,
    /// The type's name.
    pub kind: String,
    /// Goes when the last binding from it is removed.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// Arguments.
    pub arguments: FieldTable,
}

/// A durable queue to be made.
#[derive(Clone, Debug)]
pub struct NewQueue {
    /// Its name.
    pub name: QueueName,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// Arguments.
    pub arguments: FieldTable,
}

/// What to make in a vhost. What is there already is refused: a batch is made of a difference.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Exchanges.
    pub exchanges: Vec<NewExchange>,
    /// Queues.
    pub queues: Vec<NewQueue>,
    /// Bindings between durable ends of these, or of what is there.
    pub bindings: Vec<BindingRequest>,
}

/// What is checked, in a router that nobody uses, and noted.
struct Trial<'a> {
    broker: &'a Broker,
    vhost: &'a Vhost,
    router: Router<u32>,
    slots: HashMap<String, u32>,
    changes: Changes,
}

impl Broker {
    /// Makes all that the batch says, or nothing; durable when it returns. Asks for no permission: whoever
    /// may say what the vhost has may do this.
    pub fn declare_batch(&self, vhost: &Arc<Vhost>, batch: &Batch) -> Result<(), Refusal> {
        let _change = vhost.change()?;
        let mut trial = Trial {
            broker: self,
            vhost,
            router: Router::new(),
            slots: HashMap::new(),
            changes: Changes::default(),
        };
        for exchange in &batch.exchanges {
            trial.exchange(exchange)?;
        }
        for queue in &batch.queues {
            trial.queue(queue)?;
        }
        vhost.has_room_for_queues(batch.queues.len())?;
        for binding in &batch.bindings {
            trial.binding(binding)?;
        }
        self.commit(&trial.changes)?;
        self.put_in_place(&trial.changes).map_err(Refusal::Storage)?;
        vhost.changed();
        Ok(())
    }

    /// Puts what was committed in place, as a start would.
    fn put_in_place(&self, changes: &Changes) -> Result<(), String> {
        let added = changes.as_slice().iter().filter_map(|(key, value)| Some((key, value.as_ref()?)));
        let mut sorted: Vec<_> = added.map(|(key, value)| (rank(key), key, value)).collect();
        sorted.sort_by_key(|(rank, key, _)| (*rank, *key));
        let mut nothing_recovered = HashMap::new();
        for (_, key, value) in sorted {
            self.load_one(key, value, &mut nothing_recovered, self.now())?;
        }
        Ok(())
    }
}

impl Trial<'_> {
    fn exchange(&mut self, exchange: &NewExchange) -> Result<(), Refusal> {
        let (vhost, name) = (self.vhost, exchange.name.as_str());
        super::check_text("exchange", name)?;
        let resource = Resource::Exchange(exchange.name.clone());
        if name.is_empty() {
            return Err(Refusal::DefaultExchange);
        }
        if is_reserved(name) {
            return Err(Refusal::ReservedName(resource));
        }
        if vhost.exchange(name).is_some() {
            return Err(Refusal::Precondition(format!("{resource} is there already")));
        }
        self.broker.has_room_for_exchange(&exchange.name)?;
        DeduplicationRule::read(&exchange.arguments).map_err(|(argument, why)| Refusal::InvalidArgument {
            argument: argument.to_owned(),
            resource,
            vhost: vhost.name.clone(),
            why,
        })?;
        let spec = ExchangeSpec {
            kind: &exchange.kind,
            durable: true,
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            args: to_args(&exchange.arguments),
        };
        self.router.declare(name, spec).map_err(|refusal| translated(vhost, refusal))?;
        let definition = ExchangeDefinition {
            vhost: vhost.name.as_str().to_owned(),
            name: name.to_owned(),
            kind: exchange.kind.clone(),
            auto_delete: exchange.auto_delete,
            internal: exchange.internal,
            arguments: exchange.arguments.clone(),
        };
        self.changes.put(Key::exchange(&vhost.name, &exchange.name), &definition);
        if exchange.kind == Kind::DELAYED {
            let definition = DelayDefinition {
                vhost: vhost.name.as_str().to_owned(),
                exchange: name.to_owned(),
                id: self.broker.next_queue_id()?,
            };
            self.changes.put(Key::delay(&vhost.name, &exchange.name), &definition);
        }
        Ok(())
    }

    fn queue(&mut self, queue: &NewQueue) -> Result<(), Refusal> {
        let vhost = self.vhost;
        super::queues::check_name(&queue.name)?;
        let resource = Resource::Queue(queue.name.clone());
        if queue.name.as_str().is_empty() || vhost.queue(queue.name.as_str()).is_some() {
            return Err(Refusal::Precondition(format!("{resource} is there already")));
        }
        let spec = QueueSpec {
            durable: true,
            auto_delete: queue.auto_delete,
            exclusive_owner: None,
            hidden: false,
            arguments: queue.arguments.clone(),
        };
        queue_options::read(&queue.name, &vhost.name, &spec, false)?;
        let definition = QueueDefinition {
            vhost: vhost.name.as_str().to_owned(),
            name: queue.name.as_str().to_owned(),
            id: self.broker.next_queue_id()?,
            auto_delete: queue.auto_delete,
            arguments: spec.arguments,
        };
        self.changes.put(Key::queue(&vhost.name, &queue.name), &definition);
        self.slot(queue.name.as_str());
        Ok(())
    }

    /// The queue's place in the trial; what they are is of no matter.
    fn slot(&mut self, queue: &str) -> u32 {
        if let Some(slot) = self.slots.get(queue) {
            return *slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.insert(queue.to_owned(), slot);
        self.router.queue_named(queue, slot, true);
        slot
    }

    /// Has the trial know an exchange that is there already.
    fn known_exchange(&mut self, name: &str) -> Result<(), Refusal> {
        if self.router.exchange(name).is_some() {
            return Ok(());
        }
        let there = self.vhost.exchange(name).filter(|exchange| exchange.durable);
        let there = there.ok_or_else(|| Refusal::NotFound {
            resource: Resource::Exchange(ExchangeName::new(name)),
            vhost: self.vhost.name.clone(),
        })?;
        let spec = ExchangeSpec {
            kind: there.kind.name(),
            durable: true,
            auto_delete: there.auto_delete,
            internal: there.internal,
            args: there.args.clone(),
        };
        self.router.declare(name, spec).map(|_| ()).map_err(|refusal| translated(self.vhost, refusal))
    }

    fn binding(&mut self, binding: &BindingRequest) -> Result<(), Refusal> {
        super::check_text("routing key", &binding.routing_key)?;
        if binding.source.as_str().is_empty() || binding.destination.is_empty() {
            return Err(Refusal::DefaultExchange);
        }
        self.known_exchange(binding.source.as_str())?;
        let end = match binding.kind {
            DestinationKind::Exchange => {
                self.known_exchange(&binding.destination)?;
                Destination::Exchange(binding.destination.as_str())
            }
            DestinationKind::Queue => {
                let there = self.vhost.queue(&binding.destination);
                let durable = there.is_some_and(|queue| queue.spec.durable && !queue.spec.hidden);
                if !durable && !self.slots.contains_key(&binding.destination) {
                    return Err(Refusal::NotFound {
                        resource: Resource::Queue(QueueName::new(&binding.destination)),
                        vhost: self.vhost.name.clone(),
                    });
                }
                Destination::Queue(self.slot(&binding.destination))
            }
        };
        self.router
            .bind(binding.source.as_str(), end, &binding.routing_key, to_args(&binding.arguments))
            .map_err(|refusal| translated(self.vhost, refusal))?;
        let definition = BindingDefinition {
            vhost: self.vhost.name.as_str().to_owned(),
            source: binding.source.as_str().to_owned(),
            destination: binding.destination.clone(),
            destination_kind: binding.kind,
            routing_key: binding.routing_key.clone(),
            arguments: binding.arguments.clone(),
        };
        self.changes.put(Key::binding(&definition), &definition);
        Ok(())
    }
}
