//! The node itself: versions, waiting for startup, stopping, feature flags.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::fault::{Fault, UNAVAILABLE, USAGE};
use super::job::Job;
use super::reach;
use crate::management::COMPATIBLE_WITH;

/// Default startup timeout in seconds, as in `RabbitMQ`'s tools.
const START_S: u64 = 300;

/// Polling interval for a node's state.
const PAUSE: Duration = Duration::from_millis(200);

/// `RabbitMQ`'s feature flags for features that exist here, in their order.
const FLAGS: [(&str, &str); 6] = [
    ("drop_unroutable_metric", "Count unroutable publishes to be dropped in stats"),
    ("empty_basic_get_metric", "Count AMQP `basic.get` on empty queues in stats"),
    (
        "implicit_default_bindings",
        "Default bindings are now implicit, instead of being stored in the database",
    ),
    ("quorum_queue", "Support queues of type `quorum`"),
    ("user_limits", "Configure connection and channel limits for a user"),
    ("virtual_host_metadata", "Virtual host metadata (description, tags, etc)"),
];

/// The version of `RabbitMQ` that the tool emulates: scripts decide by it which features to use.
pub(super) fn version(job: &Job) -> Result<(), Fault> {
    job.either(COMPATIBLE_WITH, &json!({ "result": "ok", "value": { "version": COMPATIBLE_WITH } }))
}

/// The version of `RabbitMQ` whose API the node provides.
pub(super) fn server_version(job: &Job) -> Result<(), Fault> {
    let overview = job.get(["overview"])?;
    let node = overview["node"].as_str().unwrap_or_default();
    job.say(&format!("Asking node {node} for its RabbitMQ version..."))?;
    let version = &overview["rabbitmq_version"];
    job.either(version.as_str().unwrap_or_default(), &json!({ "result": "ok", "value": version }))
}

/// Waits until `is` holds.
#[expect(
    clippy::disallowed_methods,
    reason = "a command waits for another process, which only answers when asked"
)]
fn wait_until(job: &Job, what: &str, mut is: impl FnMut() -> Result<bool, Fault>) -> Result<(), Fault> {
    let until = Instant::now() + Duration::from_secs(job.timeout()?.unwrap_or(START_S));
    loop {
        match is() {
            Ok(true) => return Ok(()),
            Ok(false) => {}
            // Not up yet.
            Err(fault) if fault.code == UNAVAILABLE => {}
            Err(fault) => return Err(fault),
        }
        if Instant::now() >= until {
            return Err(reach::too_long(what));
        }
        std::thread::sleep(PAUSE);
    }
}

/// `await_startup`, `wait`. A pid file adds nothing to what the node reports itself.
pub(super) fn await_startup(job: &Job) -> Result<(), Fault> {
    wait_until(job, job.name(), || {
        // A new client each time: the socket is created by the broker.
        let fresh = job.afresh();
        fresh.get(["health", "checks", "is-in-service"]).map(|_| true)
    })
}

pub(super) fn await_online_nodes(job: &Job) -> Result<(), Fault> {
    let count: u64 = job.word(1).parse().map_err(|_| job.misused("the count of nodes is not a number"))?;
    let seconds = job.timeout()?.unwrap_or(START_S);
    let node = job.node()?;
    job.say(&format!(
        "Will wait for at least {count} nodes to join the cluster of {node}. Timeout: {seconds} seconds."
    ))?;
    wait_until(job, job.name(), || Ok(count <= 1))
}

pub(super) fn set_cluster_name(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    job.say(&format!("Setting cluster name to {name} ..."))?;
    job.change("PUT", ["cluster-name"], &json!({ "name": name })).map(|_| ())
}

/// Stops the broker as its service manager would, and waits until it is gone. On this machine only.
pub(super) fn stop(job: &Job) -> Result<(), Fault> {
    let nodes = match job.list(["nodes"]) {
        Ok(nodes) => nodes,
        Err(fault) if job.line.has("idempotent") && fault.code == UNAVAILABLE => return Ok(()),
        Err(fault) => return Err(fault),
    };
    if std::env::var_os("LEVERET_URL").is_some() {
        return Err(Fault::unsupported("a broker is stopped on its own machine"));
    }
    let node =
        nodes.first().map(|node| node["name"].as_str().unwrap_or_default().to_owned()).unwrap_or_default();
    job.say(&format!("Stopping and halting node {node} ..."))?;
    let pid = nodes
        .first()
        .and_then(|node| node["os_pid"].as_str()?.parse().ok())
        .and_then(rustix::process::Pid::from_raw);
    let pid = pid.ok_or_else(|| Fault::new(UNAVAILABLE, "the broker does not tell its process"))?;
    let failed = |error: rustix::io::Errno| {
        Fault::new(UNAVAILABLE, format!("process {}: {error}", pid.as_raw_nonzero()))
    };
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(failed)?;
    // Its socket ends with it; the process may remain until its parent has reaped it.
    wait_until(job, job.name(), || Ok(reach::broker(None).is_err()))
}

/// Commands whose effect is always in place already.
pub(super) fn nothing(job: &Job) -> Result<(), Fault> {
    job.say(match job.name() {
        "start_app" => "The node is running already.",
        "rebalance" => "Re-balancing leaders of all queues...",
        "post_upgrade" => "Executing post upgrade tasks...",
        _ => "Nothing needs to be done.",
    })?;
    job.get(["overview"]).map(|_| ())
}

pub(super) fn rotate_logs(_: &Job) -> Result<(), Fault> {
    Err(Fault::new(UNAVAILABLE, "This command does not rotate logs anymore [deprecated]"))
}

const FLAG_COLUMNS: [&str; 6] = ["name", "state", "stability", "provided_by", "desc", "doc_url"];

pub(super) fn list_feature_flags(job: &Job) -> Result<(), Fault> {
    let columns = job.columns(&FLAG_COLUMNS, &["name", "state"])?;
    job.say("Listing feature flags ...")?;
    job.get(["overview"])?;
    let rows: Vec<Vec<Value>> = FLAGS
        .iter()
        .map(|(name, text)| {
            let cell = |column: &&str| match *column {
                "name" => json!(name),
                "state" => json!("enabled"),
                "stability" => json!("stable"),
                "provided_by" => json!("leveret"),
                "desc" => json!(text),
                _ => json!(""),
            };
            columns.iter().map(cell).collect()
        })
        .collect();
    job.table(&columns, &rows, None)
}

/// All feature flags, as members of `cluster_status`.
pub(super) fn feature_flags() -> Vec<Value> {
    let shown = FLAGS.iter().map(|(name, text)| {
        json!({
            "name": name, "state": "enabled", "stability": "stable", "provided_by": "leveret", "desc": text, "doc_url": "",
        })
    });
    shown.collect()
}

pub(super) fn enable_feature_flag(job: &Job) -> Result<(), Fault> {
    let name = job.word(1);
    if name == "all" {
        job.say("Enabling all feature flags ...")?;
        return job.get(["overview"]).map(|_| ());
    }
    job.say(&format!("Enabling feature flag \"{name}\" ..."))?;
    if FLAGS.iter().any(|(known, _)| *known == name) {
        return job.get(["overview"]).map(|_| ());
    }
    let node = job.node()?;
    Err(Fault::new(USAGE, format!("This feature flag is not supported by node {node}")))
}
