//! One published message: one allocation, shared by every queue that holds it.

use std::fmt;
use std::ops::Range;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use bytes::Bytes;
use triomphe::ThinArc;

use crate::short::{Short, ShortRange};

/// What queues and the store need to know of a message; read once from its properties.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MessageMeta {
    /// `delivery_mode` was 2.
    pub persistent: bool,
    /// The `priority` property, if present. Queues clamp it to their own maximum.
    pub priority: Option<u8>,
    /// The `expiration` property in milliseconds, already validated.
    pub expiration_ms: Option<u64>,
    /// Dead-lettered by this broker: the `x-death` header is the broker's own, not a publisher's.
    pub died: bool,
    /// It may have been delivered from here before an unclean end undid its move here, so its first delivery is
    /// marked as redelivered.
    pub redelivered: bool,
}

/// Offsets of a message's parts in the bytes passed to [`Message::from_parts`].
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct MessageLayout {
    /// The exchange's name, UTF-8.
    pub exchange: ShortRange,
    /// The routing key, UTF-8.
    pub routing_key: ShortRange,
    /// The raw basic properties (flags and values) as received.
    pub properties: Range<u32>,
    /// The body; empty if the body has its own buffer.
    pub body: Range<u32>,
}

struct Head {
    /// See [`Message::written_at`].
    written_at: AtomicU64,
    meta: MessageMeta,
    large_body: Option<Bytes>,
    properties: Range<u32>,
    body: Range<u32>,
    exchange_at: u32,
    routing_key_at: u32,
    exchange_len: u8,
    routing_key_len: u8,
    /// See [`Message::settle_unless_taken`].
    log_state: AtomicU8,
}

const _: () = assert!(size_of::<Head>() <= 96, "every message in memory has one");

const LOG_PENDING: u8 = 0;
const LOG_TAKEN: u8 = 1;
const LOG_CANCELLED: u8 = 2;

/// A message: exchange, routing key, raw properties and body. Cloning shares it.
///
/// A small message is one allocation, copied in one piece from the socket's buffer, with the frame heads between the
/// parts left in place (some 40 bytes). A large body, which spans many frames, is assembled separately and kept as
/// [`Bytes`].
#[derive(Clone)]
pub struct Message(ThinArc<Head, u8>);

impl Message {
    /// Copies `bytes`, in which `layout` locates each part. `large_body`, if given, is the body and `layout.body` is
    /// ignored.
    ///
    /// # Panics
    /// If a range of `layout` is outside `bytes`: a bug in the decoder, which makes both.
    pub fn from_parts(
        bytes: &[u8],
        layout: MessageLayout,
        meta: MessageMeta,
        large_body: Option<Bytes>,
    ) -> Self {
        let MessageLayout { exchange, routing_key, properties, body } = layout;
        let inside = |range: &Range<u32>| range.start <= range.end && range.end as usize <= bytes.len();
        let names_end = exchange.end().max(routing_key.end()) as usize;
        assert!(names_end <= bytes.len() && inside(&properties) && inside(&body), "layout");
        let head = Head {
            written_at: AtomicU64::new(0),
            meta,
            large_body,
            properties,
            body,
            exchange_at: exchange.start,
            routing_key_at: routing_key.start,
            exchange_len: exchange.count,
            routing_key_len: routing_key.count,
            log_state: AtomicU8::new(LOG_PENDING),
        };
        Self(ThinArc::from_header_and_slice(head, bytes))
    }

    /// Builds a message from separate parts. For messages created by the broker itself (dead letters, tests); the
    /// publish path uses [`Message::from_parts`].
    ///
    /// # Panics
    /// If the parts together are longer than 4 GiB.
    pub fn new(
        exchange: Short<'_>,
        routing_key: Short<'_>,
        properties: &[u8],
        body: &[u8],
        meta: MessageMeta,
    ) -> Self {
        Self::assemble([exchange, routing_key], [properties, body], meta, None)
    }

    /// As [`Message::new`], with the body kept in its own buffer instead of being copied.
    ///
    /// # Panics
    /// If the other parts together are longer than 4 GiB.
    pub fn with_large_body(
        exchange: Short<'_>,
        routing_key: Short<'_>,
        properties: &[u8],
        body: Bytes,
        meta: MessageMeta,
    ) -> Self {
        Self::assemble([exchange, routing_key], [properties, b""], meta, Some(body))
    }

    /// The same message with other properties. A body in its own buffer is shared, not copied.
    #[must_use]
    pub fn with_properties(&self, properties: &[u8], meta: MessageMeta) -> Self {
        let body: &[u8] = if self.large_body().is_some() { b"" } else { self.body() };
        let names = [self.short_exchange(), self.short_routing_key()];
        Self::assemble(names, [properties, body], meta, self.large_body().cloned())
    }

    /// The same message published anew: other exchange, key and properties.
    #[must_use]
    pub fn republished(
        &self,
        exchange: Short<'_>,
        routing_key: Short<'_>,
        properties: &[u8],
        meta: MessageMeta,
    ) -> Self {
        let body: &[u8] = if self.large_body().is_some() { b"" } else { self.body() };
        Self::assemble([exchange, routing_key], [properties, body], meta, self.large_body().cloned())
    }

    fn assemble(
        names: [Short<'_>; 2],
        rest: [&[u8]; 2],
        meta: MessageMeta,
        large_body: Option<Bytes>,
    ) -> Self {
        let [exchange, key] = names;
        let [properties, body] = rest;
        let len = exchange.bytes().len() + key.bytes().len() + properties.len() + body.len();
        let mut bytes = Vec::with_capacity(len);
        for part in [exchange.bytes(), key.bytes(), properties, body] {
            bytes.extend_from_slice(part);
        }
        let names_end = u32::from(exchange.count()) + u32::from(key.count());
        let end = |part: &[u8], start: u32| start + u32::try_from(part.len()).expect("message under 4 GiB");
        let properties_end = end(properties, names_end);
        let layout = MessageLayout {
            exchange: ShortRange { start: 0, count: exchange.count() },
            routing_key: ShortRange { start: exchange.count().into(), count: key.count() },
            properties: names_end..properties_end,
            body: properties_end..end(body, properties_end),
        };
        Self::from_parts(&bytes, layout, meta, large_body)
    }

    #[inline]
    fn part(&self, range: &Range<u32>) -> &[u8] {
        &self.0.slice[range.start as usize..range.end as usize]
    }

    #[inline]
    fn name(&self, at: u32, len: u8) -> Short<'_> {
        let at = at as usize;
        // Its length is one octet.
        Short::new(&self.0.slice[at..at + usize::from(len)]).unwrap_or_default()
    }

    #[inline]
    fn head(&self) -> &Head {
        &self.0.header.header
    }

    /// The exchange it was published to; raw bytes, validated as UTF-8 on receipt.
    #[inline]
    pub fn exchange(&self) -> &[u8] {
        self.short_exchange().bytes()
    }

    /// The same as a [`Short`].
    #[inline]
    pub fn short_exchange(&self) -> Short<'_> {
        self.name(self.head().exchange_at, self.head().exchange_len)
    }

    /// The routing key it was published with.
    #[inline]
    pub fn routing_key(&self) -> &[u8] {
        self.short_routing_key().bytes()
    }

    /// The same as a [`Short`].
    #[inline]
    pub fn short_routing_key(&self) -> Short<'_> {
        self.name(self.head().routing_key_at, self.head().routing_key_len)
    }

    /// The raw basic properties: property flags, then the values (spec 4.2.6.1).
    #[inline]
    pub fn properties(&self) -> &[u8] {
        self.part(&self.head().properties)
    }

    /// The body.
    #[inline]
    pub fn body(&self) -> &[u8] {
        let head = self.head();
        head.large_body.as_deref().unwrap_or_else(|| self.part(&head.body))
    }

    /// The body's own shared buffer, if it has one.
    #[inline]
    pub fn large_body(&self) -> Option<&Bytes> {
        self.head().large_body.as_ref()
    }

    /// What queues need to know of it.
    #[inline]
    pub fn meta(&self) -> MessageMeta {
        self.head().meta
    }

    /// Body length in bytes.
    #[inline]
    pub fn body_len(&self) -> usize {
        self.body().len()
    }

    /// Approximate memory held, in bytes, for budgets.
    #[inline]
    pub fn memory(&self) -> usize {
        size_of::<Head>() + 16 + self.0.slice.len() + self.large_body().map_or(0, Bytes::len)
    }

    /// The store claims the message for writing. `false`: it was settled before its turn and need not be written at
    /// all. Only for messages with a single durable target.
    #[inline]
    pub fn take_for_log(&self) -> bool {
        self.head()
            .log_state
            .compare_exchange(LOG_PENDING, LOG_TAKEN, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// The message's only durable queue is done with it. `true`: the store has not claimed it yet, so it will never
    /// be written and no settle record is owed. `false`: it was (or will be) written, a settle record is owed.
    #[inline]
    pub fn settle_unless_taken(&self) -> bool {
        self.head()
            .log_state
            .compare_exchange(LOG_PENDING, LOG_CANCELLED, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }

    /// Its address: messages alive at the same time are the same if their addresses are equal.
    #[inline]
    pub fn address(&self) -> usize {
        self.0.slice.as_ptr().addr()
    }

    /// Position of its record in the file being written, as last noted by the store; 0: none. A later record for the
    /// same message refers to it, so that the body is written once. Only the store can interpret the number.
    #[inline]
    pub fn written_at(&self) -> u64 {
        self.head().written_at.load(Ordering::Relaxed)
    }

    /// The store has written its record at this position.
    #[inline]
    pub fn set_written_at(&self, at: u64) {
        self.head().written_at.store(at, Ordering::Relaxed);
    }

    /// Marks it as certainly written, so that a settle record is always owed: for a message with several durable
    /// targets, and for one read back from the log.
    #[inline]
    pub fn always_log(&self) {
        self.head().log_state.store(LOG_TAKEN, Ordering::Release);
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("exchange", &String::from_utf8_lossy(self.exchange()))
            .field("routing_key", &String::from_utf8_lossy(self.routing_key()))
            .field("meta", &self.meta())
            .field("body_len", &self.body_len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_come_back_as_they_went_in() {
        let message = Message::new(
            Short::literal("x"),
            Short::literal("key"),
            b"\0\0",
            b"body",
            MessageMeta::default(),
        );
        assert_eq!(message.exchange(), b"x");
        assert_eq!(message.routing_key(), b"key");
        assert_eq!(message.properties(), b"\0\0");
        assert_eq!(message.body(), b"body");
        assert_eq!(message.clone().body_len(), 4);
    }

    #[test]
    fn a_message_settled_before_its_turn_is_not_written() {
        let message = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", b"", MessageMeta::default());
        assert!(message.settle_unless_taken());
        assert!(!message.take_for_log());
    }

    #[test]
    fn a_message_settled_after_its_turn_owes_a_settle_record() {
        let message = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", b"", MessageMeta::default());
        assert!(message.take_for_log());
        assert!(!message.settle_unless_taken());
    }
}
