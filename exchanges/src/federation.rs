//! `x-federation-upstream`: the exchange that a `RabbitMQ`'s federation link consumes from. It routes like a fanout,
//! except for messages that have reached their hop limit or already passed the other end.
//!
//! Each link adds an entry to the header `x-received-from`: an array of tables with the names of the cluster and the
//! vhost it left.

use crate::{Args, Attributes, OwnedValue, Refusal, Value};

const RECEIVED_FROM: &[u8] = b"x-received-from";
const MAX_HOPS: &str = "x-max-hops";

/// How far messages are forwarded.
pub(crate) struct Horizon {
    max_hops: usize,
    /// Names of the cluster and the vhost at the other end.
    downstream: Option<(Box<str>, Box<str>)>,
}

impl Horizon {
    pub(crate) fn from_args(args: &Args) -> Result<Self, Refusal> {
        let max_hops = args.get(MAX_HOPS).and_then(OwnedValue::as_int);
        let max_hops = max_hops.and_then(|hops| usize::try_from(hops).ok()).ok_or_else(|| {
            Refusal::InvalidArgument(format!("Invalid argument, '{MAX_HOPS}' must be an integer"))
        })?;
        let text = |name| args.get(name).and_then(OwnedValue::as_text).map(Box::from);
        let downstream = text("x-downstream-name").zip(text("x-downstream-vhost"));
        Ok(Self { max_hops, downstream })
    }

    /// Whether a message is to be forwarded.
    pub(crate) fn reaches(&self, attributes: &dyn Attributes) -> bool {
        let mut reaches = true;
        attributes.each_header(&mut |name, value| {
            if name == RECEIVED_FROM
                && let Value::Other { kind: b'A', raw } = value
            {
                reaches = self.may_go_on(raw);
            }
        });
        reaches
    }

    fn may_go_on(&self, mut hops: &[u8]) -> bool {
        let mut count = 0;
        while let Some((kind, value)) = next_value(&mut hops) {
            count += 1;
            if count >= self.max_hops || (kind == b'F' && self.is_downstream(value)) {
                return false;
            }
        }
        count < self.max_hops
    }

    fn is_downstream(&self, mut table: &[u8]) -> bool {
        let Some((cluster, vhost)) = &self.downstream else { return false };
        let (mut same_cluster, mut same_vhost) = (false, false);
        while let Some(name) = take(&mut table, 1).and_then(|length| take(&mut table, length[0].into())) {
            let Some((kind, value)) = next_value(&mut table) else { break };
            match name {
                b"cluster-name" => same_cluster = kind == b'S' && value == cluster.as_bytes(),
                b"vhost" => same_vhost = kind == b'S' && value == vhost.as_bytes(),
                _ => {}
            }
        }
        same_cluster && same_vhost
    }
}

/// Reads a value's type byte and payload, without the length prefix where the type has one.
fn next_value<'a>(bytes: &mut &'a [u8]) -> Option<(u8, &'a [u8])> {
    let kind = take(bytes, 1)?[0];
    let size = match kind {
        b'V' => 0,
        b't' | b'b' | b'B' => 1,
        b's' | b'u' => 2,
        b'I' | b'i' | b'f' => 4,
        b'D' => 5,
        b'l' | b'L' | b'd' | b'T' => 8,
        b'S' | b'x' | b'F' | b'A' => {
            let length = take(bytes, 4)?.try_into().ok()?;
            usize::try_from(u32::from_be_bytes(length)).ok()?
        }
        _ => return None,
    };
    Some((kind, take(bytes, size)?))
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, tail) = bytes.split_at_checked(count)?;
    *bytes = tail;
    Some(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn long(kind: u8, bytes: &[u8]) -> Vec<u8> {
        [&[kind][..], &u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
    }

    fn hop(cluster: &str, vhost: &str) -> Vec<u8> {
        let entry = |name: &str, text: &str| {
            [&[u8::try_from(name.len()).unwrap()][..], name.as_bytes(), &long(b'S', text.as_bytes())].concat()
        };
        let noise = b"\x04hopsl\0\0\0\0\0\0\0\x01\x0bredeliveredt\0".to_vec();
        long(b'F', &[noise, entry("cluster-name", cluster), entry("vhost", vhost)].concat())
    }

    fn horizon(max_hops: usize) -> Horizon {
        Horizon { max_hops, downstream: Some(("down".into(), "/".into())) }
    }

    #[test]
    fn what_has_gone_far_enough_or_was_there_before_stays() {
        let others = [hop("a", "/"), hop("down", "other")].concat();
        for (hops, max_hops, want) in [
            (vec![], 1, true),
            (vec![], 0, false),
            (others.clone(), 3, true),
            (others.clone(), 2, false),
            ([others, hop("down", "/")].concat(), 9, false),
        ] {
            let headers: &[(&str, Value<'_>)] =
                &[("other", Value::Int(1)), ("x-received-from", Value::Other { kind: b'A', raw: &hops })];
            assert_eq!(horizon(max_hops).reaches(&headers), want, "{hops:?} at most {max_hops}");
        }
    }

    #[test]
    fn headers_that_say_nothing_or_nonsense_do_not_stop_a_message() {
        let none: &[(&str, Value<'_>)] = &[];
        assert!(horizon(1).reaches(&none));
        let text: &[(&str, Value<'_>)] = &[("x-received-from", Value::Str(b"somewhere"))];
        assert!(horizon(1).reaches(&text));
        for end in 0..hop("down", "/").len() {
            assert!(horizon(1).may_go_on(&hop("down", "/")[..end]), "{end}");
        }
    }
}
