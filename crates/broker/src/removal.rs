//! Removal of queues, exchanges and bindings: dependents are planned first, then deleted on disk, then in memory.
//!
//! Invariants: nothing in memory changes before it is durable; a failed commit changes nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_exchanges::{Binding, Destination, ExchangeInfo, Removed};

use super::arguments::from_args;
use super::broker::Broker;
use super::definitions::{
    BindingDefinition, Changes, DelayDefinition, DestinationKind, ExchangeDefinition, Key, QueueDefinition,
};
use super::graves::Grave;
use super::names::ExchangeName;
use super::queue_handle::{Closed, QueueHandle};
use super::refusal::Refusal;
use super::turn::Turn;
use super::vhost::Vhost;

impl Broker {
    /// Commits a removal, together with graves no longer needed.
    pub(super) fn commit_removal(&self, changes: Changes) -> Result<(), Refusal> {
        if changes.is_empty() {
            return Ok(());
        }
        let over = self.graves.take_over();
        let mut all = changes;
        for id in &over {
            all.remove(Key::grave(*id));
        }
        self.commit(&all).inspect_err(|_| self.graves.put_back(over))
    }

    /// A queue's current definition.
    pub(super) fn definition_of(&self, queue: &QueueHandle) -> QueueDefinition {
        QueueDefinition {
            vhost: queue.vhost.as_str().to_owned(),
            name: queue.name.as_str().to_owned(),
            id: queue.id.0,
            auto_delete: queue.auto_delete(),
            arguments: queue.arguments().clone(),
            adopted_upto: self.environment().adopted_upto(queue.id).map(|seq| seq.0),
        }
    }

    /// Deletes a queue with its bindings and auto-delete dependents, if the conditions hold. The caller holds the
    /// vhost's `changes` lock.
    pub(super) fn remove_queue(
        &self,
        vhost: &Vhost,
        turn: &mut Turn,
        queue: &Arc<QueueHandle>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<Closed, Refusal> {
        let removal = Self::plan_removal(vhost, queue, if_unused, if_empty)?;
        let mut changes = Changes::default();
        removal.note(vhost, &mut changes);
        self.commit_removal(changes)?;
        self.close_queue(vhost, turn, &removal)
    }

    /// Plans the removal of a queue and its dependents, if the conditions hold.
    pub(super) fn plan_removal(
        vhost: &Vhost,
        queue: &Arc<QueueHandle>,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<Removal, Refusal> {
        queue.check_close(if_unused, if_empty)?;
        let planned = vhost.topology.read().router.plan_queue_gone(queue.slot);
        Ok(Removal { queue: Arc::clone(queue), if_unused, if_empty, planned })
    }

    /// Carries out a planned removal that is already committed.
    pub(super) fn close_queue(
        &self,
        vhost: &Vhost,
        turn: &mut Turn,
        removal: &Removal,
    ) -> Result<Closed, Refusal> {
        let Removal { queue, if_unused, if_empty, planned } = removal;
        match queue.close(turn, *if_unused, *if_empty) {
            Ok(closed) => {
                self.queue_gone(vhost, queue);
                Ok(closed)
            }
            Err(refusal) => {
                // A message or a consumer arrived in between.
                let back = self.definitions_of(vhost, queue, planned);
                if let Err(error) = self.commit(&back) {
                    tracing::error!(%vhost.name, queue = %queue.name, "a queue that is not deleted after all: {error}");
                    self.owe(&back);
                }
                Err(refusal)
            }
        }
    }

    /// Whether the removal, alone or with others planned beside it, may leave auto-delete exchanges without bindings.
    pub(super) fn may_orphan(vhost: &Vhost, planned: &Removed<u32>) -> bool {
        let topology = vhost.topology.read();
        let auto_delete =
            |source: &str| topology.router.exchange(source).is_some_and(|info| info.auto_delete);
        planned.bindings.iter().any(|binding| auto_delete(&binding.source))
    }

    /// Deletes a queue unconditionally, even if that cannot be made durable: its definitions are removed by the next
    /// commit that succeeds.
    pub(super) fn force_out(&self, vhost: &Vhost, turn: &mut Turn, queue: &Arc<QueueHandle>) {
        match self.remove_queue(vhost, turn, queue, false, false) {
            Ok(closed) => turn.cancelled.extend(closed.consumers),
            Err(Refusal::NotFound { .. }) => {}
            Err(refusal) => {
                tracing::error!(vhost = %vhost.name, queue = %queue.name, "deleting an exclusive queue: {refusal}");
                let planned = vhost.topology.read().router.plan_queue_gone(queue.slot);
                let mut changes = Changes::default();
                Self::note_removed(vhost, &planned, Some(queue), &mut changes);
                self.owe(&changes);
                if let Ok(closed) = queue.close(turn, false, false) {
                    turn.cancelled.extend(closed.consumers);
                    self.queue_gone(vhost, queue);
                }
            }
        }
    }

    /// Removes a closed queue from the topology.
    fn queue_gone(&self, vhost: &Vhost, queue: &QueueHandle) {
        let removed = {
            let mut topology = vhost.topology.write();
            let removed = topology.router.queue_gone(queue.slot);
            topology.by_name.remove(&queue.name);
            let gone = topology.queues.try_remove(queue.slot as usize);
            topology.hidden -= usize::from(gone.is_some_and(|gone| gone.hidden));
            removed
        };
        vhost.changed();
        self.registry.churn.queues_deleted.fetch_add(1, Ordering::Relaxed);
        self.environment().forget_adopted(queue.id);
        self.close_removed(vhost, &removed);
        self.graves.bury(self.store(), queue.durable().then_some(queue.id));
    }

    /// Ends the features of removed exchanges.
    pub(super) fn close_removed(&self, vhost: &Vhost, removed: &Removed<u32>) {
        for exchange in &removed.exchanges {
            self.close_features(vhost, &exchange.name);
        }
    }

    /// Records the removal of durable objects. `queue`: the removed queue.
    pub(super) fn note_removed(
        vhost: &Vhost,
        removed: &Removed<u32>,
        queue: Option<&Arc<QueueHandle>>,
        changes: &mut Changes,
    ) {
        for binding in removed.bindings.iter().filter(|binding| binding.durable) {
            if let Some(definition) = binding_definition(vhost, binding, queue) {
                changes.remove(Key::binding(&definition));
            }
        }
        for exchange in removed.exchanges.iter().filter(|exchange| exchange.durable) {
            let name = ExchangeName::new(&exchange.name);
            if let Some(delay_room) = vhost.delay_room(&exchange.name) {
                changes.remove(Key::delay(&vhost.name, &name));
                changes.put(Key::grave(delay_room.id), &grave_of(vhost, &exchange.name));
            }
            changes.remove(Key::exchange(&vhost.name, &name));
        }
    }

    /// The current definitions of everything that [`Broker::note_removed`] removes.
    fn definitions_of(&self, vhost: &Vhost, queue: &Arc<QueueHandle>, planned: &Removed<u32>) -> Changes {
        let mut changes = Changes::default();
        if queue.durable() {
            changes.put(Key::queue(&vhost.name, &queue.name), &self.definition_of(queue));
            changes.remove(Key::grave(queue.id));
        }
        for binding in planned.bindings.iter().filter(|binding| binding.durable) {
            if let Some(definition) = binding_definition(vhost, binding, Some(queue)) {
                changes.put(Key::binding(&definition), &definition);
            }
        }
        for exchange in planned.exchanges.iter().filter(|exchange| exchange.durable) {
            let name = ExchangeName::new(&exchange.name);
            changes.put(Key::exchange(&vhost.name, &name), &exchange_definition(vhost, exchange));
            if let Some(delay_room) = vhost.delay_room(&exchange.name) {
                let definition = DelayDefinition {
                    vhost: vhost.name.as_str().to_owned(),
                    exchange: exchange.name.to_string(),
                    id: delay_room.id.0,
                };
                changes.put(Key::delay(&vhost.name, &name), &definition);
                changes.remove(Key::grave(delay_room.id));
            }
        }
        changes
    }
}

/// A queue to be removed, with its dependents.
pub(super) struct Removal {
    queue: Arc<QueueHandle>,
    if_unused: bool,
    if_empty: bool,
    pub(super) planned: Removed<u32>,
}

impl Removal {
    /// Records the definitions to delete.
    pub(super) fn note(&self, vhost: &Vhost, changes: &mut Changes) {
        let queue = &self.queue;
        if queue.durable() {
            changes.remove(Key::queue(&vhost.name, &queue.name));
            // An empty queue has nothing to drop; later arrivals must be kept.
            if !self.if_empty || queue.counts().unacked > 0 {
                changes.put(Key::grave(queue.id), &grave(queue));
            }
        }
        Broker::note_removed(vhost, &self.planned, Some(queue), changes);
    }
}

/// The grave of a queue.
pub(super) fn grave(queue: &QueueHandle) -> Grave {
    Grave { vhost: queue.vhost.as_str().to_owned(), name: queue.name.as_str().to_owned() }
}

/// The grave of a delay room, by its exchange.
pub(super) fn grave_of(vhost: &Vhost, exchange: &str) -> Grave {
    Grave { vhost: vhost.name.as_str().to_owned(), name: exchange.to_owned() }
}

fn binding_definition(
    vhost: &Vhost,
    binding: &Binding<u32>,
    queue: Option<&Arc<QueueHandle>>,
) -> Option<BindingDefinition> {
    let (destination_kind, destination) = match &binding.destination {
        Destination::Exchange(name) => (DestinationKind::Exchange, name.to_string()),
        Destination::Queue(slot) => {
            let gone = queue.filter(|queue| queue.slot == *slot).map(Arc::clone);
            let queue = gone.or_else(|| vhost.topology.read().queues.get(*slot as usize).cloned())?;
            (DestinationKind::Queue, queue.name.as_str().to_owned())
        }
    };
    Some(BindingDefinition {
        vhost: vhost.name.as_str().to_owned(),
        source: binding.source.to_string(),
        destination,
        destination_kind,
        routing_key: binding.key.to_string(),
        arguments: from_args(&binding.args),
    })
}

fn exchange_definition(vhost: &Vhost, exchange: &ExchangeInfo) -> ExchangeDefinition {
    ExchangeDefinition {
        vhost: vhost.name.as_str().to_owned(),
        name: exchange.name.to_string(),
        kind: exchange.kind.name().to_owned(),
        auto_delete: exchange.auto_delete,
        internal: exchange.internal,
        arguments: from_args(&exchange.args),
    }
}
