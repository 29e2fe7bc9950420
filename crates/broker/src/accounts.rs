//! Changes to users and permissions: committed first, then put in force, for open connections too.

use super::broker::Broker;
use super::definitions::{Changes, Key};
use super::operator_limits::{LimitsOf, OperatorLimits};
use super::refusal::Refusal;
use super::topic_permissions::TopicPermissionRecord;
use super::users::{PermissionRecord, UserRecord, check_patterns};
use super::vhosts::check_name;

/// A user to create or replace.
#[derive(Clone)]
pub struct NewUser {
    /// User name.
    pub name: String,
    /// Stored record.
    pub record: UserRecord,
    /// Replaces all limits of the user, if given.
    pub limits: Option<OperatorLimits>,
}

impl Broker {
    /// Creates or replaces a user. Returns `true` if it is new.
    pub fn put_user(&self, name: &str, record: &UserRecord) -> Result<bool, Refusal> {
        check_name("user", name)?;
        let _change = self.administration.lock();
        let new = self.users.user(name).is_none();
        let mut changes = Changes::default();
        changes.put(Key::user(name), record);
        self.change(&changes)?;
        Ok(new)
    }

    /// Creates or replaces users in one commit.
    pub fn put_users(&self, users: &[NewUser]) -> Result<(), Refusal> {
        users.iter().try_for_each(|user| check_name("user", &user.name))?;
        let _change = self.administration.lock();
        let mut changes = Changes::default();
        for NewUser { name, record, limits } in users {
            changes.put(Key::user(name), record);
            if let Some(limits) = limits {
                changes.put_or_remove(Key::user_limits(name), limits, limits.is_empty());
            }
        }
        self.change(&changes)
    }

    /// Deletes a user and its permissions, and closes its connections. Returns `false` if it does not exist.
    pub fn delete_user(&self, name: &str) -> Result<bool, Refusal> {
        let _change = self.administration.lock();
        if self.users.user(name).is_none() {
            return Ok(false);
        }
        let mut changes = Changes::default();
        let [permitted, topics] = self.users.vhosts_of(name);
        for vhost in permitted {
            changes.remove(Key::permission(name, &vhost));
        }
        for vhost in topics {
            for (exchange, _) in self.users.topic_permissions_of(name, &vhost) {
                changes.remove(Key::topic_permission(name, &vhost, &exchange));
            }
        }
        changes.remove(Key::user_limits(name));
        changes.remove(Key::user(name));
        self.change(&changes)?;
        self.registry.close_where(&format!("user '{name}' is deleted"), |connection| {
            connection.facts.user.as_str() == name
        });
        Ok(true)
    }

    /// Sets a user's permissions in a vhost. Returns `true` if there were none.
    pub fn set_permission(
        &self,
        user: &str,
        vhost: &str,
        record: &PermissionRecord,
    ) -> Result<bool, Refusal> {
        check_patterns(record).map_err(|error| Refusal::Precondition(error.to_string()))?;
        let _change = self.administration.lock();
        if self.vhost(vhost).is_none() {
            return Err(Refusal::NoVhost(vhost.to_owned()));
        }
        if self.users.user(user).is_none() {
            return Err(Refusal::Precondition(format!("user '{user}' does not exist")));
        }
        let new = self.users.permission(user, vhost).is_none();
        let mut changes = Changes::default();
        changes.put(Key::permission(user, vhost), record);
        self.change(&changes)?;
        Ok(new)
    }

    /// Clears a user's permissions in a vhost. Returns `false` if there are none.
    pub fn clear_permission(&self, user: &str, vhost: &str) -> Result<bool, Refusal> {
        let _change = self.administration.lock();
        if self.users.permission(user, vhost).is_none() {
            return Ok(false);
        }
        let mut changes = Changes::default();
        changes.remove(Key::permission(user, vhost));
        self.change(&changes)?;
        Ok(true)
    }

    /// Sets a user's topic permission on an exchange, which need not exist. Returns `true` if there was none.
    pub fn set_topic_permission(
        &self,
        user: &str,
        vhost: &str,
        exchange: &str,
        record: &TopicPermissionRecord,
    ) -> Result<bool, Refusal> {
        super::check_text("exchange", exchange)?;
        let _change = self.administration.lock();
        if self.vhost(vhost).is_none() {
            return Err(Refusal::NoVhost(vhost.to_owned()));
        }
        if self.users.user(user).is_none() {
            return Err(Refusal::Precondition(format!("user '{user}' does not exist")));
        }
        let all = self.users.topics(user, vhost);
        let new = !all.concern(exchange);
        all.with(user, vhost, exchange, record.clone())
            .map_err(|error| Refusal::Precondition(error.to_string()))?;
        let mut changes = Changes::default();
        changes.put(Key::topic_permission(user, vhost, exchange), record);
        self.change(&changes)?;
        Ok(new)
    }

    /// Clears a user's topic permissions in a vhost, or only those on one exchange. Returns `false` if there are none.
    pub fn clear_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Result<bool, Refusal> {
        let _change = self.administration.lock();
        let all = self.users.topics(user, vhost);
        let mut changes = Changes::default();
        for (name, _) in all.records().filter(|(name, _)| exchange.is_none_or(|exchange| exchange == name)) {
            changes.remove(Key::topic_permission(user, vhost, &name));
        }
        if changes.is_empty() {
            return Ok(false);
        }
        self.change(&changes)?;
        Ok(true)
    }

    /// Sets one limit of a user; `None` clears it. Durable on return.
    pub fn set_user_limit(&self, user: &str, name: &str, value: Option<i64>) -> Result<(), Refusal> {
        let _change = self.administration.lock();
        let limits = self.users.limits(user).changed(LimitsOf::User, name, value)?;
        self.keep_user_limits(user, &limits)
    }

    /// Replaces all limits of a user.
    pub fn set_user_limits(&self, user: &str, limits: &OperatorLimits) -> Result<(), Refusal> {
        let _change = self.administration.lock();
        self.keep_user_limits(user, limits)
    }

    fn keep_user_limits(&self, user: &str, limits: &OperatorLimits) -> Result<(), Refusal> {
        if self.users.user(user).is_none() {
            return Err(Refusal::Precondition(format!("user '{user}' does not exist")));
        }
        let mut changes = Changes::default();
        changes.put_or_remove(Key::user_limits(user), limits, limits.is_empty());
        self.change(&changes)
    }
}
