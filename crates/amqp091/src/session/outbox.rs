//! Data waiting to be written to one connection, and the unacknowledged deliveries of its channels.
//!
//! Filled by all producers for the client: its own reader, publishers on other connections (under a queue's lock),
//! the store when confirms are due. Drained by the connection's writer.
//!
//! Invariants: frames leave in the order in which they were put; delivery tags of a channel increase by one in
//! that order; bytes waiting are bounded by `limit` plus what one queue call may add (a consumer without room gets
//! nothing more until the writer has made room).
//! Absent: sockets, tasks, queue locks (this lock is taken inside a queue's lock, never the other way).

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};

use leveret_broker::channel_stats::{self, ChannelStats};
use leveret_broker::consumer::{Consumer, Sink};
use leveret_broker::names::ConsumerTag;
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::registry::{Gauge, Traffic};
use leveret_broker::turn::NothingAppended;
use leveret_message::{Message, QueueId};
use leveret_queues::Delivery;
use leveret_store::{Broken, Synced};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::error::ReplyCode;
use super::unacked::{AckSet, ChannelOut, Unacked, UnknownTag};
use crate::wire::control::write_method;
use crate::wire::frame::FRAME_END;
use crate::wire::hot_out;
use crate::wire::method::AMQPClass;

/// Bodies of at least this many bytes are written to the socket from the message's memory; smaller ones are copied
/// between their frames' heads: below, a copy is cheaper than one more slice to write.
const LARGE_BODY_BYTES: usize = 8 * 1024;

/// Approximate cost of a delivery beside its body: heads, tags, names, properties.
const DELIVERY_OVERHEAD_BYTES: usize = 128;

/// See the module.
pub struct Outbox {
    state: Mutex<State>,
    /// Bytes reserved or waiting: bodies and overhead.
    queued: AtomicUsize,
    limit: usize,
    written: AtomicU64,
    /// Socket traffic counters.
    pub traffic: Arc<Traffic>,
}

#[derive(Default)]
struct State {
    waiting: Writing,
    writer: Option<Waker>,
    channels: FxHashMap<u16, ChannelOut>,
    /// The reader, if it waits for the client to read.
    reader: Option<Waker>,
    /// Consumers that found no room.
    stalled: Vec<Arc<Consumer>>,
    next_incarnation: u64,
    /// The largest frame that the client accepts.
    frame_max: u32,
    cancel_notify: bool,
    /// Nothing is written any more.
    closed: bool,
    /// Everything to be written has been put; the writer ends after writing it.
    finished: bool,
}

/// Encoded frames being written: bytes, with large bodies interleaved.
#[derive(Default)]
pub struct Writing {
    /// Frames and heads of frames.
    pub frames: Vec<u8>,
    /// Pieces of large bodies, each to be written after `frames` up to `at`.
    pub bodies: VecDeque<BodyPiece>,
    /// Bytes returned to the budget once all is written.
    cost: usize,
}

/// A piece of a message's body.
pub struct BodyPiece {
    /// Offset in the frames at which it is inserted.
    pub at: usize,
    /// The message.
    pub message: Message,
    /// Which bytes of its body.
    pub range: std::ops::Range<usize>,
}

/// What a confirm relies on.
#[derive(Clone, Copy, Debug)]
pub enum Durable {
    /// Everything appended up to the publish is on stable storage.
    Synced(Synced),
    /// The publish required no durability.
    NothingAppended(NothingAppended),
}

/// The writer's next step.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// Data is ready to be written.
    Write,
    /// All is written and nothing more will come.
    End,
}

impl Writing {
    fn is_empty(&self) -> bool {
        self.frames.is_empty() && self.bodies.is_empty()
    }

    /// Clears what was written; keeps the memory unless it is large.
    pub fn clear(&mut self) {
        self.frames.clear();
        self.bodies.clear();
        if self.frames.capacity() > KEPT_BYTES {
            self.frames.shrink_to(KEPT_BYTES);
        }
        self.cost = 0;
    }
}

/// Bytes of frame memory that an idle connection keeps.
const KEPT_BYTES: usize = 256 * 1024;

impl Outbox {
    /// An empty outbox that gives credit up to `limit` bytes.
    pub fn new(limit: usize) -> Arc<Self> {
        let state = State { frame_max: leveret_broker::limits::FRAME_MIN, ..State::default() };
        Arc::new(Self {
            state: Mutex::new(state),
            queued: AtomicUsize::new(0),
            limit,
            written: AtomicU64::new(0),
            traffic: Arc::default(),
        })
    }

    /// Sets the negotiated values: the largest frame, and whether the client wants to be told of cancelled
    /// consumers.
    pub fn negotiated(&self, frame_max: u32, cancel_notify: bool) {
        let mut state = self.state.lock();
        state.frame_max = frame_max;
        state.cancel_notify = cancel_notify;
    }

    /// Puts bytes of whole frames. Returns the writer to wake.
    pub fn put_bytes(&self, bytes: &[u8]) -> Option<Waker> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        state.waiting.frames.extend_from_slice(bytes);
        self.charge(&mut state, bytes.len());
        state.writer.take()
    }

    /// Puts a method frame. Returns the writer to wake.
    pub fn put(&self, channel: u16, method: &AMQPClass) -> Option<Waker> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let before = state.waiting.frames.len();
        write_method(&mut state.waiting.frames, channel, method);
        let cost = state.waiting.frames.len() - before;
        self.charge(&mut state, cost);
        state.writer.take()
    }

    /// Puts a method frame for the channel's `incarnation`, if that exists and is not closing.
    pub fn put_for(&self, channel: u16, incarnation: u64, method: &AMQPClass) -> Option<Waker> {
        let mut state = self.state.lock();
        let out = state.channels.get(&channel)?;
        if out.incarnation != incarnation || out.muted || state.closed {
            return None;
        }
        let before = state.waiting.frames.len();
        write_method(&mut state.waiting.frames, channel, method);
        let cost = state.waiting.frames.len() - before;
        self.charge(&mut state, cost);
        state.writer.take()
    }

    /// Passes `each` the unacknowledged deliveries of the channel's `incarnation`, oldest first, until it
    /// returns `false`. Returns the next delivery tag; `None` if the channel is gone. `each` must be short.
    pub fn look_at_unacked(
        &self,
        channel: u16,
        incarnation: u64,
        each: &mut dyn FnMut(QueueId, u64) -> bool,
    ) -> Option<u64> {
        let state = self.state.lock();
        let out = state.channels.get(&channel).filter(|out| out.incarnation == incarnation)?;
        let _ = out.unacked().all(|(queue, tag)| each(queue, tag));
        Some(out.next_tag())
    }

    /// Makes deliveries taken from a channel outstanding again.
    pub fn give_back(&self, channel: u16, unacked: impl Iterator<Item = Unacked>) {
        if let Some(out) = self.state.lock().channels.get_mut(&channel) {
            out.give_back(unacked);
        }
    }

    fn charge(&self, state: &mut State, cost: usize) {
        state.waiting.cost += cost;
        self.queued.fetch_add(cost, Ordering::Relaxed);
    }

    /// Puts `basic.return` with the message, followed by the ack of that publish alone if it is to be
    /// confirmed. Returns the writer to wake.
    pub fn put_return(&self, channel: u16, message: &Message, confirms: Option<u64>) -> Option<Waker> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        let frame_max = state.frame_max;
        let state = &mut *state;
        let method = hot_out::Return {
            reply_code: ReplyCode::NoRoute.number(),
            reply_text: ReplyCode::NoRoute.name().as_bytes(),
            exchange: message.exchange(),
            routing_key: message.routing_key(),
        };
        hot_out::return_head(&mut state.waiting.frames, channel, &method, &content(message));
        put_body(&mut state.waiting, channel, message, frame_max);
        if let (Some(tag), Some(out)) = (confirms, state.channels.get_mut(&channel)) {
            out.settle_alone(tag);
            self.traffic.confirmed.fetch_add(1, Ordering::Relaxed);
            channel_stats::add(&out.stats.confirmed, 1);
            hot_out::ack(&mut state.waiting.frames, channel, tag, false);
        }
        self.charge(state, message.body_len() + DELIVERY_OVERHEAD_BYTES);
        state.writer.take()
    }

    /// Puts `basic.get-ok` with the message, which is the channel's next delivery.
    pub fn put_get_ok(
        &self,
        channel: u16,
        queue: &Arc<QueueHandle>,
        delivery: &Delivery,
        ready_left: u64,
    ) -> Option<Waker> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let frame_max = state.frame_max;
        let out = state.channels.get_mut(&channel)?;
        let tag = out.deliver(queue, delivery.token);
        let did = &out.stats;
        channel_stats::add(if delivery.token.is_some() { &did.got } else { &did.got_no_ack }, 1);
        channel_stats::add(&did.redelivered, delivery.redelivered.into());
        if state.closed {
            return None;
        }
        let left = u32::try_from(ready_left).unwrap_or(u32::MAX);
        let counted = queue.with_counts(delivery);
        let message = counted.as_ref().unwrap_or(&delivery.message);
        let method = hot_out::GetOk {
            delivery_tag: tag,
            redelivered: delivery.redelivered,
            exchange: message.exchange(),
            routing_key: message.routing_key(),
            message_count: left,
        };
        hot_out::get_ok_head(&mut state.waiting.frames, channel, &method, &content(message));
        put_body(&mut state.waiting, channel, message, frame_max);
        self.charge(state, message.body_len() + DELIVERY_OVERHEAD_BYTES);
        state.writer.take()
    }

    /// Opens a channel, counted in `counts`. Returns its incarnation, which distinguishes it from earlier and
    /// later channels with the same number.
    pub fn open_channel(&self, channel: u16, counts: Arc<ChannelStats>) -> u64 {
        let mut state = self.state.lock();
        state.next_incarnation += 1;
        let incarnation = state.next_incarnation;
        state.channels.insert(channel, ChannelOut::new(incarnation, counts));
        incarnation
    }

    /// The channel is closing: its consumers' deliveries are counted but no longer written.
    pub fn mute_channel(&self, channel: u16) {
        if let Some(out) = self.state.lock().channels.get_mut(&channel) {
            out.muted = true;
        }
    }

    /// Closes the channel; returns its outstanding deliveries, in delivery order. Its consumers must be
    /// detached before, so that nothing more is delivered to it.
    pub fn close_channel(&self, channel: u16) -> Vec<Unacked> {
        let out = self.state.lock().channels.remove(&channel);
        out.map(ChannelOut::into_unacked).unwrap_or_default()
    }

    /// Takes the deliveries that an acknowledgement names.
    pub fn take_acked(&self, channel: u16, set: AckSet, into: &mut Vec<Unacked>) -> Result<(), UnknownTag> {
        match self.state.lock().channels.get_mut(&channel) {
            Some(out) => out.take(set, into),
            None => Ok(()),
        }
    }

    /// Unacknowledged messages of the channel.
    pub fn unacked_count(&self, channel: u16) -> usize {
        self.state.lock().channels.get(&channel).map_or(0, ChannelOut::unacked_count)
    }

    /// Of these, those held by consumers: messages from `basic.get` count against no prefetch.
    pub fn held_by_consumers(&self, channel: u16) -> usize {
        self.state.lock().channels.get(&channel).map_or(0, ChannelOut::held_by_consumers)
    }

    /// Confirms all publishes up to `upto` of the channel's `incarnation`, or refuses them.
    pub fn confirm(
        &self,
        channel: u16,
        incarnation: u64,
        upto: u64,
        outcome: Result<Durable, Broken>,
    ) -> Option<Waker> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let out = state.channels.get_mut(&channel)?;
        if out.incarnation != incarnation || out.confirmed >= upto || state.closed {
            return None;
        }
        let confirmed = out.confirm(upto);
        let multiple = confirmed > 1;
        if out.muted {
            return None;
        }
        let before = state.waiting.frames.len();
        match outcome {
            Ok(Durable::Synced(_) | Durable::NothingAppended(_)) => {
                self.traffic.confirmed.fetch_add(confirmed, Ordering::Relaxed);
                channel_stats::add(&out.stats.confirmed, confirmed);
                hot_out::ack(&mut state.waiting.frames, channel, upto, multiple);
            }
            Err(Broken) => hot_out::nack(&mut state.waiting.frames, channel, upto, multiple, false),
        }
        let cost = state.waiting.frames.len() - before;
        self.charge(state, cost);
        state.writer.take()
    }

    /// Refuses one publish (`basic.nack`); earlier ones are confirmed separately.
    pub fn refuse(&self, channel: u16, tag: u64) -> Option<Waker> {
        let mut state = self.state.lock();
        state.channels.get_mut(&channel)?.settle_alone(tag);
        if state.closed {
            return None;
        }
        let before = state.waiting.frames.len();
        hot_out::nack(&mut state.waiting.frames, channel, tag, false, false);
        let cost = state.waiting.frames.len() - before;
        self.charge(&mut state, cost);
        state.writer.take()
    }

    /// The channel's highest confirmed publish.
    pub fn confirmed(&self, channel: u16) -> u64 {
        self.state.lock().channels.get(&channel).map_or(0, |out| out.confirmed)
    }

    /// Everything has been put; the writer ends after writing it.
    pub fn finish(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.finished = true;
        state.writer.take()
    }

    /// The connection is lost: waiting data is dropped, new data ignored.
    pub fn close(&self) -> Option<Waker> {
        let mut state = self.state.lock();
        state.closed = true;
        state.finished = true;
        let cost = state.waiting.cost;
        state.waiting = Writing::default();
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        self.queued.fetch_sub(cost, Ordering::Relaxed);
        state.writer.take()
    }

    /// Whether so much is waiting that the client must read before it is read from.
    pub fn is_full(&self) -> bool {
        self.queued.load(Ordering::Relaxed) >= self.limit * 2
    }

    /// Bytes waiting.
    pub fn waiting_bytes(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Swaps the waiting data into the writer's empty `writing`, or registers the waker.
    pub fn poll_next(&self, context: &Context<'_>, writing: &mut Writing) -> Poll<Next> {
        let mut state = self.state.lock();
        if !state.waiting.is_empty() {
            std::mem::swap(&mut state.waiting, writing);
            return Poll::Ready(Next::Write);
        }
        if state.finished {
            return Poll::Ready(Next::End);
        }
        match &mut state.writer {
            Some(writer) if writer.will_wake(context.waker()) => {}
            writer => *writer = Some(context.waker().clone()),
        }
        Poll::Pending
    }

    /// `writing` was written. Returns the consumers that may resume.
    pub fn written(&self, writing: &mut Writing) -> Vec<Arc<Consumer>> {
        let bodies: usize = writing.bodies.iter().map(|piece| piece.range.len()).sum();
        self.traffic.add_sent(writing.frames.len() + bodies);
        let before = self.queued.fetch_sub(writing.cost, Ordering::Relaxed);
        let left = before - writing.cost;
        self.written.fetch_add(writing.frames.len() as u64, Ordering::Relaxed);
        writing.clear();
        if left > self.limit / 2 {
            return Vec::new();
        }
        let mut state = self.state.lock();
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
        std::mem::take(&mut state.stalled)
    }

    /// Bytes of frames written so far; used to decide whether a heartbeat is due.
    pub fn written_total(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Ready when the client has read enough to be read from again.
    pub fn poll_room(&self, waker: &Waker) -> Poll<()> {
        let mut state = self.state.lock();
        if state.closed || !self.is_full() {
            return Poll::Ready(());
        }
        state.reader = Some(waker.clone());
        Poll::Pending
    }
}

/// Puts the body of a message whose method and header frames were put before.
fn put_body(writing: &mut Writing, channel: u16, message: &Message, frame_max: u32) {
    let body = message.body();
    if body.len() < LARGE_BODY_BYTES {
        hot_out::put_body(&mut writing.frames, channel, body, frame_max);
        return;
    }
    for frame in hot_out::BodyFrames::new(channel, body.len(), frame_max) {
        writing.frames.extend_from_slice(&frame.head);
        let at = writing.frames.len();
        writing.bodies.push_back(BodyPiece { at, message: message.clone(), range: frame.range });
        writing.frames.push(FRAME_END);
    }
}

fn content(message: &Message) -> hot_out::Content<'_> {
    hot_out::Content { properties: message.properties(), body_size: message.body_len() as u64 }
}

impl Gauge for Outbox {
    fn unacked(&self, channel: u16) -> usize {
        self.unacked_count(channel)
    }

    fn waiting_bytes(&self) -> usize {
        Self::waiting_bytes(self)
    }
}

impl Sink for Outbox {
    fn reserve(&self, consumer: &Arc<Consumer>, body_bytes: usize) -> bool {
        if self.queued.load(Ordering::Relaxed) >= self.limit {
            let mut state = self.state.lock();
            // The writer may have made room since; it checks `stalled` under this lock.
            if self.queued.load(Ordering::Relaxed) >= self.limit {
                state.stalled.push(Arc::clone(consumer));
                return false;
            }
        }
        // Last, so that no credit is taken and then left unused.
        if !consumer.shared_credit.take(consumer) {
            return false;
        }
        self.queued.fetch_add(body_bytes + DELIVERY_OVERHEAD_BYTES, Ordering::Relaxed);
        true
    }

    fn deliver(&self, consumer: &Arc<Consumer>, batch: &mut Vec<Delivery>) -> Option<Waker> {
        let mut state = self.state.lock();
        let state = &mut *state;
        let frame_max = state.frame_max;
        let Some(out) = state.channels.get_mut(&consumer.channel) else {
            batch.clear();
            return None;
        };
        let silent = out.muted || state.closed;
        let (count, mut redelivered) = (batch.len() as u64, 0);
        for delivery in batch.drain(..) {
            let tag = out.deliver(&consumer.queue, delivery.token);
            redelivered += u64::from(delivery.redelivered);
            let cost = delivery.message.body_len() + DELIVERY_OVERHEAD_BYTES;
            if silent {
                self.queued.fetch_sub(cost, Ordering::Relaxed);
                continue;
            }
            state.waiting.cost += cost;
            let counted = consumer.queue.with_counts(&delivery);
            let message = counted.as_ref().unwrap_or(&delivery.message);
            let method = hot_out::Deliver {
                consumer_tag: consumer.tag.as_str().as_bytes(),
                delivery_tag: tag,
                redelivered: delivery.redelivered,
                exchange: message.exchange(),
                routing_key: message.routing_key(),
            };
            let frames = &mut state.waiting.frames;
            hot_out::deliver_head(frames, consumer.channel, &method, &content(message));
            put_body(&mut state.waiting, consumer.channel, message, frame_max);
        }
        let did = &out.stats;
        channel_stats::add(if consumer.no_ack { &did.delivered_no_ack } else { &did.delivered }, count);
        channel_stats::add(&did.redelivered, redelivered);
        state.writer.take()
    }

    fn cancelled(&self, consumer: &Arc<Consumer>) -> Option<Waker> {
        let mut state = self.state.lock();
        let muted = state.channels.get(&consumer.channel).is_none_or(|out| out.muted);
        let told = consumer.ended.swap(true, Ordering::Relaxed);
        if told || !state.cancel_notify || muted || state.closed {
            return None;
        }
        let before = state.waiting.frames.len();
        write_method(&mut state.waiting.frames, consumer.channel, &cancel(&consumer.tag));
        let cost = state.waiting.frames.len() - before;
        self.charge(&mut state, cost);
        state.writer.take()
    }
}

fn cancel(tag: &ConsumerTag) -> AMQPClass {
    use crate::wire::method::{basic, short_string};
    AMQPClass::Basic(basic::AMQPMethod::Cancel(basic::Cancel {
        consumer_tag: short_string(tag.as_str()),
        nowait: true,
    }))
}
