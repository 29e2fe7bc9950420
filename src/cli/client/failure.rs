//! Why a command failed, and the exit code that scripts see.

use std::process::ExitCode;

use serde_json::Value;

/// Exit code of a command that did what it was asked for.
pub const DONE: u8 = 0;

/// Exit code of a command that the broker refused, or that failed in the middle.
pub const FAILED: u8 = 1;

/// Exit code of `leveret plan` when file and broker differ.
pub const DIFFERS: u8 = 2;

/// Exit code when nothing was asked of the broker: wrong usage, an unreadable file, no connection, no
/// login.
pub const NOT_ASKED: u8 = 3;

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// What was asked for makes no sense; the text says why.
    #[error("{0}")]
    Usage(String),
    /// No connection, or nobody there who speaks HTTP.
    #[error("{0}")]
    Unreachable(String),
    /// The broker does not know the user, or not with this password.
    #[error("{url}: login failed; give --user and --password, or set LEVERET_USER and LEVERET_PASSWORD")]
    Login {
        /// Where.
        url: String,
    },
    /// The broker said no.
    #[error("{reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// The broker's reason.
        reason: String,
        /// The whole answer.
        json: Value,
    },
    /// Something else went wrong; the text says what.
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
            // The words of the resolver and of TLS are no kinds of their own.
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

    /// What scripts see.
    pub fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Unreachable(_) | Self::Login { .. } => NOT_ASKED,
            Self::Refused { .. } | Self::Failed(_) => FAILED,
        }
    }

    /// What scripts see, as `main` gives it back.
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    /// The broker does not know what was asked for.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { status: 404, .. })
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}
