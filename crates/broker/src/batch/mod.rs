//! Batch changes of one vhost: all or nothing, in one commit.
//!
//! Invariants: nothing changes before everything is checked and the commit is durable; new objects are then created
//! from the same records that a restart would read, redefined objects are changed in place.
//! Absent: new transient objects, which need no disk and are declared one by one; objects outside of vhosts, such as
//! users.

mod changed;
mod rules;
mod sift;

use std::collections::HashMap;
use std::sync::Arc;

use leveret_exchanges::{Destination, ExchangeSpec, Kind, Router};

use crate::arguments::{FieldTable, to_args};
use crate::bindings::BindingRequest;
use crate::broker::Broker;
use crate::deduplication::DeduplicationRule;
use crate::definitions::{
    BindingDefinition, Changes, DelayDefinition, DestinationKind, ExchangeDefinition, Key, QueueDefinition,
    RANK_OF_EXCHANGES,
};
use crate::exchanges::{alternate, translated};
use crate::names::{ExchangeName, QueueName, is_reserved};
use crate::operator_limits::OperatorLimits;
use crate::queue_options::{self, QueueSpec};
use crate::refusal::{Refusal, Resource};
use crate::vhost::Vhost;

use changed::Transformed;
pub use rules::Rule;

/// A durable exchange to create.
#[derive(Clone, Debug)]
pub struct NewExchange {
    /// Exchange name.
    pub name: ExchangeName,
    /// Name of the exchange type.
    pub kind: String,
    /// Deleted when the last binding from it is removed.
    pub auto_delete: bool,
    /// Clients may not publish to it.
    pub internal: bool,
    /// Arguments.
    pub arguments: FieldTable,
}

impl NewExchange {
    fn spec(&self, durable: bool) -> ExchangeSpec<'_> {
        ExchangeSpec {
            kind: &self.kind,
            durable,
            auto_delete: self.auto_delete,
            internal: self.internal,
            args: to_args(&self.arguments),
        }
    }

    fn definition(&self, vhost: &Vhost) -> ExchangeDefinition {
        ExchangeDefinition {
            vhost: vhost.name.as_str().to_owned(),
            name: self.name.as_str().to_owned(),
            kind: self.kind.clone(),
            auto_delete: self.auto_delete,
            internal: self.internal,
            arguments: self.arguments.clone(),
        }
    }

    fn deduplication(&self, vhost: &Vhost) -> Result<Option<DeduplicationRule>, Refusal> {
        alternate(vhost, &Resource::Exchange(self.name.clone()), &self.arguments)?;
        DeduplicationRule::read(&self.arguments).map_err(|(argument, why)| Refusal::InvalidArgument {
            argument: argument.to_owned(),
            resource: Resource::Exchange(self.name.clone()),
            vhost: vhost.name.clone(),
            why,
        })
    }
}

/// A durable queue to create.
#[derive(Clone, Debug)]
pub struct NewQueue {
    /// Queue name.
    pub name: QueueName,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// Arguments.
    pub arguments: FieldTable,
}

/// The new definition of an existing object.
#[derive(Clone, Debug)]
pub struct Changed<T> {
    /// Whether it survives a restart.
    pub durable: bool,
    /// All other properties.
    pub to: T,
}

/// Changes to a vhost. A new object that already exists is refused: a batch is made from a difference.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// New or changed policies, limits and permissions.
    pub rules: Vec<Rule>,
    /// New exchanges.
    pub exchanges: Vec<NewExchange>,
    /// New queues.
    pub queues: Vec<NewQueue>,
    /// Redefined exchanges; they keep all bindings.
    pub changed_exchanges: Vec<Changed<NewExchange>>,
    /// Redefined queues; they keep their messages, consumers and bindings.
    pub changed_queues: Vec<Changed<NewQueue>>,
    /// New bindings between durable objects, of this batch or existing.
    pub bindings: Vec<BindingRequest>,
}

/// One item of a batch: its index in the list of its kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// In `rules`.
    Rule(usize),
    /// In `exchanges`.
    Exchange(usize),
    /// In `queues`.
    Queue(usize),
    /// In `changed_exchanges`.
    ChangedExchange(usize),
    /// In `changed_queues`.
    ChangedQueue(usize),
    /// In `bindings`.
    Binding(usize),
}

/// Why a batch was refused as a whole.
#[derive(Debug)]
pub struct RefusedBatch {
    /// The refused item; `None` for the batch as a whole.
    pub part: Option<Part>,
    /// The reason.
    pub refusal: Box<Refusal>,
}

impl From<Refusal> for RefusedBatch {
    fn from(refusal: Refusal) -> Self {
        Self { part: None, refusal: Box::new(refusal) }
    }
}

/// Checks items in order, up to the first refusal.
fn each<T>(
    parts: &[T],
    part: impl Fn(usize) -> Part,
    mut check: impl FnMut(&T) -> Result<(), Refusal>,
) -> Result<(), RefusedBatch> {
    parts.iter().enumerate().try_for_each(|(at, one)| {
        check(one).map_err(|refusal| RefusedBatch { part: Some(part(at)), refusal: Box::new(refusal) })
    })
}

/// Checks against a private router, and collects the changes.
struct DryRun<'a> {
    broker: &'a Broker,
    vhost: &'a Vhost,
    router: Router<u32>,
    slots: HashMap<String, u32>,
    /// Definitions of new objects.
    changes: Changes,
    /// Redefined objects.
    transformed: Transformed,
    new_policies: usize,
    /// Memory counted for the patterns of the batch's policies, in bytes.
    new_pattern_bytes: usize,
    /// The vhost's limits after the batch, if the batch sets them.
    limits: Option<OperatorLimits>,
    /// Existing transient objects may be bound too: nothing will be stored.
    transient_too: bool,
}

impl Broker {
    /// Applies the whole batch, or nothing; durable on return. Checks no permissions: the caller must be entitled to
    /// define the vhost.
    pub fn declare_batch(&self, vhost: &Arc<Vhost>, batch: &Batch) -> Result<(), RefusedBatch> {
        let _administration = self.administration.lock();
        let _policies = vhost.policy_changes.lock();
        let change = vhost.change()?;
        let mut trial = DryRun::new(self, vhost);
        each(&batch.rules, Part::Rule, |rule| trial.rule(rule))?;
        each(&batch.changed_exchanges, Part::ChangedExchange, |exchange| trial.changed_exchange(exchange))?;
        each(&batch.changed_queues, Part::ChangedQueue, |queue| trial.changed_queue(queue))?;
        trial.changed_bindings();
        each(&batch.exchanges, Part::Exchange, |exchange| trial.exchange(exchange))?;
        each(&batch.queues, Part::Queue, |queue| trial.queue(queue))?;
        vhost.has_room_for_queues(batch.queues.len(), trial.limits.as_ref())?;
        each(&batch.bindings, Part::Binding, |binding| trial.binding(binding))?;
        let DryRun { changes, transformed, .. } = trial;
        self.commit(&changes.and(&transformed.changes))?;
        // Rules first: redefined objects follow the new ones.
        self.apply(&changes, |rank| rank < RANK_OF_EXCHANGES).map_err(Refusal::Storage)?;
        let mut turn = self.transform(vhost, transformed)?;
        self.apply(&changes, |rank| rank >= RANK_OF_EXCHANGES).map_err(Refusal::Storage)?;
        vhost.changed();
        drop(change);
        if batch.rules.iter().any(Rule::is_policy) {
            self.apply_policies(vhost);
        }
        let told = turn.appended;
        self.finish(&mut turn);
        if told {
            self.wait_for_store()?;
        }
        Ok(())
    }
}

impl<'a> DryRun<'a> {
    fn new(broker: &'a Broker, vhost: &'a Vhost) -> Self {
        Self {
            broker,
            vhost,
            router: Router::new(),
            slots: HashMap::new(),
            changes: Changes::default(),
            transformed: Transformed::default(),
            new_policies: 0,
            new_pattern_bytes: 0,
            limits: None,
            transient_too: false,
        }
    }
}

impl DryRun<'_> {
    fn exchange(&mut self, exchange: &NewExchange) -> Result<(), Refusal> {
        let (vhost, name) = (self.vhost, exchange.name.as_str());
        crate::check_text("exchange", name)?;
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
        self.broker.has_room_for_exchanges(&exchange.name, 0)?;
        exchange.deduplication(vhost)?;
        let spec = exchange.spec(true);
        self.router.declare(name, spec).map_err(|refusal| translated(vhost, refusal))?;
        let definition = exchange.definition(vhost);
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
        crate::queues::check_name(&queue.name)?;
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
            adopted_upto: None,
        };
        self.changes.put(Key::queue(&vhost.name, &queue.name), &definition);
        self.slot(queue.name.as_str());
        Ok(())
    }

    /// The queue's slot in the dry run; the value carries no meaning.
    fn slot(&mut self, queue: &str) -> u32 {
        if let Some(slot) = self.slots.get(queue) {
            return *slot;
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.insert(queue.to_owned(), slot);
        self.router.queue_named(queue, slot, true);
        slot
    }

    /// Adds an existing exchange to the dry run.
    fn known_exchange(&mut self, name: &str) -> Result<(), Refusal> {
        if self.router.exchange(name).is_some() {
            return Ok(());
        }
        let there = self.vhost.exchange(name).filter(|exchange| exchange.durable || self.transient_too);
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
        crate::check_text("routing key", &binding.routing_key)?;
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
                let there = self.vhost.queue(&binding.destination).is_some_and(|queue| !queue.hidden);
                let bindable = self.is_durable(DestinationKind::Queue, &binding.destination)
                    || (there && self.transient_too)
                    || self.slots.contains_key(&binding.destination);
                if !bindable {
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
