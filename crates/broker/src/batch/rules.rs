//! The vhost's rules as part of a batch.

use super::DryRun;
use crate::definitions::Key;
use crate::operator_limits::OperatorLimits;
use crate::pattern::BadPattern;
use crate::policies::{POLICIES_MAX, Policy, PolicyKind, PolicyRecord};
use crate::refusal::Refusal;
use crate::topic_permissions::{TopicPermissionRecord, TopicPermissions};
use crate::users::{PermissionRecord, check_patterns};
use crate::vhosts::check_name;

/// A rule of a vhost, new or replacing the previous one.
#[derive(Clone, Debug)]
#[expect(clippy::large_enum_variant, reason = "made one at a time, from a request or a file")]
pub enum Rule {
    /// A policy: its kind, name and record.
    Policy(PolicyKind, String, PolicyRecord),
    /// All limits of the vhost.
    Limits(OperatorLimits),
    /// A user's permissions.
    Permission(String, PermissionRecord),
    /// A user's topic permission on an exchange, which need not exist.
    TopicPermission(String, String, TopicPermissionRecord),
}

impl Rule {
    pub(super) const fn is_policy(&self) -> bool {
        matches!(self, Self::Policy(..))
    }
}

impl DryRun<'_> {
    pub(super) fn rule(&mut self, rule: &Rule) -> Result<(), Refusal> {
        let vhost = self.vhost.name.as_str();
        let wrong = |error: BadPattern| Refusal::Precondition(error.to_string());
        match rule {
            Rule::Policy(kind, name, record) => {
                check_name("policy", name)?;
                let policy = Policy::new(name, record.clone())?;
                let policies = self.vhost.policies();
                self.new_policies += usize::from(policies.get(*kind, name).is_none());
                if policies.of(*kind).len() + self.new_policies > POLICIES_MAX {
                    let why = format!("there would be more than {POLICIES_MAX} policies");
                    return Err(Refusal::Precondition(why));
                }
                self.new_pattern_bytes += policy.pattern_bytes();
                policies.check_pattern_bytes(*kind, name, self.new_pattern_bytes)?;
                self.changes.put(Key::policy(*kind, vhost, name), record);
            }
            Rule::Limits(limits) => {
                self.changes.put(Key::vhost_limits(vhost), limits);
                self.limits = Some(limits.clone());
            }
            Rule::Permission(user, record) => {
                self.known_user(user)?;
                check_patterns(record).map_err(wrong)?;
                self.changes.put(Key::permission(user, vhost), record);
            }
            Rule::TopicPermission(user, exchange, record) => {
                crate::check_text("exchange", exchange)?;
                self.known_user(user)?;
                TopicPermissions::default().with(user, vhost, exchange, record.clone()).map_err(wrong)?;
                self.changes.put(Key::topic_permission(user, vhost, exchange), record);
            }
        }
        Ok(())
    }

    /// The same in a dry run; the caller guarantees that the users will exist.
    pub(super) fn planned_rule(&mut self, rule: &Rule) -> Result<(), Refusal> {
        let wrong = |error: BadPattern| Refusal::Precondition(error.to_string());
        match rule {
            Rule::Policy(..) | Rule::Limits(_) => self.rule(rule),
            Rule::Permission(_, record) => check_patterns(record).map_err(wrong),
            Rule::TopicPermission(user, exchange, record) => {
                crate::check_text("exchange", exchange)?;
                let vhost = self.vhost.name.as_str();
                let permissions = TopicPermissions::default().with(user, vhost, exchange, record.clone());
                permissions.map(|_| ()).map_err(wrong)
            }
        }
    }

    fn known_user(&self, user: &str) -> Result<(), Refusal> {
        match self.broker.users.user(user) {
            Some(_) => Ok(()),
            None => Err(Refusal::Precondition(format!("user '{user}' does not exist"))),
        }
    }
}
