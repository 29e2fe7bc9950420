//! Numbers and their rates, as answers show them: `name` and `name_details`.

use serde::ser::{Serialize, SerializeMap, Serializer};

/// A set of counters or gauges by name: the name, the name of its details, its value.
pub(super) type Numbers<const N: usize> = [u64; N];

/// Numbers and their rates a second.
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
    /// The number that an answer shows at this path.
    #[expect(clippy::cast_precision_loss, reason = "for sorting")]
    pub(super) fn at(&self, path: &str) -> Option<f64> {
        let (name, rate) = path.strip_suffix(".rate").map_or((path, false), |details| (details, true));
        let place =
            self.names.iter().position(|(plain, details)| *if rate { details } else { plain } == name)?;
        Some(if rate { self.rates[place] } else { self.now[place] as f64 })
    }

    /// Writes each number and its details into an object.
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

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [(&str, &str); 3] = [
        ("messages", "messages_details"),
        ("messages_ready", "messages_ready_details"),
        ("messages_unacknowledged", "messages_unacknowledged_details"),
    ];

    #[test]
    fn numbers_are_found_where_answers_show_them() {
        let rated = Rated { now: [7, 4, 3], rates: [0.5, 0.25, 0.0], names: &NAMES };
        let shown = serde_json::to_value(rated).unwrap();
        for path in ["messages", "messages_ready", "messages_details.rate", "messages_ready_details.rate"] {
            let wanted = path.split('.').fold(&shown, |value, name| &value[name]);
            assert_eq!(rated.at(path), wanted.as_f64(), "{path}");
        }
        for path in ["messages.rate", "messages_details", "nothing", ""] {
            assert_eq!(rated.at(path), None, "{path}");
        }
    }
}
