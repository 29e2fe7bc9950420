//! A raw AMQP client for conversations: input and output are written as text, illegal frames included.
//!
//! `say("queue.declare queue=$q durable")` sends a method on channel 1; a leading number selects another channel.
//! Fields not named are zero, empty or false. `$` expands to a prefix unique to the test.
//! All waits have a deadline; heartbeats are skipped; an unexpected frame panics with the expected and the actual
//! text.

mod codec;
pub(crate) mod spec;
pub(crate) mod value;

use std::fmt;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

pub(crate) use codec::encode_header;
use codec::{Args, decode_fields, decode_props, encode_method};
use spec::MethodSpec;
use value::{Reader, Value, parse_args};

/// Time limit for any answer of the broker.
pub(crate) const PATIENCE: Duration = crate::wait::LIMIT;

pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;

/// Capabilities of a modern client, so that the broker sends all notifications.
const CAPABILITIES: &str = "{capabilities:{authentication_failure_close:true,consumer_cancel_notify:true,\
                            publisher_confirms:true,basic.nack:true,connection.blocked:true}}";

/// A frame as received.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) channel: u16,
    pub(crate) payload: Vec<u8>,
}

/// A received method, with its content if it has one.
pub(crate) struct Heard {
    pub(crate) channel: u16,
    pub(crate) spec: &'static MethodSpec,
    fields: Vec<(&'static str, Value)>,
    /// Properties that are present, as one table.
    pub(crate) props: Value,
    pub(crate) body: Vec<u8>,
}

impl Heard {
    /// A field of the method.
    #[track_caller]
    pub(crate) fn field(&self, name: &str) -> &Value {
        let found = self.fields.iter().find(|(n, _)| *n == name);
        &found.unwrap_or_else(|| panic!("{} has no field {name}", self.spec.name)).1
    }

    pub(crate) fn tag(&self) -> i64 {
        self.field("delivery_tag").int()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// A header of the message.
    pub(crate) fn header(&self, key: &str) -> Option<&Value> {
        self.props.get("headers").and_then(|h| h.get(key))
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.channel, self.spec.name)?;
        self.fields.iter().try_for_each(|(n, v)| write!(f, " {n}={v}"))
    }
}

/// A connection.
pub(crate) struct Client {
    stream: TcpStream,
    inbox: Vec<u8>,
    prefix: String,
    frame_max: usize,
}

impl Client {
    /// A TCP connection on which nothing has been sent yet.
    pub(crate) fn connect(addr: SocketAddr, prefix: &str) -> Self {
        let stream = TcpStream::connect_timeout(&addr, PATIENCE).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("write timeout");
        stream.set_nodelay(true).expect("nodelay");
        Self { stream, inbox: Vec::new(), prefix: prefix.to_owned(), frame_max: 131_072 }
    }

    /// A connection whose connection.start has been read.
    pub(crate) fn start(addr: SocketAddr, prefix: &str) -> Self {
        let mut client = Self::connect(addr, prefix);
        client.bytes(b"AMQP\x00\x00\x09\x01");
        client.hear("0 connection.start");
        client
    }

    /// A connection up to connection.tune, as guest; also returns the tune method.
    pub(crate) fn tune(addr: SocketAddr, prefix: &str) -> (Self, Heard) {
        let mut client = Self::start(addr, prefix);
        client.start_ok("PLAIN", "\\0guest\\0guest");
        let tune = client.hear("0 connection.tune");
        (client, tune)
    }

    /// An open connection as guest on `/`, with channel 1 open.
    pub(crate) fn open(addr: SocketAddr, prefix: &str) -> Self {
        Self::open_with(addr, prefix, 131_072, 0)
    }

    /// The same with a frame size and a heartbeat interval in seconds.
    pub(crate) fn open_with(addr: SocketAddr, prefix: &str, frame_max: u32, heartbeat: u16) -> Self {
        let (mut client, _) = Self::tune(addr, prefix);
        client.say(&format!(
            "0 connection.tune-ok channel_max=2047 frame_max={frame_max} heartbeat={heartbeat}"
        ));
        client.frame_max = frame_max as usize;
        client.say("0 connection.open virtual_host=/");
        client.hear("0 connection.open-ok");
        client.open_channel(1);
        client
    }

    /// A connection as another user, tuned; `connection.open` is sent, its answer not read.
    pub(crate) fn opening(addr: SocketAddr, user: &str, password: &str, vhost: &str) -> Self {
        let mut client = Self::start(addr, "");
        client.start_ok("PLAIN", &format!("\\0{user}\\0{password}"));
        client.hear("0 connection.tune");
        client.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
        client.say(&format!("0 connection.open virtual_host={vhost}"));
        client
    }

    /// An open connection as another user on `/`, with channel 1 open.
    pub(crate) fn open_as(addr: SocketAddr, user: &str, password: &str) -> Self {
        let mut client = Self::opening(addr, user, password, "/");
        client.hear("0 connection.open-ok");
        client.open_channel(1);
        client
    }

    pub(crate) fn start_ok(&mut self, mechanism: &str, response: &str) {
        self.say(&format!(
            "0 connection.start-ok client_properties={CAPABILITIES} mechanism={mechanism} response=\"{response}\" locale=en_US"
        ));
    }

    pub(crate) fn open_channel(&mut self, channel: u16) {
        self.say(&format!("{channel} channel.open"));
        self.hear(&format!("{channel} channel.open-ok"));
    }

    /// Writes raw octets. A closed connection is detected by the next read.
    pub(crate) fn bytes(&mut self, bytes: &[u8]) {
        match self.stream.write_all(bytes) {
            Err(e) if !is_gone(&e) => panic!("write: {e}"),
            _ => {}
        }
    }

    /// Writes octets; returns whether all were accepted within the write timeout.
    pub(crate) fn try_bytes(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).is_ok()
    }

    /// Shuts down the sending direction.
    pub(crate) fn finish_writing(&mut self) {
        // Fails if the broker has already closed the socket.
        drop(self.stream.shutdown(std::net::Shutdown::Write));
    }

    /// Aborts the connection with a reset.
    pub(crate) fn reset(self) {
        let at_once = Some(Duration::ZERO);
        rustix::net::sockopt::set_socket_linger(&self.stream, at_once).expect("linger");
    }

    /// The local port, by which the broker's log names this connection.
    pub(crate) fn local_port(&self) -> u16 {
        self.stream.local_addr().expect("an address").port()
    }

    /// Sets the write timeout.
    pub(crate) fn write_patience(&mut self, patience: Duration) {
        self.stream.set_write_timeout(Some(patience)).expect("write timeout");
    }

    /// Sets the read timeout.
    pub(crate) fn read_patience(&mut self, patience: Duration) {
        self.stream.set_read_timeout(Some(patience)).expect("read timeout");
    }

    /// The next method, if one arrives within the read timeout.
    pub(crate) fn next_or_nothing(&mut self) -> Option<Heard> {
        let mut first = [0];
        if self.inbox.is_empty() && !matches!(self.stream.peek(&mut first), Ok(1..)) {
            return None;
        }
        self.try_next()
    }

    pub(crate) fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        self.bytes(&frame_bytes(kind, channel, payload));
    }

    /// Sends a method.
    #[track_caller]
    pub(crate) fn say(&mut self, text: &str) {
        let (channel, spec, args) = parse_line(text, &self.prefix);
        let payload = encode_method(spec, &args);
        self.frame(METHOD, channel, &payload);
    }

    /// Sends a method, with content if given, followed by `channel.close` in the same packet.
    #[track_caller]
    pub(crate) fn say_with_close(&mut self, text: &str, body: Option<&str>) {
        let (channel, spec, args) = parse_line(text, &self.prefix);
        let mut bytes = frame_bytes(METHOD, channel, &encode_method(spec, &args));
        if let Some(body) = body {
            bytes.extend(frame_bytes(HEADER, channel, &encode_header(60, body.len() as u64, "")));
            bytes.extend(frame_bytes(BODY, channel, body.as_bytes()));
        }
        bytes.extend(frame_bytes(
            METHOD,
            channel,
            &encode_method(spec::by_name("channel.close"), &Vec::new()),
        ));
        self.bytes(&bytes);
    }

    /// Whether the broker neither closes the socket nor sends anything for this long.
    pub(crate) fn is_left_open_for(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).expect("read timeout");
        let read = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).expect("read timeout");
        matches!(read, Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }

    /// A method's frame, not sent.
    pub(crate) fn method_bytes(&self, text: &str) -> Vec<u8> {
        let (channel, spec, args) = parse_line(text, &self.prefix);
        frame_bytes(METHOD, channel, &encode_method(spec, &args))
    }

    /// Publishes on channel 1: the fields of basic.publish, and a body.
    #[track_caller]
    pub(crate) fn publish(&mut self, args: &str, body: impl AsRef<[u8]>) {
        self.publish_with(args, "", body);
    }

    /// The same with properties, such as `delivery_mode=2 headers={a:1}`.
    #[track_caller]
    pub(crate) fn publish_with(&mut self, args: &str, props: &str, body: impl AsRef<[u8]>) {
        let bytes = self.publish_bytes(1, args, props, body.as_ref());
        self.bytes(&bytes);
    }

    /// The frames of one publish, for sending in bulk or in pieces.
    #[track_caller]
    pub(crate) fn publish_bytes(&self, channel: u16, args: &str, props: &str, body: &[u8]) -> Vec<u8> {
        let (_, spec, fields) = parse_line(&format!("basic.publish {args}"), &self.prefix);
        let mut out = frame_bytes(METHOD, channel, &encode_method(spec, &fields));
        let props = props.replace('$', &self.prefix);
        out.extend(frame_bytes(HEADER, channel, &encode_header(60, body.len() as u64, &props)));
        for part in body.chunks(self.frame_max - 8) {
            out.extend(frame_bytes(BODY, channel, part));
        }
        out
    }

    /// The next frame that is not a heartbeat; `None` if the broker has closed the socket.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        loop {
            let frame = self.any_frame()?;
            if frame.kind != HEARTBEAT {
                return Some(frame);
            }
        }
    }

    /// The next frame, heartbeats included.
    #[track_caller]
    pub(crate) fn any_frame(&mut self) -> Option<Frame> {
        loop {
            if self.inbox.len() >= 7 {
                let mut reader = Reader(&self.inbox);
                let kind = reader.take(1)[0];
                let channel = u16::try_from(reader.uint(2)).expect("two octets");
                let size = usize::try_from(reader.uint(4)).expect("size");
                if self.inbox.len() >= size + 8 {
                    assert_eq!(self.inbox[size + 7], 0xCE, "the broker's frame end");
                    let payload = self.inbox[7..size + 7].to_vec();
                    self.inbox.drain(..size + 8);
                    return Some(Frame { kind, channel, payload });
                }
            }
            let mut buffer = [0; 16_384];
            match self.stream.read(&mut buffer) {
                Ok(0) => return None,
                Ok(n) => self.inbox.extend(&buffer[..n]),
                Err(e) if is_gone(&e) => return None,
                // Happens when this process is stopped for a while: reads with a timeout are not restarted
                // automatically.
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => panic!("nothing heard from the broker: {e}"),
            }
        }
    }

    /// The next method, with its content.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Heard {
        self.try_next().unwrap_or_else(|| panic!("the broker closed the socket"))
    }

    /// The same; `None` if the broker has closed the socket, even within a content.
    #[track_caller]
    pub(crate) fn try_next(&mut self) -> Option<Heard> {
        let frame = self.next_frame()?;
        assert_eq!(frame.kind, METHOD, "a method frame, not {frame:?}");
        let mut reader = Reader(&frame.payload);
        let (class, id) = (reader.uint(2), reader.uint(2));
        let spec = u16::try_from(class).ok().zip(u16::try_from(id).ok());
        let spec = spec.and_then(|(c, i)| spec::by_number(c, i)).expect("a method of the protocol");
        let fields = decode_fields(spec, &mut reader);
        let mut heard =
            Heard { channel: frame.channel, spec, fields, props: Value::Table(vec![]), body: vec![] };
        if spec.has_content() {
            self.read_content(&mut heard)?;
        }
        Some(heard)
    }

    #[track_caller]
    fn read_content(&mut self, heard: &mut Heard) -> Option<()> {
        let header = self.next_frame()?;
        assert_eq!((header.kind, header.channel), (HEADER, heard.channel), "a content header");
        let mut reader = Reader(&header.payload);
        assert_eq!((reader.uint(2), reader.uint(2)), (60, 0), "class and weight");
        let size = usize::try_from(reader.uint(8)).expect("size");
        heard.props = Value::Table(decode_props(&mut reader));
        while heard.body.len() < size {
            let part = self.next_frame()?;
            assert_eq!((part.kind, part.channel), (BODY, heard.channel), "a body frame");
            heard.body.extend(part.payload);
        }
        assert_eq!(heard.body.len(), size, "body size");
        Some(())
    }

    /// The next method must be this one, with these fields; other fields are ignored.
    #[track_caller]
    pub(crate) fn hear(&mut self, text: &str) -> Heard {
        let heard = self.next();
        self.check(&heard, text);
        heard
    }

    #[track_caller]
    fn check(&self, heard: &Heard, text: &str) {
        let (channel, spec, args) = parse_line(text, &self.prefix);
        assert!(
            heard.channel == channel && std::ptr::eq(heard.spec, spec),
            "expected {text}\n     got {heard}"
        );
        for (name, want) in args {
            let got = heard.field(&name);
            let same = match (got, &want) {
                (Value::Int(_, a), Value::Int(_, b)) => a == b,
                (Value::Bool(a), Value::Int(_, b)) => i64::from(*a) == *b,
                // A bare number where the protocol has a string.
                (Value::Str(a), Value::Int(_, b)) => *a == b.to_string().into_bytes(),
                (a, b) => a == b,
            };
            assert!(same, "expected {text}\n     got {heard}\n   field {name}");
        }
    }

    /// Sends a method and expects this answer.
    #[track_caller]
    pub(crate) fn ask(&mut self, say: &str, hear: &str) -> Heard {
        self.say(say);
        self.hear(hear)
    }

    /// Declares a queue and returns its name.
    #[track_caller]
    pub(crate) fn declare(&mut self, args: &str) -> String {
        self.say(&format!("queue.declare {args}"));
        self.hear("queue.declare-ok").field("queue").str()
    }

    /// Number of ready messages and consumers of a queue.
    #[track_caller]
    pub(crate) fn counts(&mut self, queue: &str) -> (i64, i64) {
        self.say(&format!("queue.declare queue={queue} passive"));
        let ok = self.hear("queue.declare-ok");
        (ok.field("message_count").int(), ok.field("consumer_count").int())
    }

    /// Waits until the queue has this many ready messages.
    #[track_caller]
    pub(crate) fn wait_ready(&mut self, queue: &str, want: i64) {
        crate::wait::until(&format!("{want} messages in {queue}"), || self.counts(queue).0 == want);
    }

    /// Enables publisher confirms.
    pub(crate) fn confirms(&mut self) {
        self.ask("confirm.select", "confirm.select-ok");
    }

    /// Publishes and waits for the broker's ack; requires `confirms` first.
    #[track_caller]
    pub(crate) fn publish_confirmed(&mut self, args: &str, props: &str, body: impl AsRef<[u8]>) {
        self.publish_with(args, props, body);
        self.hear("basic.ack");
    }

    /// Gets one message without acknowledgement.
    #[track_caller]
    pub(crate) fn take(&mut self, queue: &str) -> Heard {
        self.ask(&format!("basic.get queue={queue} no_ack"), "basic.get-ok")
    }

    /// Gets all ready messages without acknowledgement, as text.
    #[track_caller]
    pub(crate) fn drain(&mut self, queue: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            self.say(&format!("basic.get queue={queue} no_ack"));
            let heard = self.next();
            match heard.spec.name {
                "basic.get-ok" => all.push(heard.text()),
                "basic.get-empty" => return all,
                _ => panic!("instead of a message: {heard}"),
            }
        }
    }

    /// Deletes a queue; methods received before the answer are ignored.
    #[track_caller]
    pub(crate) fn delete(&mut self, queue: &str) {
        self.say(&format!("queue.delete queue=\"{queue}\""));
        while self.next().spec.name != "queue.delete-ok" {}
    }

    /// Nothing more was sent on channel 1: a round trip is answered, with nothing before it.
    #[track_caller]
    pub(crate) fn silent(&mut self) {
        self.ask("channel.flow active", "channel.flow-ok active=1");
    }

    /// The queue has delivered nothing: a round trip through it is answered first.
    #[track_caller]
    pub(crate) fn silent_after(&mut self, queue: &str) {
        self.counts(queue);
        self.silent();
    }

    /// Expects channel.close on channel 1 with this code, this method and these words in its text; answers it.
    /// `?connection.open` accepts either that method or none.
    #[track_caller]
    pub(crate) fn channel_closes(&mut self, code: i64, method: &str, words: &str) {
        let heard = self.next();
        self.check_close(&heard, "channel.close", code, method, words);
        self.say(&format!("{} channel.close-ok", heard.channel));
    }

    /// Expects connection.close likewise; answers it, and expects the broker to close the socket.
    #[track_caller]
    pub(crate) fn connection_closes(&mut self, code: i64, method: &str, words: &str) {
        let heard = self.next();
        assert_eq!(heard.channel, 0, "channel of {heard}");
        self.check_close(&heard, "connection.close", code, method, words);
        self.say("0 connection.close-ok");
        self.hangs_up();
    }

    #[track_caller]
    fn check_close(&self, heard: &Heard, kind: &str, code: i64, method: &str, words: &str) {
        assert_eq!(heard.spec.name, kind, "expected {kind} {code} by {method}, got {heard}");
        assert_eq!(heard.field("reply_code").int(), code, "code of {heard}");
        let text = heard.field("reply_text").str();
        let words = words.replace('$', &self.prefix);
        assert!(text.contains(&words), "{words:?} should be in {text:?}");
        assert!(text.len() <= 255, "a short string");
        let blamed = (heard.field("class_id").int(), heard.field("method_id").int());
        let optional = method.strip_prefix('?');
        let method = optional.unwrap_or(method);
        let want = if method.is_empty() {
            (0, 0)
        } else {
            let spec = spec::by_name(method);
            (i64::from(spec.class), i64::from(spec.id))
        };
        let none_is_fine = optional.is_some() && blamed == (0, 0);
        assert!(none_is_fine || blamed == want, "blamed is {blamed:?}, not {want:?}: {heard}");
    }

    /// Expects the broker to close the socket without sending anything more.
    #[track_caller]
    pub(crate) fn hangs_up(&mut self) {
        if let Some(frame) = self.next_frame() {
            panic!("instead of closing the socket the broker sent {frame:?}");
        }
    }

    /// All octets until the broker closes the socket, for input that is not frames.
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let mut all = std::mem::take(&mut self.inbox);
        match self.stream.read_to_end(&mut all) {
            Err(e) if !is_gone(&e) => panic!("the broker does not close the socket: {e}"),
            _ => all,
        }
    }

    /// Closes the connection in an orderly way.
    pub(crate) fn close(mut self) {
        self.say("0 connection.close reply_code=200 reply_text=bye");
        while let Some(heard) = self.try_next() {
            if heard.spec.name == "connection.close-ok" {
                break;
            }
        }
    }

    /// Replaces `$` by the prefix.
    pub(crate) fn expand(&self, text: &str) -> String {
        text.replace('$', &self.prefix)
    }
}

fn is_gone(e: &std::io::Error) -> bool {
    matches!(e.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted)
}

/// A frame with its end octet.
pub(crate) fn frame_bytes(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut out = vec![kind];
    out.extend(channel.to_be_bytes());
    out.extend(u32::try_from(payload.len()).expect("size").to_be_bytes());
    out.extend(payload);
    out.push(0xCE);
    out
}

#[track_caller]
fn parse_line(text: &str, prefix: &str) -> (u16, &'static MethodSpec, Args) {
    let text = text.replace('$', prefix);
    let text = text.trim();
    let (channel, text) = match text.split_once(' ') {
        Some((n, rest)) if n.bytes().all(|b| b.is_ascii_digit()) => (n.parse().expect("channel"), rest),
        _ => (1, text),
    };
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    let spec = spec::by_name(name);
    let args = parse_args(rest).into_iter();
    let args: Args = args.map(|(k, v)| (k.to_owned(), v.unwrap_or(Value::Int(b'I', 1)))).collect();
    for (key, _) in &args {
        assert!(spec.fields.iter().any(|(n, _)| n == key), "{name} has no field {key}");
    }
    (channel, spec, args)
}
