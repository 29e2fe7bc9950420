//! Content headers: class, body size, and the range of the properties (spec 4.2.6.1).

use std::ops::Range;

use thiserror::Error;

use leveret_message::cursor::Cursor;

/// The only content class left in AMQP 0-9-1.
pub const CLASS_BASIC: u16 = 60;

/// Bytes before the properties: class (2), weight (2), body size (8).
const FIXED_BYTES: usize = 12;

/// A content header's payload is too short. RabbitMQ: 501 `FRAME_ERROR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("content header is shorter than its fixed fields")]
pub struct ContentHeaderTooShort;

/// A content header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentHeader {
    /// Must be [`CLASS_BASIC`], else 505 `UNEXPECTED_FRAME`; checked by the caller, who knows the preceding
    /// method.
    pub class: u16,
    /// Unused; zero by the specification.
    pub weight: u16,
    /// Bytes of body that follow; no limit is checked here.
    pub body_size: u64,
    /// Range of flags and properties in the payload. See [`leveret_message::properties`].
    pub properties: Range<usize>,
}

/// Parses the payload of a header frame.
#[inline]
pub fn content_header(payload: &[u8]) -> Result<ContentHeader, ContentHeaderTooShort> {
    let mut fields = Cursor::new(payload);
    let (Some(class), Some(weight), Some(body_size)) = (fields.u16(), fields.u16(), fields.u64()) else {
        return Err(ContentHeaderTooShort);
    };
    Ok(ContentHeader { class, weight, body_size, properties: FIXED_BYTES..payload.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_is_read_and_a_short_one_refused() {
        let payload = b"\0\x3c\0\x01\0\0\0\0\0\0\x10\0\x10\0\x02";
        let want = ContentHeader { class: 60, weight: 1, body_size: 4096, properties: 12..15 };
        assert_eq!(content_header(payload), Ok(want));
        for have in 0..12 {
            assert_eq!(content_header(&payload[..have]), Err(ContentHeaderTooShort));
        }
        assert_eq!(content_header(&payload[..12]).unwrap().properties, 12..12);
    }
}
