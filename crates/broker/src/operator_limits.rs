//! Run-time limits on vhosts and users (docs/semantics.md, Users and permissions): maximum concurrent objects. Existing
//! ones are kept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::refusal::Refusal;

/// The object of a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LimitsOf {
    /// A vhost.
    Vhost,
    /// A user, over all vhosts.
    User,
}

/// Concurrent connections.
pub const MAX_CONNECTIONS: &str = "max-connections";
/// Queues per vhost.
pub const MAX_QUEUES: &str = "max-queues";
/// Channels per user.
pub const MAX_CHANNELS: &str = "max-channels";

impl LimitsOf {
    /// Known limit names.
    pub const fn names(self) -> [&'static str; 2] {
        match self {
            Self::Vhost => [MAX_CONNECTIONS, MAX_QUEUES],
            Self::User => [MAX_CONNECTIONS, MAX_CHANNELS],
        }
    }

    const fn component(self) -> &'static str {
        match self {
            Self::Vhost => "limits",
            Self::User => "user-limits",
        }
    }
}

/// Limits of one vhost or user, by name. Negative means unlimited, as in `RabbitMQ`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OperatorLimits(BTreeMap<String, i64>);

impl OperatorLimits {
    /// Validates the names. The refusal text is `RabbitMQ`'s.
    pub fn new(of: LimitsOf, limits: BTreeMap<String, i64>) -> Result<Self, Refusal> {
        match limits.iter().find(|(name, _)| !of.names().contains(&name.as_str())) {
            None => Ok(Self(limits)),
            Some((name, value)) => Err(Refusal::Precondition(format!(
                "Validation failed\n\nUnrecognised terms [{{<<\"{name}\">>,{value}}}] in {}\n",
                of.component()
            ))),
        }
    }

    /// A limit by name, if set.
    pub fn get(&self, name: &str) -> Option<u64> {
        self.0.get(name).and_then(|value| u64::try_from(*value).ok())
    }

    /// Whether no limit is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn changed(&self, of: LimitsOf, name: &str, value: Option<i64>) -> Result<Self, Refusal> {
        let mut limits = self.0.clone();
        match value {
            Some(value) => limits.insert(name.to_owned(), value),
            None => limits.remove(name),
        };
        Self::new(of, limits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(of: LimitsOf, name: &str, value: i64) -> Result<OperatorLimits, Refusal> {
        OperatorLimits::new(of, BTreeMap::from([(name.to_owned(), value)]))
    }

    #[test]
    fn a_negative_limit_is_none() {
        for (value, want) in [(-1, None), (0, Some(0)), (7, Some(7))] {
            let limits = limits(LimitsOf::Vhost, MAX_QUEUES, value).expect("a known name");
            assert_eq!((limits.get(MAX_QUEUES), limits.get(MAX_CONNECTIONS)), (want, None));
        }
    }

    #[test]
    fn a_name_that_is_not_known_there_is_refused() {
        for (of, name, known) in [
            (LimitsOf::Vhost, MAX_CHANNELS, false),
            (LimitsOf::User, MAX_QUEUES, false),
            (LimitsOf::User, MAX_CHANNELS, true),
            (LimitsOf::Vhost, "max_queues", false),
        ] {
            assert_eq!(limits(of, name, 1).is_ok(), known, "{of:?} {name}");
        }
        let refused = limits(LimitsOf::User, MAX_QUEUES, 1).expect_err("unknown").to_string();
        assert_eq!(
            refused,
            "Validation failed\n\nUnrecognised terms [{<<\"max-queues\">>,1}] in user-limits\n"
        );
    }
}
