//! One connection as a state machine without I/O: bytes in, frames into its outbox, and an outcome that says what
//! its owner must wait for.
//!
//! Invariants: nothing here waits, except that methods which change definitions may touch the disk (and run only
//! when the caller allows it); input after a connection error is ignored; publishes are carried out in order of
//! arrival, before anything behind them on the same connection.
//! Absent: sockets, tasks, timers; the time is an argument.

use std::net::SocketAddr;
use std::sync::Arc;

use leveret_broker::Broker;
use leveret_broker::identity::Identity;
use leveret_broker::limits::{HANDSHAKE_FRAME_MAX, Limits};
use leveret_broker::names::{ConnectionId, UserName};
use leveret_broker::publish::Publisher;
use leveret_broker::queue_handle::QueueHandle;
use leveret_broker::registry::{ConnectionControl, ConnectionFacts, ConnectionHandle, QuotaUse, TlsFacts};
use leveret_broker::turn::{Aside, Turn};
use leveret_broker::users::AccessRights;
use leveret_broker::vhost::Vhost;
use leveret_message::Millis;
use rustc_hash::FxHashMap;

use super::channel::Channel;
use super::content::{Publication, Rules, STREAMED_BYTES};
use super::error::{AmqpError, MethodId, ReplyCode, bad_frame, bad_method};
use super::exclusive::Exclusive;
use super::held_up::HeldUp;
use super::holding::Holding;
use super::left::{CloseAnswer, Left};
use super::outbox::Outbox;
use super::overdue::ChannelCloser;
use super::unacked::Unacked;
use crate::log_connection;
use crate::wire::control::{MethodError, method_id, parse_method};
use crate::wire::frame::{FRAME_HEAD_BYTES, Frame, FrameKind, Scan, partial_body, scan};
use crate::wire::hot_in::{HotMethod, hot_method};
use crate::wire::method::{AMQPClass, FieldTable};
use crate::wire::opening::{Opening, PROTOCOL_HEADER, detect};

/// Where the client comes from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's address.
    pub address: SocketAddr,
    /// The broker's address.
    pub local: SocketAddr,
    /// TLS parameters; `None` for plain TCP.
    pub tls: Option<Arc<TlsFacts>>,
}

impl Peer {
    /// The user named by the client's certificate.
    pub(super) fn certified_user(&self) -> Option<&str> {
        self.tls.as_ref()?.certificate.as_ref()?.user.as_deref()
    }

    /// The connection's name, in `RabbitMQ`'s form: `client -> server`.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.address, self.local)
    }
}

/// State of the conversation.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Header,
    StartOk,
    TuneOk,
    Open,
    Running,
    /// `connection.close` was sent; its answer is awaited.
    Closing,
    /// Nothing more is read.
    Closed,
}

/// Why [`Connection::receive`] returned.
#[derive(Debug)]
pub enum Outcome {
    /// More bytes are needed.
    More,
    /// The next frame may wait for the disk: call again with `may_block`, where blocking harms nobody.
    MayBlock,
    /// The next frame requires a password check, which is slow: the same, one connection at a time.
    Password,
    /// The next frame needs a message that is being read from disk: call again when [`QueueHandle::poll_head`]
    /// is ready.
    Head(Arc<QueueHandle>),
    /// Publishers are throttled: read on when the store has room and no alarm is raised.
    Throttled,
    /// The next frame cannot be handled while publishes wait: read nothing until they may proceed.
    Waiting,
    /// The conversation is over: write out the outbox, then close the socket.
    Over,
}

/// Parameters negotiated in `connection.tune-ok`.
#[derive(Clone, Debug, Default)]
pub struct Negotiated {
    /// Largest frame in bytes, both directions.
    pub frame_max: u32,
    /// Channels open at a time, whatever their numbers.
    pub channel_max: u16,
    /// Heartbeat interval in seconds; 0 for none.
    pub heartbeat_s: u16,
}

/// What the client reported about itself.
#[derive(Clone, Debug, Default)]
pub struct ClientInfo {
    /// `client-properties` of `connection.start-ok`.
    pub properties: Arc<FieldTable>,
    /// SASL mechanism used.
    pub mechanism: String,
}

/// A body frame that is consumed piece by piece.
pub(super) struct OpenBody {
    pub(super) channel: u16,
    pub(super) left: usize,
}

/// See the module.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, not a state")]
pub struct Connection {
    /// Process-unique.
    pub id: ConnectionId,
    /// Where the client connects from.
    pub peer: Peer,
    /// Negotiated parameters; zeros before.
    pub negotiated: Negotiated,
    /// What the client reported about itself.
    pub client: ClientInfo,
    pub(super) broker: Arc<Broker>,
    /// The limits in force at accept.
    pub(super) limits: Arc<Limits>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) ender: Option<Arc<dyn ChannelCloser>>,
    pub(super) phase: Phase,
    pub(super) turn: Turn,
    pub(super) identity: Option<Identity>,
    pub(super) vhost: Option<Arc<Vhost>>,
    pub(super) rights: Option<AccessRights>,
    /// Counts the connection for its user.
    pub(super) quota_use: Option<QuotaUse>,
    pub(super) channels: FxHashMap<u16, Channel>,
    pub(super) left: Left,
    pub(super) publisher: Publisher,
    pub(super) batch: Batch,
    pub(super) acked: Vec<Unacked>,
    pub(super) acked_on: u16,
    pub(super) exclusive: Exclusive,
    pub(super) throttled: bool,
    pub(super) held_up: HeldUp,
    pub(super) holding: Holding,
    /// `connection.blocked` was sent.
    pub(super) blocked: bool,
    /// The connection as others see it; from `connection.open-ok` on.
    pub(super) handle: Option<Arc<ConnectionHandle>>,
    remote: Option<Arc<dyn ConnectionControl>>,
    pub(super) open_body: Option<OpenBody>,
    /// The client is py-amqp: `basic.qos` has another meaning, and its deliveries come later.
    pub(super) py_amqp: bool,
    /// The client closed the connection and got its answer.
    pub(super) client_closes: bool,
}

/// Publishes of one channel that are carried out together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) channel: u16,
    pub(super) messages: Vec<Publication>,
}

impl Connection {
    /// A newly accepted connection.
    pub fn new(broker: Arc<Broker>, id: ConnectionId, peer: Peer, outbox: Arc<Outbox>) -> Self {
        let limits = broker.limits();
        Self {
            id,
            peer,
            negotiated: Negotiated { frame_max: HANDSHAKE_FRAME_MAX, ..Negotiated::default() },
            client: ClientInfo::default(),
            broker,
            limits,
            outbox,
            ender: None,
            phase: Phase::Header,
            turn: Turn::default(),
            identity: None,
            vhost: None,
            rights: None,
            quota_use: None,
            channels: FxHashMap::default(),
            left: Left::default(),
            publisher: Publisher::default(),
            batch: Batch::default(),
            acked: Vec::new(),
            acked_on: 0,
            exclusive: Exclusive::default(),
            throttled: false,
            held_up: HeldUp::default(),
            holding: Holding::default(),
            blocked: false,
            handle: None,
            remote: None,
            open_body: None,
            py_amqp: false,
            client_closes: false,
        }
    }

    /// Sets how long work is done.
    pub fn does_aside(&mut self, aside: Aside) {
        self.turn.does_aside(aside);
    }

    /// Sets how others control the connection.
    pub fn reached_by(&mut self, remote: Arc<dyn ConnectionControl>) {
        self.remote = Some(remote);
    }

    /// Registers the connection, visible to others.
    pub(super) fn register(&mut self, vhost: &Vhost) {
        let (Some(user), Some(remote)) = (self.user().cloned(), self.remote.take()) else { return };
        let facts = ConnectionFacts {
            id: self.id,
            peer: self.peer.address,
            local: self.peer.local,
            tls: self.peer.tls.clone(),
            user,
            vhost: vhost.name.clone(),
            mechanism: self.client.mechanism.clone(),
            client_properties: Arc::clone(&self.client.properties),
            channel_max: self.negotiated.channel_max,
            frame_max: self.negotiated.frame_max,
            heartbeat_s: self.negotiated.heartbeat_s,
            connected_at: self.turn.now,
        };
        let traffic = Arc::clone(&self.outbox.traffic);
        let handle = ConnectionHandle::new(facts, traffic, Arc::clone(&self.outbox) as _, remote);
        self.broker.connection_opened(vhost, &handle);
        self.handle = Some(handle);
    }

    /// The logged-in user.
    pub(super) fn user(&self) -> Option<&UserName> {
        self.identity.as_ref().map(|identity| &identity.user)
    }

    /// When the client's credentials expire, and the connection with them.
    pub fn expires(&self) -> Option<Millis> {
        self.identity.as_ref()?.expires()
    }

    /// Counts bytes read from the socket.
    pub fn add_received(&self, bytes: usize) {
        self.outbox.traffic.add_received(bytes);
    }

    /// Whether `connection.open-ok` was sent.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Header | Phase::StartOk | Phase::TuneOk | Phase::Open)
    }

    /// Whether our `connection.close` awaits its answer.
    pub fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }

    /// Whether the client closed the connection, so that it closes the socket, too, once it has our answer.
    pub fn client_closes(&self) -> bool {
        self.client_closes
    }

    /// Handles the complete frames in `bytes`. Returns the number of bytes consumed; the caller presents the
    /// rest again, with more behind it.
    pub fn receive(&mut self, now: Millis, bytes: &[u8], may_block: bool) -> (usize, Outcome) {
        self.turn.restart(now);
        self.tell_unblocked();
        let (used, outcome) =
            if self.go_on() { self.work_through(bytes, may_block) } else { (0, Outcome::More) };
        self.flush();
        self.count_if_due();
        self.broker.finish(&mut self.turn);
        match outcome {
            Outcome::More if self.phase == Phase::Closed => (used, Outcome::Over),
            Outcome::More if std::mem::take(&mut self.throttled) => (used, Outcome::Throttled),
            outcome => (used, outcome),
        }
    }

    fn work_through(&mut self, bytes: &[u8], mut may_block: bool) -> (usize, Outcome) {
        let mut at = 0;
        if self.phase == Phase::Header {
            match self.opening(bytes) {
                Some(used) => at = used,
                None => return (0, Outcome::More),
            }
        }
        while self.phase != Phase::Closed {
            if self.open_body.is_some() {
                match self.continue_body(&bytes[at..]) {
                    Some(used) => at += used,
                    None => return (bytes.len(), Outcome::More),
                }
                continue;
            }
            match scan(&bytes[at..], self.negotiated.frame_max) {
                Err(error) => {
                    self.flush();
                    self.fail_aloud(&bad_frame(&error));
                    // The start of the next frame is unknown from here on.
                    self.phase = Phase::Closed;
                }
                Ok(Scan::Incomplete { .. }) => {
                    let rest = &bytes[at..];
                    if rest.len() > STREAMED_BYTES
                        && let Ok(Some(part)) = partial_body(rest, self.negotiated.frame_max)
                    {
                        if self.phase != Phase::Closing {
                            self.body_piece(part.channel, &rest[FRAME_HEAD_BYTES..]);
                        }
                        let left = part.size as usize - part.available;
                        self.open_body = Some(OpenBody { channel: part.channel, left });
                        return (bytes.len(), Outcome::More);
                    }
                    return (at, Outcome::More);
                }
                Ok(Scan::Frame(frame))
                    if self.held_up.on && self.has_to_wait(&frame, &bytes[at..][frame.payload.clone()]) =>
                {
                    return (at, Outcome::Waiting);
                }
                Ok(Scan::Frame(frame)) => match self.frame(&bytes[at..], &frame, may_block) {
                    Step::Used(used) => at += used,
                    Step::Blocked(outcome) => return (at, outcome),
                    Step::Blocking(used) => {
                        at += used;
                        may_block = false;
                    }
                    Step::Head(queue) => return (at, Outcome::Head(queue)),
                },
            }
        }
        (bytes.len(), Outcome::Over)
    }

    /// The protocol header. `None`: incomplete.
    fn opening(&mut self, bytes: &[u8]) -> Option<usize> {
        match detect(bytes) {
            Opening::Incomplete => None,
            Opening::Accepted => {
                self.start();
                Some(PROTOCOL_HEADER.len())
            }
            other => {
                log_connection!(warn, self, "not AMQP 0-9-1, closing: {other:?}");
                let _ =
                    self.outbox.put_bytes(&PROTOCOL_HEADER).map(|writer| self.turn.owe_wake(Some(writer)));
                self.phase = Phase::Closed;
                Some(bytes.len())
            }
        }
    }

    fn frame(&mut self, bytes: &[u8], frame: &Frame, may_block: bool) -> Step {
        if self.phase != Phase::Running && self.out_of_turn(frame) {
            return Step::Used(frame.end);
        }
        let payload = &bytes[frame.payload.clone()];
        match frame.kind {
            FrameKind::Heartbeat => {
                if frame.channel != 0 {
                    self.fail(&unexpected("heartbeat on a channel other than 0"));
                }
                Step::Used(frame.end)
            }
            FrameKind::Method => self.method_frame(bytes, frame, payload, may_block),
            FrameKind::Header => {
                self.header_piece(frame.channel, payload);
                Step::Used(frame.end)
            }
            FrameKind::Body => {
                self.body_piece(frame.channel, payload);
                Step::Used(frame.end)
            }
        }
    }

    /// Whether a frame is ignored because the connection is not open yet, or no longer.
    fn out_of_turn(&mut self, frame: &Frame) -> bool {
        if self.phase == Phase::Closing {
            return frame.kind != FrameKind::Method;
        }
        if frame.channel != 0 {
            self.fail(&unexpected("frame on a channel before the connection is open"));
        }
        frame.channel != 0
    }

    fn method_frame(&mut self, bytes: &[u8], frame: &Frame, payload: &[u8], may_block: bool) -> Step {
        let channel = frame.channel;
        let hot = match hot_method(payload) {
            Ok(hot) => hot,
            Err(error) => {
                self.flush();
                self.fail(&bad_method(&error, payload));
                return Step::Used(frame.end);
            }
        };
        if self.phase == Phase::Running && hot != HotMethod::Other {
            match self.channels.get_mut(&channel) {
                Some(open) if open.closing => return Step::Used(frame.end),
                Some(open) if open.content.is_some() => {
                    self.fail(&cut_short());
                    return Step::Used(frame.end);
                }
                Some(_) => {}
                None => {
                    self.flush();
                    self.no_channel(channel, payload);
                    return Step::Used(frame.end);
                }
            }
            return match hot {
                HotMethod::Publish(publish) => Step::Used(self.publish_frames(bytes, frame, &publish)),
                HotMethod::Ack { delivery_tag, multiple } => {
                    self.ack(channel, delivery_tag, multiple);
                    Step::Used(frame.end)
                }
                HotMethod::Nack { delivery_tag, multiple, requeue } => {
                    self.flush();
                    self.nack(channel, delivery_tag, multiple, requeue, MethodId(60, 120));
                    Step::Used(frame.end)
                }
                HotMethod::Reject { delivery_tag, requeue } => {
                    self.flush();
                    self.nack(channel, delivery_tag, false, requeue, MethodId(60, 90));
                    Step::Used(frame.end)
                }
                HotMethod::Other => Step::Used(frame.end),
            };
        }
        self.flush();
        match parse_method(payload) {
            Ok(method) => {
                let blocks = self.may_block(&method);
                let blocking = match blocks {
                    Some(outcome) if !may_block => return Step::Blocked(outcome),
                    blocks => blocks.is_some(),
                };
                let id =
                    method_id(payload).map(|(class, method)| MethodId(class, method)).unwrap_or_default();
                if let Some(used) = self.row(bytes, frame, &method, id) {
                    return Step::Blocking(used);
                }
                match self.method(channel, method, id, payload) {
                    Some(queue) => Step::Head(queue),
                    None if blocking => Step::Blocking(frame.end),
                    None => Step::Used(frame.end),
                }
            }
            Err(error) => {
                if self.phase != Phase::Closing {
                    self.unreadable(channel, error, payload);
                }
                Step::Used(frame.end)
            }
        }
    }

    /// A malformed method. Arguments that merely exceed our limits close only the channel.
    fn unreadable(&mut self, channel: u16, error: MethodError, payload: &[u8]) {
        let error = bad_method(&error, payload);
        if error.closes_connection {
            return self.fail(&error);
        }
        match self.channels.get(&channel) {
            Some(open) if open.closing => {}
            Some(open) if open.content.is_some() => self.fail(&cut_short()),
            Some(_) => self.fail_on(channel, &error),
            None if channel == 0 => self.fail(&error),
            None => self.no_channel(channel, payload),
        }
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules {
            message_bytes_max: self.limits.message_bytes_max,
            user: self.user().map_or("", UserName::as_str),
            may_impersonate: self
                .rights
                .as_ref()
                .is_some_and(|rights| rights.tags.iter().any(|tag| tag == "impersonator")),
        }
    }

    /// Puts a method frame into the outbox.
    pub(super) fn send(&mut self, channel: u16, method: &AMQPClass) {
        let writer = self.outbox.put(channel, method);
        self.turn.owe_wake(writer);
    }

    /// A frame on a channel that is not open.
    pub(super) fn no_channel(&mut self, channel: u16, payload: &[u8]) {
        if self.left.close_answer(channel) == Some(CloseAnswer::Owed) {
            return;
        }
        let (class, method) = method_id(payload).unwrap_or_default();
        let text = match channel {
            0 => "unexpected method in connection state".to_owned(),
            _ => format!("expected 'channel.open' on channel {channel}"),
        };
        self.fail(&AmqpError::new(ReplyCode::ChannelError, MethodId(class, method), text));
    }
}

/// Result of handling a frame.
enum Step {
    /// Done; the number of bytes consumed.
    Used(usize),
    /// Not done: it may block, which was not allowed.
    Blocked(Outcome),
    /// Done, and the permission to block is spent.
    Blocking(usize),
    /// Not done: the queue's head must be read first.
    Head(Arc<QueueHandle>),
}

pub(super) fn unexpected(text: &str) -> AmqpError {
    AmqpError::new(ReplyCode::UnexpectedFrame, MethodId::default(), text)
}

/// A publish whose content did not arrive.
pub(super) fn cut_short() -> AmqpError {
    let text = "expected content header or body, got a method instead";
    AmqpError::new(ReplyCode::UnexpectedFrame, super::content::PUBLISH, text)
}
