//! Frames: kind, channel, size, payload, end octet (spec 4.2.3). Payloads are not interpreted.

use std::ops::Range;

use thiserror::Error;

/// The octet that ends every frame.
pub const FRAME_END: u8 = 0xCE;

/// Bytes of a frame before its payload: kind (1), channel (2), payload size (4).
pub const FRAME_HEAD_BYTES: usize = 7;

/// Bytes of a frame that are not payload: the head and the end octet.
pub const FRAME_OVERHEAD_BYTES: u32 = 8;

const _: () = assert!(FRAME_OVERHEAD_BYTES as usize == FRAME_HEAD_BYTES + 1);

/// Smallest frame-max that a peer may negotiate, in bytes (spec 4.2.3, `frame-min-size`).
pub const FRAME_MAX_MIN: u32 = 4096;

/// What a frame carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// A method with its arguments.
    Method,
    /// A content header: body size and properties.
    Header,
    /// A part of a body.
    Body,
    /// A heartbeat; empty, on channel 0.
    Heartbeat,
}

impl FrameKind {
    /// The kind's octet on the wire.
    pub const fn octet(self) -> u8 {
        match self {
            Self::Method => 1,
            Self::Header => 2,
            Self::Body => 3,
            Self::Heartbeat => 8,
        }
    }

    /// The kind for an octet, if any.
    pub const fn from_octet(octet: u8) -> Option<Self> {
        match octet {
            1 => Some(Self::Method),
            2 => Some(Self::Header),
            3 => Some(Self::Body),
            8 => Some(Self::Heartbeat),
            _ => None,
        }
    }
}

/// Why bytes are not a frame. Always 501 `FRAME_ERROR` on the connection; nothing after them can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The first octet is not a frame kind.
    #[error("unknown frame type {0}")]
    UnknownType(u8),
    /// The declared payload exceeds the negotiated limit.
    #[error("frame payload of {size} bytes is larger than the negotiated {max} bytes")]
    TooLarge {
        /// Declared payload size in bytes.
        size: u32,
        /// Largest payload in bytes that frame-max allows.
        max: u32,
    },
    /// The octet after the payload is not [`FRAME_END`].
    #[error("frame ends with octet {0:#04x} instead of 0xce")]
    BadEnd(u8),
}

/// A complete frame in a buffer. Positions are relative to the scanned slice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its kind.
    pub kind: FrameKind,
    /// Its channel; 0 for the connection.
    pub channel: u16,
    /// Range of its payload.
    pub payload: Range<usize>,
    /// Where the next frame starts.
    pub end: usize,
}

/// The start of a buffer, scanned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scan {
    /// Incomplete: at least `need` bytes are required from the start of the slice (always more than it has).
    Incomplete {
        /// Bytes from the start of the slice.
        need: usize,
    },
    /// A complete frame.
    Frame(Frame),
}

#[derive(Clone, Copy)]
struct Head {
    kind: FrameKind,
    channel: u16,
    size: u32,
}

/// Parses the seven octets before a payload. RabbitMQ allows a payload of frame-max itself (eight bytes over), for
/// clients that do not count the frame's overhead; so do we.
#[inline]
fn head(bytes: &[u8], frame_max: u32) -> Result<Option<Head>, FrameError> {
    let Some(&[kind, channel_high, channel_low, a, b, c, d]) = bytes.first_chunk::<FRAME_HEAD_BYTES>() else {
        // A wrong first octet is reported at once: garbage need not be seven bytes long.
        return match bytes.first() {
            Some(&octet) if FrameKind::from_octet(octet).is_none() => Err(FrameError::UnknownType(octet)),
            _ => Ok(None),
        };
    };
    let kind = FrameKind::from_octet(kind).ok_or(FrameError::UnknownType(kind))?;
    let size = u32::from_be_bytes([a, b, c, d]);
    if size > frame_max {
        return Err(FrameError::TooLarge { size, max: frame_max.saturating_sub(FRAME_OVERHEAD_BYTES) });
    }
    Ok(Some(Head { kind, channel: u16::from_be_bytes([channel_high, channel_low]), size }))
}

/// Finds the frame at the start of `bytes`.
///
/// `frame_max` is the negotiated value in bytes; zero has no special meaning here.
#[inline]
pub fn scan(bytes: &[u8], frame_max: u32) -> Result<Scan, FrameError> {
    let Some(Head { kind, channel, size }) = head(bytes, frame_max)? else {
        return Ok(Scan::Incomplete { need: FRAME_HEAD_BYTES + 1 });
    };
    let payload_end = FRAME_HEAD_BYTES + size as usize;
    match bytes.get(payload_end) {
        None => Ok(Scan::Incomplete { need: payload_end + 1 }),
        Some(&FRAME_END) => Ok(Scan::Frame(Frame {
            kind,
            channel,
            payload: FRAME_HEAD_BYTES..payload_end,
            end: payload_end + 1,
        })),
        Some(&octet) => Err(FrameError::BadEnd(octet)),
    }
}

/// A body frame whose head is complete and whose end is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartialBody {
    /// Its channel.
    pub channel: u16,
    /// Declared payload bytes.
    pub size: u32,
    /// Payload bytes received; they start at [`FRAME_HEAD_BYTES`]. Equal to `size` when only the end octet is
    /// missing.
    pub available: usize,
}

/// Detects an incomplete body frame at the start of `bytes`, so that a large body can be copied straight into its
/// own buffer. `None` for other kinds, for less than a head, and for a frame that [`scan`] returns complete. The
/// caller then checks the end octet.
pub fn partial_body(bytes: &[u8], frame_max: u32) -> Result<Option<PartialBody>, FrameError> {
    let Some(Head { kind: FrameKind::Body, channel, size }) = head(bytes, frame_max)? else {
        return Ok(None);
    };
    let available = bytes.len() - FRAME_HEAD_BYTES;
    Ok((available <= size as usize).then_some(PartialBody { channel, size, available }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use amq_protocol::frame::{AMQPFrame, gen_frame, parsing::parse_frame};
    use proptest::prelude::*;

    fn raw(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![kind];
        bytes.extend(channel.to_be_bytes());
        bytes.extend(u32::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes.push(FRAME_END);
        bytes
    }

    #[test]
    fn every_prefix_of_a_frame_asks_for_more_than_it_has() {
        let bytes = raw(3, 7, b"hello");
        for have in 0..bytes.len() {
            let Ok(Scan::Incomplete { need }) = scan(&bytes[..have], 4096) else { panic!("{have}") };
            assert!(need > have && need <= bytes.len(), "{have} {need}");
        }
        let whole = scan(&bytes, 4096).unwrap();
        assert_eq!(whole, Scan::Frame(Frame { kind: FrameKind::Body, channel: 7, payload: 7..12, end: 13 }));
    }

    #[test]
    fn payload_may_reach_frame_max_and_no_more() {
        assert!(matches!(scan(&raw(3, 1, &[0; 4096]), 4096), Ok(Scan::Frame(_))));
        let refused = scan(&raw(3, 1, &[0; 4097])[..7], 4096);
        assert_eq!(refused, Err(FrameError::TooLarge { size: 4097, max: 4088 }));
    }

    #[test]
    fn wrong_first_octet_is_refused_before_the_head_is_complete() {
        assert_eq!(scan(b"G", 4096), Err(FrameError::UnknownType(b'G')));
        assert_eq!(partial_body(b"\0", 4096), Err(FrameError::UnknownType(0)));
    }

    #[test]
    fn wrong_end_octet_is_refused() {
        let mut bytes = raw(8, 0, b"");
        *bytes.last_mut().unwrap() = 0;
        assert_eq!(scan(&bytes, 4096), Err(FrameError::BadEnd(0)));
    }

    #[test]
    fn partial_body_tells_what_is_there_until_the_frame_is_whole() {
        let bytes = raw(3, 9, b"abcdef");
        assert_eq!(partial_body(&bytes[..6], 4096), Ok(None));
        for available in 0..=6 {
            let want = PartialBody { channel: 9, size: 6, available };
            assert_eq!(partial_body(&bytes[..7 + available], 4096), Ok(Some(want)));
        }
        assert_eq!(partial_body(&bytes, 4096), Ok(None));
        assert_eq!(partial_body(&raw(1, 9, b"abcdef")[..9], 4096), Ok(None));
    }

    proptest! {
        #[test]
        fn scan_agrees_with_amq_protocol_on_bodies(channel: u16, body in prop::collection::vec(any::<u8>(), 0..300)) {
            let frame = AMQPFrame::Body(channel, body.clone());
            let bytes = cookie(&frame);
            prop_assert_eq!(&bytes, &raw(3, channel, &body));
            let Ok(Scan::Frame(found)) = scan(&bytes, 4096) else { panic!() };
            prop_assert_eq!(&bytes[found.payload], &body[..]);
            prop_assert_eq!(found.end, bytes.len());
        }

        #[test]
        fn random_bytes_never_panic_and_never_claim_more_than_there_is(
            bytes in prop::collection::vec(prop_oneof![Just(0u8), Just(1), Just(3), Just(8), Just(0xCE), any::<u8>()], 0..64)
        ) {
            match scan(&bytes, 4096) {
                Ok(Scan::Frame(frame)) => prop_assert!(frame.end <= bytes.len()),
                Ok(Scan::Incomplete { need }) => prop_assert!(need > bytes.len()),
                Err(_) => {}
            }
            let _ = partial_body(&bytes, 4096);
            if let Ok((rest, frame)) = parse_frame(&bytes[..]) && !matches!(frame, AMQPFrame::ProtocolHeader(_)) {
                let Ok(Scan::Frame(found)) = scan(&bytes, 4096) else { panic!() };
                prop_assert_eq!(found.end, bytes.len() - rest.len());
            }
        }
    }

    fn cookie(frame: &AMQPFrame) -> Vec<u8> {
        gen_frame(frame)(Vec::new().into()).unwrap().into_inner().0
    }
}
