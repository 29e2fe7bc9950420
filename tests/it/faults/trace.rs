//! A broker under strace: observes its system calls, and injects failures.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::cannot;
use crate::harness::Broker;
use crate::wait;

/// strace, attached to a broker.
pub(super) struct Trace {
    call: &'static str,
    strace: Child,
    folder: TempDir,
}

impl Trace {
    /// Traces the broker's calls of `call`; with `inject`, some of them fail.
    pub(super) fn attach(broker: &Broker, call: &'static str, inject: Option<&str>) -> Option<Self> {
        Self::of(call, inject, &["-f", "-p", &broker.pid().to_string()])
    }

    /// The same for its single thread of this name.
    pub(super) fn attach_thread(
        broker: &Broker,
        thread: &str,
        call: &'static str,
        inject: &str,
    ) -> Option<Self> {
        let tasks = fs::read_dir(format!("/proc/{}/task", broker.pid())).expect("its threads");
        let named = |task: &fs::DirEntry| {
            fs::read_to_string(task.path().join("comm")).is_ok_and(|name| name.trim() == thread)
        };
        let task = tasks.flatten().find(named).expect("the thread").file_name();
        Self::of(call, Some(inject), &["-p", task.to_str().expect("a number")])
    }

    fn of(call: &'static str, inject: Option<&str>, whom: &[&str]) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let said = folder.path().join("said");
        let mut command = Command::new("strace");
        command.args(["-e", &format!("trace={call}")]).arg("-o").arg(folder.path().join("calls"));
        command.args(inject.iter().flat_map(|inject| ["-e", inject]));
        command.args(whom).stdin(Stdio::null());
        command.stderr(fs::File::create(&said).expect("a file"));
        let mut strace = match command.spawn() {
            Ok(strace) => strace,
            Err(error) => {
                cannot(&format!("strace: {error}"));
                return None;
            }
        };
        let text = |path: &Path| fs::read_to_string(path).expect("a file");
        let mut ended = false;
        wait::until("strace is attached", || {
            ended = strace.try_wait().expect("wait").is_some();
            ended || text(&said).contains(" attached")
        });
        if ended {
            cannot(&format!("strace: {}", text(&said)));
            return None;
        }
        Some(Self { call, strace, folder })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("calls")
    }

    /// Calls so far with this result (`= 0`).
    pub(super) fn calls(&self, result: &str) -> usize {
        let text = fs::read_to_string(self.file()).expect("what was traced");
        text.lines().filter(|line| line.contains(self.call) && line.contains(result)).count()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        drop(self.strace.kill());
        drop(self.strace.wait());
    }
}
