//! Importing definitions: everything acceptable is created in one commit, the rest is reported item by item.
//!
//! Absent: rules and existing objects, both left to the caller.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Batch, DryRun, Part, Rule};
use crate::broker::Broker;
use crate::names::QueueName;
use crate::queue_options::QueueSpec;
use crate::refusal::Refusal;
use crate::users::{PermissionRecord, check_patterns};
use crate::vhost::Vhost;
use crate::vhosts::check_name;
use crate::{queue_options, queues};

impl Broker {
    /// Creates the rules and the new exchanges, queues and bindings of a batch in one commit, except those that are
    /// refused. Durable on return; on error nothing is created. With `dry`, only reports what would be refused, and the
    /// batch may also contain transient objects, after the rest.
    pub fn declare_what_can(
        &self,
        vhost: &Arc<Vhost>,
        batch: &Batch,
        dry: bool,
    ) -> Result<Vec<(Part, Refusal)>, Refusal> {
        let _administration = self.administration.lock();
        let _policies = vhost.policy_changes.lock();
        let change = vhost.change()?;
        let mut trial = DryRun { transient_too: dry, ..DryRun::new(self, vhost) };
        let mut refused = Vec::new();
        for (at, rule) in batch.rules.iter().enumerate() {
            let known = if dry { trial.planned_rule(rule) } else { trial.rule(rule) };
            if let Err(refusal) = known {
                refused.push((Part::Rule(at), refusal));
            }
        }
        let mut exchanges = 0;
        for (at, exchange) in batch.exchanges.iter().enumerate() {
            let room = self.has_room_for_exchanges(&exchange.name, exchanges);
            match room.and_then(|()| trial.exchange(exchange)) {
                Ok(()) => exchanges += 1,
                Err(refusal) => refused.push((Part::Exchange(at), refusal)),
            }
        }
        let mut made = 0;
        for (at, queue) in batch.queues.iter().enumerate() {
            let room = vhost.has_room_for_queue_behind(&queue.name, made, trial.limits.as_ref());
            match room.and_then(|()| trial.queue(queue)) {
                Ok(()) => made += 1,
                Err(refusal) => refused.push((Part::Queue(at), refusal)),
            }
        }
        for (at, binding) in batch.bindings.iter().enumerate() {
            if let Err(refusal) = trial.binding(binding) {
                refused.push((Part::Binding(at), refusal));
            }
        }
        if dry {
            return Ok(refused);
        }
        let DryRun { changes, .. } = trial;
        self.change(&changes)?;
        vhost.changed();
        drop(change);
        if batch.rules.iter().any(Rule::is_policy) {
            self.apply_policies(vhost);
        }
        let churn = &self.registry.churn;
        churn.queues_declared.fetch_add(made as u64, Ordering::Relaxed);
        churn.queues_created.fetch_add(made as u64, Ordering::Relaxed);
        Ok(refused)
    }

    /// Whether a new queue could be declared with `spec`.
    pub fn check_new_queue(&self, vhost: &Vhost, name: &QueueName, spec: &QueueSpec) -> Result<(), Refusal> {
        queues::check_name(name)?;
        queue_options::read(name, &vhost.name, spec, false).map(|_| ())
    }

    /// Whether these permissions could be set.
    pub fn check_permission(&self, record: &PermissionRecord) -> Result<(), Refusal> {
        check_patterns(record).map_err(|error| Refusal::Precondition(error.to_string()))
    }

    /// Whether the name is valid for a new object.
    pub fn check_new_name(&self, what: &str, name: &str) -> Result<(), Refusal> {
        check_name(what, name)
    }
}
