//! The header by which a proxy names its client: PROXY protocol, versions 1 and 2 (`HAProxy`'s specification).
//!
//! Invariants: never requests a byte beyond the header, which belongs to the client; a header is bounded.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use thiserror::Error;

/// The first bytes of version 2.
const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";

/// Signature, version and command, family, length.
const V2_HEAD_BYTES: usize = 16;

/// The shortest header of either version.
const SHORTEST_BYTES: usize = "PROXY UNKNOWN\r\n".len();

/// The longest line of version 1, its end included (2.1).
const V1_BYTES_MAX: usize = 107;

/// Bytes after the head of version 2, at most: addresses, and proxies' extensions, which are skipped.
const V2_REST_BYTES_MAX: usize = 4096;

/// Both ends as the proxy saw them: the client's address, and the one that it connected to.
pub type Ends = (SocketAddr, SocketAddr);

/// Progress of parsing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// At least N more bytes are needed.
    Needs(usize),
    /// Complete. Without ends, the proxy connects for itself or does not know them.
    Done(Option<Ends>),
}

/// Not a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed PROXY header: {0}")]
pub struct ProxyHeaderError(&'static str);

const fn wrong<T>(why: &'static str) -> Result<T, ProxyHeaderError> {
    Err(ProxyHeaderError(why))
}

/// Parses the bytes received so far.
///
/// # Errors
/// No header begins with these bytes.
pub fn parse(bytes: &[u8]) -> Result<Progress, ProxyHeaderError> {
    if let Some(missing) = SHORTEST_BYTES.checked_sub(bytes.len()).filter(|missing| *missing > 0) {
        return Ok(Progress::Needs(missing));
    }
    if bytes.starts_with(SIGNATURE) { version_2(bytes) } else { version_1(bytes) }
}

fn version_1(bytes: &[u8]) -> Result<Progress, ProxyHeaderError> {
    let Some(rest) = bytes.strip_prefix(b"PROXY ") else { return wrong("neither version 1 nor 2") };
    let Some(line) = rest.strip_suffix(b"\r\n") else {
        return if bytes.len() < V1_BYTES_MAX {
            Ok(Progress::Needs(1))
        } else {
            wrong("the line is too long")
        };
    };
    let Ok(line) = std::str::from_utf8(line) else { return wrong("not text") };
    let (family, ends) = line.split_once(' ').unwrap_or((line, ""));
    let done =
        |ends: Option<Ends>| ends.map_or(wrong("addresses or ports"), |ends| Ok(Progress::Done(Some(ends))));
    match family {
        "UNKNOWN" => Ok(Progress::Done(None)),
        "TCP4" => done(text_ends::<Ipv4Addr>(ends)),
        "TCP6" => done(text_ends::<Ipv6Addr>(ends)),
        _ => wrong("neither TCP4, TCP6 nor UNKNOWN"),
    }
}

fn text_ends<A: std::str::FromStr + Into<IpAddr>>(text: &str) -> Option<Ends> {
    let mut parts = text.split(' ');
    let [from, to] = [parts.next()?, parts.next()?].map(|part| part.parse::<A>().ok().map(Into::into));
    let [from_port, to_port] = [parts.next()?, parts.next()?].map(|part| part.parse().ok());
    let ends = (SocketAddr::new(from?, from_port?), SocketAddr::new(to?, to_port?));
    parts.next().is_none().then_some(ends)
}

fn version_2(bytes: &[u8]) -> Result<Progress, ProxyHeaderError> {
    let Some((head, rest)) = bytes.split_at_checked(V2_HEAD_BYTES) else {
        return Ok(Progress::Needs(V2_HEAD_BYTES - bytes.len()));
    };
    let [.., command, family, high, low] = *head else { return wrong("no head") };
    if command >> 4 != 2 {
        return wrong("another version");
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > V2_REST_BYTES_MAX {
        return wrong("too long");
    }
    if rest.len() < length {
        return Ok(Progress::Needs(length - rest.len()));
    }
    match (command & 0xf, family) {
        // The proxy's own health check, or an unnamed client.
        (0, _) | (1, 0) => Ok(Progress::Done(None)),
        (1, 0x11) => binary_ends::<4, Ipv4Addr>(rest),
        (1, 0x21) => binary_ends::<16, Ipv6Addr>(rest),
        (1, _) => wrong("neither TCP over IPv4 nor over IPv6"),
        _ => wrong("unknown command"),
    }
}

fn binary_ends<const N: usize, A: From<[u8; N]> + Into<IpAddr>>(
    bytes: &[u8],
) -> Result<Progress, ProxyHeaderError> {
    let ends = bytes.split_first_chunk::<N>().and_then(|(from, rest)| {
        let (to, rest) = rest.split_first_chunk::<N>()?;
        let (from_port, rest) = rest.split_first_chunk::<2>()?;
        let end = |octets: [u8; N], port: [u8; 2]| {
            SocketAddr::new(A::from(octets).into(), u16::from_be_bytes(port))
        };
        Some((end(*from, *from_port), end(*to, *rest.first_chunk::<2>()?)))
    });
    ends.map_or(wrong("the addresses are cut"), |ends| Ok(Progress::Done(Some(ends))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds a header as a reader would. Returns the result and the number of bytes requested.
    fn fed(bytes: &[u8]) -> (Result<Option<Ends>, ProxyHeaderError>, usize) {
        let mut taken = 0;
        loop {
            match parse(&bytes[..taken]) {
                Ok(Progress::Done(ends)) => return (Ok(ends), taken),
                Ok(Progress::Needs(more)) => {
                    assert!(more > 0);
                    taken += more;
                    if taken > bytes.len() {
                        return (wrong("cut"), bytes.len());
                    }
                }
                Err(error) => return (Err(error), taken),
            }
        }
    }

    fn ends(from: &str, to: &str) -> Ends {
        (from.parse().unwrap(), to.parse().unwrap())
    }

    fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    #[track_caller]
    fn check(header: &[u8], want: Option<Ends>) {
        let with_more = [header, b"AMQP\x00\x00\x09\x01 and more"].concat();
        assert_eq!(fed(&with_more), (Ok(want), header.len()));
    }

    #[test]
    fn both_versions_name_both_ends_and_nothing_behind_is_touched() {
        let four = ends("192.0.2.1:4000", "198.51.100.2:5672");
        let six = ends("[2001:db8::1]:4000", "[2001:db8::2]:5672");
        check(b"PROXY TCP4 192.0.2.1 198.51.100.2 4000 5672\r\n", Some(four));
        check(b"PROXY TCP6 2001:db8::1 2001:db8::2 4000 5672\r\n", Some(six));
        let octets = [192, 0, 2, 1, 198, 51, 100, 2, 15, 160, 22, 40];
        check(&v2(0x21, 0x11, &octets), Some(four));
        check(&v2(0x21, 0x11, &[&octets[..], b"\x04\x00\x01x"].concat()), Some(four));
        let mut octets = Vec::new();
        for end in [six.0, six.1] {
            let IpAddr::V6(address) = end.ip() else { unreachable!() };
            octets.extend(address.octets());
        }
        octets.extend([15, 160, 22, 40]);
        check(&v2(0x21, 0x21, &octets), Some(six));
    }

    #[test]
    fn a_proxy_may_speak_for_itself() {
        check(b"PROXY UNKNOWN\r\n", None);
        check(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n", None);
        check(&v2(0x20, 0, b""), None);
        check(&v2(0x20, 0x11, &[0; 12]), None);
        check(&v2(0x21, 0, b""), None);
    }

    #[test]
    fn what_is_no_header_is_told_at_once() {
        let long = [&b"PROXY TCP4 "[..], &[b'1'; 200], b"\r\n"].concat();
        for bytes in [
            &b"AMQP\x00\x00\x09\x01 and some more"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            b"PROXY TCP4 ::1 ::2 1 2\r\n",
            b"PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            b"PROXY \xff\xff\xff\xff\xff\xff\xff\xff\r\n",
            &long,
            &v2(0x11, 0x11, &[0; 12]),
            &v2(0x22, 0x11, &[0; 12]),
            &v2(0x21, 0x12, &[0; 12]),
            &v2(0x21, 0x31, &[0; 216]),
            &v2(0x21, 0x11, &[0; 11]),
            &v2(0x21, 0x21, &[0; 35]),
            &v2(0x21, 0x11, &[0; 5000]),
        ] {
            assert!(fed(bytes).0.is_err(), "{:?}", bytes.escape_ascii().to_string());
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic_nor_ask_for_much(
            start in prop::sample::select(vec![&b""[..], b"PROXY ", b"PROXY TCP4 1.2.3.4 ", SIGNATURE, b"\r\n\r\n\0\r\nQUIT\n\x21\x11"]),
            rest in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let bytes = [start, &rest].concat();
            let (_, taken) = fed(&bytes);
            prop_assert!(taken <= bytes.len());
            if let Ok(Progress::Needs(more)) = parse(&bytes) {
                prop_assert!(more <= V2_REST_BYTES_MAX);
            }
        }
    }
}
