//! Control methods: our own validation, then `amq-protocol`'s types.
//!
//! `amq-protocol` parses with streaming parsers, which report short arguments as "incomplete", ignores bytes after
//! the arguments, and recurses into tables. So every payload is first validated against its layout: it must
//! contain exactly its arguments, short strings must be UTF-8, tables must be well formed, of bounded depth and
//! size. RabbitMQ also refuses both short arguments and bytes after them (501 `FRAME_ERROR` there).

use amq_protocol::protocol::{gen_class, parse_class};
use bytes::BufMut;
use leveret_message::cursor::Cursor;
use leveret_message::table::TableError;
use leveret_message::table::validate_text_names;
use thiserror::Error;

use super::frame::{FRAME_END, FrameKind};
use super::layout::{Arg, arguments};
use super::method::AMQPClass;

/// Values in the tables of one method, at all levels, at most. Our choice: a one-byte value takes some 50 bytes
/// when converted, and declarations are kept.
pub const TABLE_VALUES_MAX: usize = 8192;

/// Why a method frame's payload is malformed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MethodError {
    /// Shorter than the arguments.
    #[error("method arguments are too short")]
    Truncated,
    /// Longer than the arguments.
    #[error("bytes after the method's arguments")]
    Trailing,
    /// No such class or method.
    #[error("unknown method {class}.{method}")]
    Unknown {
        /// As sent.
        class: u16,
        /// As sent.
        method: u16,
    },
    /// A short string is not UTF-8.
    #[error("short string is not UTF-8")]
    NotUtf8,
    /// A table is malformed or nested too deeply.
    #[error("{0}")]
    Table(#[from] TableError),
    /// Tables hold more than [`TABLE_VALUES_MAX`] values.
    #[error("field tables hold more than {TABLE_VALUES_MAX} values")]
    TooManyValues,
}

/// Class and method of a payload, if it is long enough. For errors that name the method to blame.
pub fn method_id(payload: &[u8]) -> Option<(u16, u16)> {
    let mut rest = Cursor::new(payload);
    Some((rest.u16()?, rest.u16()?))
}

/// basic.qos's prefetch-size in bytes, which `amq-protocol` drops. `None` for other methods.
pub fn prefetch_size(payload: &[u8]) -> Option<u32> {
    let mut rest = Cursor::new(payload);
    ((rest.u16()?, rest.u16()?) == (60, 10)).then(|| rest.u32()).flatten()
}

/// Parses the payload of a method frame, in either direction.
pub fn parse_method(payload: &[u8]) -> Result<AMQPClass, MethodError> {
    check(payload)?;
    match parse_class(payload) {
        Ok(([], method)) => Ok(method),
        Ok(_) => Err(MethodError::Trailing),
        Err(_) => Err(MethodError::Truncated),
    }
}

fn check(payload: &[u8]) -> Result<(), MethodError> {
    let (class, method) = method_id(payload).ok_or(MethodError::Truncated)?;
    let layout = arguments(class, method).ok_or(MethodError::Unknown { class, method })?;
    let mut rest = Cursor::new(&payload[4..]);
    let mut values = 0;
    for argument in layout {
        let bytes = match argument {
            Arg::Octet | Arg::Bits => rest.take(1),
            Arg::Short => rest.take(2),
            Arg::Long => rest.take(4),
            Arg::LongLong => rest.take(8),
            Arg::ShortStr => rest.short(),
            Arg::LongStr | Arg::Table => rest.long(),
        };
        let bytes = bytes.ok_or(MethodError::Truncated)?;
        match argument {
            Arg::ShortStr if std::str::from_utf8(bytes).is_err() => {
                return Err(MethodError::NotUtf8);
            }
            Arg::Table => {
                values += validate_text_names(bytes)?;
                if values > TABLE_VALUES_MAX {
                    return Err(MethodError::TooManyValues);
                }
            }
            _ => {}
        }
    }
    if rest.is_empty() { Ok(()) } else { Err(MethodError::Trailing) }
}

/// Appends a method frame.
pub fn write_method(out: &mut impl BufMut, channel: u16, method: &AMQPClass) {
    let payload = method_payload(method);
    out.put_u8(FrameKind::Method.octet());
    out.put_u16(channel);
    out.put_u32(u32::try_from(payload.len()).unwrap_or(u32::MAX));
    out.put_slice(&payload);
    out.put_u8(FRAME_END);
}

/// A method's payload: class, method, arguments.
pub fn method_payload(method: &AMQPClass) -> Vec<u8> {
    // Writing to a Vec cannot fail; any reader would refuse an empty payload.
    gen_class(method)(Vec::with_capacity(64).into()).map(|context| context.into_inner().0).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::frame::{Frame, Scan, scan};
    use crate::wire::layout::CLASSES;
    use crate::wire::method::{FieldTable, ShortString, basic, connection, queue, short_string};
    use amq_protocol::frame::{AMQPFrame, gen_frame};
    use leveret_message::testing::table;
    use proptest::prelude::*;

    fn declare(arguments: FieldTable) -> AMQPClass {
        AMQPClass::Queue(queue::AMQPMethod::Declare(queue::Declare {
            queue: "q".into(),
            durable: true,
            arguments,
            ..Default::default()
        }))
    }

    /// A payload with all arguments, each of minimal size.
    fn smallest(class: u16, method: u16) -> Option<Vec<u8>> {
        let bytes = arguments(class, method)?.iter().map(|argument| match argument {
            Arg::Octet | Arg::Bits | Arg::ShortStr => 1,
            Arg::Short => 2,
            Arg::Long | Arg::LongStr | Arg::Table => 4,
            Arg::LongLong => 8,
        });
        let mut payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
        payload.resize(4 + bytes.sum::<usize>(), 0);
        Some(payload)
    }

    #[test]
    fn every_method_of_the_layout_is_one_of_amq_protocols_and_the_other_way_round() {
        let mut count = 0;
        for class in 0..=100 {
            for method in 0..=130 {
                let ours = smallest(class, method);
                assert!(ours.is_none() || CLASSES.contains(&class));
                let probe = ours.clone().unwrap_or_else(|| {
                    let mut payload = [class.to_be_bytes(), method.to_be_bytes()].concat();
                    payload.resize(64, 0);
                    payload
                });
                let theirs = parse_class(&probe[..]).map(|(rest, parsed)| (rest.len(), parsed)).ok();
                match ours {
                    Some(payload) => {
                        count += 1;
                        let (rest, parsed) = theirs.unwrap_or_else(|| panic!("{class}.{method}"));
                        assert_eq!((rest, &parsed), (0, &parse_method(&payload).unwrap()));
                        assert_eq!(
                            (parsed.get_amqp_class_id(), parsed.get_amqp_method_id()),
                            (class, method)
                        );
                        for have in 0..payload.len() {
                            assert_eq!(
                                parse_method(&payload[..have]),
                                Err(MethodError::Truncated),
                                "{class}.{method}"
                            );
                        }
                        let longer = [&payload[..], &[0]].concat();
                        assert_eq!(parse_method(&longer), Err(MethodError::Trailing), "{class}.{method}");
                    }
                    None => assert!(theirs.is_none(), "{class}.{method}"),
                }
            }
        }
        assert_eq!(count, 66);
    }

    #[test]
    fn unknown_method_is_named() {
        assert_eq!(parse_method(b"\0\x0a\0\x63"), Err(MethodError::Unknown { class: 10, method: 99 }));
        assert_eq!(parse_method(b"\x12\x34\0\x01"), Err(MethodError::Unknown { class: 0x1234, method: 1 }));
    }

    #[test]
    fn tables_of_too_many_values_are_refused() {
        let mut contents = b"\x01aA".to_vec();
        contents.extend(u32::try_from(TABLE_VALUES_MAX).unwrap().to_be_bytes());
        contents.resize(contents.len() + TABLE_VALUES_MAX, b'V');
        let mut payload = method_payload(&declare(FieldTable::default()));
        payload.truncate(payload.len() - 4);
        payload.extend(u32::try_from(contents.len()).unwrap().to_be_bytes());
        payload.extend(contents);
        assert_eq!(parse_method(&payload), Err(MethodError::TooManyValues));
    }

    #[test]
    fn names_and_strings_must_be_utf8() {
        let mut payload = method_payload(&declare(FieldTable::default()));
        payload.truncate(payload.len() - 4);
        payload.extend(b"\0\0\0\x03\x01\xffV");
        assert_eq!(parse_method(&payload), Err(MethodError::Table(TableError::NameNotUtf8)));
        assert_eq!(parse_method(b"\0\x3c\0\x15\x01\xff"), Err(MethodError::NotUtf8));
    }

    #[test]
    fn prefetch_size_is_found_in_qos_only() {
        assert_eq!(prefetch_size(b"\0\x3c\0\x0a\0\0\x01\0\0\x05\0"), Some(256));
        assert_eq!(prefetch_size(b"\0\x3c\0\x0b\0\0\x01\0"), None);
    }

    #[test]
    fn a_frame_reads_back_and_is_the_one_amq_protocol_writes() {
        let close = AMQPClass::Connection(connection::AMQPMethod::Close(connection::Close {
            reply_code: 501,
            reply_text: short_string(&"\u{e9}".repeat(200)),
            class_id: 10,
            method_id: 11,
        }));
        for (channel, method) in
            [(0, close), (7, AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {})))]
        {
            let mut out = Vec::new();
            write_method(&mut out, channel, &method);
            let theirs = gen_frame(&AMQPFrame::Method(channel, method.clone()))(Vec::new().into()).unwrap();
            assert_eq!(out, theirs.into_inner().0);
            let Ok(Scan::Frame(Frame { payload, channel: found, end, .. })) = scan(&out, 4096) else {
                panic!()
            };
            assert_eq!((found, end), (channel, out.len()));
            assert_eq!(parse_method(&out[payload]), Ok(method));
        }
    }

    #[test]
    fn short_string_is_cut_on_a_character() {
        let text = format!("a{}", "\u{e9}".repeat(200));
        assert_eq!(short_string(&text).as_str().len(), 255);
        assert_eq!(short_string(&text[1..]).as_str().len(), 254);
        assert_eq!(short_string("x"), ShortString::from("x"));
    }

    proptest! {
        #[test]
        fn declarations_with_any_table_read_back(table in table()) {
            let method = declare(table);
            prop_assert_eq!(parse_method(&method_payload(&method)), Ok(method));
        }

        #[test]
        fn random_payloads_never_panic_and_agree_with_amq_protocol(
            class in prop::sample::select(CLASSES.to_vec()),
            method in 0u16..125,
            arguments in prop::collection::vec(prop_oneof![6 => Just(0u8), 2 => 1u8..4, 1 => any::<u8>()], 0..60)
        ) {
            let payload = [&class.to_be_bytes()[..], &method.to_be_bytes(), &arguments].concat();
            match (parse_method(&payload), parse_class(&payload[..])) {
                (Ok(ours), Ok(([], theirs))) => prop_assert_eq!(ours, theirs),
                (Ok(ours), theirs) => prop_assert!(false, "{ours:?} {theirs:?}"),
                (Err(MethodError::Trailing), Ok((rest, _))) => prop_assert!(!rest.is_empty()),
                (Err(MethodError::Table(TableError::UnknownType(b'U'))), Ok(_)) | (Err(_), Err(_)) => {}
                (Err(ours), Ok(theirs)) => prop_assert!(false, "{ours:?} {theirs:?}"),
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (parse_method(&bytes), prefetch_size(&bytes));
        }
    }
}
