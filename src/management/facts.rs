//! What is said of the node: names, versions, where it listens.

use std::net::SocketAddr;
use std::sync::Arc;

use leveret_queues::Millis;
use serde_json::{Value, json};

use super::Process;

/// The version of `RabbitMQ` whose API this is; tools decide by it what they may ask for.
pub(super) const COMPATIBLE_WITH: &str = "4.1.0";

/// Ours.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The name in answers.
pub(super) const PRODUCT: &str = "Leveret";

/// As clients are told in `connection.start`.
pub(super) const CLUSTER: &str = "leveret";

/// What stays the same while the process runs.
pub(super) struct Facts {
    /// `leveret@host`.
    pub(super) node: Arc<str>,
    pub(super) started: Millis,
    pub(super) process: Process,
    http: SocketAddr,
    metrics: SocketAddr,
}

impl Facts {
    pub(super) fn new(process: Process, http: SocketAddr, metrics: SocketAddr, started: Millis) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = match host.trim() {
            "" => "localhost",
            host => host,
        };
        Self { node: format!("leveret@{host}").into(), started, process, http, metrics }
    }

    /// Protocol and address of each listener.
    pub(super) fn listening(&self) -> [(&'static str, SocketAddr); 3] {
        [("amqp", self.process.amqp), ("http", self.http), ("http/prometheus", self.metrics)]
    }

    /// The listeners as `overview` shows them.
    pub(super) fn listeners(&self) -> Vec<Value> {
        let listening = self.listening();
        let shown = listening.iter().map(|(protocol, address)| {
            json!({
                "node": &*self.node,
                "protocol": protocol,
                "ip_address": address.ip().to_string(),
                "port": address.port(),
                "tls": false,
                "socket_opts": { "nodelay": true },
            })
        });
        shown.collect()
    }

    /// The HTTP listeners as `overview` shows them.
    pub(super) fn contexts(&self) -> Value {
        let context = |description: &str, address: SocketAddr| {
            json!({
                "node": &*self.node, "description": description, "path": "/",
                "ip": address.ip().to_string(), "port": address.port().to_string(),
            })
        };
        json!([context("Management API", self.http), context("Prometheus exporter", self.metrics)])
    }
}
