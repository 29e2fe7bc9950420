//! `leveret serve`: puts the parts together, waits for the signal to stop, takes them apart.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use leveret_queues::QueueId;
use leveret_queues::store::definitions::Definitions;
use leveret_queues::store::folder::Folder;
use leveret_queues::store::log::{LogStore, Options};
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::config::{self, Config, ServeArgs};
use super::logging::{self, Log};
use super::notify::Notify;
use super::reload::Reload;
use crate::broker::Broker;
use crate::broker::broker::Found;
use crate::broker::security::Security;
use crate::broker::token::Tokens;
use crate::management;
use crate::net::proxied::Proxies;
use crate::net::tls::Tls;
use crate::net::{Server, jwks, now};

type Failure = Box<dyn std::error::Error>;

/// Runs the broker until it is told to stop. `unknown`: variables that mean nothing, for the log.
pub fn run(args: &ServeArgs, unknown: &[config::Problem]) -> Result<(), Failure> {
    let config = config::load(args)?.config;
    let log = logging::start(&config.log_level, config.log_format);
    for variable in unknown {
        tracing::warn!("configuration: {variable}");
    }
    let folder = Folder::open(&config.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(args, &config, &folder, log));
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

async fn serve(args: &ServeArgs, config: &Config, folder: &Folder, log: Log) -> Result<(), Failure> {
    let hangup = signal(SignalKind::hangup())?;
    let mut reload = Reload::new(args.clone(), config.clone());
    let level = log.clone();
    reload.on("log_level", move |config| level.set_level(&config.log_level));
    tokio::spawn(log.clone().tell_suppressed());
    let started = tokio::time::Instant::now();
    let relieved: Arc<OnceLock<Weak<Broker>>> = Arc::default();
    let options = relieving(&relieved);
    let (definitions, mut findings) = Definitions::open(folder.path())?;
    let (store, recovered) = LogStore::open(folder.path(), &options)?;
    findings.extend(recovered.findings);
    for finding in findings {
        tracing::error!("data folder: {finding}");
    }
    let store = Arc::new(store);
    let definitions = Arc::new(definitions);
    let tls = config.tls()?.map(Tls::open).transpose()?;
    let tokens = tokens(config)?;
    let found = Found { definitions: definitions.all(), queues: recovered.queues };
    let broker = Broker::start(
        config.limits(),
        Security {
            login_failures_per_minute: config.login_failures_per_minute,
            tokens,
            admin: config.admin()?,
        },
        Arc::clone(&store) as _,
        Box::new(Arc::clone(&definitions)),
        found,
        now,
    )?;
    let limited = Arc::clone(&broker);
    reload.on("limits", move |config| {
        limited.set_limits(config.limits());
        Ok(())
    });
    let _ = relieved.set(Arc::downgrade(&broker));
    let known: HashSet<QueueId> = broker.durable_queue_ids();
    store.retain_queues(&known)?;

    broker.alarms.set_limits(config.alarms());
    let watched = Arc::clone(&broker);
    reload.on("alarms", move |config| {
        watched.alarms.set_limits(config.alarms());
        Ok(())
    });
    let server = Server::start(
        Arc::clone(&broker),
        folder.path(),
        Proxies::new(config.proxy_protocol_trusted.clone()),
    );
    let amqp = server.listen(config.amqp_listen, None).await?;
    let amqps = match (config.amqps_listen, &tls) {
        (Some(address), Some(tls)) => Some(server.listen(address, Some(Arc::clone(tls))).await?),
        _ => None,
    };
    if let Some(tls) = &tls {
        tokio::spawn(Arc::clone(tls).watch());
        let tls = Arc::clone(tls);
        reload.on("TLS certificate", move |_| tls.reload().map_err(|error| error.to_string()));
    }
    let process = management::Process {
        amqp,
        amqps,
        tls,
        data_dir: folder.path().to_owned(),
        http_timeout: Duration::from_millis(config.http_timeout_ms),
        http_proxies: Proxies::new(config.http_proxy_protocol_trusted.clone()),
        ui_dir: config.ui_dir.clone(),
        topology: config.topology.clone(),
        log: log.recent(),
        store: store.metrics(),
    };
    let (listening, topology) = management::listen(Arc::clone(&broker), process, asked(config)).await?;
    server.open();
    reload.on("topology", move |config| topology.reload(config.topology.as_deref()));
    tracing::info!(
        "leveret {} ({}) started in {} ms, data in {}",
        env!("CARGO_PKG_VERSION"),
        env!("BUILT_COMMIT"),
        started.elapsed().as_millis(),
        folder.path().display()
    );
    tell(amqp, amqps, listening);

    until_stopped(reload, hangup).await?;
    tracing::info!("stopping: closing connections");
    server.shut_down().await;
    tokio::task::block_in_place(|| {
        store.close();
        definitions.close();
    });
    tracing::info!("stopped");
    Ok(())
}

/// What verifies tokens, if they are configured; its keys come soon.
fn tokens(config: &Config) -> Result<Option<Arc<Tokens>>, Failure> {
    let Some((settings, source)) = config.tokens()? else { return Ok(None) };
    let tokens = Arc::new(Tokens::new(settings));
    if let Some(source) = source {
        let refresh = Duration::from_secs(config.oauth_jwks_refresh.into());
        tokio::spawn(jwks::keep(Arc::clone(&tokens), source, refresh));
    }
    Ok(Some(tokens))
}

/// How the store tells the broker that there is room again.
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

/// Reloads when told to, and says to systemd how it goes, until the signal to stop.
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

/// Says what listens where; AMQP last, which most who read the log wait for.
fn tell(amqp: SocketAddr, amqps: Option<SocketAddr>, listening: management::Listening) {
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
