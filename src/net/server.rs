//! Listening for AMQP connections, and ending them all at shutdown.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_rustls::server::TlsStream;

use super::connection;
use super::control::{Control, Order};
use super::machine;
use super::proxied::{self, Proxies};
use super::timer;
use super::tls::Tls;
use crate::broker::Broker;
use crate::broker::names::ConnectionId;
use crate::session::error::{AmqpError, MethodId, ReplyCode};
use crate::session::outbox::Outbox;
use crate::session::{Connection, Peer};

/// How long clients have at shutdown to answer `connection.close`.
const SHUTDOWN: Duration = Duration::from_secs(5);

/// How long to wait after a failed accept, which is mostly for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Connections in their handshake beyond the limit on open ones.
const HANDSHAKES_MAX: usize = 1000;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ServerError {
    /// Where.
    pub address: SocketAddr,
    /// Why.
    pub source: io::Error,
}

/// The AMQP side of a running broker.
pub struct Server {
    shared: Arc<Shared>,
    stop: watch::Sender<bool>,
    /// Clients are let in.
    opened: watch::Sender<bool>,
}

struct Shared {
    broker: Arc<Broker>,
    next_id: AtomicU64,
    connections: DashMap<ConnectionId, Arc<Control>>,
    /// Proxies that say for whom they connect.
    proxies: Proxies,
}

impl Server {
    /// Starts what runs beside connections; the space for `data_dir` is watched. Whoever connects from one of the networks of `proxies` has to
    /// say for whom, in a PROXY header; nobody else may.
    pub fn start(broker: Arc<Broker>, data_dir: &Path, proxies: Proxies) -> Self {
        machine::start(Arc::clone(&broker), data_dir);
        tokio::spawn(timer::run(Arc::clone(&broker)));
        tokio::spawn(timer::relieve_memory(Arc::clone(&broker)));
        tokio::spawn(timer::rest_queues(Arc::clone(&broker)));
        let shared = Shared { broker, next_id: AtomicU64::new(1), connections: DashMap::new(), proxies };
        Self { shared: Arc::new(shared), stop: watch::Sender::new(false), opened: watch::Sender::new(false) }
    }

    /// Lets clients in; those that have come meanwhile waited.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Listens; returns the address, with the port that was given when 0 was asked for. With `tls`
    /// only TLS is spoken there. Nobody is let in before [`Server::open`].
    pub async fn listen(
        &self,
        address: SocketAddr,
        tls: Option<Arc<Tls>>,
    ) -> Result<SocketAddr, ServerError> {
        let failed = |source| ServerError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let (shared, stopped) = (Arc::clone(&self.shared), self.stop.subscribe());
        let mut opened = self.opened.subscribe();
        tokio::spawn(async move {
            if opened.wait_for(|opened| *opened).await.is_ok() {
                accept(listener, shared, tls, stopped).await;
            }
        });
        Ok(local)
    }

    /// Takes no more connections, closes those that are there, and waits for them for a while.
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
    mut stopped: watch::Receiver<bool>,
) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok(_) if shared.connections.len() >= shared.broker.limits().connections_max + HANDSHAKES_MAX => {
                // Closing the socket is all that can be said before the handshake.
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
    let handshake = Duration::from_millis(shared.broker.limits().handshake_timeout_ms);
    let guest = Guest {
        id: ConnectionId(shared.next_id.fetch_add(1, Ordering::Relaxed)),
        peer: Peer { address, local, tls: None },
        control: Control::new(),
        deadline: Instant::now() + handshake,
    };
    let id = guest.id;
    shared.connections.insert(id, Arc::clone(&guest.control));
    let shared = Arc::clone(shared);
    let proxied = shared.proxies.trust(address);
    match (proxied, tls.cloned()) {
        (false, None) => tokio::spawn(async move {
            let (read, write) = socket.into_split();
            guest.serve(read, write, &shared.broker).await;
            shared.connections.remove(&id);
        }),
        (_, tls) => tokio::spawn(async move {
            prepare(guest, socket, proxied, tls, &shared.broker).await;
            shared.connections.remove(&id);
        }),
    };
    Ok(())
}

/// Serves a client after whatever comes before AMQP.
async fn prepare(
    mut guest: Guest,
    mut socket: TcpStream,
    proxied: bool,
    tls: Option<Arc<Tls>>,
    broker: &Arc<Broker>,
) {
    if proxied && !guest.introduced(&mut socket).await {
        return;
    }
    let Some(tls) = tls else {
        let (read, write) = socket.into_split();
        return guest.serve(read, write, broker).await;
    };
    if let Some((stream, guest)) = guest.encrypted(&tls, socket).await {
        let (read, write) = tokio::io::split(stream);
        guest.serve(read, write, broker).await;
    }
}

/// A client that was accepted, and has said nothing of AMQP yet.
struct Guest {
    id: ConnectionId,
    peer: Peer,
    control: Arc<Control>,
    deadline: Instant,
}

impl Guest {
    /// Has the proxy say for whom it connects, in time. `false`: it does not, and the log says why.
    async fn introduced(&mut self, socket: &mut TcpStream) -> bool {
        let reading = tokio::time::timeout_at(self.deadline, proxied::header(socket));
        let read = tokio::select! {
            read = reading => read,
            _ = self.control.ordered() => return false,
        };
        match read {
            Ok(Ok(Some((client, local)))) => {
                (self.peer.address, self.peer.local) = (client, local);
                return true;
            }
            Ok(Ok(None)) => return true,
            Ok(Err(error)) => tracing::warn!(peer = %self.peer.address, "closing: no PROXY header: {error}"),
            Err(_) => tracing::warn!(peer = %self.peer.address, "closing: PROXY header took too long"),
        }
        false
    }

    /// Makes TLS of the socket, in time. `None`: the client is gone, and the log says why.
    async fn encrypted(mut self, tls: &Tls, socket: TcpStream) -> Option<(TlsStream<TcpStream>, Self)> {
        // On the heap, and gone when it is done: an open connection shall not keep room for it.
        let accepting = Box::pin(tokio::time::timeout_at(self.deadline, tls.accept(socket)));
        let accepted = tokio::select! {
            accepted = accepting => accepted,
            _ = self.control.ordered() => return None,
        };
        match accepted {
            Ok(Ok((stream, facts))) => {
                self.peer.tls = Some(Arc::new(facts));
                return Some((stream, self));
            }
            Ok(Err(error)) => {
                tracing::warn!(peer = %self.peer.address, "closing: no TLS: {error}");
            }
            Err(_) => tracing::warn!(peer = %self.peer.address, "closing: TLS handshake took too long"),
        }
        None
    }

    fn serve<R, W>(self, read: R, write: W, broker: &Arc<Broker>) -> impl Future<Output = ()> + use<R, W>
    where
        R: AsyncRead + Unpin + Send + 'static,
        W: AsyncWrite + Unpin + Send + 'static,
    {
        let Self { id, peer, control, deadline } = self;
        let broker = Arc::clone(broker);
        let outbox = Outbox::new(broker.limits().outbox_bytes_max);
        let mut connection = Box::new(Connection::new(Arc::clone(&broker), id, peer, Arc::clone(&outbox)));
        connection.reached_by(Arc::clone(&control) as _);
        connection.ended_by(Arc::clone(&control) as _);
        connection::serve(read, write, connection, outbox, broker, control, deadline)
    }
}
