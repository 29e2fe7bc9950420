//! How others reach into a connection's tasks: to close it, or to have it look again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::broker::registry::ConnectionControl;
use crate::session::error::{AmqpError, MethodId, ReplyCode};
use crate::session::overdue::ChannelCloser;

/// The handle of one connection's tasks.
#[derive(Debug, Default)]
pub(super) struct Control {
    close: Mutex<Option<Order>>,
    retime: AtomicBool,
    give_way: AtomicBool,
    changed: Notify,
}

/// What a connection is to do.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Tell the client, and wait for its answer.
    Politely(AmqpError),
    /// Tell the client that one channel ends, if it is still this one.
    Channel { number: u16, incarnation: u64, error: AmqpError },
    /// The socket is of no use any more.
    AtOnce,
    /// It holds more than others can bear.
    GiveWay,
    /// Its channels are to keep to the consumer timeouts of now.
    Retime,
}

impl ChannelCloser for Control {
    fn end_channel(&self, channel: u16, incarnation: u64, error: AmqpError) {
        self.close(Order::Channel { number: channel, incarnation, error });
    }

    fn give_way(&self) {
        self.give_way.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}

impl Control {
    pub(super) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(super) fn close(&self, how: Order) {
        let mut close = self.close.lock();
        let channel_only = matches!(how, Order::Channel { .. });
        if !(channel_only && close.is_some()) {
            *close = Some(how);
        }
        drop(close);
        self.changed.notify_one();
    }

    /// Waits until the connection is to do something.
    pub(super) async fn ordered(&self) -> Order {
        loop {
            if let Some(close) = self.close.lock().take() {
                return close;
            }
            if self.give_way.swap(false, Ordering::AcqRel) {
                return Order::GiveWay;
            }
            if self.retime.swap(false, Ordering::AcqRel) {
                return Order::Retime;
            }
            self.changed.notified().await;
        }
    }
}

impl ConnectionControl for Control {
    fn close(&self, text: &str) {
        let error = AmqpError::new(ReplyCode::ConnectionForced, MethodId::default(), text);
        Self::close(self, Order::Politely(error));
    }

    fn give_way(&self) {
        ChannelCloser::give_way(self);
    }

    fn retime(&self) {
        self.retime.store(true, Ordering::Release);
        self.changed.notify_one();
    }
}
