//! One connection as a machine without I/O: bytes in, frames into its outbox, and an outcome that
//! says what its owner has to wait for.
//!
//! Invariants: nothing here waits, except that methods which change definitions may touch the disk
//! (and are done only when the caller allows it); what comes after a connection error is ignored;
//! publishes are carried out in the order in which they came, before anything that comes behind them
//! on the same connection.
//! Absent: sockets, tasks, timers; the time is an argument.

use std::net::SocketAddr;
use std::sync::Arc;

use leveret_queues::Millis;
use rustc_hash::FxHashMap;

use super::channel::Channel;
use super::content::{Publication, Rules, STREAMED_BYTES};
use super::error::{AmqpError, MethodId, ReplyCode, bad_frame, bad_method};
use super::exclusive::Exclusive;
use super::held_up::HeldUp;
use super::holding::Holding;
use super::left::{CloseAnswer, Left};
use super::log_connection::log_connection;
use super::outbox::Outbox;
use super::overdue::ChannelCloser;
use super::unacked::Unacked;
use crate::broker::Broker;
use crate::broker::identity::Identity;
use crate::broker::limits::{HANDSHAKE_FRAME_MAX, Limits};
use crate::broker::names::{ConnectionId, UserName};
use crate::broker::publish::Publisher;
use crate::broker::queue_handle::QueueHandle;
use crate::broker::registry::{ConnectionControl, ConnectionFacts, ConnectionHandle, QuotaUse, TlsFacts};
use crate::broker::turn::{Aside, Turn};
use crate::broker::users::AccessRights;
use crate::broker::vhost::Vhost;
use crate::wire::control::{MethodError, method_id, parse_method};
use crate::wire::frame::{FRAME_HEAD_BYTES, Frame, FrameKind, Scan, partial_body, scan};
use crate::wire::hot_in::{HotMethod, hot_method};
use crate::wire::method::{AMQPClass, FieldTable};
use crate::wire::opening::{Opening, PROTOCOL_HEADER, detect};

/// Where the client comes from.
#[derive(Clone, Debug)]
pub struct Peer {
    /// The client's end.
    pub address: SocketAddr,
    /// Our end.
    pub local: SocketAddr,
    /// How the connection is encrypted, if it is.
    pub tls: Option<Arc<TlsFacts>>,
}

impl Peer {
    /// The user that the client's certificate names.
    pub(super) fn certified_user(&self) -> Option<&str> {
        self.tls.as_ref()?.certificate.as_ref()?.user.as_deref()
    }

    /// As `RabbitMQ` names a connection: `client -> server`.
    pub fn name(&self) -> String {
        format!("{} -> {}", self.address, self.local)
    }
}

/// How far the conversation is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    Header,
    StartOk,
    TuneOk,
    Open,
    Running,
    /// We sent `connection.close` and wait for its answer.
    Closing,
    /// Nothing more is read.
    Closed,
}

/// Why [`Connection::receive`] returned.
#[derive(Debug)]
pub enum Outcome {
    /// More bytes are needed.
    More,
    /// The next frame may wait for the disk: call again, allowing it, where that harms nobody.
    MayBlock,
    /// The next frame has a password checked, which is slow: the same, and one at a time.
    Password,
    /// The next frame needs a message that is being read from disk: call again when
    /// [`QueueHandle::poll_head`] is ready.
    Head(Arc<QueueHandle>),
    /// Publishers are to be slowed down: read on when the store has room and no alarm holds.
    Throttled,
    /// The next frame cannot be dealt with while publishes wait: nothing is read until they may go on.
    Waiting,
    /// The conversation is over: write out what is in the outbox, then close the socket.
    Over,
}

/// What a client asked for when it tuned and opened the connection.
#[derive(Clone, Debug, Default)]
pub struct Negotiated {
    /// Largest frame in bytes, either way.
    pub frame_max: u32,
    /// Channels at one time, whatever their numbers.
    pub channel_max: u16,
    /// Seconds; 0 for none.
    pub heartbeat_s: u16,
}

/// What a client tells of itself.
#[derive(Clone, Debug, Default)]
pub struct ClientInfo {
    /// `client-properties` of `connection.start-ok`.
    pub properties: Arc<FieldTable>,
    /// SASL mechanism used.
    pub mechanism: String,
}

/// A body frame that is being taken in piece by piece.
pub(super) struct OpenBody {
    pub(super) channel: u16,
    pub(super) left: usize,
}

/// See the module's documentation.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own, not a state")]
pub struct Connection {
    /// Unique in the process.
    pub id: ConnectionId,
    /// Where the client comes from.
    pub peer: Peer,
    /// What was negotiated; zeros before.
    pub negotiated: Negotiated,
    /// What the client told of itself.
    pub client: ClientInfo,
    pub(super) broker: Arc<Broker>,
    /// Those in force when it was accepted.
    pub(super) limits: Arc<Limits>,
    pub(super) outbox: Arc<Outbox>,
    pub(super) ender: Option<Arc<dyn ChannelCloser>>,
    pub(super) phase: Phase,
    pub(super) turn: Turn,
    pub(super) identity: Option<Identity>,
    pub(super) vhost: Option<Arc<Vhost>>,
    pub(super) rights: Option<AccessRights>,
    /// Counts it for its user.
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
    /// What others see of it; from `connection.open-ok` on.
    pub(super) handle: Option<Arc<ConnectionHandle>>,
    remote: Option<Arc<dyn ConnectionControl>>,
    pub(super) open_body: Option<OpenBody>,
    /// The client is one that needs `basic.qos` to mean something else, and its deliveries later.
    pub(super) py_amqp: bool,
    /// The client has closed the connection, and was answered.
    pub(super) client_closes: bool,
}

/// Publishes of one channel that are carried out together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) channel: u16,
    pub(super) messages: Vec<Publication>,
}

impl Connection {
    /// A connection that was just accepted.
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

    /// How its long work is done.
    pub fn does_aside(&mut self, aside: Aside) {
        self.turn.does_aside(aside);
    }

    /// How others can reach it.
    pub fn reached_by(&mut self, remote: Arc<dyn ConnectionControl>) {
        self.remote = Some(remote);
    }

    /// Makes it known to others.
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

    /// Who logged in.
    pub(super) fn user(&self) -> Option<&UserName> {
        self.identity.as_ref().map(|identity| &identity.user)
    }

    /// When what the client logged in with ends, and the connection with it.
    pub fn expires(&self) -> Option<Millis> {
        self.identity.as_ref()?.expires()
    }

    /// Counts what was read from the socket.
    pub fn add_received(&self, bytes: usize) {
        self.outbox.traffic.add_received(bytes);
    }

    /// Whether `connection.open-ok` was sent.
    pub fn is_open(&self) -> bool {
        !matches!(self.phase, Phase::Header | Phase::StartOk | Phase::TuneOk | Phase::Open)
    }

    /// Whether we wait for the client to acknowledge our `connection.close`.
    pub fn is_closing(&self) -> bool {
        self.phase == Phase::Closing
    }

    /// Whether the client has closed the connection, so that it closes the socket, too, when it has our answer.
    pub fn client_closes(&self) -> bool {
        self.client_closes
    }

    /// Works through the complete frames in `bytes`. Returns how many bytes are used up; the rest
    /// must come again, with more behind it.
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
                    // Where the next frame starts is not known any more.
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

    /// The protocol header. `None`: not all of it is there.
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

    /// Whether a frame is not looked at because the connection is not open yet, or not any more.
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

    /// A method that cannot be read. Arguments that are only more than we take end its channel alone.
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

/// What became of a frame.
enum Step {
    /// Done; so many bytes are used.
    Used(usize),
    /// Not done: it may block, and that was not allowed.
    Blocked(Outcome),
    /// Done, and the permission to block is used up.
    Blocking(usize),
    /// Not done: the queue's head has to be read first.
    Head(Arc<QueueHandle>),
}

pub(super) fn unexpected(text: &str) -> AmqpError {
    AmqpError::new(ReplyCode::UnexpectedFrame, MethodId::default(), text)
}

/// A publish whose content did not come.
pub(super) fn cut_short() -> AmqpError {
    let text = "expected content header or body, got a method instead";
    AmqpError::new(ReplyCode::UnexpectedFrame, super::content::PUBLISH, text)
}
