//! `leveret perf`: each run has names of its own, and says what it measured whatever ends it.

use std::process::{Child, Stdio};

use serde_json::Value;

use super::{Ended, leveret};
use crate::harness::Broker;
use crate::management::Http;
use crate::wait;

/// A run that would take a minute.
fn start(broker: &Broker) -> Child {
    let url = format!("amqp://guest:guest@{}/%2f", broker.amqp);
    let mut command = leveret();
    command.args([
        "perf",
        "--url",
        &url,
        "--time",
        "60",
        "--warmup",
        "0",
        "--rate",
        "500",
        "--confirm",
        "10",
    ]);
    command.arg("--quiet").stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the binary")
}

/// Names of the queues that have confirmed messages to show.
fn measured(http: &Http) -> Vec<String> {
    let queues = http.get("/api/queues?columns=name,message_stats").is(200).json;
    let queues = queues.as_array().cloned().unwrap_or_default();
    let moved = |queue: &&Value| {
        queue["message_stats"]["ack"].as_u64().max(queue["message_stats"]["deliver_no_ack"].as_u64())
            > Some(0)
    };
    queues.iter().filter(moved).filter_map(|queue| queue["name"].as_str().map(str::to_owned)).collect()
}

#[test]
fn two_runs_share_a_broker_and_one_that_is_cut_off_prints_its_result() {
    let mut broker = Broker::new();
    let http = Http::of(&broker);
    let runs = [start(&broker), start(&broker)];
    let mut names = Vec::new();
    wait::until("both measure", || {
        names = measured(&http);
        names.len() == 2
    });
    assert!(names.iter().all(|name| name.starts_with("leveret-perf-")), "{names:?}");
    let [interrupted, cut_off] = runs;
    let pid = rustix::process::Pid::from_child(&interrupted);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("signal");
    let interrupted = Ended::of(&interrupted.wait_with_output().expect("its output"));
    broker.kill();
    let cut_off = Ended::of(&cut_off.wait_with_output().expect("its output"));
    for (run, why) in [(interrupted, "interrupted"), (cut_off, "")] {
        run.failed(1, why);
        assert!(run.out.contains(&format!("ended early: {why}")), "{}", run.out);
        assert!(run.out.contains("received") && run.out.contains("confirm"), "{}", run.out);
    }
}
