//! Reading from a socket into memory shared by all connections of a thread: an idle connection keeps only the
//! bytes of an incomplete frame.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use leveret_amqp091::session::{Connection, Outcome};
use tokio::io::{AsyncRead, ReadBuf};

use super::clock::now;

/// Bytes per read, at most; also more than two of the largest frames.
const SCRATCH_BYTES: usize = 384 * 1024;

thread_local! {
    static SCRATCH: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Reads once and passes the input to the connection. `left` keeps the bytes not consumed yet. Returns the number
/// of bytes read. `Ok(None)`: the client closed its side.
pub(super) fn poll_receive<R: AsyncRead + Unpin>(
    context: &mut Context<'_>,
    socket: &mut R,
    connection: &mut Connection,
    left: &mut Vec<u8>,
) -> Poll<io::Result<Option<(Outcome, usize)>>> {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.is_empty() {
            scratch.resize(SCRATCH_BYTES, 0);
        }
        let kept = left.len();
        let mut room = ReadBuf::new(&mut scratch[kept..]);
        ready!(Pin::new(socket).poll_read(context, &mut room))?;
        let came = room.filled().len();
        if came == 0 {
            return Poll::Ready(Ok(None));
        }
        connection.add_received(came);
        scratch[..kept].copy_from_slice(left);
        let bytes = &scratch[..kept + came];
        let (used, outcome) = connection.receive(now(), bytes, false);
        left.clear();
        left.extend_from_slice(&bytes[used..]);
        connection.keeps(left.len());
        if left.capacity() > LEFT_KEPT_BYTES && left.len() < LEFT_KEPT_BYTES {
            left.shrink_to(LEFT_KEPT_BYTES);
        }
        Poll::Ready(Ok(Some((outcome, came))))
    })
}

/// Bytes of memory for incomplete frames that a connection keeps.
const LEFT_KEPT_BYTES: usize = 4096;
