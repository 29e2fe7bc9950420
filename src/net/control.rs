//! Control of a connection's tasks from outside: to close it, or to have it check its state.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use leveret_amqp091::session::error::{AmqpError, MethodId, ReplyCode};
use leveret_amqp091::session::overdue::ChannelCloser;
use leveret_broker::registry::ConnectionControl;

/// The handle of one connection's tasks.
#[derive(Debug, Default)]
pub(super) struct Control {
    close: Mutex<Option<Order>>,
    retime: AtomicBool,
    give_way: AtomicBool,
    changed: Notify,
}

/// A request to a connection.
#[derive(Clone, Debug)]
pub(super) enum Order {
    /// Close with an error, and wait for the client's answer.
    Politely(AmqpError),
    /// Close one channel, unless its number was reused.
    Channel { number: u16, incarnation: u64, error: AmqpError },
    /// Close at once: the socket is unusable.
    AtOnce,
    /// Release what it holds: the common budget is exceeded.
    GiveWay,
    /// Apply the current consumer timeouts to its channels.
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

    /// Waits for the next order.
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
