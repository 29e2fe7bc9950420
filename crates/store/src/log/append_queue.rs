//! The queue in which records wait for the committer, and callers for their sync.
//!
//! Invariants: positions are assigned in append order under one short lock; a waiter is called once; `durable` never
//! passes what a sync has covered. Absent: files, encoding.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use leveret_message::message::Message;
use parking_lot::{Condvar, Mutex};

use super::format::EntryHead;
use crate::{Broken, NotAppended, Position, Pressure, Record, Synced, Waiter};

/// Bytes counted for each record in addition to its message.
const RECORD_COST: usize = 64;

/// Work that the store creates itself.
pub(crate) enum Extra {
    /// A live message is copied to the end of the log.
    Moved {
        at: EntryHead,
        message: Message,
        /// The current segment when the message was known to be live.
        since: u32,
    },
    /// Ends a series of [`Extra::Moved`].
    AllMoved,
    /// Settle records of segment `from`, which is about to be retired, that are still needed because of the segments
    /// `about`. `whole`: with these, all of them.
    Carry { records: Vec<Record>, from: u32, about: Vec<u32>, whole: bool },
}

struct Wait {
    waiter: Arc<dyn Waiter>,
    token: u64,
    at: u64,
}

/// Work not written yet.
#[derive(Default)]
pub(crate) struct Waiting {
    pub(crate) records: Vec<Record>,
    /// Ends of the groups in `records`.
    pub(crate) groups: Vec<usize>,
    pub(crate) extras: Vec<Extra>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Committer {
    #[default]
    Awake,
    /// To be woken for anything.
    Sleeps,
    /// To be woken for eager work only.
    SleepsLazily,
}

#[derive(Default)]
struct State {
    waiting: Waiting,
    appended: u64,
    durable: u64,
    waiters: VecDeque<Wait>,
    committer: Committer,
    /// Some waiting work must not be deferred.
    eager: bool,
    closing: bool,
}

/// See the module.
pub(crate) struct AppendQueue {
    state: Mutex<State>,
    wake: Condvar,
    broken: AtomicBool,
    stands: AtomicBool,
    written: AtomicU64,
    bytes: AtomicUsize,
    limit: usize,
    group_max: usize,
    pressure: AtomicU8,
    blocks: Mutex<Blocks>,
    relief: Arc<dyn Fn() + Send + Sync>,
}

/// Why nothing can be written.
#[derive(Default)]
struct Blocks {
    write: Option<String>,
    space: Option<String>,
    index: Option<String>,
    stands: Option<String>,
    broken: Option<String>,
}

impl Blocks {
    fn first(&self) -> Option<&String> {
        let passing = [&self.stands, &self.write, &self.space, &self.index];
        self.broken.as_ref().or(passing.into_iter().flatten().next())
    }
}

const PRESSURE_NONE: u8 = 0;
const PRESSURE_FULL: u8 = 1;
const PRESSURE_BLOCKED: u8 = 2;

/// Why the committer's sleep ended.
pub(crate) enum Woken {
    Work,
    TimedOut,
    Closing,
}

impl AppendQueue {
    pub(crate) fn new(limit: usize, group_max: usize, relief: Arc<dyn Fn() + Send + Sync>) -> Self {
        Self {
            state: Mutex::default(),
            wake: Condvar::new(),
            broken: AtomicBool::new(false),
            stands: AtomicBool::new(false),
            written: AtomicU64::new(0),
            bytes: AtomicUsize::new(0),
            limit,
            group_max,
            pressure: AtomicU8::new(PRESSURE_NONE),
            blocks: Mutex::default(),
            relief,
        }
    }

    /// Enqueues `records` as one group.
    pub(crate) fn append(&self, records: &mut Vec<Record>) -> Result<Position, NotAppended> {
        self.append_cut(records, usize::MAX)
    }

    /// Enqueues `records` in groups of about `cut_at` bytes.
    pub(crate) fn append_cut(
        &self,
        records: &mut Vec<Record>,
        cut_at: usize,
    ) -> Result<Position, NotAppended> {
        if self.is_broken() {
            return Err(NotAppended::Broken);
        }
        let (mut bytes, mut group_bytes, mut largest) = (0, 0, 0);
        let mut eager = false;
        // Ends of all groups but the last.
        let mut cuts = Vec::new();
        let mut costs = Costs::default();
        for (at, record) in records.iter().enumerate() {
            if group_bytes >= cut_at {
                cuts.push(at);
                group_bytes = 0;
                costs = Costs::default();
            }
            let cost = costs.of(record);
            bytes += cost;
            group_bytes += cost;
            largest = largest.max(group_bytes);
            eager |= matches!(record, Record::Enqueue { .. });
        }
        // A record costs more in memory than in the log.
        if largest > self.group_max {
            return Err(NotAppended::TooLarge { bytes: largest, max: self.group_max });
        }
        // Counted before the committer can see them, so that the sum never drops below zero.
        let before = self.bytes.fetch_add(bytes, Ordering::Relaxed);
        if before + bytes > self.limit {
            let _ = self.pressure.compare_exchange(
                PRESSURE_NONE,
                PRESSURE_FULL,
                Ordering::AcqRel,
                Ordering::Relaxed,
            );
        }
        let mut state = self.state.lock();
        let first = state.waiting.records.is_empty();
        state.appended += records.len() as u64;
        let position = Position(state.appended);
        if !records.is_empty() {
            let before = state.waiting.records.len();
            state.waiting.groups.extend(cuts.into_iter().map(|cut| before + cut));
            state.waiting.records.append(records);
            let end = state.waiting.records.len();
            state.waiting.groups.push(end);
        }
        state.eager |= eager;
        let wake = match state.committer {
            Committer::Awake => false,
            Committer::Sleeps => eager || first,
            Committer::SleepsLazily => eager,
        };
        if wake {
            state.committer = Committer::Awake;
        }
        drop(state);
        if wake {
            self.wake.notify_one();
        }
        Ok(position)
    }

    pub(crate) fn notify(&self, waiter: &Arc<dyn Waiter>, token: u64) {
        let mut state = self.state.lock();
        // Read under the lock: a store that breaks answers everyone under it afterwards.
        if self.is_broken() || self.stands.load(Ordering::Acquire) {
            drop(state);
            waiter.synced(token, Err(Broken));
            return;
        }
        let at = state.appended;
        if state.durable >= at {
            drop(state);
            waiter.synced(token, Ok(Synced(Position(at))));
            return;
        }
        let waiter = Arc::clone(waiter);
        state.waiters.push_back(Wait { waiter, token, at });
        state.eager = true;
        let wake = state.committer != Committer::Awake;
        state.committer = Committer::Awake;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Enqueues work of the store itself.
    pub(crate) fn extras(&self, work: impl IntoIterator<Item = Extra>) {
        let mut state = self.state.lock();
        for extra in work {
            let cost = extra_cost(&extra);
            self.bytes.fetch_add(cost, Ordering::Relaxed);
            state.waiting.extras.push(extra);
        }
        state.eager = true;
        let wake = state.committer != Committer::Awake;
        state.committer = Committer::Awake;
        drop(state);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Moves everything waiting to the end of `to`; returns whether there was anything.
    pub(crate) fn take(&self, to: &mut Waiting) -> bool {
        let mut state = self.state.lock();
        state.eager = false;
        let from = &mut state.waiting;
        if from.records.is_empty() && from.extras.is_empty() {
            return false;
        }
        if to.records.is_empty() {
            std::mem::swap(&mut to.records, &mut from.records);
            std::mem::swap(&mut to.groups, &mut from.groups);
        } else {
            let shift = to.records.len();
            to.records.append(&mut from.records);
            to.groups.extend(from.groups.drain(..).map(|end| end + shift));
        }
        to.extras.append(&mut from.extras);
        true
    }

    /// Examines what has not been taken yet.
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Waiting) -> T) -> T {
        look(&self.state.lock().waiting)
    }

    /// Whether a waiter is registered for a sync at or below `position`.
    pub(crate) fn has_waiter_upto(&self, position: u64) -> bool {
        let state = self.state.lock();
        state.waiters.front().is_some_and(|wait| wait.at <= position)
    }

    /// Everything up to `position` is written; `freed` bytes of memory are released.
    pub(crate) fn set_written(&self, position: u64, freed: usize) {
        self.written.fetch_max(position, Ordering::Release);
        let left = self.bytes.fetch_sub(freed, Ordering::Relaxed) - freed;
        if left < self.limit / 2
            && self
                .pressure
                .compare_exchange(PRESSURE_FULL, PRESSURE_NONE, Ordering::AcqRel, Ordering::Relaxed)
                .is_ok()
        {
            (self.relief)();
        }
    }

    pub(crate) fn written(&self) -> Position {
        Position(self.written.load(Ordering::Acquire))
    }

    /// Everything up to this position is durable.
    pub(crate) fn durable(&self) -> u64 {
        self.state.lock().durable
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    /// Everything up to `position` is durable: calls its waiters.
    pub(crate) fn set_durable(&self, position: u64) {
        let mut state = self.state.lock();
        state.durable = state.durable.max(position);
        let due = take_due(&mut state.waiters, position);
        drop(state);
        answer(due, Ok(Synced(Position(position))));
    }

    /// What was written up to `position` did not become durable: informs its waiters.
    pub(crate) fn fail_upto(&self, position: u64) {
        let mut state = self.state.lock();
        let due = take_due(&mut state.waiters, position);
        drop(state);
        answer(due, Err(Broken));
    }

    /// Nothing becomes durable any more, so publishers are no longer read from.
    pub(crate) fn set_broken(&self) {
        self.stop(Broken.to_string());
    }

    /// From now on nothing becomes durable; waiters are informed by [`Self::stop`].
    pub(crate) fn halt(&self) {
        self.broken.store(true, Ordering::Release);
    }

    /// The same, for this reason.
    pub(crate) fn stop(&self, reason: String) {
        self.blocks.lock().broken.get_or_insert(reason);
        self.pressure.store(PRESSURE_BLOCKED, Ordering::Release);
        let mut state = self.state.lock();
        self.broken.store(true, Ordering::Release);
        let due = take_due(&mut state.waiters, u64::MAX);
        state.waiting = Waiting::default();
        drop(state);
        self.wake.notify_all();
        answer(due, Err(Broken));
    }

    /// A write failed, or (`None`) succeeded again.
    pub(crate) fn set_write_failed(&self, reason: Option<String>) {
        self.block(|blocks| &mut blocks.write, reason);
    }

    /// A thread of the store is stalled, or (`None`) none is any more: until then waiters for a sync are told that
    /// its outcome is unknown.
    pub(crate) fn set_stalled(&self, reason: Option<String>) {
        let stands = reason.is_some();
        self.stands.store(stands, Ordering::Release);
        self.block(|blocks| &mut blocks.stands, reason);
        if stands {
            self.fail_upto(u64::MAX);
        }
    }

    /// Whether there is work for the committer now.
    pub(crate) fn work_waits(&self) -> bool {
        let state = self.state.lock();
        state.eager || !state.waiters.is_empty()
    }

    /// There is no room for the next segment, or (`None`) there is again.
    pub(crate) fn set_short_of_space(&self, reason: Option<String>) {
        self.block(|blocks| &mut blocks.space, reason);
    }

    /// Whether publishers are held up because there is no room for the next segment.
    pub(crate) fn is_short_of_space(&self) -> bool {
        self.blocks.lock().space.is_some()
    }

    /// Whether that is the only reason why they are held up.
    pub(crate) fn is_only_short_of_space(&self) -> bool {
        let blocks = self.blocks.lock();
        let others = [&blocks.write, &blocks.index, &blocks.stands, &blocks.broken];
        blocks.space.is_some() && others.into_iter().all(Option::is_none)
    }

    /// The index cannot be written, or (`None`) can be again.
    pub(crate) fn set_index_failed(&self, reason: Option<String>) {
        self.block(|blocks| &mut blocks.index, reason);
    }

    fn block(&self, which: fn(&mut Blocks) -> &mut Option<String>, reason: Option<String>) {
        let mut blocks = self.blocks.lock();
        let was = blocks.first().is_some();
        if let Some(reason) = &reason
            && which(&mut blocks).as_ref() != Some(reason)
        {
            tracing::error!(reason, "publishers are paused");
        }
        *which(&mut blocks) = reason;
        if blocks.first().is_some() {
            self.pressure.store(PRESSURE_BLOCKED, Ordering::Release);
        } else if was {
            self.pressure.store(PRESSURE_NONE, Ordering::Release);
            drop(blocks);
            tracing::info!("the message log can be written again");
            (self.relief)();
        }
    }

    pub(crate) fn pressure(&self) -> Pressure {
        match self.pressure.load(Ordering::Acquire) {
            PRESSURE_NONE => Pressure::None,
            PRESSURE_FULL => Pressure::Full,
            _ => {
                let blocks = self.blocks.lock();
                Pressure::Blocked(blocks.first().cloned().unwrap_or_default())
            }
        }
    }

    /// Sleeps until there is work or `timeout` has passed. `lazily`: records without a waiter do not end the sleep.
    pub(crate) fn sleep(&self, timeout: Option<Duration>, lazily: bool) -> Woken {
        let mut state = self.state.lock();
        let ready = |state: &State| {
            let waiting = &state.waiting;
            let empty = waiting.records.is_empty() && waiting.extras.is_empty();
            state.eager || !(lazily || empty)
        };
        if state.closing {
            return Woken::Closing;
        }
        if ready(&state) {
            return Woken::Work;
        }
        state.committer = if lazily { Committer::SleepsLazily } else { Committer::Sleeps };
        match timeout {
            Some(timeout) => {
                let result = self.wake.wait_for(&mut state, timeout);
                state.committer = Committer::Awake;
                if result.timed_out() {
                    return Woken::TimedOut;
                }
            }
            None => self.wake.wait(&mut state),
        }
        state.committer = Committer::Awake;
        if state.closing { Woken::Closing } else { Woken::Work }
    }

    /// Sleeps for `wait`, regardless of new work, unless the store closes.
    pub(crate) fn pause(&self, wait: Duration) -> Woken {
        let mut state = self.state.lock();
        if state.closing || self.is_broken() {
            return Woken::Closing;
        }
        self.wake.wait_for(&mut state, wait);
        if state.closing { Woken::Closing } else { Woken::TimedOut }
    }

    pub(crate) fn close(&self) {
        self.state.lock().closing = true;
        self.wake.notify_all();
    }
}

/// Memory cost of a group's records while they wait, in order. A message also named by the preceding record is in
/// memory, and in the log, only once.
#[derive(Default)]
pub(crate) struct Costs {
    /// Address of the last message, for comparison only.
    last: usize,
}

impl Costs {
    /// Cost of the next record in bytes.
    pub(crate) fn of(&mut self, record: &Record) -> usize {
        RECORD_COST
            + match record {
                Record::Enqueue { message, .. } => {
                    let before = std::mem::replace(&mut self.last, message.address());
                    if before == self.last { 0 } else { message.memory() }
                }
                Record::Purge { kept, .. } => 8 * kept.len(),
                _ => 0,
            }
    }
}

/// Cost of `extra` in bytes while it waits.
pub(crate) fn extra_cost(extra: &Extra) -> usize {
    match extra {
        Extra::Moved { message, .. } => RECORD_COST + message.memory(),
        Extra::AllMoved => RECORD_COST,
        Extra::Carry { records, .. } => {
            let mut costs = Costs::default();
            records.iter().map(|record| costs.of(record)).sum()
        }
    }
}

fn take_due(waiters: &mut VecDeque<Wait>, position: u64) -> Vec<Wait> {
    let due = waiters.iter().take_while(|w| w.at <= position).count();
    waiters.drain(..due).collect()
}

/// Calls each waiter once, with its highest token.
fn answer(due: Vec<Wait>, outcome: Result<Synced, Broken>) {
    let mut calls: Vec<Wait> = Vec::with_capacity(due.len().min(64));
    let mut places = rustc_hash::FxHashMap::default();
    for wait in due {
        let key = Arc::as_ptr(&wait.waiter).cast::<()>() as usize;
        match places.entry(key) {
            std::collections::hash_map::Entry::Vacant(entry) => {
                entry.insert(calls.len());
                calls.push(wait);
            }
            std::collections::hash_map::Entry::Occupied(entry) => {
                let call = &mut calls[*entry.get()];
                call.token = call.token.max(wait.token);
            }
        }
    }
    for call in calls {
        call.waiter.synced(call.token, outcome);
    }
}
