//! Named measurements, so that anyone can rerun one against any broker.

use super::settings::{ExchangeKind, Mode, Settings};

/// A named measurement.
pub(super) struct Preset {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    change: fn(&mut Settings),
}

const fn preset(name: &'static str, about: &'static str, change: fn(&mut Settings)) -> Preset {
    Preset { name, about, change }
}

/// All presets, in the order of the table that they fill.
pub(super) const PRESETS: &[Preset] = &[
    preset("transient-16b", "1 publisher, 1 consumer, no acks, 16 B", |s| s.size = 16),
    preset("transient-1k", "the same, 1 KiB", |s| s.size = 1024),
    preset("transient-16k", "the same, 16 KiB", |s| s.size = 16 * 1024),
    preset("transient-1m", "the same, 1 MiB", |s| s.size = 1024 * 1024),
    preset("ack1-16b", "1 publisher, 1 consumer, every message acked, 16 B", |s| acks(s, 16, 1)),
    preset("ack1-1k", "the same, 1 KiB", |s| acks(s, 1024, 1)),
    preset("ack1-16k", "the same, 16 KiB", |s| acks(s, 16 * 1024, 1)),
    preset("ack1-1m", "the same, 1 MiB", |s| acks(s, 1024 * 1024, 1)),
    preset("ack100-16b", "1 publisher, 1 consumer, an ack every 100 messages, 16 B", |s| acks(s, 16, 100)),
    preset("ack100-1k", "the same, 1 KiB", |s| acks(s, 1024, 100)),
    preset("ack100-16k", "the same, 16 KiB", |s| {
        acks(s, 16 * 1024, 100);
    }),
    preset("ack100-1m", "the same, 1 MiB", |s| {
        acks(s, 1024 * 1024, 100);
    }),
    preset("confirm-1", "persistent 1 KiB, confirm window 1, ack 1, 1 publisher, 1 consumer", |s| {
        confirms(s, 1, 1, 1);
    }),
    preset("confirm-32", "the same, window 32, ack 32", |s| {
        confirms(s, 1, 32, 32);
    }),
    preset("confirm-256", "the same, window 256, ack 32", |s| {
        confirms(s, 1, 256, 32);
    }),
    preset("confirm-256-2x2x2", "the same, 2 publishers, 2 consumers, 2 queues", |s| confirms(s, 2, 256, 32)),
    preset("confirm-256-10x10x10", "the same, 10 of each", |s| {
        confirms(s, 10, 256, 32);
    }),
    preset("fill-drain-300000", "300,000 persistent messages of 1 KiB in, window 1,000, then out", |s| {
        fill_drain(s, 300_000);
    }),
    preset("fill-drain", "the same, a million", |s| {
        fill_drain(s, 1_000_000);
    }),
    preset("topic-1000", "topic exchange, 1,000 wildcard bindings, 2 publishers, 4 consumers, 256 B", |s| {
        exchange(s, ExchangeKind::Topic, 1000);
    }),
    preset("topic-100000", "the same, 100,000 bindings", |s| {
        exchange(s, ExchangeKind::Topic, 100_000);
    }),
    preset("headers-200", "headers exchange, 200 bindings, 2 publishers, 4 consumers, 256 B", |s| {
        exchange(s, ExchangeKind::Headers, 200);
    }),
    preset("headers-1000", "the same, 1,000 bindings", |s| {
        exchange(s, ExchangeKind::Headers, 1000);
    }),
    preset("fanout-100", "fanout exchange, 1 publisher, 100 queues with a consumer each, 256 B", |s| {
        exchange(s, ExchangeKind::Fanout, 1);
        (s.publishers, s.consumers, s.queues, s.consumers_per_connection) = (1, 100, 100, 25);
    }),
    preset("latency-1000", "1,000 persistent messages per second, confirms: end-to-end latency", |s| {
        latency(s, 1000);
    }),
    preset("latency-10000", "the same, 10,000 per second", |s| {
        latency(s, 10_000);
    }),
    preset("latency-50000", "the same, 50,000 per second", |s| {
        latency(s, 50_000);
    }),
    preset("idle-connections", "5,000 idle connections: bytes each", |s| {
        (s.mode, s.idle, s.warmup_seconds) = (Mode::IdleConnections, 5000, 3);
    }),
    preset("idle-queues", "100,000 idle queues: bytes each", |s| {
        (s.mode, s.idle, s.warmup_seconds) = (Mode::IdleQueues, 100_000, 3);
    }),
    preset("churn-connections", "connections opened and closed per second, 4 at a time", |s| {
        (s.mode, s.threads) = (Mode::ChurnConnections, 4);
    }),
    preset("churn-channels", "channels opened and closed per second, 4 at a time", |s| {
        (s.mode, s.threads) = (Mode::ChurnChannels, 4);
    }),
    preset("churn-queues", "queues declared and deleted per second, 4 at a time", |s| {
        (s.mode, s.threads) = (Mode::ChurnQueues, 4);
    }),
    preset(
        "consumers-1000",
        "one queue with 1,000 consumers, 256 B, prefetch 10, every message acked",
        |s| {
            acks(s, 256, 1);
            (s.consumers, s.consumers_per_connection, s.prefetch) = (1000, 50, 10);
        },
    ),
    preset("requeue-loop", "1,000 messages per second beside a consumer that requeues all it gets", |s| {
        latency(s, 1000);
        s.requeuers = 1;
    }),
];

/// The settings of a preset.
pub(super) fn settings(name: &str) -> Option<Settings> {
    let preset = PRESETS.iter().find(|preset| preset.name == name)?;
    let mut settings = Settings::default();
    (preset.change)(&mut settings);
    Some(settings)
}

fn acks(settings: &mut Settings, size: usize, every: u32) {
    (settings.size, settings.ack_every, settings.prefetch) = (size, every, 1000);
}

fn confirms(settings: &mut Settings, of_each: usize, window: u32, ack_every: u32) {
    acks(settings, 1024, ack_every);
    (settings.publishers, settings.consumers, settings.queues) = (of_each, of_each, of_each);
    (settings.persistent, settings.confirm) = (true, Some(window));
}

fn fill_drain(settings: &mut Settings, count: u64) {
    confirms(settings, 1, 1000, 100);
    (settings.mode, settings.count) = (Mode::FillDrain, Some(count));
}

fn exchange(settings: &mut Settings, kind: ExchangeKind, bindings: usize) {
    (settings.exchange, settings.bindings, settings.size) = (kind, bindings, 256);
    (settings.publishers, settings.consumers, settings.queues) = (2, 4, 4);
}

fn latency(settings: &mut Settings, rate: u64) {
    confirms(settings, 1, 1000, 1);
    (settings.rate, settings.warmup_seconds) = (Some(rate), 2);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_say_what_is_set() {
        let of = |name: &str| settings(name).unwrap();
        for (name, size) in [("16b", 16), ("1k", 1024), ("16k", 16_384), ("1m", 1_048_576)] {
            for (kind, ack_every) in [("transient", 0), ("ack1", 1), ("ack100", 100)] {
                let found = of(&format!("{kind}-{name}"));
                assert_eq!(
                    (found.size, found.ack_every, found.persistent),
                    (size, ack_every, false),
                    "{kind}-{name}"
                );
            }
        }
        for (name, window, of_each) in
            [("1", 1, 1), ("32", 32, 1), ("256", 256, 1), ("256-2x2x2", 256, 2), ("256-10x10x10", 256, 10)]
        {
            let found = of(&format!("confirm-{name}"));
            assert_eq!((found.confirm, found.persistent, found.size), (Some(window), true, 1024), "{name}");
            assert_eq!(
                (found.publishers, found.consumers, found.queues),
                (of_each, of_each, of_each),
                "{name}"
            );
        }
        for (name, count) in [("fill-drain-300000", 300_000), ("fill-drain", 1_000_000)] {
            let found = of(name);
            assert_eq!((found.mode, found.count, found.confirm), (Mode::FillDrain, Some(count), Some(1000)));
        }
        for (name, kind, bindings) in [
            ("topic-1000", ExchangeKind::Topic, 1000),
            ("topic-100000", ExchangeKind::Topic, 100_000),
            ("headers-200", ExchangeKind::Headers, 200),
            ("headers-1000", ExchangeKind::Headers, 1000),
        ] {
            let found = of(name);
            assert_eq!((found.exchange, found.bindings, found.size), (kind, bindings, 256), "{name}");
            assert_eq!((found.publishers, found.consumers), (2, 4), "{name}");
        }
        assert_eq!((of("fanout-100").exchange, of("fanout-100").queues), (ExchangeKind::Fanout, 100));
        for rate in [1000, 10_000, 50_000] {
            let found = of(&format!("latency-{rate}"));
            assert_eq!((found.rate, found.persistent, found.confirm), (Some(rate), true, Some(1000)));
        }
        assert_eq!((of("idle-connections").idle, of("idle-queues").idle), (5000, 100_000));
        assert_eq!((of("consumers-1000").consumers, of("consumers-1000").queues), (1000, 1));
        assert_eq!((of("requeue-loop").requeuers, of("requeue-loop").rate), (1, Some(1000)));
    }

    #[test]
    fn every_preset_is_sound_and_named_once() {
        for (index, preset) in PRESETS.iter().enumerate() {
            settings(preset.name).unwrap().check().unwrap_or_else(|why| panic!("{}: {why}", preset.name));
            assert!(PRESETS[..index].iter().all(|before| before.name != preset.name), "{}", preset.name);
        }
        assert!(settings("no-such").is_none());
    }
}
