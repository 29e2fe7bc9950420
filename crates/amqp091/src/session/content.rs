//! Assembly of a published message: method, header, then any number of body frames.

use std::ops::Range;

use bytes::Bytes;
use leveret_broker::expiration::expiration_ms;
use leveret_broker::limits::BODY_BYTES_CAP;
use leveret_broker::publish::Incoming;
use leveret_broker::reply_to::REPLY_TO;
use leveret_message::properties::{Essentials, essentials};
use leveret_message::{Message, MessageLayout, MessageMeta, ShortRange, ShortText};

use super::error::{AmqpError, MethodId, ReplyCode};
use crate::wire::content::{CLASS_BASIC, ContentHeader, content_header};
use crate::wire::publish::Publish;

/// Body frames longer than this are copied into the message as they arrive; shorter ones wait until complete.
pub(super) const STREAMED_BYTES: usize = 4096;

/// `basic.publish`.
pub(super) const PUBLISH: MethodId = MethodId(60, 40);

/// Bodies of at least this many bytes are stored apart instead of being copied behind the message's other parts.
pub(super) const APART_BYTES: usize = 32 * 1024;

/// Bytes allocated for a body when its header arrives; the rest grows with arrival, since declaring a size costs a
/// client nothing.
const FIRST_BODY_BYTES: usize = 64 * 1024;

/// A publish that arrives in pieces.
pub(super) struct Content {
    exchange: ShortText,
    routing_key: ShortText,
    mandatory: bool,
    header: Option<Header>,
    body: Vec<u8>,
}

struct Header {
    properties: Vec<u8>,
    body_size: usize,
}

/// A published message, decoded.
pub(super) struct Publication {
    pub(super) message: Message,
    pub(super) mandatory: bool,
    /// It has headers, which routing may need.
    pub(super) headers: bool,
    /// It requests direct replies.
    pub(super) asks_reply: bool,
}

impl From<Publication> for Incoming {
    fn from(publication: Publication) -> Self {
        let Publication { message, mandatory, headers, asks_reply: _ } = publication;
        Self { message, headers, mandatory }
    }
}

/// Checks on every publish beyond its framing.
pub(super) struct Rules<'a> {
    pub(super) message_bytes_max: u64,
    pub(super) user: &'a str,
    pub(super) may_impersonate: bool,
}

fn precondition(text: impl Into<String>) -> AmqpError {
    AmqpError::new(ReplyCode::PreconditionFailed, PUBLISH, text)
}

fn unexpected(text: &str) -> AmqpError {
    AmqpError::new(ReplyCode::UnexpectedFrame, PUBLISH, text)
}

/// Parses a content header's payload and checks everything independent of the publish.
pub(super) fn header_of(payload: &[u8]) -> Result<ContentHeader, AmqpError> {
    let header = content_header(payload)
        .map_err(|error| AmqpError::new(ReplyCode::FrameError, PUBLISH, error.to_string()))?;
    if header.class != CLASS_BASIC {
        return Err(unexpected(&format!(
            "expected content header for class {CLASS_BASIC}, got one for class {} instead",
            header.class
        )));
    }
    if header.body_size > BODY_BYTES_CAP {
        return Err(AmqpError::new(
            ReplyCode::FrameError,
            PUBLISH,
            format!("content body of {} bytes is larger than {BODY_BYTES_CAP}", header.body_size),
        ));
    }
    Ok(header)
}

fn check_size(size: u64, rules: &Rules<'_>) -> Result<usize, AmqpError> {
    if size > rules.message_bytes_max {
        return Err(precondition(format!(
            "message size {size} is larger than configured max size {}",
            rules.message_bytes_max
        )));
    }
    usize::try_from(size).map_err(|_| precondition("message does not fit into memory"))
}

fn meta_of(found: &Essentials<'_>, rules: &Rules<'_>) -> Result<MessageMeta, AmqpError> {
    let expiration_ms = match found.expiration {
        None => None,
        Some(text) => Some(expiration_ms(text).map_err(precondition)?),
    };
    if let Some(user) = found.user_id
        && user != rules.user.as_bytes()
        && !rules.may_impersonate
    {
        return Err(precondition(format!(
            "user_id property set to '{}' but authenticated user was '{}'",
            String::from_utf8_lossy(user),
            rules.user
        )));
    }
    Ok(MessageMeta {
        persistent: found.persistent,
        priority: found.priority,
        expiration_ms,
        ..MessageMeta::default()
    })
}

fn read_properties(raw: &[u8]) -> Result<Essentials<'_>, AmqpError> {
    essentials(raw).map_err(|error| AmqpError::new(ReplyCode::SyntaxError, PUBLISH, error.to_string()))
}

fn asks_reply(found: &Essentials<'_>) -> bool {
    found.reply_to.is_some_and(|name| name == REPLY_TO.as_bytes())
}

fn range(start: usize, within: &Range<usize>) -> Range<u32> {
    let at = |offset: usize| u32::try_from(start + offset).unwrap_or(u32::MAX);
    at(within.start)..at(within.end)
}

/// The range of a name; its length fits one octet.
fn name(start: usize, within: &Range<usize>) -> ShortRange {
    ShortRange {
        start: u32::try_from(start + within.start).unwrap_or(u32::MAX),
        count: u8::try_from(within.len()).unwrap_or(u8::MAX),
    }
}

/// A message whose frames are complete and contiguous in `bytes`: copied once.
pub(super) fn in_one_piece(
    bytes: &[u8],
    publish: &Publish<'_>,
    method_at: usize,
    header: &ContentHeader,
    header_at: usize,
    body: Range<usize>,
    rules: &Rules<'_>,
) -> Result<Publication, AmqpError> {
    check_size(header.body_size, rules)?;
    let properties = header_at + header.properties.start..header_at + header.properties.end;
    let found = read_properties(&bytes[properties.clone()])?;
    let meta = meta_of(&found, rules)?;
    let layout = MessageLayout {
        exchange: name(method_at, &publish.exchange_range()),
        routing_key: name(method_at, &publish.routing_key_range()),
        properties: range(0, &properties),
        body: range(0, &body),
    };
    let message = Message::from_parts(bytes, layout, meta, None);
    Ok(Publication {
        message,
        mandatory: publish.mandatory,
        headers: found.headers.is_some(),
        asks_reply: asks_reply(&found),
    })
}

impl Content {
    pub(super) fn new(publish: &Publish<'_>) -> Self {
        Self {
            // Their lengths came in one octet.
            exchange: ShortText::new(publish.exchange).unwrap_or_default(),
            routing_key: ShortText::new(publish.routing_key).unwrap_or_default(),
            mandatory: publish.mandatory,
            header: None,
            body: Vec::new(),
        }
    }

    /// Takes the header frame.
    pub(super) fn header(&mut self, payload: &[u8], rules: &Rules<'_>) -> Result<(), AmqpError> {
        if self.header.is_some() {
            return Err(unexpected("expected content body, got content header instead"));
        }
        let header = header_of(payload)?;
        let body_size = check_size(header.body_size, rules)?;
        let properties = payload[header.properties].to_vec();
        self.body = Vec::with_capacity(body_size.min(FIRST_BODY_BYTES));
        self.header = Some(Header { properties, body_size });
        Ok(())
    }

    /// Takes a piece of the body.
    pub(super) fn body(&mut self, piece: &[u8]) -> Result<(), AmqpError> {
        let Some(header) = &self.header else {
            return Err(unexpected("expected content header, got content body instead"));
        };
        if self.body.len() + piece.len() > header.body_size {
            return Err(AmqpError::new(
                ReplyCode::FrameError,
                PUBLISH,
                "content body is longer than its header declares",
            ));
        }
        let (len, capacity) = (self.body.len() + piece.len(), self.body.capacity());
        if len > capacity {
            // Never more than declared.
            let room = (capacity * 2).max(len).min(header.body_size);
            self.body.reserve_exact(room - self.body.len());
        }
        self.body.extend_from_slice(piece);
        Ok(())
    }

    /// Approximate memory in bytes.
    pub(super) fn memory(&self) -> usize {
        let properties = self.header.as_ref().map_or(0, |header| header.properties.len());
        size_of::<Self>() + properties + self.body.capacity()
    }

    /// Whether the content is complete.
    pub(super) fn is_complete(&self) -> bool {
        self.header.as_ref().is_some_and(|header| header.body_size == self.body.len())
    }

    /// The complete message.
    pub(super) fn finish(self, rules: &Rules<'_>) -> Result<Publication, AmqpError> {
        let properties = self.header.map(|header| header.properties).unwrap_or_default();
        let found = read_properties(&properties)?;
        let meta = meta_of(&found, rules)?;
        let (headers, asks_reply) = (found.headers.is_some(), asks_reply(&found));
        let message = if self.body.len() < APART_BYTES {
            Message::new(self.exchange.short(), self.routing_key.short(), &properties, &self.body, meta)
        } else {
            Message::with_large_body(
                self.exchange.short(),
                self.routing_key.short(),
                &properties,
                Bytes::from(self.body),
                meta,
            )
        };
        Ok(Publication { message, mandatory: self.mandatory, headers, asks_reply })
    }
}
