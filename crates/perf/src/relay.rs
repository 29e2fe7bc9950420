//! A bare relay: the upper bound to compare a broker with. It reads and writes frames, and nothing else.
//!
//! A publish to the default exchange leaves as a delivery whose method was encoded when its queue was declared;
//! content frames are copied as received. One thread per connection and blocking sockets: no runtime either.
//! Omitted: routing, limits, prefetch, acknowledgements (read and ignored), redelivery, a store. Unconsumed
//! messages are kept up to [`WAITING_BYTES_MAX`] and then dropped. Content uses channel 1 only. Every other
//! request is refused with 540. It also serves as the broker of this module's own tests.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use leveret_amqp091::wire::control::{parse_method, write_method};
use leveret_amqp091::wire::frame::{Frame, FrameKind, Scan, scan};
use leveret_amqp091::wire::hot_in::{HotMethod, hot_method};
use leveret_amqp091::wire::hot_out::ack;
use leveret_amqp091::wire::method::{
    AMQPClass, FieldTable, ShortString, basic, channel, confirm, connection, queue, short_string,
};
use leveret_amqp091::wire::opening::PROTOCOL_HEADER;
use parking_lot::Mutex;

use super::error::PerfError;

/// Frame-max as offered by `leveret serve`, in bytes.
pub(super) const FRAME_BYTES_MAX: u32 = 131_072;

/// Low, so that tests cover a client's handling of it.
const CHANNEL_MAX: u16 = 9;

/// The channel used for content.
const CONTENT_CHANNEL: u16 = 1;

/// The tag of all consumers; one byte, as in [`Queue::new`].
const CONSUMER_TAG: &str = "c";

/// Position of the delivery tag in a deliver frame: after the frame's head, the method's id and [`CONSUMER_TAG`].
const TAG_AT: std::ops::Range<usize> = 13..21;

/// Bytes of deliveries kept per queue until a consumer arrives.
const WAITING_BYTES_MAX: usize = 64 << 20;

/// Bytes per read, at most; the same as the load generator's.
const READ_BYTES: usize = 256 * 1024;

/// A connection's output, written by its own thread and by those delivering to it.
type Out = Arc<Mutex<TcpStream>>;

type Queues = Mutex<HashMap<ShortString, Arc<Queue>>>;

struct Queue {
    /// An encoded deliver frame; only its tag changes.
    deliver: Vec<u8>,
    tag: AtomicU64,
    end: Mutex<End>,
}

/// Destination of deliveries.
#[derive(Default)]
struct End {
    consumer: Option<Out>,
    /// Deliveries without a consumer, and their number.
    waiting: Vec<u8>,
    waiting_count: u32,
}

impl Queue {
    fn new(name: ShortString) -> Self {
        let mut deliver = Vec::new();
        let method = basic::Deliver {
            consumer_tag: CONSUMER_TAG.into(),
            delivery_tag: 0,
            redelivered: false,
            exchange: "".into(),
            routing_key: name,
        };
        write_method(&mut deliver, CONTENT_CHANNEL, &AMQPClass::Basic(basic::AMQPMethod::Deliver(method)));
        Self { deliver, tag: AtomicU64::new(0), end: Mutex::default() }
    }
}

impl End {
    /// Sends complete deliveries, or keeps them until a consumer arrives.
    fn send(&mut self, deliveries: &[u8], count: u32) {
        if let Some(out) = &self.consumer {
            let written = out.lock().write_all(deliveries);
            self.consumer = self.consumer.take().filter(|_| written.is_ok());
        } else if self.waiting.len() + deliveries.len() <= WAITING_BYTES_MAX {
            self.waiting.extend_from_slice(deliveries);
            self.waiting_count += count;
        }
    }

    fn consume(&mut self, out: Out) {
        self.consumer = Some(out);
        let (waiting, count) = (std::mem::take(&mut self.waiting), std::mem::take(&mut self.waiting_count));
        self.send(&waiting, count);
    }
}

/// Serves connections until the process ends; passes the address to `ready`.
///
/// # Errors
/// Cannot listen on the address.
pub(super) fn run(address: &str, ready: impl FnOnce(&str)) -> Result<(), PerfError> {
    let failed = || PerfError::io(format!("cannot listen at {address}"));
    let listener = TcpListener::bind(address).map_err(failed())?;
    ready(&listener.local_addr().map_err(failed())?.to_string());
    serve(&listener, FRAME_BYTES_MAX);
    Ok(())
}

/// Serves connections with frames of at most `frame_max` bytes.
fn serve(listener: &TcpListener, frame_max: u32) {
    let queues = Arc::new(Queues::default());
    for stream in listener.incoming() {
        let queues = queues.clone();
        // A failed connection concerns only its client.
        thread::spawn(move || Connection::new(stream?, &queues, frame_max)?.run());
    }
}

/// Deliveries to one queue from a connection's last read.
struct Pending {
    key: String,
    queue: Arc<Queue>,
    bytes: Vec<u8>,
    /// Bytes up to the end of the last complete message, and the number of messages.
    whole: usize,
    count: u32,
}

impl Pending {
    /// Forwards complete messages; publishers to one queue must not interleave within a message.
    fn flush(&mut self) {
        if self.count > 0 {
            self.queue.end.lock().send(&self.bytes[..self.whole], self.count);
            self.bytes.drain(..self.whole);
            (self.whole, self.count) = (0, 0);
        }
    }
}

struct Connection<'a> {
    stream: TcpStream,
    out: Out,
    queues: &'a Queues,
    frame_max: u32,
    answers: Vec<u8>,
    pending: Option<Pending>,
    /// Remaining bytes of the current body.
    body_left: u64,
    confirming: bool,
    published: u64,
}

impl<'a> Connection<'a> {
    fn new(stream: TcpStream, queues: &'a Queues, frame_max: u32) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        let out = Arc::new(Mutex::new(stream.try_clone()?));
        let (answers, pending) = (Vec::new(), None);
        Ok(Self {
            stream,
            out,
            queues,
            frame_max,
            answers,
            pending,
            body_left: 0,
            confirming: false,
            published: 0,
        })
    }

    fn run(mut self) -> io::Result<()> {
        self.stream.read_exact(&mut [0; PROTOCOL_HEADER.len()])?;
        let start = connection::Start {
            version_major: 0,
            version_minor: 9,
            server_properties: FieldTable::default(),
            mechanisms: "PLAIN".into(),
            locales: "en_US".into(),
        };
        self.answer(0, &AMQPClass::Connection(connection::AMQPMethod::Start(start)));
        let mut buffer = vec![0; READ_BYTES];
        let mut end = 0;
        loop {
            if !self.answers.is_empty() {
                self.out.lock().write_all(&self.answers)?;
                self.answers.clear();
            }
            let count = self.stream.read(&mut buffer[end..])?;
            if count == 0 {
                return Ok(());
            }
            end += count;
            let done = self.receive(&buffer[..end])?;
            buffer.copy_within(done..end, 0);
            end -= done;
        }
    }

    /// Handles complete frames; returns their length in bytes.
    fn receive(&mut self, data: &[u8]) -> io::Result<usize> {
        let (mut done, before) = (0, self.published);
        while let Scan::Frame(frame) = scan(&data[done..], self.frame_max).map_err(io::Error::other)? {
            let end = frame.end;
            self.frame(&frame, &data[done..][..end])?;
            done += end;
        }
        if let Some(pending) = &mut self.pending {
            pending.flush();
        }
        if self.confirming && self.published > before {
            ack(&mut self.answers, CONTENT_CHANNEL, self.published, true);
        }
        Ok(done)
    }

    fn frame(&mut self, frame: &Frame, bytes: &[u8]) -> io::Result<()> {
        let payload = &bytes[frame.payload.clone()];
        match frame.kind {
            FrameKind::Method => match hot_method(payload).map_err(io::Error::other)? {
                HotMethod::Publish(publish) => self.publish(publish.routing_key),
                HotMethod::Other => {
                    let method = parse_method(payload).map_err(io::Error::other)?;
                    self.asked(frame.channel, method);
                    Ok(())
                }
                HotMethod::Ack { .. } | HotMethod::Nack { .. } | HotMethod::Reject { .. } => Ok(()),
            },
            FrameKind::Header | FrameKind::Body => self.content(frame.kind, payload, bytes),
            FrameKind::Heartbeat => Ok(()),
        }
    }

    /// Begins a delivery to the queue with this name.
    fn publish(&mut self, key: &str) -> io::Result<()> {
        let pending = match &mut self.pending {
            Some(pending) if pending.key == key => pending,
            other => {
                if let Some(last) = other {
                    last.flush();
                }
                let name = short_string(key);
                let queue = self.queues.lock().get(&name).cloned();
                let queue = queue.ok_or_else(|| io::Error::other("published to no queue"))?;
                other.insert(Pending { key: key.to_owned(), queue, bytes: Vec::new(), whole: 0, count: 0 })
            }
        };
        let (queue, start) = (&pending.queue, pending.bytes.len());
        let tag = queue.tag.fetch_add(1, Ordering::Relaxed) + 1;
        pending.bytes.extend_from_slice(&queue.deliver);
        pending.bytes[start..][TAG_AT].copy_from_slice(&tag.to_be_bytes());
        Ok(())
    }

    /// Copies a content frame into the current delivery.
    fn content(&mut self, kind: FrameKind, payload: &[u8], bytes: &[u8]) -> io::Result<()> {
        let out_of_order = || io::Error::other("content out of order");
        let pending = self.pending.as_mut().ok_or_else(out_of_order)?;
        pending.bytes.extend_from_slice(bytes);
        self.body_left = if kind == FrameKind::Header {
            let size = payload.get(4..12).and_then(|size| size.try_into().ok()).ok_or_else(out_of_order)?;
            u64::from_be_bytes(size)
        } else {
            self.body_left.checked_sub(payload.len() as u64).ok_or_else(out_of_order)?
        };
        if self.body_left == 0 {
            (pending.whole, pending.count) = (pending.bytes.len(), pending.count + 1);
            self.published += 1;
        }
        Ok(())
    }

    fn answer(&mut self, channel: u16, method: &AMQPClass) {
        write_method(&mut self.answers, channel, method);
    }

    /// Answers setup methods.
    fn asked(&mut self, channel: u16, method: AMQPClass) {
        use connection::AMQPMethod as C;
        let answer = match method {
            AMQPClass::Connection(C::StartOk(_)) => AMQPClass::Connection(C::Tune(connection::Tune {
                channel_max: CHANNEL_MAX,
                frame_max: self.frame_max,
                heartbeat: 0,
            })),
            AMQPClass::Connection(C::TuneOk(_)) => return,
            AMQPClass::Connection(C::Open(_)) => AMQPClass::Connection(C::OpenOk(connection::OpenOk {})),
            AMQPClass::Connection(C::Close(_)) => AMQPClass::Connection(C::CloseOk(connection::CloseOk {})),
            AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
                AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}))
            }
            AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
                AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
            }
            AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) => {
                self.confirming = true;
                AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}))
            }
            AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => self.declare(declare.queue),
            AMQPClass::Queue(queue::AMQPMethod::Delete(delete)) => {
                self.queues.lock().remove(&delete.queue);
                AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 0 }))
            }
            AMQPClass::Basic(basic::AMQPMethod::Qos(_)) => {
                AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {}))
            }
            AMQPClass::Basic(basic::AMQPMethod::Consume(consume)) if channel == CONTENT_CHANNEL => {
                return self.consume(&consume.queue);
            }
            other => AMQPClass::Connection(C::Close(connection::Close {
                reply_code: 540,
                reply_text: "NOT_IMPLEMENTED - not here".into(),
                class_id: other.get_amqp_class_id(),
                method_id: other.get_amqp_method_id(),
            })),
        };
        self.answer(channel, &answer);
    }

    fn declare(&self, name: ShortString) -> AMQPClass {
        let mut queues = self.queues.lock();
        let queue = queues.entry(name.clone()).or_insert_with(|| Arc::new(Queue::new(name.clone())));
        let message_count = queue.end.lock().waiting_count;
        AMQPClass::Queue(queue::AMQPMethod::DeclareOk(queue::DeclareOk {
            queue: name,
            message_count,
            consumer_count: 0,
        }))
    }

    fn consume(&mut self, name: &ShortString) {
        let queue = self.queues.lock().get(name).cloned();
        let consume_ok = basic::ConsumeOk { consumer_tag: CONSUMER_TAG.into() };
        self.answer(CONTENT_CHANNEL, &AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(consume_ok)));
        // First the answer, then the deliveries; if the answer cannot be written, neither can they.
        let written = self.out.lock().write_all(&std::mem::take(&mut self.answers));
        if let (Some(queue), Ok(())) = (queue, written) {
            queue.end.lock().consume(self.out.clone());
        }
    }
}

/// Starts one for a test and returns its URL. It runs until the process ends. Frames are small, so that bodies
/// take several.
#[cfg(test)]
pub(super) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://guest:guest@{}", listener.local_addr().unwrap());
    thread::spawn(move || serve(&listener, 4096));
    url
}
