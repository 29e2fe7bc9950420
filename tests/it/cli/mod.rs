//! The commands that query a broker, as used by scripts: the binary, its output and its exit codes.

mod any_topology;
mod ctl;
mod migrate;
mod perf;
pub(crate) mod rabbitmq;
mod topology;

pub(crate) use topology::File;

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::harness::Broker;
use crate::management::listening;

/// The binary, with the address of one broker.
pub(crate) struct Cli {
    url: String,
    login: [String; 2],
}

/// A finished command.
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    fn of(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
        let ended = Self {
            code: output.status.code().expect("an exit code"),
            out: text(&output.stdout),
            err: text(&output.stderr),
        };
        assert!(!ended.err.contains("panicked"), "{}", ended.err);
        ended
    }

    /// Fails unless it exited with this code.
    #[track_caller]
    pub(crate) fn is(self, code: i32) -> Self {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        self
    }

    /// Its output as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {}", self.out))
    }

    /// Fails unless it exited with this code and one line that contains these words.
    #[track_caller]
    pub(crate) fn failed(&self, code: i32, words: &str) {
        assert_eq!(self.code, code, "out: {}\nerr: {}", self.out, self.err);
        assert!(self.err.contains(words), "{words:?} should be in {:?}", self.err);
    }
}

/// The binary, without `LEVERET_*` variables in its environment.
pub(crate) fn leveret() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leveret"));
    without_ours(&mut command);
    command.stdin(Stdio::null());
    command
}

/// Removes `LEVERET_*` variables set by cargo or the shell.
pub(crate) fn without_ours(command: &mut Command) {
    let ours: Vec<_> =
        std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("LEVERET_")).collect();
    for (name, _) in ours {
        command.env_remove(name);
    }
}

impl Cli {
    /// As guest.
    pub(crate) fn of(broker: &Broker) -> Self {
        let url = format!("http://{}", listening(broker, "http"));
        Self { url, login: ["guest".to_owned(), "guest".to_owned()] }
    }

    /// As another user.
    pub(crate) fn login(&self, name: &str, password: &str) -> Self {
        Self { url: self.url.clone(), login: [name.to_owned(), password.to_owned()] }
    }

    /// The base URL of the broker's API.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The command, not started.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = leveret();
        let [user, password] = &self.login;
        command.env("LEVERET_URL", &self.url).env("LEVERET_USER", user).env("LEVERET_PASSWORD", password);
        command.args(args);
        command
    }

    /// Runs it to completion.
    pub(crate) fn run(&self, args: &[&str]) -> Ended {
        Ended::of(&self.command(args).output().expect("the binary"))
    }

    /// Runs `leveret ctl` with these arguments, which must succeed.
    #[track_caller]
    pub(crate) fn ctl(&self, args: &[&str]) -> Ended {
        let all: Vec<_> = ["ctl"].iter().chain(args).copied().collect();
        self.run(&all).is(0)
    }
}

/// Runs a command that does not address a broker.
pub(crate) fn run(mut command: Command) -> Ended {
    Ended::of(&command.output().expect("the binary"))
}
