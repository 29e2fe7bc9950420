//! Durable definitions in their stored form: one JSON value per object, under a key of its kind and names.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use leveret_message::QueueId;
use leveret_store::definitions::{KEY_BYTES_MAX, VALUE_BYTES_MAX};
use serde::{Deserialize, Serialize};
use sha2::Digest;

use super::arguments::FieldTable;
use super::names::{ExchangeName, QueueName, VhostName};
use super::stored_table;

/// Who sets a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PolicyKind {
    /// Application owners.
    User,
    /// The broker's operators; bounds what users set.
    Operator,
}

/// Storage for definitions. Implemented by the store's database, and by a map in tests.
pub trait DefinitionStore: Send + Sync {
    /// Puts and removes objects atomically; durable on return. May take milliseconds.
    fn commit(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), String>;

    /// A number never issued before, not even before a crash.
    fn next_id(&self) -> Result<u64, String>;
}

impl DefinitionStore for Arc<leveret_store::definitions::Definitions> {
    fn commit(&self, changes: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
        leveret_store::definitions::Definitions::commit(self, changes).map_err(|error| error.to_string())
    }

    fn next_id(&self) -> Result<u64, String> {
        leveret_store::definitions::Definitions::next_id(self).map_err(|error| error.to_string())
    }
}

/// Maximum nesting of stored JSON, in open brackets: tables nest up to 64 levels, each taking two.
const STORED_DEPTH_MAX: usize = 400;

/// Parses a stored definition.
pub(super) fn read<'a, T: Deserialize<'a>>(value: &'a [u8]) -> Result<T, String> {
    if depth(value) > STORED_DEPTH_MAX {
        return Err(format!("it is nested deeper than {STORED_DEPTH_MAX}"));
    }
    let mut json = serde_json::Deserializer::from_slice(value);
    json.disable_recursion_limit();
    let read = T::deserialize(&mut json).map_err(|error| error.to_string())?;
    json.end().map_err(|error| error.to_string())?;
    Ok(read)
}

/// Maximum number of open brackets.
fn depth(json: &[u8]) -> usize {
    let (mut open, mut most, mut in_text, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_text => escaped = true,
            b'"' => in_text = !in_text,
            b'{' | b'[' if !in_text => {
                open += 1;
                most = most.max(open);
            }
            b'}' | b']' if !in_text => open = open.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// A durable queue.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct QueueDefinition {
    pub(super) vhost: String,
    pub(super) name: String,
    /// The incarnation, its id in the message store.
    pub(super) id: u64,
    pub(super) auto_delete: bool,
    #[serde(with = "stored_table")]
    pub(super) arguments: FieldTable,
    /// Adopted without its definition: messages up to this sequence number never expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) adopted_upto: Option<u64>,
}

/// A durable exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ExchangeDefinition {
    pub(super) vhost: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) auto_delete: bool,
    pub(super) internal: bool,
    #[serde(with = "stored_table")]
    pub(super) arguments: FieldTable,
}

/// The delay room of a durable exchange.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct DelayDefinition {
    pub(super) vhost: String,
    pub(super) exchange: String,
    /// Its id in the message store.
    pub(super) id: u64,
}

/// Kind of a binding's destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DestinationKind {
    /// A queue.
    Queue,
    /// Another exchange.
    Exchange,
}

/// A durable binding.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct BindingDefinition {
    pub(super) vhost: String,
    pub(super) source: String,
    pub(super) destination: String,
    pub(super) destination_kind: DestinationKind,
    pub(super) routing_key: String,
    #[serde(with = "stored_table")]
    pub(super) arguments: FieldTable,
}

/// Key of a stored object. Names with a NUL byte are refused on entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Key(String);

/// Separates the parts of a key. Names that contain it are refused when they are declared.
pub const KEY_SEPARATOR: char = '\0';

impl Key {
    fn of(parts: &[&str]) -> Self {
        Self(parts.join("\0"))
    }

    pub(super) fn vhost(vhost: &str) -> Self {
        Self::of(&["vhost", vhost])
    }

    pub(super) fn user(user: &str) -> Self {
        Self::of(&["user", user])
    }

    pub(super) fn permission(user: &str, vhost: &str) -> Self {
        Self::of(&["permission", user, vhost])
    }

    pub(super) fn topic_permission(user: &str, vhost: &str, exchange: &str) -> Self {
        Self::of(&["topic_permission", user, vhost, exchange])
    }

    pub(super) fn policy(kind: PolicyKind, vhost: &str, name: &str) -> Self {
        let kind = match kind {
            PolicyKind::User => "policy",
            PolicyKind::Operator => "operator_policy",
        };
        Self::of(&[kind, vhost, name])
    }

    pub(super) fn vhost_limits(vhost: &str) -> Self {
        Self::of(&["vhost_limits", vhost])
    }

    pub(super) fn user_limits(user: &str) -> Self {
        Self::of(&["user_limits", user])
    }

    pub(super) fn global_parameter(name: &str) -> Self {
        Self::of(&["global_parameter", name])
    }

    /// A deleted queue that the store may still contain.
    pub(super) fn grave(id: QueueId) -> Self {
        Self::of(&["gone", &id.0.to_string()])
    }

    /// Last known properties of a queue whose definition is lost.
    pub(super) fn orphan(id: QueueId) -> Self {
        Self::of(&["orphan", &id.0.to_string()])
    }

    /// Where an unreadable definition is kept once it is replaced.
    pub(super) fn aside(key: &str) -> Self {
        Self::of(&["aside", key])
    }

    pub(super) fn queue(vhost: &VhostName, queue: &QueueName) -> Self {
        Self::of(&["queue", vhost.as_str(), queue.as_str()])
    }

    pub(super) fn exchange(vhost: &VhostName, exchange: &ExchangeName) -> Self {
        Self::of(&["exchange", vhost.as_str(), exchange.as_str()])
    }

    pub(super) fn delay(vhost: &VhostName, exchange: &ExchangeName) -> Self {
        Self::of(&["delay", vhost.as_str(), exchange.as_str()])
    }

    pub(super) fn binding(binding: &BindingDefinition) -> Self {
        let kind = match binding.destination_kind {
            DestinationKind::Queue => "q",
            DestinationKind::Exchange => "e",
        };
        // The arguments' encoding is canonical: tables are sorted by name. It may be long.
        let arguments = match serde_json::to_vec(&stored_table::Stored(&binding.arguments)) {
            Ok(encoded) if !binding.arguments.inner().is_empty() => {
                URL_SAFE_NO_PAD.encode(sha2::Sha256::digest(encoded))
            }
            _ => String::new(),
        };
        Self::of(&[
            "binding",
            &binding.vhost,
            &binding.source,
            kind,
            &binding.destination,
            &binding.routing_key,
            &arguments,
        ])
    }

    /// Whether it equals the stored key.
    pub(super) fn is(&self, stored: &str) -> bool {
        self.0 == stored
    }

    /// The object kind in a stored key.
    pub(super) fn kind(stored: &str) -> &str {
        stored.split(KEY_SEPARATOR).next().unwrap_or_default()
    }

    /// The part at `index` after the kind.
    pub(super) fn part(stored: &str, index: usize) -> &str {
        stored.split(KEY_SEPARATOR).nth(index + 1).unwrap_or_default()
    }
}

/// Objects of lower rank are rules for those of higher rank.
pub(super) const RANK_OF_EXCHANGES: u8 = 4;

/// Load order of definitions.
pub(super) fn rank(key: &str) -> u8 {
    match Key::kind(key) {
        "vhost" => 0,
        "user" => 1,
        "permission" => 2,
        "exchange" => RANK_OF_EXCHANGES,
        "queue" => 5,
        "delay" => 6,
        "binding" => 7,
        // Rules apply to everything loaded after them.
        _ => 3,
    }
}

/// Changes to be committed together.
#[derive(Clone, Debug, Default)]
pub(super) struct Changes(Vec<(String, Option<Vec<u8>>)>);

impl Changes {
    /// Adds or replaces an object.
    pub(super) fn put(&mut self, key: Key, value: &impl Serialize) {
        let value = serde_json::to_vec(value).expect("definitions have string keys only");
        self.0.push((key.0, Some(value)));
    }

    /// Stores an object, or removes it if it carries no information.
    pub(super) fn put_or_remove(&mut self, key: Key, value: &impl Serialize, remove: bool) {
        if remove {
            self.remove(key);
        } else {
            self.put(key, value);
        }
    }

    /// Removes an object.
    pub(super) fn remove(&mut self, key: Key) {
        self.0.push((key.0, None));
    }

    /// Stores raw bytes.
    pub(super) fn put_bytes(&mut self, key: Key, value: Vec<u8>) {
        self.0.push((key.0, Some(value)));
    }

    /// Removes the object under a stored key.
    pub(super) fn remove_stored(&mut self, key: &str) {
        self.0.push((key.to_owned(), None));
    }

    /// These changes, followed by `others`.
    pub(super) fn and(&self, others: &Self) -> Self {
        Self([&*self.0, &*others.0].concat())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keeps the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.0.truncate(len);
    }

    /// Describes the first item after `passed` that is too long to be stored, in words for the caller.
    pub(super) fn too_long(&self, passed: usize) -> Option<String> {
        let value_bytes = |value: &Option<Vec<u8>>| value.as_ref().map_or(0, Vec::len);
        let (key, value) = self.0[passed..]
            .iter()
            .find(|(key, value)| key.len() > KEY_BYTES_MAX || value_bytes(value) > VALUE_BYTES_MAX)?;
        let (what, bytes) = (key.replace('\0', " "), value_bytes(value));
        Some(format!(
            "the definition of {what:.200} is too long: it takes {bytes} bytes as JSON, {VALUE_BYTES_MAX} at most"
        ))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn as_slice(&self) -> &[(String, Option<Vec<u8>>)] {
        &self.0
    }
}

impl QueueDefinition {
    pub(super) fn id(&self) -> QueueId {
        QueueId(self.id)
    }
}
