//! Deliveries unacknowledged for too long (`x-consumer-timeout`): their channel is closed, as `RabbitMQ` before
//! 4.3 and `LavinMQ` do.
//!
//! Invariants: a channel without a timeout costs nothing; no clock is read per delivery: the channel's next
//! delivery tag is recorded with the time at intervals, and lower tags are at least that old. A timeout is
//! detected late by at most a quarter of it.
//! Absent: sockets, tasks.

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_broker::Broker;
use leveret_broker::deadlines::Ticks;
use leveret_broker::turn::Turn;
use leveret_message::{Millis, QueueId};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

use super::error::{AmqpError, MethodId, ReplyCode};
use super::outbox::Outbox;

/// Closes a channel from outside of its connection's task.
pub trait ChannelCloser: Send + Sync {
    /// Closes the channel with `error`, unless it has ended meanwhile. May be called repeatedly.
    fn end_channel(&self, channel: u16, incarnation: u64, error: AmqpError);

    /// Makes the connection release what it holds: the common budget is exceeded, and it holds most.
    fn give_way(&self);
}

/// The timeouts of one channel.
pub(super) struct Watch {
    broker: Arc<Broker>,
    outbox: Arc<Outbox>,
    ender: Arc<dyn ChannelCloser>,
    channel: u16,
    incarnation: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Milliseconds, by queue.
    timeouts: FxHashMap<QueueId, u64>,
    marks: Marks,
    tick_at: Option<Millis>,
}

/// Delivery tags by time.
#[derive(Debug, Default)]
struct Marks(VecDeque<(Millis, u64)>);

/// Checks per shortest timeout. A mark may be recorded one check late, and a timeout detected one check late.
const LOOKS: u64 = 8;

/// Marks kept, at most: bounds the check interval of the longest timeout.
const MARKS_MAX: u64 = 1024;

/// Shortest check interval, in milliseconds.
const INTERVAL_MS_MIN: u64 = 10;

impl Marks {
    fn note(&mut self, now: Millis, next_tag: u64) {
        // If nothing was delivered in between, the earlier mark is more precise.
        if self.0.back().is_none_or(|(_, last)| *last < next_tag) {
            self.0.push_back((now, next_tag));
        }
    }

    /// Deliveries with lower tags are older than `age_ms`.
    fn older(&self, now: Millis, age_ms: u64) -> u64 {
        let behind = self.0.partition_point(|(at, _)| at.plus(age_ms) <= now);
        behind.checked_sub(1).and_then(|last| self.0.get(last)).map_or(0, |(_, tag)| *tag)
    }

    /// One mark suffices for everything older than all timeouts.
    fn forget(&mut self, now: Millis, age_ms: u64) {
        while self.0.get(1).is_some_and(|(at, _)| at.plus(age_ms) <= now) {
            self.0.pop_front();
        }
    }
}

impl State {
    fn interval_ms(&self) -> u64 {
        let shortest = self.timeouts.values().min().copied().unwrap_or(u64::MAX);
        let longest = self.timeouts.values().max().copied().unwrap_or(0);
        (shortest / LOOKS).max(longest / MARKS_MAX).max(INTERVAL_MS_MIN)
    }
}

impl Watch {
    /// A watch without timeouts.
    pub(super) fn new(
        broker: Arc<Broker>,
        outbox: Arc<Outbox>,
        ender: Arc<dyn ChannelCloser>,
        channel: u16,
        incarnation: u64,
    ) -> Arc<Self> {
        Arc::new(Self { broker, outbox, ender, channel, incarnation, state: Mutex::default() })
    }

    /// Changes the timeouts of queues.
    pub(super) fn change(self: &Arc<Self>, now: Millis, change: impl FnOnce(&mut FxHashMap<QueueId, u64>)) {
        let mut state = self.state.lock();
        change(&mut state.timeouts);
        self.ask(&mut state, now);
    }

    fn ask(self: &Arc<Self>, state: &mut State, now: Millis) {
        if state.timeouts.is_empty() {
            return;
        }
        let at = now.plus(state.interval_ms());
        if state.tick_at.is_none_or(|asked| at < asked) {
            self.broker.tick_at(at, state.tick_at, self);
            state.tick_at = Some(at);
        }
    }

    fn error(&self, timeout_ms: u64) -> AmqpError {
        let text = format!(
            "delivery acknowledgement on channel {} timed out. Timeout value used: {timeout_ms} ms. \
             This timeout value can be configured, see consumers doc guide to learn more",
            self.channel
        );
        AmqpError::new(ReplyCode::PreconditionFailed, MethodId::default(), text)
    }
}

impl Ticks for Watch {
    fn tick(self: Arc<Self>, turn: &mut Turn) {
        let now = turn.now;
        let mut state = self.state.lock();
        state.tick_at = None;
        let State { timeouts, marks, .. } = &mut *state;
        let longest = timeouts.values().max().copied().unwrap_or(0);
        let oldest_of_all = timeouts.values().map(|ms| marks.older(now, *ms)).max().unwrap_or(0);
        let mut overdue = None;
        let next_tag = self.outbox.look_at_unacked(self.channel, self.incarnation, &mut |queue, tag| {
            let timeout_ms = timeouts.get(&queue).copied();
            overdue = timeout_ms.filter(|ms| tag < marks.older(now, *ms));
            overdue.is_none() && tag < oldest_of_all
        });
        // `None`: the channel is gone, and this watch with it.
        let Some(next_tag) = next_tag else { return };
        marks.note(now, next_tag);
        marks.forget(now, longest);
        self.ask(&mut state, now);
        drop(state);
        if let Some(timeout_ms) = overdue {
            self.ender.end_channel(self.channel, self.incarnation, self.error(timeout_ms));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deliveries_are_as_old_as_the_mark_before_which_they_went_out() {
        let mut marks = Marks::default();
        for (at, next_tag) in [(0, 1), (10, 5), (20, 5), (30, 9)] {
            marks.note(Millis(at), next_tag);
        }
        for (now, age, tag) in [(30, 100, 0), (30, 31, 0), (30, 30, 1), (30, 20, 5), (39, 10, 5), (40, 10, 9)]
        {
            assert_eq!(marks.older(Millis(now), age), tag, "{age} at {now}");
        }
        marks.forget(Millis(50), 20);
        assert_eq!(marks.0, [(Millis(30), 9)]);
        assert_eq!(marks.older(Millis(50), 20), 9);
    }
}
