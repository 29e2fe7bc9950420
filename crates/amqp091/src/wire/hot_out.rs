//! Frames sent once per message, appended to a buffer without allocating: deliver, get-ok, return, content header,
//! body, ack, nack, heartbeat.
//!
//! A delivery is one run of bytes: method frame, header frame with the raw properties, body frames of at most
//! frame-max. For a small message [`deliver`] appends all of it; for a large body [`deliver_head`] is followed by
//! the frames of [`BodyFrames`], so that the body's own memory can be written with a vectored write.
//! Names longer than 255 bytes cannot get this far; if one does it is truncated, which keeps frames well formed.

use std::ops::Range;

use bytes::BufMut;

use super::content::CLASS_BASIC;
use super::frame::{FRAME_END, FRAME_OVERHEAD_BYTES, FrameKind};

/// A heartbeat frame.
pub const HEARTBEAT: [u8; 8] = [FrameKind::Heartbeat.octet(), 0, 0, 0, 0, 0, 0, FRAME_END];

/// Content on the wire: raw properties and body size.
#[derive(Clone, Copy, Debug)]
pub struct Content<'a> {
    /// Flags and properties as received; empty for none.
    pub properties: &'a [u8],
    /// Bytes of body.
    pub body_size: u64,
}

/// The arguments of basic.deliver.
#[derive(Clone, Copy, Debug)]
pub struct Deliver<'a> {
    /// At most 255 bytes.
    pub consumer_tag: &'a [u8],
    /// Per channel, from 1.
    pub delivery_tag: u64,
    /// May have been delivered before.
    pub redelivered: bool,
    /// At most 255 bytes.
    pub exchange: &'a [u8],
    /// At most 255 bytes.
    pub routing_key: &'a [u8],
}

/// The arguments of basic.get-ok.
#[derive(Clone, Copy, Debug)]
pub struct GetOk<'a> {
    /// Per channel, from 1.
    pub delivery_tag: u64,
    /// May have been delivered before.
    pub redelivered: bool,
    /// At most 255 bytes.
    pub exchange: &'a [u8],
    /// At most 255 bytes.
    pub routing_key: &'a [u8],
    /// Messages left in the queue.
    pub message_count: u32,
}

/// The arguments of basic.return.
#[derive(Clone, Copy, Debug)]
pub struct Return<'a> {
    /// 312 for `NO_ROUTE`.
    pub reply_code: u16,
    /// At most 255 bytes.
    pub reply_text: &'a [u8],
    /// At most 255 bytes.
    pub exchange: &'a [u8],
    /// At most 255 bytes.
    pub routing_key: &'a [u8],
}

const DELIVER: [u8; 4] = [0, 60, 0, 60];
const GET_OK: [u8; 4] = [0, 60, 0, 71];
const RETURN: [u8; 4] = [0, 60, 0, 50];
const ACK: [u8; 4] = [0, 60, 0, 80];
const NACK: [u8; 4] = [0, 60, 0, 120];

fn short(text: &[u8]) -> (u8, &[u8]) {
    let count = u8::try_from(text.len()).unwrap_or(u8::MAX);
    (count, &text[..count.into()])
}

/// Kind, channel, payload size, and the method's class and id, in one copy.
#[inline]
fn put_method_head(out: &mut impl BufMut, channel: u16, payload: u32, id: [u8; 4]) {
    let mut head = [FrameKind::Method.octet(), 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    head[1..3].copy_from_slice(&channel.to_be_bytes());
    head[3..7].copy_from_slice(&payload.to_be_bytes());
    head[7..].copy_from_slice(&id);
    out.put_slice(&head);
}

/// Appends the method frame and the header frame of a delivery.
#[inline]
pub fn deliver_head(out: &mut impl BufMut, channel: u16, method: &Deliver<'_>, content: &Content<'_>) {
    let (tag_count, tag) = short(method.consumer_tag);
    let (exchange_count, exchange) = short(method.exchange);
    let (key_count, key) = short(method.routing_key);
    let names = u32::from(tag_count) + u32::from(exchange_count) + u32::from(key_count);
    put_method_head(out, channel, 4 + 1 + 8 + 1 + 1 + 1 + names, DELIVER);
    out.put_u8(tag_count);
    out.put_slice(tag);
    let mut middle = [0; 10];
    middle[..8].copy_from_slice(&method.delivery_tag.to_be_bytes());
    middle[8] = method.redelivered.into();
    middle[9] = exchange_count;
    out.put_slice(&middle);
    out.put_slice(exchange);
    out.put_u8(key_count);
    out.put_slice(key);
    end_and_header(out, channel, content);
}

/// Appends a whole delivery, the body copied. For bodies that are cheaper to copy than to reference.
#[inline]
pub fn deliver(
    out: &mut impl BufMut,
    channel: u16,
    method: &Deliver<'_>,
    properties: &[u8],
    body: &[u8],
    frame_max: u32,
) {
    deliver_head(out, channel, method, &Content { properties, body_size: body.len() as u64 });
    put_body(out, channel, body, frame_max);
}

/// Appends the method frame and the header frame of basic.get-ok.
pub fn get_ok_head(out: &mut impl BufMut, channel: u16, method: &GetOk<'_>, content: &Content<'_>) {
    let (exchange_count, exchange) = short(method.exchange);
    let (key_count, key) = short(method.routing_key);
    let names = u32::from(exchange_count) + u32::from(key_count);
    put_method_head(out, channel, 4 + 8 + 1 + 1 + 1 + 4 + names, GET_OK);
    out.put_u64(method.delivery_tag);
    out.put_u8(method.redelivered.into());
    out.put_u8(exchange_count);
    out.put_slice(exchange);
    out.put_u8(key_count);
    out.put_slice(key);
    out.put_u32(method.message_count);
    end_and_header(out, channel, content);
}

/// Appends the method frame and the header frame of a returned message.
pub fn return_head(out: &mut impl BufMut, channel: u16, method: &Return<'_>, content: &Content<'_>) {
    let (text_count, text) = short(method.reply_text);
    let (exchange_count, exchange) = short(method.exchange);
    let (key_count, key) = short(method.routing_key);
    let names = u32::from(text_count) + u32::from(exchange_count) + u32::from(key_count);
    put_method_head(out, channel, 4 + 2 + 1 + 1 + 1 + names, RETURN);
    out.put_u16(method.reply_code);
    out.put_u8(text_count);
    out.put_slice(text);
    out.put_u8(exchange_count);
    out.put_slice(exchange);
    out.put_u8(key_count);
    out.put_slice(key);
    end_and_header(out, channel, content);
}

/// Ends the method's frame and appends the content header's, the boundary in one copy.
#[inline]
fn end_and_header(out: &mut impl BufMut, channel: u16, content: &Content<'_>) {
    // Empty properties are encoded as flags that announce nothing.
    let properties = if content.properties.is_empty() { &[0, 0] } else { content.properties };
    let payload = u32::try_from(12 + properties.len()).unwrap_or(u32::MAX);
    let mut seam = [0; 20];
    seam[0] = FRAME_END;
    seam[1] = FrameKind::Header.octet();
    seam[2..4].copy_from_slice(&channel.to_be_bytes());
    seam[4..8].copy_from_slice(&payload.to_be_bytes());
    seam[8..10].copy_from_slice(&CLASS_BASIC.to_be_bytes());
    seam[12..].copy_from_slice(&content.body_size.to_be_bytes());
    out.put_slice(&seam);
    out.put_slice(properties);
    out.put_u8(FRAME_END);
}

/// Appends a body as frames of at most `frame_max` bytes each. An empty body has no frames.
#[inline]
pub fn put_body(out: &mut impl BufMut, channel: u16, body: &[u8], frame_max: u32) {
    for part in BodyFrames::new(channel, body.len(), frame_max) {
        out.put_slice(&part.head);
        out.put_slice(&body[part.range]);
        out.put_u8(FRAME_END);
    }
}

/// The head of a body frame with a payload of `size` bytes. [`FRAME_END`] follows the payload.
#[inline]
pub fn body_head(channel: u16, size: u32) -> [u8; 7] {
    let mut head = [FrameKind::Body.octet(), 0, 0, 0, 0, 0, 0];
    head[1..3].copy_from_slice(&channel.to_be_bytes());
    head[3..].copy_from_slice(&size.to_be_bytes());
    head
}

/// One frame of a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BodyFrame {
    /// Precedes the payload.
    pub head: [u8; 7],
    /// The payload's range in the body. [`FRAME_END`] follows it.
    pub range: Range<usize>,
}

/// Splits a body into frames.
#[derive(Clone, Debug)]
pub struct BodyFrames {
    channel: u16,
    body_size: usize,
    position: usize,
    payload_max: u32,
}

impl BodyFrames {
    /// For a body of `body_size` bytes; `frame_max` is the negotiated value, in bytes, overhead included.
    #[inline]
    pub fn new(channel: u16, body_size: usize, frame_max: u32) -> Self {
        // At least one byte each, so that iteration ends even with a nonsensical frame-max.
        Self {
            channel,
            body_size,
            position: 0,
            payload_max: frame_max.saturating_sub(FRAME_OVERHEAD_BYTES).max(1),
        }
    }
}

impl Iterator for BodyFrames {
    type Item = BodyFrame;

    #[inline]
    fn next(&mut self) -> Option<BodyFrame> {
        let left = self.body_size - self.position;
        if left == 0 {
            return None;
        }
        let size = u32::try_from(left).unwrap_or(u32::MAX).min(self.payload_max);
        let start = self.position;
        self.position += size as usize;
        Some(BodyFrame { head: body_head(self.channel, size), range: start..self.position })
    }
}

/// Appends basic.ack: a confirm, or a consumer's ack.
#[inline]
pub fn ack(out: &mut impl BufMut, channel: u16, delivery_tag: u64, multiple: bool) {
    put_settle(out, channel, ACK, delivery_tag, multiple.into());
}

/// Appends basic.nack with its `multiple` and `requeue` bits. A broker's nack has `requeue` unset.
#[inline]
pub fn nack(out: &mut impl BufMut, channel: u16, delivery_tag: u64, multiple: bool, requeue: bool) {
    put_settle(out, channel, NACK, delivery_tag, u8::from(multiple) | u8::from(requeue) << 1);
}

#[inline]
fn put_settle(out: &mut impl BufMut, channel: u16, id: [u8; 4], delivery_tag: u64, bits: u8) {
    let mut frame =
        [FrameKind::Method.octet(), 0, 0, 0, 0, 0, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, FRAME_END];
    frame[1..3].copy_from_slice(&channel.to_be_bytes());
    frame[7..11].copy_from_slice(&id);
    frame[11..19].copy_from_slice(&delivery_tag.to_be_bytes());
    frame[19] = bits;
    out.put_slice(&frame);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::method::{AMQPClass, ShortString, basic};
    use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, gen_frame};
    use leveret_message::testing::{properties, raw};
    use proptest::prelude::*;

    fn theirs(frames: &[AMQPFrame]) -> Vec<u8> {
        frames.iter().fold(Vec::new(), |out, frame| gen_frame(frame)(out.into()).unwrap().into_inner().0)
    }

    fn header(channel: u16, body_size: u64, properties: basic::AMQPProperties) -> AMQPFrame {
        AMQPFrame::Header(channel, AMQPContentHeader { class_id: 60, body_size, properties })
    }

    fn name() -> impl Strategy<Value = String> {
        "[a-z.]{0,40}"
    }

    proptest! {
        #[test]
        fn a_delivery_is_what_amq_protocol_writes(
            channel: u16, (tag, exchange, key) in (name(), name(), name()), delivery_tag: u64, redelivered: bool,
            properties in properties(), body in prop::collection::vec(any::<u8>(), 0..100), frame_max in 9u32..60
        ) {
            let mut out = Vec::new();
            let method = Deliver {
                consumer_tag: tag.as_bytes(), delivery_tag, redelivered,
                exchange: exchange.as_bytes(), routing_key: key.as_bytes(),
            };
            deliver(&mut out, channel, &method, &raw(&properties), &body, frame_max);
            let mut frames = vec![
                AMQPFrame::Method(channel, AMQPClass::Basic(basic::AMQPMethod::Deliver(basic::Deliver {
                    consumer_tag: ShortString::from(tag), delivery_tag, redelivered,
                    exchange: exchange.into(), routing_key: key.into(),
                }))),
                header(channel, body.len() as u64, properties),
            ];
            for part in body.chunks(frame_max as usize - 8) {
                frames.push(AMQPFrame::Body(channel, part.to_vec()));
            }
            prop_assert_eq!(out, theirs(&frames));
        }

        #[test]
        fn get_ok_and_return_are_what_amq_protocol_writes(
            channel: u16, (text, exchange, key) in (name(), name(), name()), delivery_tag: u64, redelivered: bool,
            message_count: u32, reply_code: u16, body_size: u64, properties in properties()
        ) {
            let raw = raw(&properties);
            let content = Content { properties: &raw, body_size };
            let mut out = Vec::new();
            get_ok_head(&mut out, channel, &GetOk {
                delivery_tag, redelivered, exchange: exchange.as_bytes(), routing_key: key.as_bytes(), message_count,
            }, &content);
            return_head(&mut out, channel, &Return {
                reply_code, reply_text: text.as_bytes(), exchange: exchange.as_bytes(), routing_key: key.as_bytes(),
            }, &content);
            let get_ok = basic::GetOk {
                delivery_tag, redelivered, exchange: exchange.as_str().into(), routing_key: key.as_str().into(),
                message_count,
            };
            let returned = basic::Return {
                reply_code, reply_text: text.into(), exchange: exchange.into(), routing_key: key.into(),
            };
            let frames = [
                AMQPFrame::Method(channel, AMQPClass::Basic(basic::AMQPMethod::GetOk(get_ok))),
                header(channel, body_size, properties.clone()),
                AMQPFrame::Method(channel, AMQPClass::Basic(basic::AMQPMethod::Return(returned))),
                header(channel, body_size, properties),
            ];
            prop_assert_eq!(out, theirs(&frames));
        }

        #[test]
        fn acks_and_nacks_are_what_amq_protocol_writes(
            channel: u16, delivery_tag: u64, multiple: bool, requeue: bool
        ) {
            let mut out = Vec::new();
            ack(&mut out, channel, delivery_tag, multiple);
            nack(&mut out, channel, delivery_tag, multiple, requeue);
            let frames = [
                basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple }),
                basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue }),
            ].map(|method| AMQPFrame::Method(channel, AMQPClass::Basic(method)));
            prop_assert_eq!(out, theirs(&frames));
        }
    }

    #[test]
    fn heartbeat_is_what_amq_protocol_writes() {
        assert_eq!(HEARTBEAT[..], theirs(&[AMQPFrame::Heartbeat]));
    }

    #[test]
    fn absent_properties_travel_as_empty_flags() {
        let mut out = Vec::new();
        end_and_header(&mut out, 1, &Content { properties: b"", body_size: 0 });
        assert_eq!(out[1..], theirs(&[header(1, 0, basic::AMQPProperties::default())]));
    }

    #[test]
    fn a_body_is_cut_at_frame_max_less_overhead() {
        for (body_size, want) in [(0, &[][..]), (4088, &[(0, 4088)]), (4089, &[(0, 4088), (4088, 4089)])] {
            let parts = BodyFrames::new(1, body_size, 4096).map(|part| (part.range.start, part.range.end));
            assert_eq!(parts.collect::<Vec<_>>(), want);
        }
        assert_eq!(BodyFrames::new(1, 3, 0).count(), 3);
    }
}
