//! The first bytes of a connection: a protocol header, or something that is not AMQP 0-9-1 (spec 4.2.2).

/// The accepted header; also our answer to any other.
pub const PROTOCOL_HEADER: [u8; 8] = *b"AMQP\0\0\x09\x01";

/// AMQP 0-9 as sent by Qpid's clients; RabbitMQ serves it as 0-9-1.
const PROTOCOL_HEADER_0_9: [u8; 8] = *b"AMQP\x01\x01\x00\x09";

/// The first bytes sent by a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// A prefix of a protocol header.
    Incomplete,
    /// An accepted header of eight bytes.
    Accepted,
    /// An AMQP header of another version: its four octets. Includes `AMQP 1 1 9 1`, which is 0-8.
    OtherVersion([u8; 4]),
    /// An HTTP request.
    Http,
    /// A TLS `ClientHello`.
    Tls,
    /// Anything else.
    Garbage,
}

/// Classifies `bytes`, the first of a connection. Decides as early as possible: anything but
/// [`Opening::Incomplete`] is final.
pub fn detect(bytes: &[u8]) -> Opening {
    if let Some(head) = bytes.first_chunk::<8>() {
        match *head {
            PROTOCOL_HEADER | PROTOCOL_HEADER_0_9 => return Opening::Accepted,
            [b'A', b'M', b'Q', b'P', a, b, c, d] => return Opening::OtherVersion([a, b, c, d]),
            _ => {}
        }
    }
    for (start, opening) in [
        (&b"GET "[..], Opening::Http),
        (b"HEAD ", Opening::Http),
        (b"POST ", Opening::Http),
        (b"PUT ", Opening::Http),
        (b"OPTIONS ", Opening::Http),
        (b"PRI * HT", Opening::Http),
        // Record type handshake, major version 3.
        (b"\x16\x03", Opening::Tls),
        (b"AMQP", Opening::Incomplete),
    ] {
        if bytes.starts_with(start) {
            return opening;
        }
        if start.starts_with(bytes) {
            return Opening::Incomplete;
        }
    }
    Opening::Garbage
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn openings_are_told_apart() {
        for (bytes, want) in [
            (&b""[..], Opening::Incomplete),
            (b"A", Opening::Incomplete),
            (b"AMQP\0\0\x09", Opening::Incomplete),
            (b"AMQP\0\0\x09\x01", Opening::Accepted),
            (b"AMQP\0\0\x09\x01\x01\0", Opening::Accepted),
            (b"AMQP\x01\x01\0\x09", Opening::Accepted),
            (b"AMQP\x01\x01\x09\x01", Opening::OtherVersion([1, 1, 9, 1])),
            (b"AMQP\0\x01\0\0", Opening::OtherVersion([0, 1, 0, 0])),
            (b"AMQX", Opening::Garbage),
            (b"GE", Opening::Incomplete),
            (b"GET / HTTP/1.1\r\n", Opening::Http),
            (b"PRI * HTTP/2.0", Opening::Http),
            (b"\x16", Opening::Incomplete),
            (b"\x16\x03\x01\x02\0\x01", Opening::Tls),
            (b"\0", Opening::Garbage),
            (b"hello", Opening::Garbage),
        ] {
            assert_eq!(detect(bytes), want, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn a_decision_never_changes_with_more_bytes(bytes in prop::collection::vec(prop_oneof![
            Just(b'A'), Just(b'M'), Just(b'Q'), Just(b'P'), Just(0u8), Just(9), Just(1), any::<u8>()], 8..20)) {
            let last = detect(&bytes);
            prop_assert_ne!(last, Opening::Incomplete);
            for have in 0..bytes.len() {
                let early = detect(&bytes[..have]);
                prop_assert!(early == Opening::Incomplete || early == last, "{have} {early:?} {last:?}");
            }
        }
    }
}
