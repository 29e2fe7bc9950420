//! Contents of a policy: known keys, their valid values, and the errors for unsupported keys.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use leveret_queues::{Overflow, RetryType};

use super::PolicyKind;
use crate::limits::TTL_MS_MAX;

/// Values of `overflow`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are RabbitMQ's")]
pub enum OverflowName {
    DropHead,
    RejectPublish,
    RejectPublishDlx,
}

impl OverflowName {
    /// Parses the name; `None` if unknown.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "drop-head" => Some(Self::DropHead),
            "reject-publish" => Some(Self::RejectPublish),
            "reject-publish-dlx" => Some(Self::RejectPublishDlx),
            _ => None,
        }
    }
}

impl From<OverflowName> for Overflow {
    fn from(name: OverflowName) -> Self {
        match name {
            OverflowName::DropHead => Self::DropHead,
            OverflowName::RejectPublish => Self::RejectPublish,
            OverflowName::RejectPublishDlx => Self::RejectPublishDeadLetter,
        }
    }
}

/// Values of `delayed-retry-type`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the names are RabbitMQ's")]
pub enum RetryTypeName {
    Disabled,
    All,
    Failed,
    Returned,
}

impl RetryTypeName {
    /// Parses the name; `None` if unknown.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "disabled" => Some(Self::Disabled),
            "all" => Some(Self::All),
            "failed" => Some(Self::Failed),
            "returned" => Some(Self::Returned),
            _ => None,
        }
    }

    /// Which returned messages wait; `None`: none.
    pub fn which(self) -> Option<RetryType> {
        match self {
            Self::Disabled => None,
            Self::All => Some(RetryType::All),
            Self::Failed => Some(RetryType::Failed),
            Self::Returned => Some(RetryType::Returned),
        }
    }
}

/// The settings that a policy, or a queue's or exchange's arguments, can make. `None`: not set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", default, deny_unknown_fields)]
pub struct PolicyDefinition {
    /// Receives messages that the exchange cannot route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternate_exchange: Option<String>,
    /// Receives the queue's dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_exchange: Option<String>,
    /// Replaces the routing keys of dead letters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_routing_key: Option<String>,
    /// Kept for tools: dead letters move in one step of the store, which satisfies either strategy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_letter_strategy: Option<String>,
    /// Time to live of messages, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_ttl: Option<u64>,
    /// Idle time after which the queue is deleted, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires: Option<u64>,
    /// Maximum ready messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length: Option<u64>,
    /// Maximum bytes of ready messages' bodies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_length_bytes: Option<u64>,
    /// Behaviour when either length limit is exceeded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overflow: Option<OverflowName>,
    /// Maximum failed deliveries; negative for no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivery_limit: Option<i64>,
    /// Which returned messages wait before they are delivered again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delayed_retry_type: Option<RetryTypeName>,
    /// Their wait after the first failed delivery, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delayed_retry_min: Option<u64>,
    /// Their longest wait, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delayed_retry_max: Option<u64>,
    /// Acknowledgement timeout, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consumer_timeout: Option<u64>,
}

/// Keys allowed in operator policies.
const OF_OPERATORS: [&str; 6] =
    ["expires", "message-ttl", "max-length", "max-length-bytes", "delivery-limit", "overflow"];

/// `RabbitMQ` keys that have no meaning here, with the reason.
fn unsupported(key: &str) -> Option<&'static str> {
    if key.starts_with("ha-") {
        return Some("queues are not mirrored");
    }
    if key.starts_with("federation-") {
        return Some("there is no federation");
    }
    Some(match key {
        "queue-leader-locator" | "queue-master-locator" | "initial-cluster-size" | "target-group-size" => {
            "there is one node"
        }
        "max-age" | "stream-max-segment-size-bytes" | "stream-filter-size-bytes" | "max-segment-size" => {
            "there are no streams"
        }
        "max-in-memory-length" | "max-in-memory-bytes" | "queue-mode" | "queue-version" => {
            "the broker decides what is held in memory"
        }
        "consumer-disconnected-timeout" => "a consumer that is gone gives its messages back at once",
        "max-priority" => "priorities are fixed when a queue is declared",
        _ => return None,
    })
}

/// A value as shown in `RabbitMQ`'s texts.
fn in_words(value: &Value) -> String {
    match value {
        Value::String(text) => format!("<<\"{text}\">>"),
        other => other.to_string(),
    }
}

fn name(value: &Value, what: &str) -> Result<Option<String>, String> {
    let text = value.as_str().filter(|text| text.len() <= 255);
    text.map(|text| Some(text.to_owned())).ok_or_else(|| wrong(value, what))
}

fn number(value: &Value, range: std::ops::RangeInclusive<u64>, what: &str) -> Result<Option<u64>, String> {
    value.as_u64().filter(|n| range.contains(n)).map(Some).ok_or_else(|| wrong(value, what))
}

fn wrong(value: &Value, what: &str) -> String {
    format!("{} is not a valid {what}", in_words(value))
}

impl PolicyDefinition {
    /// Parses and validates a policy's definition. An error names the offending key or value. Keys that do not apply to
    /// the policy's kind of object are kept without effect.
    pub fn read(given: &Map<String, Value>, kind: PolicyKind) -> Result<Self, String> {
        if given.is_empty() {
            return Err("no policy provided".to_owned());
        }
        let mut definition = Self::default();
        for (key, value) in given {
            definition.set(key, value)?;
            if kind == PolicyKind::Operator && !OF_OPERATORS.contains(&key.as_str()) {
                let known = OF_OPERATORS.join(", ");
                return Err(format!("{key} cannot be set by an operator policy; what can: {known}"));
            }
        }
        if let Some((min, max)) = definition.delayed_retry_min.zip(definition.delayed_retry_max)
            && max < min
        {
            return Err(format!("delayed-retry-max, {max}, is less than delayed-retry-min, {min}"));
        }
        Ok(definition)
    }

    fn set(&mut self, key: &str, value: &Value) -> Result<(), String> {
        match key {
            "alternate-exchange" => self.alternate_exchange = name(value, "alternate exchange name")?,
            "dead-letter-exchange" => self.dead_letter_exchange = name(value, "dead letter exchange name")?,
            "dead-letter-routing-key" => {
                self.dead_letter_routing_key = name(value, "dead letter routing key")?;
            }
            "dead-letter-strategy" => {
                let what = "dead letter strategy";
                self.dead_letter_strategy = name(value, what)?;
                if !["at-most-once", "at-least-once"].contains(&value.as_str().unwrap_or_default()) {
                    return Err(wrong(value, what));
                }
            }
            "message-ttl" => self.message_ttl = number(value, 0..=TTL_MS_MAX, "message TTL")?,
            "expires" => self.expires = number(value, 1..=TTL_MS_MAX, "queue expiry")?,
            "max-length" => self.max_length = number(value, 0..=u64::MAX, "maximum length")?,
            "max-length-bytes" => {
                self.max_length_bytes = number(value, 0..=u64::MAX, "maximum length in bytes")?;
            }
            "consumer-timeout" => {
                self.consumer_timeout = number(value, 1..=TTL_MS_MAX, "consumer timeout")?;
            }
            "overflow" => {
                let overflow = value.as_str().and_then(OverflowName::parse);
                self.overflow = Some(overflow.ok_or_else(|| wrong(value, "overflow value"))?);
            }
            "delivery-limit" => {
                let limit = value.as_i64().filter(|limit| (-1..=i64::from(u32::MAX)).contains(limit));
                self.delivery_limit = Some(limit.ok_or_else(|| wrong(value, "delivery limit"))?);
            }
            "delayed-retry-type" => {
                let name = value.as_str().and_then(RetryTypeName::parse);
                self.delayed_retry_type = Some(name.ok_or_else(|| wrong(value, "delayed retry type"))?);
            }
            "delayed-retry-min" => {
                self.delayed_retry_min = number(value, 0..=TTL_MS_MAX, "minimum delay of retries")?;
            }
            "delayed-retry-max" => {
                self.delayed_retry_max = number(value, 0..=TTL_MS_MAX, "maximum delay of retries")?;
            }
            other => {
                return Err(match unsupported(other) {
                    Some(why) => format!("{other} is not supported: {why}"),
                    None => format!(
                        "[{{<<\"{other}\">>,{}}}] are not recognised policy settings",
                        in_words(value)
                    ),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(given: &Value, kind: PolicyKind) -> Result<PolicyDefinition, String> {
        PolicyDefinition::read(given.as_object().expect("an object"), kind)
    }

    #[test]
    fn what_is_read_is_written_the_same() {
        let all = json!({
            "alternate-exchange": "", "dead-letter-exchange": "dlx", "dead-letter-routing-key": "k",
            "dead-letter-strategy": "at-least-once", "message-ttl": 0, "expires": 1, "max-length": 0,
            "max-length-bytes": 5, "overflow": "reject-publish-dlx", "delivery-limit": -1, "consumer-timeout": 1,
            "delayed-retry-type": "failed", "delayed-retry-min": 0, "delayed-retry-max": 0,
        });
        let definition = read(&all, PolicyKind::User).expect("all are known");
        assert_eq!(serde_json::to_value(&definition).expect("json"), all);
    }

    #[test]
    fn what_is_wrong_is_refused_by_name() {
        for (given, words) in [
            (json!({}), "no policy provided"),
            (json!({ "max-length": -1 }), "-1 is not a valid maximum length"),
            (json!({ "max-length": "5" }), "<<\"5\">> is not a valid maximum length"),
            (json!({ "max-length": 1.5 }), "1.5 is not a valid maximum length"),
            (json!({ "max-length-bytes": null }), "null is not a valid maximum length in bytes"),
            (json!({ "message-ttl": -5 }), "-5 is not a valid message TTL"),
            (json!({ "message-ttl": TTL_MS_MAX + 1 }), "is not a valid message TTL"),
            (json!({ "expires": 0 }), "0 is not a valid queue expiry"),
            (json!({ "overflow": "drop-tail" }), "<<\"drop-tail\">> is not a valid overflow value"),
            (json!({ "delivery-limit": -2 }), "-2 is not a valid delivery limit"),
            (json!({ "delayed-retry-type": "some" }), "<<\"some\">> is not a valid delayed retry type"),
            (json!({ "delayed-retry-type": true }), "true is not a valid delayed retry type"),
            (json!({ "delayed-retry-min": -1 }), "-1 is not a valid minimum delay of retries"),
            (json!({ "delayed-retry-max": "5" }), "<<\"5\">> is not a valid maximum delay of retries"),
            (
                json!({ "delayed-retry-min": 5, "delayed-retry-max": 4 }),
                "delayed-retry-max, 4, is less than delayed-retry-min, 5",
            ),
            (json!({ "dead-letter-exchange": 1 }), "1 is not a valid dead letter exchange name"),
            (json!({ "dead-letter-strategy": "never" }), "is not a valid dead letter strategy"),
            (json!({ "consumer-timeout": 0 }), "0 is not a valid consumer timeout"),
            (json!({ "max-lenght": 5 }), "[{<<\"max-lenght\">>,5}] are not recognised policy settings"),
            (json!({ "ha-mode": "all" }), "ha-mode is not supported: queues are not mirrored"),
            (json!({ "federation-upstream": "a" }), "federation-upstream is not supported"),
            (json!({ "queue-leader-locator": "client-local" }), "queue-leader-locator is not supported"),
            (json!({ "max-length": 5, "queue-mode": "lazy" }), "queue-mode is not supported"),
        ] {
            let why = read(&given, PolicyKind::User).expect_err("refused");
            assert!(why.contains(words), "{given}: {why}");
        }
    }

    #[test]
    fn operators_set_limits_only() {
        let why = read(&json!({ "dead-letter-exchange": "x" }), PolicyKind::Operator).expect_err("refused");
        assert!(why.contains("dead-letter-exchange cannot be set by an operator policy"), "{why}");
    }
}
