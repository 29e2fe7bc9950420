//! `leveret serve`: starts the components, waits for the stop signal, shuts them down.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use leveret_broker::Broker;
use leveret_broker::broker::Found;
use leveret_broker::login_options::LoginOptions;
use leveret_broker::token::Tokens;
use leveret_message::QueueId;
use leveret_message::stored::RecoveredQueue;
use leveret_store::definitions::{Definitions, DefinitionsError};
use leveret_store::folder::Folder;
use leveret_store::log::{Finding, LogStore, Options};
use leveret_store::watch::Unclean;
use rustix::fs::Mode;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config::{self, Config, ServeArgs};
use super::logging::{self, Log};
use super::notify::Notify;
use super::reload::Reload;
use crate::management;
use crate::net::proxied::Proxies;
use crate::net::tasks::Tasks;
use crate::net::tls::Tls;
use crate::net::{Server, descriptors, jwks, now};

type Failure = Box<dyn std::error::Error>;

/// Idle time after which a blocking thread ends. Each keeps memory from its work, which the system gets back when
/// it ends: after a burst of requests that was hundreds of megabytes for tokio's ten seconds and more.
const THREAD_KEEP_ALIVE: Duration = Duration::from_secs(1);

/// Runs the broker until it is told to stop. `unknown`: unrecognised variables, for the log.
pub fn run(args: &ServeArgs, unknown: &[config::Problem]) -> Result<(), Failure> {
    let config = config::load(args)?.config;
    let log = logging::start(&config.log_level, config.log_format);
    for variable in unknown {
        tracing::warn!("configuration: {variable}");
    }
    std::panic::set_hook(Box::new(|panic| tracing::error!("{panic}")));
    descriptors::raise_limit();
    // Messages and password hashes: files written by the broker are for its own user alone.
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let folder = Folder::open(&config.data_dir)?;
    keep_private(&folder);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_keep_alive(THREAD_KEEP_ALIVE)
        .build()?;
    let served = runtime.block_on(serve(args, &config, &folder, log));
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Restricts the permissions of files that an earlier version left readable to others.
fn keep_private(folder: &Folder) {
    let narrowed = folder.keep_private();
    if let Some(first) = narrowed.done.first() {
        let count = narrowed.done.len();
        tracing::warn!(
            "data folder: others could read {count} of its entries, and cannot any more: {} first",
            first.display()
        );
    }
    for (path, error) in &narrowed.failed {
        tracing::warn!("data folder: others may read {}: {error}", path.display());
    }
}

async fn serve(args: &ServeArgs, config: &Config, folder: &Folder, log: Log) -> Result<(), Failure> {
    let hangup = signal(SignalKind::hangup())?;
    let mut reload = Reload::new(args.clone(), config.clone());
    let level = log.clone();
    reload.on("log_level", move |config| level.set_level(&config.log_level));
    tokio::spawn(log.clone().tell_suppressed());
    let started = tokio::time::Instant::now();
    let relieved: Arc<OnceLock<Weak<Broker>>> = Arc::default();
    let Data { store, definitions, queues, started_before } = open(folder, &relieving(&relieved))?;
    let tls = config.tls()?.map(Tls::open).transpose()?;
    let tasks = Tasks::new();
    let found = found(&definitions, queues, started_before)?;
    let login_options = LoginOptions {
        login_failures_per_minute: config.login_failures_per_minute,
        tokens: tokens(config, &tasks)?,
        admin: config.admin()?,
    };
    let broker = Broker::start(
        config.limits(),
        login_options,
        Arc::clone(&store) as _,
        Box::new(Arc::clone(&definitions)),
        found,
        now,
    )?;
    folder.note_started();
    broker.announce_as(config.product.clone());
    let _ = relieved.set(Arc::downgrade(&broker));
    broker.alarms.set_limits(config.alarms());
    reload_limits(&mut reload, &broker);
    let server = Server::start(
        Arc::clone(&broker),
        folder.path(),
        Proxies::new(config.proxy_protocol_trusted.clone()),
        &tasks,
    );
    let (amqp, amqps) = listen(&server, config, tls.as_ref()).await?;
    if let Some(tls) = &tls {
        tasks.spawn("the watch over certificates", Arc::clone(tls).watch());
        reload_certificate(&mut reload, tls);
    }
    let process = management::Process {
        amqp,
        amqps,
        tls,
        data_dir: folder.path().to_owned(),
        http_timeout: Duration::from_millis(config.http_timeout_ms),
        http_proxies: Proxies::new(config.http_proxy_protocol_trusted.clone()),
        allowed_hosts: config.http_allowed_hosts.clone(),
        ui_dir: config.ui_dir.clone(),
        node_name: config.node_name.clone().map(|name| name.0),
        topology: config.topology.clone(),
        tasks: Arc::clone(&tasks),
        log: log.recent(),
        store: store.metrics(),
    };
    let (listening, topology) = management::listen(Arc::clone(&broker), process, asked(config)).await?;
    server.open();
    reload.on("topology", move |config| topology.reload(config.topology.as_deref()));
    announce(folder, started.elapsed());
    tell(amqp, amqps, listening, broker.users.user("guest").is_some());

    let failed = tokio::select! {
        stopped = until_stopped(reload, hangup) => stopped.map(|()| None)?,
        failed = tasks.failed() => Some(failed),
    };
    tracing::info!("stopping: closing connections");
    server.shut_down().await;
    take_apart(&tasks, &store, &definitions).await?;
    failed.map_or(Ok(()), |task| Err(format!("{task} has failed; the log says why").into()))
}

/// What a data folder holds.
struct Data {
    store: Arc<LogStore>,
    definitions: Arc<Definitions>,
    queues: HashMap<QueueId, RecoveredQueue>,
    started_before: bool,
}

/// Opens the data folder, and reports what is wrong with it.
fn open(folder: &Folder, options: &Options) -> Result<Data, Failure> {
    folder.release_reserve();
    // First, as it may have memory to give back.
    let (store, mut recovered) =
        LogStore::open(folder.path(), options).map_err(|error| explained(error, folder))?;
    let (definitions, findings) =
        Definitions::open(folder.path()).map_err(|error| explained(error, folder))?;
    let started_before = folder.was_started() || !findings.is_empty();
    report(findings.into_iter().chain(std::mem::take(&mut recovered.findings)));
    store.watch_also(definitions.pulses());
    let (store, definitions) = (Arc::new(store), Arc::new(definitions));
    Ok(Data { store, definitions, queues: recovered.queues, started_before })
}

/// The certificate is read again on SIGHUP.
fn reload_certificate(reload: &mut Reload, tls: &Arc<Tls>) {
    let tls = Arc::clone(tls);
    reload.on("TLS certificate", move |_| tls.reload().map_err(|error| error.to_string()));
}

/// Limits and alarms follow the configuration.
fn reload_limits(reload: &mut Reload, broker: &Arc<Broker>) {
    let limited = Arc::clone(broker);
    reload.on("limits", move |config| {
        limited.set_limits(config.limits());
        Ok(())
    });
    let watched = Arc::clone(broker);
    reload.on("alarms", move |config| {
        watched.alarms.set_limits(config.alarms());
        Ok(())
    });
}

/// Listens for AMQP, and for AMQP over TLS if that is configured. Returns both addresses.
async fn listen(
    server: &Server,
    config: &Config,
    tls: Option<&Arc<Tls>>,
) -> Result<(SocketAddr, Option<SocketAddr>), Failure> {
    let amqp = server.listen(config.amqp_listen, None).await?;
    let amqps = match (config.amqps_listen, tls) {
        (Some(address), Some(tls)) => Some(server.listen(address, Some(Arc::clone(tls))).await?),
        _ => None,
    };
    Ok((amqp, amqps))
}

fn announce(folder: &Folder, took: Duration) {
    tracing::info!(
        "leveret {} ({}) started in {} ms, data in {}",
        env!("CARGO_PKG_VERSION"),
        env!("BUILT_COMMIT"),
        took.as_millis(),
        folder.path().display()
    );
}

/// Why the folder cannot be opened.
fn explained(error: impl std::error::Error + 'static, folder: &Folder) -> Failure {
    match folder.lacks_room() {
        None => format!("the data folder {}: {error}", folder.path().display()).into(),
        Some(why) => format!("{error}; {why}").into(),
    }
}

/// Stops the tasks, then the components that they use.
async fn take_apart(tasks: &Tasks, store: &LogStore, definitions: &Definitions) -> Result<(), Unclean> {
    // Any task still running would find a closed store and no timers.
    tasks.stop().await;
    let ended = tokio::task::block_in_place(|| store.close().and(definitions.close()));
    match &ended {
        Ok(()) => tracing::info!("stopped"),
        Err(unclean) => tracing::error!("stopped: {unclean}"),
    }
    ended
}

/// The token verifier, if configured; its keys arrive soon after.
fn tokens(config: &Config, tasks: &Arc<Tasks>) -> Result<Option<Arc<Tokens>>, Failure> {
    let Some((settings, source)) = config.tokens()? else { return Ok(None) };
    let tokens = Arc::new(Tokens::new(settings));
    if let Some(source) = source {
        let refresh = Duration::from_secs(config.oauth_jwks_refresh.into());
        tasks.spawn("keeping the keys of tokens", jwks::keep(Arc::clone(&tokens), source, refresh));
    }
    Ok(Some(tokens))
}

/// Logs damaged or missing parts of the data folder.
fn report(findings: impl Iterator<Item = Finding>) {
    for finding in findings {
        tracing::error!("data folder: {finding}");
    }
}

/// The state that the broker starts from. No id is reused, whatever was lost.
fn found(
    definitions: &Definitions,
    queues: HashMap<QueueId, RecoveredQueue>,
    started_before: bool,
) -> Result<Found, DefinitionsError> {
    if let Some(last) = queues.keys().map(|queue| queue.0).max() {
        definitions.raise_ids(last)?;
    }
    let (all, remnants) = (definitions.all(), definitions.remnants());
    if started_before && all.is_empty() {
        tracing::error!("data folder: all definitions are gone, though a broker has started on it before");
    }
    Ok(Found { definitions: all, remnants, queues, started_before })
}

/// How the store tells the broker that space is available again.
fn relieving(broker: &Arc<OnceLock<Weak<Broker>>>) -> Options {
    let broker = Arc::clone(broker);
    Options {
        relief: Arc::new(move || {
            if let Some(broker) = broker.get().and_then(Weak::upgrade) {
                broker.relieve();
            }
        }),
        ..Options::default()
    }
}

/// Reloads on request and keeps systemd informed, until the stop signal.
async fn until_stopped(reload: Reload, hangup: Signal) -> std::io::Result<()> {
    let notify = Notify::from_environment();
    notify.ready();
    tokio::spawn(notify.clone().keep_alive());
    let reloading = tokio::spawn(reload.whenever(hangup));
    let outcome = stopped().await;
    reloading.abort();
    notify.stopping();
    outcome
}

/// Logs where the dashboard is, and that the user of a first start is for this machine.
fn tell_dashboard(listening: &management::Listening, guest: bool) {
    let (scheme, mut address) = match listening.https {
        Some(address) => ("https", address),
        None => ("http", listening.http),
    };
    if address.ip().is_unspecified() {
        address.set_ip(Ipv4Addr::LOCALHOST.into());
    }
    let guest = if guest { "; user guest may log in from this machine only" } else { "" };
    tracing::info!("dashboard at {scheme}://{address}/{guest}");
}

/// Logs the listeners; AMQP last, the line that most readers of the log wait for.
fn tell(amqp: SocketAddr, amqps: Option<SocketAddr>, listening: management::Listening, guest: bool) {
    tell_dashboard(&listening, guest);
    let management::Listening { http, https, metrics, metrics_tls } = listening;
    let all = [
        ("http", Some(http)),
        ("https", https),
        ("metrics", Some(metrics)),
        ("metrics-tls", metrics_tls),
        ("amqps", amqps),
        ("amqp", Some(amqp)),
    ];
    for (name, address) in all {
        if let Some(address) = address {
            tracing::info!("{name} listening on {address}");
        }
    }
}

const fn asked(config: &Config) -> management::Listening {
    management::Listening {
        http: config.http_listen,
        https: config.https_listen,
        metrics: config.metrics_listen,
        metrics_tls: config.metrics_tls_listen,
    }
}

async fn stopped() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}
