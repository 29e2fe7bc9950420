//! Methods that arrive once per message, parsed without allocating: publish, ack, nack, reject.

use leveret_message::cursor::Cursor;

use super::control::MethodError;
use super::publish::{Publish, publish};

/// A hot-path method, or a marker for any other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HotMethod<'a> {
    /// basic.publish; content follows.
    Publish(Publish<'a>),
    /// basic.ack
    Ack {
        /// As sent: 0 with `multiple` means all outstanding.
        delivery_tag: u64,
        /// Includes all lower tags.
        multiple: bool,
    },
    /// basic.nack
    Nack {
        /// As sent: 0 with `multiple` means all outstanding.
        delivery_tag: u64,
        /// Includes all lower tags.
        multiple: bool,
        /// Requeue; else drop or dead-letter.
        requeue: bool,
    },
    /// basic.reject
    Reject {
        /// As sent.
        delivery_tag: u64,
        /// Requeue; else drop or dead-letter.
        requeue: bool,
    },
    /// Not on the hot path: for [`super::control::parse_method`].
    Other,
}

/// Parses the payload of a method frame, if it is on the hot path. All of it must be consumed.
#[inline]
pub fn hot_method(payload: &[u8]) -> Result<HotMethod<'_>, MethodError> {
    let Some((&[class_high, class, method_high, method], arguments)) = payload.split_first_chunk::<4>()
    else {
        return Err(MethodError::Truncated);
    };
    if (class_high, class, method_high) != (0, 60, 0) {
        return Ok(HotMethod::Other);
    }
    if method == 40 {
        return publish(Cursor::new(arguments)).map(HotMethod::Publish);
    }
    if !matches!(method, 80 | 90 | 120) {
        return Ok(HotMethod::Other);
    }
    let mut rest = Cursor::new(arguments);
    let (Some(delivery_tag), Some(bits)) = (rest.u64(), rest.u8()) else {
        return Err(MethodError::Truncated);
    };
    if !rest.is_empty() {
        return Err(MethodError::Trailing);
    }
    Ok(match method {
        80 => HotMethod::Ack { delivery_tag, multiple: bits & 1 != 0 },
        90 => HotMethod::Reject { delivery_tag, requeue: bits & 1 != 0 },
        _ => HotMethod::Nack { delivery_tag, multiple: bits & 1 != 0, requeue: bits & 2 != 0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::control::{method_payload, parse_method};
    use crate::wire::method::{AMQPClass, basic};
    use proptest::prelude::*;

    fn in_their_words(hot: HotMethod<'_>) -> Option<AMQPClass> {
        let method = match hot {
            HotMethod::Publish(publish) => basic::AMQPMethod::Publish(basic::Publish {
                exchange: publish.exchange.into(),
                routing_key: publish.routing_key.into(),
                mandatory: publish.mandatory,
                immediate: publish.immediate,
            }),
            HotMethod::Ack { delivery_tag, multiple } => {
                basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple })
            }
            HotMethod::Nack { delivery_tag, multiple, requeue } => {
                basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue })
            }
            HotMethod::Reject { delivery_tag, requeue } => {
                basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue })
            }
            HotMethod::Other => return None,
        };
        Some(AMQPClass::Basic(method))
    }

    fn hot() -> impl Strategy<Value = basic::AMQPMethod> {
        prop_oneof![
            ("[a-z\u{e9}.]{0,60}", "[a-z\u{e9}.]{0,60}", any::<(bool, bool)>()).prop_map(
                |(exchange, key, (mandatory, immediate))| {
                    basic::AMQPMethod::Publish(basic::Publish {
                        exchange: exchange.as_str().into(),
                        routing_key: key.as_str().into(),
                        mandatory,
                        immediate,
                    })
                }
            ),
            any::<(u64, bool)>().prop_map(|(delivery_tag, multiple)| basic::AMQPMethod::Ack(basic::Ack {
                delivery_tag,
                multiple
            })),
            any::<(u64, bool, bool)>().prop_map(|(delivery_tag, multiple, requeue)| {
                basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue })
            }),
            any::<(u64, bool)>().prop_map(|(delivery_tag, requeue)| basic::AMQPMethod::Reject(
                basic::Reject { delivery_tag, requeue }
            )),
        ]
    }

    #[test]
    fn publish_tells_where_its_names_lie() {
        let payload = b"\0\x3c\0\x28\0\0\x02ex\x03key\x01";
        let Ok(HotMethod::Publish(publish)) = hot_method(payload) else { panic!() };
        assert_eq!(&payload[publish.exchange_range()], b"ex");
        assert_eq!(&payload[publish.routing_key_range()], b"key");
        assert!(publish.mandatory && !publish.immediate);
    }

    #[test]
    fn bad_arguments_are_named() {
        for (payload, want) in [
            (&b"\0\x3c\0"[..], MethodError::Truncated),
            (b"\0\x3c\0\x28\0\0\x02ex\x03key", MethodError::Truncated),
            (b"\0\x3c\0\x28\0\0\x02ex\x03key\0\0", MethodError::Trailing),
            (b"\0\x3c\0\x28\0\0\x02\xff\xff\x03key\0", MethodError::NotUtf8),
            (b"\0\x3c\0\x50\0\0\0\0\0\0\0\x01", MethodError::Truncated),
            (b"\0\x3c\0\x78\0\0\0\0\0\0\0\x01\x03\0", MethodError::Trailing),
        ] {
            assert_eq!(hot_method(payload), Err(want), "{payload:?}");
        }
        assert_eq!(hot_method(b"\0\x32\0\x0a"), Ok(HotMethod::Other));
    }

    proptest! {
        #[test]
        fn hot_methods_read_as_amq_protocol_reads_them(method in hot()) {
            let class = AMQPClass::Basic(method);
            let payload = method_payload(&class);
            prop_assert_eq!(in_their_words(hot_method(&payload).unwrap()), Some(class));
        }

        #[test]
        fn random_payloads_are_judged_as_control_judges_them(
            method in prop::sample::select(vec![40u8, 80, 90, 120]),
            arguments in prop::collection::vec(prop_oneof![3 => 0u8..4, 1 => any::<u8>()], 0..24)
        ) {
            let payload = [&[0, 60, 0, method][..], &arguments].concat();
            // With two faults, the parsers may report different ones.
            let theirs = parse_method(&payload).ok();
            prop_assert_eq!(hot_method(&payload).ok().map(|hot| in_their_words(hot).unwrap()), theirs);
        }
    }
}
