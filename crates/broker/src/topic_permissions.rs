//! Topic permissions: the routing keys that a user may publish to, and bind from, on one topic exchange
//! (docs/semantics.md, Users and permissions). Without one, the ordinary permissions alone decide.
//!
//! `{username}` and `{vhost}` in a pattern are replaced by the literal names, not by patterns. `{client_id}` is for
//! protocols that have one; over AMQP it is left as is, as in `RabbitMQ`. Unlike there, `x-delayed-message` exchanges
//! that route by topic are covered too.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::pattern::{BadPattern, Permitting};
use super::refusal::Access;

/// A user's topic permission on one exchange, as stored. An empty pattern permits only the empty key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TopicPermissionRecord {
    /// Pattern of routing keys for publishing.
    pub write: String,
    /// Pattern of binding keys for binding.
    pub read: String,
}

/// The topic permissions of one user in one vhost, by exchange. Compiled patterns are shared between copies.
#[derive(Clone, Debug, Default)]
pub(super) struct TopicPermissions(BTreeMap<Arc<str>, Arc<Compiled>>);

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
    /// These, with one added or replaced.
    pub(super) fn with(
        mut self,
        user: &str,
        vhost: &str,
        exchange: &str,
        record: TopicPermissionRecord,
    ) -> Result<Self, BadPattern> {
        self.0.insert(exchange.into(), Arc::new(Compiled::new(user, vhost, record)?));
        Ok(self)
    }

    /// These without the one on an exchange, or empty.
    pub(super) fn without(mut self, exchange: Option<&str>) -> Self {
        match exchange {
            Some(exchange) => drop(self.0.remove(exchange)),
            None => self.0.clear(),
        }
        self
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// All records, by exchange.
    pub(super) fn records(&self) -> impl Iterator<Item = (String, TopicPermissionRecord)> {
        self.0.iter().map(|(exchange, compiled)| (exchange.to_string(), compiled.record.clone()))
    }

    /// The record of an exchange.
    pub(super) fn record(&self, exchange: &str) -> Option<TopicPermissionRecord> {
        self.0.get(exchange).map(|compiled| compiled.record.clone())
    }

    /// Whether there is one for the exchange.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn record(write: &str) -> TopicPermissionRecord {
        TopicPermissionRecord { write: write.to_owned(), read: String::new() }
    }

    fn permits(user: &str, vhost: &str, write: &str, key: &str) -> bool {
        let all = TopicPermissions::default().with(user, vhost, "x", record(write)).expect("a pattern");
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

    /// Number of patterns compiled for the second of two.
    fn compiled_for(before: &TopicPermissions, after: &TopicPermissions) -> usize {
        let there = |exchange: &Arc<str>, compiled| {
            before.0.get(exchange).is_some_and(|before| Arc::ptr_eq(before, compiled))
        };
        after.0.iter().filter(|(exchange, compiled)| !there(exchange, compiled)).count()
    }

    #[test]
    fn one_more_or_less_compiles_no_other_however_many_there_are() {
        let mut all = TopicPermissions::default();
        for exchange in 0..1000 {
            let before = all.clone();
            all = all.with("u", "/", &format!("x{exchange}"), record("^a")).expect("a pattern");
            assert_eq!(compiled_for(&before, &all), 1);
        }
        let before = all.clone();
        assert!(all.clone().with("u", "/", "x5", record("(")).is_err());
        let fewer = all.without(Some("x5"));
        assert_eq!((compiled_for(&before, &fewer), fewer.0.len()), (0, 999));
        assert!(fewer.without(None).is_empty());
    }
}
