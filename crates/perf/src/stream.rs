//! The byte stream of a connection to a broker: a blocking socket, with or without TLS.
//!
//! Invariants: bytes accepted by [`Stream::write`] are in flight once [`Stream::flush`] returned Ok; no call
//! blocks longer than a [`TICK`]. An expired wait is an error for which [`is_timeout`] holds.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{RecvFlags, recv};
use rustls::ClientConnection;

use super::clock;
use super::error::PerfError;
use super::url::BrokerUrl;

/// Longest blocking read or write, so that a worker notices when to stop.
const TICK: Duration = Duration::from_millis(100);

/// Timeout of the TLS handshake.
const HANDSHAKE_SECONDS: u64 = 120;

/// Bytes of ciphertext per read, and buffered until the broker accepts them, at most.
const CIPHER_BYTES: usize = 256 * 1024;

/// How long to wait for bytes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wait {
    /// Not at all.
    No,
    /// About a tenth of a second.
    Tick,
    /// Until a time of [`clock::now`], and no longer than a tenth of a second.
    Until(u64),
}

/// Whether the error is only a timeout.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted)
}

pub(super) struct Stream {
    socket: TcpStream,
    tls: Option<Box<Tls>>,
}

impl Stream {
    /// Connects, with TLS if the URL says so.
    pub(super) fn connect(url: &BrokerUrl) -> Result<Self, PerfError> {
        let address = format!("{}:{}", url.host, url.port);
        let socket = TcpStream::connect((url.host.as_str(), url.port))
            .map_err(PerfError::io(format!("cannot connect to {address}")))?;
        let set_up = |socket: &TcpStream| {
            socket.set_nodelay(true)?;
            socket.set_read_timeout(Some(TICK))?;
            socket.set_write_timeout(Some(TICK))
        };
        set_up(&socket).map_err(PerfError::io("cannot set up the socket"))?;
        let Some(connection) = url.tls_connection()? else { return Ok(Self { socket, tls: None }) };
        let mut tls = Tls { connection, cipher: vec![0; CIPHER_BYTES].into(), start: 0, end: 0 };
        tls.shake_hands(&socket).map_err(PerfError::io(format!("no TLS with {address}")))?;
        Ok(Self { socket, tls: Some(tls.into()) })
    }

    /// Writes some of `bytes`; returns the number accepted.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.tls {
            None => self.socket.write(bytes),
            Some(tls) => tls.write(&self.socket, bytes),
        }
    }

    /// Sends accepted bytes that are still buffered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            None => Ok(()),
            Some(tls) => tls.flush(&self.socket),
        }
    }

    /// Reads available bytes into `space`, which is not empty; 0 when the broker closed the connection.
    pub(super) fn read(&mut self, space: &mut [u8], wait: Wait) -> io::Result<usize> {
        match &mut self.tls {
            None => receive(&self.socket, space, wait),
            Some(tls) => tls.read(&self.socket, space, wait),
        }
    }
}

fn receive(mut socket: &TcpStream, space: &mut [u8], wait: Wait) -> io::Result<usize> {
    let at_once = |space| Ok(recv(socket, space, RecvFlags::DONTWAIT)?.0);
    match wait {
        Wait::Tick => socket.read(space),
        Wait::No => at_once(space),
        Wait::Until(moment) => {
            let tick = TICK.as_nanos();
            let left = moment.saturating_sub(clock::now()).min(u64::try_from(tick).unwrap_or(u64::MAX));
            let timeout = Timespec { tv_sec: 0, tv_nsec: i64::try_from(left).unwrap_or(0) };
            let mut wanted = [PollFd::new(socket, PollFlags::IN)];
            match poll(&mut wanted, Some(&timeout)) {
                Ok(0) => Err(io::ErrorKind::TimedOut.into()),
                _ => at_once(space),
            }
        }
    }
}

struct Tls {
    connection: ClientConnection,
    /// Received and undecrypted bytes lie between `start` and `end`.
    cipher: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Tls {
    fn shake_hands(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        self.connection.set_buffer_limit(Some(CIPHER_BYTES));
        let deadline = clock::now() + HANDSHAKE_SECONDS * 1_000_000_000;
        while self.connection.is_handshaking() {
            match self.connection.complete_io(&mut socket) {
                Err(error) if is_timeout(&error) && clock::now() < deadline => {}
                Err(error) => return Err(error),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    fn write(&mut self, socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        // Output that the broker did not accept last time goes first.
        self.flush(socket)?;
        let count = self.connection.writer().write(bytes)?;
        match self.flush(socket) {
            Err(error) if !is_timeout(&error) => Err(error),
            _ => Ok(count),
        }
    }

    fn flush(&mut self, mut socket: &TcpStream) -> io::Result<()> {
        while self.connection.wants_write() {
            self.connection.write_tls(&mut socket)?;
        }
        Ok(())
    }

    /// Waits only while nothing is available; then fills `space`.
    fn read(&mut self, socket: &TcpStream, space: &mut [u8], wait: Wait) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            match self.connection.reader().read(&mut space[filled..]) {
                Ok(0) => return Ok(filled),
                Ok(count) => filled += count,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error),
                Err(_) => {}
            }
            if filled == space.len() {
                return Ok(filled);
            }
            if self.start == self.end {
                if filled > 0 {
                    return Ok(filled);
                }
                let count = receive(socket, &mut self.cipher, wait)?;
                if count == 0 {
                    return Ok(0);
                }
                (self.start, self.end) = (0, count);
            }
            self.decrypt(socket)?;
        }
    }

    /// Reads and decrypts some ciphertext.
    fn decrypt(&mut self, socket: &TcpStream) -> io::Result<()> {
        let mut rest = &self.cipher[self.start..self.end];
        self.connection.read_tls(&mut rest)?;
        self.start = self.end - rest.len();
        self.connection.process_new_packets().map_err(io::Error::other)?;
        // A key update may be requested; the next write sends what cannot be sent now.
        match self.flush(socket) {
            Err(error) if !is_timeout(&error) => Err(error),
            _ => Ok(()),
        }
    }
}
