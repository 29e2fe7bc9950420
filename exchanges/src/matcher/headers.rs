//! Headers exchanges: an inverted index.
//!
//! A predicate is one (name, value), or a name alone for presence. Each header of a message is looked up once, which
//! gives the predicates it satisfies. Bindings that one predicate decides (`any`, or `all` with one argument) are
//! attached to it directly. `all` bindings with the same arguments form one condition, attached to whichever of its
//! predicates had the fewest conditions when it was made, and checked when that predicate is satisfied. So a
//! condition with a rare predicate is checked only when that one matches, and common predicates carry few conditions.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};
use slab::Slab;

use crate::kind::XMatch;
use crate::matcher::Sink;
use crate::targets::{Target, TargetSet};
use crate::{Args, Attributes, OwnedValue, QueueId, Value};

pub(crate) struct Headers<D> {
    /// `all` without arguments.
    always: TargetSet<D>,
    predicates: Slab<Predicate<D>>,
    by_header: HashTable<u32>,
    /// Number of predicates that ask for presence only.
    presences: usize,
    conditions: Slab<Condition<D>>,
    by_predicates: HashTable<u32>,
    /// Headers come from clients, hence a secret seed.
    hasher: DefaultHashBuilder,
}

struct Predicate<D> {
    name: Box<[u8]>,
    /// `None`: presence.
    value: Option<Canonical>,
    hash: u64,
    /// Number of bindings and conditions that use it.
    users: usize,
    decides: TargetSet<D>,
    conditions: Vec<u32>,
}

struct Condition<D> {
    /// Sorted.
    predicates: Box<[u32]>,
    targets: TargetSet<D>,
    /// The predicate it is attached to, and its index there.
    at: u32,
    place: usize,
}

/// A value in the form used for header comparison.
enum Canonical {
    Plain(OwnedValue),
    Nested { kind: u8, raw: Box<[u8]> },
}

impl Canonical {
    fn new(value: &OwnedValue) -> Option<Self> {
        let mut nested = Vec::new();
        match value.as_value(&mut nested) {
            Value::Void => None,
            Value::Other { kind, raw } => Some(Self::Nested { kind, raw: raw.into() }),
            _ => Some(Self::Plain(value.clone())),
        }
    }

    fn as_value(&self) -> Value<'_> {
        match self {
            Self::Plain(value) => value.as_plain(),
            Self::Nested { kind, raw } => Value::Other { kind: *kind, raw },
        }
    }
}

impl<D> Default for Headers<D> {
    fn default() -> Self {
        Self {
            always: TargetSet::default(),
            predicates: Slab::new(),
            by_header: HashTable::new(),
            presences: 0,
            conditions: Slab::new(),
            by_predicates: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        }
    }
}

/// A binding in resolved form.
enum Plan {
    Always,
    /// Each of these suffices alone; empty: never matches.
    Any(Vec<u32>),
    /// Two or more, sorted.
    All(Vec<u32>),
}

impl<D: QueueId> Headers<D> {
    pub(super) fn add(&mut self, args: &Args, target: Target<D>) {
        match self.plan(args) {
            Plan::Always => self.always.add(target),
            Plan::Any(predicates) => {
                for id in predicates {
                    let predicate = &mut self.predicates[id as usize];
                    predicate.users += 1;
                    predicate.decides.add(target);
                }
            }
            Plan::All(predicates) => {
                let condition = self.find_condition(&predicates);
                let condition = condition.unwrap_or_else(|| self.add_condition(predicates));
                self.conditions[condition as usize].targets.add(target);
            }
        }
    }

    pub(super) fn remove(&mut self, args: &Args, target: Target<D>) {
        match self.plan(args) {
            Plan::Always => self.always.remove(target),
            Plan::Any(predicates) => {
                for id in predicates {
                    self.predicates[id as usize].decides.remove(target);
                    self.release(id);
                }
            }
            Plan::All(predicates) => {
                if let Some(id) = self.find_condition(&predicates) {
                    let condition = &mut self.conditions[id as usize];
                    condition.targets.remove(target);
                    if condition.targets.is_empty() {
                        self.remove_condition(id);
                    }
                }
            }
        }
    }

    /// Resolves the arguments, adding new predicates with no users.
    fn plan(&mut self, args: &Args) -> Plan {
        let Ok(x_match) = XMatch::from_args(args) else {
            return Plan::Any(Vec::new());
        };
        let counting = args.iter_as_given().filter(|(name, _)| x_match.counts(name));
        let mut predicates: Vec<u32> =
            counting.map(|(name, value)| self.predicate(name, Canonical::new(value))).collect();
        predicates.sort_unstable();
        predicates.dedup();
        match (x_match.any, predicates.len()) {
            (false, 0) => Plan::Always,
            (true, _) | (_, 1) => Plan::Any(predicates),
            _ => Plan::All(predicates),
        }
    }

    fn predicate(&mut self, name: &[u8], value: Option<Canonical>) -> u32 {
        let name_hash = self.hasher.hash_one(name);
        let (hash, found) = {
            let view = value.as_ref().map(Canonical::as_value);
            let hash = self.hash(name_hash, view);
            (hash, self.find(hash, name, view))
        };
        found.unwrap_or_else(|| {
            self.presences += usize::from(value.is_none());
            let id = id_u32(self.predicates.insert(Predicate {
                name: name.into(),
                value,
                hash,
                users: 0,
                decides: TargetSet::default(),
                conditions: Vec::new(),
            }));
            let predicates = &self.predicates;
            self.by_header.insert_unique(hash, id, |id| predicates[*id as usize].hash);
            id
        })
    }

    /// Drops one user; a predicate without users is removed.
    fn release(&mut self, id: u32) {
        let predicate = &mut self.predicates[id as usize];
        predicate.users -= 1;
        if predicate.users == 0 {
            let gone = self.predicates.remove(id as usize);
            self.presences -= usize::from(gone.value.is_none());
            if let Ok(entry) = self.by_header.find_entry(gone.hash, |other| *other == id) {
                entry.remove();
            }
        }
    }

    fn find_condition(&self, predicates: &[u32]) -> Option<u32> {
        let found = self.by_predicates.find(self.hasher.hash_one(predicates), |id| {
            *self.conditions[*id as usize].predicates == *predicates
        });
        found.copied()
    }

    fn add_condition(&mut self, predicates: Vec<u32>) -> u32 {
        for id in &predicates {
            self.predicates[*id as usize].users += 1;
        }
        let load = |id: &&u32| self.predicates[**id as usize].conditions.len();
        let at = predicates.iter().min_by_key(load).copied().unwrap_or(0);
        let hash = self.hasher.hash_one(&*predicates);
        let entry = self.conditions.vacant_entry();
        let id = id_u32(entry.key());
        let hanging = &mut self.predicates[at as usize].conditions;
        entry.insert(Condition {
            predicates: predicates.into(),
            targets: TargetSet::default(),
            at,
            place: hanging.len(),
        });
        hanging.push(id);
        let (conditions, hasher) = (&self.conditions, &self.hasher);
        self.by_predicates
            .insert_unique(hash, id, |id| hasher.hash_one(&*conditions[*id as usize].predicates));
        id
    }

    fn remove_condition(&mut self, id: u32) {
        let gone = self.conditions.remove(id as usize);
        let hash = self.hasher.hash_one(&*gone.predicates);
        if let Ok(entry) = self.by_predicates.find_entry(hash, |other| *other == id) {
            entry.remove();
        }
        let hanging = &mut self.predicates[gone.at as usize].conditions;
        hanging.swap_remove(gone.place);
        if let Some(moved) = hanging.get(gone.place) {
            self.conditions[*moved as usize].place = gone.place;
        }
        for predicate in gone.predicates {
            self.release(predicate);
        }
    }

    fn hash(&self, name_hash: u64, value: Option<Value<'_>>) -> u64 {
        value.map_or(name_hash, |value| self.hasher.hash_one((name_hash, value)))
    }

    #[inline]
    fn find(&self, hash: u64, name: &[u8], value: Option<Value<'_>>) -> Option<u32> {
        let found = self.by_header.find(hash, |id| {
            let predicate = &self.predicates[*id as usize];
            *predicate.name == *name && predicate.value.as_ref().map(Canonical::as_value) == value
        });
        found.copied()
    }

    pub(super) fn route(&self, message: &dyn Attributes, satisfied: &mut Vec<u32>, sink: &mut Sink<'_, D>) {
        sink.add(&self.always);
        if self.predicates.is_empty() {
            return;
        }
        satisfied.clear();
        message.each_header(&mut |name, value| {
            let name_hash = self.hasher.hash_one(name);
            let hash = self.hash(name_hash, Some(value));
            satisfied.extend(self.find(hash, name, Some(value)));
            if self.presences > 0 {
                satisfied.extend(self.find(name_hash, name, None));
            }
        });
        satisfied.sort_unstable();
        satisfied.dedup();
        for id in &*satisfied {
            let predicate = &self.predicates[*id as usize];
            sink.add(&predicate.decides);
            for condition in &predicate.conditions {
                let condition = &self.conditions[*condition as usize];
                let needed = condition.predicates.iter();
                if needed.copied().all(|id| is_in(satisfied, id)) {
                    sink.add(&condition.targets);
                }
            }
        }
    }
}

/// Whether a sorted list contains the number. Short lists are searched linearly, which is faster.
#[inline]
fn is_in(sorted: &[u32], wanted: u32) -> bool {
    if sorted.len() <= 16 { sorted.contains(&wanted) } else { sorted.binary_search(&wanted).is_ok() }
}

fn id_u32(id: usize) -> u32 {
    u32::try_from(id).expect("fewer than 2^32 predicates fit into memory")
}
