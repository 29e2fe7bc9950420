//! The log: standard error, as text or JSON, and the last lines in memory.
//!
//! Invariants: lines that clients can provoke are limited in rate (`flood.rs`) and cannot forge further lines
//! (`one_line.rs`).

mod flood;
mod journal;
mod one_line;
mod recent;

use std::sync::Arc;
use std::time::Duration;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry, fmt, reload};

use super::config::LogFormat;
use super::config::setting::LogLevel;
use crate::recent_log::RecentLog;
use flood::Gate;
use journal::Ranked;
use one_line::OneLine;
use recent::Recent;

/// Interval for reporting suppressed lines.
const SUPPRESSED: Duration = Duration::from_secs(1);

/// The log's handle, which allows changing the level at run time.
#[derive(Clone, Debug)]
pub struct Log {
    filter: reload::Handle<EnvFilter, Registry>,
    gate: Gate,
    recent: Arc<RecentLog>,
}

impl Log {
    /// Changes the level.
    pub fn set_level(&self, level: &LogLevel) -> Result<(), String> {
        self.filter.reload(level.filter()).map_err(|error| error.to_string())
    }

    /// The last lines.
    pub fn recent(&self) -> Arc<RecentLog> {
        Arc::clone(&self.recent)
    }

    /// Reports suppressed lines periodically while polled.
    pub async fn tell_suppressed(self) {
        let mut ticks = tokio::time::interval(SUPPRESSED);
        loop {
            ticks.tick().await;
            self.gate.tell();
        }
    }
}

/// Sets up the log, once per process.
pub fn start(level: &LogLevel, format: LogFormat) -> Log {
    let (filter, handle) = reload::Layer::new(level.filter());
    let (gate, recent) = (Gate::default(), Arc::new(RecentLog::default()));
    let lines = match format {
        LogFormat::Text if journal::is_stderr() => fmt::layer()
            .with_writer(OneLine::stderr)
            .event_format(Ranked(fmt::format().without_time().with_target(false).with_ansi(false)))
            .with_ansi(false)
            .boxed(),
        LogFormat::Text => {
            fmt::layer().with_writer(OneLine::stderr).with_ansi(false).with_target(false).boxed()
        }
        LogFormat::Json => fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).boxed(),
    };
    let layers = tracing_subscriber::registry().with(filter).with(gate.clone());
    // A second start in one process (in tests) keeps the first log.
    let _ = layers.with(lines).with(Recent(Arc::clone(&recent))).try_init();
    Log { filter: handle, gate, recent }
}
