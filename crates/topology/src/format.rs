//! The topology file format. The JSON Schema in `config/topology.schema.json` is generated from these types.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::forms::{Bindings, ExchangeBindings, Milliseconds, Words, short_or_long};
use super::spanned::At;

/// Objects by name.
pub(super) type Named<T> = BTreeMap<String, At<T>>;

/// A map with a vhost's contents besides its own fields.
macro_rules! holds_a_vhost {
    ($(#[$meta:meta])* $name:ident { $($own:tt)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields, default)]
        pub(super) struct $name {
            $($own)*
            /// At most so many: `max-connections`, `max-queues`.
            pub(super) limits: Option<At<BTreeMap<String, i64>>>,
            /// Permissions by user. With this, `--prune` takes away those that are not named.
            pub(super) permissions: Option<Named<Permission>>,
            /// Permissions for routing keys, by user and exchange.
            pub(super) topic_permissions: Option<BTreeMap<String, Named<TopicPermission>>>,
            /// Exchanges by name.
            pub(super) exchanges: Named<Exchange>,
            /// Queues by name.
            pub(super) queues: Named<Queue>,
            /// Bindings: "exchange -> queue": key.
            pub(super) bindings: Bindings,
            /// Policies by name.
            pub(super) policies: Named<Policy>,
            /// Policies that limit what others say, by name.
            pub(super) operator_policies: Named<Policy>,
            /// Runtime parameters, by component and name.
            pub(super) parameters: BTreeMap<String, Named<Value>>,
        }
    };
}

holds_a_vhost! {
    /// A topology: what a broker should have. Everything may be left out.
    File {
        /// Where editors find this schema.
        #[serde(rename = "$schema")]
        #[schemars(rename = "$schema")]
        pub(super) schema: Option<String>,
        /// The vhost that what stands outside of `vhosts` is in; "/" if nothing is said.
        pub(super) vhost: Option<At<String>>,
        /// Virtual hosts by name.
        pub(super) vhosts: Named<Vhost>,
        /// Users by name. With this, `--prune` deletes users that are not named.
        pub(super) users: Option<Named<User>>,
        /// Runtime parameters of the whole broker.
        pub(super) global_parameters: Option<Named<Value>>,
    }
}

holds_a_vhost! {
    /// A virtual host and what is in it.
    VhostMap {
        /// For people.
        pub(super) description: Option<String>,
        /// For people.
        pub(super) tags: Option<Words>,
        /// The type of queues that do not say theirs: classic or quorum.
        pub(super) default_queue_type: Option<String>,
    }
}

short_or_long! {
    /// A vhost; nothing at all is an empty one.
    Vhost from VhostMap, "a map", |text| Err(format!("a vhost is a map, not {text:?}"))
}

/// A user.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct UserMap {
    /// Where the password is. Without one, a user that is there keeps its own.
    pub(super) password: Option<At<Secret>>,
    /// The password's hash, as RabbitMQ exports it.
    pub(super) password_hash: Option<String>,
    /// What made the hash, as RabbitMQ calls it; SHA-256 if nothing is said.
    pub(super) hashing_algorithm: Option<String>,
    /// administrator, monitoring, policymaker, management, impersonator.
    pub(super) tags: Option<Words>,
    /// At most so many: `max-connections`, `max-channels`.
    pub(super) limits: Option<At<BTreeMap<String, i64>>>,
    /// Permissions by vhost.
    pub(super) permissions: Option<Named<Permission>>,
}

short_or_long! {
    /// A user; nothing at all is one without tags.
    User from UserMap, "a map", |text| Err(format!("a user is a map, not {text:?}"))
}

/// Where a secret is: the file itself never holds one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SecretMap {
    /// An environment variable.
    pub(super) env: Option<String>,
    /// A file; its first line counts.
    pub(super) file: Option<String>,
}

const SECRET_HERE: &str =
    "a secret does not stand here: say {env: NAME} or {file: PATH}, or give a password_hash";

short_or_long! {
    /// A secret by reference.
    Secret from SecretMap, "{env: NAME} or {file: PATH}", |_text| Err(SECRET_HERE.to_owned()), others: SECRET_HERE
}

/// What a user may do in a vhost: regular expressions of names; an empty one allows nothing.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PermissionMap {
    /// May declare and delete.
    pub(super) configure: String,
    /// May publish and bind to.
    pub(super) write: String,
    /// May consume and bind from.
    pub(super) read: String,
}

short_or_long! {
    /// `all`, `read`, `write`, `read-write`, or three patterns.
    Permission from PermissionMap, "all, read, write, read-write or three patterns", |text| {
        let (configure, write, read) = match text {
            "all" => (".*", ".*", ".*"),
            "read" => ("", "", ".*"),
            "write" => ("", ".*", ""),
            "read-write" => ("", ".*", ".*"),
            other => {
                let known = super::spanned::meant(other, &["all", "read", "write", "read-write"]);
                return Err(format!("unknown permission {other:?}{known}"));
            }
        };
        Ok(PermissionMap { configure: configure.to_owned(), write: write.to_owned(), read: read.to_owned() })
    }
}

/// Which routing keys a user may use with an exchange.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct TopicPermission {
    /// May publish with.
    pub(super) write: String,
    /// May bind with.
    pub(super) read: String,
}

const fn yes() -> bool {
    true
}

/// An exchange.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ExchangeMap {
    /// direct, fanout, topic, headers, x-delayed-message, x-consistent-hash, x-modulus-hash, x-random,
    /// x-local-random, x-recent-history, x-federation-upstream.
    #[serde(rename = "type", default = "direct")]
    pub(super) kind: String,
    /// It survives a restart.
    #[serde(default = "yes")]
    pub(super) durable: bool,
    /// It goes with the last binding from it.
    #[serde(default)]
    pub(super) auto_delete: bool,
    /// Clients may not publish to it.
    #[serde(default)]
    pub(super) internal: bool,
    /// The exchange that gets what this one routes nowhere.
    #[serde(rename = "alternate-exchange")]
    pub(super) alternate_exchange: Option<String>,
    /// The type behind an x-delayed-message exchange.
    #[serde(rename = "delayed-type")]
    pub(super) delayed_type: Option<String>,
    /// Other arguments, by the names they have in AMQP.
    #[serde(default)]
    pub(super) arguments: Map<String, Value>,
    /// Bindings from it: "key -> queue".
    #[serde(default)]
    pub(super) bindings: ExchangeBindings,
}

fn direct() -> String {
    "direct".to_owned()
}

impl Default for ExchangeMap {
    fn default() -> Self {
        Self {
            kind: direct(),
            durable: true,
            auto_delete: false,
            internal: false,
            alternate_exchange: None,
            delayed_type: None,
            arguments: Map::new(),
            bindings: ExchangeBindings::default(),
        }
    }
}

short_or_long! {
    /// An exchange, or only its type; nothing at all is a durable direct one.
    Exchange from ExchangeMap, "an exchange's type, or a map", |text| {
        Ok(ExchangeMap { kind: text.to_owned(), ..ExchangeMap::default() })
    }
}

impl ExchangeMap {
    /// All arguments; an error if one is given twice.
    pub(super) fn all_arguments(&self) -> Result<Map<String, Value>, String> {
        let short = [
            (
                "alternate-exchange",
                "alternate-exchange",
                self.alternate_exchange.as_ref().map(|name| json!(name)),
            ),
            ("delayed-type", "x-delayed-type", self.delayed_type.as_ref().map(|name| json!(name))),
        ];
        together(&self.arguments, short)
    }
}

/// A queue.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(super) struct QueueMap {
    /// classic or quorum.
    #[serde(rename = "type")]
    pub(super) kind: Option<String>,
    /// It survives a restart.
    #[serde(default = "yes")]
    pub(super) durable: bool,
    /// It goes with its last consumer.
    #[serde(default, rename = "auto_delete")]
    pub(super) auto_delete: bool,
    /// Ready messages at most.
    max_length: Option<u64>,
    /// Bytes of ready messages at most.
    max_length_bytes: Option<u64>,
    /// What happens beyond: drop-head, reject-publish, reject-publish-dlx.
    overflow: Option<String>,
    /// How long a message may wait: milliseconds, or as in "30s", "5m", "1h", "7d".
    message_ttl: Option<Milliseconds>,
    /// How long the queue may be unused: milliseconds, or as in "1h".
    expires: Option<Milliseconds>,
    /// Where messages go that die here.
    dead_letter_exchange: Option<String>,
    /// The key they get there.
    dead_letter_routing_key: Option<String>,
    /// at-most-once or at-least-once.
    dead_letter_strategy: Option<String>,
    /// Priorities from 0 to this.
    max_priority: Option<u64>,
    /// One consumer at a time.
    single_active_consumer: Option<bool>,
    /// Deliveries of one message at most.
    delivery_limit: Option<i64>,
    /// Which returned messages wait before they are delivered again: disabled, all, failed or returned.
    delayed_retry_type: Option<String>,
    /// Their wait after the first failed delivery: milliseconds, or as in "5s".
    delayed_retry_min: Option<Milliseconds>,
    /// Their longest wait: milliseconds, or as in "5m".
    delayed_retry_max: Option<Milliseconds>,
    /// How long a delivery may stay unacknowledged: milliseconds, or as in "30m".
    consumer_timeout: Option<Milliseconds>,
    /// Other arguments, by the names they have in AMQP.
    #[serde(default)]
    arguments: Map<String, Value>,
}

impl Default for QueueMap {
    fn default() -> Self {
        Self {
            kind: None,
            durable: true,
            auto_delete: false,
            max_length: None,
            max_length_bytes: None,
            overflow: None,
            message_ttl: None,
            expires: None,
            dead_letter_exchange: None,
            dead_letter_routing_key: None,
            dead_letter_strategy: None,
            max_priority: None,
            single_active_consumer: None,
            delivery_limit: None,
            delayed_retry_type: None,
            delayed_retry_min: None,
            delayed_retry_max: None,
            consumer_timeout: None,
            arguments: Map::new(),
        }
    }
}

short_or_long! {
    /// A queue, or only its type; nothing at all is a durable classic one.
    Queue from QueueMap, "a queue's type, or a map", |text| match text {
        "classic" | "quorum" => Ok(QueueMap { kind: Some(text.to_owned()), ..QueueMap::default() }),
        other => Err(format!("unknown type {other:?}{}", super::spanned::meant(other, &["classic", "quorum"]))),
    }
}

impl QueueMap {
    /// All arguments; an error if one is given twice.
    pub(super) fn all_arguments(&self) -> Result<Map<String, Value>, String> {
        let text = |text: &Option<String>| text.as_ref().map(|text| json!(text));
        let number = |number: Option<u64>| number.map(|number| json!(number));
        let time = |time: Option<Milliseconds>| time.map(|time| json!(time.0));
        let short = [
            ("type", "x-queue-type", text(&self.kind)),
            ("max-length", "x-max-length", number(self.max_length)),
            ("max-length-bytes", "x-max-length-bytes", number(self.max_length_bytes)),
            ("overflow", "x-overflow", text(&self.overflow)),
            ("message-ttl", "x-message-ttl", time(self.message_ttl)),
            ("expires", "x-expires", time(self.expires)),
            ("dead-letter-exchange", "x-dead-letter-exchange", text(&self.dead_letter_exchange)),
            ("dead-letter-routing-key", "x-dead-letter-routing-key", text(&self.dead_letter_routing_key)),
            ("dead-letter-strategy", "x-dead-letter-strategy", text(&self.dead_letter_strategy)),
            ("max-priority", "x-max-priority", number(self.max_priority)),
            (
                "single-active-consumer",
                "x-single-active-consumer",
                self.single_active_consumer.map(|flag| json!(flag)),
            ),
            ("delivery-limit", "x-delivery-limit", self.delivery_limit.map(|limit| json!(limit))),
            ("delayed-retry-type", "x-delayed-retry-type", text(&self.delayed_retry_type)),
            ("delayed-retry-min", "x-delayed-retry-min", time(self.delayed_retry_min)),
            ("delayed-retry-max", "x-delayed-retry-max", time(self.delayed_retry_max)),
            ("consumer-timeout", "x-consumer-timeout", time(self.consumer_timeout)),
        ];
        together(&self.arguments, short)
    }
}

fn together<const N: usize>(
    arguments: &Map<String, Value>,
    short: [(&str, &str, Option<Value>); N],
) -> Result<Map<String, Value>, String> {
    let mut all = arguments.clone();
    for (short, long, value) in short {
        let Some(value) = value else { continue };
        if all.insert(long.to_owned(), value).is_some() {
            return Err(format!("{short:?} and arguments.{long} say the same; keep one"));
        }
    }
    Ok(all)
}

/// A policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Policy {
    /// Names it applies to; a regular expression.
    pub(super) pattern: String,
    /// all, queues, exchanges, `classic_queues`, `quorum_queues`.
    #[serde(rename = "apply-to", alias = "apply_to", default = "all")]
    pub(super) apply_to: String,
    /// The highest one that matches applies.
    #[serde(default)]
    pub(super) priority: i64,
    /// What it says, with RabbitMQ's keys.
    pub(super) definition: Map<String, Value>,
}

fn all() -> String {
    "all".to_owned()
}

/// The JSON Schema of the topology file.
pub fn schema() -> String {
    let mut schema = serde_json::to_value(schemars::schema_for!(File)).unwrap_or_default();
    schema["title"] = json!("Leveret topology");
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_shipped_schema_is_the_one_of_these_types() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../config/topology.schema.json");
        if std::env::var_os("LEVERET_BLESS").is_some() {
            std::fs::write(path, super::schema()).unwrap();
        }
        let shipped = std::fs::read_to_string(path).unwrap();
        assert!(shipped == super::schema(), "run this test with LEVERET_BLESS=1 and look at the difference");
    }
}
