//! The log: standard error, as text or JSON.

use tracing_subscriber::EnvFilter;

use super::config::LogFormat;

/// The level is not understood.
#[derive(Debug, thiserror::Error)]
#[error("log_level {level:?}: {why}")]
pub struct BadLevel {
    level: String,
    why: String,
}

/// Sets the log up, once per process.
pub fn start(level: &str, format: LogFormat) -> Result<(), BadLevel> {
    let filter = EnvFilter::try_new(level)
        .map_err(|error| BadLevel { level: level.to_owned(), why: error.to_string() })?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    // A second start in one process (tests) keeps the first one's log.
    let _ = match format {
        LogFormat::Text => builder.with_ansi(false).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
