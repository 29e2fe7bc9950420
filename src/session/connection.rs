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
use super::content::{Outgoing, Rules};
use super::content_frames::STREAMED_BYTES;
use super::error::{AmqpError, MethodId, ReplyCode, bad_frame, bad_method};
use super::outbox::Outbox;
use super::overdue::Ender;
use super::tell::tell;
use super::unacked::Unacked;
use crate::broker::Broker;
use crate::broker::identity::Identity;
use crate::broker::limits::Limits;
use crate::broker::names::{ConnectionId, UserName};
use crate::broker::publish::Publisher;
use crate::broker::queue_handle::QueueHandle;
use crate::broker::registry::{ConnectionFacts, ConnectionHandle, Remote, Seat, TlsFacts};
use crate::broker::turn::Turn;
use crate::broker::users::AccessRights;
use crate::broker::vhost::Vhost;
use crate::wire::control::{method_id, parse_method};
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
    /// Publishers are to be slowed down: read on when [`Broker::poll_publish`] is ready.
    Throttled,
    /// The conversation is over: write out what is in the outbox, then close the socket.
    Over,
}

/// What a client asked for when it tuned and opened the connection.
#[derive(Clone, Debug, Default)]
pub struct Negotiated {
    /// Largest frame in bytes, either way.
    pub frame_max: u32,
    /// Highest channel number.
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
    pub(super) ender: Option<Arc<dyn Ender>>,
    pub(super) phase: Phase,
    pub(super) turn: Turn,
    pub(super) identity: Option<Identity>,
    pub(super) vhost: Option<Arc<Vhost>>,
    pub(super) rights: Option<AccessRights>,
    /// Counts it for its user.
    pub(super) seat: Option<Seat>,
    pub(super) channels: FxHashMap<u16, Channel>,
    pub(super) publisher: Publisher,
    pub(super) batch: Batch,
    pub(super) acked: Vec<Unacked>,
    pub(super) acked_on: u16,
    pub(super) exclusive: Vec<Arc<QueueHandle>>,
    pub(super) throttled: bool,
    /// `connection.blocked` was sent.
    pub(super) blocked: bool,
    /// What others see of it; from `connection.open-ok` on.
    pub(super) handle: Option<Arc<ConnectionHandle>>,
    remote: Option<Arc<dyn Remote>>,
    pub(super) open_body: Option<OpenBody>,
}

/// Publishes of one channel that are carried out together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) channel: u16,
    pub(super) messages: Vec<Outgoing>,
}

impl Connection {
    /// A connection that was just accepted.
    pub fn new(broker: Arc<Broker>, id: ConnectionId, peer: Peer, outbox: Arc<Outbox>) -> Self {
        let limits = broker.limits();
        Self {
            id,
            peer,
            negotiated: Negotiated { frame_max: limits.frame_max, ..Negotiated::default() },
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
            seat: None,
            channels: FxHashMap::default(),
            publisher: Publisher::default(),
            batch: Batch::default(),
            acked: Vec::new(),
            acked_on: 0,
            exclusive: Vec::new(),
            throttled: false,
            blocked: false,
            handle: None,
            remote: None,
            open_body: None,
        }
    }

    /// How others can reach it.
    pub fn reached_by(&mut self, remote: Arc<dyn Remote>) {
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

    /// Works through the complete frames in `bytes`. Returns how many bytes are used up; the rest
    /// must come again, with more behind it.
    pub fn receive(&mut self, now: Millis, bytes: &[u8], may_block: bool) -> (usize, Outcome) {
        self.turn.restart(now);
        self.tell_unblocked();
        let (used, outcome) = self.work_through(bytes, may_block);
        self.flush();
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
                    self.fail(&bad_frame(&error));
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
                tell!(warn, self, "not AMQP 0-9-1, closing: {other:?}");
                let _ =
                    self.outbox.put_bytes(&PROTOCOL_HEADER).map(|writer| self.turn.owe_wake(Some(writer)));
                self.phase = Phase::Closed;
                Some(bytes.len())
            }
        }
    }

    fn frame(&mut self, bytes: &[u8], frame: &Frame, may_block: bool) -> Step {
        if self.phase == Phase::Closing && frame.kind != FrameKind::Method {
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
                let id = method_id(payload).map(|(class, method)| MethodId(class, method));
                match self.method(channel, method, id.unwrap_or_default(), payload) {
                    Some(queue) => Step::Head(queue),
                    None if blocking => Step::Blocking(frame.end),
                    None => Step::Used(frame.end),
                }
            }
            Err(error) => {
                if self.phase != Phase::Closing {
                    self.fail(&bad_method(&error, payload));
                }
                Step::Used(frame.end)
            }
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

    pub(super) fn no_channel(&mut self, channel: u16, payload: &[u8]) {
        let (class, method) = method_id(payload).unwrap_or_default();
        let text = if channel == 0 || self.phase != Phase::Running {
            "unexpected method in connection state".to_owned()
        } else {
            format!("expected 'channel.open' on channel {channel}")
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
