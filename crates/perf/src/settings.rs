//! What to measure: all settings with their defaults. Presets change some, command-line options override both.

use serde::Serialize;

/// The shape of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Publishers and consumers at once.
    Traffic,
    /// Publishers only; the queues stay filled.
    Fill,
    /// Consumers only, until the queues are empty.
    Drain,
    /// First one, then the other.
    FillDrain,
    /// Opens connections and leaves them idle: bytes each.
    IdleConnections,
    /// Declares queues and leaves them idle: bytes each.
    IdleQueues,
    /// Opens and closes connections.
    ChurnConnections,
    /// Opens and closes channels.
    ChurnChannels,
    /// Declares and deletes queues.
    ChurnQueues,
}

/// Where messages are published to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeKind {
    /// The default exchange: straight to the queue of that name.
    Default,
    /// A direct exchange.
    Direct,
    /// A topic exchange.
    Topic,
    /// A fanout exchange: each message to every queue.
    Fanout,
    /// A headers exchange.
    Headers,
}

/// All settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Settings {
    pub(super) mode: Mode,
    pub(super) publishers: usize,
    pub(super) consumers: usize,
    pub(super) queues: usize,
    /// Consumers per connection, each on its own channel.
    pub(super) consumers_per_connection: usize,
    /// Body bytes per message.
    pub(super) size: usize,
    pub(super) persistent: bool,
    /// Unconfirmed publishes allowed per publisher; `None` for no confirms.
    pub(super) confirm: Option<u32>,
    /// 0 for no limit.
    pub(super) prefetch: u16,
    /// 0 for no acks at all (`no_ack`).
    pub(super) ack_every: u32,
    /// Messages per second over all publishers; `None` for unlimited.
    pub(super) rate: Option<u64>,
    pub(super) seconds: u64,
    pub(super) warmup_seconds: u64,
    /// Messages over all publishers; ends the measurement instead of the time.
    pub(super) count: Option<u64>,
    pub(super) exchange: ExchangeKind,
    pub(super) bindings: usize,
    /// `{}` stands for the binding's number.
    pub(super) binding_key: Option<String>,
    /// `{}` stands for the binding's number.
    pub(super) routing_key: Option<String>,
    /// `key=value`, as given.
    pub(super) queue_args: Vec<String>,
    pub(super) durable: bool,
    /// Consumers that requeue everything, each on its own queue.
    pub(super) requeuers: usize,
    /// Idle connections or queues.
    pub(super) idle: usize,
    /// Threads that open and close.
    pub(super) threads: usize,
    /// Prefix of the names of all queues and of the exchange.
    pub(super) prefix: String,
    /// Keep queues and exchange afterwards.
    pub(super) keep: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            mode: Mode::Traffic,
            publishers: 1,
            consumers: 1,
            queues: 1,
            consumers_per_connection: 1,
            size: 1024,
            persistent: false,
            confirm: None,
            prefetch: 0,
            ack_every: 0,
            rate: None,
            seconds: 10,
            warmup_seconds: 1,
            count: None,
            exchange: ExchangeKind::Default,
            bindings: 1,
            binding_key: None,
            routing_key: None,
            queue_args: Vec::new(),
            durable: true,
            requeuers: 0,
            idle: 1000,
            threads: 1,
            prefix: "leveret-perf".to_owned(),
            keep: false,
        }
    }
}

impl Settings {
    /// Refuses settings that would hang or measure nothing.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.queues == 0 || self.consumers_per_connection == 0 || self.threads == 0 || self.bindings == 0 {
            return Err(
                "--queues, --bindings, --threads and --consumers-per-connection must be at least 1".into()
            );
        }
        if self.mode == Mode::Traffic && self.publishers + self.consumers == 0 {
            return Err("nothing to do: no publishers and no consumers".into());
        }
        if matches!(self.mode, Mode::Fill | Mode::FillDrain) && (self.publishers == 0 || self.count.is_none())
        {
            return Err("filling needs --count and at least one publisher".into());
        }
        if matches!(self.mode, Mode::Drain | Mode::FillDrain) && self.consumers < self.queues {
            return Err("draining needs a consumer for each queue".into());
        }
        if self.confirm == Some(0) {
            return Err("--confirm takes a window of at least 1".into());
        }
        if self.rate == Some(0) {
            return Err("--rate must be at least 1; leave it out for no limit".into());
        }
        if self.prefetch > 0 && u32::from(self.prefetch) < self.ack_every {
            return Err("--ack-every larger than --prefetch would wait for ever".into());
        }
        if matches!(self.mode, Mode::Traffic | Mode::Fill | Mode::FillDrain)
            && self.exchange == ExchangeKind::Fanout
            && self.routing_key.is_some()
        {
            return Err("a fanout exchange takes no --routing-key".into());
        }
        Ok(())
    }

    /// Name of a queue.
    pub(super) fn queue(&self, index: usize) -> String {
        format!("{}-{}", self.prefix, index)
    }

    /// Name of the exchange; the default exchange's is empty.
    pub(super) fn exchange_name(&self) -> String {
        let kind = match self.exchange {
            ExchangeKind::Default => return String::new(),
            ExchangeKind::Direct => "direct",
            ExchangeKind::Topic => "topic",
            ExchangeKind::Fanout => "fanout",
            ExchangeKind::Headers => "headers",
        };
        format!("{}-{kind}", self.prefix)
    }

    /// The key of a binding.
    pub(super) fn binding_key(&self, index: usize) -> String {
        let default = match self.exchange {
            ExchangeKind::Topic => "eu.{}.*.#",
            ExchangeKind::Fanout | ExchangeKind::Headers => "",
            ExchangeKind::Default | ExchangeKind::Direct => "key-{}",
        };
        fill(self.binding_key.as_deref().unwrap_or(default), index)
    }

    /// A routing key that matches the binding with this number.
    pub(super) fn routing_key(&self, index: usize) -> String {
        let default = match self.exchange {
            ExchangeKind::Topic => "eu.{}.orders.created",
            ExchangeKind::Fanout | ExchangeKind::Headers => "",
            ExchangeKind::Default | ExchangeKind::Direct => "key-{}",
        };
        fill(self.routing_key.as_deref().unwrap_or(default), index)
    }
}

fn fill(pattern: &str, index: usize) -> String {
    pattern.replace("{}", &index.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_would_hang_are_refused() {
        let refused = [
            Settings { queues: 0, ..Settings::default() },
            Settings { publishers: 0, consumers: 0, ..Settings::default() },
            Settings { mode: Mode::Fill, ..Settings::default() },
            Settings { mode: Mode::Drain, queues: 2, ..Settings::default() },
            Settings { confirm: Some(0), ..Settings::default() },
            Settings { rate: Some(0), ..Settings::default() },
            Settings { prefetch: 10, ack_every: 11, ..Settings::default() },
        ];
        for settings in refused {
            assert!(settings.check().is_err(), "{settings:?}");
        }
        Settings::default().check().unwrap();
    }

    #[test]
    fn keys_name_their_binding() {
        let topic = Settings { exchange: ExchangeKind::Topic, ..Settings::default() };
        assert_eq!(
            (topic.binding_key(7), topic.routing_key(7)),
            ("eu.7.*.#".into(), "eu.7.orders.created".into())
        );
        let own = Settings { routing_key: Some("a.{}.b".into()), ..topic };
        assert_eq!(own.routing_key(12), "a.12.b");
    }
}
