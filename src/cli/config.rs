//! Settings: flags over environment variables over the configuration file over defaults, all under
//! the same names.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use serde::Deserialize;

use crate::broker::limits::Limits;

/// What the log looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Flags of `leveret serve`. Each is also an environment variable, and a key of the file.
#[derive(Clone, Debug, Default, Args)]
pub struct ServeArgs {
    /// Configuration file (TOML).
    #[arg(long, value_name = "FILE", env = "LEVERET_CONFIG")]
    pub config: Option<PathBuf>,
    /// Folder for messages and definitions [default: ./leveret-data].
    #[arg(long, value_name = "FOLDER", env = "LEVERET_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// Where AMQP clients connect [default: 127.0.0.1:5672].
    #[arg(long, value_name = "ADDRESS:PORT", env = "LEVERET_AMQP_LISTEN")]
    pub amqp_listen: Option<SocketAddr>,
    /// Where the management API and the dashboard are served [default: 127.0.0.1:15672].
    #[arg(long, value_name = "ADDRESS:PORT", env = "LEVERET_HTTP_LISTEN")]
    pub http_listen: Option<SocketAddr>,
    /// Where Prometheus finds metrics [default: 127.0.0.1:15692].
    #[arg(long, value_name = "ADDRESS:PORT", env = "LEVERET_METRICS_LISTEN")]
    pub metrics_listen: Option<SocketAddr>,
    /// Folder to serve the dashboard's files from, while one works on them [default: those in the binary].
    #[arg(long, value_name = "FOLDER", env = "LEVERET_UI_DIR")]
    pub ui_dir: Option<PathBuf>,
    /// Log level: error, warn, info, debug, trace, or per module as in `info,leveret::net=debug`
    /// [default: info].
    #[arg(long, value_name = "LEVEL", env = "LEVERET_LOG_LEVEL")]
    pub log_level: Option<String>,
    /// Log format [default: text].
    #[arg(long, value_name = "FORMAT", env = "LEVERET_LOG_FORMAT")]
    pub log_format: Option<LogFormat>,
    /// Largest message body in bytes; larger ones close the channel with 406 [default: 134217728].
    #[arg(long, value_name = "BYTES", env = "LEVERET_MESSAGE_BYTES_MAX")]
    pub message_bytes_max: Option<u64>,
    /// Bodies held in memory by all queues together, in bytes [default: 40 % of the memory that the
    /// machine or the control group has].
    #[arg(long, value_name = "BYTES", env = "LEVERET_MEMORY_BYTES_MAX")]
    pub memory_bytes_max: Option<u64>,
    /// Largest frame offered to clients, in bytes [default: 131072].
    #[arg(long, value_name = "BYTES", env = "LEVERET_FRAME_MAX")]
    pub frame_max: Option<u32>,
    /// Channels per connection offered to clients [default: 2047].
    #[arg(long, value_name = "COUNT", env = "LEVERET_CHANNEL_MAX")]
    pub channel_max: Option<u16>,
    /// Heartbeat interval offered to clients, in seconds; the client's answer decides [default: 60].
    #[arg(long, value_name = "SECONDS", env = "LEVERET_HEARTBEAT")]
    pub heartbeat: Option<u16>,
    /// From accepting a connection to connection.open-ok, in milliseconds [default: 10000].
    #[arg(long, value_name = "MS", env = "LEVERET_HANDSHAKE_TIMEOUT_MS")]
    pub handshake_timeout_ms: Option<u64>,
    /// Bytes waiting for one slow client before its consumers get nothing more [default: 524288].
    #[arg(long, value_name = "BYTES", env = "LEVERET_OUTBOX_BYTES_MAX")]
    pub outbox_bytes_max: Option<usize>,
    /// Connections at one time [default: 100000].
    #[arg(long, value_name = "COUNT", env = "LEVERET_CONNECTIONS_MAX")]
    pub connections_max: Option<usize>,
}

/// The configuration file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct FileConfig {
    data_dir: Option<PathBuf>,
    amqp_listen: Option<SocketAddr>,
    http_listen: Option<SocketAddr>,
    metrics_listen: Option<SocketAddr>,
    ui_dir: Option<PathBuf>,
    log_level: Option<String>,
    log_format: Option<LogFormat>,
    message_bytes_max: Option<u64>,
    memory_bytes_max: Option<u64>,
    frame_max: Option<u32>,
    channel_max: Option<u16>,
    heartbeat: Option<u16>,
    handshake_timeout_ms: Option<u64>,
    outbox_bytes_max: Option<usize>,
    connections_max: Option<usize>,
}

/// Settings in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Folder for messages and definitions.
    pub data_dir: PathBuf,
    /// Where AMQP clients connect.
    pub amqp_listen: SocketAddr,
    /// Where the management API is.
    pub http_listen: SocketAddr,
    /// Where metrics are.
    pub metrics_listen: SocketAddr,
    /// Where the dashboard's files are; those in the binary without it.
    pub ui_dir: Option<PathBuf>,
    /// Log level or filter.
    pub log_level: String,
    /// Log format.
    pub log_format: LogFormat,
    /// Limits.
    pub limits: Limits,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not understood; the text says where and why.
    #[error("{path}: {why}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, key and reason.
        why: String,
    },
    /// A value is outside its range.
    #[error("{key} = {value}: {why}")]
    Range {
        /// The key.
        key: &'static str,
        /// Its value.
        value: u64,
        /// What is allowed.
        why: &'static str,
    },
}

fn read_file(path: &Path) -> Result<FileConfig, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    toml::from_str(&text)
        .map_err(|error| ConfigError::Invalid { path: path.to_owned(), why: error.to_string() })
}

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

/// The default for bodies in memory: 40 % of what the machine or the control group has.
fn memory_share(otherwise: u64) -> u64 {
    let machine = std::fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    });
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max")
        .ok()
        .and_then(|text| text.trim().parse::<u64>().ok());
    let least = machine.into_iter().chain(group).min();
    least.map_or(otherwise, |bytes| bytes / 5 * 2)
}

impl Config {
    /// Puts flags, environment (which the flags carry), file and defaults together.
    pub fn load(args: &ServeArgs) -> Result<Self, ConfigError> {
        let file = args.config.as_deref().map(read_file).transpose()?.unwrap_or_default();
        let args = args.clone();
        let base = Limits::default();
        let frame_max = args.frame_max.or(file.frame_max).unwrap_or(base.frame_max);
        if !(crate::broker::limits::FRAME_MIN..=crate::broker::limits::FRAME_MAX).contains(&frame_max) {
            return Err(ConfigError::Range {
                key: "frame_max",
                value: u64::from(frame_max),
                why: "must be between 4096 and 131072 bytes",
            });
        }
        let channel_max = args.channel_max.or(file.channel_max).unwrap_or(base.channel_max);
        if channel_max == 0 {
            return Err(ConfigError::Range { key: "channel_max", value: 0, why: "must be at least 1" });
        }
        let limits = Limits {
            frame_max,
            channel_max,
            heartbeat_s: args.heartbeat.or(file.heartbeat).unwrap_or(base.heartbeat_s),
            handshake_timeout_ms: args
                .handshake_timeout_ms
                .or(file.handshake_timeout_ms)
                .unwrap_or(base.handshake_timeout_ms),
            message_bytes_max: args
                .message_bytes_max
                .or(file.message_bytes_max)
                .unwrap_or(base.message_bytes_max)
                .min(crate::broker::limits::BODY_BYTES_CAP),
            outbox_bytes_max: args
                .outbox_bytes_max
                .or(file.outbox_bytes_max)
                .unwrap_or(base.outbox_bytes_max),
            connections_max: args.connections_max.or(file.connections_max).unwrap_or(base.connections_max),
            memory_bytes_max: args
                .memory_bytes_max
                .or(file.memory_bytes_max)
                .unwrap_or_else(|| memory_share(base.memory_bytes_max)),
            exchanges_max: base.exchanges_max,
            consumers_per_channel_max: base.consumers_per_channel_max,
            transaction_bytes_max: base.transaction_bytes_max,
        };
        Ok(Self {
            data_dir: args.data_dir.or(file.data_dir).unwrap_or_else(|| PathBuf::from("leveret-data")),
            amqp_listen: args.amqp_listen.or(file.amqp_listen).unwrap_or_else(|| local(5672)),
            http_listen: args.http_listen.or(file.http_listen).unwrap_or_else(|| local(15672)),
            metrics_listen: args.metrics_listen.or(file.metrics_listen).unwrap_or_else(|| local(15692)),
            ui_dir: args.ui_dir.or(file.ui_dir),
            log_level: args.log_level.or(file.log_level).unwrap_or_else(|| "info".to_owned()),
            log_format: args.log_format.or(file.log_format).unwrap_or_default(),
            limits,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_file(text: &str, args: ServeArgs) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("leveret.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&ServeArgs { config: Some(path), ..args })
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let args = ServeArgs { heartbeat: Some(7), ..ServeArgs::default() };
        let config = with_file("heartbeat = 5\nchannel_max = 9", args).unwrap();
        assert_eq!(config.limits.heartbeat_s, 7);
        assert_eq!(config.limits.channel_max, 9);
        assert_eq!(config.amqp_listen, local(5672));
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line() {
        let error = with_file("heartbeat = 5\nhartbeat = 5", ServeArgs::default()).unwrap_err();
        assert!(error.to_string().contains("line 2"), "{error}");
        assert!(error.to_string().contains("hartbeat"), "{error}");
    }

    #[test]
    fn a_frame_max_below_the_specification_is_refused() {
        let args = ServeArgs { frame_max: Some(100), ..ServeArgs::default() };
        assert!(matches!(Config::load(&args), Err(ConfigError::Range { key: "frame_max", .. })));
    }

    #[test]
    fn the_example_file_shows_the_defaults() {
        let example = include_str!("../../config/leveret.toml");
        assert_eq!(
            with_file(example, ServeArgs::default()).unwrap(),
            Config::load(&ServeArgs::default()).unwrap()
        );
    }
}
