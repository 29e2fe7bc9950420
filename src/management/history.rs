//! Sample history: the last ten minutes in five-second steps and the last day in minutes, for the whole broker and
//! for every queue with activity.
//!
//! Invariants: a queue without any activity costs nothing here; at most [`QUEUES_MAX`] queues have a history, and
//! their day histories together take about [`DAYS_BYTES_MAX`]: beyond it days get shorter, down to [`DAY_MIN`].
//! Absent: clocks; anything on disk.

use leveret_message::{Millis, QueueId};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value, json};

use super::counter_rates::Numbers;
use super::paths::Query;
use super::series::{Point, Series};

/// A fine step, in milliseconds.
pub(super) const STEP_MS: u64 = 5_000;

/// Fine steps kept: ten minutes.
const FINE: u64 = 120;

/// Fine steps per coarse step (a minute).
const STEPS_IN_MINUTE: u64 = 12;

/// Minutes kept: a day.
const DAY: u64 = 1_440;

/// Minutes always kept.
const DAY_MIN: u64 = 60;

/// Maximum queues with a history. Each takes some 300 bytes, and up to two kilobytes for ten busy minutes.
const QUEUES_MAX: usize = 20_000;

/// Budget for the day histories of all queues.
const DAYS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A queue's numbers that have a history: [`QUEUE_NAMES`].
pub(super) type QueueNumbers = Numbers<7>;

/// For each number, the object of an answer that holds its samples, and the name there.
pub(super) type Names<const N: usize> = [(Kind, &'static str); N];

/// The kind of a number, which determines its place in answers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// Queue lengths; beside the queue's other members or in `queue_totals`.
    Length,
    /// A counter in `message_stats`.
    Count,
}

pub(super) const QUEUE_NAMES: Names<7> = [
    (Kind::Length, "messages"),
    (Kind::Length, "messages_ready"),
    (Kind::Length, "messages_unacknowledged"),
    (Kind::Count, "publish"),
    (Kind::Count, "deliver_get"),
    (Kind::Count, "ack"),
    (Kind::Count, "redeliver"),
];

/// Names of the broker-wide numbers.
pub(super) const TOTAL_NAMES: Names<10> = [
    (Kind::Length, "messages"),
    (Kind::Length, "messages_ready"),
    (Kind::Length, "messages_unacknowledged"),
    (Kind::Count, "publish"),
    (Kind::Count, "deliver_get"),
    (Kind::Count, "ack"),
    (Kind::Count, "redeliver"),
    (Kind::Count, "confirm"),
    (Kind::Count, "return_unroutable"),
    (Kind::Count, "drop_unroutable"),
];

/// The step of an instant. Readings are taken right at a step's start; the clock may be slightly off.
pub(super) const fn step_of(at: Millis) -> u64 {
    (at.0 + STEP_MS / 2) / STEP_MS
}

/// Ten minutes and a day of history for some numbers.
#[derive(Clone, Debug)]
struct History<const N: usize> {
    fine: Series<N>,
    day: Series<N>,
}

impl<const N: usize> History<N> {
    fn new(step: u64, numbers: Numbers<N>) -> Self {
        Self { fine: Series::new(step, numbers), day: Series::new(step / STEPS_IN_MINUTE, numbers) }
    }

    fn add(&mut self, step: u64, numbers: Numbers<N>, day: u64) {
        self.fine.add(step, numbers, FINE);
        if step.is_multiple_of(STEPS_IN_MINUTE) {
            self.day.add(step / STEPS_IN_MINUTE, numbers, day);
        }
    }

    fn points(&self, window: &Window, now: u64) -> Vec<(u64, Numbers<N>)> {
        let (series, unit, now) = if window.seconds <= FINE * STEP_MS / 1000 {
            (&self.fine, 1, now)
        } else {
            (&self.day, STEPS_IN_MINUTE, now / STEPS_IN_MINUTE)
        };
        let step_s = unit * STEP_MS / 1000;
        let by = (window.every / step_s).max(1);
        let points = series.points(now.saturating_sub(window.seconds / step_s), now, by);
        points.into_iter().map(|Point { step, values }| (step * unit * STEP_MS, values)).collect()
    }
}

/// The past requested by a query: a duration in seconds and a sampling interval.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Window {
    seconds: u64,
    every: u64,
}

impl Window {
    /// `lengths_age` and `lengths_incr`, or `msg_rates_age` and `msg_rates_incr`.
    fn of(query: &Query, kind: Kind) -> Option<Self> {
        let name = match kind {
            Kind::Length => "lengths",
            Kind::Count => "msg_rates",
        };
        let number = |what: &str| query.get(&format!("{name}_{what}"))?.parse::<u64>().ok();
        let seconds = number("age")?.min(DAY * 60);
        Some(Self {
            seconds,
            every: number("incr").unwrap_or(0).clamp(STEP_MS / 1000, seconds.max(STEP_MS / 1000)),
        })
    }
}

/// Whether a query requests any samples.
pub(super) fn asked_for(query: &Query) -> bool {
    [Kind::Length, Kind::Count].into_iter().any(|kind| Window::of(query, kind).is_some())
}

/// The histories of the broker and all queues.
#[derive(Debug, Default)]
pub(super) struct Histories {
    now: u64,
    totals: Option<History<10>>,
    queues: FxHashMap<QueueId, Box<History<7>>>,
    /// Minutes kept per queue.
    day: u64,
    started: u64,
}

impl Histories {
    /// Starts a reading.
    pub(super) fn begin(&mut self, at: Millis) {
        self.now = step_of(at);
        if self.day == 0 {
            self.day = DAY;
            self.started = self.now;
        }
    }

    /// Adds the broker-wide numbers.
    pub(super) fn add_totals(&mut self, numbers: Numbers<10>) {
        self.totals.get_or_insert_with(|| History::new(self.now, numbers)).add(self.now, numbers, DAY);
    }

    /// Adds a queue's numbers, with those of the previous reading.
    pub(super) fn add_queue(&mut self, id: QueueId, before: QueueNumbers, numbers: QueueNumbers) {
        if let Some(known) = self.queues.get_mut(&id) {
            known.add(self.now, numbers, self.day);
        } else if before != numbers && self.queues.len() < QUEUES_MAX {
            let mut history = Box::new(History::new(self.now.saturating_sub(1), before));
            history.add(self.now, numbers, self.day);
            self.queues.insert(id, history);
        }
    }

    /// Ends a reading. Once a minute drops queues that no longer exist (`is_there`) or had no activity within the
    /// window, and enforces the budget.
    pub(super) fn end(&mut self, is_there: impl Fn(QueueId) -> bool) {
        if !self.now.is_multiple_of(STEPS_IN_MINUTE) {
            return;
        }
        self.queues
            .retain(|id, history| is_there(*id) && !(history.fine.is_still() && history.day.is_still()));
        let bytes: usize = self.queues.values().map(|history| history.day.heap_bytes()).sum();
        if bytes > DAYS_BYTES_MAX {
            self.day = (self.day / 4 * 3).max(DAY_MIN);
        } else if bytes < DAYS_BYTES_MAX / 2 {
            self.day = (self.day + 1).min(DAY);
        }
    }

    /// Adds `samples` to the details of a queue's numbers, if the query asks for them.
    pub(super) fn write_queue(
        &self,
        query: &Query,
        id: QueueId,
        now: QueueNumbers,
        shown: &mut Map<String, Value>,
    ) {
        // No activity so far.
        let still = || Box::new(History::new(self.started, now));
        let stats = |shown: &mut Map<String, Value>, kind| match kind {
            Kind::Length => Some(std::mem::take(shown)),
            Kind::Count => shown.get_mut("message_stats").and_then(Value::as_object_mut).map(std::mem::take),
        };
        for kind in [Kind::Length, Kind::Count] {
            let Some(window) = Window::of(query, kind) else { continue };
            let Some(mut object) = stats(shown, kind) else { continue };
            match self.queues.get(&id) {
                Some(known) => self.write(known, &QUEUE_NAMES, kind, &window, &mut object),
                None => self.write(&still(), &QUEUE_NAMES, kind, &window, &mut object),
            }
            match kind {
                Kind::Length => *shown = object,
                Kind::Count => drop(shown.insert("message_stats".to_owned(), Value::Object(object))),
            }
        }
    }

    /// The same for the whole broker.
    pub(super) fn write_totals(&self, query: &Query, shown: &mut Map<String, Value>) {
        let Some(totals) = &self.totals else { return };
        for (kind, name) in [(Kind::Length, "queue_totals"), (Kind::Count, "message_stats")] {
            if let Some(window) = Window::of(query, kind)
                && let Some(object) = shown.get_mut(name).and_then(Value::as_object_mut)
            {
                self.write(totals, &TOTAL_NAMES, kind, &window, object);
            }
        }
    }

    /// Number of acknowledgements in the last seconds before the last reading. `None`: the history is shorter.
    pub(super) fn acked_within(&self, id: QueueId, seconds: u64) -> Option<u64> {
        let Some(known) = self.queues.get(&id) else {
            // No activity so far.
            return (self.now.saturating_sub(self.started) >= seconds * 1000 / STEP_MS).then_some(0);
        };
        let place = QUEUE_NAMES.iter().position(|(_, name)| *name == "ack")?;
        let points = known.points(&Window { seconds, every: seconds }, self.now);
        let [(_, before), .., (_, now)] = &points[..] else { return None };
        Some(now[place].saturating_sub(before[place]))
    }

    fn write<const N: usize>(
        &self,
        history: &History<N>,
        names: &Names<N>,
        kind: Kind,
        window: &Window,
        object: &mut Map<String, Value>,
    ) {
        let points = history.points(window, self.now);
        for (place, (_, name)) in names.iter().enumerate().filter(|(_, (of, _))| *of == kind) {
            // Newest first, as in RabbitMQ.
            let samples: Vec<Value> = points
                .iter()
                .rev()
                .map(|(at, values)| json!({ "sample": values[place], "timestamp": at }))
                .collect();
            let details = object.entry(format!("{name}_details")).or_insert_with(|| json!({ "rate": 0.0 }));
            if let Some(details) = details.as_object_mut() {
                details.insert("samples".to_owned(), Value::Array(samples));
            }
        }
    }

    /// Bytes used by all queue histories.
    #[cfg(test)]
    fn bytes(&self) -> usize {
        let one = |history: &History<7>| {
            size_of::<History<7>>() + history.fine.heap_bytes() + history.day.heap_bytes()
        };
        self.queues.values().map(|history| one(history)).sum()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    const START: u64 = 1_000_000 * STEPS_IN_MINUTE;

    fn query(text: &str) -> Query {
        let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
        axum::extract::Query(
            pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect::<HashMap<_, _>>(),
        )
    }

    fn numbers(n: u64) -> QueueNumbers {
        [n % 90, n % 80, n % 10, n * 1000, n * 990, n * 990, 0]
    }

    /// `queues` busy queues over `steps`.
    fn busy(queues: u64, steps: u64) -> Histories {
        let mut histories = Histories::default();
        for n in 0..steps {
            histories.begin(Millis((START + n) * STEP_MS));
            for queue in 0..queues {
                histories.add_queue(QueueId(queue), numbers(n.saturating_sub(1)), numbers(n));
            }
            histories.end(|_| true);
        }
        histories
    }

    fn samples(histories: &Histories, text: &str) -> Vec<(u64, u64)> {
        let mut shown = Map::new();
        shown.insert("message_stats".to_owned(), json!({ "publish_details": { "rate": 1.5 } }));
        histories.write_queue(&query(text), QueueId(0), numbers(0), &mut shown);
        let details = &shown["message_stats"]["publish_details"];
        assert_eq!(details["rate"], 1.5);
        let list = details["samples"].as_array().cloned().unwrap_or_default();
        list.iter().map(|s| (s["timestamp"].as_u64().unwrap(), s["sample"].as_u64().unwrap())).collect()
    }

    #[test]
    fn ten_minutes_come_in_steps_of_five_seconds_newest_first() {
        let histories = busy(1, 400);
        let got = samples(&histories, "msg_rates_age=600&msg_rates_incr=5");
        assert_eq!(got.len(), 121);
        assert_eq!(got[0], ((START + 399) * STEP_MS, 399_000));
        assert_eq!(got[120], ((START + 279) * STEP_MS, 279_000));
        let every_minute = samples(&histories, "msg_rates_age=300&msg_rates_incr=60");
        assert_eq!(every_minute.len(), 6);
        assert_eq!(every_minute[0].0 - every_minute[1].0, 60_000);
    }

    #[test]
    fn a_day_comes_in_minutes() {
        let histories = busy(1, DAY * STEPS_IN_MINUTE + 600);
        let got = samples(&histories, "msg_rates_age=86400&msg_rates_incr=60");
        assert_eq!(got.len() as u64, DAY + 1);
        assert!(
            got.windows(2).all(|pair| pair[0].0 - pair[1].0 == 60_000 && pair[0].1 - pair[1].1 == 12_000)
        );
    }

    #[test]
    fn acknowledgements_of_the_last_seconds_are_known_once_there_is_so_much_history() {
        let mut histories = Histories::default();
        let mut read = |step: u64, acked: u64| {
            histories.begin(Millis(step * STEP_MS));
            histories.add_queue(QueueId(1), [step - 1, 0, 0, 0, 0, acked, 0], [step, 0, 0, 0, 0, acked, 0]);
            [QueueId(1), QueueId(2)].map(|id| histories.acked_within(id, 30))
        };
        assert_eq!(read(100, 7), [None, None]);
        assert_eq!(read(104, 9), [None, None]);
        assert_eq!(read(106, 9), [Some(2), Some(0)]);
        assert_eq!(read(111, 9), [Some(0), Some(0)]);
    }

    #[test]
    fn nothing_is_said_unless_asked() {
        assert_eq!(samples(&busy(1, 10), "lengths_age=600&lengths_incr=5"), []);
        assert_eq!(samples(&busy(1, 10), "msg_rates_age=x"), []);
    }

    #[test]
    fn a_queue_in_which_nothing_moved_costs_nothing() {
        let mut histories = Histories::default();
        for n in 0..1000 {
            histories.begin(Millis((START + n) * STEP_MS));
            for queue in 0..1000 {
                histories.add_queue(QueueId(queue), numbers(7), numbers(7));
            }
            histories.end(|_| true);
        }
        assert_eq!(histories.bytes(), 0);
    }

    #[test]
    fn queues_that_are_gone_or_at_rest_for_long_are_forgotten() {
        let mut histories = busy(3, 24);
        for n in 24..48 {
            histories.begin(Millis((START + n) * STEP_MS));
            histories.add_queue(QueueId(0), numbers(n), numbers(n));
            histories.end(|id| id != QueueId(1));
        }
        assert!(!histories.queues.contains_key(&QueueId(1)));
        assert!(histories.queues.contains_key(&QueueId(0)));
    }

    #[test]
    fn ten_thousand_busy_queues_keep_to_the_budget() {
        let histories = busy(500, 2 * 60 * STEPS_IN_MINUTE);
        let each = histories.bytes() / 500;
        // Ten busy minutes, and two hours of coarse steps.
        assert!(each < 5_000, "{each} bytes");
    }
}
