//! Errors of a measurement.

use thiserror::Error;

/// Why a measurement failed.
#[derive(Debug, Error)]
pub enum PerfError {
    /// An invalid option or combination of options.
    #[error("{0}")]
    Option(String),
    /// The connection failed.
    #[error("{what}: {source}")]
    Io {
        /// The operation.
        what: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The broker closed the channel or the connection.
    #[error("the broker closed the {what}: {code} {text}")]
    Closed {
        /// Channel or connection.
        what: &'static str,
        /// The reply code.
        code: u16,
        /// The reply text.
        text: String,
    },
    /// The broker violated the protocol.
    #[error("unexpected from the broker: {0}")]
    Protocol(String),
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
    /// A worker thread panicked.
    #[error("a worker thread panicked")]
    Panicked,
}

impl PerfError {
    pub(super) fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        move |source| Self::Io { what, source }
    }
}
