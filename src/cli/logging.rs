//! The log: standard error, as text or JSON.

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use super::config::LogFormat;
use super::config::setting::LogLevel;

/// The log's handle: the level can change while it is written.
#[derive(Clone, Debug)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
}

impl Log {
    /// Changes the level.
    pub fn set_level(&self, level: &LogLevel) -> Result<(), String> {
        self.filter.reload(level.filter()).map_err(|error| error.to_string())
    }
}

/// Sets the log up, once per process.
pub fn start(level: &LogLevel, format: LogFormat) -> Log {
    let (filter, handle) = reload::Layer::new(level.filter());
    let layer = fmt::layer().with_writer(std::io::stderr);
    let lines = match format {
        LogFormat::Text => layer.with_ansi(false).with_target(false).boxed(),
        LogFormat::Json => layer.json().flatten_event(true).boxed(),
    };
    // A second start in one process (tests) keeps the first one's log.
    let _ = tracing_subscriber::registry().with(filter).with(lines).try_init();
    Log { filter: handle }
}
