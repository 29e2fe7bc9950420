//! Closing of a socket after the conversation is over and everything is written.
//!
//! A client that has closed the connection itself closes the socket first: many report an error if they find it
//! closed before they have read our answer. Otherwise the broker sends FIN, preceded by TLS's `close_notify`.
//! Either way it reads on until the client closes its side: closing a socket with unread bytes resets it, and a
//! reset discards our last frames at the client.
//!
//! Invariants: time, bytes and sockets are bounded. Sockets here count for no limit of a user, a vhost or the
//! broker.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;

/// How long the client may take to close the socket.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes read and discarded, at most.
const BYTES_MAX: usize = 1024 * 1024;

/// Sockets waiting for their clients at a time. Beyond, sockets are closed at once.
const SOCKETS_MAX: usize = 1024;

static SOCKETS: Semaphore = Semaphore::const_new(SOCKETS_MAX);

/// Which side closes the socket first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum First {
    /// The client, which requested the close and has its answer.
    Client,
    /// The broker.
    Broker,
}

/// A socket whose conversation is over.
pub(super) struct Farewell<R, W> {
    pub(super) read: R,
    pub(super) write: W,
    pub(super) first: First,
}

impl<R: AsyncRead + Unpin, W: AsyncWrite + Unpin> Farewell<R, W> {
    /// Waits for the client to close the socket, then closes it.
    pub(super) async fn take(self) {
        self.within(PATIENCE).await;
    }

    async fn within(mut self, patience: Duration) {
        let seat = SOCKETS.try_acquire();
        if self.first == First::Broker || seat.is_err() {
            // The client may be gone already, here and below.
            let _ = self.write.shutdown().await;
        }
        if seat.is_err() {
            return;
        }
        let _ = tokio::time::timeout(patience, self.discard()).await;
        if self.first == First::Client {
            let _ = tokio::time::timeout(patience, self.write.shutdown()).await;
        }
    }

    async fn discard(&mut self) {
        let mut scrap = vec![0; 4096];
        let mut taken = 0;
        while taken < BYTES_MAX {
            match self.read.read(&mut scrap).await {
                Ok(count) if count > 0 => taken += count,
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::duplex;

    use super::*;

    /// Longer than any test.
    const LONG: Duration = Duration::from_hours(1);
    const SHORT: Duration = Duration::from_millis(20);

    /// Writes `said` bytes to a socket whose conversation is over, then closes this side if `closes`.
    async fn part(first: First, patience: Duration, said: usize, closes: bool) {
        let (ours, theirs) = duplex(64 * 1024);
        let (read, write) = tokio::io::split(ours);
        let (mut hears, mut says) = tokio::io::split(theirs);
        let farewell = tokio::spawn(Farewell { read, write, first }.within(patience));
        if first == First::Broker {
            assert_eq!(
                hears.read(&mut [0]).await.unwrap(),
                0,
                "the end is said before the client says anything"
            );
        }
        let _ = says.write_all(&vec![7; said]).await;
        if closes {
            says.shutdown().await.unwrap();
        }
        farewell.await.unwrap();
        assert_eq!(hears.read(&mut [0]).await.unwrap(), 0);
    }

    #[tokio::test]
    async fn the_broker_that_goes_first_says_so_at_once_and_reads_on() {
        part(First::Broker, LONG, 500_000, true).await;
        part(First::Broker, SHORT, 0, false).await;
    }

    #[tokio::test]
    async fn a_client_that_goes_first_is_waited_for_but_not_for_ever() {
        part(First::Client, LONG, 500_000, true).await;
        part(First::Client, SHORT, 0, false).await;
    }

    #[tokio::test]
    async fn who_talks_on_is_not_listened_to_for_long() {
        part(First::Client, LONG, 3 * BYTES_MAX, false).await;
    }

    #[tokio::test]
    async fn nothing_is_closed_before_the_client_has_closed() {
        let (ours, theirs) = duplex(64);
        let (read, write) = tokio::io::split(ours);
        let (mut hears, mut says) = tokio::io::split(theirs);
        let farewell = Farewell { read, write, first: First::Client }.within(LONG);
        tokio::pin!(farewell);
        let mut octet = [0];
        assert!(
            !either_is_ready(farewell.as_mut(), hears.read(&mut octet)).await,
            "closed before the client"
        );
        says.shutdown().await.unwrap();
        farewell.await;
    }

    /// Polls both once.
    async fn either_is_ready<A: Future, B: Future>(a: A, b: B) -> bool {
        tokio::pin!(a, b);
        std::future::poll_fn(|context| {
            let ready = a.as_mut().poll(context).is_ready() | b.as_mut().poll(context).is_ready();
            std::task::Poll::Ready(ready)
        })
        .await
    }
}
