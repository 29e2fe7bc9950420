//! Topic permissions: which routing keys a user may publish to, and bind from, on one topic exchange
//! (rabbitmq-semantics 1e). An exchange without one is open to whoever has the ordinary permissions.
//!
//! `{username}` and `{vhost}` in a pattern stand for the names themselves, not for patterns. `{client_id}`
//! is for protocols that have one; over AMQP it stands for itself, as in `RabbitMQ`. Unlike there, an
//! `x-delayed-message` exchange that routes by topic is one, too.

use std::collections::BTreeMap;

use leveret_exchanges::InnerKind;
use serde::{Deserialize, Serialize};

use super::broker::Broker;
use super::definitions::{Changes, Key};
use super::pattern::{BadPattern, Permitting};
use super::refusal::{Access, Refusal};
use super::users::AccessRights;
use super::vhost::Vhost;

/// A user's topic permission on one exchange, as stored. An empty pattern permits the empty key only.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPermissionRecord {
    /// Routing keys that may be published to.
    pub write: String,
    /// Binding keys that may be bound from.
    pub read: String,
}

/// The topic permissions of one user in one vhost, by exchange.
#[derive(Debug, Default)]
pub(super) struct TopicPermissions(BTreeMap<String, Compiled>);

#[derive(Debug)]
struct Compiled {
    record: TopicPermissionRecord,
    write: Permitting,
    read: Permitting,
}

fn expanded(pattern: &str, user: &str, vhost: &str) -> String {
    pattern
        .replace("{username}", &regex::escape(user))
        .replace("{vhost}", &regex::escape(vhost))
        .replace("{client_id}", r"\{client_id\}")
}

impl Compiled {
    fn new(user: &str, vhost: &str, record: TopicPermissionRecord) -> Result<Self, BadPattern> {
        let compiled = |pattern: &str| Permitting::new(&expanded(pattern, user, vhost));
        Ok(Self { write: compiled(&record.write)?, read: compiled(&record.read)?, record })
    }
}

impl TopicPermissions {
    /// These, and one more or another one.
    pub(super) fn with(
        self,
        user: &str,
        vhost: &str,
        exchange: &str,
        record: TopicPermissionRecord,
    ) -> Result<Self, BadPattern> {
        let mut all = self.0;
        all.insert(exchange.to_owned(), Compiled::new(user, vhost, record)?);
        Ok(Self(all))
    }

    /// Compiles records.
    pub(super) fn of(
        user: &str,
        vhost: &str,
        records: impl IntoIterator<Item = (String, TopicPermissionRecord)>,
    ) -> Result<Self, BadPattern> {
        records
            .into_iter()
            .try_fold(Self::default(), |all, (exchange, record)| all.with(user, vhost, &exchange, record))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// By exchange.
    pub(super) fn records(&self) -> impl Iterator<Item = (String, TopicPermissionRecord)> {
        self.0.iter().map(|(exchange, compiled)| (exchange.clone(), compiled.record.clone()))
    }

    /// Whether anything is said about the exchange.
    pub(super) fn concern(&self, exchange: &str) -> bool {
        self.0.contains_key(exchange)
    }

    /// Whether the key is permitted on the exchange, which is a topic exchange.
    pub(super) fn permit(&self, access: Access, exchange: &str, key: &[u8]) -> bool {
        self.0.get(exchange).is_none_or(|compiled| match access {
            Access::Write => compiled.write.permits(key),
            Access::Read | Access::Configure => compiled.read.permits(key),
        })
    }
}

impl Vhost {
    /// Refuses keys that the caller may not use on an exchange, if it routes by topic. Costs nothing where
    /// nothing is set.
    pub(super) fn check_topics<'a>(
        &self,
        rights: &AccessRights,
        access: Access,
        exchange: &str,
        keys: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<(), Refusal> {
        if !rights.restrict_topics_of(exchange) {
            return Ok(());
        }
        let topology = self.topology.read();
        let found = topology.router.exchange(exchange);
        if found.is_none_or(|exchange| exchange.kind.inner != InnerKind::Topic) {
            return Ok(());
        }
        drop(topology);
        keys.into_iter().try_for_each(|key| rights.check_topic(access, exchange, key))
    }
}

impl Broker {
    /// Sets a user's topic permission on an exchange, which need not exist. `true`: there was none.
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
        let mut all: BTreeMap<_, _> = self.users.topic_permissions_of(user, vhost).into_iter().collect();
        let new = all.insert(exchange.to_owned(), record.clone()).is_none();
        let compiled = TopicPermissions::of(user, vhost, all)
            .map_err(|error| Refusal::Precondition(error.to_string()))?;
        let mut changes = Changes::default();
        changes.put(Key::topic_permission(user, vhost, exchange), record);
        self.commit(&changes)?;
        self.users.set_topic_permissions(user, vhost, compiled);
        Ok(new)
    }

    /// Takes a user's topic permissions in a vhost away, or only those on one exchange. `false`: there
    /// are none.
    pub fn clear_topic_permissions(
        &self,
        user: &str,
        vhost: &str,
        exchange: Option<&str>,
    ) -> Result<bool, Refusal> {
        let _change = self.administration.lock();
        let all = self.users.topic_permissions_of(user, vhost);
        let (gone, kept): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(name, _)| exchange.is_none_or(|exchange| exchange == name));
        if gone.is_empty() {
            return Ok(false);
        }
        let mut changes = Changes::default();
        for (name, _) in &gone {
            changes.remove(Key::topic_permission(user, vhost, name));
        }
        let compiled = TopicPermissions::of(user, vhost, kept)
            .map_err(|error| Refusal::Precondition(error.to_string()))?;
        self.commit(&changes)?;
        self.users.set_topic_permissions(user, vhost, compiled);
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permits(user: &str, vhost: &str, write: &str, key: &str) -> bool {
        let record = TopicPermissionRecord { write: write.to_owned(), read: String::new() };
        let all = TopicPermissions::of(user, vhost, [("x".to_owned(), record)]).expect("a pattern");
        all.permit(Access::Write, "x", key.as_bytes())
    }

    #[test]
    fn variables_stand_for_the_names_themselves() {
        for (user, vhost, write, key, want) in [
            ("bob", "/", r"^{username}\.", "bob.eu", true),
            ("bob", "/", r"^{username}\.", "alice.eu", false),
            (".*", "/", "^{username}$", "alice", false),
            (".*", "/", "^{username}$", ".*", true),
            ("bob", "a.b", "^{vhost}-{username}$", "a.b-bob", true),
            ("bob", "a.b", "^{vhost}-{username}$", "axb-bob", false),
            ("bob", "/", "^{client_id}$", "{client_id}", true),
            ("bob", "/", "^{client_id}$", "bob", false),
            ("bob", "/", "", "", true),
            ("bob", "/", "", "a", false),
        ] {
            assert_eq!(permits(user, vhost, write, key), want, "{user} {vhost} {write} {key}");
        }
    }

    #[test]
    fn an_exchange_without_one_is_open() {
        assert!(TopicPermissions::default().permit(Access::Write, "x", b"anything"));
    }
}
