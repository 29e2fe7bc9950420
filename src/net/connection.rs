//! The reading half of a connection, and its timers: handshake, heartbeats, closing.

mod pause;

use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use leveret_amqp091::log_connection;
use leveret_amqp091::session::error::{AmqpError, MethodId, ReplyCode};
use leveret_amqp091::session::outbox::Outbox;
use leveret_amqp091::session::{Connection, Outcome};
use leveret_amqp091::wire::hot_out::HEARTBEAT;
use leveret_broker::Broker;
use leveret_broker::waiting::PublishWait;
use leveret_message::Millis;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::clock::now;
use super::control::{Control, Order};
use super::farewell::{Farewell, First};
use super::handshakes::Handshake;
use super::reader::poll_receive;
use super::tasks::{contained, contained_now};
use super::watch::Watched;
use super::writer;

/// How long a client may take to answer our `connection.close`: it may be busy with earlier input (as `RabbitMQ`).
/// Before login, only the handshake's time.
const CLOSING: Duration = Duration::from_secs(30);

/// How long a client may take to read the last frames.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// Cap on token lifetimes, since an `Instant` has a maximum.
const EXPIRES_MAX: Duration = Duration::from_hours(24 * 365 * 100);

/// Bytes read before a connection yields. A writer that it woke waits for this thread, and no other thread steals
/// it; tokio alone would yield only after 128 full reads.
const TURN_BYTES: usize = 128 * 1024;

struct Reading<R> {
    socket: R,
    connection: Box<Connection>,
    outbox: Arc<Outbox>,
    publishing: Arc<PublishWait>,
    control: Arc<Control>,
    /// Bytes of an incomplete frame.
    left: Vec<u8>,
    /// Bytes read since the last yield.
    turn_bytes: usize,
    /// Until the connection is open.
    handshake: Option<Handshake>,
    timer: Timer,
}

/// Deadlines of the connection's single timer.
struct Timer {
    at: Instant,
    stage: Stage,
    last_heard: Instant,
    /// Deadline of the answer to our `connection.close`.
    closing: Option<Instant>,
    /// Bytes written when the timer was set.
    written: u64,
    /// When the client's token expires: as stated in it, and by our clock.
    expires: Option<(Millis, Instant)>,
}

impl Timer {
    /// The earliest deadline.
    fn next(&self) -> Instant {
        let also = match self.closing {
            Some(closing) => Some(closing),
            None => self.expires.map(|(_, expires)| expires),
        };
        also.map_or(self.at, |also| also.min(self.at))
    }

    fn has_expired(&self, now: Instant) -> bool {
        self.closing.is_none() && self.expires.is_some_and(|(_, expires)| expires <= now)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    Handshake,
    Heartbeat(Duration),
    Idle,
}

/// Why reading ended.
enum End {
    /// The conversation is over; the outbox is still to be written.
    Over,
    /// The socket is unusable.
    Lost,
}

/// Permits one password check at a time. Each check takes a core and 19 MiB for some tens of milliseconds; waiting
/// ones must not occupy threads, which are for logged-in clients.
static PASSWORDS: Semaphore = Semaphore::const_new(1);

/// State of a handshake.
pub(super) struct Opening {
    /// Its slot in the count of handshakes.
    pub(super) handshake: Handshake,
    /// When it must be complete.
    pub(super) deadline: Instant,
}

/// Serves one connection until its conversation is over. Returns the socket after an orderly end.
pub(super) async fn serve<R, W>(
    read: R,
    write: W,
    connection: Box<Connection>,
    outbox: Arc<Outbox>,
    broker: Arc<Broker>,
    control: Arc<Control>,
    opening: Opening,
) -> Option<Farewell<R, W>>
where
    R: AsyncRead + Watched + Unpin + Send + 'static,
    W: AsyncWrite + Unpin + Send + 'static,
{
    let publishing = Arc::new(broker.publisher_waits());
    let writing = writer::run(write, Arc::clone(&outbox), broker, Arc::clone(&control));
    let (unwritten, reader) = (Arc::clone(&outbox), Arc::clone(&control));
    let writer = tokio::spawn(async move {
        let written = contained("writing to a connection", writing).await;
        if written.is_none() {
            unwritten.close();
            reader.close(Order::AtOnce);
        }
        written.flatten()
    });
    let timer = Timer {
        at: opening.deadline,
        stage: Stage::Handshake,
        last_heard: Instant::now(),
        closing: None,
        written: 0,
        expires: None,
    };
    let mut reading = Reading {
        socket: read,
        connection,
        outbox,
        publishing,
        control,
        left: Vec::new(),
        turn_bytes: 0,
        handshake: Some(opening.handshake),
        timer,
    };
    let end = contained("a connection", reading.run()).await.unwrap_or(End::Lost);
    reading.handshake = None;
    tokio::task::block_in_place(|| {
        contained_now("giving back what a connection had", || reading.connection.lost(now()));
    });
    reading.finish(end, writer).await
}

impl<R: AsyncRead + Watched + Unpin> Reading<R> {
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
                    let ready = poll_fn(move |context| queue.poll_head(context.waker()));
                    match self.resume_after(ready).await {
                        Ok(outcome) => outcome,
                        Err(end) => return end,
                    }
                }
                Outcome::Throttled => match self.throttled().await {
                    Ok(outcome) => outcome,
                    Err(end) => return end,
                },
                Outcome::Waiting => match self.waiting().await {
                    Ok(outcome) => outcome,
                    Err(end) => return end,
                },
                Outcome::Over => return End::Over,
            };
        }
    }

    /// Handles bytes already received.
    fn again(&mut self, may_block: bool) -> Outcome {
        let (used, outcome) = self.connection.receive(now(), &self.left, may_block);
        self.left.drain(..used);
        outcome
    }

    /// Runs a password check when its turn comes, within the handshake's deadline.
    async fn in_turn(&mut self) -> Result<Outcome, End> {
        self.waits(true);
        let outcome = tokio::select! {
            biased;
            order = self.control.ordered() => self.obey(order),
            _turn = PASSWORDS.acquire() => Ok(tokio::task::block_in_place(|| self.again(true))),
            () = tokio::time::sleep_until(self.timer.next()) => {
                // Nothing is read meanwhile.
                self.timer.last_heard = Instant::now();
                self.timer_fired().map(|()| Outcome::Password)
            }
        };
        self.waits(false);
        outcome
    }

    fn waits(&self, waits: bool) {
        if let Some(handshake) = &self.handshake {
            handshake.waits(waits);
        }
    }

    async fn next_bytes(&mut self) -> Result<Outcome, End> {
        loop {
            self.set_timer();
            let held_up = self.connection.is_held_up();
            let Self { socket, connection, left, control, timer, publishing, outbox, .. } = self;
            let may_publish = poll_fn(|context| {
                std::task::ready!(publishing.poll(context.waker()));
                outbox.poll_room(context.waker())
            });
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
                () = may_publish, if held_up => return Ok(self.again(false)),
                () = tokio::time::sleep_until(timer.next()) => self.timer_fired()?,
            }
        }
    }

    fn set_timer(&mut self) {
        let expires = self.connection.expires();
        if expires != self.timer.expires.map(|(at, _)| at) {
            let left = |at: Millis| Duration::from_millis(at.0.saturating_sub(now().0)).min(EXPIRES_MAX);
            self.timer.expires = expires.map(|at| (at, Instant::now() + left(at)));
        }
        if self.connection.is_closing() && self.timer.closing.is_none() {
            let wait = Instant::now() + CLOSING;
            let in_handshake = self.timer.stage == Stage::Handshake;
            self.timer.closing = Some(if in_handshake { wait.min(self.timer.at) } else { wait });
        }
        let stage = if self.connection.is_open() {
            heartbeat_of(&self.connection).map_or(Stage::Idle, Stage::Heartbeat)
        } else {
            Stage::Handshake
        };
        if stage == self.timer.stage {
            return;
        }
        let now = Instant::now();
        self.timer.stage = stage;
        self.handshake = None;
        self.timer.at = match stage {
            Stage::Handshake => return,
            Stage::Heartbeat(interval) => now + interval / 2,
            Stage::Idle => now + Duration::from_hours(24),
        };
    }

    fn timer_fired(&mut self) -> Result<(), End> {
        let now = Instant::now();
        if self.timer.has_expired(now) {
            return self.obey(expired()).map(|_| ());
        }
        if self.timer.closing.is_some_and(|closing| closing <= now) {
            return Err(End::Over);
        }
        match self.timer.stage {
            Stage::Handshake => {
                log_connection!(warn, self.connection, "closing: handshake took too long");
                Err(End::Lost)
            }
            Stage::Idle => {
                self.timer.at = now + Duration::from_hours(24);
                Ok(())
            }
            Stage::Heartbeat(interval) => {
                if now.duration_since(self.timer.last_heard) > interval * 2 {
                    log_connection!(
                        warn,
                        self.connection,
                        "closing: missed heartbeats from client, timeout: {}s",
                        interval.as_secs()
                    );
                    return Err(End::Lost);
                }
                let mut written = self.outbox.written_total();
                if written == self.timer.written {
                    wake(self.outbox.put_bytes(&HEARTBEAT));
                    // Our own heartbeat must not suppress the next one.
                    written += HEARTBEAT.len() as u64;
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
                tokio::task::block_in_place(|| self.connection.shut(now(), &error));
                Ok(Outcome::More)
            }
            Order::Channel { number, incarnation, error } => {
                tokio::task::block_in_place(|| {
                    self.connection.shut_channel(now(), number, incarnation, &error);
                });
                // The event may concern other channels.
                Ok(self.again(false))
            }
            Order::GiveWay => {
                tokio::task::block_in_place(|| self.connection.give_way());
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
            log_connection!(info, self.connection, "connection lost without connection.close: {why}");
        }
        End::Lost
    }

    /// Lets the writer drain the outbox, for a limited time.
    async fn finish<W>(self, end: End, mut writer: JoinHandle<Option<W>>) -> Option<Farewell<R, W>> {
        match end {
            End::Over => wake(self.outbox.finish()),
            End::Lost => wake(self.outbox.close()),
        }
        let Ok(written) = tokio::time::timeout(LAST_WORDS, &mut writer).await else {
            writer.abort();
            return None;
        };
        let write = written.ok().flatten().filter(|_| matches!(end, End::Over))?;
        let first = if self.connection.client_closes() { First::Client } else { First::Broker };
        Some(Farewell { read: self.socket, write, first })
    }
}

/// The client's token has expired.
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
    use std::net::SocketAddr;
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::{Context, Poll};

    use leveret_store::Pressure;
    use leveret_store::memory::MemStore;
    use tokio::io::ReadBuf;

    use super::*;
    use crate::net::handshakes::Handshakes;
    use leveret_amqp091::session::connection::Peer;
    use leveret_amqp091::wire::control::write_method;
    use leveret_amqp091::wire::hot_out::put_body;
    use leveret_amqp091::wire::method::{AMQPClass, basic, channel, connection, queue};
    use leveret_broker::broker::Found;
    use leveret_broker::definitions::DefinitionStore;
    use leveret_broker::limits::Limits;
    use leveret_broker::login_options::LoginOptions;
    use leveret_broker::names::ConnectionId;

    fn broker() -> (Arc<Broker>, Arc<MemStore>) {
        let (limits, security, found) = (Limits::default(), LoginOptions::default(), Found::default());
        let store = Arc::new(MemStore::new());
        let broker = Broker::start(limits, security, Arc::clone(&store) as _, Box::new(Nowhere), found, now);
        (broker.unwrap(), store)
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn publishers_go_on_when_what_held_them_up_has_ended_unseen() {
        let (broker, store) = broker();
        let timer = tokio::spawn(crate::net::timer::relieve_memory(Arc::clone(&broker)));
        store.set_pressure(Pressure::Full);
        let (waits, seen) = tokio::sync::oneshot::channel();
        let (publisher, mut waits) = (broker.publisher_waits(), Some(waits));
        let publisher = tokio::spawn(poll_fn(move |context| {
            let ready = publisher.poll(context.waker());
            if let Some(waits) = waits.take() {
                waits.send(ready.is_pending()).unwrap();
            }
            ready
        }));
        assert!(seen.await.unwrap(), "it waits");
        store.set_pressure(Pressure::None);
        tokio::time::timeout(Duration::from_secs(30), publisher).await.expect("it goes on").unwrap();
        timer.abort();
    }

    /// Full reads that the socket offers.
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

    /// A socket that always has more to read and accepts every write.
    #[derive(Clone)]
    struct Flood {
        opening: Arc<Vec<u8>>,
        publishes: Arc<Vec<u8>>,
        opened: bool,
        paused: bool,
        reads: Arc<AtomicUsize>,
        /// Reads before the first delivery was written.
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
                // A task that was allowed to block has handed its worker over; after this it is
                // back on a worker.
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

    impl Watched for Flood {
        fn socket(&self) -> Option<&tokio::net::TcpStream> {
            None
        }
    }

    impl AsyncWrite for Flood {
        fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            // Only deliveries are this long.
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
            client_properties: leveret_amqp091::wire::method::FieldTable::default(),
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
        let (broker, _) = broker();
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
            let control = Control::new();
            let handshake =
                Arc::new(Handshakes::default()).begin(Instant::now(), None, &control).expect("room");
            let opening = Opening { handshake, deadline };
            let serving = serve(read, write, Box::new(session), outbox, broker, control, opening);
            tokio::spawn(serving).await.unwrap();
        });
        let before = before.load(Ordering::Relaxed);
        assert!(before < 10, "{before} reads before the first delivery was written");
    }
}
