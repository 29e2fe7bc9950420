//! Definitions in memory, and the sums that show whether sled holds the same.
//!
//! Invariants: keys and values are shared between the map, a snapshot being written and what sled has not taken yet,
//! so that none of them copies. Absent: files.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::journal::Frame;
use crate::index;

/// All definitions, by key.
pub(super) type Entries = BTreeMap<Arc<str>, Arc<[u8]>>;

/// sled key of [`Meta`].
pub(super) const META_KEY: &[u8] = b"m";

/// Must agree with what sled holds, so that entries it lost are noticed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Meta {
    pub(super) revision: u64,
    count: u64,
    /// Sum of the checksums of all entries.
    sum: u64,
}

impl Meta {
    /// The meta of these entries, at a revision.
    pub(super) fn of(entries: &Entries, revision: u64) -> Self {
        let mut meta = Self { revision, ..Self::default() };
        for (key, value) in entries {
            meta.add(key, value);
        }
        meta
    }

    /// Short form, for the snapshot.
    pub(super) fn check(self) -> String {
        format!("{:08x}{:016x}", crc32c::crc32c(&self.encode()), self.sum)
    }

    pub(super) fn encode(self) -> Vec<u8> {
        let numbers = [self.revision, self.count, self.sum];
        numbers.iter().flat_map(|n| n.to_le_bytes()).collect()
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let number = |at: usize| {
            let bytes = bytes.get(at..at + 8)?;
            Some(u64::from_le_bytes(bytes.try_into().ok()?))
        };
        Some(Self { revision: number(0)?, count: number(8)?, sum: number(16)? })
    }

    pub(super) fn add(&mut self, key: &str, value: &[u8]) {
        self.count += 1;
        self.sum = self.sum.wrapping_add(checksum(key, value));
    }

    fn remove(&mut self, key: &str, value: &[u8]) {
        self.count -= 1;
        self.sum = self.sum.wrapping_sub(checksum(key, value));
    }
}

fn checksum(key: &str, value: &[u8]) -> u64 {
    let key_crc = crc32c::crc32c(key.as_bytes());
    u64::from(crc32c::crc32c_append(key_crc, value)) << 32 | u64::from(key_crc)
}

/// A key and its new value, as stored in [`Entries`].
type Shared = (Arc<str>, Option<Arc<[u8]>>);

/// The changes of one commit.
pub(super) struct Step {
    pub(super) changes: Vec<Shared>,
    /// Meta after the commit.
    meta: Meta,
}

/// Applies a commit in memory.
pub(super) fn apply(entries: &mut Entries, meta: &mut Meta, frame: Frame) -> Step {
    let mut changes = Vec::with_capacity(frame.changes.len());
    for (key, value) in frame.changes {
        let (key, value): Shared = (key.into(), value.map(Into::into));
        let old = match &value {
            Some(value) => {
                meta.add(&key, value);
                entries.insert(Arc::clone(&key), Arc::clone(value))
            }
            None => entries.remove(&key),
        };
        if let Some(old) = old {
            meta.remove(&key, &old);
        }
        changes.push((key, value));
    }
    meta.revision = frame.revision;
    Step { changes, meta: *meta }
}

/// sled key of a definition.
pub(super) fn entry_key(key: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(key.len() + 1);
    bytes.push(b'd');
    bytes.extend_from_slice(key.as_bytes());
    bytes
}

/// Consecutive steps as changes to sled.
pub(super) fn database_changes(steps: &[Step]) -> Vec<index::Change> {
    let entries = steps.iter().flat_map(|step| &step.changes);
    let entries = entries.map(|(key, value)| (entry_key(key), value.as_deref().map(<[u8]>::to_vec)));
    let meta = steps.last().map(|step| (META_KEY.to_vec(), Some(step.meta.encode())));
    entries.chain(meta).collect()
}
