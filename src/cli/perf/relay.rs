//! A broker of one queue, for tests of the load generator: takes publishes, confirms them, and hands them to the last
//! consumer. Everything else that it is asked for it refuses with 540.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use parking_lot::Mutex;

use crate::wire::control::{parse_method, write_method};
use crate::wire::frame::{FrameKind, Scan, scan};
use crate::wire::hot_in::{HotMethod, hot_method};
use crate::wire::hot_out::{Deliver, ack, deliver};
use crate::wire::method::{AMQPClass, FieldTable, basic, channel, confirm, connection, queue};

const FRAME_MAX: u32 = 4096;

#[derive(Default)]
struct Queue {
    backlog: Vec<Vec<u8>>,
    consumer: Option<(TcpStream, u16, u64)>,
}

impl Queue {
    /// Sends what there is, if there is someone to send it to.
    fn deliver(&mut self) {
        let Some((stream, channel, tag)) = &mut self.consumer else {
            return;
        };
        let mut out = Vec::new();
        for body in self.backlog.drain(..) {
            *tag += 1;
            let method = Deliver {
                consumer_tag: b"c",
                delivery_tag: *tag,
                redelivered: false,
                exchange: b"",
                routing_key: b"q",
            };
            deliver(&mut out, *channel, &method, b"", &body, FRAME_MAX);
        }
        if stream.write_all(&out).is_err() {
            self.consumer = None;
        }
    }
}

/// Starts one and returns its URL. It ends with the process.
pub(super) fn start() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("amqp://guest:guest@{}", listener.local_addr().unwrap());
    let queue = Arc::new(Mutex::new(Queue::default()));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let queue = queue.clone();
            thread::spawn(move || serve(stream.unwrap(), &queue));
        }
    });
    url
}

fn serve(mut stream: TcpStream, queue: &Mutex<Queue>) -> std::io::Result<()> {
    stream.read_exact(&mut [0; 8])?;
    let mut out = Vec::new();
    let start = connection::Start {
        version_major: 0,
        version_minor: 9,
        server_properties: FieldTable::default(),
        mechanisms: "PLAIN".into(),
        locales: "en_US".into(),
    };
    write_method(&mut out, 0, &AMQPClass::Connection(connection::AMQPMethod::Start(start)));
    let (mut data, mut body, mut left, mut published) = (Vec::new(), Vec::new(), 0, 0);
    let mut piece = vec![0; 65_536];
    loop {
        stream.write_all(&out)?;
        out.clear();
        let count = stream.read(&mut piece)?;
        if count == 0 {
            return Ok(());
        }
        data.extend_from_slice(&piece[..count]);
        let (mut done, before) = (0, published);
        while let Scan::Frame(frame) = scan(&data[done..], FRAME_MAX).unwrap() {
            let payload = &data[done..][frame.payload];
            match frame.kind {
                FrameKind::Method => match hot_method(payload).unwrap() {
                    HotMethod::Publish(_) => published += 1,
                    HotMethod::Other => {
                        let answer = answer(parse_method(payload).unwrap(), frame.channel, &stream, queue);
                        write_method(&mut out, frame.channel, &answer);
                    }
                    _ => {}
                },
                FrameKind::Header => left = u64::from_be_bytes(payload[4..12].try_into().unwrap()),
                FrameKind::Body => {
                    body.extend_from_slice(payload);
                    left -= payload.len() as u64;
                }
                FrameKind::Heartbeat => {}
            }
            if frame.kind != FrameKind::Method && left == 0 {
                let mut queue = queue.lock();
                queue.backlog.push(std::mem::take(&mut body));
                queue.deliver();
            }
            done += frame.end;
        }
        data.drain(..done);
        if published > before {
            ack(&mut out, 1, published, true);
        }
    }
}

fn answer(method: AMQPClass, channel: u16, stream: &TcpStream, queue: &Mutex<Queue>) -> AMQPClass {
    use connection::AMQPMethod as C;
    match method {
        AMQPClass::Connection(C::StartOk(_)) => AMQPClass::Connection(C::Tune(connection::Tune {
            channel_max: 9,
            frame_max: FRAME_MAX,
            heartbeat: 0,
        })),
        // Tune-ok has no answer; a second open-ok would be taken for one.
        AMQPClass::Connection(C::TuneOk(_)) => AMQPClass::Connection(C::Unblocked(connection::Unblocked {})),
        AMQPClass::Connection(C::Open(_)) => AMQPClass::Connection(C::OpenOk(connection::OpenOk {})),
        AMQPClass::Connection(C::Close(_)) => AMQPClass::Connection(C::CloseOk(connection::CloseOk {})),
        AMQPClass::Channel(channel::AMQPMethod::Open(_)) => {
            AMQPClass::Channel(channel::AMQPMethod::OpenOk(channel::OpenOk {}))
        }
        AMQPClass::Channel(channel::AMQPMethod::Close(_)) => {
            AMQPClass::Channel(channel::AMQPMethod::CloseOk(channel::CloseOk {}))
        }
        AMQPClass::Confirm(confirm::AMQPMethod::Select(_)) => {
            AMQPClass::Confirm(confirm::AMQPMethod::SelectOk(confirm::SelectOk {}))
        }
        AMQPClass::Queue(queue::AMQPMethod::Declare(declare)) => {
            let message_count = u32::try_from(queue.lock().backlog.len()).unwrap();
            let declared = queue::DeclareOk { queue: declare.queue, message_count, consumer_count: 0 };
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(declared))
        }
        AMQPClass::Queue(queue::AMQPMethod::Delete(_)) => {
            *queue.lock() = Queue::default();
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count: 0 }))
        }
        AMQPClass::Basic(basic::AMQPMethod::Qos(_)) => {
            AMQPClass::Basic(basic::AMQPMethod::QosOk(basic::QosOk {}))
        }
        AMQPClass::Basic(basic::AMQPMethod::Consume(consume)) => {
            let mut queue = queue.lock();
            queue.consumer = Some((stream.try_clone().unwrap(), channel, 0));
            // Before consume-ok: a client must be able to take that.
            queue.deliver();
            let consume_ok = basic::ConsumeOk { consumer_tag: consume.consumer_tag };
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(consume_ok))
        }
        other => AMQPClass::Connection(C::Close(connection::Close {
            reply_code: 540,
            reply_text: "NOT_IMPLEMENTED - not here".into(),
            class_id: other.get_amqp_class_id(),
            method_id: other.get_amqp_method_id(),
        })),
    }
}
