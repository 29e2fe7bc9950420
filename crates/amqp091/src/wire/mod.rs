//! Bytes to frames and back: the wire format of AMQP 0-9-1.
//!
//! Invariants: no function here panics on any input, waits, or uses more memory than its input justifies.
//! Truncation *inside* a complete frame is an error, never "more data needed". Nested tables are bounded by
//! [`leveret_message::table::DEPTH_MAX`]. Hot methods (publish, ack, deliver, content headers) are parsed and written by hand
//! without allocating; all others use `amq-protocol`'s types, after our own validation.
//!
//! Absent: tokio, sockets, clocks, reply codes (the session maps these errors to codes), names of queues.

pub mod content;
pub mod control;
pub mod frame;
pub mod hot_in;
pub mod hot_out;
mod layout;
pub mod opening;
pub mod proxy_header;
pub mod publish;
pub mod sasl;

/// The generated method types: `AMQPClass`, `basic`, `channel`, `connection`, `exchange`, `queue`, `tx`, `confirm`.
pub mod method {
    pub use amq_protocol::protocol::{
        AMQPClass, AMQPErrorKind, AMQPHardError, AMQPSoftError, access, basic, channel, confirm, connection,
        exchange, queue, tx,
    };
    pub use amq_protocol::types::{
        AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
    };

    /// A short string from text of any length, truncated at 255 bytes on a character boundary.
    ///
    /// `ShortString::from` panics on longer text; use this for text not checked before (reply texts).
    pub fn short_string(text: &str) -> ShortString {
        ShortString::from(&text[..text.floor_char_boundary(255)])
    }
}
