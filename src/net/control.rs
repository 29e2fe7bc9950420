//! How others reach into a connection's tasks: to close it.

use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::registry::Closer;
use crate::session::error::{AmqpError, MethodId, ReplyCode};
use crate::session::overdue::Ender;

/// The handle of one connection's tasks.
#[derive(Debug, Default)]
pub(super) struct Control {
    close: Mutex<Option<Close>>,
    changed: Notify,
}

/// Why a connection, or one channel of it, is to end.
#[derive(Clone, Debug)]
pub(super) enum Close {
    /// Tell the client, and wait for its answer.
    Politely(AmqpError),
    /// Tell the client that one channel ends, if it is still this one.
    Channel { number: u16, incarnation: u64, error: AmqpError },
    /// The socket is of no use any more.
    AtOnce,
}

impl Ender for Control {
    fn end_channel(&self, channel: u16, incarnation: u64, error: AmqpError) {
        self.close(Close::Channel { number: channel, incarnation, error });
    }
}

impl Control {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn close(&self, how: Close) {
        let mut close = self.close.lock();
        let channel_only = matches!(how, Close::Channel { .. });
        if !(channel_only && close.is_some()) {
            *close = Some(how);
        }
        drop(close);
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
