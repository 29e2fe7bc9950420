//! The model: a queue's content as plain vectors, and an independent statement of the rules.

use leveret_queues::{ConsumerId, Overflow, Requeue, RetryType, Settings, Token};

/// A message as the model sees it.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "facts that do not depend on each other")]
pub(crate) struct Msg {
    pub(crate) seq: u64,
    pub(crate) priority_level: u8,
    pub(crate) bytes: u64,
    pub(crate) expires: Option<u64>,
    pub(crate) persistent: bool,
    pub(crate) redelivered: bool,
    pub(crate) count: u32,
    pub(crate) acquired: u32,
    /// It failed in an earlier run, and was not delivered in this one.
    pub(crate) recovered: bool,
    /// A consumer received it once, in any run.
    pub(crate) seen: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) msg: Msg,
    pub(crate) token: Token,
    /// `None`: taken by get.
    pub(crate) holder: Option<ConsumerId>,
}

#[derive(Clone, Debug)]
pub(crate) struct Consumer {
    pub(crate) id: ConsumerId,
    pub(crate) no_ack: bool,
    pub(crate) prefetch: u32,
    pub(crate) priority: i32,
    pub(crate) exclusive: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) settings: Settings,
    pub(crate) now: u64,
    /// In delivery order.
    pub(crate) ready: Vec<Msg>,
    pub(crate) held: Vec<Held>,
    /// Waiting for their retry, with due times; by the instant at which they are due or expire.
    pub(crate) waiting: Vec<(u64, Msg)>,
    /// When messages that failed in an earlier run began to wait, if they do.
    pub(crate) recovered_at: Option<u64>,
    /// Oldest first.
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) active: Option<ConsumerId>,
}

impl Model {
    pub(crate) fn insert(&mut self, msg: Msg) {
        self.ready.push(msg);
        self.ready.sort_by_key(|m| (std::cmp::Reverse(m.priority_level), m.seq));
    }

    pub(crate) fn wait(&mut self, due: u64, msg: Msg) {
        self.waiting.push((due, msg));
        self.waiting.sort_by_key(|(due, m)| (m.expires.map_or(*due, |at| at.min(*due)), m.seq));
    }

    /// Messages that are due or have expired are ready.
    pub(crate) fn release_due(&mut self) {
        let now = self.now;
        let due = |(due, msg): &mut (u64, Msg)| *due <= now || msg.expires.is_some_and(|at| at <= now);
        let released: Vec<_> = self.waiting.extract_if(.., due).collect();
        for (_, msg) in released {
            self.insert(msg);
        }
    }

    pub(crate) fn release_all(&mut self) -> usize {
        let released = std::mem::take(&mut self.waiting);
        let count = released.len();
        for (_, msg) in released {
            self.insert(msg);
        }
        self.recovered_at = None;
        count
    }

    /// When a message returned now is due again; `None`: it is ready at once.
    pub(crate) fn due_after(&self, cause: Requeue, msg: &Msg) -> Option<u64> {
        let retry = self.settings.delayed_retry?;
        let failed = cause != Requeue::Recover;
        let own_wish = matches!(cause, Requeue::Nack | Requeue::Recover);
        let waits = match retry.which {
            RetryType::Failed => failed,
            RetryType::Returned => own_wish,
            RetryType::All => true,
        };
        let delay = u64::min(retry.min_ms * u64::from(msg.count.max(1)), retry.max_ms);
        let lives = msg.expires.is_none_or(|at| at > self.now);
        (waits && lives && delay > 0).then_some(self.now + delay)
    }

    /// When the front is due, if it waits because it failed in an earlier run.
    pub(crate) fn front_due(&self) -> Option<u64> {
        let front = self.ready.first().filter(|front| front.recovered)?;
        let retry = self.settings.delayed_retry?;
        let due = self.recovered_at? + u64::min(retry.min_ms * u64::from(front.count), retry.max_ms);
        (due > self.now).then_some(due)
    }

    pub(crate) fn stored(&self, msg: &Msg) -> bool {
        self.settings.durable && msg.persistent
    }

    pub(crate) fn over_limit(&self, more: u64, more_bytes: u64) -> bool {
        let all = || self.ready.iter().chain(self.waiting.iter().map(|(_, msg)| msg));
        let bytes: u64 = all().map(|m| m.bytes).sum();
        let s = &self.settings;
        s.max_length.is_some_and(|max| all().count() as u64 + more > max)
            || s.max_bytes.is_some_and(|max| bytes + more_bytes > max)
    }

    pub(crate) fn front_expired(&self) -> bool {
        let expires = self.ready.first().and_then(|m| m.expires);
        expires.is_some_and(|at| at <= self.now)
    }

    pub(crate) fn front_too_many(&self) -> bool {
        self.settings.overflow == Overflow::DropHead && self.over_limit(0, 0)
    }

    pub(crate) fn held_by(&self, id: ConsumerId) -> usize {
        self.held.iter().filter(|h| h.holder == Some(id)).count()
    }

    /// Consumers that must be served before any other. `room` says which have room.
    pub(crate) fn eligible(&self, room: impl Fn(ConsumerId) -> bool) -> Vec<&Consumer> {
        let can = |c: &&Consumer| {
            let credit = c.no_ack || c.prefetch == 0 || self.held_by(c.id) < c.prefetch as usize;
            let active = !self.settings.single_active_consumer || self.active == Some(c.id);
            credit && active && room(c.id)
        };
        let all: Vec<&Consumer> = self.consumers.iter().filter(can).collect();
        let top = all.iter().map(|c| c.priority).max();
        all.into_iter().filter(|c| Some(c.priority) == top).collect()
    }

    /// Highest priority, then oldest.
    pub(crate) fn elect(&mut self) {
        let top = self.consumers.iter().map(|c| c.priority).max();
        let best = self.consumers.iter().find(|c| Some(c.priority) == top);
        self.active = best.map(|c| c.id);
    }
}
