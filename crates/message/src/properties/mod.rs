//! Message properties as raw bytes: two octets of flags, then the values that the flags announce (spec 4.2.6.1).
//!
//! A message keeps its properties as received, so that delivery needs no encoding. [`essentials`] checks all of
//! them once and extracts what routing and queueing need; [`Properties`] gives every field; [`PropertiesEdit`]
//! builds changed bytes. Text need not be UTF-8, as in RabbitMQ. The two lowest flag bits are ignored, as there.

use thiserror::Error;

mod edit;

pub use edit::PropertiesEdit;

use super::cursor::Cursor;
use super::table::{TableError, TableRef, validate};

/// Why bytes are not valid properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PropertiesError {
    /// A value announced by the flags is missing or incomplete.
    #[error("message properties are shorter than their flags say")]
    Truncated,
    /// Bytes after the last value.
    #[error("message properties are longer than their flags say")]
    Trailing,
    /// The headers are not a table.
    #[error("message headers: {0}")]
    Headers(#[from] TableError),
}

/// A property, in wire order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the specification's names")]
pub enum Field {
    ContentType,
    ContentEncoding,
    Headers,
    DeliveryMode,
    Priority,
    CorrelationId,
    ReplyTo,
    Expiration,
    MessageId,
    Timestamp,
    Type,
    UserId,
    AppId,
    ClusterId,
}

impl Field {
    pub(super) const ALL: [Self; 14] = [
        Self::ContentType,
        Self::ContentEncoding,
        Self::Headers,
        Self::DeliveryMode,
        Self::Priority,
        Self::CorrelationId,
        Self::ReplyTo,
        Self::Expiration,
        Self::MessageId,
        Self::Timestamp,
        Self::Type,
        Self::UserId,
        Self::AppId,
        Self::ClusterId,
    ];

    pub(super) const fn flag(self) -> u16 {
        1 << (15 - self as u16)
    }

    /// Reads this field's bytes, any length prefix included.
    #[inline]
    fn encoded<'a>(self, rest: &mut Cursor<'a>) -> Option<&'a [u8]> {
        let mut after = *rest;
        match self {
            Self::Headers => after.long().map(|_| ())?,
            Self::DeliveryMode | Self::Priority => after.u8().map(|_| ())?,
            Self::Timestamp => after.u64().map(|_| ())?,
            _ => after.short().map(|_| ())?,
        }
        rest.take(rest.rest().len() - after.rest().len())
    }
}

/// The properties that routing and queueing need.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Essentials<'a> {
    /// Delivery mode 2. Any other mode is transient, as in RabbitMQ.
    pub persistent: bool,
    /// As sent; not yet clamped to the queue's maximum.
    pub priority: Option<u8>,
    /// Decimal milliseconds, unchecked here.
    pub expiration: Option<&'a [u8]>,
    /// The sender's claimed user name.
    pub user_id: Option<&'a [u8]>,
    /// Address for a reply.
    pub reply_to: Option<&'a [u8]>,
    /// Checked headers. `Some` even for an empty table.
    pub headers: Option<TableRef<'a>>,
}

/// Checks raw properties and extracts the essentials. Allocates nothing. Empty input means no properties (some
/// senders omit the flags of an empty list).
#[inline]
pub fn essentials(raw: &[u8]) -> Result<Essentials<'_>, PropertiesError> {
    match *raw {
        [] | [0, 0] => return Ok(Essentials::default()),
        // Only a delivery mode: what most performance-minded publishers send.
        [0x10, 0x00, mode] => {
            return Ok(Essentials { persistent: mode == 2, ..Essentials::default() });
        }
        _ => {}
    }
    essentials_in(raw).ok_or(PropertiesError::Truncated)?
}

/// The headers of raw properties that were checked on receipt: nothing behind them is read.
pub fn headers_in(raw: &[u8]) -> Option<TableRef<'_>> {
    let mut rest = Cursor::new(raw);
    let flags = rest.u16()?;
    if flags & Field::Headers.flag() == 0 {
        return None;
    }
    for before in [Field::ContentType, Field::ContentEncoding] {
        if flags & before.flag() != 0 {
            rest.short()?;
        }
    }
    rest.long().map(TableRef::assume_valid)
}

fn essentials_in(raw: &[u8]) -> Option<Result<Essentials<'_>, PropertiesError>> {
    let mut rest = Cursor::new(raw);
    let flags = rest.u16()?;
    let has = |field: Field| flags & field.flag() != 0;
    let mut found = Essentials::default();
    if has(Field::ContentType) {
        rest.short()?;
    }
    if has(Field::ContentEncoding) {
        rest.short()?;
    }
    if has(Field::Headers) {
        match TableRef::new(rest.long()?) {
            Ok(table) => found.headers = Some(table),
            Err(error) => return Some(Err(error.into())),
        }
    }
    if has(Field::DeliveryMode) {
        found.persistent = rest.u8()? == 2;
    }
    if has(Field::Priority) {
        found.priority = Some(rest.u8()?);
    }
    if has(Field::CorrelationId) {
        rest.short()?;
    }
    if has(Field::ReplyTo) {
        found.reply_to = Some(rest.short()?);
    }
    if has(Field::Expiration) {
        found.expiration = Some(rest.short()?);
    }
    if has(Field::MessageId) {
        rest.short()?;
    }
    if has(Field::Timestamp) {
        rest.u64()?;
    }
    if has(Field::Type) {
        rest.short()?;
    }
    if has(Field::UserId) {
        found.user_id = Some(rest.short()?);
    }
    if has(Field::AppId) {
        rest.short()?;
    }
    if has(Field::ClusterId) {
        rest.short()?;
    }
    Some(if rest.is_empty() { Ok(found) } else { Err(PropertiesError::Trailing) })
}

/// All properties of a message, located and checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a> {
    /// Each field as encoded, any length prefix included.
    pub(super) encoded: [Option<&'a [u8]>; 14],
}

impl<'a> Properties<'a> {
    /// Parses raw properties.
    pub fn parse(raw: &'a [u8]) -> Result<Self, PropertiesError> {
        let mut found = Self::default();
        if raw.is_empty() {
            return Ok(found);
        }
        let mut rest = Cursor::new(raw);
        let flags = rest.u16().ok_or(PropertiesError::Truncated)?;
        for field in Field::ALL {
            if flags & field.flag() != 0 {
                let encoded = field.encoded(&mut rest).ok_or(PropertiesError::Truncated)?;
                if field == Field::Headers {
                    validate(&encoded[4..])?;
                }
                found.encoded[field as usize] = Some(encoded);
            }
        }
        if rest.is_empty() { Ok(found) } else { Err(PropertiesError::Trailing) }
    }

    /// The value of a text field; `None` if it is absent, or is a number or the headers.
    pub fn text(&self, field: Field) -> Option<&'a [u8]> {
        match field {
            Field::Headers | Field::DeliveryMode | Field::Priority | Field::Timestamp => None,
            _ => self.encoded[field as usize].map(|encoded| &encoded[1..]),
        }
    }

    /// The headers.
    pub fn headers(&self) -> Option<TableRef<'a>> {
        self.encoded[Field::Headers as usize].map(|encoded| TableRef::assume_valid(&encoded[4..]))
    }

    /// The delivery mode as sent: 2 is persistent.
    pub fn delivery_mode(&self) -> Option<u8> {
        self.octet(Field::DeliveryMode)
    }

    /// The priority as sent.
    pub fn priority(&self) -> Option<u8> {
        self.octet(Field::Priority)
    }

    /// The timestamp, in seconds since the Unix epoch.
    pub fn timestamp(&self) -> Option<u64> {
        self.encoded[Field::Timestamp as usize].and_then(|encoded| Cursor::new(encoded).u64())
    }

    fn octet(&self, field: Field) -> Option<u8> {
        self.encoded[field as usize].and_then(|encoded| encoded.first().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{properties, raw};
    use crate::values::ShortString;
    use amq_protocol::protocol::basic::parse_properties;
    use proptest::prelude::*;

    fn bytes(text: Option<&ShortString>) -> Option<&[u8]> {
        text.map(|text| text.as_str().as_bytes())
    }

    #[test]
    fn malformed_properties_are_named() {
        for (raw, want) in [
            (&b"\x10"[..], PropertiesError::Truncated),
            (b"\x10\0", PropertiesError::Truncated),
            (b"\x10\0\x02\0", PropertiesError::Trailing),
            (b"\0\0\0", PropertiesError::Trailing),
            (b"\x80\0\x05abc", PropertiesError::Truncated),
            (b"\x20\0\0\0\0\x09\x01a", PropertiesError::Truncated),
            (b"\x20\0\0\0\0\x03\x01aZ", PropertiesError::Headers(TableError::UnknownType(b'Z'))),
        ] {
            assert_eq!(essentials(raw), Err(want), "{raw:?}");
            assert_eq!(Properties::parse(raw), Err(want), "{raw:?}");
        }
    }

    #[test]
    fn absent_flags_are_no_properties() {
        for raw in [&b""[..], b"\0\0"] {
            assert_eq!(essentials(raw), Ok(Essentials::default()));
            assert_eq!(Properties::parse(raw), Ok(Properties::default()));
        }
        assert!(essentials(b"\x10\0\x02").unwrap().persistent);
        assert!(!essentials(b"\x10\0\x01").unwrap().persistent);
    }

    proptest! {
        #[test]
        fn all_fields_read_as_amq_protocol_reads_them(properties in properties()) {
            let raw = raw(&properties);
            let ours = Properties::parse(&raw).unwrap();
            for (field, want) in [
                (Field::ContentType, properties.content_type()),
                (Field::ContentEncoding, properties.content_encoding()),
                (Field::CorrelationId, properties.correlation_id()),
                (Field::ReplyTo, properties.reply_to()),
                (Field::Expiration, properties.expiration()),
                (Field::MessageId, properties.message_id()),
                (Field::Type, properties.kind()),
                (Field::UserId, properties.user_id()),
                (Field::AppId, properties.app_id()),
                (Field::ClusterId, properties.cluster_id()),
            ] {
                prop_assert_eq!(ours.text(field), bytes(want.as_ref()));
            }
            prop_assert_eq!(ours.delivery_mode(), *properties.delivery_mode());
            prop_assert_eq!(ours.priority(), *properties.priority());
            prop_assert_eq!(ours.timestamp(), *properties.timestamp());
            let headers = ours.headers().map(|table| table.to_field_table().unwrap());
            prop_assert_eq!(&headers, properties.headers());
            prop_assert_eq!(headers_in(&raw), ours.headers());
            let short = essentials(&raw).unwrap();
            prop_assert_eq!(short, Essentials {
                persistent: *properties.delivery_mode() == Some(2),
                priority: *properties.priority(),
                expiration: bytes(properties.expiration().as_ref()),
                user_id: bytes(properties.user_id().as_ref()),
                reply_to: bytes(properties.reply_to().as_ref()),
                headers: ours.headers(),
            });
            prop_assert_eq!(PropertiesEdit::new(&raw).unwrap().finish(), raw);
        }

        #[test]
        fn random_bytes_are_judged_the_same_by_both_readers_and_by_amq_protocol(
            bytes in prop::collection::vec(prop_oneof![2 => Just(0u8), 2 => 0u8..5, 1 => b'a'..=b'z'], 2..60)
        ) {
            let ours = essentials(&bytes).map(|_| ());
            prop_assert_eq!(ours, Properties::parse(&bytes).map(|_| ()));
            let theirs = matches!(parse_properties(&bytes[..]), Ok((rest, _)) if rest.is_empty());
            prop_assert_eq!(ours.is_ok(), theirs);
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (essentials(&bytes), Properties::parse(&bytes), headers_in(&bytes));
        }
    }
}
