//! Users and permissions are changed: durable first, then in force, for those who are connected too.

use super::broker::Broker;
use super::definitions::{Changes, Key};
use super::refusal::Refusal;
use super::users::{PermissionRecord, UserRecord, check_patterns};
use super::vhosts::check_name;

impl Broker {
    /// Creates or replaces a user. `true`: it is new.
    pub fn put_user(&self, name: &str, record: UserRecord) -> Result<bool, Refusal> {
        check_name("user", name)?;
        let _change = self.administration.lock();
        let new = self.users.user(name).is_none();
        let mut changes = Changes::default();
        changes.put(Key::user(name), &record);
        self.commit(&changes)?;
        self.users.put(name, record);
        Ok(new)
    }

    /// Deletes a user with its permissions, and closes its connections. `false`: there is none.
    pub fn delete_user(&self, name: &str) -> Result<bool, Refusal> {
        let _change = self.administration.lock();
        if self.users.user(name).is_none() {
            return Ok(false);
        }
        let mut changes = Changes::default();
        for (_, vhost, _) in self.users.permissions().into_iter().filter(|(user, ..)| user == name) {
            changes.remove(Key::permission(name, &vhost));
        }
        for (_, vhost, exchange, _) in
            self.users.topic_permissions().into_iter().filter(|(user, ..)| user == name)
        {
            changes.remove(Key::topic_permission(name, &vhost, &exchange));
        }
        changes.remove(Key::user_limits(name));
        changes.remove(Key::user(name));
        self.commit(&changes)?;
        self.users.remove(name);
        self.registry.close_where(&format!("user '{name}' is deleted"), |connection| {
            connection.facts.user.as_str() == name
        });
        Ok(true)
    }

    /// Sets a user's permissions in a vhost. `true`: there were none.
    pub fn set_permission(&self, user: &str, vhost: &str, record: PermissionRecord) -> Result<bool, Refusal> {
        check_patterns(&record).map_err(|error| Refusal::Precondition(error.to_string()))?;
        let _change = self.administration.lock();
        if self.vhost(vhost).is_none() {
            return Err(Refusal::NoVhost(vhost.to_owned()));
        }
        if self.users.user(user).is_none() {
            return Err(Refusal::Precondition(format!("user '{user}' does not exist")));
        }
        let new = self.users.permission(user, vhost).is_none();
        let mut changes = Changes::default();
        changes.put(Key::permission(user, vhost), &record);
        self.commit(&changes)?;
        self.users.permit(user, vhost, record).map_err(|error| Refusal::Precondition(error.to_string()))?;
        Ok(new)
    }

    /// Takes a user's permissions in a vhost away. `false`: there are none.
    pub fn clear_permission(&self, user: &str, vhost: &str) -> Result<bool, Refusal> {
        let _change = self.administration.lock();
        if self.users.permission(user, vhost).is_none() {
            return Ok(false);
        }
        let mut changes = Changes::default();
        changes.remove(Key::permission(user, vhost));
        self.commit(&changes)?;
        self.users.forbid(user, vhost);
        Ok(true)
    }
}
