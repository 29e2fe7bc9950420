//! The model: a queue's content as plain vectors, and an independent statement of the rules.

use leveret_queues::{ConsumerId, Overflow, Settings, Token};

/// A message as the model sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Msg {
    pub(crate) seq: u64,
    pub(crate) priority_level: u8,
    pub(crate) bytes: u64,
    pub(crate) expires: Option<u64>,
    pub(crate) persistent: bool,
    pub(crate) redelivered: bool,
    pub(crate) count: u32,
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
    /// Oldest first.
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) active: Option<ConsumerId>,
}

impl Model {
    pub(crate) fn insert(&mut self, msg: Msg) {
        self.ready.push(msg);
        self.ready.sort_by_key(|m| (std::cmp::Reverse(m.priority_level), m.seq));
    }

    pub(crate) fn stored(&self, msg: &Msg) -> bool {
        self.settings.durable && msg.persistent
    }

    pub(crate) fn over_limit(&self, more: u64, more_bytes: u64) -> bool {
        let bytes: u64 = self.ready.iter().map(|m| m.bytes).sum();
        let s = &self.settings;
        s.max_length.is_some_and(|max| self.ready.len() as u64 + more > max)
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
