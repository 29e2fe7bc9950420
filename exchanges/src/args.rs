//! Argument tables of exchanges and bindings.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::OwnedValue;

type Entry = (Box<[u8]>, OwnedValue);

/// An argument table. Cloning shares it; an empty one does not allocate. Equality and hash ignore the order of names:
/// `RabbitMQ` sorts before it compares.
#[derive(Clone, Default)]
pub struct Args(Option<Arc<Table>>);

struct Table {
    given: Box<[Entry]>,
    /// Indexes into `given`, sorted by name; equal names keep their given order.
    sorted: Box<[usize]>,
}

impl Args {
    /// The empty table.
    pub const EMPTY: Self = Self(None);

    /// A table of `entries`.
    pub fn new(entries: impl IntoIterator<Item = (Box<[u8]>, OwnedValue)>) -> Self {
        let given: Vec<Entry> = entries.into_iter().collect();
        if given.is_empty() {
            return Self::EMPTY;
        }
        let mut sorted: Vec<usize> = (0..given.len()).collect();
        sorted.sort_by(|a, b| given[*a].0.cmp(&given[*b].0));
        Self(Some(Arc::new(Table { given: given.into(), sorted: sorted.into() })))
    }

    /// The first value with this name.
    pub fn get(&self, name: impl AsRef<[u8]>) -> Option<&OwnedValue> {
        let name = name.as_ref();
        let found = self.iter_as_given().find(|entry| entry.0 == name);
        found.map(|entry| entry.1)
    }

    /// The entries in the order given.
    pub fn iter_as_given(&self) -> impl Iterator<Item = (&[u8], &OwnedValue)> {
        let given = self.0.as_ref().map_or(&[][..], |table| &table.given);
        given.iter().map(|(name, value)| (&**name, value))
    }

    /// The entries sorted by name.
    fn iter_sorted(&self) -> impl Iterator<Item = &Entry> {
        self.0.iter().flat_map(|table| {
            let places = table.sorted.iter();
            places.map(|place| &table.given[*place])
        })
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |table| table.given.len())
    }

    /// Whether the table has no entries.
    pub const fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<'a> FromIterator<(&'a str, OwnedValue)> for Args {
    fn from_iter<I: IntoIterator<Item = (&'a str, OwnedValue)>>(entries: I) -> Self {
        let entries = entries.into_iter();
        Self::new(entries.map(|(name, value)| (name.as_bytes().into(), value)))
    }
}

impl PartialEq for Args {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.iter_sorted().eq(other.iter_sorted())
    }
}

impl Eq for Args {}

impl Hash for Args {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.len().hash(state);
        self.iter_sorted().for_each(|entry| entry.hash(state));
    }
}

impl std::fmt::Debug for Args {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let entries = self.iter_as_given();
        f.debug_map().entries(entries.map(|(name, value)| (String::from_utf8_lossy(name), value))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn args_equality_ignores_order_but_iteration_keeps_it() {
        let one = Args::from_iter([("b", OwnedValue::int(1)), ("a", OwnedValue::int(2))]);
        let two = Args::from_iter([("a", OwnedValue::int(2)), ("b", OwnedValue::int(1))]);
        assert_eq!(one, two);
        assert_eq!(one.iter_as_given().next().map(|entry| entry.0), Some(&b"b"[..]));
        assert_eq!(one.get("a"), Some(&OwnedValue::int(2)));
        assert_ne!(one, Args::EMPTY);
    }
}
