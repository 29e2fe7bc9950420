//! Why a tool failed: what it says, and its exit code (`RabbitMQ`'s, which are those of sysexits.h).

use crate::cli::client::Failure;

/// Wrong usage.
pub(super) const USAGE: u8 = 64;
/// Wrong data, or no such vhost.
pub(super) const DATA: u8 = 65;
/// No such user.
pub(super) const NO_USER: u8 = 67;
/// The broker is not there, or says no.
pub(super) const UNAVAILABLE: u8 = 69;
/// Something is there already, or went wrong here.
pub(super) const SOFTWARE: u8 = 70;
/// Try again later: it took too long.
pub(super) const TEMPORARY: u8 = 75;
/// Not for this user.
pub(super) const NO_PERMISSION: u8 = 77;

/// Why a tool failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// Exit code.
    pub(super) code: u8,
    /// For standard error; empty if all was said.
    pub(super) text: String,
}

impl Fault {
    /// A text as it is.
    pub(super) fn plain(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A text below `Error:`, as most are.
    pub(super) fn new(code: u8, text: impl AsRef<str>) -> Self {
        Self { code, text: format!("Error:\n{}", text.as_ref()) }
    }

    /// Whether it is the broker that is not there, or says no.
    pub(super) fn is_unavailable(&self) -> bool {
        self.code == UNAVAILABLE
    }

    /// What there is none of here; `instead` says what to do.
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
            // As the broker says it: RabbitMQ's tools show reasons with their lines.
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
        // Whoever reads the output has gone: nothing is left to say.
        let text = if error.kind() == std::io::ErrorKind::BrokenPipe {
            String::new()
        } else {
            format!("Error:\n{error}")
        };
        Self { code: SOFTWARE, text }
    }
}
