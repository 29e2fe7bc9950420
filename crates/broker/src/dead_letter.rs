//! Dead letters: messages dropped by a queue are sent to its dead-letter exchange, with their history in the headers
//! (docs/semantics.md, Dead letters).

use leveret_message::properties::{Field, PropertiesEdit};
use leveret_message::stored::SettleReason;
use leveret_message::table::edit::{put_entry, put_value, rewrite};
use leveret_message::table::{ArrayRef, TableRef, ValueRef};
use leveret_message::{Message, MessageMeta, Millis, ShortText};

use super::attributes::headers;
use super::names::{ExchangeName, QueueName};

/// Dead-letter target of a queue.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DeadLetterRule {
    /// The dead-letter exchange, possibly the default exchange. If it does not exist, dead letters are dropped.
    pub exchange: ExchangeName,
    /// Replaces the message's own routing keys.
    pub routing_key: Option<ShortText>,
}

/// Maximum size of `x-death` in bytes: some hundred queues. Each death copies all of it, and headers must fit in a
/// frame. Beyond it, entries from before the last client rejection are dropped. Without a rejection the message moves
/// by itself, as in a cycle too long to be detected.
const HISTORY_BYTES_MAX: usize = 64 * 1024;

/// Key in the newest `x-death` entry: the number of copies made of the message (`multiplying.rs`).
pub(super) const COPIES: &str = "copies";

/// A message to be published to a dead-letter exchange.
pub(super) struct DeadLetter {
    pub(super) message: Message,
    /// Routing keys after the message's own.
    pub(super) more_keys: Vec<Vec<u8>>,
    /// Contents of `x-death`.
    history: Vec<u8>,
    by_client: bool,
    /// Died more often than its history holds, with no client involved.
    endless: bool,
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

/// The keys of the CC header.
fn copies(table: TableRef<'_>) -> Vec<Vec<u8>> {
    let array = table.get("CC").and_then(ValueRef::as_array);
    array.iter().flat_map(|array| array.iter()).filter_map(|key| key.as_bytes().map(<[u8]>::to_vec)).collect()
}

/// The entries of `x-death`, newest first.
pub(super) fn deaths(table: TableRef<'_>) -> Vec<TableRef<'_>> {
    let array = table.get("x-death").and_then(ValueRef::as_array);
    array.iter().flat_map(|array| array.iter()).filter_map(ValueRef::as_table).collect()
}

/// Number of copies according to the newest entry of a history.
pub(super) fn copies_in(newest: TableRef<'_>) -> u64 {
    let copies = newest.get(COPIES).and_then(ValueRef::as_i64).and_then(|copies| u64::try_from(copies).ok());
    copies.unwrap_or(1).max(1)
}

/// The value of [`COPIES`]; `None` for one copy.
pub(super) fn told(copies: u64) -> Option<ValueRef<'static>> {
    (copies > 1).then(|| ValueRef::I64(i64::try_from(copies).unwrap_or(i64::MAX)))
}

/// One death: the queue, the message and the reason.
struct Death<'a> {
    message: &'a Message,
    queue: &'a QueueName,
    reason: &'static str,
    expiration: Option<&'a [u8]>,
    copies: &'a [Vec<u8>],
    now: Millis,
    /// Number of copies made of it so far (`multiplying.rs`).
    made: u64,
}

impl Death<'_> {
    /// A new entry for a queue and reason, with keys in `RabbitMQ`'s order.
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
        if let Some(made) = told(self.made) {
            put_entry(&mut out, COPIES.as_bytes(), made);
        }
        out
    }

    /// `x-death` with this death in front, and whether it reaches back to the last client involvement.
    fn history(&self, before: &[TableRef<'_>]) -> (Vec<u8>, bool) {
        let known = before.iter().position(|entry| {
            names(*entry, "queue", self.queue.as_str()) && names(*entry, "reason", self.reason)
        });
        let newest = match known {
            Some(at) => {
                let count = before[at].get("count").and_then(ValueRef::as_i64).unwrap_or(0);
                let count = ValueRef::I64(count.saturating_add(1));
                rewrite(before[at], &[("count", Some(count)), (COPIES, told(self.made))])
            }
            None => self.entry(),
        };
        let mut out = Vec::new();
        put_value(&mut out, ValueRef::Table(TableRef::assume_valid(&newest)));
        let mut rejected = self.reason == "rejected";
        for (_, entry) in before.iter().enumerate().filter(|(at, _)| Some(*at) != known) {
            let end = out.len();
            put_value(&mut out, ValueRef::Table(*entry));
            if out.len() > HISTORY_BYTES_MAX {
                out.truncate(end);
                return (out, rejected);
            }
            rejected |= names(*entry, "reason", "rejected");
        }
        (out, true)
    }
}

/// The dead letter of a message dropped by `queue`. `redelivered`: as [`MessageMeta::redelivered`].
pub(super) fn dead_letter(
    message: &Message,
    queue: &QueueName,
    reason: SettleReason,
    rule: &DeadLetterRule,
    now: Millis,
    redelivered: bool,
) -> DeadLetter {
    let table = headers(message).unwrap_or_else(|| TableRef::assume_valid(&[]));
    let mut edit = PropertiesEdit::new(message.properties()).unwrap_or_default();
    let expiration = edit.before().text(Field::Expiration).map(<[u8]>::to_vec);
    let copies = copies(table);
    let reason_text = reason_name(reason);
    // x-death set by a publisher is not history, and is removed.
    let died_before = message.meta().died;
    let before = if died_before { deaths(table) } else { Vec::new() };
    let by_client = reason == SettleReason::Rejected;
    let made = before.first().filter(|_| !by_client).map_or(1, |newest| copies_in(*newest));
    let death = Death {
        message,
        queue,
        reason: reason_text,
        expiration: expiration.as_deref(),
        copies: &copies,
        now,
        made,
    };
    let (history, complete) = death.history(&before);
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
            (replacement.short(), Vec::new())
        }
        None => (message.short_routing_key(), copies.clone()),
    };
    edit.set_headers(&rewrite(table, &changes));
    edit.remove(Field::Expiration);
    let meta = MessageMeta { expiration_ms: None, died: true, redelivered, ..message.meta() };
    DeadLetter {
        message: message.republished(rule.exchange.short(), new_key, &edit.finish(), meta),
        more_keys,
        history,
        by_client,
        endless: !complete,
    }
}

/// The last death of a dead letter.
pub(super) struct LastDeath {
    /// The queue that dropped it.
    pub(super) queue: String,
    exchange: ShortText,
    pub(super) routing_key: ShortText,
    /// The reason, as in `x-death`.
    pub(super) reason: String,
}

/// The last death in a dead letter's history. `None` if it never died.
pub(super) fn last_death(message: &Message) -> Option<LastDeath> {
    let newest = deaths(headers(message).filter(|_| message.meta().died)?).into_iter().next()?;
    let text = |field| String::from_utf8(newest.get(field)?.as_bytes()?.to_vec()).ok();
    let key = newest.get("routing-keys")?.as_array()?.iter().next()?.as_bytes()?;
    Some(LastDeath {
        queue: text("queue")?,
        exchange: ShortText::new(&text("exchange")?)?,
        routing_key: ShortText::new(std::str::from_utf8(key).ok()?)?,
        reason: text("reason")?,
    })
}

impl LastDeath {
    /// The message as published, with its history.
    pub(super) fn restored(&self, message: &Message) -> Message {
        message.republished(
            self.exchange.short(),
            self.routing_key.short(),
            message.properties(),
            message.meta(),
        )
    }
}

impl DeadLetter {
    /// Whether it died without a client's action, so that its copies are counted.
    pub(super) const fn is_automatic(&self) -> bool {
        !self.by_client
    }

    /// Whether `target` would close a cycle with no client involved: it dropped this message before and nobody rejected
    /// it since, or the history is too long to know.
    pub(super) fn is_cycle(&self, target: &QueueName) -> bool {
        if self.by_client {
            return false;
        }
        if self.endless {
            return true;
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

#[cfg(test)]
mod tests {
    use leveret_message::{MessageMeta, Short};
    use proptest::prelude::*;

    use super::*;
    use crate::arguments::{FieldTable, Value};
    use crate::names::VhostName;
    use crate::policies::Matched;
    use crate::queue_options;
    use crate::queue_options::QueueSpec;

    fn text() -> impl Strategy<Value = String> {
        // Around the lengths that one and two octets can hold.
        prop_oneof![0usize..300, 250usize..260, 65_530usize..65_540].prop_map(|len| "k".repeat(len))
    }

    proptest! {
        #[test]
        fn what_a_declaration_accepts_is_what_its_letters_carry(exchange in text(), key in text()) {
            let mut arguments = FieldTable::default();
            for (name, value) in [("x-dead-letter-exchange", &exchange), ("x-dead-letter-routing-key", &key)] {
                arguments.insert(name.into(), Value::LongString(value.as_str().into()));
            }
            let spec =
                QueueSpec { durable: true, auto_delete: false, exclusive_owner: None, hidden: false, arguments };
            let (queue, vhost) = (QueueName::new("q"), VhostName::new("/"));
            let options = queue_options::read(&queue, &vhost, &spec, false);
            let fits = exchange.len() <= 255 && key.len() <= 255;
            prop_assert_eq!(options.is_ok(), fits);
            let Ok(options) = options else {
                let why = options.unwrap_err().to_string();
                let name = if exchange.len() > 255 { "exchange" } else { "routing-key" };
                prop_assert!(why.contains(&format!("x-dead-letter-{name}")), "{}", why);
                return Ok(());
            };
            let rule = options.in_force(Matched::default()).dead_letter.expect("a rule");
            let message =
                Message::new(Short::EMPTY, Short::literal("k"), b"\0\0", b"body", MessageMeta::default());
            let letter = dead_letter(&message, &queue, SettleReason::Rejected, &rule, Millis(1), false).message;
            prop_assert_eq!(letter.exchange(), exchange.as_bytes());
            prop_assert_eq!(letter.routing_key(), key.as_bytes());
        }
    }

    /// Lets a message die in one queue after another. Returns the bytes of `x-death`, and after how many deaths it
    /// stopped.
    fn wanders(queues: usize, reason: impl Fn(usize) -> SettleReason) -> (usize, usize) {
        let rule = DeadLetterRule { exchange: ExchangeName::new("x"), routing_key: None };
        let mut message =
            Message::new(Short::EMPTY, Short::literal("k"), b"\0\0", b"body", MessageMeta::default());
        for died in 0..queues {
            let queue = QueueName::new(&format!("queue-{died}"));
            let letter = dead_letter(&message, &queue, reason(died), &rule, Millis(1), false);
            assert!(letter.history.len() <= HISTORY_BYTES_MAX, "{} bytes", letter.history.len());
            if letter.is_cycle(&QueueName::new("another")) {
                return (letter.history.len(), died);
            }
            message = letter.message;
        }
        (message.properties().len(), queues)
    }

    #[test]
    fn a_history_is_bounded_and_what_goes_on_by_itself_ends_there() {
        let (bytes, deaths) = wanders(5000, |_| SettleReason::Expired);
        assert!(
            (200..2000).contains(&deaths) && bytes > HISTORY_BYTES_MAX / 2,
            "{bytes} bytes, {deaths} deaths"
        );
        // With occasional client involvement it continues for ever, keeping the latest history.
        let now_and_then = |died: usize| match died % 100 {
            0 => SettleReason::Rejected,
            _ => SettleReason::Expired,
        };
        let (bytes, deaths) = wanders(2000, now_and_then);
        assert!(deaths == 2000 && bytes < HISTORY_BYTES_MAX + 1000, "{bytes} bytes, {deaths} deaths");
    }
}
