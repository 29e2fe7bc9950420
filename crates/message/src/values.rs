//! Values of field tables as owned types: `amq-protocol`'s.

pub use amq_protocol::types::{
    AMQPValue, ByteArray, DecimalValue, FieldArray, FieldTable, LongString, ShortString,
};
