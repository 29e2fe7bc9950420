//! Queues and exchanges redefined under their names, for which AMQP offers only delete and redeclare.
//!
//! Invariants: all bindings stay, and every publish finds either the old or the new object; a queue keeps its id in the
//! store, so that no message is moved, lost or duplicated by a crash at any point.

use std::collections::HashMap;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use leveret_exchanges::{ExchangeInfo, ExchangeSpec, Kind, names};
use leveret_message::QueueId;
use leveret_store::{Broken, Synced, Waiter};

use super::{Changed, DryRun, NewExchange, NewQueue};
use crate::arguments::from_args;
use crate::broker::Broker;
use crate::deduplication::DeduplicationRule;
use crate::definitions::{Changes, DelayDefinition, DestinationKind, Key, QueueDefinition};
use crate::delay_room::DelayRoom;
use crate::exchange_features::ExchangeFeatures;
use crate::exchanges::translated;
use crate::listing::BindingView;
use crate::policies::Object;
use crate::policy_changes::apply_to_exchange;
use crate::queue_handle::QueueHandle;
use crate::queue_options::QueueSpec;
use crate::queue_options::{self, QueueOptions};
use crate::refusal::{Refusal, Resource};
use crate::removal::{grave, grave_of};
use crate::turn::Turn;
use crate::vhost::Vhost;

/// Checked changes, to be applied once committed.
#[derive(Default)]
pub(super) struct Transformed {
    pub(super) changes: Changes,
    queues: Vec<ToQueue>,
    exchanges: Vec<ToExchange>,
    /// New durability of the changed objects.
    durable: HashMap<(DestinationKind, String), bool>,
}

struct ToQueue {
    queue: Arc<QueueHandle>,
    spec: QueueSpec,
    options: QueueOptions,
}

struct ToExchange {
    exchange: NewExchange,
    durable: bool,
    deduplication: Option<DeduplicationRule>,
    delay_room: Option<Arc<DelayRoom>>,
}

impl ToExchange {
    fn spec(&self) -> ExchangeSpec<'_> {
        self.exchange.spec(self.durable)
    }
}

impl DryRun<'_> {
    pub(super) fn changed_queue(&mut self, changed: &Changed<NewQueue>) -> Result<(), Refusal> {
        let (vhost, wanted) = (self.vhost, &changed.to);
        let found = vhost.queue(wanted.name.as_str()).filter(|queue| !queue.hidden);
        let queue = found.ok_or_else(|| Refusal::NotFound {
            resource: Resource::Queue(wanted.name.clone()),
            vhost: vhost.name.clone(),
        })?;
        if queue.exclusive_owner.is_some() {
            return Err(Refusal::ExclusiveToAnother { queue: queue.name.clone(), vhost: vhost.name.clone() });
        }
        let spec = QueueSpec {
            durable: changed.durable,
            auto_delete: wanted.auto_delete,
            exclusive_owner: None,
            hidden: false,
            arguments: wanted.arguments.clone(),
        };
        let options = queue_options::read(&queue.name, &vhost.name, &spec, false)?;
        let definition = QueueDefinition {
            auto_delete: spec.auto_delete,
            arguments: spec.arguments.clone(),
            ..self.broker.definition_of(&queue)
        };
        let key = Key::queue(&vhost.name, &queue.name);
        self.transformed.changes.put_or_remove(key, &definition, !spec.durable);
        // The grave has the next start discard what the store holds of a transient queue.
        self.transformed.changes.put_or_remove(Key::grave(queue.id), &grave(&queue), spec.durable);
        self.transformed
            .durable
            .insert((DestinationKind::Queue, queue.name.as_str().to_owned()), spec.durable);
        self.transformed.queues.push(ToQueue { queue, spec, options });
        Ok(())
    }

    pub(super) fn changed_exchange(&mut self, changed: &Changed<NewExchange>) -> Result<(), Refusal> {
        let (vhost, exchange, durable) = (self.vhost, &changed.to, changed.durable);
        let name = exchange.name.as_str();
        if names::is_predeclared(name) {
            return Err(Refusal::SystemExchange(exchange.name.clone(), vhost.name.clone()));
        }
        let deduplication = exchange.deduplication(vhost)?;
        let spec = exchange.spec(durable);
        let replaceable = vhost.topology.read().router.check_replacement(name, &spec);
        replaceable.map_err(|refusal| translated(vhost, refusal))?;
        self.router.declare(name, spec).map_err(|refusal| translated(vhost, refusal))?;
        let definition = exchange.definition(vhost);
        let key = Key::exchange(&vhost.name, &exchange.name);
        self.transformed.changes.put_or_remove(key, &definition, !durable);
        // Waiting messages are released through the redefined exchange.
        let delay_room = match vhost.delay_room(name) {
            None if exchange.kind == Kind::DELAYED => {
                let id = QueueId(self.broker.next_queue_id()?);
                Some(DelayRoom::new(id, &vhost.name, &exchange.name, durable, self.broker.environment()))
            }
            there => there,
        };
        if let Some(delay_room) = &delay_room {
            let definition = DelayDefinition {
                vhost: vhost.name.as_str().to_owned(),
                exchange: name.to_owned(),
                id: delay_room.id.0,
            };
            let key = Key::delay(&vhost.name, &exchange.name);
            self.transformed.changes.put_or_remove(key, &definition, !durable);
            self.transformed.changes.put_or_remove(
                Key::grave(delay_room.id),
                &grave_of(vhost, name),
                durable,
            );
        }
        self.transformed.durable.insert((DestinationKind::Exchange, name.to_owned()), durable);
        let to = ToExchange { exchange: exchange.clone(), durable, deduplication, delay_room };
        self.transformed.exchanges.push(to);
        Ok(())
    }

    /// Records bindings whose durability changes.
    pub(super) fn changed_bindings(&mut self) {
        let mut bindings: Vec<BindingView> = Vec::new();
        for to in &self.transformed.queues {
            bindings.extend(self.vhost.bindings_to(DestinationKind::Queue, to.queue.name.as_str()));
        }
        for to in &self.transformed.exchanges {
            let name = to.exchange.name.as_str();
            bindings.extend(self.vhost.bindings_from(name));
            bindings.extend(self.vhost.bindings_to(DestinationKind::Exchange, name));
        }
        for binding in bindings.into_iter().filter(|binding| !binding.source.is_empty()) {
            let durable = self.is_durable(DestinationKind::Exchange, &binding.source)
                && self.is_durable(binding.kind, &binding.destination);
            if durable != binding.durable {
                let definition = binding.definition(&self.vhost.name);
                self.transformed.changes.put_or_remove(Key::binding(&definition), &definition, !durable);
            }
        }
    }

    /// Whether the object is durable after the batch. Not called for objects that are new in the batch.
    pub(super) fn is_durable(&self, kind: DestinationKind, name: &str) -> bool {
        let changed = self.transformed.durable.get(&(kind, name.to_owned()));
        changed.copied().unwrap_or_else(|| match kind {
            DestinationKind::Exchange => self.vhost.exchange(name).is_some_and(|exchange| exchange.durable),
            DestinationKind::Queue => {
                self.vhost.queue(name).is_some_and(|queue| queue.durable() && !queue.hidden)
            }
        })
    }
}

impl Broker {
    /// Applies checked and committed changes. The turn must be finished when no lock is held.
    pub(super) fn transform(&self, vhost: &Vhost, transformed: Transformed) -> Result<Turn, Refusal> {
        let policies = vhost.policies();
        if !transformed.exchanges.is_empty() {
            let mut topology = vhost.topology.write();
            for to in transformed.exchanges {
                let name = to.exchange.name.as_str();
                let before = topology.router.exchange(name).cloned();
                let replaced = topology.router.replace(name, to.spec());
                replaced.map_err(|refusal| translated(vhost, refusal))?;
                let after = topology.router.exchange(name);
                let history = after.and_then(ExchangeInfo::history_length);
                let same_history = history == before.as_ref().and_then(ExchangeInfo::history_length);
                let rule_before = before
                    .and_then(|before| DeduplicationRule::read(&from_args(&before.args)).ok())
                    .flatten();
                if let Some(delay_room) = &to.delay_room {
                    delay_room.set_durable(to.durable);
                }
                let same_rule = rule_before == to.deduplication;
                let old = topology.features.remove(name.as_bytes());
                let new = ExchangeFeatures::of(to.deduplication, history, to.delay_room);
                if let Some(new) = new {
                    let new = match old {
                        Some(old) => new.with_memory_of(old, same_rule, same_history),
                        None => new,
                    };
                    topology.features.insert(name.as_bytes().into(), new);
                }
                apply_to_exchange(&mut topology, &policies, name);
            }
        }
        let mut turn = Turn::at(self.now());
        for ToQueue { queue, spec, options } in transformed.queues {
            vhost.topology.write().router.set_queue_durable(queue.slot, spec.durable);
            let in_force =
                options.in_force(policies.matched(Object::Queue(options.kind), queue.name.as_str()));
            queue.change(&mut turn, spec, in_force, options.deduplication);
        }
        vhost.changed();
        Ok(turn)
    }

    /// Waits until all appended records are on disk: messages that became durable.
    pub(super) fn wait_for_store(&self) -> Result<(), Refusal> {
        let (told, heard) = mpsc::sync_channel(1);
        let waiter: Arc<dyn Waiter> = Arc::new(Told(told));
        self.store().notify(&waiter, 1);
        match heard.recv_timeout(STORED_WITHIN) {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(broken)) => Err(Refusal::Storage(broken.to_string())),
            Err(_) => {
                Err(Refusal::Storage("the messages that became durable are not on disk yet".to_owned()))
            }
        }
    }
}

/// The store takes messages within milliseconds, unless its disk is full.
const STORED_WITHIN: Duration = Duration::from_secs(20);

struct Told(mpsc::SyncSender<Result<Synced, Broken>>);

impl Waiter for Told {
    fn synced(&self, _: u64, outcome: Result<Synced, Broken>) {
        // The waiter may have given up.
        let _ = self.0.try_send(outcome);
    }
}
