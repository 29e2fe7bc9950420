//! Waiting without reading, while the client stays monitored.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::ready;
use std::time::Duration;

use leveret_amqp091::session::Outcome;
use leveret_amqp091::wire::hot_out::HEARTBEAT;
use tokio::io::AsyncRead;
use tokio::time::Instant;

use super::{End, Reading, Stage, expired, wake};
use crate::net::control::Order;
use crate::net::watch::{Seen, Watched, keep_alive, look};

/// How long publishers wait unread: mostly it takes milliseconds, and reading on would cost memory.
const SHORT: Duration = Duration::from_millis(250);

/// Check interval of a client that is not read from.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Checks between two of our heartbeats. A FIN may be stuck behind bytes that do not fit the receive buffer; a
/// peer that is gone answers our output with a reset.
const LOOKS_PER_PROBE: u32 = 2;

/// How a pause ended.
enum Paused {
    /// The awaited event occurred.
    Ready,
    /// An order takes precedence.
    Ordered(Order),
    /// The wait exceeded its limit.
    TooLong,
}

impl<R: AsyncRead + Watched + Unpin> Reading<R> {
    /// Publishers must wait. If that takes long, the client is read again, and its publishes are buffered.
    pub(super) async fn throttled(&mut self) -> Result<Outcome, End> {
        match self.pause(self.may_publish(), Some(SHORT)).await? {
            Paused::Ready => {
                self.timer.last_heard = Instant::now();
                Ok(self.again(false))
            }
            Paused::Ordered(order) => self.obey(order),
            Paused::TooLong => {
                self.connection.hold_up();
                Ok(self.again(false))
            }
        }
    }

    /// The publish buffer is full: nothing is read, the client is only monitored.
    pub(super) async fn waiting(&mut self) -> Result<Outcome, End> {
        self.resume_after(self.may_publish()).await
    }

    /// Waits without a time limit.
    pub(super) async fn resume_after(&mut self, ready: impl Future<Output = ()>) -> Result<Outcome, End> {
        match self.pause(ready, None).await? {
            Paused::Ordered(order) => self.obey(order),
            Paused::Ready | Paused::TooLong => Ok(self.again(false)),
        }
    }

    /// Ready when publishes may be carried out and their answers have room.
    fn may_publish(&self) -> impl Future<Output = ()> + use<R> {
        let (publishing, outbox) = (Arc::clone(&self.publishing), Arc::clone(&self.outbox));
        poll_fn(move |context| {
            ready!(publishing.poll(context.waker()));
            outbox.poll_room(context.waker())
        })
    }

    async fn pause(
        &mut self,
        ready: impl Future<Output = ()>,
        patience: Option<Duration>,
    ) -> Result<Paused, End> {
        tokio::pin!(ready);
        let end = patience.map(|patience| Instant::now() + patience);
        let mut watching = Watching::default();
        loop {
            let now = Instant::now();
            if self.timer.has_expired(now) {
                self.timer.expires = None;
                return Ok(Paused::Ordered(expired()));
            }
            if end.is_some_and(|end| end <= now) {
                return Ok(Paused::TooLong);
            }
            let at = self.timer.expires.map_or(now + LOOK_INTERVAL, |(_, at)| at.min(now + LOOK_INTERVAL));
            let at = end.map_or(at, |end| end.min(at));
            tokio::select! {
                biased;
                order = self.control.ordered() => return Ok(Paused::Ordered(order)),
                () = &mut ready => return Ok(Paused::Ready),
                () = tokio::time::sleep_until(at) => self.watch(&mut watching, at >= now + LOOK_INTERVAL)?,
            }
        }
    }

    /// Checks that the client is still connected, and keeps heartbeats going. `due`: an interval has passed.
    fn watch(&mut self, watching: &mut Watching, due: bool) -> Result<(), End> {
        if !due {
            return Ok(());
        }
        let now = Instant::now();
        watching.looks += 1;
        match self.socket.socket().map(|socket| (look(socket), socket)) {
            Some((Seen::Gone, _)) => return Err(self.disconnected(None)),
            Some((Seen::Unread { bytes, full }, socket)) => {
                if watching.looks == 1 {
                    keep_alive(socket);
                }
                // With a full buffer, silence proves nothing.
                if full || watching.unread.replace(bytes) != Some(bytes) {
                    self.timer.last_heard = now;
                }
            }
            None => self.timer.last_heard = now,
        }
        if watching.looks.is_multiple_of(LOOKS_PER_PROBE) && self.outbox.waiting_bytes() == 0 {
            wake(self.outbox.put_bytes(&HEARTBEAT));
        }
        if matches!(self.timer.stage, Stage::Heartbeat(_)) && self.timer.at <= now {
            self.timer_fired()?;
        }
        Ok(())
    }
}

/// Observations of a client during one pause.
#[derive(Default)]
struct Watching {
    looks: u32,
    /// Bytes received but not read.
    unread: Option<u64>,
}
