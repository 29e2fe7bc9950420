//! Node identity: names, versions, listeners.

use std::net::SocketAddr;
use std::sync::Arc;

use leveret_message::Millis;
use serde_json::{Value, json};

use super::node_names::NodeNames;
use super::{Listening, Process};

/// The `RabbitMQ` version whose API this is; tools choose the features they use by it.
pub(crate) const COMPATIBLE_WITH: &str = "4.1.0";

/// Leveret's own version.
pub(super) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Constant for the life of the process.
pub(super) struct NodeInfo {
    /// The node's current name.
    pub(super) node: Arc<str>,
    /// Every name the node answers to.
    pub(super) names: NodeNames,
    pub(super) started: Millis,
    pub(super) process: Process,
    listening: Listening,
}

impl NodeInfo {
    pub(super) fn new(process: Process, listening: Listening, started: Millis) -> Self {
        let names = NodeNames::of(process.node_name.as_deref(), &process.data_dir);
        Self { node: names.current.as_str().into(), names, started, process, listening }
    }

    /// Protocol, address and whether TLS is used, of each listener.
    pub(super) fn listening(&self) -> Vec<(&'static str, SocketAddr, bool)> {
        let Listening { http, https, metrics, metrics_tls } = self.listening;
        let metrics_tls = metrics_tls.map(|address| ("https/prometheus", address, true));
        let amqps = self.process.amqps.map(|address| ("amqp/ssl", address, true));
        let https = https.map(|address| ("https", address, true));
        let plain =
            [("amqp", self.process.amqp, false), ("http", http, false), ("http/prometheus", metrics, false)];
        plain.into_iter().chain(amqps).chain(https).chain(metrics_tls).collect()
    }

    /// The listeners in `overview`'s form.
    pub(super) fn listeners(&self) -> Vec<Value> {
        let listening = self.listening();
        let shown = listening.iter().map(|(protocol, address, tls)| {
            json!({
                "node": &*self.node,
                "protocol": protocol,
                "ip_address": address.ip().to_string(),
                "port": address.port(),
                "tls": tls,
                "socket_opts": { "nodelay": true },
            })
        });
        shown.collect()
    }

    /// The HTTP listeners in `overview`'s form.
    pub(super) fn contexts(&self) -> Value {
        let context = |description: &str, address: SocketAddr| {
            json!({
                "node": &*self.node, "description": description, "path": "/",
                "ip": address.ip().to_string(), "port": address.port().to_string(),
            })
        };
        let Listening { http, https, metrics, metrics_tls } = self.listening;
        let mut contexts = vec![context("Management API", http), context("Prometheus exporter", metrics)];
        contexts.extend(https.map(|address| context("Management API over TLS", address)));
        contexts.extend(metrics_tls.map(|address| context("Prometheus exporter over TLS", address)));
        Value::Array(contexts)
    }
}
