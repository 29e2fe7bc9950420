//! Setting, replacing and deleting policies, and updating the objects they apply to, one queue after another.

use std::sync::Arc;

use rustc_hash::FxHashSet;

use super::broker::Broker;
use super::definitions::{Changes, Key};
use super::policies::{Matched, Object, POLICIES_MAX, Policy, PolicyKind, PolicyRecord, PolicySet};
use super::queue_handle::QueueHandle;
use super::queue_kind::QueueKind;
use super::queue_options;
use super::refusal::Refusal;
use super::turn::Turn;
use super::vhost::{Topology, Vhost};
use super::vhosts::check_name;

/// Maximum exchanges updated under one lock.
const EXCHANGES_AT_ONCE: usize = 256;

impl Vhost {
    /// The current policies.
    pub fn policies(&self) -> Arc<PolicySet> {
        Arc::clone(&self.policies.read())
    }

    /// The policies that apply to an exchange.
    pub fn policies_of_exchange(&self, name: &str) -> Matched {
        self.policies().matched(Object::Exchange, name)
    }
}

/// Sets or clears an exchange's alternate exchange as its policy says.
pub(super) fn apply_to_exchange(topology: &mut Topology, policies: &PolicySet, name: &str) {
    let matched = policies.matched(Object::Exchange, name);
    let alternate = matched.users().and_then(|definition| definition.alternate_exchange.as_deref());
    // Deleted exchanges and the default exchange have none.
    let _ = topology.router.set_policy_alternate(name, alternate);
}

impl Broker {
    /// Creates or replaces a policy. Returns `true` if it is new. On return it is durable and in force on all matching
    /// objects.
    pub fn put_policy(
        &self,
        vhost: &str,
        kind: PolicyKind,
        name: &str,
        record: PolicyRecord,
    ) -> Result<bool, Refusal> {
        check_name("policy", name)?;
        let policy = Policy::new(name, record)?;
        let vhost = self.vhost(vhost).ok_or_else(|| Refusal::NoVhost(vhost.to_owned()))?;
        let _one_at_a_time = vhost.policy_changes.lock();
        let new;
        {
            // Concurrent declarations see the policies before or after.
            let _change = vhost.change()?;
            let policies = vhost.policies();
            new = policies.get(kind, name).is_none();
            if new && policies.of(kind).len() >= POLICIES_MAX {
                return Err(Refusal::Precondition(format!("there are {POLICIES_MAX} policies already")));
            }
            policies.check_pattern_bytes(kind, name, policy.pattern_bytes())?;
            let mut changes = Changes::default();
            changes.put(Key::policy(kind, vhost.name.as_str(), name), &policy.record);
            self.change(&changes)?;
        }
        self.apply_policies(&vhost);
        Ok(new)
    }

    /// Deletes a policy. Returns `false` if it does not exist. On return it is no longer in force anywhere.
    pub fn delete_policy(&self, vhost: &str, kind: PolicyKind, name: &str) -> Result<bool, Refusal> {
        let vhost = self.vhost(vhost).ok_or_else(|| Refusal::NoVhost(vhost.to_owned()))?;
        let _one_at_a_time = vhost.policy_changes.lock();
        {
            let _change = vhost.change()?;
            if vhost.policies().get(kind, name).is_none() {
                return Ok(false);
            }
            let mut changes = Changes::default();
            changes.remove(Key::policy(kind, vhost.name.as_str(), name));
            self.change(&changes)?;
        }
        self.apply_policies(&vhost);
        Ok(true)
    }

    /// Updates all existing objects to the current policies. Objects declared since the change follow them already.
    pub(super) fn apply_policies(&self, vhost: &Vhost) {
        let policies = vhost.policies();
        let names: Vec<_> = vhost.exchanges().into_iter().map(|exchange| exchange.name).collect();
        let before = vhost.topology.read().router.generation();
        for names in names.chunks(EXCHANGES_AT_ONCE) {
            let mut topology = vhost.topology.write();
            for name in names {
                apply_to_exchange(&mut topology, &policies, name);
            }
        }
        if vhost.topology.read().router.generation() != before {
            vhost.changed();
        }
        let mut turn = Turn::at(self.now());
        let mut retimed = FxHashSet::default();
        for queue in vhost.queues() {
            let before = queue.consumer_timeout_ms();
            self.apply_to_queue(&policies, &queue, &mut turn);
            if queue.consumer_timeout_ms() != before {
                retimed.extend(queue.consumers().iter().map(|listed| listed.consumer.connection));
            }
        }
        for connection in retimed.into_iter().filter_map(|id| self.registry.get(id)) {
            connection.retime();
        }
    }

    fn apply_to_queue(&self, policies: &PolicySet, queue: &Arc<QueueHandle>, turn: &mut Turn) {
        let kind = QueueKind::of(&queue.arguments());
        let matched = policies.matched(Object::Queue(kind), queue.name.as_str());
        if matched.same(&queue.matched()) {
            return;
        }
        // They were valid when the queue was declared.
        if let Ok(options) = queue_options::read(&queue.name, &queue.vhost, &queue.spec(), false) {
            queue.keep_to(turn, options.in_force(matched));
            self.finish(turn);
        }
    }
}
