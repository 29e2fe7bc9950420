//! Listening for AMQP connections, and closing them all at shutdown.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use leveret_amqp091::session::error::{AmqpError, MethodId, ReplyCode};
use leveret_amqp091::session::outbox::Outbox;
use leveret_amqp091::session::{Connection, Peer};
use leveret_broker::Broker;
use leveret_broker::names::ConnectionId;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch as told;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::connection;
use super::control::{Control, Order};
use super::descriptors;
use super::farewell::{Farewell, First};
use super::handshakes::{Handshake, Handshakes};
use super::machine;
use super::outboxes;
use super::proxied::{self, Proxies};
use super::tasks::{self, Here, Tasks};
use super::timer;
use super::tls::Tls;
use super::watch::{self, SharedSocket, Watched};

/// How long clients have to answer `connection.close` at shutdown.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// Pause after a failed accept, mostly caused by a lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} ({key}): {source}")]
pub struct ServerError {
    /// The configuration key of the address.
    pub key: &'static str,
    /// The address.
    pub address: SocketAddr,
    /// The cause.
    pub source: io::Error,
}

/// The AMQP side of a running broker.
pub struct Server {
    shared: Arc<Shared>,
    stop: told::Sender<bool>,
    /// Whether clients are let in.
    opened: told::Sender<bool>,
}

struct Shared {
    broker: Arc<Broker>,
    next_id: AtomicU64,
    connections: DashMap<ConnectionId, Arc<Control>>,
    handshakes: Arc<Handshakes>,
    /// Proxies that send PROXY headers.
    proxies: Proxies,
    tasks: Arc<Tasks>,
}

impl Server {
    /// Starts the background tasks; free space is monitored for `data_dir`. Connections from the networks of
    /// `proxies` must begin with a PROXY header; no others may.
    pub fn start(broker: Arc<Broker>, data_dir: &Path, proxies: Proxies, tasks: &Arc<Tasks>) -> Self {
        machine::start(Arc::clone(&broker), data_dir, tasks);
        tasks.spawn("the queues' timer", timer::run(Arc::clone(&broker)));
        tasks.spawn("the memory's timer", timer::relieve_memory(Arc::clone(&broker)));
        tasks.spawn("the timer of idle queues", timer::rest_queues(Arc::clone(&broker)));
        tasks.spawn("the watch over outboxes", outboxes::watch(Arc::clone(&broker)));
        let shared = Shared {
            broker,
            next_id: AtomicU64::new(1),
            connections: DashMap::new(),
            handshakes: Arc::default(),
            proxies,
            tasks: Arc::clone(tasks),
        };
        Self { shared: Arc::new(shared), stop: told::Sender::new(false), opened: told::Sender::new(false) }
    }

    /// Lets clients in, including those that have connected and waited.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Listens; returns the address, with the actual port if 0 was requested. With `tls`, only TLS is accepted
    /// there. Nobody is let in before [`Server::open`].
    pub async fn listen(
        &self,
        address: SocketAddr,
        tls: Option<Arc<Tls>>,
    ) -> Result<SocketAddr, ServerError> {
        let key = if tls.is_some() { "amqps_listen" } else { "amqp_listen" };
        let failed = |source| ServerError { key, address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let (shared, stopped) = (Arc::clone(&self.shared), self.stop.subscribe());
        let mut opened = self.opened.subscribe();
        self.shared.tasks.spawn("accepting AMQP connections", async move {
            if opened.wait_for(|opened| *opened).await.is_ok() {
                accept(listener, shared, tls, stopped).await;
            }
        });
        Ok(local)
    }

    /// Stops accepting, closes the open connections, and waits for them for a limited time.
    pub async fn shut_down(&self) {
        self.stop.send_replace(true);
        let text = "broker forced connection closure with reason 'shutdown'";
        let error = AmqpError::new(ReplyCode::ConnectionForced, MethodId::default(), text);
        for control in &self.shared.connections {
            control.close(Order::Politely(error.clone()));
        }
        let deadline = tokio::time::Instant::now() + SHUTDOWN;
        while !self.shared.connections.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn accept(
    listener: TcpListener,
    shared: Arc<Shared>,
    tls: Option<Arc<Tls>>,
    mut stopped: told::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok((socket, address)) if descriptors::too_many(&socket) => {
                tracing::warn!(peer = %address, "connection refused: too few file descriptors are left");
            }
            Ok((socket, address)) => {
                if let Err(error) = admit(socket, address, &shared, tls.as_ref()) {
                    tracing::debug!(peer = %address, "connection lost at once: {error}");
                }
            }
            Err(error) => {
                tracing::warn!("accepting a connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn admit(
    socket: TcpStream,
    address: SocketAddr,
    shared: &Arc<Shared>,
    tls: Option<&Arc<Tls>>,
) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let local = socket.local_addr()?;
    let timeout = Duration::from_millis(shared.broker.limits().handshake_timeout_ms);
    let control = Control::new();
    // Before the handshake, closing the socket is the only possible answer.
    let known = (!shared.proxies.trust(address)).then_some(address.ip());
    let Some(handshake) = shared.handshakes.begin(Instant::now(), known, &control) else { return Ok(()) };
    let guest = PendingConnection {
        id: ConnectionId(shared.next_id.fetch_add(1, Ordering::Relaxed)),
        peer: Peer { address, local, tls: None },
        control,
        handshake,
        deadline: Instant::now() + timeout,
    };
    let id = guest.id;
    shared.connections.insert(id, Arc::clone(&guest.control));
    let present = Present { id, shared: Arc::clone(shared), _here: shared.tasks.here() };
    let proxied = shared.proxies.trust(address);
    match (proxied, tls.cloned()) {
        (false, None) => tokio::spawn(async move {
            let (read, write) = socket.into_split();
            let served = guest.serve(read, write, &present.shared.broker);
            let farewell = tasks::contained("a connection", served).await.flatten();
            present.part(farewell).await;
        }),
        (_, tls) => tokio::spawn(async move {
            let shared = Arc::clone(&present.shared);
            let served = prepare(guest, socket, proxied, tls, present, &shared.broker);
            tasks::contained("a connection", served).await;
        }),
    };
    Ok(())
}

/// A connection, counted until dropped.
struct Present {
    id: ConnectionId,
    shared: Arc<Shared>,
    _here: Here,
}

impl Present {
    /// Ends the count; the socket is closed once the client has closed its side.
    async fn part<R, W>(self, farewell: Option<Farewell<R, W>>)
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        drop(self);
        if let Some(farewell) = farewell {
            farewell.take().await;
        }
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.shared.connections.remove(&self.id);
    }
}

/// Serves a client, starting with whatever precedes AMQP.
async fn prepare(
    mut guest: PendingConnection,
    mut socket: TcpStream,
    proxied: bool,
    tls: Option<Arc<Tls>>,
    present: Present,
    broker: &Arc<Broker>,
) {
    if proxied && !guest.introduced(&mut socket).await {
        return;
    }
    let Some(tls) = tls else {
        let (read, write) = socket.into_split();
        let farewell = guest.serve(read, write, broker).await;
        return present.part(farewell).await;
    };
    match guest.encrypted(&tls, socket).await {
        Ok((stream, guest)) => {
            let (read, write) = watch::split(stream);
            let farewell = guest.serve(read, write, broker).await;
            present.part(farewell).await;
        }
        Err(refused) => {
            // The error was reported in TLS's own terms.
            let farewell = refused.map(|socket| {
                let (read, write) = tokio::io::split(socket);
                Farewell { read, write, first: First::Broker }
            });
            present.part(farewell).await;
        }
    }
}

/// An accepted client that has not sent any AMQP yet.
struct PendingConnection {
    id: ConnectionId,
    peer: Peer,
    control: Arc<Control>,
    handshake: Handshake,
    deadline: Instant,
}

impl PendingConnection {
    /// Reads the PROXY header, in time. `false`: failed, and logged.
    async fn introduced(&mut self, socket: &mut TcpStream) -> bool {
        let reading = tokio::time::timeout_at(self.deadline, proxied::header(socket));
        let read = tokio::select! {
            read = reading => read,
            _ = self.control.ordered() => return false,
        };
        match read {
            Ok(Ok(Some((client, local)))) => {
                (self.peer.address, self.peer.local) = (client, local);
                self.handshake.comes_from(client.ip());
                return true;
            }
            Ok(Ok(None)) => return true,
            Ok(Err(error)) => tracing::warn!(peer = %self.peer.address, "closing: no PROXY header: {error}"),
            Err(_) => tracing::warn!(peer = %self.peer.address, "closing: PROXY header took too long"),
        }
        false
    }

    /// Performs the TLS handshake, in time. A failure is logged, and the socket returned if the client was
    /// told.
    async fn encrypted(
        mut self,
        tls: &Tls,
        socket: TcpStream,
    ) -> Result<(TlsStream<SharedSocket>, Self), Option<SharedSocket>> {
        // Boxed so that the handshake future does not enlarge the connection task.
        let accepting =
            Box::pin(tokio::time::timeout_at(self.deadline, tls.accept(SharedSocket::new(socket))));
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            _ = self.control.ordered() => return Err(None),
        };
        match accepted {
            Ok(Ok((stream, facts))) => {
                self.peer.tls = Some(Arc::new(facts));
                Ok((stream, self))
            }
            Ok(Err((error, socket))) => {
                tracing::warn!(peer = %self.peer.address, "closing: no TLS: {error}");
                Err(Some(socket))
            }
            Err(_) => {
                tracing::warn!(peer = %self.peer.address, "closing: TLS handshake took too long");
                Err(None)
            }
        }
    }

    fn serve<R, W>(
        self,
        read: R,
        write: W,
        broker: &Arc<Broker>,
    ) -> impl Future<Output = Option<Farewell<R, W>>> + use<R, W>
    where
        R: AsyncRead + Watched + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let Self { id, peer, control, handshake, deadline } = self;
        let broker = Arc::clone(broker);
        let outbox = Outbox::new(broker.limits().outbox_bytes_max);
        let mut connection = Box::new(Connection::new(Arc::clone(&broker), id, peer, Arc::clone(&outbox)));
        connection.does_aside(tasks::ASIDE);
        connection.reached_by(Arc::clone(&control) as _);
        connection.ended_by(Arc::clone(&control) as _);
        connection::serve(
            read,
            write,
            connection,
            outbox,
            broker,
            control,
            connection::Opening { handshake, deadline },
        )
    }
}
