//! Health checks for containers, load balancers and operators.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

use super::fault::{Fault, UNAVAILABLE};
use super::job::Job;
use super::reach;
use crate::cli::client::{Failure, path};

/// Timeout for connecting to a port.
const CONNECT: Duration = Duration::from_secs(10);

/// Runs a check of the API: the response if healthy, or the problem.
fn check(job: &Job, names: &[&str]) -> Result<Result<Value, Value>, Fault> {
    let place = path(["health", "checks"].iter().chain(names).copied());
    match job.broker()?.get(&place) {
        Ok(value) => Ok(Ok(value)),
        Err(Failure::Refused { status: 503, json, .. }) => Ok(Err(json)),
        Err(Failure::Unreachable(why)) => Err(reach::no_node("leveret", &why)),
        Err(other) => Err(other.into()),
    }
}

/// A message, also in machine-readable output.
pub(super) fn said(job: &Job, text: &str) -> Result<(), Fault> {
    job.either(text, &json!({ "message": text }))
}

/// Machine-readable output only reports success.
fn well_as(job: &Job, text: &str) -> Result<(), Fault> {
    job.either(text, &json!({ "result": "ok" }))
}

pub(super) fn ping(job: &Job) -> Result<(), Fault> {
    let ms = job.timeout()?.unwrap_or(60) * 1000;
    let node = job.node()?;
    job.say(&format!(
        "Will ping {node}. This only checks if the OS process is running and registered with epmd. Timeout: {ms} ms."
    ))?;
    said(job, "Ping succeeded")
}

fn in_service(job: &Job, node: &str) -> Result<(), Fault> {
    match check(job, &["is-in-service"])? {
        Ok(_) => {
            let text = format!("RabbitMQ on node {node} is fully booted and running");
            match job.name() {
                "is_running" => job.either(&text, &json!({ "result": true, "message": text })),
                _ => said(job, &text),
            }
        }
        Err(why) => {
            let why = why["reason"].as_str().unwrap_or_default();
            Err(Fault::new(UNAVAILABLE, format!("RabbitMQ on node {node} is not in service: {why}")))
        }
    }
}

pub(super) fn running(job: &Job) -> Result<(), Fault> {
    let node = job.node()?;
    job.say(&format!("Checking if RabbitMQ is running on node {node} ..."))?;
    in_service(job, &node)
}

pub(super) fn is_running(job: &Job) -> Result<(), Fault> {
    let node = job.node()?;
    job.say(&format!("Asking node {node} for its status ..."))?;
    in_service(job, &node)
}

pub(super) fn is_booting(job: &Job) -> Result<(), Fault> {
    let node = job.node()?;
    job.say(&format!("Asking node {node} for its boot status ..."))?;
    let text = format!(
        "RabbitMQ on node {node} is fully booted (check with is_running), stopped or has not started booting yet"
    );
    job.either(&text, &json!({ "result": false, "message": text }))
}

/// Active alarms, as text.
fn raised(job: &Job) -> Result<Vec<String>, Fault> {
    match check(job, &["local-alarms"])? {
        Ok(_) => Ok(Vec::new()),
        Err(why) => {
            let alarms = why["alarms"].as_array().cloned().unwrap_or_default();
            let words = alarms.iter().map(|alarm| {
                let what = alarm["resource"].as_str().unwrap_or("unknown");
                let what = if what == "disk" { "Free disk space" } else { "Memory" };
                format!("{what} alarm on node {}", alarm["node"].as_str().unwrap_or_default())
            });
            Ok(words.collect())
        }
    }
}

fn no_alarms(job: &Job, asked: &str, well: &str, ill: &str) -> Result<(), Fault> {
    let node = job.node()?;
    job.say(&format!("Asking node {node} to report any {asked} resource alarms ..."))?;
    let alarms = raised(job)?;
    if alarms.is_empty() {
        return well_as(job, &format!("Node {node} reported {well}"));
    }
    Err(Fault::new(UNAVAILABLE, format!("Node {node} reported {ill}:\n{}", alarms.join("\n"))))
}

pub(super) fn alarms_anywhere(job: &Job) -> Result<(), Fault> {
    no_alarms(job, "local", "no alarms, local or clusterwide", "alarms")
}

pub(super) fn local_alarms(job: &Job) -> Result<(), Fault> {
    no_alarms(job, "local", "no local alarms", "local alarms")
}

pub(super) fn list_alarms(job: &Job) -> Result<(), Fault> {
    let node = job.node()?;
    job.say(&format!("Asking node {node} to report any known resource alarms ..."))?;
    let alarms = raised(job)?;
    let text = match alarms.as_slice() {
        [] => format!("Node {node} reported no alarms, local or clusterwide"),
        alarms => format!("Node {node} reported alarms:\n{}", alarms.join("\n")),
    };
    job.either(&text, &json!({ "result": "ok", "node": node, "alarms": alarms }))
}

/// The node's listeners, as the tools show them.
pub(super) fn of_node(overview: &Value) -> Vec<Value> {
    let listeners = overview["listeners"].as_array().into_iter().flatten().map(|listener| {
        let protocol = listener["protocol"].as_str().unwrap_or_default();
        json!({
            "node": listener["node"], "interface": listener["ip_address"], "port": listener["port"],
            "protocol": protocol, "purpose": purpose(protocol),
        })
    });
    listeners.collect()
}

fn purpose(protocol: &str) -> &'static str {
    match protocol {
        "amqp" => "AMQP 0-9-1",
        "amqp/ssl" => "AMQP 0-9-1 over TLS",
        "http" => "HTTP API",
        "https" => "HTTP API over TLS (HTTPS)",
        "http/prometheus" => "Prometheus exporter API over HTTP",
        "https/prometheus" => "Prometheus exporter API over TLS (HTTPS)",
        _ => "",
    }
}

/// A listener as one line.
pub(super) fn line(listener: &Value) -> String {
    let text = |name: &str| listener[name].as_str().unwrap_or_default();
    format!(
        "Interface: {}, port: {}, protocol: {}, purpose: {}",
        text("interface"),
        listener["port"],
        text("protocol"),
        text("purpose")
    )
}

pub(super) fn listeners(job: &Job) -> Result<(), Fault> {
    let overview = job.get(["overview"])?;
    let node = overview["node"].as_str().unwrap_or_default();
    job.say(&format!("Asking node {node} to report its protocol listeners ..."))?;
    let listeners = of_node(&overview);
    let text: Vec<_> = listeners.iter().map(line).collect();
    job.either(&text.join("\n"), &json!({ "result": "ok", "node": node, "listeners": listeners }))
}

/// Connects to every listener at its address; for a wildcard address, on this machine.
pub(super) fn port_connectivity(job: &Job) -> Result<(), Fault> {
    let overview = job.get(["overview"])?;
    let node = overview["node"].as_str().unwrap_or_default();
    job.say(&format!("Testing TCP connections to all active listeners on node {node} ..."))?;
    let (mut ports, mut failed) = (Vec::new(), Vec::new());
    for listener in of_node(&overview) {
        let port = listener["port"].as_u64().unwrap_or_default();
        let said = job.line.option("address").or(listener["interface"].as_str()).unwrap_or_default();
        let host = match said {
            "0.0.0.0" => "127.0.0.1",
            "::" => "::1",
            host => host,
        };
        let address = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        let tried = address.parse::<SocketAddr>().map_err(|error| error.to_string());
        let tried =
            tried.and_then(|at| TcpStream::connect_timeout(&at, CONNECT).map_err(|error| error.to_string()));
        match tried {
            Ok(_) => ports.push(port),
            Err(why) => failed.push(format!("{}\t{address}: {why}", line(&listener))),
        }
    }
    ports.sort_unstable();
    ports.dedup();
    let ports: Vec<_> = ports.iter().map(u64::to_string).collect();
    if failed.is_empty() {
        let text = format!("Successfully connected to ports {} on node {node}.", ports.join(", "));
        let listeners = of_node(&overview);
        return job.either(&text, &json!({ "result": "ok", "node": node, "listeners": listeners }));
    }
    let text = format!(
        "Connection to ports of the following listeners on node {node} failed:\n{}",
        failed.join("\n")
    );
    Err(Fault::new(UNAVAILABLE, text))
}

fn strings(list: &Value) -> String {
    let all = list.as_array().into_iter().flatten();
    let texts: Vec<_> = all.map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)).collect();
    texts.join(", ")
}

pub(super) fn port_listener(job: &Job) -> Result<(), Fault> {
    let (port, node) = (job.word(1), job.node()?);
    if port.parse::<u16>().is_err() {
        return Err(job.misused("the port is not a number of 0 to 65535"));
    }
    job.say(&format!("Asking node {node} if there's an active listener on port {port} ..."))?;
    match check(job, &["port-listener", port])? {
        Ok(_) => {
            let text = format!("A listener for port {port} is running on node {node}.");
            let port: u16 = port.parse().unwrap_or_default();
            job.either(&text, &json!({ "result": "ok", "node": node, "port": port }))
        }
        Err(why) => Err(Fault::plain(
            UNAVAILABLE,
            format!(
                "No listener for port {port} is active on node {node}. Found listeners that use the following ports: {}",
                strings(&why["ports"])
            ),
        )),
    }
}

pub(super) fn protocol_listener(job: &Job) -> Result<(), Fault> {
    let (protocol, node) = (job.word(1), job.node()?);
    job.say(&format!("Asking node {node} if there's an active listener for protocol {protocol} ..."))?;
    match check(job, &["protocol-listener", protocol])? {
        Ok(_) => {
            let text = format!("A listener for protocol {protocol} is running on node {node}.");
            job.either(&text, &json!({ "result": "ok", "node": node, "protocol": protocol }))
        }
        Err(why) => Err(Fault::new(
            UNAVAILABLE,
            format!(
                "No listener for protocol {protocol} is active on node {node}. Found listeners for the following protocols: {}",
                strings(&why["protocols"])
            ),
        )),
    }
}

pub(super) fn virtual_hosts(job: &Job) -> Result<(), Fault> {
    let node = job.node()?;
    job.say(&format!("Checking if all vhosts are running on node {node} ..."))?;
    match check(job, &["virtual-hosts"])? {
        Ok(_) => well_as(job, &format!("Node {node} reported all vhosts as running")),
        Err(_) => Err(Fault::new(UNAVAILABLE, format!("Some virtual hosts on node {node} are down"))),
    }
}

pub(super) fn certificates(job: &Job) -> Result<(), Fault> {
    let (within, unit) =
        (job.line.option("within").unwrap_or("4"), job.line.option("unit").unwrap_or("weeks"));
    let node = job.node()?;
    job.say(&format!("Checking certificate expiration on node {node} ..."))?;
    match check(job, &["certificate-expiration", within, unit])? {
        Ok(_) => well_as(job, &format!("No certificates are expiring within {within} {unit}.")),
        Err(why) => {
            let text = why["reason"].as_str().unwrap_or_default();
            Err(Fault::new(UNAVAILABLE, format!("{text}: {}", strings(&why["expired"]))))
        }
    }
}

/// Checks about other nodes.
pub(super) fn alone(job: &Job) -> Result<(), Fault> {
    let node = job.node()?;
    let seconds = job.timeout()?.unwrap_or(120);
    let (doing, who, what) = match job.name() {
        "check_if_node_is_quorum_critical" => (
            format!("Checking if node {node} is critical for quorum of any quorum queues ..."),
            format!("Node {node}"),
            "check",
        ),
        "check_if_node_is_mirror_sync_critical" => (
            format!("Checking if node {node} is critical for data safety of any classic mirrored queues ..."),
            format!("Node {node}"),
            "check",
        ),
        "await_online_quorum_plus_one" => (
            format!(
                "Will wait for a quorum + 1 of nodes to be online for all quorum queues for {seconds} seconds..."
            ),
            "Target node".to_owned(),
            "command",
        ),
        _ => (
            format!(
                "Will wait for a synchronised mirror be online for all classic mirrored queues for {seconds} seconds..."
            ),
            "Target node".to_owned(),
            "command",
        ),
    };
    job.say(&doing)?;
    let text = format!("{who} seems to be the only one in a single node cluster, the {what} does not apply");
    job.either(&text, &json!({ "result": "ok", "message": text }))
}

pub(super) fn node_health_check(job: &Job) -> Result<(), Fault> {
    let (node, seconds) = (job.node()?, job.timeout()?.unwrap_or(70));
    job.say(
        "This command is DEPRECATED and will be removed in a future version.\n\
         It performs intrusive, opinionated health checks and requires a fully booted node.\n\
         Use one of the options covered in https://www.rabbitmq.com/monitoring.html#health-checks instead.",
    )?;
    job.say(&format!("Timeout: {seconds} seconds ..."))?;
    job.say(&format!("Checking health of node {node} ..."))?;
    match (check(job, &["is-in-service"])?, raised(job)?.as_slice()) {
        (Ok(_), []) => said(job, "Health check passed"),
        (Ok(_), alarms) => {
            Err(Fault::new(UNAVAILABLE, format!("Health check failed: {}", alarms.join("; "))))
        }
        (Err(why), _) => Err(Fault::new(
            UNAVAILABLE,
            format!("Health check failed: {}", why["reason"].as_str().unwrap_or_default()),
        )),
    }
}
