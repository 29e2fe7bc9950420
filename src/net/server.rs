//! Listening for AMQP connections, and ending them all at shutdown.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use super::connection;
use super::control::{Close, Control};
use super::timer;
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
}

impl Server {
    /// Starts what runs beside connections.
    pub fn start(broker: Arc<Broker>) -> Self {
        tokio::spawn(timer::run(Arc::clone(&broker)));
        tokio::spawn(timer::relieve_memory(Arc::clone(&broker)));
        let shared = Shared { broker, next_id: AtomicU64::new(1), connections: DashMap::new() };
        Self { shared: Arc::new(shared), stop: watch::Sender::new(false), opened: watch::Sender::new(false) }
    }

    /// Lets clients in; those that have come meanwhile waited.
    pub fn open(&self) {
        self.opened.send_replace(true);
    }

    /// Listens; returns the address, with the port that was given when 0 was asked for. Nobody is let in
    /// before [`Server::open`].
    pub async fn listen(&self, address: SocketAddr) -> Result<SocketAddr, ServerError> {
        let failed = |source| ServerError { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let local = listener.local_addr().map_err(failed)?;
        let (shared, stopped) = (Arc::clone(&self.shared), self.stop.subscribe());
        let mut opened = self.opened.subscribe();
        tokio::spawn(async move {
            if opened.wait_for(|opened| *opened).await.is_ok() {
                accept(listener, shared, stopped).await;
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
            control.close(Close::Politely(error.clone()));
        }
        let deadline = tokio::time::Instant::now() + SHUTDOWN;
        while !self.shared.connections.is_empty() && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>, mut stopped: watch::Receiver<bool>) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        match accepted {
            Ok(_) if shared.connections.len() >= shared.broker.limits.connections_max + HANDSHAKES_MAX => {
                // Closing the socket is all that can be said before the handshake.
            }
            Ok((socket, address)) => {
                if let Err(error) = serve(socket, address, &shared) {
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

fn serve(socket: TcpStream, address: SocketAddr, shared: &Arc<Shared>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let local = socket.local_addr()?;
    let id = ConnectionId(shared.next_id.fetch_add(1, Ordering::Relaxed));
    let broker = Arc::clone(&shared.broker);
    let outbox = Outbox::new(broker.limits.outbox_bytes_max);
    let peer = Peer { address, local };
    let mut connection = Box::new(Connection::new(Arc::clone(&broker), id, peer, Arc::clone(&outbox)));
    let control = Control::new();
    connection.closed_by(Arc::clone(&control) as _);
    connection.ended_by(Arc::clone(&control) as _);
    shared.connections.insert(id, Arc::clone(&control));
    let (read, write) = socket.into_split();
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        connection::serve(read, write, connection, outbox, broker, control).await;
        shared.connections.remove(&id);
    });
    Ok(())
}
