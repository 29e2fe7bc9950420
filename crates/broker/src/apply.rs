//! Applies durable definitions to memory: at startup, and after every commit.

use std::collections::HashMap;
use std::sync::Arc;

use leveret_exchanges::{Destination, ExchangeSpec};
use leveret_message::stored::RecoveredQueue;
use leveret_message::{QueueId, Seq};
use leveret_queues::Queue;

use super::arguments::to_args;
use super::broker::Broker;
use super::deduplication::DeduplicationRule;
use super::definitions::{
    BindingDefinition, Changes, DelayDefinition, DestinationKind, ExchangeDefinition, Key, QueueDefinition,
    rank, read,
};
use super::delay_room::DelayRoom;
use super::names::{ExchangeName, QueueName};
use super::operator_limits::OperatorLimits;
use super::policies::{Object, Policy, PolicyKind, PolicySet};
use super::policy_changes::apply_to_exchange;
use super::queue_handle::Installed;
use super::queue_options::{self, QueueSpec};
use super::refusal::Refusal;
use super::topic_permissions::TopicPermissionRecord;
use super::users::{PermissionRecord, UserRecord};
use super::vhost::Vhost;

/// Recovered messages by queue, until the queues exist.
pub(super) type Recovered = HashMap<QueueId, RecoveredQueue>;

impl Broker {
    /// Commits changes, then applies them. They have been checked and touch no existing topology: removals take their
    /// messages with them (`removal.rs`).
    pub(super) fn change(&self, changes: &Changes) -> Result<(), Refusal> {
        self.commit(changes)?;
        self.apply(changes, |_| true).map_err(Refusal::Storage)
    }

    /// Commits changes; a no-op if there are none.
    pub(super) fn commit(&self, changes: &Changes) -> Result<(), Refusal> {
        self.catalog.commit(changes, &self.lost)
    }

    /// Commits changes that are already in force; on failure they are added to the next commit.
    pub(super) fn commit_or_owe(&self, changes: &Changes) {
        if let Err(error) = self.commit(changes) {
            tracing::error!("what was found at the start is not kept yet: {error}");
            self.owe(changes);
        }
    }

    /// Adds changes to the next commit: they are in force already but could not be stored.
    pub(super) fn owe(&self, changes: &Changes) {
        self.catalog.owe(changes);
    }

    pub(super) fn next_queue_id(&self) -> Result<u64, Refusal> {
        self.catalog.next_id()
    }

    /// Applies changes of these ranks, in order of rank.
    pub(super) fn apply(&self, changes: &Changes, of_rank: impl Fn(u8) -> bool) -> Result<(), String> {
        self.apply_with(changes, of_rank, &mut Recovered::new())
    }

    /// As `apply`; new queues get their recovered messages.
    pub(super) fn apply_with(
        &self,
        changes: &Changes,
        of_rank: impl Fn(u8) -> bool,
        recovered: &mut Recovered,
    ) -> Result<(), String> {
        let ranked = changes.as_slice().iter().map(|(key, value)| (rank(key), key, value));
        let mut sorted: Vec<_> = ranked.filter(|(rank, ..)| of_rank(*rank)).collect();
        // Stable within a rank.
        sorted.sort_by_key(|(rank, ..)| *rank);
        for (_, key, value) in sorted {
            match value {
                Some(value) => self.put_in_place(key, value, recovered)?,
                None => self.take_away(key)?,
            }
        }
        Ok(())
    }

    /// Applies one stored definition.
    pub(super) fn put_in_place(
        &self,
        key: &str,
        value: &[u8],
        recovered: &mut Recovered,
    ) -> Result<(), String> {
        let part = |index| Key::part(key, index);
        match Key::kind(key) {
            "vhost" => {
                // Whatever its record says, its contents must not be lost with it.
                let name = part(0);
                let made = || Arc::new(Vhost::new(name));
                let vhost = Arc::clone(&self.vhosts.entry(name.to_owned()).or_insert_with(made));
                *vhost.record.write() = read(value)?;
            }
            "user" => self.users.put(part(0), read::<UserRecord>(value)?),
            "permission" => {
                let record = read::<PermissionRecord>(value)?;
                let permitted = self.users.permit(part(0), part(1), record);
                permitted.map_err(|error| error.to_string())?;
            }
            "topic_permission" => {
                let (user, vhost) = (part(0), part(1));
                let record = read::<TopicPermissionRecord>(value)?;
                let topics = self.users.topics(user, vhost).with(user, vhost, part(2), record);
                self.users.set_topic_permissions(user, vhost, topics.map_err(|error| error.to_string())?);
            }
            "vhost_limits" => *self.vhost_of(part(0))?.limits.write() = read(value)?,
            "user_limits" => self.users.set_limits(part(0), read(value)?),
            "global_parameter" => {
                self.global_parameters.write().insert(part(0).to_owned(), read(value)?);
            }
            "exchange" => self.put_exchange_in_place(&read(value)?)?,
            "queue" => self.put_queue_in_place(read(value)?, recovered)?,
            "delay" => self.put_delay_in_place(&read(value)?, recovered)?,
            "binding" => self.put_binding_in_place(&read(value)?)?,
            "gone" | "orphan" | "aside" => {}
            kind => {
                let kind = policy_kind(kind)?;
                let policy = Policy::new(part(1), read(value)?).map_err(|error| error.to_string())?;
                self.change_policies(part(0), |policies| policies.put(kind, policy))?;
            }
        }
        Ok(())
    }

    /// Removes a rule, a user or a permission.
    fn take_away(&self, key: &str) -> Result<(), String> {
        let part = |index| Key::part(key, index);
        match Key::kind(key) {
            "user" => self.users.remove(part(0)),
            "permission" => self.users.forbid(part(0), part(1)),
            "topic_permission" => {
                let (user, vhost) = (part(0), part(1));
                let topics = self.users.topics(user, vhost).without(Some(part(2)));
                self.users.set_topic_permissions(user, vhost, topics);
            }
            "vhost_limits" => *self.vhost_of(part(0))?.limits.write() = OperatorLimits::default(),
            "user_limits" => self.users.set_limits(part(0), OperatorLimits::default()),
            "global_parameter" => {
                self.global_parameters.write().remove(part(0));
            }
            "gone" | "orphan" | "aside" => {}
            kind => {
                let kind = policy_kind(kind)?;
                self.change_policies(part(0), |policies| policies.remove(kind, part(1)))?;
            }
        }
        Ok(())
    }

    fn vhost_of(&self, name: &str) -> Result<Arc<Vhost>, String> {
        self.vhost(name).ok_or_else(|| "its vhost is missing".to_owned())
    }

    fn change_policies(&self, vhost: &str, change: impl FnOnce(&mut PolicySet)) -> Result<(), String> {
        let vhost = self.vhost_of(vhost)?;
        let mut policies = PolicySet::clone(&vhost.policies());
        change(&mut policies);
        *vhost.policies.write() = Arc::new(policies);
        Ok(())
    }

    fn put_exchange_in_place(&self, stored: &ExchangeDefinition) -> Result<(), String> {
        let vhost = self.vhost_of(&stored.vhost)?;
        let spec = ExchangeSpec {
            kind: &stored.kind,
            durable: true,
            auto_delete: stored.auto_delete,
            internal: stored.internal,
            args: to_args(&stored.arguments),
        };
        let rule =
            DeduplicationRule::read(&stored.arguments).map_err(|(name, why)| format!("{name}: {why}"))?;
        let installed = vhost.install_exchange(&stored.name, spec, rule, None);
        installed.map_err(|refusal| refusal.to_string())
    }

    fn put_queue_in_place(&self, stored: QueueDefinition, recovered: &mut Recovered) -> Result<(), String> {
        let vhost = self.vhost_of(&stored.vhost)?;
        let (name, id) = (QueueName::new(&stored.name), stored.id());
        let spec = QueueSpec {
            durable: true,
            auto_delete: stored.auto_delete,
            exclusive_owner: None,
            hidden: false,
            arguments: stored.arguments,
        };
        let options =
            queue_options::read(&name, &vhost.name, &spec, false).map_err(|refusal| refusal.to_string())?;
        let in_force = options.in_force(vhost.policies().matched(Object::Queue(options.kind), name.as_str()));
        if let Some(upto) = stored.adopted_upto {
            self.environment().adopted(id, Seq(upto));
        }
        let queue = match recovered.remove(&id) {
            Some(found) => Queue::recover(in_force.settings, &found, self.now()),
            None => Queue::new(in_force.settings, self.now()),
        };
        let deduplication = options.deduplication;
        self.install_queue(&vhost, id, &name, spec, Installed { in_force, deduplication, queue });
        Ok(())
    }

    fn put_delay_in_place(&self, stored: &DelayDefinition, recovered: &mut Recovered) -> Result<(), String> {
        let vhost = self.vhost_of(&stored.vhost)?;
        let (exchange, id) = (ExchangeName::new(&stored.exchange), QueueId(stored.id));
        let delay_room = DelayRoom::new(id, &vhost.name, &exchange, true, self.environment());
        if let Some(found) = recovered.remove(&id) {
            delay_room.restore(&found, self.now());
        }
        let mut topology = vhost.topology.write();
        topology.features.entry(exchange.as_str().as_bytes().into()).or_default().delay_room =
            Some(delay_room);
        Ok(())
    }

    fn put_binding_in_place(&self, stored: &BindingDefinition) -> Result<(), String> {
        let vhost = self.vhost_of(&stored.vhost)?;
        let mut topology = vhost.topology.write();
        let end = match stored.destination_kind {
            DestinationKind::Queue => {
                let slot = topology.by_name.get(stored.destination.as_str());
                Destination::Queue(*slot.ok_or("its queue is missing")?)
            }
            DestinationKind::Exchange => Destination::Exchange(stored.destination.as_str()),
        };
        let args = to_args(&stored.arguments);
        let bound = topology.router.bind(&stored.source, end, &stored.routing_key, args);
        bound.map(|_| ()).map_err(|refusal| refusal.to_string())
    }
}

impl Vhost {
    /// Adds a new exchange to the router, with the features of its arguments, its type and the policies.
    pub(super) fn install_exchange(
        &self,
        name: &str,
        spec: ExchangeSpec<'_>,
        deduplication: Option<DeduplicationRule>,
        delay_room: Option<Arc<DelayRoom>>,
    ) -> Result<(), leveret_exchanges::Refusal> {
        let mut topology = self.topology.write();
        topology.router.declare(name, spec)?;
        topology.install_features(name, deduplication, delay_room);
        apply_to_exchange(&mut topology, &self.policies(), name);
        Ok(())
    }
}

fn policy_kind(kind: &str) -> Result<PolicyKind, String> {
    match kind {
        "policy" => Ok(PolicyKind::User),
        "operator_policy" => Ok(PolicyKind::Operator),
        other => Err(format!("unknown kind {other:?}; was it written by a newer version?")),
    }
}
