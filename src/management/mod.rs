//! The management HTTP API and metrics, over the same broker calls that a channel uses.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use tokio::net::TcpListener;

use crate::broker::Broker;

/// Why HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {source}")]
pub struct ListenError {
    address: SocketAddr,
    source: io::Error,
}

async fn serve(address: SocketAddr, router: Router) -> Result<SocketAddr, ListenError> {
    let failed = |source| ListenError { address, source };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let local = listener.local_addr().map_err(failed)?;
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, router).await {
            tracing::error!("http: {error}");
        }
    });
    Ok(local)
}

/// Serves the management API; returns the address, with the port that was given.
pub async fn listen(_broker: Arc<Broker>, address: SocketAddr) -> Result<SocketAddr, ListenError> {
    let router = Router::new().route(
        "/api/health/checks/is-in-service",
        get(|| async { axum::Json(serde_json::json!({ "status": "ok" })) }),
    );
    serve(address, router).await
}

/// Serves metrics for Prometheus.
pub async fn listen_metrics(broker: Arc<Broker>, address: SocketAddr) -> Result<SocketAddr, ListenError> {
    let connections = move || {
        let broker = Arc::clone(&broker);
        async move { format!("rabbitmq_connections {}\n", broker.open_connections()) }
    };
    serve(address, Router::new().route("/metrics", get(connections))).await
}
