//! Detects the end of a client whose bytes are not read: while its publishes wait, or a message for it is read
//! from disk.
//!
//! Unread bytes hide a FIN from reads, and heartbeats behind them look like silence. So the socket itself is
//! queried: whether the client has hung up, and whether more has arrived.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{Shutdown, sockopt};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf, ReadHalf, WriteHalf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;
use tokio_rustls::server::TlsStream;

use leveret_platform::HALF_CLOSED;

/// TCP keepalive: idle time before the first probe, interval between probes, unanswered probes allowed. Finds dead
/// machines when no heartbeats were negotiated.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(30), Duration::from_secs(10), 3);

/// A reader, and the socket below it.
pub(super) trait Watched {
    /// The socket; `None` if there is none to query.
    fn socket(&self) -> Option<&TcpStream>;
}

impl Watched for OwnedReadHalf {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self.as_ref())
    }
}

/// What can be observed of a client without reading.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Seen {
    /// It has hung up, or the connection failed.
    Gone,
    /// Bytes received but not read; `full`: there may be no room for more.
    Unread { bytes: u64, full: bool },
}

/// Queries the socket.
pub(super) fn look(socket: &TcpStream) -> Seen {
    let mut asked = [PollFd::new(socket, HALF_CLOSED)];
    let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
    let ended = HALF_CLOSED | PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
    if rustix::event::poll(&mut asked, Some(&at_once)).is_ok_and(|_| asked[0].revents().intersects(ended)) {
        return Seen::Gone;
    }
    let bytes = rustix::io::ioctl_fionread(socket).unwrap_or_default();
    // The kernel also counts its overhead around the bytes; small segments take several times their size.
    let room = sockopt::socket_recv_buffer_size(socket).unwrap_or_default() as u64;
    Seen::Unread { bytes, full: bytes.saturating_mul(8) >= room }
}

/// Enables TCP keepalive.
pub(super) fn keep_alive(socket: &TcpStream) {
    let (idle, interval, count) = KEEP_ALIVE;
    // An option that cannot be set is not used; the others are.
    let _ = sockopt::set_tcp_keepidle(socket, idle)
        .and_then(|()| sockopt::set_tcp_keepintvl(socket, interval))
        .and_then(|()| sockopt::set_tcp_keepcnt(socket, count))
        .and_then(|()| sockopt::set_socket_keepalive(socket, true));
}

/// A socket below TLS that can still be queried.
#[derive(Clone)]
pub(super) struct SharedSocket(Arc<TcpStream>);

impl SharedSocket {
    pub(super) fn new(socket: TcpStream) -> Self {
        Self(Arc::new(socket))
    }
}

impl AsyncRead for SharedSocket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.poll_read_ready(context))?;
            match self.0.try_read(room.initialize_unfilled()) {
                Ok(count) => {
                    room.advance(count);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl SharedSocket {
    fn poll_with<T>(
        &self,
        context: &mut Context<'_>,
        mut write: impl FnMut(&TcpStream) -> io::Result<T>,
    ) -> Poll<io::Result<T>> {
        loop {
            ready!(self.0.poll_write_ready(context))?;
            match write(&self.0) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                outcome => return Poll::Ready(outcome),
            }
        }
    }
}

impl AsyncWrite for SharedSocket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_with(context, |socket| socket.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_with(context, |socket| socket.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(rustix::net::shutdown(&*self.0, Shutdown::Write).map_err(Into::into))
    }
}

/// The reading half of a TLS connection.
pub(super) struct Encrypted {
    half: ReadHalf<TlsStream<SharedSocket>>,
    socket: SharedSocket,
}

/// Splits a TLS connection.
pub(super) fn split(stream: TlsStream<SharedSocket>) -> (Encrypted, WriteHalf<TlsStream<SharedSocket>>) {
    let socket = stream.get_ref().0.clone();
    let (half, write) = tokio::io::split(stream);
    (Encrypted { half, socket }, write)
}

impl Watched for Encrypted {
    fn socket(&self) -> Option<&TcpStream> {
        Some(&self.socket.0)
    }
}

impl AsyncRead for Encrypted {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        room: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.half).poll_read(context, room)
    }
}
