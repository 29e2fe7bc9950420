//! A connection to a broker: its socket, a read buffer, and enough of a client for setup.

use std::io;

use super::clock;
use super::error::PerfError;
pub(super) use super::stream::Wait;
use leveret_amqp091::wire::control::{parse_method, write_method};
use leveret_amqp091::wire::frame::{FrameKind, Scan, scan};
use leveret_amqp091::wire::method::{
    AMQPClass, AMQPValue, FieldTable, ShortString, basic, channel, connection, short_string,
};
use leveret_amqp091::wire::opening::PROTOCOL_HEADER;

use super::stream::{Stream, is_timeout};
use super::url::BrokerUrl;

/// Bytes per read, at most. Larger reads no longer lower the cost per message.
const READ_BYTES: usize = 256 * 1024;

/// Timeout of a broker's answer during setup.
const ANSWER_SECONDS: u64 = 120;

/// Timeout of the answer to a close of an idle connection.
pub(super) const GOODBYE_SECONDS: u64 = 2;

/// The broker's self-description.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub(super) struct Server {
    pub(super) product: String,
    pub(super) version: String,
}

pub(super) struct Link {
    stream: Stream,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Negotiated frame-max, in bytes.
    pub(super) frame_max: u32,
    /// Negotiated channel-max.
    pub(super) channel_max: u16,
    pub(super) server: Server,
}

impl Link {
    /// Connects, logs in and opens the vhost. Heartbeats are off.
    pub(super) fn connect(url: &BrokerUrl) -> Result<Self, PerfError> {
        let mut link = Self {
            stream: Stream::connect(url)?,
            buffer: vec![0; READ_BYTES].into(),
            start: 0,
            end: 0,
            frame_max: 131_072,
            channel_max: 2047,
            server: Server::default(),
        };
        link.log_in(url)?;
        Ok(link)
    }

    fn log_in(&mut self, url: &BrokerUrl) -> Result<(), PerfError> {
        self.write(&PROTOCOL_HEADER)?;
        match self.answer(0)? {
            AMQPClass::Connection(connection::AMQPMethod::Start(start)) => {
                let text = |name| match start.server_properties.inner().get(name) {
                    Some(AMQPValue::LongString(text)) => text.to_string(),
                    _ => String::new(),
                };
                self.server = Server { product: text("product"), version: text("version") };
            }
            other => return Err(unexpected(&other)),
        }
        let mut capabilities = FieldTable::default();
        for name in [
            "publisher_confirms",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "authentication_failure_close",
        ] {
            capabilities.insert(name.into(), AMQPValue::Boolean(true));
        }
        let mut client_properties = FieldTable::default();
        client_properties.insert("product".into(), AMQPValue::LongString("leveret perf".into()));
        client_properties.insert("capabilities".into(), AMQPValue::FieldTable(capabilities));
        let start_ok = connection::StartOk {
            client_properties,
            mechanism: "PLAIN".into(),
            response: format!("\0{}\0{}", url.user, url.password).into(),
            locale: "en_US".into(),
        };
        let tune = match self.call(0, &AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok)))? {
            AMQPClass::Connection(connection::AMQPMethod::Tune(tune)) => tune,
            other => return Err(unexpected(&other)),
        };
        let lower = |server: u32, ours: u32| if server == 0 { ours } else { server.min(ours) };
        self.frame_max = lower(tune.frame_max, self.frame_max);
        self.channel_max =
            u16::try_from(lower(tune.channel_max.into(), self.channel_max.into())).unwrap_or(u16::MAX);
        let tune_ok =
            connection::TuneOk { channel_max: self.channel_max, frame_max: self.frame_max, heartbeat: 0 };
        let vhost = ShortString::try_new(url.vhost.clone())
            .map_err(|why| PerfError::Option(format!("--url: the vhost's name: {why}")))?;
        self.write_method(0, &AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok)))?;
        self.call(
            0,
            &AMQPClass::Connection(connection::AMQPMethod::Open(connection::Open { virtual_host: vhost })),
        )?;
        Ok(())
    }

    pub(super) fn open_channel(&mut self, channel: u16) -> Result<(), PerfError> {
        self.call(channel, &AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))).map(|_| ())
    }

    pub(super) fn close_channel(&mut self, channel: u16) -> Result<(), PerfError> {
        let close = channel::Close { reply_code: 200, reply_text: "done".into(), class_id: 0, method_id: 0 };
        self.call(channel, &AMQPClass::Channel(channel::AMQPMethod::Close(close))).map(|_| ())
    }

    /// Closes the connection; input still in flight is discarded. The broker answers once it has processed all
    /// that was sent, so that none of it can appear in a later measurement; the timeout is `seconds`.
    pub(super) fn close(mut self, seconds: u64) -> Result<(), PerfError> {
        let close =
            connection::Close { reply_code: 200, reply_text: "done".into(), class_id: 0, method_id: 0 };
        self.write_method(0, &AMQPClass::Connection(connection::AMQPMethod::Close(close)))?;
        self.answer_within(0, seconds).map(|_| ())
    }

    /// Sends a method and waits for the next one on its channel that does not belong to content.
    pub(super) fn call(&mut self, channel: u16, method: &AMQPClass) -> Result<AMQPClass, PerfError> {
        self.write_method(channel, method)?;
        self.answer(channel)
    }

    pub(super) fn write_method(&mut self, channel: u16, method: &AMQPClass) -> Result<(), PerfError> {
        let mut frame = Vec::new();
        write_method(&mut frame, channel, method);
        self.write(&frame)
    }

    /// Writes all bytes, however long that takes.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), PerfError> {
        self.write_unless(bytes, || false).map(|_| ())
    }

    /// Writes all bytes, unless the broker accepts none for a while and `stop` says to give up: then returns
    /// `false`, and the connection is unusable.
    pub(super) fn write_unless(
        &mut self,
        mut bytes: &[u8],
        mut stop: impl FnMut() -> bool,
    ) -> Result<bool, PerfError> {
        while !bytes.is_empty() {
            match self.stream.write(bytes) {
                Ok(count) => bytes = &bytes[count..],
                Err(error) if is_timeout(&error) => {
                    if stop() {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(self.write_failed(error)),
            }
        }
        loop {
            match self.stream.flush() {
                Ok(()) => return Ok(true),
                Err(error) if is_timeout(&error) => {
                    if stop() {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(self.write_failed(error)),
            }
        }
    }

    /// A broker that closes the connection first sends the reason.
    fn write_failed(&mut self, error: io::Error) -> PerfError {
        for _ in 0..10 {
            match self.next_method(None) {
                Err(closed @ PerfError::Closed { .. }) => return closed,
                Err(_) => break,
                Ok(_) if !self.fill(Wait::Tick).unwrap_or(false) => break,
                Ok(_) => {}
            }
        }
        PerfError::Io { what: "writing to the broker".into(), source: error }
    }

    /// Reads available bytes into the buffer; `false` if none arrived in time.
    pub(super) fn fill(&mut self, wait: Wait) -> Result<bool, PerfError> {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        let space = &mut self.buffer[self.end..];
        match self.stream.read(space, wait) {
            Ok(0) => Err(PerfError::Io {
                what: "reading from the broker".into(),
                source: io::Error::new(io::ErrorKind::UnexpectedEof, "the broker hung up"),
            }),
            Ok(count) => {
                self.end += count;
                Ok(true)
            }
            Err(error) if is_timeout(&error) => Ok(false),
            Err(error) => Err(PerfError::Io { what: "reading from the broker".into(), source: error }),
        }
    }

    /// Bytes read and not yet consumed.
    pub(super) fn data(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(super) fn consume(&mut self, count: usize) {
        self.start += count;
    }

    /// The next method on `channel`, content excluded.
    pub(super) fn answer(&mut self, channel: u16) -> Result<AMQPClass, PerfError> {
        self.answer_within(channel, ANSWER_SECONDS)
    }

    fn answer_within(&mut self, channel: u16, seconds: u64) -> Result<AMQPClass, PerfError> {
        let deadline = clock::now() + seconds * 1_000_000_000;
        loop {
            if let Some(method) = self.next_method(Some(channel))? {
                return Ok(method);
            }
            if clock::now() > deadline {
                return Err(PerfError::Protocol(format!("no answer within {seconds} seconds")));
            }
            self.fill(Wait::Tick)?;
        }
    }

    /// The next method in the buffer that is an answer on `channel`; a close is an error.
    fn next_method(&mut self, channel: Option<u16>) -> Result<Option<AMQPClass>, PerfError> {
        loop {
            if self.data().starts_with(b"AMQP") {
                return Err(PerfError::Protocol("it does not speak AMQP 0-9-1".into()));
            }
            let found =
                scan(self.data(), self.frame_max).map_err(|why| PerfError::Protocol(why.to_string()))?;
            let Scan::Frame(frame) = found else {
                return Ok(None);
            };
            let method = match frame.kind {
                FrameKind::Method => Some(read_method(&self.data()[frame.payload])?),
                _ => None,
            };
            self.consume(frame.end);
            if let Some(method) = method
                && Some(frame.channel) == channel
                && is_answer(&method)
            {
                return Ok(Some(method));
            }
        }
    }
}

/// Parses a method's payload; a close is an error.
pub(super) fn read_method(payload: &[u8]) -> Result<AMQPClass, PerfError> {
    match parse_method(payload).map_err(|why| PerfError::Protocol(why.to_string()))? {
        AMQPClass::Connection(connection::AMQPMethod::Close(close)) => Err(PerfError::Closed {
            what: "connection",
            code: close.reply_code,
            text: close.reply_text.to_string(),
        }),
        AMQPClass::Channel(channel::AMQPMethod::Close(close)) => Err(PerfError::Closed {
            what: "channel",
            code: close.reply_code,
            text: close.reply_text.to_string(),
        }),
        method => Ok(method),
    }
}

/// Whether a method can answer a call, rather than arrive unsolicited.
fn is_answer(method: &AMQPClass) -> bool {
    use basic::AMQPMethod::{Ack, Cancel, Deliver, Nack, Return};
    use connection::AMQPMethod::{Blocked, Unblocked};
    !matches!(
        method,
        AMQPClass::Basic(Deliver(_) | Return(_) | Ack(_) | Nack(_) | Cancel(_))
            | AMQPClass::Connection(Blocked(_) | Unblocked(_))
    )
}

pub(super) fn unexpected(method: &AMQPClass) -> PerfError {
    let (class, id) = (method.get_amqp_class_id(), method.get_amqp_method_id());
    PerfError::Protocol(format!("method {class}.{id}"))
}

/// A name as a short string.
pub(super) fn name(text: &str) -> ShortString {
    short_string(text)
}
