//! A store in memory that fails on command, for tests and simulations.
//!
//! Invariants: nothing happens except in calls: records become durable in [`MemStore::sync`], reads are answered in
//! [`MemStore::answer_reads`]; the same calls give the same results; a crash keeps whole groups only: every durable
//! one, and of the others a prefix chosen by the seed.
//! Absent: threads, clocks, files.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use leveret_message::ids::{QueueId, Seq};
use leveret_message::stored::RecoveredQueue;
use parking_lot::Mutex;

use super::fold::Fold;
use super::{
    Broken, LiveEntry, NotAppended, Position, Pressure, ReadAnswer, ReadWish, Record, Store, Synced, Unread,
    Waiter,
};

struct Wait {
    waiter: Arc<dyn Waiter>,
    token: u64,
}

struct State {
    /// The fold over durable groups.
    durable: Fold,
    /// The same including groups that a sync has not reached yet.
    current: Fold,
    /// Groups in order.
    unsynced: VecDeque<Vec<Record>>,
    appended: u64,
    synced: u64,
    waiters: Vec<Wait>,
    reads: Vec<(ReadWish, ReadAnswer)>,
    pressure: Pressure,
    /// Queues that may have delivered since it was opened.
    served: BTreeSet<QueueId>,
    broken: bool,
    appends_until_failure: Option<u64>,
    syncs_until_failure: Option<u64>,
}

/// See the module.
pub struct MemStore {
    state: Mutex<State>,
}

impl Default for MemStore {
    fn default() -> Self {
        Self::with(Fold::default())
    }
}

impl MemStore {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(fold: Fold) -> Self {
        Self {
            state: Mutex::new(State {
                current: fold.clone(),
                durable: fold,
                unsynced: VecDeque::new(),
                appended: 0,
                synced: 0,
                waiters: Vec::new(),
                reads: Vec::new(),
                pressure: Pressure::None,
                served: BTreeSet::new(),
                broken: false,
                appends_until_failure: None,
                syncs_until_failure: None,
            }),
        }
    }

    /// The `n`-th append from now on (0: the next) finds the store broken.
    pub fn fail_append(&self, n: u64) {
        self.state.lock().appends_until_failure = Some(n);
    }

    /// The `n`-th sync from now on (0: the next) fails and breaks the store.
    pub fn fail_sync(&self, n: u64) {
        self.state.lock().syncs_until_failure = Some(n);
    }

    /// Sets the value returned by [`Store::pressure`].
    pub fn set_pressure(&self, pressure: Pressure) {
        self.state.lock().pressure = pressure;
    }

    /// Makes everything appended durable (or fails, if told to) and calls the waiters.
    pub fn sync(&self) {
        let mut state = self.state.lock();
        if state.broken {
            return;
        }
        match &mut state.syncs_until_failure {
            Some(0) => state.broken = true,
            Some(n) => *n -= 1,
            None => {}
        }
        if state.broken {
            let waiters = std::mem::take(&mut state.waiters);
            drop(state);
            answer(waiters, Err(Broken));
            return;
        }
        while let Some(group) = state.unsynced.pop_front() {
            for record in group.iter().filter(|record| is_written(record)) {
                state.durable.apply(record);
            }
        }
        state.current = state.durable.clone();
        state.synced = state.appended;
        let outcome = Ok(Synced(Position(state.synced)));
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        answer(waiters, outcome);
    }

    /// Answers all waiting reads; returns their number.
    pub fn answer_reads(&self) -> usize {
        let (reads, broken) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.reads), state.broken)
        };
        let count = reads.len();
        for (wish, answer) in reads {
            let result = if broken {
                Err(Unread::Broken)
            } else {
                let stored = self.state.lock().current.read(&wish);
                Ok(stored)
            };
            answer(result);
        }
        count
    }

    /// Ends this store as a crash would and opens it again: everything durable is there, and of the rest, a prefix of
    /// whole groups. Queues that delivered may have delivered everything they hold. The old handle is broken from now
    /// on.
    #[must_use]
    pub fn crash(&self, seed: u64) -> Self {
        let mut state = self.state.lock();
        let survivors = usize::try_from(mix(seed) % (state.unsynced.len() as u64 + 1));
        let survivors = survivors.unwrap_or(0);
        let mut fold = state.durable.clone();
        for group in state.unsynced.iter().take(survivors) {
            for record in group.iter().filter(|record| is_written(record)) {
                fold.apply(record);
            }
        }
        fold.restart();
        for (id, queue) in &mut fold.queues {
            // Like the log's file of these, which is written at once.
            if state.served.contains(id) {
                queue.delivered_upto = queue.last_seq;
            }
        }
        for message in fold.queues.values().flat_map(|queue| queue.live.values()) {
            message.message.always_log();
        }
        state.broken = true;
        let waiters = std::mem::take(&mut state.waiters);
        drop(state);
        answer(waiters, Err(Broken));
        self.answer_reads();
        Self::with(fold)
    }

    /// What was found when this store was opened, if nothing was appended since.
    pub fn recovered(&self) -> HashMap<QueueId, RecoveredQueue> {
        let state = self.state.lock();
        let queues = state.durable.queues.iter();
        queues.map(|(id, queue)| (*id, queue.recovered())).collect()
    }

    /// A copy of the durable state.
    pub fn durable(&self) -> Fold {
        self.state.lock().durable.clone()
    }
}

/// Whether the log would hold the record: a message settled before its turn is left out.
fn is_written(record: &Record) -> bool {
    match record {
        Record::Enqueue { message, sole, .. } => !sole || message.take_for_log(),
        _ => true,
    }
}

/// Calls each waiter once, with its highest token.
fn answer(waiters: Vec<Wait>, outcome: Result<Synced, Broken>) {
    let mut calls: Vec<Wait> = Vec::new();
    for wait in waiters {
        let same = |call: &&mut Wait| std::ptr::addr_eq(Arc::as_ptr(&call.waiter), Arc::as_ptr(&wait.waiter));
        match calls.iter_mut().find(same) {
            Some(call) => call.token = call.token.max(wait.token),
            None => calls.push(wait),
        }
    }
    for call in calls {
        call.waiter.synced(call.token, outcome);
    }
}

/// Mixes a seed into all bits (the finalizer of splitmix64).
fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Store for MemStore {
    fn append(&self, records: &mut Vec<Record>) -> Result<Position, NotAppended> {
        let mut state = self.state.lock();
        match &mut state.appends_until_failure {
            Some(0) => state.broken = true,
            Some(n) => *n -= 1,
            None => {}
        }
        if state.broken {
            let waiters = std::mem::take(&mut state.waiters);
            drop(state);
            answer(waiters, Err(Broken));
            return Err(NotAppended::Broken);
        }
        for record in records.iter() {
            state.current.apply(record);
        }
        state.appended += records.len() as u64;
        let position = state.appended;
        if !records.is_empty() {
            let group = std::mem::take(records);
            state.unsynced.push_back(group);
        }
        Ok(Position(position))
    }

    fn notify(&self, waiter: &Arc<dyn Waiter>, token: u64) {
        let mut state = self.state.lock();
        let outcome = if state.broken {
            Err(Broken)
        } else if state.synced == state.appended {
            Ok(Synced(Position(state.synced)))
        } else {
            let waiter = Arc::clone(waiter);
            state.waiters.push(Wait { waiter, token });
            return;
        };
        drop(state);
        waiter.synced(token, outcome);
    }

    fn read(&self, wish: ReadWish, answer: ReadAnswer) {
        self.state.lock().reads.push((wish, answer));
    }

    fn live_entries(&self, queue: QueueId, from: Seq, max: usize) -> Result<Vec<LiveEntry>, Broken> {
        let state = self.state.lock();
        if state.broken {
            return Err(Broken);
        }
        let stored = state.current.read(&ReadWish::standing(queue, from, max));
        Ok(stored.iter().map(|one| LiveEntry { seq: one.seq, expires: one.expires }).collect())
    }

    fn serving(&self, queue: QueueId) {
        self.state.lock().served.insert(queue);
    }

    fn written(&self) -> Position {
        Position(self.state.lock().synced)
    }

    fn pressure(&self) -> Pressure {
        self.state.lock().pressure.clone()
    }
}
