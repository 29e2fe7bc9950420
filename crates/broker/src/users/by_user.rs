//! Lookups for a single user, without a scan of the others.

use std::collections::BTreeMap;

use super::{UserRecord, Users};
use crate::topic_permissions::TopicPermissionRecord;

/// A user's entries, by vhost.
pub(super) fn of_user<'a, V>(
    map: &'a BTreeMap<(String, String), V>,
    user: &'a str,
) -> impl Iterator<Item = &'a (String, String)> {
    let from = map.range((user.to_owned(), String::new())..);
    from.map(|(key, _)| key).take_while(move |(of, _)| of == user)
}

impl Users {
    /// A user's topic permission on an exchange, if any.
    pub fn topic_permission(&self, user: &str, vhost: &str, exchange: &str) -> Option<TopicPermissionRecord> {
        let key = (user.to_owned(), vhost.to_owned());
        self.state.read().topics.get(&key)?.record(exchange)
    }

    /// The vhosts with permissions of a user, and those with topic permissions.
    pub(crate) fn vhosts_of(&self, user: &str) -> [Vec<String>; 2] {
        let state = self.state.read();
        let vhost = |(_, vhost): &(String, String)| vhost.clone();
        [
            of_user(&state.permissions, user).map(vhost).collect(),
            of_user(&state.topics, user).map(vhost).collect(),
        ]
    }

    /// Users that have no permissions in any vhost.
    pub fn without_permissions(&self) -> Vec<(String, UserRecord)> {
        let state = self.state.read();
        let without =
            state.users.iter().filter(|(name, _)| of_user(&state.permissions, name).next().is_none());
        without.map(|(name, record)| (name.clone(), record.clone())).collect()
    }
}
