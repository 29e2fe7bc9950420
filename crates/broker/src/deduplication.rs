//! Deduplication on queues and exchanges, as in `LavinMQ`: a message whose id was seen before is dropped
//! (docs/semantics.md, Routing).
//!
//! Invariants: at most `capacity` ids are remembered, the oldest are evicted first; an id is remembered for its time to
//! live, counted from the message that introduced it. Ids are kept as 128-bit keyed hashes, so that their cost does not
//! depend on their length.
//! Absent: clocks, disk; a restart forgets all ids.

use std::collections::VecDeque;
use std::hash::{BuildHasher, RandomState};

use leveret_message::table::ValueRef;
use leveret_message::table::edit::put_value;
use leveret_message::{Message, Millis};
use rustc_hash::FxHashMap;

use super::arguments::{FieldTable, Value, integer, text, type_name};
use super::attributes::headers;
use super::limits::{DEDUPLICATION_IDS_DEFAULT, DEDUPLICATION_IDS_MAX, TTL_MS_MAX};

/// Deduplication settings of a queue or an exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeduplicationRule {
    /// The header that holds a message's id.
    header: String,
    /// Maximum number of ids.
    capacity: usize,
    /// Time to live of an id; unlimited if absent.
    ttl_ms: Option<u64>,
}

/// An invalid argument, and why.
pub(super) type BadArgument = (&'static str, String);

const ENABLED: &str = "x-message-deduplication";
const CAPACITY: &str = "x-cache-size";
const TTL: &str = "x-cache-ttl";
const HEADER: &str = "x-deduplication-header";

impl DeduplicationRule {
    /// Reads the arguments of a queue or an exchange.
    pub(super) fn read(arguments: &FieldTable) -> Result<Option<Self>, BadArgument> {
        let value = |name: &str| arguments.inner().get(name);
        let unacceptable =
            |name, value: &Value| (name, format!("{{unacceptable_type,{}}}", type_name(value)));
        let number = |name, min: u64, max: u64| match value(name) {
            None => Ok(None),
            Some(value) => {
                let number = integer(value).ok_or_else(|| unacceptable(name, value))?;
                let fits = u64::try_from(number).ok().filter(|number| (min..=max).contains(number));
                fits.map(Some).ok_or_else(|| (name, format!("{{value_out_of_range,{number}}}")))
            }
        };
        match value(ENABLED) {
            Some(Value::Boolean(true)) => {}
            None | Some(Value::Boolean(false)) => return Ok(None),
            Some(other) => return Err(unacceptable(ENABLED, other)),
        }
        let capacity = number(CAPACITY, 1, DEDUPLICATION_IDS_MAX)?.unwrap_or(DEDUPLICATION_IDS_DEFAULT);
        let header = match value(HEADER) {
            None => HEADER,
            Some(value) => text(value).ok_or_else(|| unacceptable(HEADER, value))?,
        };
        Ok(Some(Self {
            header: header.to_owned(),
            capacity: usize::try_from(capacity).unwrap_or(usize::MAX),
            ttl_ms: number(TTL, 1, TTL_MS_MAX)?,
        }))
    }
}

/// What a deduplicating queue or exchange would find in a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DuplicateCheck {
    /// The header that holds a message's id.
    pub header: String,
    /// Whether the message has it.
    pub present: bool,
    /// Whether the id was seen before, so that the message is dropped.
    pub duplicate: bool,
}

/// The ids seen.
#[derive(Debug)]
pub(super) struct Deduplication {
    rule: DeduplicationRule,
    seen: FxHashMap<u128, Seen>,
    /// In order of arrival. An entry with an outdated stamp was seen again later.
    order: VecDeque<(u128, u64)>,
    stamp: u64,
    hashers: [RandomState; 2],
}

#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: u64,
    until: Option<Millis>,
}

impl Deduplication {
    pub(super) fn new(rule: DeduplicationRule) -> Self {
        Self {
            rule,
            seen: FxHashMap::default(),
            order: VecDeque::new(),
            stamp: 0,
            hashers: [RandomState::new(), RandomState::new()],
        }
    }

    /// Whether the message's id was seen before; a new id is remembered. A message without an id is never a duplicate.
    pub(super) fn is_duplicate(&mut self, message: &Message, now: Millis) -> bool {
        let Some(table) = headers(message) else { return false };
        let Some(id) = table.get(&self.rule.header) else { return false };
        let own_ttl = table.get(TTL).and_then(ValueRef::as_i64).and_then(|ttl| u64::try_from(ttl).ok());
        let key = self.key(id);
        if self.is_known(key, now) {
            return true;
        }
        let until = own_ttl.or(self.rule.ttl_ms).map(|ttl| now.plus(ttl));
        self.stamp += 1;
        self.seen.insert(key, Seen { stamp: self.stamp, until });
        self.order.push_back((key, self.stamp));
        self.keep_to_capacity();
        false
    }

    /// What [`Deduplication::is_duplicate`] would find; nothing is remembered.
    pub(super) fn look(&self, message: &Message, now: Millis) -> DuplicateCheck {
        let id = headers(message).and_then(|table| table.get(&self.rule.header));
        DuplicateCheck {
            header: self.rule.header.clone(),
            present: id.is_some(),
            duplicate: id.is_some_and(|id| self.is_known(self.key(id), now)),
        }
    }

    fn is_known(&self, key: u128, now: Millis) -> bool {
        self.seen.get(&key).is_some_and(|seen| seen.until.is_none_or(|until| now < until))
    }

    fn keep_to_capacity(&mut self) {
        let Self { seen, order, rule, .. } = self;
        let current = |seen: &FxHashMap<u128, Seen>, key: u128, stamp: u64| {
            seen.get(&key).is_some_and(|entry| entry.stamp == stamp)
        };
        while seen.len() > rule.capacity
            && let Some((key, stamp)) = order.pop_front()
        {
            if current(seen, key, stamp) {
                seen.remove(&key);
            }
        }
        if order.len() > rule.capacity * 2 {
            order.retain(|(key, stamp)| current(seen, *key, *stamp));
        }
    }

    /// Numbers compare equal in any width, as elsewhere.
    fn key(&self, id: ValueRef<'_>) -> u128 {
        let mut raw = Vec::new();
        match id.as_i64() {
            Some(number) => put_value(&mut raw, ValueRef::I64(number)),
            None => put_value(&mut raw, id),
        }
        let [high, low] = &self.hashers;
        u128::from(high.hash_one(&raw)) << 64 | u128::from(low.hash_one(&raw))
    }
}

#[cfg(test)]
mod tests {
    use leveret_message::{MessageMeta, Short};

    use super::*;
    use leveret_message::properties::PropertiesEdit;
    use leveret_message::table::edit::put_entry;

    fn message(id: &str, ttl: Option<i64>) -> Message {
        let mut table = Vec::new();
        put_entry(&mut table, HEADER.as_bytes(), ValueRef::LongString(id.as_bytes()));
        if let Some(ttl) = ttl {
            put_entry(&mut table, TTL.as_bytes(), ValueRef::I64(ttl));
        }
        let mut edit = PropertiesEdit::default();
        edit.set_headers(&table);
        Message::new(Short::EMPTY, Short::literal("q"), &edit.finish(), b"", MessageMeta::default())
    }

    fn cache(capacity: usize, ttl_ms: Option<u64>) -> Deduplication {
        Deduplication::new(DeduplicationRule { header: HEADER.to_owned(), capacity, ttl_ms })
    }

    #[test]
    fn an_id_is_forgotten_when_its_time_is_over_and_the_messages_own_counts_first() {
        let mut cache = cache(10, Some(100));
        assert!(!cache.is_duplicate(&message("a", None), Millis(0)));
        assert!(!cache.is_duplicate(&message("b", Some(1000)), Millis(0)));
        assert!(cache.is_duplicate(&message("a", None), Millis(99)));
        assert!(!cache.is_duplicate(&message("a", None), Millis(100)));
        assert!(cache.is_duplicate(&message("a", None), Millis(199)));
        assert!(cache.is_duplicate(&message("b", None), Millis(999)));
    }

    #[test]
    fn a_look_finds_what_a_check_would_and_remembers_nothing() {
        let mut cache = cache(10, Some(100));
        for _ in 0..2 {
            assert!(!cache.look(&message("a", None), Millis(0)).duplicate);
        }
        assert!(!cache.is_duplicate(&message("a", None), Millis(0)));
        let found = cache.look(&message("a", None), Millis(99));
        assert!(found.present && found.duplicate && found.header == HEADER);
        assert!(!cache.look(&message("a", None), Millis(100)).duplicate);
        let plain = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", b"", MessageMeta::default());
        assert!(!cache.look(&plain, Millis(0)).present);
    }

    #[test]
    fn the_oldest_id_goes_when_there_are_too_many() {
        let mut cache = cache(2, None);
        for id in ["a", "b", "c"] {
            assert!(!cache.is_duplicate(&message(id, None), Millis(0)), "{id}");
        }
        assert!(cache.is_duplicate(&message("c", None), Millis(0)));
        assert!(cache.is_duplicate(&message("b", None), Millis(0)));
        assert!(!cache.is_duplicate(&message("a", None), Millis(0)));
    }

    #[test]
    fn ids_that_expire_again_and_again_cost_no_more_memory() {
        let mut cache = cache(3, Some(1));
        for at in 0..1000 {
            assert!(!cache.is_duplicate(&message("a", None), Millis(at)));
        }
        assert!(cache.order.len() <= 6, "{}", cache.order.len());
    }
}
