//! Counter rates: one task samples all counters periodically and stores the differences of the last two readings.
//! Requests read a finished table without waiting.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use leveret_broker::Broker;
use leveret_broker::channel_stats::ChannelStats;
use leveret_broker::exchange_stats::ExchangeStats;
use leveret_broker::message_sizes::MessageSizes;
use leveret_broker::names::ConnectionId;
use leveret_broker::queue_handle::{QueueStats, QueueView};
use leveret_broker::registry::{ChannelHandle, Churn};
use leveret_broker::vhost::VhostStats;
use leveret_message::{Millis, QueueId};
use parking_lot::{Mutex, RwLock};
use rustc_hash::FxHashMap;
use serde_json::{Map, Value};
use tokio::sync::watch;

use super::answer::Query;
use super::counter_rates::{Numbers, Rated};
use super::history::{Histories, QueueNumbers, STEP_MS};
use crate::net::tasks::Tasks;

/// Names of the queues' message counters, and of their details.
pub(super) const MESSAGE_NAMES: [(&str, &str); 9] = [
    ("publish", "publish_details"),
    ("deliver", "deliver_details"),
    ("deliver_no_ack", "deliver_no_ack_details"),
    ("get", "get_details"),
    ("get_no_ack", "get_no_ack_details"),
    ("get_empty", "get_empty_details"),
    ("deliver_get", "deliver_get_details"),
    ("redeliver", "redeliver_details"),
    ("ack", "ack_details"),
];
pub(super) const LENGTH_NAMES: [(&str, &str); 3] = [
    ("messages", "messages_details"),
    ("messages_ready", "messages_ready_details"),
    ("messages_unacknowledged", "messages_unacknowledged_details"),
];
pub(super) const BYTE_NAMES: [(&str, &str); 2] =
    [("recv_oct", "recv_oct_details"), ("send_oct", "send_oct_details")];
pub(super) const GLOBAL_NAMES: [(&str, &str); 3] = [
    ("confirm", "confirm_details"),
    ("return_unroutable", "return_unroutable_details"),
    ("drop_unroutable", "drop_unroutable_details"),
];
pub(super) const CHURN_NAMES: [(&str, &str); 7] = [
    ("connection_created", "connection_created_details"),
    ("connection_closed", "connection_closed_details"),
    ("channel_created", "channel_created_details"),
    ("channel_closed", "channel_closed_details"),
    ("queue_declared", "queue_declared_details"),
    ("queue_created", "queue_created_details"),
    ("queue_deleted", "queue_deleted_details"),
];

pub(super) const CHANNEL_NAMES: [(&str, &str); 11] = [
    ("publish", "publish_details"),
    ("confirm", "confirm_details"),
    ("return_unroutable", "return_unroutable_details"),
    ("deliver", "deliver_details"),
    ("deliver_no_ack", "deliver_no_ack_details"),
    ("get", "get_details"),
    ("get_no_ack", "get_no_ack_details"),
    ("get_empty", "get_empty_details"),
    ("deliver_get", "deliver_get_details"),
    ("redeliver", "redeliver_details"),
    ("ack", "ack_details"),
];
pub(super) const EXCHANGE_NAMES: [(&str, &str); 2] =
    [("publish_in", "publish_in_details"), ("publish_out", "publish_out_details")];

/// Message counters of a queue, or of all queues.
pub(super) fn messages(stats: &QueueStats) -> Numbers<9> {
    let delivered = stats.delivered + stats.delivered_no_ack + stats.got + stats.got_no_ack;
    [
        stats.published,
        stats.delivered,
        stats.delivered_no_ack,
        stats.got,
        stats.got_no_ack,
        stats.got_empty,
        delivered,
        stats.redelivered,
        stats.acked,
    ]
}

/// Lengths of a queue, or of all queues.
pub(super) fn lengths(view: &QueueView) -> Numbers<3> {
    let counts = &view.counts;
    [counts.total(), counts.ready, counts.unacked]
}

fn channel(stats: &ChannelStats) -> Numbers<11> {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let given = [&stats.delivered, &stats.delivered_no_ack, &stats.got, &stats.got_no_ack].map(read);
    let [delivered, delivered_no_ack, got, got_no_ack] = given;
    [
        read(&stats.published),
        read(&stats.confirmed),
        read(&stats.returned),
        delivered,
        delivered_no_ack,
        got,
        got_no_ack,
        read(&stats.got_empty),
        given.iter().sum(),
        read(&stats.redelivered),
        read(&stats.acked),
    ]
}

fn churn(churn: &Churn) -> Numbers<7> {
    [
        &churn.connections_opened,
        &churn.connections_closed,
        &churn.channels_opened,
        &churn.channels_closed,
        &churn.queues_declared,
        &churn.queues_created,
        &churn.queues_deleted,
    ]
    .map(|count| count.load(Ordering::Relaxed))
}

/// Two successive readings of some numbers.
#[derive(Clone, Copy, Debug)]
struct Reading<const N: usize> {
    last: Numbers<N>,
    rates: [f64; N],
}

impl<const N: usize> Reading<N> {
    fn first(last: Numbers<N>) -> Self {
        Self { last, rates: [0.0; N] }
    }

    #[expect(clippy::cast_precision_loss, reason = "rates are for people")]
    fn next(&self, now: Numbers<N>, seconds: f64) -> Self {
        let mut rates = [0.0; N];
        for ((rate, now), last) in rates.iter_mut().zip(now).zip(self.last) {
            let moved = if now >= last { (now - last) as f64 } else { -((last - now) as f64) };
            *rate = moved / seconds;
        }
        Self { last: now, rates }
    }
}

/// The readings of a queue.
#[derive(Clone, Copy, Debug)]
struct QueueReading {
    messages: Reading<9>,
    lengths: Reading<3>,
    /// Time of the last change.
    still: Millis,
}

impl QueueReading {
    /// A reading `seconds` after `before`, if there was one.
    fn following(
        before: Option<Self>,
        messages: Numbers<9>,
        lengths: Numbers<3>,
        at: Millis,
        seconds: f64,
    ) -> Self {
        let Some(before) = before else {
            return Self { messages: Reading::first(messages), lengths: Reading::first(lengths), still: at };
        };
        let moved = before.messages.last != messages || before.lengths.last != lengths;
        Self {
            messages: before.messages.next(messages, seconds),
            lengths: before.lengths.next(lengths, seconds),
            still: if moved { at } else { before.still },
        }
    }

    /// The readings of a queue without activity since `still`.
    fn untouched(still: Millis) -> Self {
        Self { messages: Reading::first([0; 9]), lengths: Reading::first([0; 3]), still }
    }
}

/// The readings of a channel.
#[derive(Clone, Copy, Debug)]
struct ChannelReading {
    messages: Reading<11>,
    /// Time of the last change.
    still: Millis,
}

/// The last reading of all counters.
#[derive(Default)]
struct Readings {
    at: Millis,
    queues: FxHashMap<QueueId, QueueReading>,
    /// Queues that never had any activity, and since when that is known. There may be very many.
    untouched: FxHashMap<QueueId, Millis>,
    connections: FxHashMap<ConnectionId, Reading<2>>,
    /// By [`ChannelHandle::id`].
    channels: FxHashMap<u64, ChannelReading>,
    /// Exchanges that have been published to, by [`ExchangeStats::id`].
    exchanges: FxHashMap<u64, Reading<2>>,
    messages: Option<Reading<9>>,
    lengths: Option<Reading<3>>,
    global: Option<Reading<3>>,
    churn: Option<Reading<7>>,
}

/// Sums over all queues and vhosts.
#[derive(Debug, Default)]
pub(super) struct Totals {
    pub(super) stats: QueueStats,
    pub(super) messages: u64,
    pub(super) ready: u64,
    pub(super) unacked: u64,
    /// Ready messages whose body is on disk only.
    pub(super) away: u64,
    pub(super) consumers: u64,
    pub(super) queues: u64,
    pub(super) exchanges: u64,
    /// Published by clients, whatever the number of queues routed to.
    pub(super) published: u64,
    pub(super) published_confirm: u64,
    pub(super) returned: u64,
    pub(super) dropped: u64,
    pub(super) confirmed: u64,
    /// By reason, in the order of [`VhostStats::dead_lettered`].
    pub(super) dead_lettered: [u64; 4],
    pub(super) copies_left_out: u64,
    pub(super) sizes: MessageSizes,
}

impl Totals {
    /// Sums all counters: takes as many short locks as there are queues.
    pub(super) fn of(broker: &Broker) -> Self {
        let mut totals = Self { confirmed: broker.registry.confirmed(), ..Self::default() };
        for vhost in broker.vhosts() {
            totals.exchanges += vhost.exchange_count() as u64;
            totals.count(&vhost.stats);
            for queue in vhost.queues() {
                totals.add(&queue.view());
            }
        }
        totals.count(&broker.retired_vhosts);
        totals.stats.add(&broker.retired_queues());
        totals
    }

    fn count(&mut self, stats: &VhostStats) {
        self.sizes.add(&stats.sizes);
        for (sum, more) in self.dead_lettered.iter_mut().zip(&stats.dead_lettered) {
            *sum += more.load(Ordering::Relaxed);
        }
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        self.published += read(&stats.published);
        self.published_confirm += read(&stats.published_confirm);
        self.returned += read(&stats.returned);
        self.dropped += read(&stats.dropped);
        self.copies_left_out += read(&stats.copies_left_out);
    }

    fn add(&mut self, view: &QueueView) {
        self.stats.add(&view.stats);
        self.messages += view.counts.total();
        self.ready += view.counts.ready;
        self.unacked += view.counts.unacked;
        self.away += view.counts.away;
        self.consumers += view.counts.consumers as u64;
        self.queues += 1;
    }

    /// The numbers that have a history.
    fn history_numbers(&self) -> Numbers<10> {
        let moved = self.message_numbers();
        let [publish, deliver_get, ack, redeliver] = HISTORIC.map(|place| moved[place]);
        let lengths = [self.messages, self.ready, self.unacked];
        let [messages, ready, unacked] = lengths;
        [
            messages,
            ready,
            unacked,
            publish,
            deliver_get,
            ack,
            redeliver,
            self.confirmed,
            self.returned,
            self.dropped,
        ]
    }

    fn message_numbers(&self) -> Numbers<9> {
        let mut numbers = messages(&self.stats);
        numbers[0] = self.published;
        numbers
    }
}

/// The queue counters that have a history: `publish`, `deliver_get`, `ack`, `redeliver`.
const HISTORIC: [usize; 4] = [0, 6, 8, 7];

fn history_numbers(moved: &Numbers<9>, lengths: &Numbers<3>) -> QueueNumbers {
    let [messages, ready, unacked] = *lengths;
    let [publish, deliver_get, ack, redeliver] = HISTORIC.map(|place| moved[place]);
    [messages, ready, unacked, publish, deliver_get, ack, redeliver]
}

/// The table of rates, and the sample histories.
#[derive(Default)]
pub(super) struct Rates {
    readings: RwLock<Arc<Readings>>,
    histories: Mutex<Histories>,
    read: watch::Sender<u64>,
}

/// A queue's numbers with their rates.
pub(super) struct QueueRates {
    pub(super) messages: Rated<9>,
    pub(super) lengths: Rated<3>,
    /// Time of the last change, if the queue is idle.
    pub(super) still: Option<Millis>,
}

/// Broker-wide numbers with their rates.
pub(super) struct TotalRates {
    pub(super) messages: Rated<9>,
    pub(super) lengths: Rated<3>,
    pub(super) global: Rated<3>,
    pub(super) churn: Rated<7>,
}

/// A table of rates that stays constant while an answer is built.
pub(super) struct Snapshot(Arc<Readings>);

fn rated<const N: usize>(
    now: Numbers<N>,
    reading: Option<&Reading<N>>,
    names: &'static [(&'static str, &'static str); N],
) -> Rated<N> {
    Rated { now, rates: reading.map_or([0.0; N], |reading| reading.rates), names }
}

impl Readings {
    /// Connections and their channels, `seconds` after `last`.
    fn read_connections(&mut self, last: &Self, broker: &Broker, seconds: f64) {
        for connection in broker.registry.connections() {
            let traffic = &connection.traffic;
            let bytes =
                [&traffic.received_bytes, &traffic.sent_bytes].map(|count| count.load(Ordering::Relaxed));
            let before = last.connections.get(&connection.facts.id).copied();
            self.connections.insert(connection.facts.id, follow(before, bytes, seconds));
            for open in connection.channels() {
                let (before, now) = (last.channels.get(&open.id), channel(&open.stats));
                let still = before.filter(|before| before.messages.last == now).map(|before| before.still);
                let messages = follow(before.map(|before| before.messages), now, seconds);
                let still = still.unwrap_or(self.at);
                self.channels.insert(open.id, ChannelReading { messages, still });
            }
        }
    }

    fn queue(&self, id: QueueId) -> Option<QueueReading> {
        let untouched = || self.untouched.get(&id).copied().map(QueueReading::untouched);
        self.queues.get(&id).copied().or_else(untouched)
    }
}

impl Snapshot {
    /// The rate at this path of a queue's answer, if that path holds one.
    pub(super) fn rate_at(&self, id: QueueId, path: &str) -> Option<f64> {
        let place = |names: &[(&str, &str)], path: &str| {
            names.iter().position(|(_, details)| path.strip_prefix(details) == Some(".rate"))
        };
        let rate = |of: &dyn Fn(&QueueReading) -> f64| self.0.queues.get(&id).map_or(0.0, of);
        if let Some(path) = path.strip_prefix("message_stats.") {
            return place(&MESSAGE_NAMES, path).map(|place| rate(&|known| known.messages.rates[place]));
        }
        place(&LENGTH_NAMES, path).map(|place| rate(&|known| known.lengths.rates[place]))
    }

    pub(super) fn queue(&self, id: QueueId, view: &QueueView) -> QueueRates {
        let reading = self.0.queue(id);
        let reading = reading.as_ref();
        let (moved, length) = (messages(&view.stats), lengths(view));
        let still = reading.filter(|reading| {
            reading.still < self.0.at && reading.messages.last == moved && reading.lengths.last == length
        });
        QueueRates {
            messages: rated(moved, reading.map(|reading| &reading.messages), &MESSAGE_NAMES),
            lengths: rated(length, reading.map(|reading| &reading.lengths), &LENGTH_NAMES),
            still: still.map(|reading| reading.still),
        }
    }

    pub(super) fn totals(&self, broker: &Broker, totals: &Totals) -> TotalRates {
        let readings = &self.0;
        TotalRates {
            messages: rated(totals.message_numbers(), readings.messages.as_ref(), &MESSAGE_NAMES),
            lengths: rated(
                [totals.messages, totals.ready, totals.unacked],
                readings.lengths.as_ref(),
                &LENGTH_NAMES,
            ),
            global: rated(
                [totals.confirmed, totals.returned, totals.dropped],
                readings.global.as_ref(),
                &GLOBAL_NAMES,
            ),
            churn: rated(churn(&broker.registry.churn), readings.churn.as_ref(), &CHURN_NAMES),
        }
    }

    /// A channel's counters with rates, and the time of the last change if it is idle.
    pub(super) fn channel(&self, handle: &ChannelHandle) -> (Rated<11>, Option<Millis>) {
        let (now, reading) = (channel(&handle.stats), self.0.channels.get(&handle.id));
        let still = reading.filter(|reading| reading.still < self.0.at && reading.messages.last == now);
        (
            rated(now, reading.map(|reading| &reading.messages), &CHANNEL_NAMES),
            still.map(|reading| reading.still),
        )
    }

    /// `None`: nothing was published to the exchange.
    pub(super) fn exchange(&self, stats: Option<&ExchangeStats>) -> Rated<2> {
        stats.map_or(Rated::none(&EXCHANGE_NAMES), |stats| {
            rated(stats.read(), self.0.exchanges.get(&stats.id), &EXCHANGE_NAMES)
        })
    }

    /// Connections opened and closed per second.
    pub(super) fn connection_churn(&self) -> [f64; 2] {
        self.0.churn.map_or([0.0; 2], |churn| [churn.rates[0], churn.rates[1]])
    }

    /// Bytes received and sent per second.
    pub(super) fn connection(&self, id: ConnectionId) -> [f64; 2] {
        self.0.connections.get(&id).map_or([0.0; 2], |reading| reading.rates)
    }
}

impl Rates {
    /// Changes with each reading.
    pub(super) fn readings(&self) -> watch::Receiver<u64> {
        self.read.subscribe()
    }

    /// Adds samples of the past to a queue's answer, if the query requests them.
    pub(super) fn write_queue(
        &self,
        query: &Query,
        id: QueueId,
        view: &QueueView,
        shown: &mut Map<String, Value>,
    ) {
        let now = history_numbers(&messages(&view.stats), &lengths(view));
        self.histories.lock().write_queue(query, id, now, shown);
    }

    /// The same for the whole broker.
    pub(super) fn write_totals(&self, query: &Query, shown: &mut Map<String, Value>) {
        self.histories.lock().write_totals(query, shown);
    }

    /// See [`Histories::acked_within`].
    pub(super) fn acked_within(&self, id: QueueId, seconds: u64) -> Option<u64> {
        self.histories.lock().acked_within(id, seconds)
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(Arc::clone(&self.readings.read()))
    }

    fn read(&self, broker: &Broker) {
        let last = self.snapshot().0;
        let at = broker.now();
        #[expect(clippy::cast_precision_loss, reason = "seconds between readings")]
        let seconds = (at.0.saturating_sub(last.at.0)).max(1) as f64 / 1000.0;
        let mut next = Readings { at, ..Readings::default() };
        next.queues.reserve(last.queues.len());
        let mut totals = Totals::default();
        let mut histories = self.histories.lock();
        histories.begin(at);
        for vhost in broker.vhosts() {
            totals.count(&vhost.stats);
            for stats in vhost.all_exchange_stats() {
                let before = last.exchanges.get(&stats.id).copied();
                next.exchanges.insert(stats.id, follow(before, stats.read(), seconds));
            }
            for queue in vhost.queues() {
                let view = queue.view();
                totals.add(&view);
                let (moved, length) = (messages(&view.stats), lengths(&view));
                if moved == [0; 9] && length == [0; 3] {
                    let known = last.queue(queue.id).map(|reading| reading.still);
                    next.untouched.insert(queue.id, known.unwrap_or(at));
                    continue;
                }
                let reading = QueueReading::following(last.queue(queue.id), moved, length, at, seconds);
                let before = last.queues.get(&queue.id).unwrap_or(&reading);
                let before = history_numbers(&before.messages.last, &before.lengths.last);
                histories.add_queue(queue.id, before, history_numbers(&moved, &length));
                next.queues.insert(queue.id, reading);
            }
        }
        totals.count(&broker.retired_vhosts);
        totals.stats.add(&broker.retired_queues());
        totals.confirmed = broker.registry.confirmed();
        histories.add_totals(totals.history_numbers());
        histories.end(|id| next.queues.contains_key(&id));
        drop(histories);
        next.read_connections(&last, broker, seconds);
        next.messages = Some(follow(last.messages, totals.message_numbers(), seconds));
        next.lengths = Some(follow(last.lengths, [totals.messages, totals.ready, totals.unacked], seconds));
        next.global = Some(follow(last.global, [totals.confirmed, totals.returned, totals.dropped], seconds));
        next.churn = Some(follow(last.churn, churn(&broker.registry.churn), seconds));
        *self.readings.write() = Arc::new(next);
        self.read.send_modify(|count| *count += 1);
    }
}

fn follow<const N: usize>(before: Option<Reading<N>>, now: Numbers<N>, seconds: f64) -> Reading<N> {
    before.map_or_else(|| Reading::first(now), |before| before.next(now, seconds))
}

/// Starts the task that reads counters.
pub(super) fn start(broker: Arc<Broker>, tasks: &Arc<Tasks>) -> Arc<Rates> {
    let rates = Arc::new(Rates::default());
    let reader = Arc::clone(&rates);
    tasks.spawn("reading the counters", async move {
        loop {
            tokio::task::block_in_place(|| reader.read(&broker));
            // Aligned to whole steps, so that samples are exactly one step apart.
            let wait = STEP_MS - broker.now().0 % STEP_MS;
            tokio::time::sleep(Duration::from_millis(wait)).await;
        }
    });
    rates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_per_second_and_may_fall() {
        let reading = Reading::first([10, 10]).next([20, 0], 5.0);
        assert_eq!(reading.rates.map(|rate| format!("{rate:.1}")), ["2.0", "-2.0"]);
    }
}
