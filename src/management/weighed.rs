//! Bodies of requests and answers, counted while they are held.
//!
//! Invariants: a request's body counts from when it comes in until its answer is there; an answer counts until the last
//! of its bytes has gone to the socket, also where the server below keeps them for a while.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use hyper::body::{Frame, Incoming, SizeHint};

use super::visitors::{Answering, Piece, Visitor};
use crate::broker::held::Overdrawn;

/// Answers below are not worth counting, in bytes.
const SMALL_BYTES: u64 = 16 * 1024;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The body of a request.
pub(super) struct Received {
    body: Incoming,
    visitor: Arc<Visitor>,
    piece: Arc<parking_lot::Mutex<Piece>>,
    refused: Arc<AtomicBool>,
}

/// What is held of a request, for its owner.
#[derive(Clone)]
pub(super) struct Counted {
    piece: Arc<parking_lot::Mutex<Piece>>,
    refused: Arc<AtomicBool>,
}

impl Counted {
    /// What is made of its body takes so much besides, until the request is answered.
    pub(super) fn takes(&self, bytes: u64) -> Result<(), Overdrawn> {
        self.piece.lock().grow(bytes)
    }

    /// Whether its body was too much.
    pub(super) fn is_refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }
}

impl Received {
    /// Counts what comes of a body, until it and all clones of what is returned beside it are dropped.
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

/// The body of an answer.
pub(super) struct Sent {
    body: Body,
    /// What it takes, if that is worth counting.
    piece: Option<Arc<Piece>>,
    _answering: Answering,
}

impl Sent {
    /// An answer that is not worth counting.
    pub(super) fn small(body: Body, answering: Answering) -> Self {
        Self { body, piece: None, _answering: answering }
    }

    /// Counts an answer that is there.
    pub(super) fn new(body: Body, answering: Answering) -> Result<Self, (Overdrawn, Answering)> {
        let bytes = body.size_hint().lower();
        let piece = if bytes < SMALL_BYTES { None } else { Some(answering.0.holds(bytes)) };
        // One without an end, as that of events, waits for us.
        answering.0.keeps_us(body.size_hint().exact().is_some());
        match piece.transpose() {
            Ok(piece) => Ok(Self { body, piece: piece.map(Arc::new), _answering: answering }),
            Err(overdrawn) => Err((overdrawn, answering)),
        }
    }
}

/// Bytes that count as long as anybody has them.
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
