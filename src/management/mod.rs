//! The management HTTP API and metrics, on the same broker calls that channels use.
//!
//! Invariants: every path below `/api` requires a login except those in `access::PUBLIC`; permissions are checked
//! anew on every call; paths, bodies, answers and errors are `RabbitMQ`'s (docs/http-api.md), so that its tools work;
//! nothing from a request is held longer than the request.
//! Absent: views of its own on queues or users. Rates come from one task that samples counters.

mod access;
mod accounts;
mod answer;
mod attempts;
mod audit;
mod binding_key;
mod bindings;
mod body;
mod columns;
mod connections;
mod consumers;
mod counter_rates;
mod definitions;
mod delayed;
mod error;
mod events;
mod exchanges;
mod explain;
mod export;
mod exposition;
mod get;
mod health;
mod history;
mod hosts;
mod import;
mod limits;
mod lint;
mod local;
mod login;
mod logs;
mod lost;
mod metrics;
mod node;
mod node_info;
mod node_names;
mod openapi;
mod overview;
mod parameters;
mod paths;
mod pending;
mod policies;
mod publish;
mod queue_row;
mod queues;
mod rates;
mod redrive;
mod routes;
mod schemas;
mod series;
mod server;
mod sessions;
mod shape;
mod store_metrics;
mod tables;
mod topic_permissions;
mod topology;
mod turns;
mod ui;
mod unsupported;
mod vhosts;
mod visitors;
mod weighed;
mod write_timeout;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use leveret_broker::Broker;
use tokio::net::TcpListener;

use crate::net::proxied::Proxies;
use crate::net::tasks::Tasks;
use crate::net::tls::Tls;
use crate::recent_log::RecentLog;
pub use audit::COUNT;
pub use columns::Columns;
pub use local::socket_of;
pub(crate) use node_info::COMPATIBLE_WITH;
pub use server::ListenError;
pub use topology::DeclaredTopology;

/// Facts about the process that the broker does not know.
#[derive(Clone)]
pub struct Process {
    /// AMQP listener address.
    pub amqp: SocketAddr,
    /// AMQP over TLS listener address.
    pub amqps: Option<SocketAddr>,
    /// TLS configuration.
    pub tls: Option<Arc<Tls>>,
    /// The data folder.
    pub data_dir: PathBuf,
    /// Time limit for an HTTP request, and for an idle connection.
    pub http_timeout: Duration,
    /// Trusted proxies of the API.
    pub http_proxies: Proxies,
    /// Host names accepted in addition to the built-in ones.
    pub allowed_hosts: Vec<String>,
    /// Folder of the dashboard's files; the embedded ones if `None`.
    pub ui_dir: Option<PathBuf>,
    /// Tasks that run for the life of the broker.
    pub tasks: Arc<Tasks>,
    /// Node name; `leveret@` and the host name if `None`.
    pub node_name: Option<String>,
    /// The last lines of the log.
    pub log: Arc<RecentLog>,
    /// The message store's counters.
    pub store: Arc<leveret_store::metrics::Metrics>,
    /// The topology applied before the first client is admitted, and compared with from then on.
    pub topology: Option<PathBuf>,
}

/// Why the management API cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A listener address cannot be bound.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The declared topology cannot be applied; the text gives the place and the reason.
    #[error("topology: {0}")]
    Topology(String),
}

/// State shared by all requests.
struct Shared {
    broker: Arc<Broker>,
    facts: node_info::NodeInfo,
    rates: Arc<rates::Rates>,
    logins: access::Logins,
    streams: events::Streams,
    turns: turns::Turns,
    sessions: sessions::Sessions,
    topology: topology::Declared,
}

type Api = Arc<Shared>;

/// Addresses of the API and the metrics. As a request, port 0 means any port; as a result, the actual ports.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// The management API.
    pub http: SocketAddr,
    /// The same over TLS.
    pub https: Option<SocketAddr>,
    /// Metrics for Prometheus.
    pub metrics: SocketAddr,
    /// The same over TLS.
    pub metrics_tls: Option<SocketAddr>,
}

/// Applies the declared topology, then serves the management API and the metrics. Also returns the handle that
/// re-applies the topology.
///
/// # Errors
/// If an address cannot be bound, or the topology is invalid.
pub async fn listen(
    broker: Arc<Broker>,
    process: Process,
    asked: Listening,
) -> Result<(Listening, DeclaredTopology), StartError> {
    let (http_listener, http) = bind(asked.http, "http_listen").await?;
    let (metrics_listener, metrics) = bind(asked.metrics, "metrics_listen").await?;
    let encrypted = encrypted(asked.https, "https_listen", process.tls.as_ref()).await?;
    let encrypted_metrics =
        self::encrypted(asked.metrics_tls, "metrics_tls_listen", process.tls.as_ref()).await?;
    let https = encrypted.as_ref().map(|(_, address, _)| *address);
    let metrics_tls = encrypted_metrics.as_ref().map(|(_, address, _)| *address);
    let listening = Listening { http, https, metrics, metrics_tls };
    let tasks = Arc::clone(&process.tasks);
    let rates = rates::start(Arc::clone(&broker), &tasks);
    let ui = ui::router(process.ui_dir.clone());
    let declared = process.topology.clone();
    let (timeout, http_proxies) = (process.http_timeout, process.http_proxies.clone());
    let allowed_hosts = process.allowed_hosts.clone();
    let facts = node_info::NodeInfo::new(process, listening, broker.now());
    let api = Arc::new(Shared {
        broker,
        facts,
        rates,
        logins: access::Logins::default(),
        streams: events::Streams::default(),
        turns: turns::Turns::default(),
        sessions: sessions::Sessions::default(),
        topology: topology::Declared::default(),
    });
    topology::start(&api, declared.as_deref()).map_err(StartError::Topology)?;
    let router = routes::all(&api, ui);
    tasks.spawn("the watch over streams of events", events::cut_off_slow(Arc::clone(&api)));
    let serving = |tls, address| server::Serving {
        broker: Arc::clone(&api.broker),
        tasks: Arc::clone(&tasks),
        tls,
        proxies: http_proxies.clone(),
        hosts: hosts::Hosts::new(&allowed_hosts, address),
        always: access::is_always_answered,
        timeout,
    };
    let of_metrics = |tls, address| server::Serving {
        proxies: Proxies::default(),
        always: |_| true,
        ..serving(tls, address)
    };
    local::start(&api.facts.process.data_dir, router.clone(), timeout, &tasks);
    let metrics = metrics::router(Arc::clone(&api));
    if let Some((listener, address, tls)) = encrypted_metrics {
        server::start(listener, metrics.clone(), of_metrics(Some(tls), address));
    }
    server::start(metrics_listener, metrics, of_metrics(None, listening.metrics));
    if let Some((listener, address, tls)) = encrypted {
        server::start(listener, router.clone(), serving(Some(tls), address));
    }
    server::start(http_listener, router, serving(None, http));
    Ok((listening, DeclaredTopology(api)))
}

async fn encrypted(
    asked: Option<SocketAddr>,
    key: &'static str,
    tls: Option<&Arc<Tls>>,
) -> Result<Option<(TcpListener, SocketAddr, Arc<Tls>)>, ListenError> {
    let (Some(address), Some(tls)) = (asked, tls) else { return Ok(None) };
    let (listener, address) = bind(address, key).await?;
    Ok(Some((listener, address, Arc::clone(tls))))
}

async fn bind(address: SocketAddr, key: &'static str) -> Result<(TcpListener, SocketAddr), ListenError> {
    let failed = |source| ListenError { key, address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    Ok((listener, local))
}
