//! `status`, `cluster_status` and `memory_breakdown`: summaries of the node.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::fault::Fault;
use super::job::{Job, member};
use super::{checks, node};

/// A heading, bold as in `RabbitMQ`'s tools.
fn heading(text: &mut String, words: &str) {
    let _ = write!(text, "\u{1b}[1m{words}\u{1b}[0m\n\n");
}

fn bytes_in(unit: &str, bytes: f64) -> (f64, &'static str) {
    match unit.to_lowercase().as_str() {
        "bytes" | "b" => (bytes, "bytes"),
        "kb" => (bytes / 1e3, "kb"),
        "mb" => (bytes / 1e6, "mb"),
        "tb" => (bytes / 1e12, "tb"),
        _ => (bytes / 1e9, "gb"),
    }
}

/// Bytes in the requested unit, to at most four decimal places, as Elixir writes them.
fn size(job: &Job, bytes: &Value) -> String {
    let (number, unit) =
        bytes_in(job.line.option("unit").unwrap_or("gb"), bytes.as_f64().unwrap_or_default());
    let rounded = (number * 10_000.0).round() / 10_000.0;
    format!("{rounded:?} {unit}")
}

/// Per cent, to two decimal places.
#[expect(clippy::cast_precision_loss, reason = "rounded anyhow")]
fn share(bytes: u64, total: u64) -> f64 {
    (bytes as f64 / total.max(1) as f64 * 10_000.0).round() / 100.0
}

/// Memory of the message store and the rest, largest first, with their share of the total.
fn memory_of(memory: &Value) -> Vec<(String, u64, f64)> {
    let total = memory["total"]["rss"].as_u64().unwrap_or_default();
    let mut parts: Vec<_> = memory
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, value)| Some((name.clone(), value.as_u64()?)))
        .map(|(name, bytes)| (name, bytes, share(bytes, total)))
        .collect();
    parts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    parts
}

/// The responses combined, as in `status --formatter json`.
fn gathered(job: &Job) -> Result<Value, Fault> {
    let overview = job.get(["overview"])?;
    let name = overview["node"].as_str().unwrap_or_default();
    let node = job.get(["nodes", name])?;
    let memory = member(&job.get(["nodes", name, "memory"])?, "memory");
    let alarms: Vec<&str> = [("mem_alarm", "memory"), ("disk_free_alarm", "disk")]
        .into_iter()
        .filter_map(|(flag, what)| (node[flag] == true).then_some(what))
        .collect();
    let vhosts = job.list(["vhosts"])?.len();
    let pid = node["os_pid"].as_str().and_then(|pid| pid.parse::<u64>().ok());
    Ok(json!({
        "pid": pid,
        "os": "Linux",
        "uptime": node["uptime"].as_u64().unwrap_or_default() / 1000,
        "is_under_maintenance": false,
        "rabbitmq_version": overview["rabbitmq_version"],
        "product_name": overview["product_name"],
        "product_version": overview["product_version"],
        "release_series_support_status": overview["release_series_support_status"],
        "node": name,
        "erlang_version": overview["erlang_full_version"],
        "crypto_lib_version": overview["crypto_lib_version"],
        "processes": { "limit": node["proc_total"], "used": node["proc_used"] },
        "run_queue": node["run_queue"],
        "net_ticktime": node["net_ticktime"],
        "active_plugins": node["enabled_plugins"],
        "enabled_plugin_file": "",
        "data_directory": node["db_dir"],
        "raft_data_directory": "",
        "config_files": node["config_files"],
        "log_files": node["log_files"],
        "alarms": alarms,
        "memory": memory,
        "vm_memory_calculation_strategy": node["mem_calculation_strategy"],
        "vm_memory_high_watermark_limit": node["mem_limit"],
        "vm_memory_high_watermark_setting": { "absolute": node["mem_limit"] },
        "file_descriptors": {
            "total_limit": node["fd_total"], "total_used": node["fd_used"],
            "sockets_limit": node["sockets_total"], "sockets_used": node["sockets_used"],
        },
        "disk_free": node["disk_free"],
        "disk_free_limit": node["disk_free_limit"],
        "totals": {
            "virtual_host_count": vhosts,
            "connection_count": overview["object_totals"]["connections"],
            "queue_count": overview["object_totals"]["queues"],
        },
        "listeners": checks::of_node(&overview),
    }))
}

fn lines(text: &mut String, status: &Value, pairs: &[(&str, &str)]) {
    for (words, name) in pairs {
        let value = match &status[*name] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let _ = writeln!(text, "{words}: {value}");
    }
    text.push('\n');
}

fn items(text: &mut String, list: &Value) {
    let list = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    let before = text.len();
    for item in list {
        let _ = writeln!(text, " * {item}");
    }
    text.push_str(if text.len() == before { "(none)\n\n" } else { "\n" });
}

fn status_text(job: &Job, status: &Value) -> String {
    let mut text = String::new();
    heading(&mut text, "Runtime");
    let runtime = [
        ("OS PID", "pid"),
        ("OS", "os"),
        ("Uptime (seconds)", "uptime"),
        ("Is under maintenance?", "is_under_maintenance"),
        ("Product name", "product_name"),
        ("Product version", "product_version"),
        ("RabbitMQ version", "rabbitmq_version"),
        ("RabbitMQ release series support status", "release_series_support_status"),
        ("Node name", "node"),
    ];
    lines(&mut text, status, &runtime);
    heading(&mut text, "Data directory");
    lines(&mut text, status, &[("Node data directory", "data_directory")]);
    heading(&mut text, "Alarms");
    items(&mut text, &status["alarms"]);
    heading(&mut text, "Memory");
    let memory = &status["memory"];
    let _ = writeln!(text, "Total memory used: {}", size(job, &memory["total"]["rss"]));
    let _ = writeln!(text, "Calculation strategy: {}", memory["strategy"].as_str().unwrap_or_default());
    let limit = size(job, &status["vm_memory_high_watermark_limit"]);
    let _ = writeln!(text, "Memory high watermark setting: {limit}, computed to: {limit}\n");
    for (name, bytes, share) in memory_of(memory).into_iter().filter(|part| part.1 > 0) {
        let _ = writeln!(text, "{name}: {} ({share:?} %)", size(job, &bytes.into()));
    }
    text.push('\n');
    heading(&mut text, "File Descriptors");
    let files = &status["file_descriptors"];
    let _ = writeln!(text, "Total: {}, limit: {}", files["total_used"], files["total_limit"]);
    let _ = writeln!(text, "Sockets: {}, limit: {}\n", files["sockets_used"], files["sockets_limit"]);
    heading(&mut text, "Free Disk Space");
    let _ = writeln!(text, "Low free disk space watermark: {}", size(job, &status["disk_free_limit"]));
    let _ = writeln!(text, "Free disk space: {}\n", size(job, &status["disk_free"]));
    heading(&mut text, "Totals");
    let totals = &status["totals"];
    let _ = writeln!(text, "Connection count: {}", totals["connection_count"]);
    let _ = writeln!(text, "Queue count: {}", totals["queue_count"]);
    let _ = writeln!(text, "Virtual host count: {}\n", totals["virtual_host_count"]);
    heading(&mut text, "Listeners");
    let listeners: Vec<_> = status["listeners"].as_array().into_iter().flatten().map(checks::line).collect();
    text + &listeners.join("\n")
}

pub(super) fn status(job: &Job) -> Result<(), Fault> {
    let status = gathered(job)?;
    job.say(&format!("Status of node {} ...", status["node"].as_str().unwrap_or_default()))?;
    job.either(&status_text(job, &status), &status)
}

pub(super) fn cluster_status(job: &Job) -> Result<(), Fault> {
    let status = gathered(job)?;
    let node = status["node"].as_str().unwrap_or_default();
    let cluster = member(&job.get(["cluster-name"])?, "name");
    job.say(&format!("Cluster status of node {node} ..."))?;
    let by_node = |value: Value| Value::Object(Map::from_iter([(node.to_owned(), value)]));
    let versions = json!({
        "rabbitmq_name": status["product_name"], "rabbitmq_version": status["rabbitmq_version"],
        "erlang_version": status["erlang_version"],
    });
    let whole = json!({
        "cluster_name": cluster, "disk_nodes": [node], "ram_nodes": [], "running_nodes": [node], "partitions": {},
        "alarms": status["alarms"], "feature_flags": node::feature_flags(),
        "listeners": by_node(status["listeners"].clone()),
        "maintenance_status": by_node("not under maintenance".into()),
        "versions": by_node(versions),
    });
    let mut text = String::new();
    heading(&mut text, "Basics");
    let _ = write!(text, "Cluster name: {}\n\n", cluster.as_str().unwrap_or_default());
    for title in ["Disk Nodes", "Running Nodes"] {
        heading(&mut text, title);
        let _ = write!(text, "{node}\n\n");
    }
    heading(&mut text, "Versions");
    let (name, version) = (status["product_name"].as_str(), status["product_version"].as_str());
    let _ = write!(text, "{node}: {} {}\n\n", name.unwrap_or_default(), version.unwrap_or_default());
    heading(&mut text, "Maintenance status");
    let _ = write!(text, "Node: {node}, status: not under maintenance\n\n");
    heading(&mut text, "Alarms");
    items(&mut text, &status["alarms"]);
    heading(&mut text, "Network Partitions");
    text.push_str("(none)\n\n");
    heading(&mut text, "Listeners");
    for listener in status["listeners"].as_array().into_iter().flatten() {
        let line = checks::line(listener);
        let _ = writeln!(text, "Node: {node}, i{}", line.trim_start_matches('I'));
    }
    text.push('\n');
    heading(&mut text, "Feature flags");
    let flags = node::feature_flags();
    let flags: Vec<_> = flags
        .iter()
        .map(|flag| format!("Flag: {}, state: enabled", flag["name"].as_str().unwrap_or_default()))
        .collect();
    job.either(&(text + &flags.join("\n")), &whole)
}

pub(super) fn memory(job: &Job) -> Result<(), Fault> {
    let node = job.node()?;
    let memory = member(&job.get(["nodes", &node, "memory"])?, "memory");
    job.say(&format!("Reporting memory breakdown on node {node}..."))?;
    let parts = memory_of(&memory);
    let mut text = String::new();
    for (name, bytes, share) in &parts {
        let _ = writeln!(text, "{name}: {} ({share:?}%)", size(job, &(*bytes).into()));
    }
    let whole: Map<String, Value> = parts
        .into_iter()
        .map(|(name, bytes, share)| (name, json!({ "bytes": bytes, "percentage": share })))
        .collect();
    job.either(&text, &Value::Object(whole))
}
