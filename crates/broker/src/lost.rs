//! Unreadable definitions, and stored queues without a definition.
//!
//! An unreadable definition affects only itself: it is reported, and its bytes are kept in place until another one
//! replaces it, then beside it. Messages whose queue has no definition are kept until an operator assigns them to a
//! queue or discards them.
//!
//! Invariants: no message is dropped because a definition is missing.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use leveret_message::QueueId;
use leveret_message::stored::RecoveredQueue;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::arguments::FieldTable;
use super::definitions::{Changes, DelayDefinition, Key, QueueDefinition, read};
use super::stored_table;

/// Kinds of definitions that belong to a vhost.
pub(super) const DECLARED: [&str; 4] = ["exchange", "queue", "delay", "binding"];

/// An unreadable definition.
#[derive(Clone, Debug)]
pub struct Unreadable {
    /// Its object: kind and names.
    pub what: String,
    /// The error.
    pub why: String,
    pub(super) bytes: Arc<[u8]>,
}

/// Last known properties of a queue whose definition is lost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LastKnown {
    /// Vhost name.
    pub vhost: String,
    /// Queue name; for a delay room, the name of its exchange.
    pub name: String,
    /// Whether it is an exchange's delay room.
    #[serde(default)]
    pub delayed: bool,
    /// Queue arguments.
    #[serde(with = "stored_table", default)]
    pub arguments: FieldTable,
}

/// A queue with messages but no definition.
#[derive(Clone, Debug)]
pub struct Orphan {
    /// Its id in the store.
    pub id: QueueId,
    /// Number of messages.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
    /// Last known properties, if any.
    pub last_known: Option<LastKnown>,
    pub(super) found: RecoveredQueue,
}

/// See the module documentation.
#[derive(Default)]
pub(super) struct Lost {
    pub(super) unreadable: Mutex<BTreeMap<String, Unreadable>>,
    pub(super) orphans: Mutex<BTreeMap<QueueId, Orphan>>,
}

/// Stored notes about queues without a definition, and about deleted queues.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) orphans: HashMap<QueueId, LastKnown>,
    pub(super) graves: HashSet<QueueId>,
}

impl Lost {
    /// Records an unusable definition.
    pub(super) fn is_unreadable(&self, key: &str, bytes: &[u8], why: String) {
        let what = key.replace('\0', " ");
        tracing::error!("definition not in use, but kept: {what}: {why}");
        let unreadable = Unreadable { what, why, bytes: bytes.into() };
        self.unreadable.lock().insert(key.to_owned(), unreadable);
    }

    /// Whether any definition of that kind is unreadable.
    pub(super) fn has_kind(&self, kind: &str) -> bool {
        self.unreadable.lock().keys().any(|key| Key::kind(key) == kind)
    }

    /// Removes the unreadable definitions of a vhost that is being deleted.
    pub(super) fn forget_vhost(&self, vhost: &str, changes: &mut Changes) {
        for key in self.unreadable.lock().keys().filter(|key| is_declared_in(key, vhost)) {
            changes.remove_stored(key);
        }
    }

    /// Changes that keep the bytes of replaced unreadable definitions, and their keys.
    pub(super) fn keep_aside(&self, changes: &Changes) -> (Changes, Vec<String>) {
        let mut aside = Changes::default();
        let unreadable = self.unreadable.lock();
        if unreadable.is_empty() {
            return (aside, Vec::new());
        }
        let mut keys = Vec::new();
        for (key, _) in changes.as_slice() {
            if let Some(kept) = unreadable.get(key) {
                aside.put_bytes(Key::aside(key), kept.bytes.to_vec());
                keys.push(key.clone());
            }
        }
        (aside, keys)
    }

    /// These definitions were replaced.
    pub(super) fn replaced(&self, keys: &[String]) {
        let mut unreadable = self.unreadable.lock();
        for key in keys {
            unreadable.remove(key);
        }
    }

    /// Last known properties of queues and delay rooms, from definitions not in use.
    pub(super) fn known(&self, remnants: &[(Arc<str>, Arc<[u8]>)]) -> HashMap<QueueId, LastKnown> {
        let mut known: HashMap<_, _> =
            remnants.iter().filter_map(|(key, bytes)| last_known(key, bytes)).collect();
        let unreadable = self.unreadable.lock();
        known.extend(unreadable.iter().filter_map(|(key, one)| last_known(key, &one.bytes)));
        known
    }
}

/// Whether a key belongs to an object of this vhost.
pub(super) fn is_declared_in(key: &str, vhost: &str) -> bool {
    DECLARED.contains(&Key::kind(key)) && Key::part(key, 0) == vhost
}

/// Whatever can be read of a damaged queue definition.
fn last_known(key: &str, bytes: &[u8]) -> Option<(QueueId, LastKnown)> {
    let delayed = match Key::kind(key) {
        "queue" => false,
        "delay" => true,
        _ => return None,
    };
    if let Ok(stored) = read::<QueueDefinition>(bytes) {
        let QueueDefinition { vhost, name, arguments, .. } = stored;
        return Some((QueueId(stored.id), LastKnown { vhost, name, delayed, arguments }));
    }
    let id = match read::<DelayDefinition>(bytes) {
        Ok(stored) => stored.id,
        Err(_) => read::<serde_json::Value>(bytes).ok()?.get("id")?.as_u64()?,
    };
    let (vhost, name) = (Key::part(key, 0).to_owned(), Key::part(key, 1).to_owned());
    Some((QueueId(id), LastKnown { vhost, name, delayed, arguments: FieldTable::default() }))
}
