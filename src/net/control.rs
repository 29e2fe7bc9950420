//! How others reach into a connection's tasks: to close it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::registry::Closer;
use crate::session::error::{AmqpError, MethodId, ReplyCode};

/// The handle of one connection's tasks.
#[derive(Debug, Default)]
pub(super) struct Control {
    close: Mutex<Option<Close>>,
    changed: Notify,
}

/// Why a connection is to end.
#[derive(Clone, Debug)]
pub(super) enum Close {
    /// Tell the client, and wait for its answer.
    Politely(AmqpError),
    /// The socket is of no use any more.
    AtOnce,
}

impl Control {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn close(&self, how: Close) {
        *self.close.lock() = Some(how);
        self.changed.notify_one();
    }

    /// Waits until the connection is to be closed.
    pub(super) async fn closed(&self) -> Close {
        loop {
            if let Some(close) = self.close.lock().take() {
                return close;
            }
            self.changed.notified().await;
        }
    }
}

impl Closer for Control {
    fn close(&self, text: &str) {
        let error = AmqpError::new(ReplyCode::ConnectionForced, MethodId::default(), text);
        Self::close(self, Close::Politely(error));
    }
}
