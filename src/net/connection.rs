//! The reading half of a connection, and its timers: handshake, heartbeats, closing.

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use leveret_queues::Millis;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clock::now;
use super::control::{Control, Order};
use super::reader::poll_receive;
use super::writer;
use crate::broker::Broker;
use crate::session::error::{AmqpError, MethodId, ReplyCode};
use crate::session::outbox::Outbox;
use crate::session::tell::tell;
use crate::session::{Connection, Outcome};
use crate::wire::hot_out::HEARTBEAT;

/// How long a client may take to answer our `connection.close`, and to read what was written before.
const CLOSING: Duration = Duration::from_secs(3);

/// Unread bytes taken from a socket before it is closed, so that the client gets our last words
/// instead of a reset.
const LINGER_BYTES: usize = 1024 * 1024;

/// Tokens that last longer last as long as this: instants have an end.
const EXPIRES_MAX: Duration = Duration::from_hours(24 * 365 * 100);

/// Bytes read before a connection lets others run. A writer that it has woken waits for its thread, which no other takes
/// it from; tokio by itself would let 128 full reads pass before that.
const TURN_BYTES: usize = 128 * 1024;

struct Reading<R> {
    socket: R,
    connection: Box<Connection>,
    outbox: Arc<Outbox>,
    broker: Arc<Broker>,
    control: Arc<Control>,
    /// Bytes of a frame that has not come in whole.
    left: Vec<u8>,
    /// Bytes read since others were last let run.
    turn_bytes: usize,
    timer: Timer,
}

/// What the connection's one timer is set for.
struct Timer {
    at: Instant,
    stage: Stage,
    last_heard: Instant,
    /// Bytes that had been written when the timer was set.
    written: u64,
    /// When the client's token ends: as it says, and by our clock.
    expires: Option<(Millis, Instant)>,
}

impl Timer {
    /// When something is to be done.
    fn next(&self) -> Instant {
        let expires = self.expires.filter(|_| self.stage != Stage::Closing);
        expires.map_or(self.at, |(_, expires)| expires.min(self.at))
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.stage != Stage::Closing && self.expires.is_some_and(|(_, expires)| expires <= now)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshake,
    Heartbeat(Duration),
    Idle,
    Closing,
}

/// Why the reading ended.
enum End {
    /// The conversation is over; the outbox is to be written out.
    Over,
    /// The socket is of no use.
    Lost,
}

/// Who has a password checked. Each check takes a core and 19 MiB for some tens of milliseconds; those that
/// wait must not do it in threads, which are for those that are logged in.
static PASSWORDS: Semaphore = Semaphore::const_new(1);

/// Serves one connection until it ends. `deadline`: of the handshake.
pub(super) async fn serve<R, W>(
    read: R,
    write: W,
    connection: Box<Connection>,
    outbox: Arc<Outbox>,
    broker: Arc<Broker>,
    control: Arc<Control>,
    deadline: Instant,
) where
    R: AsyncRead + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let writing = writer::run(write, Arc::clone(&outbox), Arc::clone(&broker), Arc::clone(&control));
    let writer = tokio::spawn(writing);
    let timer = Timer {
        at: deadline,
        stage: Stage::Handshake,
        last_heard: Instant::now(),
        written: 0,
        expires: None,
    };
    let mut reading =
        Reading { socket: read, connection, outbox, broker, control, left: Vec::new(), turn_bytes: 0, timer };
    let end = reading.run().await;
    tokio::task::block_in_place(|| reading.connection.lost());
    reading.finish(end, writer).await;
}

impl<R: AsyncRead + Unpin> Reading<R> {
    async fn run(&mut self) -> End {
        let mut outcome = Outcome::More;
        loop {
            outcome = match outcome {
                Outcome::More => match self.next_bytes().await {
                    Ok(outcome) => outcome,
                    Err(end) => return end,
                },
                Outcome::MayBlock => tokio::task::block_in_place(|| self.again(true)),
                Outcome::Password => match self.in_turn().await {
                    Ok(outcome) => outcome,
                    Err(end) => return end,
                },
                Outcome::Head(queue) => {
                    let ready = poll_fn(|context| queue.poll_head(context.waker()));
                    match Self::pause(&mut self.timer, &self.outbox, &self.connection, &self.control, ready)
                        .await
                    {
                        None => self.again(false),
                        Some(order) => match self.obey(order) {
                            Ok(outcome) => outcome,
                            Err(end) => return end,
                        },
                    }
                }
                Outcome::Throttled => {
                    let (broker, outbox) = (&self.broker, &self.outbox);
                    let ready = poll_fn(|context| {
                        std::task::ready!(broker.poll_publish(context.waker()));
                        outbox.poll_room(context.waker())
                    });
                    match Self::pause(&mut self.timer, &self.outbox, &self.connection, &self.control, ready)
                        .await
                    {
                        None => {
                            self.timer.last_heard = Instant::now();
                            self.again(false)
                        }
                        Some(order) => match self.obey(order) {
                            Ok(outcome) => outcome,
                            Err(end) => return end,
                        },
                    }
                }
                Outcome::Over => return End::Over,
            };
        }
    }

    /// Works through bytes that are there already.
    fn again(&mut self, may_block: bool) -> Outcome {
        let (used, outcome) = self.connection.receive(now(), &self.left, may_block);
        self.left.drain(..used);
        outcome
    }

    /// Has a password checked when it is its turn, which is to come before the handshake has to be over.
    async fn in_turn(&mut self) -> Result<Outcome, End> {
        tokio::select! {
            biased;
            order = self.control.ordered() => self.obey(order),
            _turn = PASSWORDS.acquire() => Ok(tokio::task::block_in_place(|| self.again(true))),
            () = tokio::time::sleep_until(self.timer.next()) => {
                // Nothing is read meanwhile.
                self.timer.last_heard = Instant::now();
                self.timer_fired().map(|()| Outcome::Password)
            }
        }
    }

    async fn next_bytes(&mut self) -> Result<Outcome, End> {
        loop {
            self.set_timer();
            let Self { socket, connection, left, control, timer, .. } = self;
            let received = poll_fn(|context| poll_receive(context, socket, connection, left));
            tokio::select! {
                biased;
                order = control.ordered() => return self.obey(order),
                received = received => {
                    self.timer.last_heard = Instant::now();
                    return match received {
                        Ok(Some((outcome, came))) => {
                            self.turn_bytes += came;
                            if self.turn_bytes >= TURN_BYTES {
                                self.turn_bytes = 0;
                                tokio::task::yield_now().await;
                            }
                            Ok(outcome)
                        }
                        Ok(None) => Err(self.disconnected(None)),
                        Err(error) => Err(self.disconnected(Some(&error))),
                    };
                }
                () = tokio::time::sleep_until(timer.next()) => self.timer_fired()?,
            }
        }
    }

    /// Waits for `ready` while heartbeats go on and the client is not expected to be heard.
    async fn pause(
        timer: &mut Timer,
        outbox: &Outbox,
        connection: &Connection,
        control: &Control,
        ready: impl Future<Output = ()>,
    ) -> Option<Order> {
        tokio::pin!(ready);
        let heartbeat = heartbeat_of(connection);
        loop {
            let now = Instant::now();
            if timer.has_expired(now) {
                timer.expires = None;
                return Some(expired());
            }
            let at = now + heartbeat.unwrap_or(Duration::from_hours(1)) / 2;
            let at = timer.expires.map_or(at, |(_, expires)| expires.min(at));
            tokio::select! {
                biased;
                order = control.ordered() => return Some(order),
                () = &mut ready => return None,
                () = tokio::time::sleep_until(at) => {
                    if heartbeat.is_some() {
                        wake(outbox.put_bytes(&HEARTBEAT));
                    }
                    timer.last_heard = Instant::now();
                }
            }
        }
    }

    fn set_timer(&mut self) {
        let expires = self.connection.expires();
        if expires != self.timer.expires.map(|(at, _)| at) {
            let left = |at: Millis| Duration::from_millis(at.0.saturating_sub(now().0)).min(EXPIRES_MAX);
            self.timer.expires = expires.map(|at| (at, Instant::now() + left(at)));
        }
        let stage = if self.connection.is_closing() {
            Stage::Closing
        } else if !self.connection.is_open() {
            Stage::Handshake
        } else {
            heartbeat_of(&self.connection).map_or(Stage::Idle, Stage::Heartbeat)
        };
        if stage == self.timer.stage {
            return;
        }
        let now = Instant::now();
        self.timer.stage = stage;
        self.timer.at = match stage {
            Stage::Handshake => return,
            Stage::Heartbeat(interval) => now + interval / 2,
            Stage::Idle => now + Duration::from_hours(24),
            Stage::Closing => now + CLOSING,
        };
    }

    fn timer_fired(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.timer.has_expired(now) {
            return self.obey(expired()).map(|_| ());
        }
        match self.timer.stage {
            Stage::Handshake => {
                tell!(warn, self.connection, "closing: handshake took too long");
                Err(End::Lost)
            }
            Stage::Closing => Err(End::Lost),
            Stage::Idle => {
                self.timer.at = now + Duration::from_hours(24);
                Ok(())
            }
            Stage::Heartbeat(interval) => {
                if now.duration_since(self.timer.last_heard) > interval * 2 {
                    tell!(
                        warn,
                        self.connection,
                        "closing: missed heartbeats from client, timeout: {}s",
                        interval.as_secs()
                    );
                    return Err(End::Lost);
                }
                let written = self.outbox.written_total();
                if written == self.timer.written {
                    wake(self.outbox.put_bytes(&HEARTBEAT));
                }
                self.timer.written = written;
                self.timer.at = now + interval / 2;
                Ok(())
            }
        }
    }

    fn obey(&mut self, order: Order) -> Result<Outcome, End> {
        match order {
            Order::AtOnce => Err(End::Lost),
            Order::Politely(_) if !self.connection.is_open() => Err(End::Lost),
            Order::Politely(error) => {
                tokio::task::block_in_place(|| self.connection.shut(&error));
                Ok(Outcome::More)
            }
            Order::Channel { number, incarnation, error } => {
                tokio::task::block_in_place(|| self.connection.shut_channel(number, incarnation, &error));
                // What was waited for may concern other channels.
                Ok(self.again(false))
            }
            Order::Retime => {
                self.connection.retime(now());
                Ok(self.again(false))
            }
        }
    }

    fn disconnected(&self, error: Option<&io::Error>) -> End {
        if self.connection.is_open() && !self.connection.is_closing() {
            let why = error.map_or_else(|| "closed by the client".to_owned(), ToString::to_string);
            tell!(info, self.connection, "connection lost without connection.close: {why}");
        }
        End::Lost
    }

    /// Lets the writer write what there is, for a while.
    async fn finish(mut self, end: End, mut writer: JoinHandle<()>) {
        match end {
            End::Over => wake(self.outbox.finish()),
            End::Lost => wake(self.outbox.close()),
        }
        let finished = tokio::time::timeout(CLOSING, &mut writer).await;
        if finished.is_err() {
            writer.abort();
            return;
        }
        if matches!(end, End::Over) {
            let _ = tokio::time::timeout(CLOSING, self.linger()).await;
        }
    }

    async fn linger(&mut self) {
        let mut scrap = vec![0; 16 * 1024];
        let mut taken = 0;
        while taken < LINGER_BYTES {
            match self.socket.read(&mut scrap).await {
                Ok(count) if count > 0 => taken += count,
                _ => return,
            }
        }
    }
}

/// The client's token has ended.
fn expired() -> Order {
    let text = "credential expired";
    Order::Politely(AmqpError::new(ReplyCode::ConnectionForced, MethodId::default(), text))
}

fn heartbeat_of(connection: &Connection) -> Option<Duration> {
    let seconds = connection.negotiated.heartbeat_s;
    (seconds > 0).then(|| Duration::from_secs(u64::from(seconds)))
}

fn wake(writer: Option<std::task::Waker>) {
    if let Some(writer) = writer {
        writer.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use leveret_queues::store::memory::MemStore;
    use tokio::io::ReadBuf;

    use super::*;
    use crate::broker::broker::Found;
    use crate::broker::definitions::DefinitionStore;
    use crate::broker::limits::Limits;
    use crate::broker::names::ConnectionId;
    use crate::broker::security::Security;
    use crate::session::connection::Peer;
    use crate::wire::control::write_method;
    use crate::wire::hot_out::put_body;
    use crate::wire::method::{AMQPClass, basic, channel, connection, queue};

    /// Full reads that the socket has to offer.
    const READS: usize = 300;

    struct Nowhere;

    impl DefinitionStore for Nowhere {
        fn commit(&self, _: &[(String, Option<Vec<u8>>)]) -> Result<(), String> {
            Ok(())
        }

        fn next_id(&self) -> Result<u64, String> {
            Ok(1)
        }
    }

    /// A socket that always has more to read and always takes what is written.
    #[derive(Clone)]
    struct Flood {
        opening: Arc<Vec<u8>>,
        publishes: Arc<Vec<u8>>,
        opened: bool,
        paused: bool,
        reads: Arc<AtomicUsize>,
        /// Reads that came before the first delivery was written.
        before: Arc<AtomicUsize>,
    }

    impl AsyncRead for Flood {
        fn poll_read(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
            room: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            if !self.opened {
                self.opened = true;
                room.put_slice(&self.opening);
            } else if !self.paused {
                // A task that was allowed to block has left its worker to others; it comes back to one after this.
                self.paused = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            } else if self.reads.fetch_add(1, Ordering::Relaxed) < READS {
                let publishes = Arc::clone(&self.publishes);
                room.put_slice(&publishes);
            }
            Poll::Ready(Ok(()))
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            // Deliveries are the only long thing.
            if bytes.len() > 10_000 {
                self.before.fetch_min(self.reads.load(Ordering::Relaxed), Ordering::Relaxed);
            }
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn opening() -> Vec<u8> {
        let mut out = b"AMQP\0\0\x09\x01".to_vec();
        let start_ok = connection::StartOk {
            client_properties: crate::wire::method::FieldTable::default(),
            mechanism: "PLAIN".into(),
            response: "\0guest\0guest".into(),
            locale: "en_US".into(),
        };
        let tune_ok = connection::TuneOk { channel_max: 8, frame_max: 131_072, heartbeat: 0 };
        let open = connection::Open { virtual_host: "/".into() };
        let declare = queue::Declare { queue: "q".into(), ..queue::Declare::default() };
        let consume = basic::Consume { queue: "q".into(), no_ack: true, ..basic::Consume::default() };
        for (channel, method) in [
            (0, AMQPClass::Connection(connection::AMQPMethod::StartOk(start_ok))),
            (0, AMQPClass::Connection(connection::AMQPMethod::TuneOk(tune_ok))),
            (0, AMQPClass::Connection(connection::AMQPMethod::Open(open))),
            (1, AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {}))),
            (1, AMQPClass::Queue(queue::AMQPMethod::Declare(declare))),
            (1, AMQPClass::Basic(basic::AMQPMethod::Consume(consume))),
        ] {
            write_method(&mut out, channel, &method);
        }
        out
    }

    fn publishes() -> Vec<u8> {
        let publish = basic::Publish { routing_key: "q".into(), ..basic::Publish::default() };
        let mut one = Vec::new();
        write_method(&mut one, 1, &AMQPClass::Basic(basic::AMQPMethod::Publish(publish)));
        one.extend(b"\x02\0\x01\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\x04\0\0\0\xce");
        put_body(&mut one, 1, &[7; 1024], 131_072);
        one.repeat(200)
    }

    #[test]
    fn a_writer_has_its_turn_while_there_is_always_more_to_read() {
        let found = Found { definitions: Vec::new(), queues: HashMap::new() };
        let (store, definitions) = (Arc::new(MemStore::new()), Box::new(Nowhere));
        let broker =
            Broker::start(Limits::default(), Security::default(), store, definitions, found, now).unwrap();
        let outbox = Outbox::new(1 << 20);
        let local = SocketAddr::from(([127, 0, 0, 1], 1));
        let peer = Peer { address: local, local, tls: None };
        let session = Connection::new(Arc::clone(&broker), ConnectionId(1), peer, Arc::clone(&outbox));
        let socket = Flood {
            opening: Arc::new(opening()),
            publishes: Arc::new(publishes()),
            opened: false,
            paused: false,
            reads: Arc::default(),
            before: Arc::new(AtomicUsize::new(usize::MAX)),
        };
        let before = Arc::clone(&socket.before);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (read, write) = (socket.clone(), socket);
        runtime.block_on(async {
            let deadline = Instant::now() + Duration::from_mins(1);
            let serving = serve(read, write, Box::new(session), outbox, broker, Control::new(), deadline);
            tokio::spawn(serving).await.unwrap();
        });
        let before = before.load(Ordering::Relaxed);
        assert!(before < 10, "{before} reads before the first delivery was written");
    }
}
