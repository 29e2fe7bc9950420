//! `leveret serve`: puts the parts together, waits for the signal to stop, takes them apart.

use std::collections::HashSet;
use std::sync::{Arc, OnceLock, Weak};

use leveret_queues::QueueId;
use leveret_queues::store::definitions::Definitions;
use leveret_queues::store::folder::Folder;
use leveret_queues::store::log::{LogStore, Options};
use tokio::signal::unix::{SignalKind, signal};

use super::config::{self, Config, ServeArgs};
use super::logging::{self, Log};
use super::reload::Reload;
use crate::broker::Broker;
use crate::broker::broker::Found;
use crate::management;
use crate::net::{Server, now};

type Failure = Box<dyn std::error::Error>;

/// Runs the broker until it is told to stop.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    let config = config::load(args)?.config;
    let log = logging::start(&config.log_level, config.log_format);
    let folder = Folder::open(&config.data_dir)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let served = runtime.block_on(serve(args, &config, &folder, log));
    runtime.shutdown_timeout(std::time::Duration::from_secs(1));
    served
}

async fn serve(args: &ServeArgs, config: &Config, folder: &Folder, log: Log) -> Result<(), Failure> {
    let hangup = signal(SignalKind::hangup())?;
    let mut reload = Reload::new(args.clone(), config.clone());
    reload.on("log_level", move |config| log.set_level(&config.log_level));
    let started = tokio::time::Instant::now();
    let relieved: Arc<OnceLock<Weak<Broker>>> = Arc::default();
    let hook = Arc::clone(&relieved);
    let options = Options {
        relief: Arc::new(move || {
            if let Some(broker) = hook.get().and_then(Weak::upgrade) {
                broker.relieve();
            }
        }),
        ..Options::default()
    };
    let (definitions, mut findings) = Definitions::open(folder.path())?;
    let (store, recovered) = LogStore::open(folder.path(), &options)?;
    findings.extend(recovered.findings);
    for finding in findings {
        tracing::error!("data folder: {finding}");
    }
    let store = Arc::new(store);
    let definitions = Arc::new(definitions);
    let found = Found { definitions: definitions.all(), queues: recovered.queues };
    let broker = Broker::start(
        config.limits(),
        Arc::clone(&store) as _,
        Box::new(Arc::clone(&definitions)),
        found,
        now,
    )?;
    let _ = relieved.set(Arc::downgrade(&broker));
    let known: HashSet<QueueId> = broker.durable_queue_ids();
    store.retain_queues(&known)?;

    let server = Server::start(Arc::clone(&broker));
    let amqp = server.listen(config.amqp_listen).await?;
    let process = management::Process {
        amqp,
        data_dir: folder.path().to_owned(),
        ui_dir: config.ui_dir.clone(),
        topology: config.topology.clone(),
    };
    let management::Listening { http, metrics, topology } =
        management::listen(Arc::clone(&broker), process, config.http_listen, config.metrics_listen).await?;
    server.open();
    reload.on("topology", move |config| {
        config.topology.as_deref().map_or(Ok(()), |path| topology.reload(path))
    });
    tracing::info!(
        "leveret {} started in {} ms, data in {}",
        env!("CARGO_PKG_VERSION"),
        started.elapsed().as_millis(),
        folder.path().display()
    );
    tracing::info!("amqp listening on {amqp}");
    tracing::info!("http listening on {http}");
    tracing::info!("metrics listening on {metrics}");

    let reloading = tokio::spawn(reload.whenever(hangup));
    stopped().await?;
    reloading.abort();
    tracing::info!("stopping: closing connections");
    server.shut_down().await;
    tokio::task::block_in_place(|| {
        store.close();
        definitions.close();
    });
    tracing::info!("stopped");
    Ok(())
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
