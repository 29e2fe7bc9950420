//! Counts input while measuring, by walking frames and parsing no more of them than is counted.

use leveret_amqp091::wire::frame::{FRAME_HEAD_BYTES, FrameKind, Scan, partial_body, scan};
use leveret_amqp091::wire::hot_in::{HotMethod, hot_method};
use leveret_amqp091::wire::method::{AMQPClass, basic, connection};

use super::error::PerfError;
use super::link::read_method;

/// Bytes of the stamp at the start of a body: nanoseconds since the Unix epoch, big-endian.
pub(super) const STAMP_BYTES: usize = 8;

/// A countable event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Event {
    /// A delivery whose body is complete.
    Delivered { channel: u16, delivery_tag: u64, stamp: Option<u64> },
    /// A message was returned as unroutable.
    Returned,
    /// A confirm.
    Confirmed { delivery_tag: u64, multiple: bool, positive: bool },
    /// The broker blocks publishers, or unblocks them.
    Blocked(bool),
}

/// Content arriving on a channel.
#[derive(Clone, Copy, Debug, Default)]
struct Content {
    /// 0 for a returned message.
    delivery_tag: u64,
    left: u64,
    started: bool,
    stamp: Option<u64>,
}

/// Walks frames across any number of reads.
#[derive(Debug, Default)]
pub(super) struct Walker {
    contents: Vec<Content>,
    /// Remaining bytes of a body frame, end octet included.
    skip: usize,
    /// The event due after them.
    after_skip: Option<Event>,
}

impl Walker {
    /// Walks `data`, reports events, and returns the number of bytes consumed.
    pub(super) fn walk(
        &mut self,
        data: &[u8],
        frame_max: u32,
        mut tell: impl FnMut(Event),
    ) -> Result<usize, PerfError> {
        let mut done = self.skip.min(data.len());
        self.skip -= done;
        if self.skip > 0 {
            return Ok(done);
        }
        if let Some(event) = self.after_skip.take() {
            tell(event);
        }
        loop {
            let rest = &data[done..];
            match scan(rest, frame_max).map_err(|why| PerfError::Protocol(why.to_string()))? {
                Scan::Frame(frame) => {
                    let payload = &rest[frame.payload];
                    let event = match frame.kind {
                        FrameKind::Body => self.body(frame.channel, payload, payload.len()),
                        FrameKind::Header => self.header(frame.channel, payload),
                        FrameKind::Method => self.method(frame.channel, payload)?,
                        FrameKind::Heartbeat => None,
                    };
                    if let Some(event) = event {
                        tell(event);
                    }
                    done += frame.end;
                }
                Scan::Incomplete { .. } => {
                    // Only the start of a large body is inspected; the rest need not fit the
                    // buffer.
                    if let Ok(Some(part)) = partial_body(rest, frame_max)
                        && part.available >= STAMP_BYTES
                    {
                        let size = part.size as usize;
                        self.after_skip = self.body(part.channel, &rest[FRAME_HEAD_BYTES..], size);
                        self.skip = size - part.available + 1;
                        done = data.len();
                    }
                    return Ok(done);
                }
            }
        }
    }

    #[inline]
    fn content(&mut self, channel: u16) -> &mut Content {
        let index = usize::from(channel);
        if index >= self.contents.len() {
            self.contents.resize(index + 1, Content::default());
        }
        &mut self.contents[index]
    }

    fn method(&mut self, channel: u16, payload: &[u8]) -> Result<Option<Event>, PerfError> {
        // basic.deliver: consumer tag, delivery tag
        if let [0, 60, 0, 60, tag_bytes, rest @ ..] = payload
            && let Some(delivery_tag) = rest.get(usize::from(*tag_bytes)..).and_then(<[u8]>::first_chunk)
        {
            let delivery_tag = u64::from_be_bytes(*delivery_tag);
            *self.content(channel) = Content { delivery_tag, ..Content::default() };
            return Ok(None);
        }
        match hot_method(payload) {
            Ok(HotMethod::Ack { delivery_tag, multiple }) => {
                return Ok(Some(Event::Confirmed { delivery_tag, multiple, positive: true }));
            }
            Ok(HotMethod::Nack { delivery_tag, multiple, .. }) => {
                return Ok(Some(Event::Confirmed { delivery_tag, multiple, positive: false }));
            }
            _ => {}
        }
        match read_method(payload)? {
            AMQPClass::Basic(basic::AMQPMethod::Return(_)) => {
                *self.content(channel) = Content::default();
                Ok(None)
            }
            AMQPClass::Basic(basic::AMQPMethod::Cancel(_)) => {
                Err(PerfError::Protocol("it cancelled a consumer: is the queue gone?".into()))
            }
            AMQPClass::Connection(connection::AMQPMethod::Blocked(_)) => Ok(Some(Event::Blocked(true))),
            AMQPClass::Connection(connection::AMQPMethod::Unblocked(_)) => Ok(Some(Event::Blocked(false))),
            _ => Ok(None),
        }
    }

    fn header(&mut self, channel: u16, payload: &[u8]) -> Option<Event> {
        let size = payload.get(4..).and_then(<[u8]>::first_chunk).map_or(0, |size| u64::from_be_bytes(*size));
        let content = self.content(channel);
        content.left = size;
        (size == 0).then(|| content.arrived(channel))
    }

    /// Handles a body frame of `size` bytes, of which `available` may be only the first.
    #[inline]
    fn body(&mut self, channel: u16, available: &[u8], size: usize) -> Option<Event> {
        let content = self.content(channel);
        if !content.started {
            content.started = true;
            content.stamp = available.first_chunk().map(|stamp| u64::from_be_bytes(*stamp));
        }
        content.left = content.left.saturating_sub(size as u64);
        (content.left == 0).then(|| content.arrived(channel))
    }
}

impl Content {
    fn arrived(&self, channel: u16) -> Event {
        match self.delivery_tag {
            0 => Event::Returned,
            delivery_tag => Event::Delivered { channel, delivery_tag, stamp: self.stamp },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use leveret_amqp091::wire::control::write_method;
    use leveret_amqp091::wire::hot_out::{
        self, Content as Head, Deliver, Return, ack, deliver, nack, put_body, return_head,
    };
    use proptest::prelude::*;

    const FRAME_MAX: u32 = 4096;

    fn delivery(out: &mut Vec<u8>, channel: u16, delivery_tag: u64, body: &[u8]) {
        let method = Deliver {
            consumer_tag: b"ct",
            delivery_tag,
            redelivered: false,
            exchange: b"",
            routing_key: b"q",
        };
        deliver(out, channel, &method, b"", body, FRAME_MAX);
    }

    /// Feeds `input` in pieces as a socket would, and returns all events.
    fn walk(input: &[u8], pieces: &[usize]) -> Vec<Event> {
        let (mut walker, mut events, mut buffer) = (Walker::default(), Vec::new(), Vec::new());
        let mut rest = input;
        let mut sizes = pieces.iter().copied().cycle();
        while !rest.is_empty() {
            let size = sizes.next().unwrap_or(rest.len()).clamp(1, rest.len());
            buffer.extend(&rest[..size]);
            rest = &rest[size..];
            let done = walker.walk(&buffer, FRAME_MAX, |event| events.push(event)).unwrap();
            buffer.drain(..done);
        }
        assert!(buffer.is_empty());
        events
    }

    #[test]
    fn returned_message_is_not_a_delivery() {
        let mut input = Vec::new();
        let method = Return { reply_code: 312, reply_text: b"NO_ROUTE", exchange: b"", routing_key: b"q" };
        return_head(&mut input, 1, &method, &Head { properties: b"", body_size: 3 });
        put_body(&mut input, 1, b"abc", FRAME_MAX);
        input.extend(hot_out::HEARTBEAT);
        ack(&mut input, 1, 5, true);
        nack(&mut input, 1, 6, false, false);
        let want = [
            Event::Returned,
            Event::Confirmed { delivery_tag: 5, multiple: true, positive: true },
            Event::Confirmed { delivery_tag: 6, multiple: false, positive: false },
        ];
        assert_eq!(walk(&input, &[]), want);
    }

    #[test]
    fn close_is_an_error_with_the_brokers_words() {
        let mut input = Vec::new();
        let close = leveret_amqp091::wire::method::channel::Close {
            reply_code: 404,
            reply_text: "NOT_FOUND - no exchange 'x'".into(),
            class_id: 60,
            method_id: 40,
        };
        write_method(
            &mut input,
            1,
            &AMQPClass::Channel(leveret_amqp091::wire::method::channel::AMQPMethod::Close(close)),
        );
        let error = Walker::default().walk(&input, FRAME_MAX, |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "the broker closed the channel: 404 NOT_FOUND - no exchange 'x'");
    }

    proptest! {
        #[test]
        fn every_delivery_is_told_once_however_it_is_cut(
            messages in prop::collection::vec((1u16..4, prop_oneof![0usize..40, 4000usize..9000]), 1..12),
            pieces in prop::collection::vec(prop_oneof![1usize..30, 500usize..5000], 1..6)
        ) {
            let (mut input, mut want) = (Vec::new(), Vec::new());
            for (index, (channel, size)) in messages.into_iter().enumerate() {
                let delivery_tag = index as u64 + 1;
                let body = [&(delivery_tag * 1000).to_be_bytes()[..], &vec![0; size]].concat();
                let body = if size < 3 { &body[..size] } else { &body[..] };
                delivery(&mut input, channel, delivery_tag, body);
                let stamp = (body.len() >= STAMP_BYTES).then_some(delivery_tag * 1000);
                want.push(Event::Delivered { channel, delivery_tag, stamp });
            }
            prop_assert_eq!(walk(&input, &pieces), want);
        }
    }
}
