//! Dead letters: what a queue drops goes to its dead-letter exchange, with its history in the
//! headers (rabbitmq-semantics 2k).

use leveret_queues::store::SettleReason;
use leveret_queues::{Message, MessageMeta, Millis};

use super::attributes::headers;
use super::names::{ExchangeName, QueueName};
use crate::wire::properties::{Field, PropertiesEdit};
use crate::wire::table::{ArrayRef, TableRef, ValueRef};
use crate::wire::table_edit::{put_entry, put_value, rewrite};

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
    /// The contents of `x-death`.
    history: Vec<u8>,
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

fn names(entry: TableRef<'_>, field: &str, text: &str) -> bool {
    entry.get(field).and_then(ValueRef::as_bytes) == Some(text.as_bytes())
}

/// The keys in the CC header.
fn copies(table: TableRef<'_>) -> Vec<Vec<u8>> {
    let array = table.get("CC").and_then(ValueRef::as_array);
    array.iter().flat_map(|array| array.iter()).filter_map(|key| key.as_bytes().map(<[u8]>::to_vec)).collect()
}

/// The entries of `x-death`, newest first.
fn deaths(table: TableRef<'_>) -> Vec<TableRef<'_>> {
    let array = table.get("x-death").and_then(ValueRef::as_array);
    array.iter().flat_map(|array| array.iter()).filter_map(ValueRef::as_table).collect()
}

/// One death: which queue dropped which message, and why.
struct Death<'a> {
    message: &'a Message,
    queue: &'a QueueName,
    reason: &'static str,
    expiration: Option<&'a [u8]>,
    copies: &'a [Vec<u8>],
    now: Millis,
}

impl Death<'_> {
    /// The entry of a queue and reason that had none, its keys in the order of `RabbitMQ`'s.
    fn entry(&self) -> Vec<u8> {
        let mut keys = Vec::new();
        put_value(&mut keys, ValueRef::LongString(self.message.routing_key()));
        for key in self.copies {
            put_value(&mut keys, ValueRef::LongString(key));
        }
        let mut out = Vec::new();
        if let Some(expiration) = self.expiration {
            put_entry(&mut out, b"original-expiration", ValueRef::LongString(expiration));
        }
        put_entry(&mut out, b"count", ValueRef::I64(1));
        put_entry(&mut out, b"reason", ValueRef::LongString(self.reason.as_bytes()));
        put_entry(&mut out, b"queue", ValueRef::LongString(self.queue.as_str().as_bytes()));
        put_entry(&mut out, b"time", ValueRef::Timestamp(self.now.0 / 1000));
        put_entry(&mut out, b"exchange", ValueRef::LongString(self.message.exchange()));
        put_entry(&mut out, b"routing-keys", ValueRef::Array(ArrayRef::assume_valid(&keys)));
        out
    }

    /// `x-death` with this death in front.
    fn history(&self, before: &[TableRef<'_>]) -> Vec<u8> {
        let known = before.iter().position(|entry| {
            names(*entry, "queue", self.queue.as_str()) && names(*entry, "reason", self.reason)
        });
        let newest = match known {
            Some(at) => {
                let count = before[at].get("count").and_then(ValueRef::as_i64).unwrap_or(0);
                let count = ValueRef::I64(count.saturating_add(1));
                rewrite(before[at], &[("count", Some(count))])
            }
            None => self.entry(),
        };
        let mut out = Vec::new();
        put_value(&mut out, ValueRef::Table(TableRef::assume_valid(&newest)));
        for (at, entry) in before.iter().enumerate() {
            if Some(at) != known {
                put_value(&mut out, ValueRef::Table(*entry));
            }
        }
        out
    }
}

/// Makes the dead letter of a message that `queue` dropped.
pub(super) fn dead_letter(
    message: &Message,
    queue: &QueueName,
    reason: SettleReason,
    rule: &DeadLetterRule,
    now: Millis,
) -> DeadLetter {
    let table = headers(message).unwrap_or_else(|| TableRef::assume_valid(&[]));
    let mut edit = PropertiesEdit::new(message.properties()).unwrap_or_default();
    let expiration = edit.before().text(Field::Expiration).map(<[u8]>::to_vec);
    let copies = copies(table);
    let reason_text = reason_name(reason);
    let death = Death {
        message,
        queue,
        reason: reason_text,
        expiration: expiration.as_deref(),
        copies: &copies,
        now,
    };
    // What a publisher sends as x-death is not history, and goes.
    let died_before = message.meta().died;
    let before = if died_before { deaths(table) } else { Vec::new() };
    let history = death.history(&before);
    let text = ValueRef::LongString;
    let queue_name = text(queue.as_str().as_bytes());
    let reason_value = text(reason_text.as_bytes());
    let exchange = text(message.exchange());
    let mut changes = vec![("x-death", Some(ValueRef::Array(ArrayRef::assume_valid(&history))))];
    if !died_before {
        changes.extend([
            ("x-first-death-exchange", Some(exchange)),
            ("x-first-death-queue", Some(queue_name)),
            ("x-first-death-reason", Some(reason_value)),
        ]);
    }
    changes.extend([
        ("x-last-death-exchange", Some(exchange)),
        ("x-last-death-queue", Some(queue_name)),
        ("x-last-death-reason", Some(reason_value)),
    ]);
    let (new_key, more_keys) = match &rule.routing_key {
        Some(replacement) => {
            changes.push(("CC", None));
            (replacement.as_bytes(), Vec::new())
        }
        None => (message.routing_key(), copies.clone()),
    };
    edit.set_headers(&rewrite(table, &changes));
    edit.remove(Field::Expiration);
    let meta = MessageMeta { expiration_ms: None, died: true, ..message.meta() };
    DeadLetter {
        message: message.republished(rule.exchange.as_str(), new_key, &edit.finish(), meta),
        more_keys,
        history,
        by_client: reason == SettleReason::Rejected,
    }
}

/// Where a dead letter was before it died last.
pub(super) struct Birth {
    /// The queue that dropped it.
    pub(super) queue: String,
    exchange: String,
    pub(super) routing_key: Vec<u8>,
    /// Why, as `x-death` says it.
    pub(super) reason: String,
}

/// What a dead letter's history says of its last death. `None`: it never died.
pub(super) fn birth(message: &Message) -> Option<Birth> {
    let newest = deaths(headers(message).filter(|_| message.meta().died)?).into_iter().next()?;
    let text = |field| String::from_utf8(newest.get(field)?.as_bytes()?.to_vec()).ok();
    let key = newest.get("routing-keys")?.as_array()?.iter().next()?.as_bytes()?;
    Some(Birth {
        queue: text("queue")?,
        exchange: text("exchange")?,
        routing_key: key.to_vec(),
        reason: text("reason")?,
    })
}

impl Birth {
    /// The message as it was published, its history kept.
    pub(super) fn restored(&self, message: &Message) -> Message {
        message.republished(&self.exchange, &self.routing_key, message.properties(), message.meta())
    }
}

impl DeadLetter {
    /// Whether `target` would close a circle in which no client takes part: it dropped this message
    /// before, and nobody has rejected it since.
    pub(super) fn is_cycle(&self, target: &QueueName) -> bool {
        if self.by_client {
            return false;
        }
        for entry in ArrayRef::assume_valid(&self.history).iter().filter_map(ValueRef::as_table) {
            if names(entry, "reason", "rejected") {
                return false;
            }
            if names(entry, "queue", target.as_str()) {
                return true;
            }
        }
        false
    }
}
