//! Request and answer bodies, accounted for while they are held.
//!
//! Invariants: a request body counts from its arrival until its answer is ready; an answer counts until its last byte
//! is written to the socket, including time in the HTTP server's buffers.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};
use leveret_broker::held::Overdrawn;

use super::visitors::{Answering, Piece, Visitor};

/// Answers below this size are not accounted for, in bytes.
const SMALL_BYTES: u64 = 16 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A request body.
pub(super) struct Received {
    body: Incoming,
    visitor: Arc<Visitor>,
    piece: Arc<parking_lot::Mutex<Piece>>,
    refused: Arc<AtomicBool>,
}

/// The memory accounted to a request.
#[derive(Clone)]
pub(super) struct Counted {
    piece: Arc<parking_lot::Mutex<Piece>>,
    refused: Arc<AtomicBool>,
}

impl Counted {
    /// Accounts for memory used in processing the body, until the request is answered.
    pub(super) fn takes(&self, bytes: u64) -> Result<(), Overdrawn> {
        self.piece.lock().grow(bytes)
    }

    /// Whether the body exceeded the limit.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Received {
    /// Accounts for the bytes of a body as they arrive, until the body and all clones of the returned [`Counted`] are
    /// dropped.
    pub(super) fn new(body: Incoming, visitor: &Arc<Visitor>) -> Result<(Self, Counted), Overdrawn> {
        let piece = Arc::new(parking_lot::Mutex::new(visitor.holds(0)?));
        let refused = Arc::new(AtomicBool::new(false));
        let counted = Counted { piece: Arc::clone(&piece), refused: Arc::clone(&refused) };
        visitor.keeps_us(!body.is_end_stream());
        Ok((Self { body, visitor: Arc::clone(visitor), piece, refused }, counted))
    }
}

impl HttpBody for Received {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            self.visitor.keeps_us(false);
            return Poll::Ready(None);
        };
        let frame = frame?;
        self.visitor.keeps_us(!self.body.is_end_stream());
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        if let Err(overdrawn) = self.piece.lock().grow(bytes) {
            self.refused.store(true, Ordering::Relaxed);
            return Poll::Ready(Some(Err(overdrawn.to_string().into())));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// An answer body.
pub(super) struct Sent {
    body: Body,
    /// The accounted bytes, if large enough to count.
    piece: Option<Arc<Piece>>,
    _answering: Answering,
}

impl Sent {
    /// An answer too small to account for.
    pub(super) fn small(body: Body, answering: Answering) -> Self {
        Self { body, piece: None, _answering: answering }
    }

    /// Accounts for a complete answer.
    pub(super) fn new(body: Body, answering: Answering) -> Result<Self, (Overdrawn, Answering)> {
        let bytes = body.size_hint().lower();
        let piece = if bytes < SMALL_BYTES { None } else { Some(answering.0.holds(bytes)) };
        // An endless answer, such as events, waits for the server, not for the client.
        answering.0.keeps_us(body.size_hint().exact().is_some());
        match piece.transpose() {
            Ok(piece) => Ok(Self { body, piece: piece.map(Arc::new), _answering: answering }),
            Err(overdrawn) => Err((overdrawn, answering)),
        }
    }
}

/// Bytes that count until their last clone is dropped.
struct Weighed {
    bytes: Bytes,
    _piece: Arc<Piece>,
}

impl AsRef<[u8]> for Weighed {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Sent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(frame) = ready!(Pin::new(&mut self.body).poll_frame(context)) else {
            return Poll::Ready(None);
        };
        let piece = self.piece.clone();
        Poll::Ready(Some(frame.map(|frame| match piece {
            Some(piece) => frame.map_data(|bytes| Bytes::from_owner(Weighed { bytes, _piece: piece })),
            None => frame,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
