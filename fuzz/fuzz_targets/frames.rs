//! A whole connection's input, processed like a session: opening, then frames, methods, contents.
#![no_main]

use leveret_amqp091::wire::content::content_header;
use leveret_amqp091::wire::control::parse_method;
use leveret_amqp091::wire::frame::{FrameKind, Scan, partial_body, scan};
use leveret_amqp091::wire::hot_in::{HotMethod, hot_method};
use leveret_amqp091::wire::opening::{Opening, detect};
use leveret_message::properties::essentials;
use libfuzzer_sys::fuzz_target;

const FRAME_MAX: u32 = 4096;

fuzz_target!(|input: &[u8]| {
    let mut rest = if detect(input) == Opening::Accepted { &input[8..] } else { input };
    loop {
        match scan(rest, FRAME_MAX) {
            Ok(Scan::Frame(frame)) => {
                assert!(frame.payload.end < frame.end && frame.end <= rest.len());
                assert!(partial_body(rest, FRAME_MAX).unwrap().is_none());
                let payload = &rest[frame.payload];
                match frame.kind {
                    FrameKind::Method => match hot_method(payload) {
                        Ok(HotMethod::Publish(publish)) => {
                            assert_eq!(&payload[publish.exchange_range()], publish.exchange.as_bytes());
                            assert_eq!(&payload[publish.routing_key_range()], publish.routing_key.as_bytes());
                            assert!(parse_method(payload).is_ok());
                        }
                        Ok(HotMethod::Other) => {
                            let _ = parse_method(payload);
                        }
                        Ok(_) => assert!(parse_method(payload).is_ok()),
                        Err(_) => assert!(parse_method(payload).is_err()),
                    },
                    FrameKind::Header => {
                        if let Ok(header) = content_header(payload) {
                            let _ = essentials(&payload[header.properties]);
                        }
                    }
                    FrameKind::Body | FrameKind::Heartbeat => {}
                }
                rest = &rest[frame.end..];
            }
            Ok(Scan::Incomplete { need }) => {
                assert!(need > rest.len());
                if let Ok(Some(part)) = partial_body(rest, FRAME_MAX) {
                    assert!(part.available <= part.size as usize);
                }
                break;
            }
            Err(_) => break,
        }
    }
});
