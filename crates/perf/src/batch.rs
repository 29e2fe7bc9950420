//! Publishes encoded once and sent many times: consecutive messages in one buffer, with the offsets of their
//! stamps.

use std::ops::Range;

use bytes::BufMut;
use leveret_amqp091::wire::content::CLASS_BASIC;
use leveret_amqp091::wire::control::write_method;
use leveret_amqp091::wire::frame::{FRAME_END, FRAME_HEAD_BYTES, FrameKind};
use leveret_amqp091::wire::hot_out::put_body;
use leveret_amqp091::wire::method::{AMQPClass, AMQPValue, FieldTable, basic};
use leveret_message::properties::PropertiesEdit;
use leveret_message::table::edit::table_contents;

use super::deliveries::STAMP_BYTES;
use super::link::name;
use super::settings::{ExchangeKind, Settings};

/// Minimum bytes per write, if that many messages may be sent. Fits a second-level cache twice.
const WRITE_BYTES: usize = 96 * 1024;

/// Distinct routing keys in a batch, at most.
const KEYS_MAX: usize = 1024;

/// The publishers' channel.
pub(super) const CHANNEL: u16 = 1;

pub(super) struct Batch {
    bytes: Vec<u8>,
    /// Start of each message, and the end of the last.
    starts: Vec<usize>,
    /// Offset of each message's stamp, relative to its body frames.
    bodies: Vec<usize>,
    stamped: bool,
}

impl Batch {
    /// For publisher number `index`.
    pub(super) fn new(settings: &Settings, index: usize, frame_max: u32) -> Self {
        let mut batch = Self { bytes: Vec::new(), starts: vec![0], bodies: Vec::new(), stamped: false };
        batch.stamped = settings.size >= STAMP_BYTES;
        let body = vec![0; settings.size];
        let keys = match settings.exchange {
            ExchangeKind::Default | ExchangeKind::Fanout => 1,
            _ => settings.bindings.min(KEYS_MAX),
        };
        let stride = settings.bindings / keys;
        let mut turn = index;
        while batch.bodies.len() < keys || batch.bytes.len() < WRITE_BYTES {
            let binding = (turn % keys) * stride;
            batch.push(settings, index, binding, &body, frame_max);
            turn += 1;
            // A batch that is large enough also ends on a complete cycle of keys.
            if batch.bytes.len() >= 64 * WRITE_BYTES {
                break;
            }
        }
        batch
    }

    fn push(&mut self, settings: &Settings, index: usize, binding: usize, body: &[u8], frame_max: u32) {
        let routing_key = match settings.exchange {
            ExchangeKind::Default => settings.queue(index % settings.queues),
            _ => settings.routing_key(binding),
        };
        let publish = AMQPClass::Basic(basic::AMQPMethod::Publish(basic::Publish {
            exchange: name(&settings.exchange_name()),
            routing_key: name(&routing_key),
            mandatory: false,
            immediate: false,
        }));
        write_method(&mut self.bytes, CHANNEL, &publish);
        put_header(&mut self.bytes, &properties(settings, binding), body.len());
        self.bodies.push(self.bytes.len());
        put_body(&mut self.bytes, CHANNEL, body, frame_max);
        self.starts.push(self.bytes.len());
    }

    /// Number of messages.
    pub(super) fn len(&self) -> usize {
        self.bodies.len()
    }

    /// The messages from number `from` on to send in one write, if `wanted` may be sent.
    pub(super) fn run(&self, from: usize, wanted: u64) -> Range<usize> {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX).min(self.len() - from);
        let limit = self.starts[from] + WRITE_BYTES;
        let fitting = self.starts[from + 1..].partition_point(|end| *end <= limit).max(1);
        from..from + wanted.min(fitting)
    }

    /// Writes `time` into the body of message `index`, if it is long enough.
    pub(super) fn stamp(&mut self, index: usize, time: u64) {
        if self.stamped {
            let place = self.bodies[index] + FRAME_HEAD_BYTES;
            self.bytes[place..place + STAMP_BYTES].copy_from_slice(&time.to_be_bytes());
        }
    }

    pub(super) fn bytes(&self, messages: Range<usize>) -> &[u8] {
        &self.bytes[self.starts[messages.start]..self.starts[messages.end]]
    }
}

fn properties(settings: &Settings, binding: usize) -> Vec<u8> {
    let mut edit = PropertiesEdit::default();
    if settings.persistent {
        edit.set_delivery_mode(2);
    }
    if settings.exchange == ExchangeKind::Headers {
        edit.set_headers(&table_contents(&header_of(binding)));
    }
    edit.finish()
}

/// The header by which a headers exchange selects the binding with this number.
pub(super) fn header_of(binding: usize) -> FieldTable {
    let mut table = FieldTable::default();
    table.insert("region".into(), AMQPValue::LongString("eu".into()));
    table.insert("number".into(), AMQPValue::LongString(binding.to_string().into()));
    table
}

fn put_header(out: &mut Vec<u8>, properties: &[u8], body_size: usize) {
    out.put_u8(FrameKind::Header.octet());
    out.put_u16(CHANNEL);
    out.put_u32(u32::try_from(12 + properties.len()).unwrap_or(u32::MAX));
    out.put_u16(CLASS_BASIC);
    out.put_u16(0);
    out.put_u64(body_size as u64);
    out.put_slice(properties);
    out.put_u8(FRAME_END);
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_amqp091::wire::content::content_header;
    use leveret_amqp091::wire::frame::{Scan, scan};
    use leveret_amqp091::wire::hot_in::{HotMethod, hot_method};
    use leveret_message::properties::essentials;
    use std::collections::BTreeSet;

    /// Every message's routing key, body size, and first bytes.
    fn read(batch: &Batch) -> Vec<(String, u64, Vec<u8>)> {
        let (mut rest, mut messages) = (batch.bytes(0..batch.len()), Vec::new());
        while let Ok(Scan::Frame(frame)) = scan(rest, 4096) {
            let payload = &rest[frame.payload];
            match frame.kind {
                FrameKind::Method => {
                    let Ok(HotMethod::Publish(publish)) = hot_method(payload) else { panic!() };
                    messages.push((publish.routing_key.to_owned(), 0, Vec::new()));
                }
                FrameKind::Header => {
                    let header = content_header(payload).unwrap();
                    essentials(&payload[header.properties]).unwrap();
                    messages.last_mut().unwrap().1 = header.body_size;
                }
                _ => messages.last_mut().unwrap().2.extend(payload),
            }
            rest = &rest[frame.end..];
        }
        assert!(rest.is_empty());
        messages
    }

    #[test]
    fn a_batch_is_whole_messages_with_their_stamps() {
        for size in [0, 7, 8, 1024, 10_000, 300_000] {
            let mut batch = Batch::new(&Settings { size, ..Settings::default() }, 0, 4096);
            for index in 0..batch.len() {
                batch.stamp(index, 77);
            }
            for (key, declared, body) in read(&batch) {
                assert_eq!((key.as_str(), declared, body.len()), ("leveret-perf-0", size as u64, size));
                assert_eq!(body.starts_with(&77u64.to_be_bytes()), size >= 8, "{size}");
            }
        }
    }

    #[test]
    fn keys_take_turns_and_spread_over_all_bindings() {
        let settings =
            Settings { exchange: ExchangeKind::Topic, bindings: 100_000, size: 256, ..Settings::default() };
        let keys: BTreeSet<_> =
            read(&Batch::new(&settings, 0, 4096)).into_iter().map(|message| message.0).collect();
        assert_eq!(keys.len(), KEYS_MAX);
        assert!(keys.contains("eu.0.orders.created") && keys.contains("eu.99231.orders.created"));
    }

    #[test]
    fn a_run_is_bounded_by_what_may_go_and_by_one_write() {
        let batch = Batch::new(&Settings { size: 1024, ..Settings::default() }, 0, 4096);
        assert_eq!(batch.run(3, 5), 3..8);
        assert_eq!(batch.run(0, u64::MAX).start, 0);
        assert!(batch.bytes(batch.run(0, u64::MAX)).len() <= WRITE_BYTES);
        assert_eq!(batch.run(batch.len() - 1, 9), batch.len() - 1..batch.len());
        let large = Batch::new(&Settings { size: 1 << 20, ..Settings::default() }, 0, 131_072);
        assert_eq!(large.run(0, 5), 0..1);
    }
}
