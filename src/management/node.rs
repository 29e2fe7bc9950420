//! The single node: process and machine metrics, read on request.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::response::Response;
use leveret_broker::alarms::Resource;
use leveret_store::Pressure;
use leveret_store::metrics::Metrics;
use serde_json::{Map, Value, json};

use super::access::{Level, Login};
use super::answer::{self, Query};
use super::error::{Refused, Result};
use super::node_info::{COMPATIBLE_WITH, VERSION};
use super::overview::exchange_types;
use super::rates::Totals;
use super::{Api, Shared};

/// Process figures from the operating system.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Usage {
    pub(super) files: u64,
    pub(super) files_max: u64,
}

impl Usage {
    /// Reads the figures; zeros where they cannot be read.
    pub(super) fn read() -> Self {
        let files = leveret_platform::open_files().unwrap_or(0);
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
        Self { files, files_max: limit.current.unwrap_or(u64::MAX >> 1) }
    }
}

/// The resources in alarm.
pub(super) fn alarms(api: &Shared) -> Vec<Resource> {
    let blocked = matches!(api.broker.store().pressure(), Pressure::Blocked(_));
    let raised =
        |resource: &Resource| api.broker.alarms.has(*resource) || (*resource == Resource::Disk && blocked);
    [Resource::Memory, Resource::Disk].into_iter().filter(raised).collect()
}

/// Conditions that need an operator, in words: why publishers are blocked, what cannot be read.
pub(super) fn reasons(api: &Shared) -> Option<String> {
    let blocked = match api.broker.store().pressure() {
        Pressure::Blocked(reason) => Some(reason),
        Pressure::None | Pressure::Full => None,
    };
    let unreadable = match api.broker.unreadable() {
        0 => None,
        count => {
            Some(format!("{count} queues wait for messages that the disk does not give; the log names them"))
        }
    };
    let reasons: Vec<_> = api.broker.alarms.reason().into_iter().chain(blocked).chain(unreadable).collect();
    (!reasons.is_empty()).then(|| reasons.join("; "))
}

fn shown(api: &Shared) -> Value {
    let usage = Usage::read();
    let uptime = api.broker.now().0.saturating_sub(api.facts.started.0);
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let (raised, limits) = (alarms(api), api.broker.alarms.limits());
    let totals = Totals::of(&api.broker);
    let mechanism = |name: &str| json!({ "name": name, "description": name, "enabled": true });
    let mut shown = json!({
        "name": &*api.facts.node,
        "type": "disc",
        "running": true,
        "being_drained": false,
        "uptime": uptime,
        "run_queue": 0,
        "processors": processors,
        "os_pid": std::process::id().to_string(),
        "fd_used": usage.files,
        "fd_total": usage.files_max,
        // AMQP connections and the requesting one: checks take 0 for 'unknown'.
        "sockets_used": api.broker.open_connections() + 1,
        "sockets_total": api.broker.limits().connections_max,
        // tokio tasks correspond to Erlang processes.
        "proc_used": tokio::runtime::Handle::current().metrics().num_alive_tasks(),
        "proc_total": 1_048_576,
        "mem_used": api.broker.alarms.resident(),
        "mem_limit": limits.resident_max,
        "mem_alarm": raised.contains(&Resource::Memory),
        "disk_free": api.broker.alarms.disk_free(),
        "disk_free_limit": limits.disk_free_min,
        "disk_free_alarm": raised.contains(&Resource::Disk),
        "rates_mode": "basic",
        "net_ticktime": 60,
        "enabled_plugins": [],
        "applications": [
            { "name": "rabbit", "description": "the API that is compatible with", "version": COMPATIBLE_WITH },
            { "name": "leveret", "description": "Leveret", "version": VERSION },
        ],
        "exchange_types": exchange_types(),
        "auth_mechanisms": [mechanism("PLAIN"), mechanism("AMQPLAIN")],
        "contexts": api.facts.contexts(),
        "db_dir": api.facts.process.data_dir.display().to_string(),
        "log_files": [],
        "config_files": [],
        "partitions": [],
        "cluster_links": [],
        "ra_open_file_metrics": {},
        "mem_calculation_strategy": "rss",
    });
    api.rates.snapshot().totals(&api.broker, &totals).churn.write_into(&mut shown);
    add_io(&api.facts.process.store, &mut shown);
    shown
}

/// File I/O of the message store. The operating system counts neither seeks nor reopened files.
fn add_io(store: &Metrics, shown: &mut Value) {
    let syncs = store.syncs.get();
    let all_us = store.sync_latency_us.sum();
    shown["io_write_count"] = store.commits.get().into();
    shown["io_write_bytes"] = store.bytes_written.get().into();
    shown["io_read_count"] = store.paged_reads.get().into();
    shown["io_read_bytes"] = store.paged_read_bytes.get().into();
    shown["io_sync_count"] = syncs.into();
    // In milliseconds, as in RabbitMQ.
    let average = Duration::from_micros(all_us.checked_div(syncs).unwrap_or_default());
    shown["io_sync_avg_time"] = json!(average.as_secs_f64() * 1000.0);
}

/// `GET nodes`.
pub(super) async fn all(State(api): State<Api>, login: Login, query: Query) -> Result<Response> {
    login.must_be(Level::Monitoring)?;
    answer::list(&query, vec![shown(&api)])
}

/// Refuses names that are not this node's.
pub(super) fn named(api: &Shared, name: &str) -> Result<()> {
    if api.facts.names.has(name) { Ok(()) } else { Err(Refused::not_found("node_not_found")) }
}

/// `GET nodes/:name`.
pub(super) async fn get(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.must_be(Level::Monitoring)?;
    named(&api, &name)?;
    answer::one(&query, &shown(&api))
}

/// `GET nodes/:name/memory`: message bodies are `binary`, everything else is `other_system`.
pub(super) async fn memory(
    State(api): State<Api>,
    login: Login,
    Path(name): Path<String>,
    query: Query,
) -> Result<Response> {
    login.must_be(Level::Monitoring)?;
    named(&api, &name)?;
    let (resident, messages) = (api.broker.alarms.resident(), api.broker.memory().held());
    let mut shown: Map<String, Value> =
        NOT_COUNTED.split_whitespace().map(|name| (name.to_owned(), json!(0))).collect();
    shown.insert("strategy".to_owned(), json!("rss"));
    shown.insert("binary".to_owned(), json!(messages));
    shown.insert("other_system".to_owned(), json!(resident.saturating_sub(messages)));
    let total = json!({ "erlang": resident, "rss": resident, "allocated": resident });
    shown.insert("total".to_owned(), total);
    answer::one(&query, &json!({ "memory": shown }))
}

/// Members of `RabbitMQ`'s answer without a counterpart here; its tools fail without them. Separated by spaces.
pub(super) const NOT_COUNTED: &str = "allocated_unused atom code connection_channels connection_other connection_readers \
    connection_writers metadata_store metadata_store_ets metrics mgmt_db mnesia msg_index other_ets \
    other_proc plugins queue_procs quorum_ets quorum_queue_procs reserved_unallocated \
    stream_queue_coordinator_procs stream_queue_procs stream_queue_replica_reader_procs";
