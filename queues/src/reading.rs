//! Reading back: bodies return from disk.
//!
//! One read at a time per queue. While one is under way, nothing is inserted before the place it reads from, so its
//! answer always fits, and paging cannot starve delivery. The caller asks the store and passes on the answer; a slow
//! read stalls this queue only.

use leveret_message::ids::{Millis, Seq};
use leveret_message::stored::Stored;

use super::entry::{Disk, Entry, NEVER, body_bytes};
use super::priority_level::PriorityLevel;
use super::{Effects, Outlet, Queue, ReadAsk};

/// Messages wanted per read while consumers are attached.
const READ_MESSAGES: usize = 1024;

/// Messages wanted per read when only rules (expiry, limits) need it.
const READ_MESSAGES_IDLE: usize = 64;

/// Delay before the retry of a failed read, in milliseconds.
const RETRY_MS: u64 = 1000;

/// A priority level with at most this many messages left, and none on disk, lets the next priority level be read
/// ahead.
const LAST_OF_LANE: usize = READ_MESSAGES / 2;

/// A read under way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Reading {
    ask: ReadAsk,
    /// It fills entries of returned messages; otherwise it reads the range behind the head.
    returned: bool,
}

impl Reading {
    /// Whether it reads the range behind the head of this priority level.
    pub(super) fn fills_head(&self, priority_level: u8) -> bool {
        !self.returned && self.ask.priority_level == priority_level
    }
}

impl<C> Queue<C> {
    /// Requests what will be needed from disk, if anything. `demand`: consumers want messages; otherwise only the
    /// front's rules are of interest.
    pub(super) fn wish(&mut self, now: Millis, demand: bool, fx: &mut Effects) {
        if self.counts.away == 0 || self.reading.is_some() || now < self.retry_at {
            return;
        }
        let max_messages = if demand { READ_MESSAGES } else { READ_MESSAGES_IDLE };
        for priority_level in self.priority_levels.filled() {
            let Some(here) = self.priority_levels.get(priority_level) else {
                continue;
            };
            if demand && let Some((from, to)) = away_returned(here, max_messages) {
                let ask = ReadAsk { priority_level, from, to, max_messages };
                self.reading = Some(Box::new(Reading { ask, returned: true }));
            } else if let Some(cold) = here.cold()
                && here.returned.len() + here.head.len() <= if demand { here.low } else { 0 }
            {
                let ask = ReadAsk { priority_level, from: cold.first, to: cold.last, max_messages };
                self.reading = Some(Box::new(Reading { ask, returned: false }));
            } else if demand && here.rest.is_empty() && here.head.len() <= LAST_OF_LANE {
                continue;
            }
            break;
        }
        if let Some(reading) = &self.reading {
            fx.read = Some(reading.ask);
        }
    }

    /// The store's answer to [`Effects::read`]: live messages from the start of the requested range, in order; it may
    /// be partial; an empty one means that there are none. An answer no longer awaited is ignored.
    pub fn fetched(
        &mut self,
        now: Millis,
        stored: Vec<Stored>,
        asked: ReadAsk,
        outlet: &mut (impl Outlet<C> + ?Sized),
        fx: &mut Effects,
    ) {
        let Some(reading) = self.reading.take_if(|reading| reading.ask == asked) else {
            return;
        };
        self.retry_at = Millis(0);
        let covered = stored.last().map_or(asked.to, |last| last.seq.min(asked.to));
        if reading.returned {
            self.fill_returned(asked, covered, stored, fx);
        } else {
            self.fill_head(asked, covered, stored, fx);
        }
        self.priority_levels.note(asked.priority_level);
        self.dispatch(now, outlet, fx);
    }

    /// The store could not answer. The queue asks again later, see [`Queue::next_deadline`].
    pub fn read_failed(&mut self, now: Millis, asked: ReadAsk) {
        if self.reading.as_ref().is_some_and(|reading| reading.ask == asked) {
            self.reading = None;
            self.retry_at = now.plus(RETRY_MS);
        }
    }

    fn fill_returned(&mut self, asked: ReadAsk, covered: Seq, stored: Vec<Stored>, fx: &mut Effects) {
        let Some(priority_level) = self.priority_levels.get_mut(asked.priority_level) else {
            return;
        };
        for found in stored {
            let Some(entry) = priority_level.returned.get_mut(&found.seq) else {
                continue;
            };
            if entry.message.is_some() {
                continue;
            }
            match found.message {
                Ok(message) => {
                    entry.message = Some(message);
                    self.counts.away -= 1;
                    self.counts.resident_bytes += entry.memory();
                }
                Err(what) => {
                    if let Some(entry) = priority_level.returned.remove(&found.seq) {
                        self.counts.take_ready(&entry);
                        self.counts.leave(&entry);
                    }
                    fx.damaged.push((found.seq, what));
                }
            }
        }
        let missing: Vec<Seq> = priority_level
            .returned
            .range(asked.from..=covered)
            .filter(|(_, entry)| entry.message.is_none())
            .map(|(seq, _)| *seq)
            .collect();
        for seq in missing {
            if let Some(entry) = priority_level.returned.remove(&seq) {
                self.counts.take_ready(&entry);
                self.counts.leave(&entry);
                fx.lost += 1;
            }
        }
    }

    fn fill_head(&mut self, asked: ReadAsk, covered: Seq, stored: Vec<Stored>, fx: &mut Effects) {
        let Some(priority_level) = self.priority_levels.get_mut(asked.priority_level) else {
            return;
        };
        let Some(mut cold) = priority_level.cold().copied().filter(|cold| cold.first == asked.from) else {
            return;
        };
        // The totals of a range may be wrong. What is read is counted exactly, and the rest of the totals is removed
        // at the range's end.
        self.counts.leave_cold(&cold);
        priority_level.low = stored.len() / 2;
        for found in stored {
            if found.seq < cold.first || found.seq > asked.to {
                continue;
            }
            cold.first = found.seq.next();
            match found.message {
                Ok(message) => {
                    let meta = message.meta();
                    let persistent = meta.persistent;
                    let entry = Entry {
                        seq: found.seq,
                        expires: found.expires.unwrap_or(NEVER),
                        delivery_count: found.delivery_count,
                        acquired_count: found.delivery_count,
                        bytes: body_bytes(&message),
                        priority_level: asked.priority_level,
                        persistent,
                        redelivered: meta.redelivered
                            || found.seq <= self.recovered_upto
                            || found.delivery_count > 0,
                        disk: Disk::Written,
                        message: Some(message),
                    };
                    cold.leave(u64::from(entry.bytes), persistent);
                    self.counts.enter(&entry);
                    self.counts.add_ready(&entry);
                    priority_level.head.push_back(entry);
                }
                Err(what) => {
                    cold.leave(0, cold.persistent > 0);
                    fx.damaged.push((found.seq, what));
                }
            }
        }
        cold.first = cold.first.max(covered.next());
        if cold.first > cold.last {
            fx.lost += cold.count;
            priority_level.rest.pop_front();
            priority_level.refill();
        } else {
            self.counts.enter_cold(&cold);
            if let Some(place) = priority_level.cold_mut() {
                *place = cold;
            }
        }
    }
}

/// First and last of the returned messages whose bodies are on disk, if the priority level begins with them.
fn away_returned(priority_level: &PriorityLevel, max: usize) -> Option<(Seq, Seq)> {
    let away = |entry: &&Entry| entry.message.is_none();
    let mut run = priority_level.returned.values().take_while(away).take(max);
    let from = run.next()?.seq;
    Some((from, run.last().map_or(from, |last| last.seq)))
}
