//! A client of the management API for the command line: the broker's address, the login, and responses, with
//! failures that say what to do.
//!
//! Invariants: no password is ever printed; a failure exits with the code of its kind, the same for all commands
//! ([`Failure::exit_code`]).

mod failure;
mod login;
mod remote;
mod socket;

pub use failure::{DIFFERS, DONE, FAILED, Failure, NOT_ASKED};
pub use login::{Secret, from_file as password_from_file, from_person as password_from_person};
pub use remote::Remote;

use std::time::Duration;

use crate::management::COUNT;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use ureq::http::{Request, Response, header};

/// Timeout for connecting.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Timeout for a response to begin: large changes wait for the disk.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(5);

/// Longest response, in bytes.
const ANSWER_BYTES_MAX: u64 = 1 << 30;

/// Characters not escaped in a path segment.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_');

/// An API path: its segments are percent-encoded, so names may contain anything.
pub fn path<'a>(segments: impl IntoIterator<Item = &'a str>) -> String {
    let mut path = "/api".to_owned();
    for segment in segments {
        path.push('/');
        path.extend(utf8_percent_encode(segment, UNRESERVED));
    }
    path
}

/// A query value, percent-encoded.
pub fn quoted(value: &str) -> String {
    utf8_percent_encode(value, UNRESERVED).to_string()
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body; null if empty.
    pub json: Value,
    /// How many messages were dropped, or connections closed, if the broker says so.
    pub count: Option<u64>,
}

/// A client of one broker, as one user.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    /// `None` on this machine, where no login is required.
    login: Option<String>,
}

impl Client {
    /// Sends one request; a refusal is a failure.
    pub fn call(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer, Failure> {
        self.call_with(method, path, body, &[])
    }

    /// [`Client::call`] with additional headers.
    pub fn call_with(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        headers: &[(&str, &str)],
    ) -> Result<Answer, Failure> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.base));
        if let Some(login) = &self.login {
            request = request.header(header::AUTHORIZATION, login);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let wrong = |error: ureq::http::Error| Failure::Usage(format!("{method} {path}: {error}"));
        let answer = match body {
            Some(body) => {
                let request = request.header(header::CONTENT_TYPE, "application/json");
                self.agent.run(request.body(body.to_string()).map_err(wrong)?)
            }
            None => self.agent.run(request.body(()).map_err(wrong)?),
        };
        let answer = answer.map_err(|error| Failure::unreachable(&self.base, &error))?;
        self.read(answer, path)
    }

    fn read(&self, answer: Response<ureq::Body>, path: &str) -> Result<Answer, Failure> {
        let status = answer.status();
        let challenged = answer.headers().contains_key(header::WWW_AUTHENTICATE);
        let count = answer.headers().get(&COUNT).and_then(|count| count.to_str().ok()?.parse().ok());
        let text = answer.into_body().into_with_config().limit(ANSWER_BYTES_MAX).read_to_string();
        let text = text.map_err(|error| Failure::unreachable(&self.base, &error))?;
        let json: Value = serde_json::from_str(&text).unwrap_or_default();
        if status.is_success() {
            if json.is_null() && !text.trim().is_empty() && text.trim() != "null" {
                return Err(self.no_api());
            }
            return Ok(Answer { status: status.as_u16(), json, count });
        }
        if status.as_u16() == 401 && challenged {
            return Err(Failure::Login { url: self.base.clone() });
        }
        let reason = ["missing", "reason", "error"].iter().find_map(|name| json.get(name)?.as_str());
        let Some(reason) = reason.map(|reason| sentence(reason, path)) else { return Err(self.no_api()) };
        Err(Failure::Refused { status: status.as_u16(), reason, json })
    }

    fn no_api(&self) -> Failure {
        Failure::Unreachable(format!("{} answers, but not as a management API does", self.base))
    }

    /// GET.
    pub fn get(&self, path: &str) -> Result<Value, Failure> {
        self.call("GET", path, None).map(|answer| answer.json)
    }

    /// A list; for an object with `items`, those.
    pub fn list(&self, path: &str) -> Result<Vec<Value>, Failure> {
        match self.get(path)? {
            Value::Array(list) => Ok(list),
            other => Err(Failure::Failed(format!("{path}: a list was expected, not {other}"))),
        }
    }

    /// PUT; returns whether an object was created.
    pub fn put(&self, path: &str, body: &Value) -> Result<bool, Failure> {
        self.call("PUT", path, Some(body)).map(|answer| answer.status == 201)
    }

    /// POST.
    pub fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.call("POST", path, Some(body)).map(|answer| answer.json)
    }

    /// DELETE; returns how many messages went with it, if the broker says so.
    pub fn delete(&self, path: &str) -> Result<Option<u64>, Failure> {
        self.call("DELETE", path, None).map(|answer| answer.count)
    }
}

/// A refusal's reason as one readable line: `queue_not_found` is meant for programs, and other reasons span lines.
/// What is missing is named if `path` is about one of its kind.
fn sentence(reason: &str, path: &str) -> String {
    match reason.strip_suffix("_not_found") {
        Some(what) => {
            let words = what.replace('_', " ");
            let path = path.split('?').next().unwrap_or_default();
            let segment = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
            let segments: Vec<_> = path.trim_start_matches("/api/").split('/').map(segment).collect();
            match &segments[..] {
                [kind, vhost, name, ..] if is_plural(kind, what) && matches!(what, "queue" | "exchange") => {
                    format!("no such {words}: {name} in vhost {vhost}")
                }
                [kind, name] if is_plural(kind, what) => format!("no such {words}: {name}"),
                _ => format!("no such {words}"),
            }
        }
        None => one_line(reason),
    }
}

/// A text of several lines, joined by colons.
pub fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(": ")
}

fn is_plural(word: &str, of: &str) -> bool {
    word.strip_suffix('s') == Some(of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_in_a_line() {
        for (reason, path, line) in [
            ("queue_not_found", "/api/queues/%2F/a%20b?x=1", "no such queue: a b in vhost /"),
            ("queue_not_found", "/api/queues/%2F/a/contents", "no such queue: a in vhost /"),
            ("queue_not_found", "/api/bindings/%2F/e/x/q/a", "no such queue"),
            ("vhost_not_found", "/api/vhosts/none", "no such vhost: none"),
            ("global_parameter_not_found", "/api/global-parameters/x", "no such global parameter"),
            (
                "Validation failed\n\nmax-queues should be a number\n",
                "",
                "Validation failed: max-queues should be a number",
            ),
            ("Not Found", "", "Not Found"),
            ("", "", ""),
        ] {
            assert_eq!(sentence(reason, path), line);
        }
    }

    #[test]
    fn names_in_paths_are_quoted() {
        assert_eq!(path(["queues", "/", "a b/ü"]), "/api/queues/%2F/a%20b%2F%C3%BC");
    }
}
