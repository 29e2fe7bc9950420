//! The command line of `leveret perf`.

use std::path::PathBuf;

use clap::Args;

use super::error::PerfError;
use super::presets;
use super::settings::{ExchangeKind, Mode, Settings};

/// Measure an AMQP 0-9-1 broker: rates, latencies, and what it costs the broker.
#[derive(Args, Clone, Debug, Default)]
pub struct PerfArgs {
    /// The broker; amqps:// for TLS
    #[arg(
        long,
        default_value = "amqp://guest:guest@127.0.0.1:5672/%2f",
        env = "LEVERET_PERF_URL",
        hide_env_values = true
    )]
    pub url: String,
    /// Who may be the broker
    #[command(flatten)]
    pub trust: TrustArgs,
    /// Start from a named measurement; other options change it
    #[arg(long, value_name = "NAME")]
    pub preset: Option<String>,
    /// List the named measurements
    #[arg(long)]
    pub list_presets: bool,
    /// Measure nothing; be a bare relay at this address, the limit to compare a broker with: it reads and writes frames, and
    /// nothing else
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["preset", "mode"])]
    pub relay: Option<String>,
    /// The shape of the measurement [default: traffic]
    #[arg(long, value_enum)]
    pub mode: Option<Mode>,
    /// Publishing connections [default: 1]
    #[arg(long, short = 'x')]
    pub publishers: Option<usize>,
    /// Consumers [default: 1]
    #[arg(long, short = 'y')]
    pub consumers: Option<usize>,
    /// Queues; publisher and consumer number n use queue n modulo this [default: 1]
    #[arg(long)]
    pub queues: Option<usize>,
    /// Consumers that share a connection, each on its own channel [default: 1]
    #[arg(long)]
    pub consumers_per_connection: Option<usize>,
    /// Body bytes per message; from 8 on, a stamp in them tells the end-to-end latency [default: 1024]
    #[arg(long, short = 's')]
    pub size: Option<usize>,
    /// Publish with delivery mode 2 [default: false]
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub persistent: Option<bool>,
    /// Publisher confirms, with at most this many publishes unconfirmed per publisher; 0 for none [default: 0]
    #[arg(long, short = 'c', value_name = "WINDOW")]
    pub confirm: Option<u32>,
    /// Deliveries that may be unacknowledged per consumer; 0 for no limit [default: 0]
    #[arg(long, short = 'q')]
    pub prefetch: Option<u16>,
    /// Acknowledge every so many deliveries; 0 for automatic acknowledgement [default: 0]
    #[arg(long, short = 'A', value_name = "N")]
    pub ack_every: Option<u32>,
    /// Messages per second over all publishers; 0 for no limit [default: 0]
    #[arg(long, short = 'r')]
    pub rate: Option<u64>,
    /// Seconds to measure [default: 10]
    #[arg(long, short = 'z', value_name = "SECONDS")]
    pub time: Option<u64>,
    /// Seconds to run before measuring; for the idle modes, seconds to settle before memory is read [default: 1]
    #[arg(long, value_name = "SECONDS")]
    pub warmup: Option<u64>,
    /// Messages to publish over all publishers, instead of a time
    #[arg(long, short = 'C')]
    pub count: Option<u64>,
    /// Kind of the exchange to publish to [default: default]
    #[arg(long, value_enum)]
    pub exchange: Option<ExchangeKind>,
    /// Bindings of the exchange, spread over the queues [default: 1]
    #[arg(long)]
    pub bindings: Option<usize>,
    /// Binding key; {} is the binding's number
    #[arg(long, value_name = "PATTERN")]
    pub binding_key: Option<String>,
    /// Routing key; {} is the number of a binding, each in turn
    #[arg(long, value_name = "PATTERN")]
    pub routing_key: Option<String>,
    /// Arguments of the queues: integers, true, false, or text
    #[arg(long, value_name = "KEY=VALUE", value_delimiter = ',')]
    pub queue_args: Vec<String>,
    /// Declare durable queues [default: true]
    #[arg(long, num_args = 0..=1, default_missing_value = "true")]
    pub durable: Option<bool>,
    /// Consumers on a queue of their own that requeue all they get [default: 0]
    #[arg(long)]
    pub requeuers: Option<usize>,
    /// Idle connections or queues, for those modes [default: 1000]
    #[arg(long)]
    pub idle: Option<usize>,
    /// Threads that open and close, for the churn modes [default: 1]
    #[arg(long)]
    pub threads: Option<usize>,
    /// Start of all names that are declared [default: leveret-perf and a number for each run; leveret-perf with --mode
    /// fill and drain]
    #[arg(long, value_name = "NAME")]
    pub prefix: Option<String>,
    /// Leave the queues and the exchange when done (--mode fill always does)
    #[arg(long)]
    pub keep: bool,
    /// Write the result as JSON to a file, or - for standard output instead of the table
    #[arg(long, value_name = "FILE")]
    pub json: Option<String>,
    /// The broker's process, for its CPU time and memory
    #[arg(long, value_name = "PID")]
    pub broker_pid: Option<u32>,
    /// No line of progress each second
    #[arg(long)]
    pub quiet: bool,
}

/// Whom to believe to be the broker, with TLS.
#[derive(Args, Clone, Debug, Default)]
pub struct TrustArgs {
    /// Certificates (PEM) to trust instead of the public ones, for amqps://
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    /// Trust whoever answers, for amqps://
    #[arg(long, conflicts_with = "ca_file")]
    pub insecure: bool,
}

impl PerfArgs {
    /// The preset's settings, or the defaults, overridden by the options given.
    pub(super) fn settings(&self) -> Result<Settings, PerfError> {
        let mut settings = match &self.preset {
            None => Settings::default(),
            Some(name) => presets::settings(name)
                .ok_or_else(|| PerfError::Option(format!("no preset named {name}; see --list-presets")))?,
        };
        macro_rules! change {
            ($($option:ident => $setting:ident),*) => {
                $(if let Some(value) = &self.$option { settings.$setting = value.clone(); })*
            };
        }
        change!(
            mode => mode, publishers => publishers, consumers => consumers, queues => queues,
            consumers_per_connection => consumers_per_connection, size => size, persistent => persistent,
            prefetch => prefetch, ack_every => ack_every, time => seconds, warmup => warmup_seconds,
            exchange => exchange, bindings => bindings, durable => durable, requeuers => requeuers,
            idle => idle, threads => threads, prefix => prefix
        );
        if let Some(window) = self.confirm {
            settings.confirm = (window > 0).then_some(window);
        }
        if let Some(rate) = self.rate {
            settings.rate = (rate > 0).then_some(rate);
        }
        settings.count = self.count.or(settings.count);
        settings.binding_key = self.binding_key.clone().or(settings.binding_key);
        settings.routing_key = self.routing_key.clone().or(settings.routing_key);
        settings.queue_args.extend(self.queue_args.iter().cloned());
        settings.keep |= self.keep;
        settings.check().map_err(PerfError::Option)?;
        Ok(settings)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        perf: PerfArgs,
    }

    fn settings(line: &str) -> Settings {
        let words = ["perf"].into_iter().chain(line.split_whitespace());
        Line::try_parse_from(words).unwrap_or_else(|why| panic!("{why}")).perf.settings().unwrap()
    }

    #[test]
    fn no_options_are_the_defaults() {
        assert_eq!(settings(""), Settings::default());
    }

    #[test]
    fn the_help_gives_the_defaults() {
        use clap::CommandFactory;
        let help = Line::command().term_width(0).render_long_help().to_string();
        let settings = serde_json::to_value(Settings::default()).unwrap();
        for (flag, setting) in [
            ("mode", "mode"),
            ("publishers", "publishers"),
            ("consumers", "consumers"),
            ("queues", "queues"),
            ("consumers-per-connection", "consumers_per_connection"),
            ("size", "size"),
            ("persistent", "persistent"),
            ("prefetch", "prefetch"),
            ("ack-every", "ack_every"),
            ("time", "seconds"),
            ("warmup", "warmup_seconds"),
            ("exchange", "exchange"),
            ("bindings", "bindings"),
            ("durable", "durable"),
            ("requeuers", "requeuers"),
            ("idle", "idle"),
            ("threads", "threads"),
        ] {
            let default = settings[setting].to_string().replace('"', "");
            let about =
                help.split(&format!("--{flag} ")).nth(1).or_else(|| help.split(&format!("--{flag}[")).nth(1));
            let about = about.and_then(|rest| rest.split("\n  ").find(|line| line.contains("[default: ")));
            assert!(
                about.is_some_and(|about| about.contains(&format!("[default: {default}]"))),
                "{flag}: {about:?}"
            );
        }
    }

    #[test]
    fn options_change_a_preset() {
        let found = settings("--preset confirm-256-2x2x2 --size 64 --rate 500 --persistent=false --time 3");
        let want = Settings {
            size: 64,
            rate: Some(500),
            persistent: false,
            seconds: 3,
            ..presets::settings("confirm-256-2x2x2").unwrap()
        };
        assert_eq!(found, want);
    }

    #[test]
    fn every_preset_is_taken_by_its_name_and_can_be_cut_short() {
        for preset in presets::PRESETS {
            let found = settings(&format!("--preset {} --time 1 --warmup 0", preset.name));
            let want = presets::settings(preset.name).unwrap();
            assert_eq!(found, Settings { seconds: 1, warmup_seconds: 0, ..want }, "{}", preset.name);
        }
    }

    #[test]
    fn zero_takes_a_limit_away() {
        let found = settings("--preset latency-1000 --rate 0 --confirm 0");
        assert_eq!((found.rate, found.confirm), (None, None));
    }

    #[test]
    fn lists_and_patterns_are_taken() {
        let found =
            settings("--queue-args x-queue-type=quorum,x-max-length=5 --exchange topic --routing-key a.{}");
        assert_eq!(found.queue_args, ["x-queue-type=quorum", "x-max-length=5"]);
        assert_eq!((found.exchange, found.routing_key(3)), (ExchangeKind::Topic, "a.3".into()));
    }

    #[test]
    fn unknown_preset_and_senseless_options_are_refused() {
        for line in ["--preset nope", "--mode fill", "--publishers 0 --consumers 0"] {
            let words = ["perf"].into_iter().chain(line.split_whitespace());
            assert!(Line::try_parse_from(words).ok().unwrap().perf.settings().is_err(), "{line}");
        }
    }
}
