//! Why a command failed, and its exit code.

use std::process::ExitCode;

use serde_json::Value;

/// Exit code of success.
pub const DONE: u8 = 0;

/// Exit code of a command that the broker refused, or that failed partway.
pub const FAILED: u8 = 1;

/// Exit code of `leveret plan` when file and broker differ.
pub const DIFFERS: u8 = 2;

/// Exit code when no request reached the broker: wrong usage, an unreadable file, no connection, no login.
pub const NOT_ASKED: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// An invalid request; the text gives the reason.
    #[error("{0}")]
    Usage(String),
    /// No connection, or the peer does not speak HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// Unknown user or wrong password.
    #[error("{url}: login failed; give --user and --password, or set LEVERET_USER and LEVERET_PASSWORD")]
    Login {
        /// The broker's URL.
        url: String,
    },
    /// The broker refused.
    #[error("{reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The broker's reason.
        reason: String,
        /// The whole response body.
        json: Value,
    },
    /// Any other error, described by the text.
    #[error("{0}")]
    Failed(String),
}

impl Failure {
    pub(super) fn unreachable(url: &str, error: &ureq::Error) -> Self {
        let why = match error {
            ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::ConnectionRefused => {
                "nobody listens there".to_owned()
            }
            ureq::Error::HostNotFound => "no such host".to_owned(),
            // The resolver's and TLS's errors have no kinds of their own.
            ureq::Error::Io(error) if error.to_string().starts_with("failed to lookup") => {
                "no such host".to_owned()
            }
            ureq::Error::Io(error) if error.to_string().contains("InvalidContentType") => {
                "whoever listens there does not speak TLS".to_owned()
            }
            ureq::Error::Protocol(_) => "whoever listens there does not speak HTTP".to_owned(),
            error => error.to_string(),
        };
        Self::Unreachable(format!("cannot reach the management API at {url}: {why}"))
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Unreachable(_) | Self::Login { .. } => NOT_ASKED,
            Self::Refused { .. } | Self::Failed(_) => FAILED,
        }
    }

    /// The exit code, as `main` returns it.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The requested object does not exist.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
