//! The writing half of a connection: drains its outbox in few large writes, and resumes consumers when there is
//! room again.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::sync::Arc;

use leveret_amqp091::session::outbox::{Next, Outbox, Writing};
use leveret_broker::Broker;
use leveret_broker::turn::Turn;
use tokio::io::{AsyncWrite, AsyncWriteExt};

use super::clock::now;
use super::control::{Control, Order};
use super::tasks::ASIDE;

/// Slices per write, at most.
const SLICES_MAX: usize = 64;

/// Writes until the outbox is finished or the socket fails. Returns the socket once everything is written.
pub(super) async fn run<W: AsyncWrite + Unpin>(
    mut socket: W,
    outbox: Arc<Outbox>,
    broker: Arc<Broker>,
    control: Arc<Control>,
) -> Option<W> {
    let mut writing = Writing::default();
    loop {
        match poll_fn(|context| outbox.poll_next(context, &mut writing)).await {
            Next::End => break,
            Next::Write => {}
        }
        if let Err(error) = write(&mut socket, &writing).await {
            tracing::debug!("writing: {error}");
            outbox.close();
            control.close(Order::AtOnce);
            return None;
        }
        let resumed = outbox.written(&mut writing);
        if !resumed.is_empty() {
            let mut turn = Turn::at(now());
            turn.does_aside(ASIDE);
            for consumer in resumed {
                consumer.queue.unblock(&mut turn, std::slice::from_ref(&consumer));
            }
            broker.finish(&mut turn);
        }
    }
    Some(socket)
}

async fn write<W: AsyncWrite + Unpin>(socket: &mut W, writing: &Writing) -> io::Result<()> {
    if writing.bodies.is_empty() {
        socket.write_all(&writing.frames).await?;
        return socket.flush().await;
    }
    let mut pieces = Pieces { writing, body: 0, at: 0, skip: 0 };
    let mut slices = [IoSlice::new(&[]); SLICES_MAX];
    loop {
        let count = pieces.fill(&mut slices);
        if count == 0 {
            // TLS buffers bytes that the socket did not accept at once; for a plain socket this does
            // nothing.
            return socket.flush().await;
        }
        let written = socket.write_vectored(&slices[..count]).await?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        pieces.advance(written);
    }
}

/// Iterates over frames and the bodies between them.
#[derive(Clone, Copy)]
struct Pieces<'a> {
    writing: &'a Writing,
    /// Index of the next body.
    body: usize,
    /// Offset in the frames already written.
    at: usize,
    /// Bytes of the next body already written.
    skip: usize,
}

impl<'a> Pieces<'a> {
    /// The next slice; empty at the end.
    fn next(&self) -> &'a [u8] {
        match self.writing.bodies.get(self.body) {
            Some(piece) if piece.at == self.at => {
                &piece.message.body()[piece.range.start + self.skip..piece.range.end]
            }
            Some(piece) => &self.writing.frames[self.at..piece.at],
            None => &self.writing.frames[self.at..],
        }
    }

    fn fill(&self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut ahead = *self;
        for (count, slot) in slices.iter_mut().enumerate() {
            let slice = ahead.next();
            if slice.is_empty() {
                return count;
            }
            *slot = IoSlice::new(slice);
            ahead.advance(slice.len());
        }
        slices.len()
    }

    fn advance(&mut self, mut bytes: usize) {
        while bytes > 0 {
            let slice = self.next();
            let step = bytes.min(slice.len());
            let in_body = self.writing.bodies.get(self.body).is_some_and(|piece| piece.at == self.at);
            if !in_body {
                self.at += step;
            } else if step == slice.len() {
                self.body += 1;
                self.skip = 0;
            } else {
                self.skip += step;
            }
            bytes -= step;
        }
    }
}
