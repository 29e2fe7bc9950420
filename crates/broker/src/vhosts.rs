//! Creating and deleting virtual hosts. A deleted vhost takes everything in it along: definitions in one commit, then
//! its connections, then its queues.

use std::sync::atomic::Ordering;

use leveret_message::Millis;

use super::broker::Broker;
use super::definitions::{Changes, Key};
use super::names::{ExchangeName, QueueName};
use super::operator_limits::{LimitsOf, OperatorLimits};
use super::policies::PolicyKind;
use super::refusal::Refusal;
use super::removal::{grave, grave_of};
use super::turn::Turn;
use super::vhost::{Vhost, VhostRecord};

impl Broker {
    /// Creates a vhost or replaces its properties. Returns `true` if it is new. Durable on return.
    pub fn put_vhost(&self, name: &str, record: &VhostRecord) -> Result<bool, Refusal> {
        check_name("vhost", name)?;
        let _change = self.administration.lock();
        let mut changes = Changes::default();
        changes.put(Key::vhost(name), record);
        let new = self.vhost(name).is_none();
        self.change(&changes)?;
        Ok(new)
    }

    /// Deletes a vhost and everything in it. Returns `false` if it does not exist.
    pub fn delete_vhost(&self, name: &str, now: Millis) -> Result<bool, Refusal> {
        let _administration = self.administration.lock();
        let Some(vhost) = self.vhost(name) else { return Ok(false) };
        if vhost.record.read().protected {
            return Err(Refusal::Precondition(format!("vhost '{name}' is protected from deletion")));
        }
        {
            // Concurrent declarations see the vhost before or after, never in between.
            let _change = vhost.changes.lock();
            let mut changes = Changes::default();
            let users = self.users.permissions().into_iter().filter(|(_, vhost, _)| vhost == name);
            for (user, ..) in users {
                changes.remove(Key::permission(&user, name));
            }
            let topics = self.users.topic_permissions().into_iter();
            for (user, _, exchange, _) in topics.filter(|(_, vhost, ..)| vhost == name) {
                changes.remove(Key::topic_permission(&user, name, &exchange));
            }
            forget_topology(&vhost, &mut changes);
            self.lost.forget_vhost(name, &mut changes);
            for kind in [PolicyKind::User, PolicyKind::Operator] {
                for policy in vhost.policies().of(kind) {
                    changes.remove(Key::policy(kind, name, &policy.name));
                }
            }
            changes.remove(Key::vhost_limits(name));
            changes.remove(Key::vhost(name));
            self.commit_removal(changes)?;
            vhost.gone.store(true, Ordering::Release);
        }
        self.vhosts.remove(name);
        self.users.forget_vhost(name);
        self.retired_vhosts.add(&vhost.stats);
        self.registry.close_where(&format!("vhost '{name}' is deleted"), |connection| {
            connection.facts.vhost.as_str() == name
        });
        let mut turn = Turn::at(now);
        for exchange in vhost.exchanges() {
            self.close_features(&vhost, &exchange.name);
        }
        for queue in vhost.queues_and_hidden() {
            if let Ok(closed) = queue.close(&mut turn, false, false) {
                turn.cancelled.extend(closed.consumers);
                self.registry.churn.queues_deleted.fetch_add(1, Ordering::Relaxed);
                self.graves.bury(self.store(), queue.durable().then_some(queue.id));
            }
            self.finish(&mut turn);
        }
        Ok(true)
    }

    /// Sets one limit of a vhost; `None` clears it. Durable on return.
    pub fn set_vhost_limit(&self, vhost: &str, name: &str, value: Option<i64>) -> Result<(), Refusal> {
        let _change = self.administration.lock();
        let found = self.vhost(vhost).ok_or_else(|| Refusal::NoVhost(vhost.to_owned()))?;
        let limits = found.limits.read().changed(LimitsOf::Vhost, name, value)?;
        self.keep_vhost_limits(vhost, &limits)
    }

    /// Replaces all limits of a vhost.
    pub fn set_vhost_limits(&self, vhost: &str, limits: &OperatorLimits) -> Result<(), Refusal> {
        let _change = self.administration.lock();
        self.keep_vhost_limits(vhost, limits)
    }

    fn keep_vhost_limits(&self, vhost: &str, limits: &OperatorLimits) -> Result<(), Refusal> {
        self.vhost(vhost).ok_or_else(|| Refusal::NoVhost(vhost.to_owned()))?;
        let mut changes = Changes::default();
        changes.put_or_remove(Key::vhost_limits(vhost), limits, limits.is_empty());
        self.change(&changes)
    }
}

/// Removes all durable definitions of a vhost.
fn forget_topology(vhost: &Vhost, changes: &mut Changes) {
    for exchange in vhost.exchanges() {
        let name = ExchangeName::new(&exchange.name);
        changes.remove(Key::exchange(&vhost.name, &name));
        if let Some(delay_room) = vhost.delay_room(&exchange.name) {
            changes.remove(Key::delay(&vhost.name, &name));
            changes.put(Key::grave(delay_room.id), &grave_of(vhost, &exchange.name));
        }
    }
    for queue in vhost.queues() {
        if queue.durable() {
            changes.remove(Key::queue(&vhost.name, &QueueName::new(queue.name.as_str())));
            changes.put(Key::grave(queue.id), &grave(&queue));
        }
    }
    for binding in vhost.bindings().into_iter().filter(|binding| !binding.source.is_empty()) {
        changes.remove(Key::binding(&binding.definition(&vhost.name)));
    }
}

/// Checks a vhost or user name: not empty, at most 255 bytes, nothing that definitions cannot keep apart.
pub(super) fn check_name(what: &str, name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > 255 {
        return Err(Refusal::Precondition(format!("a {what}'s name has 1 to 255 bytes")));
    }
    super::check_text(what, name)
}
