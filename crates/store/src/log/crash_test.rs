//! Random work on a simulated disk, with faults and power cuts, against the plain fold.
//!
//! What must hold at every restart: the state is the fold over a prefix of the groups that is at least as long as
//! what was confirmed; reads return that state; no group exists in part.
//! Long: the model, the faults and the run belong together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use leveret_message::ids::{Millis, QueueId, Seq};
use leveret_message::message::{Message, MessageLayout, MessageMeta};
use leveret_message::short::{Short, ShortRange};
use leveret_message::stored::{RecoveredQueue, SettleReason};
use parking_lot::Mutex;

use super::Recovered;
use super::commit::Step;
use super::core::{Core, Options};
use super::forged_test::attack;
use super::format::{ENQUEUE_FIXED, RECORD_HEAD, record_len};
use super::head::{SEGMENT_HEAD, seal, seal_1};
use super::read::ReadFailed;
use super::recover::RecoverError;
use crate::disk::Disk;
use crate::fold::{Fold, FoldedMessage};
use crate::index::Db;
use crate::salt::Salt;
use crate::sim::{Faults, Rng, SimDb, SimDisk};
use crate::{Broken, Pressure, ReadWish, Record, Synced, Waiter};

#[derive(Default)]
struct Told(Mutex<Vec<(u64, Result<Synced, Broken>)>>);

impl Waiter for Told {
    fn synced(&self, token: u64, outcome: Result<Synced, Broken>) {
        self.0.lock().push((token, outcome));
    }
}

struct Sim {
    seed: u64,
    rng: Rng,
    disk: SimDisk,
    db: SimDb,
    core: Core,
    now: Duration,
    /// The state when the store was opened.
    base: Fold,
    /// Groups appended since; records that were left out are removed later.
    groups: Vec<Vec<Record>>,
    /// Number of groups, from the first, that were confirmed.
    confirmed: usize,
    waiter: Arc<Told>,
    next_seq: BTreeMap<QueueId, u64>,
    queues: Vec<QueueId>,
    next_queue: u64,
    /// Messages settled before their turn.
    elided: BTreeSet<(QueueId, Seq)>,
    /// Queues that were deleted, durably or not.
    gone: BTreeSet<QueueId>,
    /// Deleted queues that had returned when the store was opened, and were deleted again first.
    back: BTreeSet<QueueId>,
    /// Messages with a single target.
    sole: BTreeSet<(QueueId, Seq)>,
    /// The fold over all groups.
    current: Fold,
    /// Queues that may have delivered since the store was opened.
    served: BTreeSet<QueueId>,
}

const OPTIONS: fn() -> Options = || Options {
    segment_bytes: 20 << 10,
    batch_bytes: 2 << 10,
    cached_chunks: 2,
    compact_bytes: 4 << 10,
    carry_runs: 8,
    ..Options::default()
};

pub(super) fn open(disk: &SimDisk, db: &SimDb) -> Result<(Core, Recovered), RecoverError> {
    let mut recovered = Recovered::default();
    if db.is_distrusted() {
        db.lose_all();
    }
    let disk: Arc<dyn Disk> = Arc::new(disk.clone());
    let db: Arc<dyn Db> = Arc::new(db.clone());
    let core = Core::open(disk, db, OPTIONS(), &mut recovered)?;
    Ok((core, recovered))
}

impl Sim {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed ^ 1);
        let db = SimDb::new(seed ^ 2);
        let (core, _) = open(&disk, &db).unwrap();
        Self {
            seed,
            rng: Rng::new(seed),
            disk,
            db,
            core,
            now: Duration::ZERO,
            base: Fold::default(),
            groups: Vec::new(),
            confirmed: 0,
            waiter: Arc::default(),
            next_seq: BTreeMap::new(),
            queues: vec![QueueId(1), QueueId(2), QueueId(3)],
            next_queue: 4,
            elided: BTreeSet::new(),
            gone: BTreeSet::new(),
            back: BTreeSet::new(),
            sole: BTreeSet::new(),
            current: Fold::default(),
            served: BTreeSet::new(),
        }
    }

    fn pick_queue(&mut self) -> QueueId {
        let at = self.rng.below(self.queues.len() as u64);
        self.queues[usize::try_from(at).unwrap()]
    }

    fn take_seq(&mut self, queue: QueueId) -> Seq {
        let next = self.next_seq.entry(queue).or_insert(0);
        *next += 1;
        Seq(*next)
    }

    fn message(&mut self) -> Message {
        let len = match self.rng.below(60) {
            0 => 40_000,
            1..=5 => 3000,
            _ => self.rng.below(200),
        };
        let byte = self.rng.any().to_le_bytes()[0];
        let body = vec![byte; usize::try_from(len).unwrap()];
        let meta = MessageMeta {
            persistent: true,
            priority: self.rng.one_in(3).then_some(4),
            expiration_ms: self.rng.one_in(3).then_some(99),
            died: self.rng.one_in(5),
            redelivered: self.rng.one_in(5),
        };
        if self.rng.one_in(20) {
            return self.forged(meta);
        }
        if len > 10_000 {
            let names = [ShortRange { start: 0, count: 1 }, ShortRange { start: 1, count: 2 }];
            let [exchange, routing_key] = names;
            let layout = MessageLayout { exchange, routing_key, properties: 3..5, body: 0..0 };
            return Message::from_parts(b"xrkpp", layout, meta, Some(Bytes::from(body)));
        }
        Message::new(Short::literal("amq.fanout"), Short::literal("key"), b"\x18\0", &body, meta)
    }

    /// A message that nearly fills a segment, hence begins one, with a body of forged records for later offsets:
    /// sealed as in version 1, or with a guessed salt.
    fn forged(&mut self, meta: MessageMeta) -> Message {
        const NAMES: &str = "amq.fanout";
        let body_at = SEGMENT_HEAD + u32::try_from(record_len(8) + RECORD_HEAD + ENQUEUE_FIXED).unwrap();
        let body_at = body_at + u32::try_from(NAMES.len() + 3 + 2).unwrap();
        let end = OPTIONS().segment_bytes - 200;
        let newest = self.core.segments.numbers().last().copied().unwrap_or(0);
        let seal = match self.rng.below(4) {
            0 => seal(Salt::from_bytes([0; Salt::LEN])),
            ahead => seal_1(newest + u32::try_from(ahead).unwrap()),
        };
        // Records lie at multiples of 8.
        let mut body = vec![0; usize::try_from(body_at.next_multiple_of(8) - body_at).unwrap()];
        body.extend(attack(seal, body_at.next_multiple_of(8), end));
        Message::new(Short::literal(NAMES), Short::literal("key"), b"\x18\0", &body, meta)
    }

    fn enqueue(&mut self, queue: QueueId, message: &Message, sole: bool) -> Record {
        let seq = self.take_seq(queue);
        if sole {
            self.sole.insert((queue, seq));
        }
        Record::Enqueue {
            queue,
            seq,
            message: message.clone(),
            priority_level: self.rng.below(2).to_le_bytes()[0],
            expires: self.rng.one_in(4).then_some(Millis(self.seed % 1000 + 5)),
            transient: !sole && self.rng.one_in(5),
            sole,
        }
    }

    fn append(&mut self, group: Vec<Record>) {
        if self.core.append_queue.append(&mut group.clone()).is_ok() {
            for record in &group {
                self.current.apply(record);
                if let Record::Gone { queue } = record {
                    self.gone.insert(*queue);
                }
            }
            self.groups.push(group);
        }
    }

    /// Settles it without a record, if the store has not taken it.
    fn elide(&mut self, queue: QueueId, seq: Seq, message: &Message) -> bool {
        let elided = self.is_sole(queue, seq) && message.settle_unless_taken();
        if elided {
            self.elided.insert((queue, seq));
            if let Some(queue) = self.current.queues.get_mut(&queue) {
                queue.live.remove(&seq);
            }
        }
        elided
    }

    fn live(&mut self, queue: QueueId) -> Option<(Seq, FoldedMessage)> {
        let live = &self.current.queues.get(&queue)?.live;
        if live.is_empty() {
            return None;
        }
        let at = usize::try_from(self.rng.below(live.len() as u64)).unwrap();
        let (seq, message) = live.iter().nth(at)?;
        Some((*seq, message.clone()))
    }

    fn settle(queue: QueueId, first: Seq, count: u64) -> Record {
        Record::Settle { queue, first, count, reason: SettleReason::Acked }
    }

    /// Most disk calls of one act: more means an endless loop.
    const CALLS: u64 = 20_000;

    #[expect(clippy::too_many_lines, reason = "one arm for each action")]
    fn act(&mut self) {
        self.disk.allow_calls(Self::CALLS);
        let queue = self.pick_queue();
        match self.rng.below(24) {
            0..=7 => {
                let mut group = Vec::new();
                for _ in 0..=self.rng.below(4) {
                    let message = self.message();
                    if self.rng.one_in(3) {
                        message.always_log();
                        for queue in self.queues.clone() {
                            group.push(self.enqueue(queue, &message, false));
                        }
                    } else {
                        let sole = self.rng.one_in(2);
                        group.push(self.enqueue(queue, &message, sole));
                    }
                }
                self.append(group);
            }
            8..=11 => {
                // Settled before its turn if the store has not taken it.
                if let Some((seq, live)) = self.live(queue)
                    && !self.elide(queue, seq, &live.message)
                {
                    self.append(vec![Self::settle(queue, seq, 1)]);
                }
            }
            12 => {
                // A range that names only messages that the log was given or has left out.
                let folded = self.current.queues.get(&queue).cloned().unwrap_or_default();
                if let Some((&first, _)) = folded.live.first_key_value() {
                    let last = folded.live.keys().copied().nth(9);
                    let last = last.unwrap_or(folded.last_seq);
                    // Messages that may still be elided are taken first, as a queue would.
                    for (seq, live) in folded.live.range(first..=last) {
                        self.elide(queue, *seq, &live.message);
                    }
                    let settle = Self::settle(queue, first, last.0 - first.0 + 1);
                    self.append(vec![settle]);
                }
            }
            13 => {
                // A move: from there to here in one group.
                let target = self.pick_queue();
                if let Some((seq, live)) = self.live(queue)
                    && !self.is_sole(queue, seq)
                    && target != queue
                {
                    let enqueue = self.enqueue(target, &live.message, false);
                    self.append(vec![enqueue, Self::settle(queue, seq, 1)]);
                }
            }
            14 => {
                if let Some((seq, _)) = self.live(queue) {
                    let count = u32::try_from(self.rng.below(9) + 1).unwrap();
                    self.append(vec![Record::Returned { queue, seq, count }]);
                }
            }
            15 => {
                if let Some((upto, _)) = self.live(queue) {
                    if self.rng.one_in(2) {
                        self.core.served.note(queue);
                        self.served.insert(queue);
                    }
                    self.append(vec![Record::Delivered { queue, upto }]);
                }
            }
            16 if self.rng.one_in(4) => {
                let kept: Vec<Seq> = self.live(queue).map(|(seq, _)| seq).into_iter().collect();
                let upto = Seq(self.next_seq.get(&queue).copied().unwrap_or(0));
                self.append(vec![Record::Purge { queue, upto, kept }]);
            }
            17 if self.rng.one_in(8) => {
                self.append(vec![Record::Gone { queue }]);
                self.queues.retain(|id| *id != queue);
                self.queues.push(QueueId(self.next_queue));
                self.next_queue += 1;
            }
            18 => {
                let waiter: Arc<dyn Waiter> = self.waiter.clone();
                self.core.append_queue.notify(&waiter, self.groups.len() as u64);
            }
            19 => self.now += Duration::from_millis(self.rng.below(120)),
            20 => {
                let _ = self.core.checkpoint();
            }
            21 => self.check_read(queue),
            _ => {
                let step = self.core.commit(self.now);
                assert!(step != Step::Broken || self.core.append_queue.is_broken());
            }
        }
        self.hear();
    }

    fn is_sole(&self, queue: QueueId, seq: Seq) -> bool {
        self.sole.contains(&(queue, seq))
    }

    fn hear(&mut self) {
        for (token, outcome) in self.waiter.0.lock().drain(..) {
            if outcome.is_ok() {
                self.confirmed = self.confirmed.max(usize::try_from(token).unwrap());
            }
        }
    }

    fn check_read(&mut self, queue: QueueId) {
        let wish = ReadWish {
            queue,
            priority_level: self.rng.below(2).to_le_bytes()[0],
            from: Seq(self.rng.below(20)),
            to: Seq(self.rng.below(200)),
            max_messages: usize::try_from(self.rng.below(20) + 1).unwrap(),
            max_bytes: usize::MAX,
        };
        self.compare_read(&self.current, &wish);
    }

    fn compare_read(&self, fold: &Fold, wish: &ReadWish) {
        let mut all = *wish;
        all.max_messages = usize::MAX;
        let wanted = fold.read(&all);
        let seen = match self.core.read_now(wish) {
            Ok(seen) => seen,
            // The first message was not returned; nothing can be said about it.
            Err(ReadFailed::Disk(_)) if reads_fail(self.seed) => return,
            Err(failed) => panic!("{failed:?}"),
        };
        let mut seen = seen.iter().filter(|s| !self.elided.contains(&(wish.queue, s.seq))).peekable();
        if seen.peek().is_none() && !wanted.is_empty() {
            // Everything returned was settled before its turn.
            return;
        }
        for (wanted, seen) in wanted.iter().zip(seen) {
            let message = seen.message.as_ref().unwrap();
            assert_eq!((wanted.seq, wanted.expires), (seen.seq, seen.expires));
            assert_eq!(wanted.delivery_count, seen.delivery_count, "{}", wanted.seq);
            let wanted = wanted.message.as_ref().unwrap();
            assert!(
                wanted.body() == message.body(),
                "another body in {}, place {}: {} bytes {:?}, not {} bytes {:?}",
                wish.queue,
                seen.seq,
                message.body_len(),
                message.body().first(),
                wanted.body_len(),
                wanted.body().first(),
            );
            assert_eq!(wanted.properties(), message.properties());
            assert_eq!(wanted.meta(), message.meta());
        }
    }

    fn delivery_counts(&self, recovered: &Recovered) -> Counts {
        let mut counts = Counts::new();
        for queue in recovered.queues.keys() {
            for priority_level in 0..2 {
                for stored in self.core.read_now(&everything(*queue, priority_level)).unwrap() {
                    if stored.delivery_count > 0 {
                        counts.insert((*queue, stored.seq), stored.delivery_count);
                    }
                }
            }
        }
        counts
    }

    /// The fold over as many groups, at least the confirmed ones, as give what was recovered.
    fn find_prefix(
        &self,
        recovered: &Recovered,
        lost_index: bool,
        marked: &dyn Fn(&QueueId) -> Marked,
    ) -> Option<Fold> {
        let counts = self.delivery_counts(recovered);
        let mut fold = self.base.clone();
        let mut apply = |group: &Vec<Record>, back: &BTreeSet<QueueId>| {
            for record in group {
                let left_out = matches!(record, Record::Enqueue { queue, seq, transient, .. }
                    if *transient || self.elided.contains(&(*queue, *seq)));
                if left_out {
                    // Its place may or may not be known: that is not compared.
                    continue;
                }
                fold.apply(record);
            }
            // Delivery counts may be lost with the index, as the records of retired segments are.
            let known = counts.iter().filter(|((queue, _), _)| !back.contains(queue));
            let same_counts = lost_index || counted(&fold).iter().eq(known);
            (same_counts && matches(&fold, recovered, marked, back)).then(|| fold.clone())
        };
        let nothing = BTreeSet::new();
        // Until the first group, which deletes them again, is durable, returned queues may still be present.
        let mut found = apply(&Vec::new(), if lost_index { &self.gone } else { &self.back })
            .filter(|_| self.confirmed == 0);
        for (index, group) in self.groups.iter().enumerate() {
            if found.is_some() {
                break;
            }
            let back = if lost_index { &self.gone } else { &nothing };
            found = apply(group, back).filter(|_| index + 1 >= self.confirmed);
        }
        if found.is_none() {
            self.describe(recovered);
        }
        for ((queue, seq), live) in found.iter_mut().flat_map(all_live) {
            live.delivery_count = counts.get(&(queue, seq)).copied().unwrap_or(0);
        }
        found
    }

    /// Describes, for the nearest prefix, what is present but should not be, and what is missing.
    fn describe(&self, recovered: &Recovered) {
        let mut seen = BTreeSet::new();
        for id in recovered.queues.keys() {
            for priority_level in 0..2 {
                let stored = self.core.read_now(&everything(*id, priority_level)).unwrap();
                seen.extend(stored.iter().map(|s| (*id, s.seq)));
            }
        }
        let mut nearest = (usize::MAX, String::new());
        let mut fold = self.base.clone();
        for (index, group) in self.groups.iter().enumerate() {
            for record in group {
                fold.apply(record);
            }
            let mut here = fold.clone();
            here.restart();
            let wanted = here.queues.iter().flat_map(|(id, queue)| {
                let live = queue.live.keys().filter(|seq| !self.elided.contains(&(*id, **seq)));
                live.map(|seq| (*id, *seq))
            });
            let wanted: BTreeSet<_> = wanted.collect();
            let more: Vec<_> = seen.difference(&wanted).collect();
            let less: Vec<_> = wanted.difference(&seen).collect();
            if index + 1 >= self.confirmed && more.len() + less.len() < nearest.0 {
                nearest = (
                    more.len() + less.len(),
                    format!("nearest is {}: more {more:?}, less {less:?}", index + 1),
                );
            }
        }
        println!("{}", nearest.1);
    }

    #[expect(clippy::too_many_lines, reason = "one story")]
    fn crash(&mut self) {
        self.hear();
        let killed = self.rng.one_in(3);
        let (named, noted) = (self.core.served.is_named(), self.core.served.is_noted());
        if killed {
            self.disk.kill();
        } else {
            self.disk.crash();
        }
        self.disk.allow_calls(u64::MAX);
        self.db.crash();
        let lost_index = self.rng.one_in(10) || self.db.is_distrusted();
        if lost_index {
            self.db.lose_all();
        }
        let (core, recovered) = open(&self.disk, &self.db).unwrap();
        self.core = core;
        assert!(recovered.findings.is_empty(), "{:?}", recovered.findings);
        let served = std::mem::take(&mut self.served);
        let marked = |queue: &QueueId| match (killed, named, noted) {
            _ if lost_index => Marked::All,
            (true, true, _) if served.contains(queue) => Marked::All,
            (true, true, _) => Marked::AsTold,
            (true, false, false) => Marked::Unknown,
            _ => Marked::All,
        };
        let Some(base) = self.find_prefix(&recovered, lost_index, &marked) else {
            panic!(
                "no prefix from {} of {} groups is the state (index lost: {lost_index})",
                self.confirmed,
                self.groups.len()
            );
        };
        self.base = base;
        // With the index lost, a queue that was empty may already be removed by a later group.
        self.base.queues.retain(|id, _| recovered.queues.contains_key(id));
        for (id, queue) in &recovered.queues {
            self.next_seq.insert(*id, queue.last_seq.0);
            // The store may know of a queue even if all of its messages were left out.
            let known =
                self.base.queues.contains_key(id) || !self.gone.contains(id) && queue.ranges.is_empty();
            if !known {
                continue;
            }
            let base = self.base.queues.entry(*id).or_default();
            base.last_seq = queue.last_seq;
            base.delivered_upto = queue.delivered_upto;
            // Messages read back are different values from those appended.
            for live in base.live.values_mut() {
                live.message.always_log();
            }
        }
        self.queues.retain(|id| self.base.queues.contains_key(id) || id.0 <= 3);
        if self.queues.is_empty() {
            self.queues.push(QueueId(self.next_queue));
            self.next_queue += 1;
        }
        let known: Vec<QueueId> = self.base.queues.keys().copied().collect();
        for id in known {
            if !self.queues.contains(&id) {
                self.queues.push(id);
            }
        }
        for queue in &self.queues {
            let known = recovered.queues.get(queue).map_or(0, |q| q.last_seq.0);
            self.next_seq.insert(*queue, known);
        }
        self.groups.clear();
        self.elided.clear();
        self.sole.clear();
        self.current = self.base.clone();
        self.confirmed = 0;
        self.waiter = Arc::default();
        let found = recovered.queues.iter();
        let gone = found.filter(|(id, q)| !(self.base.queues.contains_key(id) || q.ranges.is_empty()));
        let gone: Vec<Record> = gone.map(|(queue, _)| Record::Gone { queue: *queue }).collect();
        self.back = gone.iter().map(Record::queue).collect();
        if !gone.is_empty() {
            // As a broker does for queues that are no longer defined.
            self.append(gone);
            self.queues.retain(|id| !self.back.contains(id));
            self.queues.push(QueueId(self.next_queue));
            self.next_queue += 1;
        }
        for queue in self.queues.clone() {
            for priority_level in 0..2 {
                let wish = everything(queue, priority_level);
                let wanted = self.base.read(&wish).len();
                assert_eq!(self.core.read_now(&wish).unwrap().len(), wanted);
                self.compare_read(&self.base, &wish);
            }
        }
    }
}

/// Which messages of a queue return marked as delivered.
enum Marked {
    /// Those that the log's marks name.
    AsTold,
    /// All of it.
    All,
    /// At least those that the marks name: the disk did not even take the note that they are incomplete.
    Unknown,
}

/// Whether the store's account of its queues equals `fold`. Deleted queues may be `back` (a broker deletes them
/// again).
fn matches(
    fold: &Fold,
    recovered: &Recovered,
    marked: &dyn Fn(&QueueId) -> Marked,
    back: &BTreeSet<QueueId>,
) -> bool {
    let known = fold.queues.iter().all(|(id, queue)| {
        let nothing = RecoveredQueue::default();
        let found = recovered.queues.get(id).unwrap_or(&nothing);
        let right = match marked(id) {
            Marked::AsTold => found.delivered_upto == queue.delivered_upto,
            Marked::All => found.delivered_upto == found.last_seq,
            Marked::Unknown => found.delivered_upto >= queue.delivered_upto,
        };
        right && summed(&found.ranges) == summed(&queue.recovered().ranges)
    });
    let mut ids = recovered.queues.iter();
    known
        && ids.all(|(id, queue)| fold.queues.contains_key(id) || queue.ranges.is_empty() || back.contains(id))
}

fn everything(queue: QueueId, priority_level: u8) -> ReadWish {
    ReadWish {
        queue,
        priority_level,
        from: Seq(0),
        to: Seq(u64::MAX),
        max_messages: usize::MAX,
        max_bytes: usize::MAX,
    }
}

fn all_live(fold: &mut Fold) -> impl Iterator<Item = ((QueueId, Seq), &mut FoldedMessage)> {
    fold.queues
        .iter_mut()
        .flat_map(|(id, queue)| queue.live.iter_mut().map(|(seq, live)| ((*id, *seq), live)))
}

type Counts = BTreeMap<(QueueId, Seq), u32>;

fn counted(fold: &Fold) -> Counts {
    let mut counts = Counts::new();
    for (id, queue) in &fold.queues {
        for (seq, live) in &queue.live {
            if live.delivery_count > 0 {
                counts.insert((*id, *seq), live.delivery_count);
            }
        }
    }
    counts
}

type Sums = BTreeMap<u8, (Seq, Seq, u64, u64)>;

fn summed(ranges: &[leveret_message::stored::ColdRange]) -> Sums {
    let mut sums = Sums::new();
    for range in ranges {
        let sum = sums.entry(range.priority_level).or_insert((range.first, range.last, 0, 0));
        assert!(sum.2 == 0 || sum.1 < range.first, "ranges ascend");
        sum.1 = range.last;
        sum.2 += range.count;
        sum.3 += range.bytes;
    }
    sums
}

/// Whether reads fail as well.
fn reads_fail(seed: u64) -> bool {
    seed % 16 == 9
}

fn run(seed: u64) {
    let mut sim = Sim::new(seed);
    let faulty = seed % 2 == 1;
    for _ in 0..3 + seed % 3 {
        if faulty {
            let chances = Faults {
                write: 12,
                read: if reads_fail(seed) { 12 } else { 0 },
                sync: if seed % 4 == 1 { 10 } else { 0 },
                names: if seed % 8 == 5 { 10 } else { 0 },
                index: 10,
            };
            sim.disk.set_faults(chances);
            sim.db.set_faults(chances);
        }
        for _ in 0..sim.rng.below(400) {
            if seed % 16 >= 11 && sim.rng.one_in(40) {
                // Nearly full at times, so that some segments are short.
                let more = sim.rng.below(4 * u64::from(OPTIONS().segment_bytes) / 3);
                let full = sim.rng.one_in(2);
                sim.disk.set_space(if full { sim.disk.used() + more } else { u64::MAX });
            }
            sim.act();
            if sim.core.append_queue.is_broken() {
                break;
            }
        }
        sim.crash();
    }
}

/// `LEVERET_SEED` replays one seed, `LEVERET_SEEDS` is the number to try, starting at `LEVERET_FIRST_SEED`.
#[test]
fn any_crash_leaves_a_prefix_that_holds_all_that_was_confirmed() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse().ok());
    if let Some(seed) = number("LEVERET_SEED") {
        run(seed);
        return;
    }
    let first = number("LEVERET_FIRST_SEED").unwrap_or(0);
    let seeds = first..first + number("LEVERET_SEEDS").unwrap_or(2000);
    let halves = [0, 1].map(|odd| seeds.clone().filter(move |seed| seed % 2 == odd));
    std::thread::scope(|scope| {
        let halves = halves.map(|half| scope.spawn(|| half.for_each(told_by_seed)));
        for half in halves {
            half.join().unwrap();
        }
    });
}

fn told_by_seed(seed: u64) {
    if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
        println!("failing seed: LEVERET_SEED={seed}");
        std::panic::resume_unwind(panic);
    }
}

#[test]
fn a_waiter_is_answered_only_after_the_file_was_synced() {
    let disk = SimDisk::new(1);
    let (core, _) = open(&disk, &SimDb::new(1)).unwrap();
    let told: Arc<Told> = Arc::default();
    let waiter: Arc<dyn Waiter> = told.clone();
    let mut sim = Sim::new(1);
    for round in 1..=20 {
        let message = sim.message();
        let record = sim.enqueue(QueueId(1), &message, false);
        core.append_queue.append(&mut vec![record]).unwrap();
        core.append_queue.notify(&waiter, round);
        assert!(told.0.lock().is_empty());
        let before = disk.syncs();
        core.commit(Duration::ZERO);
        let answers = std::mem::take(&mut *told.0.lock());
        assert!(matches!(answers[..], [(token, Ok(_))] if token == round));
        assert!(disk.syncs() > before);
    }
}

#[test]
fn a_failed_sync_is_told_and_never_made_good_by_a_later_one() {
    let disk = SimDisk::new(1);
    let (core, _) = open(&disk, &SimDb::new(1)).unwrap();
    let told: Arc<Told> = Arc::default();
    let waiter: Arc<dyn Waiter> = told.clone();
    let publish = |token| {
        let message =
            Message::new(Short::literal("x"), Short::literal("k"), b"\0\0", b"body", MessageMeta::default());
        let (queue, seq) = (QueueId(1), Seq(token));
        let record = Record::Enqueue {
            queue,
            seq,
            message,
            priority_level: 0,
            expires: None,
            transient: false,
            sole: true,
        };
        core.append_queue.append(&mut vec![record]).unwrap();
        core.append_queue.notify(&waiter, token);
        core.commit(Duration::ZERO);
    };
    publish(1);
    disk.fail_syncs(1);
    publish(2);
    publish(3);
    while core.commit(Duration::ZERO) == Step::Worked {}
    let answers = std::mem::take(&mut *told.0.lock());
    let answers: Vec<_> = answers.iter().map(|(token, o)| (*token, o.is_ok())).collect();
    assert_eq!(answers, [(1, true), (2, false), (3, true)]);
    // What was refused is there all the same, in another file.
    drop(core);
    disk.crash();
    let (core, _) = open(&disk, &SimDb::new(1)).unwrap();
    let there: usize = (0..2)
        .map(|priority_level| core.read_now(&everything(QueueId(1), priority_level)).unwrap().len())
        .sum();
    assert_eq!(there, 3);
}

#[test]
fn what_a_failed_sync_left_goes_to_as_many_short_segments_as_it_takes() {
    let disk = SimDisk::new(1);
    let (core, _) = open(&disk, &SimDb::new(1)).unwrap();
    let told: Arc<Told> = Arc::default();
    let waiter: Arc<dyn Waiter> = told.clone();
    let append = |seq, transient| {
        let message = Message::new(
            Short::literal("x"),
            Short::literal("k"),
            b"\0\0",
            &[7; 3000],
            MessageMeta::default(),
        );
        let (queue, seq) = (QueueId(1), Seq(seq));
        let record =
            Record::Enqueue { queue, seq, message, priority_level: 0, expires: None, transient, sole: false };
        core.append_queue.append(&mut vec![record]).unwrap();
        core.commit(Duration::ZERO);
    };
    append(1, false);
    // These have no waiter: they are written, and synced later.
    for seq in 2..=5 {
        append(seq, true);
    }
    disk.fail_syncs(1);
    let late = OPTIONS().lazy_sync_after;
    core.commit(late);
    // Room appears bit by bit, enough for short segments only.
    core.append_queue.notify(&waiter, 1);
    for _ in 0..8 {
        disk.set_space(disk.used() + 8000);
        disk.allow_calls(100);
        while core.commit(late) == Step::Worked {}
    }
    disk.allow_calls(u64::MAX);
    assert!(matches!(told.0.lock()[..], [(1, Ok(_))]), "{:?}", told.0.lock());
    assert!(core.segments.numbers().len() > 3, "{:?}", core.segments.numbers());
    core.checkpoint().unwrap();
    assert_eq!(core.read_now(&everything(QueueId(1), 0)).unwrap().len(), 5);
}

#[test]
fn a_write_that_fails_blocks_and_is_made_good_when_there_is_room() {
    let disk = SimDisk::new(1);
    let (core, _) = open(&disk, &SimDb::new(1)).unwrap();
    let told: Arc<Told> = Arc::default();
    let waiter: Arc<dyn Waiter> = told.clone();
    let mut sim = Sim::new(1);
    let message = sim.message();
    let record = sim.enqueue(QueueId(1), &message, false);
    disk.set_faults(Faults { write: 1, ..Faults::default() });
    core.append_queue.append(&mut vec![record]).unwrap();
    core.append_queue.notify(&waiter, 1);
    for _ in 0..3 {
        assert!(matches!(core.commit(Duration::ZERO), Step::Retry(_)));
        assert!(matches!(core.append_queue.pressure(), Pressure::Blocked(why) if why.contains("space")));
        assert!(told.0.lock().is_empty());
    }
    let priority_levels =
        (0..2).map(|priority_level| core.read_now(&everything(QueueId(1), priority_level)).unwrap().len());
    assert_eq!(priority_levels.sum::<usize>(), 1, "reads go on");
    disk.set_faults(Faults::default());
    core.commit(Duration::ZERO);
    assert_eq!(core.append_queue.pressure(), Pressure::None);
    assert!(matches!(told.0.lock()[..], [(1, Ok(_))]));
}
