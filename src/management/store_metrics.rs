//! The message store's counters, for Prometheus. Reading them takes no lock.

use leveret_broker::alarms::Resource;
use leveret_store::metrics::{Histogram, Metrics};

use super::Shared;
use super::exposition::Text;
use super::rates::Totals;

pub(super) fn write(api: &Shared, totals: &Totals, text: &mut Text) {
    let store = &*api.facts.process.store;
    counters(store, text);
    histogram(text, "leveret_store_group_commit_records", &store.group_size, 1..=20, 1);
    histogram(text, "leveret_store_sync_seconds", &store.sync_latency_us, 5..=24, 1_000_000);
    for (name, value) in [
        ("leveret_store_log_bytes", store.log_bytes.get()),
        ("leveret_store_live_bytes", store.live_bytes.get()),
        ("leveret_store_live_messages", store.live_messages.get()),
        ("leveret_store_segments", store.segments.get()),
        ("leveret_store_index_bytes", store.index_bytes.get()),
        ("leveret_messages_paged", totals.away),
        ("leveret_message_memory_bytes", api.broker.memory().held()),
        ("leveret_message_memory_limit_bytes", api.broker.memory().limit()),
    ] {
        text.gauge(name, value);
    }
    let held = api.broker.held();
    text.gauge("leveret_held_bytes", held.bytes());
    text.gauge("leveret_held_limit_bytes", held.limit());
    let (ended, refused) = held.ended_and_refused();
    text.kind("counter", "leveret_held_given_up_total");
    text.value("leveret_held_given_up_total", "how=\"closed\"", ended);
    text.value("leveret_held_given_up_total", "how=\"refused\"", refused);
    text.gauge("leveret_store_live_ratio", ratio(store.live_bytes.get(), store.log_bytes.get()));
    let (ahead, late) = api.broker.memory().reads();
    text.kind("counter", "leveret_read_ahead_total");
    text.value("leveret_read_ahead_total", "result=\"hit\"", ahead);
    text.value("leveret_read_ahead_total", "result=\"miss\"", late);
    let held_up = api.broker.publishers_must_wait();
    text.gauge("leveret_publishers_held_up", u8::from(held_up));
    let orphans = api.broker.orphans();
    text.gauge("leveret_lost_queues", orphans.len());
    text.gauge("leveret_lost_messages", orphans.iter().map(|orphan| orphan.messages).sum::<u64>());
    text.gauge("leveret_lost_definitions", api.broker.unreadable_definitions().len());
    text.kind("gauge", "leveret_alarm");
    for resource in [Resource::Memory, Resource::Disk] {
        let raised = api.broker.alarms.has(resource);
        text.value("leveret_alarm", &format!("resource=\"{resource}\""), u8::from(raised));
    }
}

fn counters(store: &Metrics, text: &mut Text) {
    for (name, counter) in [
        ("commits", &store.commits),
        ("syncs", &store.syncs),
        ("records", &store.records),
        ("written_bytes", &store.bytes_written),
        ("elided_messages", &store.elided),
        ("write_failures", &store.write_failures),
        ("sync_failures", &store.sync_failures),
        ("checkpoints", &store.checkpoints),
        ("compacted_bytes", &store.compacted_bytes),
        ("retired_segments", &store.retired_segments),
        ("read_messages", &store.paged_reads),
        ("read_bytes", &store.paged_read_bytes),
        ("read_failures", &store.read_failures),
        ("damaged_messages", &store.damaged),
    ] {
        text.counter(&format!("leveret_store_{name}_total"), "", counter.get());
    }
}

/// Histogram with buckets `2^n - 1` for the `n` of `shown`; `per` of the recorded units make one exported unit.
fn histogram(
    text: &mut Text,
    name: &str,
    histogram: &Histogram,
    shown: std::ops::RangeInclusive<usize>,
    per: u32,
) {
    text.kind("histogram", name);
    let buckets = histogram.buckets();
    let total: u64 = buckets.iter().sum();
    for n in shown {
        let upto: u64 = buckets[..=n].iter().sum();
        let bound = f64::from((1u32 << n) - 1) / f64::from(per);
        text.value(&format!("{name}_bucket"), &format!("le=\"{bound}\""), upto);
    }
    text.value(&format!("{name}_bucket"), "le=\"+Inf\"", total);
    text.value(&format!("{name}_sum"), "", scaled(histogram.sum(), per));
    text.value(&format!("{name}_count"), "", total);
}

#[expect(clippy::cast_precision_loss, reason = "a sum that is shown needs no more than 53 bits")]
fn scaled(sum: u64, per: u32) -> f64 {
    sum as f64 / f64::from(per)
}

#[expect(clippy::cast_precision_loss, reason = "a share of two sizes")]
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}
