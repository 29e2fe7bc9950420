//! Dead letters: what a queue drops goes to its dead-letter exchange, with its history in the
//! headers (rabbitmq-semantics 2k).

use leveret_queues::store::SettleReason;
use leveret_queues::{Message, MessageMeta, Millis};

use super::arguments::{FieldTable, Value, integer, text};
use super::attributes::headers;
use super::names::{ExchangeName, QueueName};
use crate::wire::method::FieldArray;
use crate::wire::properties::{Field, PropertiesEdit};
use crate::wire::table_edit::table_contents;

/// Where the dead letters of a queue go.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterRule {
    /// The dead-letter exchange; may be the default exchange. If it does not exist, dead letters
    /// are dropped.
    pub exchange: ExchangeName,
    /// Replaces the message's own routing keys.
    pub routing_key: Option<String>,
}

/// A message ready to be published to a dead-letter exchange.
pub(super) struct DeadLetter {
    pub(super) message: Message,
    /// Routing keys behind the message's own.
    pub(super) more_keys: Vec<Vec<u8>>,
    history: FieldArray,
    by_client: bool,
}

/// The reason's name in `x-death`.
pub(super) const fn reason_name(reason: SettleReason) -> &'static str {
    match reason {
        SettleReason::Expired => "expired",
        SettleReason::MaxLength => "maxlen",
        SettleReason::DeliveryLimit => "delivery_limit",
        SettleReason::Acked | SettleReason::Rejected | SettleReason::Purged => "rejected",
    }
}

fn long(value: &str) -> Value {
    Value::LongString(value.into())
}

fn field<'a>(table: &'a FieldTable, name: &str) -> Option<&'a str> {
    table.inner().get(name).and_then(text)
}

fn texts(value: Option<&Value>) -> Vec<Vec<u8>> {
    let Some(Value::FieldArray(array)) = value else { return Vec::new() };
    let keys = array.as_slice().iter();
    keys.filter_map(|key| text(key).map(|key| key.as_bytes().to_vec())).collect()
}

/// Makes the dead letter of a message that `queue` dropped.
pub(super) fn dead_letter(
    message: &Message,
    queue: &QueueName,
    reason: SettleReason,
    rule: &DeadLetterRule,
    now: Millis,
) -> DeadLetter {
    let mut table =
        headers(message).and_then(|headers| headers.to_field_table().ok()).unwrap_or_default();
    let exchange = String::from_utf8_lossy(message.exchange()).into_owned();
    let key = String::from_utf8_lossy(message.routing_key()).into_owned();
    let copies = texts(table.inner().get("CC"));
    let mut edit = PropertiesEdit::new(message.properties()).unwrap_or_default();
    let expiration = edit.before().text(Field::Expiration).map(<[u8]>::to_vec);

    let mut history = match table.inner().get("x-death") {
        Some(Value::FieldArray(array)) => array.as_slice().to_vec(),
        _ => Vec::new(),
    };
    let reason_text = reason_name(reason);
    let same = |entry: &Value| {
        matches!(entry, Value::FieldTable(entry)
            if field(entry, "queue") == Some(queue.as_str())
                && field(entry, "reason") == Some(reason_text))
    };
    let entry = match history.iter().position(same).map(|at| history.remove(at)) {
        Some(Value::FieldTable(mut known)) => {
            let count = known.inner().get("count").and_then(integer).unwrap_or(0);
            known.insert("count".into(), Value::LongLongInt(count.saturating_add(1)));
            known
        }
        _ => first_death(queue, reason_text, &exchange, &key, &copies, expiration.as_deref(), now),
    };
    history.insert(0, Value::FieldTable(entry));
    let history = FieldArray::from(history);
    table.insert("x-death".into(), Value::FieldArray(history.clone()));
    for (name, value) in
        [("queue", queue.as_str()), ("reason", reason_text), ("exchange", exchange.as_str())]
    {
        let first = format!("x-first-death-{name}");
        if !table.inner().contains_key(first.as_str()) {
            table.insert(first.as_str().into(), long(value));
        }
        table.insert(format!("x-last-death-{name}").as_str().into(), long(value));
    }
    let new_key = match &rule.routing_key {
        Some(replacement) => {
            table = without(table, "CC");
            replacement.clone().into_bytes()
        }
        None => message.routing_key().to_vec(),
    };
    let more_keys = if rule.routing_key.is_some() { Vec::new() } else { copies };
    edit.set_headers(&table_contents(&table));
    edit.remove(Field::Expiration);
    let meta = MessageMeta { expiration_ms: None, ..message.meta() };
    DeadLetter {
        message: message.republished(rule.exchange.as_str(), &new_key, &edit.finish(), meta),
        more_keys,
        history,
        by_client: reason == SettleReason::Rejected,
    }
}

fn without(table: FieldTable, name: &str) -> FieldTable {
    let mut rest = FieldTable::default();
    for (key, value) in table.inner() {
        if key.as_str() != name {
            rest.insert(key.clone(), value.clone());
        }
    }
    rest
}

fn first_death(
    queue: &QueueName,
    reason: &str,
    exchange: &str,
    key: &str,
    copies: &[Vec<u8>],
    expiration: Option<&[u8]>,
    now: Millis,
) -> FieldTable {
    let mut keys = vec![long(key)];
    keys.extend(copies.iter().map(|key| long(&String::from_utf8_lossy(key))));
    let mut entry = FieldTable::default();
    entry.insert("count".into(), Value::LongLongInt(1));
    entry.insert("reason".into(), long(reason));
    entry.insert("queue".into(), long(queue.as_str()));
    entry.insert("time".into(), Value::Timestamp(now.0 / 1000));
    entry.insert("exchange".into(), long(exchange));
    entry.insert("routing-keys".into(), Value::FieldArray(FieldArray::from(keys)));
    if let Some(expiration) = expiration {
        let text = String::from_utf8_lossy(expiration).into_owned();
        entry.insert("original-expiration".into(), long(&text));
    }
    entry
}

impl DeadLetter {
    /// Whether `target` would close a circle in which no client takes part: it dropped this message
    /// before, and nobody has rejected it since.
    pub(super) fn is_cycle(&self, target: &QueueName) -> bool {
        if self.by_client {
            return false;
        }
        for entry in self.history.as_slice() {
            let Value::FieldTable(entry) = entry else { continue };
            if field(entry, "reason") == Some("rejected") {
                return false;
            }
            if field(entry, "queue") == Some(target.as_str()) {
                return true;
            }
        }
        false
    }
}
