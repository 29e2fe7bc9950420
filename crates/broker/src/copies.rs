//! CC and BCC: additional routing keys in a message's headers (docs/semantics.md, Routing).

use leveret_message::properties::PropertiesEdit;
use leveret_message::short::SHORT_BYTES_MAX;
use leveret_message::table::edit::rewrite;
use leveret_message::table::{TableRef, ValueRef};
use leveret_message::{Message, MessageMeta};

use super::arguments::{get, type_name};
use super::attributes::headers;
use super::refusal::Refusal;

/// Additional routing keys of a message.
#[derive(Debug)]
pub(super) struct Copies {
    /// CC keys, then BCC keys.
    pub(super) keys: Vec<Vec<u8>>,
    /// The message as delivered, if it had a BCC header.
    pub(super) without_bcc: Option<Message>,
}

/// Reads CC and BCC. `None` if both are absent.
pub(super) fn keys(message: &Message) -> Result<Option<Copies>, Refusal> {
    let Some(table) = headers(message) else { return Ok(None) };
    let (cc, bcc) = (table.get("CC"), table.get("BCC"));
    if cc.is_none() && bcc.is_none() {
        return Ok(None);
    }
    let mut keys = Vec::new();
    for (name, value) in [("CC", cc), ("BCC", bcc)] {
        let Some(value) = value else { continue };
        let unacceptable = || {
            let table = table.to_field_table().unwrap_or_default();
            let given = get(&table, name).map_or("void", type_name);
            Refusal::Precondition(format!(
                "invalid message: {{unacceptable_type_in_header,\"{name}\",{given}}}"
            ))
        };
        let array = value.as_array().ok_or_else(unacceptable)?;
        for entry in array {
            match entry {
                ValueRef::LongString(key) if key.len() <= SHORT_BYTES_MAX => keys.push(key.to_vec()),
                ValueRef::LongString(_) => {
                    return Err(Refusal::Precondition(format!(
                        "invalid message: a key in the header {name} is longer than {SHORT_BYTES_MAX} bytes"
                    )));
                }
                // As in RabbitMQ: keys are strings.
                _ => {}
            }
        }
    }
    let without_bcc = bcc.is_some().then(|| with_headers(message, &rewrite(table, &[("BCC", None)])));
    Ok(Some(Copies { keys, without_bcc }))
}

/// The same message with different headers.
pub(super) fn with_headers(message: &Message, contents: &[u8]) -> Message {
    let mut edit = PropertiesEdit::new(message.properties()).unwrap_or_default();
    edit.set_headers(contents);
    message.with_properties(&edit.finish(), message.meta())
}

/// The same message, marked as possibly delivered before from its previous place.
pub(super) fn as_redelivered(message: &Message) -> Message {
    message.with_properties(message.properties(), MessageMeta { redelivered: true, ..message.meta() })
}

/// The same message with its counts in the headers: failed deliveries, and all earlier ones.
pub(super) fn with_counts(
    message: &Message,
    delivery_count: Option<u32>,
    acquired_count: Option<u32>,
) -> Message {
    let value = |count: u32| Some(ValueRef::I64(i64::from(count)));
    let told = [("x-delivery-count", delivery_count), ("x-acquired-count", acquired_count)];
    let edits: Vec<_> = told.iter().filter_map(|(name, count)| Some((*name, value((*count)?)))).collect();
    let table = headers(message).unwrap_or_else(|| TableRef::assume_valid(&[]));
    with_headers(message, &rewrite(table, &edits))
}
