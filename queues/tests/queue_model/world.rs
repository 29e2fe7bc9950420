//! The queue under test with a caller's surroundings: outlet, store, clock. Every step is applied to queue and model;
//! then the queue's effects are replayed on the model and compared.
//!
//! Long: every operation and what it must leave behind stand beside each other.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};

use leveret_message::stored::{ColdRange, RecoveredQueue, SettleReason, Stored};
use leveret_message::{Message, MessageMeta, Millis, Seq, Short};
use leveret_queues::{
    ConsumerId, ConsumerSpec, DelayedRetry, Delivery, Effects, GetReply, Gone, Outlet, Overflow, Peeked,
    Published, Queue, ReadAsk, Requeue, Settings, Token,
};

use crate::model::{Consumer, Held, Model, Msg};

#[derive(Default)]
struct Desk {
    room: RefCell<HashMap<ConsumerId, usize>>,
    out: VecDeque<(ConsumerId, Delivery)>,
}

impl Outlet<ConsumerId> for Desk {
    fn reserve(&mut self, consumer: &ConsumerId, _bytes: usize) -> bool {
        self.room.borrow()[consumer] > 0
    }

    fn deliver(&mut self, consumer: &ConsumerId, delivery: Delivery) {
        // The model uses up room when it sees the delivery, but the limit must bind at once.
        *self.room.borrow_mut().get_mut(consumer).expect("attached") -= 1;
        self.out.push_back((*consumer, delivery));
    }
}

/// A store's record of one message.
struct Record {
    message: Message,
    priority_level: u8,
    expires: Option<Millis>,
    count: u32,
    transient: bool,
}

pub(crate) struct World {
    queue: Queue<ConsumerId>,
    model: Model,
    desk: Desk,
    fx: Effects,
    store: BTreeMap<u64, Record>,
    delivered_upto: Seq,
    last_stored: Seq,
    asked: Option<ReadAsk>,
    /// A read failed since the last answer.
    failed: bool,
    consumers_ever: u64,
}

fn body(seq: u64, size: u8) -> Vec<u8> {
    vec![u8::try_from(seq % 251).expect("small"); usize::from(size)]
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        let now = 10_000;
        Self {
            queue: Queue::new(settings, Millis(now)),
            model: Model { settings, now, ..Model::default() },
            desk: Desk::default(),
            fx: Effects::default(),
            store: BTreeMap::new(),
            delivered_upto: Seq(0),
            last_stored: Seq(0),
            asked: None,
            failed: false,
            consumers_ever: 0,
        }
    }

    fn now(&self) -> Millis {
        Millis(self.model.now)
    }

    pub(crate) fn publish(&mut self, priority: Option<u8>, ttl: Option<u64>, size: u8, persistent: bool) {
        let seq = self.queue.last_seq().0 + 1;
        let meta = MessageMeta { persistent, priority, expiration_ms: ttl, ..MessageMeta::default() };
        let message = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", &body(seq, size), meta);
        let s = self.model.settings;
        let bytes = u64::from(size);
        let refused = s.overflow != Overflow::DropHead && self.model.over_limit(1, bytes);
        let straight = self.model.ready.is_empty() && !self.eligible().is_empty();
        let published = self.queue.publish(self.now(), message.clone(), &mut self.desk, &mut self.fx);
        if refused {
            let dead_letter = s.overflow == Overflow::RejectPublishDeadLetter && s.dead_letters;
            assert_eq!(published, Published::Refused { dead_letter });
            return self.follow();
        }
        let ttl = [ttl, s.message_ttl_ms].into_iter().flatten().min();
        let msg = Msg {
            seq,
            priority_level: s.max_priority.map_or(0, |max| priority.unwrap_or(0).min(max)),
            bytes,
            expires: ttl.map(|ttl| self.model.now + ttl),
            persistent,
            redelivered: false,
            count: 0,
            acquired: 0,
            recovered: false,
            seen: false,
        };
        if let Published::Enqueued { seq, priority_level, expires } = published {
            assert_eq!(
                (seq.0, priority_level, expires),
                (msg.seq, msg.priority_level, msg.expires.map(Millis))
            );
            if self.model.stored(&msg) {
                let record = Record { message, priority_level, expires, count: 0, transient: false };
                self.store.insert(seq.0, record);
                self.last_stored = seq;
            }
        }
        if straight {
            let (to, delivery) = self.desk.out.pop_front().expect("somebody waits");
            let no_ack = self.check_delivery(to, &delivery, &msg);
            assert_eq!(published == Published::Passed, no_ack);
            self.account(Some(to), &delivery, msg);
        } else {
            assert_ne!(published, Published::Passed);
            self.model.insert(msg);
        }
        self.follow();
    }

    pub(crate) fn attach(
        &mut self,
        no_ack: bool,
        prefetch: u32,
        priority: i32,
        exclusive: bool,
        room: usize,
    ) {
        self.consumers_ever += 1;
        let id = ConsumerId(self.consumers_ever);
        let spec = ConsumerSpec { id, handle: id, no_ack, prefetch, priority, exclusive };
        let sac = self.model.settings.single_active_consumer;
        let others = !self.model.consumers.is_empty();
        let refuse = exclusive && (sac || others) || self.model.consumers.iter().any(|c| c.exclusive);
        let refused = self.queue.attach(self.now(), spec, &mut self.fx).is_err();
        assert_eq!(refused, refuse);
        if refused {
            return;
        }
        self.desk.room.borrow_mut().insert(id, room);
        self.model.consumers.push(Consumer { id, no_ack, prefetch, priority, exclusive });
        if sac && self.model.active.is_none() {
            self.model.elect();
        }
        self.dispatch();
    }

    pub(crate) fn detach(&mut self, who: usize, requeue: bool) {
        if self.model.consumers.is_empty() {
            let nobody = ConsumerId(u64::MAX);
            assert!(!self.queue.detach(self.now(), nobody, &mut self.fx));
            return;
        }
        let gone = self.model.consumers.remove(who % self.model.consumers.len());
        if self.model.active == Some(gone.id) {
            self.model.elect();
        }
        assert!(self.queue.detach(self.now(), gone.id, &mut self.fx));
        if requeue {
            let held = self.model.held.iter().filter(|h| h.holder == Some(gone.id));
            let tokens: Vec<Token> = held.map(|h| h.token).collect();
            self.requeue_these(&tokens, Requeue::ChannelClosed);
        } else {
            self.dispatch();
        }
    }

    pub(crate) fn room(&mut self, who: usize, room: usize) {
        if let Some(consumer) = self.model.consumers.get(who % self.model.consumers.len().max(1)) {
            self.desk.room.borrow_mut().insert(consumer.id, room);
            self.queue.unblock(consumer.id);
            self.dispatch();
        }
    }

    pub(crate) fn get(&mut self, no_ack: bool) {
        let reply = self.queue.get(self.now(), no_ack, &mut self.fx);
        match reply {
            GetReply::Got(got) => {
                self.drop_or_wait_at_front();
                let msg = self.model.ready.remove(0);
                assert_eq!(got.delivery.token.is_none(), no_ack);
                Self::compare(&got.delivery, &msg);
                self.account(None, &got.delivery, msg);
                self.drop_from_front();
                assert_eq!(got.ready_left, self.model.ready.len() as u64);
            }
            GetReply::Empty => {
                self.drop_or_wait_at_front();
                assert!(self.model.ready.is_empty());
            }
            GetReply::NotYet => assert!(self.front_away()),
        }
        self.follow();
    }

    fn choose(&self, from: usize, count: usize) -> Vec<Token> {
        let held = &self.model.held;
        let from = from % held.len().max(1);
        held.iter().skip(from).take(count).map(|h| h.token).collect()
    }

    fn take_held(&mut self, token: Token) -> Msg {
        let place = self.model.held.iter().position(|h| h.token == token);
        self.model.held.remove(place.expect("held")).msg
    }

    pub(crate) fn settle(&mut self, from: usize, count: usize) {
        let tokens = self.choose(from, count);
        self.queue.settle(&tokens, &mut self.fx);
        // A second time has no effect.
        let known = self.fx.gone.len();
        self.queue.settle(&tokens, &mut self.fx);
        assert_eq!(self.fx.gone.len(), known);
        for token in tokens {
            let msg = self.take_held(token);
            self.expect_gone(&msg, SettleReason::Acked);
        }
        self.dispatch();
    }

    pub(crate) fn reject(&mut self, from: usize, count: usize) {
        let tokens = self.choose(from, count);
        self.queue.reject(self.now(), &tokens, &mut self.fx);
        for token in tokens {
            let msg = self.take_held(token);
            self.expect_gone(&msg, SettleReason::Rejected);
        }
        self.dispatch();
    }

    pub(crate) fn requeue(&mut self, from: usize, count: usize, cause: Requeue) {
        let tokens = self.choose(from, count);
        self.requeue_these(&tokens, cause);
    }

    fn requeue_these(&mut self, tokens: &[Token], cause: Requeue) {
        self.queue.requeue(self.now(), tokens, cause, &mut self.fx);
        let mut dead = Vec::new();
        for token in tokens {
            let mut msg = self.take_held(*token);
            msg.redelivered = true;
            msg.acquired += 1;
            msg.count += u32::from(cause != Requeue::Recover);
            let limit = self.model.settings.delivery_limit;
            if cause != Requeue::Recover && limit.is_some_and(|limit| msg.count > limit) {
                dead.push(msg);
            } else if let Some(due) = self.model.due_after(cause, &msg) {
                self.model.wait(due, msg);
            } else {
                self.model.insert(msg);
            }
        }
        dead.sort_unstable_by_key(|msg| msg.seq);
        for msg in dead {
            self.expect_gone(&msg, SettleReason::DeliveryLimit);
        }
        self.dispatch();
    }

    pub(crate) fn advance(&mut self, ms: u64) {
        self.model.now += ms;
        self.model.release_due();
        self.queue.tick(self.now(), &mut self.desk, &mut self.fx);
        self.follow();
    }

    pub(crate) fn limits(&mut self, max_length: Option<u64>, max_bytes: Option<u64>) {
        let settings = Settings { max_length, max_bytes, ..self.model.settings };
        self.model.settings = settings;
        self.queue.set_settings(self.now(), settings, &mut self.desk, &mut self.fx);
        self.follow();
    }

    pub(crate) fn delay_retries(&mut self, delayed_retry: Option<DelayedRetry>) {
        let settings = Settings { delayed_retry, ..self.model.settings };
        self.model.settings = settings;
        if delayed_retry.is_none() {
            self.model.release_all();
        }
        self.queue.set_settings(self.now(), settings, &mut self.desk, &mut self.fx);
        self.follow();
    }

    pub(crate) fn release_retries(&mut self) {
        let released = self.queue.release_retries();
        assert_eq!(released, self.model.release_all() as u64);
        self.dispatch();
    }

    pub(crate) fn purge(&mut self) {
        let purged = self.queue.purge(&mut self.fx);
        assert_eq!(purged, (self.model.ready.len() + self.model.waiting.len()) as u64);
        self.model.ready.clear();
        self.model.waiting.clear();
        let Some(mark) = self.fx.purge.take() else {
            assert_eq!(purged, 0);
            return;
        };
        if mark.stored {
            let stays = |seq: &u64| *seq > mark.upto.0 || mark.kept.contains(&Seq(*seq));
            self.store.retain(|seq, _| stays(seq));
        }
        self.dispatch();
    }

    /// The queue is dropped and restored if it is at rest, or else gives back room.
    pub(crate) fn rest(&mut self) {
        match self.queue.at_rest() {
            Some((last_seq, last_used)) => {
                assert!(self.model.ready.is_empty() && self.model.waiting.is_empty());
                self.queue = Queue::resume(*self.queue.settings(), last_seq, last_used);
            }
            None => self.queue.shrink(),
        }
        self.follow();
    }

    pub(crate) fn page_out(&mut self, keep: u64, behind: u64, held: bool) {
        let upto = Seq(self.queue.last_seq().0.saturating_sub(behind));
        let before = self.queue.counts();
        let freed = self.queue.page_out(keep, upto, held);
        let after = self.queue.counts();
        assert_eq!(after.resident_bytes + freed, before.resident_bytes);
        self.follow();
    }

    pub(crate) fn hand_out_lean(&mut self, behind: Option<u64>) {
        let upto = behind.map(|behind| Seq(self.queue.last_seq().0.saturating_sub(behind)));
        self.queue.hand_out_lean(upto);
    }

    pub(crate) fn candidates(&mut self, max: usize) {
        for candidate in self.queue.page_candidates(0, max) {
            let record = Record {
                message: candidate.message,
                priority_level: candidate.priority_level,
                expires: candidate.expires,
                count: candidate.delivery_count,
                transient: true,
            };
            assert!(self.store.insert(candidate.seq.0, record).is_none(), "told twice");
        }
        self.follow();
    }

    pub(crate) fn paged(&mut self) {
        self.queue.paged();
        self.follow();
    }

    pub(crate) fn answer(&mut self, most: usize) {
        let Some(asked) = self.asked.take() else {
            return;
        };
        let in_range = self.store.range(asked.from.0..=asked.to.0);
        let stored = in_range
            .filter(|(_, record)| record.priority_level == asked.priority_level)
            .take(most.clamp(1, asked.max_messages))
            .map(|(seq, record)| Stored {
                seq: Seq(*seq),
                message: Ok(record.message.clone()),
                expires: record.expires,
                delivery_count: record.count,
            })
            .collect();
        self.failed = false;
        self.queue.fetched(self.now(), stored, asked, &mut self.desk, &mut self.fx);
        self.follow();
    }

    pub(crate) fn fail_read(&mut self) {
        if let Some(asked) = self.asked.take() {
            self.queue.read_failed(self.now(), asked);
            self.failed = true;
            self.follow();
        }
    }

    pub(crate) fn restart(&mut self, chunk: usize) {
        if !self.model.settings.durable {
            return;
        }
        self.store.retain(|_, record| !record.transient);
        let held = self.model.held.drain(..).map(|h| h.msg);
        let waiting = self.model.waiting.drain(..).map(|(_, msg)| msg);
        let mut alive: Vec<Msg> = held.chain(waiting).chain(self.model.ready.drain(..)).collect();
        alive.retain(|msg| msg.persistent);
        alive.sort_by_key(|msg| msg.seq);
        let places: Vec<u64> = alive.iter().map(|msg| msg.seq).collect();
        let stored: Vec<u64> = self.store.keys().copied().collect();
        assert_eq!(places, stored, "the store has what must survive, and nothing else");
        let mut found = RecoveredQueue {
            ranges: Vec::new(),
            last_seq: self.last_stored,
            delivered_upto: self.delivered_upto,
        };
        for priority_level in 0..=3 {
            let here: Vec<&Msg> = alive.iter().filter(|msg| msg.priority_level == priority_level).collect();
            found.ranges.extend(here.chunks(chunk).map(|part| ColdRange {
                priority_level,
                first: Seq(part[0].seq),
                last: Seq(part[part.len() - 1].seq),
                count: part.len() as u64,
                bytes: part.iter().map(|msg| msg.bytes).sum(),
            }));
        }
        for mut msg in alive {
            assert!(!msg.seen || msg.seq <= self.delivered_upto.0, "delivered, not recorded");
            msg.count = self.store[&msg.seq].count;
            msg.acquired = msg.count;
            msg.recovered = msg.count > 0;
            msg.redelivered = msg.seq <= self.delivered_upto.0 || msg.count > 0;
            self.model.insert(msg);
        }
        self.queue = Queue::recover(self.model.settings, &found, self.now());
        self.model.recovered_at = self.model.settings.delayed_retry.map(|_| self.model.now);
        self.model.consumers.clear();
        self.model.active = None;
        self.desk.room.borrow_mut().clear();
        self.asked = None;
        self.failed = false;
        self.dispatch();
    }

    /// Empties the queue: everything in the model must come out.
    pub(crate) fn drain(&mut self) {
        while !self.model.consumers.is_empty() {
            self.detach(0, true);
        }
        let tokens = self.choose(0, usize::MAX);
        self.requeue_these(&tokens, Requeue::Recover);
        for _ in 0..100_000 {
            self.model.now += 2000;
            self.model.release_due();
            self.queue.tick(self.now(), &mut self.desk, &mut self.fx);
            self.follow();
            self.get(true);
            self.answer(7);
            if self.model.ready.is_empty() && self.model.waiting.is_empty() {
                assert_eq!(self.queue.counts().total(), 0);
                assert_eq!(self.queue.counts().resident_bytes, 0);
                assert!(self.store.is_empty(), "nothing is left behind in the store");
                return;
            }
        }
        panic!("the queue does not run dry");
    }

    fn dispatch(&mut self) {
        self.queue.dispatch(self.now(), &mut self.desk, &mut self.fx);
        self.follow();
    }

    fn eligible(&self) -> Vec<&Consumer> {
        let room = self.desk.room.borrow();
        self.model.eligible(|id| room[&id] > 0)
    }

    fn front(&self) -> Option<Peeked<'_>> {
        let ready = |peeked: &Peeked<'_>| !matches!(peeked, Peeked::Message { retry_due: Some(_), .. });
        self.queue.peek(0, 1).pop().filter(ready)
    }

    /// The front's body is on disk.
    fn front_away(&self) -> bool {
        matches!(self.front(), Some(Peeked::OnDisk { .. } | Peeked::Message { message: None, .. }))
    }

    /// Ticks the queue at its deadlines, replays its effects, and compares.
    fn follow(&mut self) {
        for _ in 0..50 {
            let due = self.queue.next_deadline();
            if due.is_none_or(|at| at > self.now()) {
                self.replay();
                return self.compare_all();
            }
            self.queue.tick(self.now(), &mut self.desk, &mut self.fx);
        }
        panic!("always something due");
    }

    /// Removes messages from the model's front that the queue has dropped.
    fn drop_from_front(&mut self) {
        loop {
            if self.model.front_too_many() && !self.model.waiting.is_empty() {
                let (_, msg) = self.model.waiting.remove(0);
                self.expect_gone(&msg, SettleReason::MaxLength);
                continue;
            }
            let reason = if self.model.front_expired() {
                SettleReason::Expired
            } else if self.model.front_too_many() && !self.model.ready.is_empty() {
                SettleReason::MaxLength
            } else {
                return;
            };
            let msg = self.model.ready[0].clone();
            let told = self.model.stored(&msg)
                || self.model.settings.dead_letters
                || self.store.contains_key(&msg.seq);
            if told && self.fx.gone.first().is_none_or(|gone| gone.seq.0 != msg.seq) {
                assert!(matches!(self.front(), Some(Peeked::OnDisk { .. })), "due and in memory: {msg:?}");
                return;
            }
            self.model.ready.remove(0);
            self.expect_gone(&msg, reason);
        }
    }

    /// The same, and what failed before a restart waits if the queue says so.
    fn drop_or_wait_at_front(&mut self) {
        loop {
            self.drop_from_front();
            let (Some(due), true) =
                (self.model.front_due(), self.queue.counts().retrying > self.model.waiting.len() as u64)
            else {
                return;
            };
            let msg = self.model.ready.remove(0);
            self.model.wait(due, msg);
        }
    }

    fn replay(&mut self) {
        loop {
            self.drop_or_wait_at_front();
            let Some((to, delivery)) = self.desk.out.pop_front() else {
                break;
            };
            let msg = self.model.ready.remove(0);
            self.check_delivery(to, &delivery, &msg);
            self.account(Some(to), &delivery, msg);
        }
        assert_eq!(self.fx.lost, 0);
        if let Some(upto) = self.fx.delivered_upto.take() {
            assert!(upto > self.delivered_upto);
            self.delivered_upto = upto;
        }
        for (seq, count) in self.fx.returned.drain(..) {
            if let Some(record) = self.store.get_mut(&seq.0) {
                record.count = count;
            }
        }
        for (id, active) in self.fx.activity.drain(..) {
            assert!(active && self.model.settings.single_active_consumer);
            assert_eq!(self.model.active, Some(id));
        }
        if let Some(asked) = self.fx.read.take() {
            assert!(self.asked.is_none(), "one read at a time");
            self.asked = Some(asked);
        }
        assert!(self.fx.is_empty(), "unexpected: {:?}", self.fx);
    }

    /// Checks that the recipient is one whose turn it can be. Returns whether it consumes without acknowledging.
    fn check_delivery(&self, to: ConsumerId, delivery: &Delivery, msg: &Msg) -> bool {
        Self::compare(delivery, msg);
        // Deliveries not yet seen by the model have used up room already.
        let pending = |id| self.desk.out.iter().filter(|(to, _)| *to == id).count();
        let room = self.desk.room.borrow();
        let eligible = self.model.eligible(|id| room[&id] + pending(id) + usize::from(id == to) > 0);
        let consumer = eligible.iter().find(|c| c.id == to);
        let consumer = consumer.unwrap_or_else(|| panic!("not the turn of {to:?}"));
        assert_eq!(delivery.token.is_none(), consumer.no_ack);
        consumer.no_ack
    }

    fn compare(delivery: &Delivery, msg: &Msg) {
        assert_eq!(delivery.seq.0, msg.seq, "order");
        let size = u8::try_from(msg.bytes).expect("small");
        assert_eq!(delivery.message.body(), body(msg.seq, size));
        assert_eq!(delivery.redelivered, msg.redelivered);
        assert_eq!((delivery.delivery_count, delivery.acquired_count), (msg.count, msg.acquired));
    }

    fn account(&mut self, to: Option<ConsumerId>, delivery: &Delivery, mut msg: Msg) {
        msg.seen = true;
        msg.recovered = false;
        match delivery.token {
            Some(token) => self.model.held.push(Held { msg, token, holder: to }),
            None => {
                if self.store.contains_key(&msg.seq) {
                    self.expect_gone(&msg, SettleReason::Acked);
                }
            }
        }
    }

    /// The next reported loss is `msg`, if it had to be reported.
    fn expect_gone(&mut self, msg: &Msg, reason: SettleReason) {
        let stored = self.store.remove(&msg.seq);
        let dead_letter = self.model.settings.dead_letters && reason != SettleReason::Acked;
        if stored.is_none() && !dead_letter {
            return;
        }
        assert!(!self.fx.gone.is_empty(), "not told: {msg:?}");
        let gone: Gone = self.fx.gone.remove(0);
        assert_eq!(gone.seq.0, msg.seq);
        assert_eq!(gone.reason, reason);
        assert_eq!(gone.dead_letter, dead_letter);
        assert_eq!(gone.stored, stored.is_some());
        assert_eq!((gone.priority_level, gone.expires), (msg.priority_level, msg.expires.map(Millis)));
        assert_eq!(gone.delivery_count, msg.count);
        assert!(gone.message.is_some() || gone.stored, "its body is nowhere");
    }

    fn compare_all(&self) {
        self.queue.check();
        let counts = self.queue.counts();
        let model = &self.model;
        let held = || model.held.iter().map(|h| &h.msg);
        let waiting = || model.waiting.iter().map(|(_, msg)| msg);
        let all = || model.ready.iter().chain(held()).chain(waiting());
        let sum = |msgs: &mut dyn Iterator<Item = &Msg>| {
            msgs.fold((0, 0), |(n, bytes), msg| (n + 1, bytes + msg.bytes))
        };
        assert_eq!((counts.ready, counts.ready_bytes), sum(&mut model.ready.iter()));
        assert_eq!((counts.unacked, counts.unacked_bytes), sum(&mut held()));
        assert_eq!((counts.retrying, counts.retrying_bytes), sum(&mut waiting()));
        let due = |peeked| match peeked {
            Peeked::Message { seq, retry_due: Some(due), .. } => Some((due.0, seq.0)),
            _ => None,
        };
        let shown: Vec<_> =
            self.queue.peek(counts.ready, model.waiting.len() + 1).into_iter().filter_map(due).collect();
        let due: Vec<_> = model.waiting.iter().map(|(due, msg)| (*due, msg.seq)).collect();
        assert_eq!(shown, due, "what waits is shown");
        let persistent = sum(&mut all().filter(|msg| msg.persistent));
        assert_eq!((counts.persistent, counts.persistent_bytes), persistent);
        assert_eq!(counts.consumers, model.consumers.len());
        assert_eq!(self.queue.active(), model.active);
        for view in self.queue.consumers() {
            assert_eq!(view.unacked as usize, model.held_by(view.spec.id));
        }
        if !model.ready.is_empty() && !self.eligible().is_empty() {
            assert!(self.front_away(), "somebody waits and something is there");
            assert!(self.asked.is_some() || self.failed, "and nobody asks for it");
        }
    }
}
