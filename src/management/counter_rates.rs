//! Numbers and their rates in answers' form: `name` and `name_details`.

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::{Value, json};

/// A set of counters or gauges by name: the name, the name of its details, its value.
pub(super) type Numbers<const N: usize> = [u64; N];

/// Numbers and their rates per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rated<const N: usize> {
    pub(super) now: Numbers<N>,
    pub(super) rates: [f64; N],
    pub(super) names: &'static [(&'static str, &'static str); N],
}

struct Rate(f64);

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        map.serialize_entry("rate", &self.0)?;
        map.end()
    }
}

impl<const N: usize> Rated<N> {
    pub(super) fn none(names: &'static [(&'static str, &'static str); N]) -> Self {
        Self { now: [0; N], rates: [0.0; N], names }
    }

    pub(super) fn add(&mut self, more: &Self) {
        for (sum, more) in self.now.iter_mut().zip(more.now) {
            *sum += more;
        }
        for (sum, more) in self.rates.iter_mut().zip(more.rates) {
            *sum += more;
        }
    }

    /// Writes each number and its details into an existing object.
    pub(super) fn write_into(&self, shown: &mut Value) {
        for ((name, details), (now, rate)) in self.names.iter().zip(self.now.iter().zip(self.rates)) {
            shown[*name] = (*now).into();
            shown[*details] = json!({ "rate": rate });
        }
    }

    /// Writes each number and its details as map entries.
    pub(super) fn write<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        for ((name, details), (now, rate)) in self.names.iter().zip(self.now.iter().zip(self.rates)) {
            map.serialize_entry(name, now)?;
            map.serialize_entry(details, &Rate(rate))?;
        }
        Ok(())
    }
}

impl<const N: usize> Serialize for Rated<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(N * 2))?;
        self.write(&mut map)?;
        map.end()
    }
}
