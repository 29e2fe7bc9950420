//! That `fdatasync` is called for every confirm, and what becomes of a batch whose `fdatasync` failed: seen
//! and done from outside, with strace.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::cannot;
use crate::harness::Broker;
use crate::wait;

/// strace, attached to a broker.
struct Trace {
    strace: Child,
    folder: TempDir,
}

impl Trace {
    /// Follows the broker's calls of `fdatasync`; with `inject`, some of them fail.
    fn attach(broker: &Broker, inject: Option<&str>) -> Option<Self> {
        let folder = TempDir::new().expect("a folder");
        let said = folder.path().join("said");
        let mut command = Command::new("strace");
        command.args(["-f", "-e", "trace=fdatasync"]).arg("-o").arg(folder.path().join("calls"));
        command.args(inject.iter().flat_map(|inject| ["-e", inject]));
        command.args(["-p", &broker.pid().to_string()]).stdin(Stdio::null());
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
        Some(Self { strace, folder })
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("calls")
    }

    /// Calls so far that came to this (`= 0`).
    fn calls(&self, result: &str) -> usize {
        let text = fs::read_to_string(self.file()).expect("what was traced");
        text.lines().filter(|line| line.contains("fdatasync") && line.contains(result)).count()
    }
}

impl Drop for Trace {
    fn drop(&mut self) {
        drop(self.strace.kill());
        drop(self.strace.wait());
    }
}

#[test]
fn every_lone_confirm_has_its_fdatasync() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    let Some(trace) = Trace::attach(&broker, None) else { return };
    for _ in 0..50 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2", "x");
    }
    wait::until("fifty calls are traced", || trace.calls("= 0") >= 50);
}

#[test]
fn a_failed_fdatasync_refuses_its_publishes_and_the_connection_stays() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    // Counted for each thread: the index is synced by another, and one of them may sync what nobody waits for.
    let Some(trace) = Trace::attach(&broker, Some("inject=fdatasync:error=EIO:when=10+50")) else { return };
    let (mut confirmed, mut refused) = (Vec::new(), Vec::new());
    for tag in 1..=500 {
        c.publish_with("routing_key=q", "delivery_mode=2", tag.to_string());
        let heard = loop {
            let heard = c.next();
            if !heard.spec.name.starts_with("connection.") {
                break heard;
            }
        };
        assert_eq!(heard.tag(), tag, "one answer for each publish");
        match heard.spec.name {
            "basic.ack" => confirmed.push(tag),
            "basic.nack" => refused.push(tag),
            _ => panic!("instead of a confirm: {heard}"),
        }
        if refused.len() == 1 && confirmed.last() > refused.last() {
            break;
        }
    }
    assert_eq!(refused.len(), 1, "{refused:?} are refused, then others are confirmed again");
    assert!(trace.calls("EIO") >= 1);
    c.silent();
    let log = broker.log();
    assert!(log.contains("fdatasync of the message log failed"), "{log}");
    drop(trace);
    broker.kill();
    broker.start_again();
    let there = broker.client().drain("q");
    for tag in confirmed {
        assert!(there.contains(&tag.to_string()), "{tag} was confirmed: {there:?}");
    }
}
