//! Limits declared arguments while memory is short.
//!
//! Arguments live as long as the object they were declared for, and the client need not acknowledge or read anything:
//! no budget for messages or unread answers bounds them. So while the memory alarm is raised, only small ones are
//! accepted. Consumers and queues with those are, since the backlog drains through them.

use super::alarms::Resource;
use super::arguments::{FieldTable, Value};
use super::broker::Broker;
use super::refusal::Refusal;

/// Maximum bytes of arguments accepted while memory is short.
const SMALL_BYTES: usize = 1024;

/// Overhead per entry, in bytes, besides its variable parts.
const ENTRY_BYTES: usize = 48;

impl Broker {
    /// Whether these arguments may be kept.
    pub fn has_room_for_arguments(&self, arguments: &FieldTable) -> Result<(), Refusal> {
        if !self.alarms.has(Resource::Memory) {
            return Ok(());
        }
        let bytes = table_bytes(arguments);
        if bytes <= SMALL_BYTES {
            return Ok(());
        }
        Err(Refusal::Precondition(format!(
            "memory is short, and the arguments take {bytes} bytes: {SMALL_BYTES} at most while the alarm lasts"
        )))
    }
}

fn table_bytes(table: &FieldTable) -> usize {
    table.inner().iter().map(|(name, value)| name.as_str().len() + bytes(value)).sum()
}

fn bytes(value: &Value) -> usize {
    let more = match value {
        Value::LongString(text) => text.as_bytes().len(),
        Value::ShortString(text) => text.as_str().len(),
        Value::ByteArray(octets) => octets.as_slice().len(),
        Value::FieldArray(values) => values.as_slice().iter().map(bytes).sum(),
        Value::FieldTable(table) => table_bytes(table),
        _ => 0,
    };
    ENTRY_BYTES + more
}
