//! The policies of a vhost, and which of them apply to an object.

use std::cmp::Reverse;
use std::sync::Arc;

use super::{Object, PATTERN_BYTES_MAX, Policy, PolicyDefinition, PolicyKind};
use crate::refusal::Refusal;

/// All policies of a vhost. Those of each kind are kept in matching order.
#[derive(Clone, Debug, Default)]
pub struct PolicySet {
    user: Vec<Arc<Policy>>,
    operator: Vec<Arc<Policy>>,
}

/// The policies that apply to one object.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    /// The user policy.
    pub policy: Option<Arc<Policy>>,
    /// The operator policy.
    pub operator: Option<Arc<Policy>>,
}

impl Matched {
    /// Whether both hold the same policies, by identity.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let same = |a: &Option<Arc<Policy>>, b: &Option<Arc<Policy>>| match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        same(&self.policy, &other.policy) && same(&self.operator, &other.operator)
    }

    /// Definition of the user policy.
    pub(crate) fn users(&self) -> Option<&PolicyDefinition> {
        self.policy.as_ref().map(|policy| &policy.record.definition)
    }

    /// Definition of the operator policy.
    pub(super) fn operators(&self) -> Option<&PolicyDefinition> {
        self.operator.as_ref().map(|policy| &policy.record.definition)
    }
}

impl PolicySet {
    /// The policies of one kind, in matching order.
    pub fn of(&self, kind: PolicyKind) -> &[Arc<Policy>] {
        match kind {
            PolicyKind::User => &self.user,
            PolicyKind::Operator => &self.operator,
        }
    }

    fn list(&mut self, kind: PolicyKind) -> &mut Vec<Arc<Policy>> {
        match kind {
            PolicyKind::User => &mut self.user,
            PolicyKind::Operator => &mut self.operator,
        }
    }

    /// A policy by name.
    pub fn get(&self, kind: PolicyKind, name: &str) -> Option<&Arc<Policy>> {
        self.of(kind).iter().find(|policy| policy.name == name)
    }

    /// Checks that patterns of `more` bytes fit beside those of the vhost's policies of both kinds, without the one that is
    /// replaced.
    pub(crate) fn check_pattern_bytes(
        &self,
        kind: PolicyKind,
        replaced: &str,
        more: usize,
    ) -> Result<(), Refusal> {
        let kept = [PolicyKind::User, PolicyKind::Operator]
            .into_iter()
            .flat_map(|of| self.of(of).iter().filter(move |policy| of != kind || policy.name != replaced));
        let bytes: usize = kept.map(|policy| policy.pattern_bytes()).sum();
        if bytes + more > PATTERN_BYTES_MAX {
            return Err(Refusal::Precondition(format!(
                "the patterns of this vhost's policies would take more than {} MiB: simplify them",
                PATTERN_BYTES_MAX >> 20
            )));
        }
        Ok(())
    }

    /// Adds or replaces a policy.
    pub(crate) fn put(&mut self, kind: PolicyKind, policy: Policy) {
        self.remove(kind, &policy.name);
        let list = self.list(kind);
        let place = |policy: &Policy| (Reverse(policy.record.priority), policy.name.clone());
        let own = place(&policy);
        let at = list.partition_point(|other| place(other) < own);
        list.insert(at, Arc::new(policy));
    }

    /// Removes a policy.
    pub(crate) fn remove(&mut self, kind: PolicyKind, name: &str) {
        self.list(kind).retain(|policy| policy.name != name);
    }

    /// Whether there are no policies.
    pub fn is_empty(&self) -> bool {
        self.user.is_empty() && self.operator.is_empty()
    }

    /// The policies that apply to an object.
    pub fn matched(&self, object: Object, name: &str) -> Matched {
        let first =
            |list: &[Arc<Policy>]| list.iter().find(|policy| policy.applies_to(object, name)).cloned();
        Matched { policy: first(&self.user), operator: first(&self.operator) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{ApplyTo, PolicyRecord};
    use super::*;
    use crate::queue_kind::QueueKind;

    fn policy(name: &str, pattern: &str, apply_to: ApplyTo, priority: i64) -> Policy {
        let definition = PolicyDefinition::default();
        let record = PolicyRecord { pattern: pattern.to_owned(), apply_to, priority, definition };
        Policy::new(name, record).expect("a pattern")
    }

    fn names(matched: &Matched) -> (Option<&str>, Option<&str>) {
        fn name(policy: Option<&Arc<Policy>>) -> Option<&str> {
            policy.map(|policy| policy.name.as_str())
        }
        (name(matched.policy.as_ref()), name(matched.operator.as_ref()))
    }

    #[test]
    fn the_highest_priority_applies_and_of_equals_the_first_by_name() {
        let mut set = PolicySet::default();
        for (name, pattern, priority) in
            [("low", ".*", -1), ("b", "^a", 5), ("a", "^a", 5), ("high", "^ab", 9), ("other", "^x", 99)]
        {
            set.put(PolicyKind::User, policy(name, pattern, ApplyTo::Queues, priority));
        }
        set.put(PolicyKind::Operator, policy("guard", ".", ApplyTo::All, 0));
        for (queue, want) in [("abc", "high"), ("aac", "a"), ("c", "low")] {
            let matched = set.matched(Object::Queue(QueueKind::Classic), queue);
            assert_eq!(names(&matched), (Some(want), Some("guard")), "{queue}");
        }
        assert_eq!(names(&set.matched(Object::Exchange, "abc")), (None, Some("guard")));
        set.remove(PolicyKind::User, "high");
        assert_eq!(names(&set.matched(Object::Queue(QueueKind::Quorum), "abc")).0, Some("a"));
        set.put(PolicyKind::User, policy("low", ".*", ApplyTo::QuorumQueues, 100));
        assert_eq!(names(&set.matched(Object::Queue(QueueKind::Quorum), "abc")).0, Some("low"));
        assert_eq!(names(&set.matched(Object::Queue(QueueKind::Classic), "abc")).0, Some("a"));
    }

    #[test]
    fn patterns_of_both_kinds_are_counted_together_and_a_replaced_one_is_not() {
        let mut set = PolicySet::default();
        let large = |name: &str| policy(name, "(?s-u:.){4000}", ApplyTo::Queues, 0);
        let bytes = large("p").pattern_bytes();
        for number in 0..PATTERN_BYTES_MAX / bytes {
            let kind = if number % 2 == 0 { PolicyKind::User } else { PolicyKind::Operator };
            let name = format!("p{number}");
            set.check_pattern_bytes(kind, &name, bytes).expect("room");
            set.put(kind, large(&name));
        }
        let refused =
            set.check_pattern_bytes(PolicyKind::User, "p1", bytes).expect_err("p1 is an operator's");
        assert!(refused.to_string().contains("more than 48 MiB"), "{refused}");
        set.check_pattern_bytes(PolicyKind::Operator, "p1", bytes).expect("it replaces one of the same size");
    }

    const APPLY_TO: [ApplyTo; 5] =
        [ApplyTo::All, ApplyTo::Queues, ApplyTo::ClassicQueues, ApplyTo::QuorumQueues, ApplyTo::Exchanges];
    const OBJECTS: [Object; 3] =
        [Object::Queue(QueueKind::Classic), Object::Queue(QueueKind::Quorum), Object::Exchange];

    /// The objects that each of [`APPLY_TO`] covers, listed independently.
    const FOR: [[bool; 3]; 5] = [
        [true, true, true],
        [true, true, false],
        [true, false, false],
        [false, true, false],
        [false, false, true],
    ];

    proptest! {
        /// Against a model that checks all policies in no order, with prefixes as patterns.
        #[test]
        fn exactly_one_policy_applies(
            changes in prop::collection::vec(
                (0..8_u8, prop::option::of(("[ab]{0,2}", 0..5_usize, -2..3_i64))), 0..40
            ),
            name in "[ab]{0,3}",
            object in 0..3_usize,
        ) {
            let mut set = PolicySet::default();
            let mut model = std::collections::HashMap::new();
            for (id, change) in changes {
                let own = format!("p{id}");
                if let Some((prefix, apply_to, priority)) = change {
                    let pattern = format!("^{prefix}");
                    set.put(PolicyKind::User, policy(&own, &pattern, APPLY_TO[apply_to], priority));
                    model.insert(own, (prefix, apply_to, priority));
                } else {
                    set.remove(PolicyKind::User, &own);
                    model.remove(&own);
                }
            }
            let mut best: Option<(i64, String)> = None;
            for (own, (prefix, apply_to, priority)) in &model {
                let better = best.as_ref().is_none_or(|(p, n)| priority > p || (priority == p && own < n));
                if name.starts_with(prefix.as_str()) && FOR[*apply_to][object] && better {
                    best = Some((*priority, own.clone()));
                }
            }
            let matched = set.matched(OBJECTS[object], &name);
            prop_assert_eq!(names(&matched).0, best.as_ref().map(|(_, name)| name.as_str()));
            prop_assert_eq!(set.of(PolicyKind::User).len(), model.len());
        }
    }
}
