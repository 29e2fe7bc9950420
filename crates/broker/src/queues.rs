//! Queues: declare, look up, purge, delete (docs/semantics.md, Declaring again).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use leveret_message::QueueId;
use leveret_queues::Queue;

use super::Caller;
use super::arguments::{FieldTable, Value, get, text, type_name};
use super::broker::Broker;
use super::definitions::{Key, QueueDefinition};
use super::names::{ConnectionId, ExchangeName, QueueName, is_reserved};
use super::policies::Object;
use super::queue_handle::{Installed, QueueHandle};
use super::queue_kind::QueueKind;
use super::queue_options::{self, QueueOptions, QueueSpec};
use super::refusal::{Access, Refusal, Resource};
use super::row::{Row, Staged};
use super::turn::Turn;
use super::vhost::Vhost;

/// Longest `x-name-prefix`, in bytes (`RabbitMQ`).
const NAME_PREFIX_BYTES_MAX: usize = 64;

/// `queue.declare`.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the bits of queue.declare")]
pub struct QueueRequest<'a> {
    /// Only check that it exists.
    pub passive: bool,
    /// Survives a restart.
    pub durable: bool,
    /// Only for this connection; deleted with it.
    pub exclusive: bool,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// Arguments.
    pub arguments: &'a FieldTable,
}

/// A declared queue.
#[derive(Debug)]
pub struct DeclaredQueue {
    /// The queue.
    pub queue: Arc<QueueHandle>,
    /// Whether it was created.
    pub created: bool,
    /// Number of ready messages.
    pub messages: u64,
    /// Number of consumers.
    pub consumers: u64,
}

/// `queue.delete`.
#[derive(Clone, Debug)]
pub struct QueueDeletion {
    /// Queue name.
    pub name: QueueName,
    /// Only if it has no consumers.
    pub if_unused: bool,
    /// Only if it has no messages.
    pub if_empty: bool,
}

/// Outcome of planning a declaration.
enum PlannedQueue {
    There(DeclaredQueue),
    New(Box<NewQueue>),
}

/// A new queue that passed all checks.
struct NewQueue {
    id: QueueId,
    name: QueueName,
    spec: QueueSpec,
    options: QueueOptions,
}

impl DeclaredQueue {
    fn of(queue: Arc<QueueHandle>, created: bool) -> Self {
        let counts = queue.counts();
        Self { queue, created, messages: counts.ready, consumers: counts.consumers as u64 }
    }
}

impl Broker {
    /// Declares a queue: finds an equivalent existing one, or creates it. A durable one is on disk before it becomes
    /// visible, so that no message can be confirmed into a queue that a crash would lose.
    pub fn declare_queue(
        &self,
        vhost: &Arc<Vhost>,
        caller: &Caller<'_>,
        turn: &mut Turn,
        name: &QueueName,
        request: &QueueRequest<'_>,
    ) -> Result<DeclaredQueue, Refusal> {
        if request.passive {
            caller.rights.check_any(&Resource::Queue(name.clone()))?;
            let queue = Self::accessible_queue(vhost, caller, name)?;
            queue.touch(turn.now);
            return Ok(DeclaredQueue::of(queue, false));
        }
        self.declare_queues(vhost, caller, turn, &[(name.clone(), *request)]).only()
    }

    /// Declares queues in order, none passively, up to the first refusal.
    pub fn declare_queues(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        turn: &Turn,
        requests: &[(QueueName, QueueRequest<'_>)],
    ) -> Row<DeclaredQueue> {
        self.in_a_row(
            vhost,
            requests,
            |broker, changes| broker.commit(&changes),
            |(name, request), staged| {
                if staged.concerns(name.as_str()) {
                    return Ok(None);
                }
                self.plan_queue(vhost, caller, turn, name, request, staged).map(Some)
            },
            |planned| match planned {
                PlannedQueue::There(declared) => Ok(declared),
                PlannedQueue::New(new) => Ok(self.put_queue(vhost, turn, *new)),
            },
        )
    }

    fn plan_queue(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        turn: &Turn,
        name: &QueueName,
        request: &QueueRequest<'_>,
        staged: &mut Staged,
    ) -> Result<PlannedQueue, Refusal> {
        let server_named = name.as_str().is_empty();
        let name = if server_named {
            self.server_name(vhost, request.arguments)?
        } else {
            check_name(name)?;
            name.clone()
        };
        caller.rights.check(Access::Configure, &Resource::Queue(name.clone()))?;
        let mut spec = QueueSpec {
            // An exclusive queue ends with its connection, durable or not.
            durable: request.durable && !request.exclusive,
            auto_delete: request.auto_delete,
            exclusive_owner: request.exclusive.then_some(caller.connection).flatten(),
            hidden: false,
            arguments: request.arguments.clone(),
        };
        self.registry.churn.queues_declared.fetch_add(1, Ordering::Relaxed);
        let existing = vhost.queue(name.as_str());
        give_default_type(vhost, &mut spec, server_named, existing.as_deref());
        if let Some(queue) = existing {
            exclusive_to(&queue, caller.connection)?;
            if queue.exclusive_owner != spec.exclusive_owner {
                return Err(exclusive_to_another(&queue));
            }
            queue_options::same(&name, &vhost.name, &queue.spec(), &spec)?;
            queue.touch(turn.now);
            return Ok(PlannedQueue::There(DeclaredQueue::of(queue, false)));
        }
        let options = queue_options::read(&name, &vhost.name, &spec, server_named)?;
        if let Some(exchange) = &options.rules.dead_letter_exchange {
            // Dead-lettering reads from the queue and writes to the exchange.
            caller.rights.check(Access::Read, &Resource::Queue(name.clone()))?;
            caller.rights.check(Access::Write, &Resource::Exchange(ExchangeName::new(exchange)))?;
        }
        self.has_room_for_arguments(&spec.arguments)?;
        vhost.has_room_for_queue_behind(&name, staged.count(), None)?;
        let id = QueueId(self.next_queue_id()?);
        if spec.durable {
            let definition = QueueDefinition {
                vhost: vhost.name.as_str().to_owned(),
                name: name.as_str().to_owned(),
                id: id.0,
                auto_delete: spec.auto_delete,
                arguments: spec.arguments.clone(),
                adopted_upto: None,
            };
            staged.changes.put(Key::queue(&vhost.name, &name), &definition);
        }
        staged.note(name.as_str());
        Ok(PlannedQueue::New(Box::new(NewQueue { id, name, spec, options })))
    }

    fn put_queue(&self, vhost: &Vhost, turn: &Turn, new: NewQueue) -> DeclaredQueue {
        let NewQueue { id, name, spec, options } = new;
        let in_force = options.in_force(vhost.policies().matched(Object::Queue(options.kind), name.as_str()));
        let queue = Queue::new(in_force.settings, turn.now);
        let deduplication = options.deduplication;
        let queue = self.install_queue(vhost, id, &name, spec, Installed { in_force, deduplication, queue });
        self.registry.churn.queues_created.fetch_add(1, Ordering::Relaxed);
        DeclaredQueue::of(queue, true)
    }

    /// A name for an unnamed queue: `amq.gen-` or the `x-name-prefix`, and random characters.
    fn server_name(&self, vhost: &Vhost, arguments: &FieldTable) -> Result<QueueName, Refusal> {
        let Some(value) = get(arguments, "x-name-prefix") else {
            return Ok(QueueName::new(&self.generated_name("amq.gen-")));
        };
        let invalid = |why: String| Refusal::InvalidArgument {
            argument: "x-name-prefix".to_owned(),
            resource: Resource::Queue(QueueName::new("")),
            vhost: vhost.name.clone(),
            why,
        };
        let prefix =
            text(value).ok_or_else(|| invalid(format!("{{unacceptable_type,{}}}", type_name(value))))?;
        if prefix.len() > NAME_PREFIX_BYTES_MAX {
            return Err(invalid(format!("longer than {NAME_PREFIX_BYTES_MAX} bytes")));
        }
        let name = QueueName::new(&self.generated_name(&format!("{prefix}-")));
        check_name(&name)?;
        Ok(name)
    }

    /// Adds the vhost's default queue type to `spec` if it has none.
    pub fn give_default_type(&self, vhost: &Vhost, spec: &mut QueueSpec) {
        give_default_type(vhost, spec, false, None);
    }

    /// Makes a queue visible.
    pub(super) fn install_queue(
        &self,
        vhost: &Vhost,
        id: QueueId,
        name: &QueueName,
        spec: QueueSpec,
        installed: Installed,
    ) -> Arc<QueueHandle> {
        let mut topology = vhost.topology.write();
        let entry = topology.queues.vacant_entry();
        let slot = u32::try_from(entry.key()).unwrap_or(u32::MAX);
        let durable = spec.durable;
        let environment = Arc::clone(self.environment());
        let place = super::queue_handle::Place { id, slot, name: name.clone(), vhost: vhost.name.clone() };
        let handle = QueueHandle::new(place, spec, installed, environment);
        entry.insert(Arc::clone(&handle));
        topology.hidden += usize::from(handle.hidden);
        topology.by_name.insert(name.clone(), slot);
        topology.router.queue_named(name.shared(), slot, durable);
        drop(topology);
        vhost.changed();
        handle.arm();
        handle
    }

    /// Has unused queues release their working memory. Called periodically.
    pub fn rest_queues(&self) {
        for queue in self.vhosts.iter().flat_map(|vhost| vhost.queues_and_hidden()) {
            queue.rest();
        }
    }

    /// The queue, if the caller's connection may access it.
    fn accessible_queue(
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &QueueName,
    ) -> Result<Arc<QueueHandle>, Refusal> {
        let found = vhost.queue(name.as_str()).filter(|queue| !queue.hidden);
        let queue = found.ok_or_else(|| Refusal::NotFound {
            resource: Resource::Queue(name.clone()),
            vhost: vhost.name.clone(),
        })?;
        exclusive_to(&queue, caller.connection)?;
        Ok(queue)
    }

    /// The queue, for consuming or getting.
    pub fn readable_queue(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        name: &QueueName,
    ) -> Result<Arc<QueueHandle>, Refusal> {
        caller.rights.check(Access::Read, &Resource::Queue(name.clone()))?;
        Self::accessible_queue(vhost, caller, name)
    }

    /// Drops the queue's ready messages; returns their number.
    pub fn purge_queue(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        turn: &mut Turn,
        name: &QueueName,
    ) -> Result<u64, Refusal> {
        self.readable_queue(vhost, caller, name)?.purge(turn)
    }

    /// Deletes a queue; returns the number of ready messages. A missing queue counts as deleted.
    pub fn delete_queue(
        &self,
        vhost: &Arc<Vhost>,
        caller: &Caller<'_>,
        turn: &mut Turn,
        name: &QueueName,
        if_unused: bool,
        if_empty: bool,
    ) -> Result<u64, Refusal> {
        let request = QueueDeletion { name: name.clone(), if_unused, if_empty };
        self.delete_queues(vhost, caller, turn, &[request]).only()
    }

    /// Deletes queues in order, up to the first refusal; returns the number of ready messages in each.
    pub fn delete_queues(
        &self,
        vhost: &Vhost,
        caller: &Caller<'_>,
        turn: &mut Turn,
        requests: &[QueueDeletion],
    ) -> Row<u64> {
        self.in_a_row(
            vhost,
            requests,
            Self::commit_removal,
            |request, staged| {
                let name = &request.name;
                caller.rights.check(Access::Configure, &Resource::Queue(name.clone()))?;
                if staged.concerns(name.as_str()) {
                    return Ok(None);
                }
                let found = vhost.queue(name.as_str()).filter(|queue| !queue.hidden);
                let Some(queue) = found else { return Ok(Some(None)) };
                exclusive_to(&queue, caller.connection)?;
                let removal = Self::plan_removal(vhost, &queue, request.if_unused, request.if_empty)?;
                // A concurrent operation may keep a queue from a conditional deletion.
                let conditional = request.if_unused || request.if_empty;
                if staged.keeps_apart(conditional || Self::may_orphan(vhost, &removal.planned)) {
                    return Ok(None);
                }
                removal.note(vhost, &mut staged.changes);
                staged.note(name.as_str());
                Ok(Some(Some(removal)))
            },
            |removal| {
                let Some(removal) = removal else { return Ok(0) };
                match self.close_queue(vhost, turn, &removal) {
                    // Deleted concurrently.
                    Err(Refusal::NotFound { .. }) => Ok(0),
                    Err(refusal) => Err(refusal),
                    Ok(closed) => {
                        turn.cancelled.extend(closed.consumers);
                        Ok(closed.messages)
                    }
                }
            },
        )
    }

    /// Deletes an exclusive queue with its connection.
    pub fn delete_exclusive(&self, turn: &mut Turn, queue: &Arc<QueueHandle>) {
        let Some(vhost) = self.vhost(queue.vhost.as_str()) else { return };
        let _change = vhost.changes.lock();
        self.force_out(&vhost, turn, queue);
    }

    /// Deletes a queue no longer needed, if that still holds.
    pub(super) fn delete_idle(&self, turn: &mut Turn, queue: &Arc<QueueHandle>) {
        let Some(vhost) = self.vhost(queue.vhost.as_str()) else { return };
        let _change = vhost.changes.lock();
        if !queue.may_go(turn.now) {
            return;
        }
        match self.remove_queue(&vhost, turn, queue, true, false) {
            Ok(closed) => turn.cancelled.extend(closed.consumers),
            Err(refusal @ Refusal::Storage(_)) => {
                tracing::error!(queue = %queue.name, "deleting an unused queue, to be tried again: {refusal}");
                if queue.put_deletion_off() {
                    self.undeleted.lock().push(Arc::clone(queue));
                }
            }
            // Deleted, or in use again.
            Err(_) => {}
        }
    }

    /// Retries deletions that could not be made durable. Called periodically.
    pub fn delete_again(&self) {
        let queues = std::mem::take(&mut *self.undeleted.lock());
        let mut turn = Turn::at(self.now());
        for queue in queues {
            queue.take_deletion_up();
            self.delete_idle(&mut turn, &queue);
            self.finish(&mut turn);
        }
    }
}

/// A queue declared without a type gets the vhost's default type, if possible; an existing queue keeps its own.
fn give_default_type(
    vhost: &Vhost,
    spec: &mut QueueSpec,
    server_named: bool,
    existing: Option<&QueueHandle>,
) {
    let fitting = spec.durable && !spec.auto_delete && spec.exclusive_owner.is_none() && !server_named;
    if !fitting || get(&spec.arguments, QueueKind::ARGUMENT).is_some() {
        return;
    }
    let default = vhost.record.read().default_queue_type.as_deref().and_then(QueueKind::named);
    let Some(default) = default.filter(|kind| *kind != QueueKind::default()) else { return };
    let kind = match existing {
        Some(queue) => get(&queue.arguments(), QueueKind::ARGUMENT).cloned(),
        None => Some(Value::LongString(default.name().into())),
    };
    if let Some(kind) = kind {
        spec.arguments.insert(QueueKind::ARGUMENT.into(), kind);
    }
}

pub(super) fn check_name(name: &QueueName) -> Result<(), Refusal> {
    if is_reserved(name.as_str()) {
        return Err(Refusal::ReservedName(Resource::Queue(name.clone())));
    }
    super::check_text("queue", name.as_str())
}

fn exclusive_to(queue: &QueueHandle, connection: Option<ConnectionId>) -> Result<(), Refusal> {
    match queue.exclusive_owner {
        Some(owner) if Some(owner) != connection => Err(exclusive_to_another(queue)),
        _ => Ok(()),
    }
}

fn exclusive_to_another(queue: &QueueHandle) -> Refusal {
    Refusal::ExclusiveToAnother { queue: queue.name.clone(), vhost: queue.vhost.clone() }
}
