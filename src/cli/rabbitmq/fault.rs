//! Why a tool failed: message and exit code (`RabbitMQ`'s, from sysexits.h).

use crate::cli::client::Failure;

/// Wrong usage.
pub(super) const USAGE: u8 = 64;
/// Invalid data, or no such vhost.
pub(super) const DATA: u8 = 65;
/// No such user.
pub(super) const NO_USER: u8 = 67;
/// The broker is unreachable, or refuses.
pub(super) const UNAVAILABLE: u8 = 69;
/// An object already exists, or an internal error occurred.
pub(super) const SOFTWARE: u8 = 70;
/// Timed out; retry later.
pub(super) const TEMPORARY: u8 = 75;
/// The user lacks permission.
pub(super) const NO_PERMISSION: u8 = 77;

/// Why a tool failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Exit code.
    pub(super) code: u8,
    /// For standard error; empty if already reported.
    pub(super) text: String,
}

impl Fault {
    /// A text without a heading.
    pub(super) fn plain(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A text under `Error:`, as most are.
    pub(super) fn new(code: u8, text: impl AsRef<str>) -> Self {
        Self { code, text: format!("Error:\n{}", text.as_ref()) }
    }

    /// Whether the broker is unreachable or refuses.
    pub(super) fn is_unavailable(&self) -> bool {
        self.code == UNAVAILABLE
    }

    /// An unsupported feature; `instead` names the alternative.
    pub(super) fn unsupported(instead: &str) -> Self {
        Self::new(UNAVAILABLE, format!("not supported by Leveret: {instead}"))
    }

    /// No such user, in two spellings.
    pub(super) fn no_user(name: &str) -> Self {
        Self::new(NO_USER, format!("User \"{name}\" does not exist"))
    }

    /// No such vhost.
    pub(super) fn no_vhost(name: &str) -> Self {
        Self::plain(DATA, format!("Virtual host '{name}' does not exist"))
    }
}

impl From<Failure> for Fault {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Usage(text) => Self::new(USAGE, text),
            // The broker's text unchanged: RabbitMQ's tools show reasons with their line breaks.
            Failure::Refused { ref json, .. } if json.get("missing").is_none() => {
                let reason = json.get("reason").and_then(serde_json::Value::as_str);
                Self::new(UNAVAILABLE, reason.unwrap_or(&failure.to_string()))
            }
            Failure::Login { .. } => Self::new(NO_PERMISSION, failure.to_string()),
            other => Self::new(UNAVAILABLE, other.to_string()),
        }
    }
}

impl From<std::io::Error> for Fault {
    fn from(error: std::io::Error) -> Self {
        // The output's reader has gone: nothing can be reported.
        let text = if error.kind() == std::io::ErrorKind::BrokenPipe {
            String::new()
        } else {
            format!("Error:\n{error}")
        };
        Self { code: SOFTWARE, text }
    }
}
