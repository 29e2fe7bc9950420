//! Arguments of `queue.declare`: known names, valid values, and equivalence of declarations (docs/semantics.md,
//! Declaring again).

use std::sync::Arc;

use leveret_message::ShortText;
use leveret_message::short::SHORT_BYTES_MAX;
use leveret_queues::Settings;

use super::arguments::{FieldTable, Value, integer, same_value, text, too_long, type_name, value_text};
use super::dead_letter::DeadLetterRule;
use super::deduplication::DeduplicationRule;
use super::limits::TTL_MS_MAX;
use super::names::{ConnectionId, ExchangeName, QueueName, VhostName};
use super::policies::{Effective, Matched, OverflowName, PolicyDefinition, RetryTypeName};
use super::queue_kind::QueueKind;
use super::refusal::{Refusal, Resource};

/// A queue's declaration.
#[derive(Clone, Debug)]
pub struct QueueSpec {
    /// Survives a restart.
    pub durable: bool,
    /// Deleted with its last consumer.
    pub auto_delete: bool,
    /// The connection it is exclusive to.
    pub exclusive_owner: Option<ConnectionId>,
    /// Not listed, and reachable only through the default exchange.
    pub hidden: bool,
    /// As given, including unknown ones.
    pub arguments: FieldTable,
}

/// The parsed arguments of a queue.
#[derive(Clone, Debug, Default)]
pub struct QueueOptions {
    /// Settings that policies can also make.
    pub rules: PolicyDefinition,
    /// Drops messages with an id seen before.
    pub deduplication: Option<DeduplicationRule>,
    /// Queue type.
    pub kind: QueueKind,
    durable: bool,
    max_priority: Option<u8>,
    single_active_consumer: bool,
}

/// Settings in force, from arguments and policies.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// Settings of the queue itself.
    pub settings: Settings,
    /// Dead-letter target.
    pub dead_letter: Option<Arc<DeadLetterRule>>,
    /// Milliseconds after which an unacknowledged delivery closes its channel.
    pub consumer_timeout_ms: Option<u64>,
    /// The policies that apply.
    pub matched: Matched,
}

impl QueueOptions {
    /// The settings in force under these policies.
    pub fn in_force(&self, matched: Matched) -> InForce {
        let said = Effective::of(&self.rules, self.kind, &matched);
        let delayed_retry = said.delayed_retry();
        let routing_key = said.dead_letter_routing_key.value.and_then(|key| ShortText::new(&key));
        let dead_letter = said
            .dead_letter_exchange
            .value
            .map(|exchange| Arc::new(DeadLetterRule { exchange: ExchangeName::new(&exchange), routing_key }));
        let limit = said.delivery_limit.value.and_then(|limit| u64::try_from(limit).ok());
        let settings = Settings {
            max_priority: self.max_priority,
            message_ttl_ms: said.message_ttl.value,
            max_length: said.max_length.value,
            max_bytes: said.max_length_bytes.value,
            overflow: said.overflow.value.into(),
            delivery_limit: limit.map(|limit| u32::try_from(limit).unwrap_or(u32::MAX)),
            delayed_retry,
            single_active_consumer: self.single_active_consumer,
            dead_letters: dead_letter.is_some(),
            expires_ms: said.expires.value,
            durable: self.durable,
        };
        InForce { settings, dead_letter, consumer_timeout_ms: said.consumer_timeout.value, matched }
    }
}

const DEAD_LETTER_EXCHANGE: &str = "x-dead-letter-exchange";
const RETRY_TYPE: &str = "x-delayed-retry-type";
const RETRY_MIN: &str = "x-delayed-retry-min";
const RETRY_MAX: &str = "x-delayed-retry-max";

/// Arguments that count for equivalence; all others are kept and ignored.
const KNOWN: [&str; 16] = [
    QueueKind::ARGUMENT,
    "x-message-ttl",
    "x-expires",
    "x-max-length",
    "x-max-length-bytes",
    "x-overflow",
    DEAD_LETTER_EXCHANGE,
    "x-dead-letter-routing-key",
    "x-max-priority",
    "x-single-active-consumer",
    "x-delivery-limit",
    RETRY_TYPE,
    RETRY_MIN,
    RETRY_MAX,
    "x-consumer-timeout",
    "x-dead-letter-strategy",
];

struct Reader<'a> {
    arguments: &'a FieldTable,
    queue: &'a QueueName,
    vhost: &'a VhostName,
}

impl Reader<'_> {
    fn invalid(&self, argument: &str, why: String) -> Refusal {
        Refusal::InvalidArgument {
            argument: argument.to_owned(),
            resource: Resource::Queue(self.queue.clone()),
            vhost: self.vhost.clone(),
            why,
        }
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.arguments.inner().get(name)
    }

    fn number(&self, name: &str, max: u64) -> Result<Option<u64>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        let Some(number) = integer(value) else {
            return Err(self.invalid(name, no_integer(value)));
        };
        let Ok(unsigned) = u64::try_from(number) else {
            return Err(self.invalid(name, format!("{{value_negative,{number}}}")));
        };
        if unsigned > max {
            let why = if name == "x-max-priority" { "max_value_exceeded" } else { "value_too_large" };
            return Err(self.invalid(name, format!("{{{why},{number}}}")));
        }
        Ok(Some(unsigned))
    }

    fn string(&self, name: &str) -> Result<Option<&str>, Refusal> {
        let Some(value) = self.value(name) else { return Ok(None) };
        match text(value) {
            Some(text) => Ok(Some(text)),
            None => Err(self.invalid(name, format!("{{unacceptable_type,{}}}", type_name(value)))),
        }
    }

    /// Checks the length of an exchange name or key, which is stored in messages.
    fn short(&self, name: &str, text: &str) -> Result<(), Refusal> {
        match text.len() {
            0..=SHORT_BYTES_MAX => Ok(()),
            _ => Err(self.invalid(name, too_long(text))),
        }
    }

    fn flag(&self, name: &str) -> Result<Option<bool>, Refusal> {
        match self.value(name) {
            None => Ok(None),
            Some(Value::Boolean(flag)) => Ok(Some(*flag)),
            Some(value) => Err(self.invalid(name, format!("{{unacceptable_type,{}}}", type_name(value)))),
        }
    }
}

/// Validates and parses the arguments of a new queue.
pub fn read(
    queue: &QueueName,
    vhost: &VhostName,
    spec: &QueueSpec,
    server_named: bool,
) -> Result<QueueOptions, Refusal> {
    let reader = Reader { arguments: &spec.arguments, queue, vhost };
    let kind = kind(&reader, spec, server_named)?;
    let expires = reader.number("x-expires", TTL_MS_MAX)?;
    if expires == Some(0) {
        return Err(reader.invalid("x-expires", "{value_zero,0}".to_owned()));
    }
    let overflow = match reader.string("x-overflow")? {
        None => None,
        Some(name) => Some(
            OverflowName::parse(name)
                .ok_or_else(|| reader.invalid("x-overflow", "invalid_overflow".to_owned()))?,
        ),
    };
    let (exchange, routing_key, strategy) = dead_letters(&reader)?;
    let delivery_limit = match reader.value("x-delivery-limit").and_then(integer) {
        Some(-1) => Some(-1),
        _ => reader
            .number("x-delivery-limit", u64::from(u32::MAX))?
            .map(|limit| i64::try_from(limit).unwrap_or(i64::MAX)),
    };
    let max_priority =
        reader.number("x-max-priority", 255)?.map(|max| u8::try_from(max.max(1)).unwrap_or(u8::MAX));
    let (delayed_retry_type, delayed_retry_min, delayed_retry_max) = retry(&reader)?;
    let rules = PolicyDefinition {
        alternate_exchange: None,
        dead_letter_exchange: exchange.map(str::to_owned),
        dead_letter_routing_key: routing_key.map(str::to_owned),
        dead_letter_strategy: strategy.map(str::to_owned),
        message_ttl: reader.number("x-message-ttl", TTL_MS_MAX)?,
        expires,
        max_length: reader.number("x-max-length", u64::MAX)?,
        max_length_bytes: reader.number("x-max-length-bytes", u64::MAX)?,
        overflow,
        delivery_limit,
        delayed_retry_type,
        delayed_retry_min,
        delayed_retry_max,
        consumer_timeout: reader.number("x-consumer-timeout", TTL_MS_MAX)?,
    };
    let single_active_consumer = reader.flag("x-single-active-consumer")?.unwrap_or(false);
    let deduplication =
        DeduplicationRule::read(&spec.arguments).map_err(|(argument, why)| reader.invalid(argument, why))?;
    let durable = spec.durable;
    Ok(QueueOptions { rules, deduplication, kind, durable, max_priority, single_active_consumer })
}

/// The queue's kind, if it may be declared so.
fn kind(reader: &Reader<'_>, spec: &QueueSpec, server_named: bool) -> Result<QueueKind, Refusal> {
    let Reader { queue, vhost, .. } = reader;
    let kind = match reader.string(QueueKind::ARGUMENT)? {
        None => QueueKind::default(),
        Some("stream") => {
            return Err(Refusal::Precondition(format!(
                "streams are not supported: queue '{queue}' in vhost '{vhost}' can be of type classic or quorum"
            )));
        }
        Some(name) => QueueKind::named(name).ok_or_else(|| {
            reader.invalid(QueueKind::ARGUMENT, format!("\"unsupported queue type '{name}'\""))
        })?,
    };
    if kind.traits().may_be_fleeting {
        return Ok(kind);
    }
    for (property, wrong) in [
        ("non-durable", !spec.durable),
        ("exclusive", spec.exclusive_owner.is_some()),
        ("auto-delete", spec.auto_delete),
        ("server-named", server_named),
    ] {
        if wrong {
            return Err(Refusal::Precondition(format!(
                "invalid property '{property}' for queue '{queue}' in vhost '{vhost}'"
            )));
        }
    }
    Ok(kind)
}

type DeadLetterArguments<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

/// The arguments of dead letters: exchange, routing key and strategy.
fn dead_letters<'a>(reader: &'a Reader<'_>) -> Result<DeadLetterArguments<'a>, Refusal> {
    let exchange = match reader.value(DEAD_LETTER_EXCHANGE) {
        None => None,
        Some(value) => Some(text(value).ok_or_else(|| Refusal::ArgumentType {
            argument: DEAD_LETTER_EXCHANGE,
            given: type_name(value),
            resource: Resource::Queue(reader.queue.clone()),
            vhost: reader.vhost.clone(),
        })?),
    };
    let routing_key = reader.string("x-dead-letter-routing-key")?;
    for (name, value) in [(DEAD_LETTER_EXCHANGE, exchange), ("x-dead-letter-routing-key", routing_key)] {
        value.map_or(Ok(()), |text| reader.short(name, text))?;
    }
    if routing_key.is_some() && exchange.is_none() {
        return Err(reader.invalid("x-dead-letter-routing-key", "routing_key_but_no_dlx_defined".to_owned()));
    }
    let strategy = reader.string("x-dead-letter-strategy")?;
    if let Some(strategy) = strategy
        && !["at-most-once", "at-least-once"].contains(&strategy)
    {
        let why = format!("invalid dead letter strategy '{strategy}'");
        return Err(reader.invalid("x-dead-letter-strategy", why));
    }
    Ok((exchange, routing_key, strategy))
}

type RetryArguments = (Option<RetryTypeName>, Option<u64>, Option<u64>);

/// The arguments of delayed retries: type, minimum and maximum in milliseconds.
fn retry(reader: &Reader<'_>) -> Result<RetryArguments, Refusal> {
    let name = match reader.string(RETRY_TYPE)? {
        None => None,
        Some(name) => Some(
            RetryTypeName::parse(name)
                .ok_or_else(|| reader.invalid(RETRY_TYPE, format!("invalid delayed retry type '{name}'")))?,
        ),
    };
    let min = reader.number(RETRY_MIN, TTL_MS_MAX)?;
    let max = reader.number(RETRY_MAX, TTL_MS_MAX)?;
    if let Some((min, max)) = min.zip(max)
        && max < min
    {
        return Err(reader.invalid(RETRY_MAX, format!("{max} is less than {RETRY_MIN}, {min}")));
    }
    Ok((name, min, max))
}

/// Whether a second declaration is equivalent; the refusal names the first difference.
pub fn same(
    queue: &QueueName,
    vhost: &VhostName,
    current: &QueueSpec,
    received: &QueueSpec,
) -> Result<(), Refusal> {
    let inequivalent = |field: &str, received: String, current: String| Refusal::Inequivalent {
        field: field.to_owned(),
        resource: Resource::Queue(queue.clone()),
        vhost: vhost.clone(),
        received,
        current,
    };
    for (field, received, current) in [
        ("durable", received.durable, current.durable),
        ("auto_delete", received.auto_delete, current.auto_delete),
    ] {
        if received != current {
            return Err(inequivalent(field, format!("'{received}'"), format!("'{current}'")));
        }
    }
    for name in KNOWN {
        let received = received.arguments.inner().get(name);
        let current = current.arguments.inner().get(name);
        let classic = |value: Option<&Value>| value.is_none_or(|v| text(v) == Some("classic"));
        let same = match (received, current) {
            (None, None) => true,
            (Some(received), Some(current)) => same_value(received, current),
            _ => name == "x-queue-type" && classic(received) && classic(current),
        };
        if !same {
            let (received, current) = match (received, current) {
                (Some(received), Some(current)) => (quoted(received), quoted(current)),
                _ => (described(received), described(current)),
            };
            return Err(inequivalent(name, received, current));
        }
    }
    Ok(())
}

/// Why a value is no integer, in the words of `RabbitMQ`'s error texts.
pub fn no_integer(value: &Value) -> String {
    format!("\"expected integer, got {}\"", type_name(value))
}

/// A value in the words of `RabbitMQ`'s error texts, where both sides have one.
fn quoted(value: &Value) -> String {
    format!("'{}'", value_text(value))
}

/// A value, or its absence, in the words of `RabbitMQ`'s error texts, where one side has none.
fn described(value: Option<&Value>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => {
            format!("the value '{}' of type '{}'", value_text(value), type_name(value))
        }
    }
}
