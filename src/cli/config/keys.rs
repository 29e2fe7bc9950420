//! The keys. The only list of them: the settings, flags, environment variables, the file's keys, `leveret config`,
//! `docs/configuration.md` and `config/leveret.toml` are generated from it.
//!
//! A new key is one entry here (`UPDATE=1 cargo test --lib config` regenerates the two files):
//!
//! ```text
//! /// What it is for. Why the default is what it is.
//! name: Type = default, Live or Restart, unit "ms", range least, greatest;
//! ```
//!
//! Unit and range are optional. A key that may be unset is an `Option`. Keys of the group
//! `"TLS", Some("tls") => {..}` begin with `tls_` here, in flags and variables; in the file they are in `[tls]`,
//! without the prefix. `Live` is for keys that a reload applies (`src/cli/reload.rs`).

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use leveret_broker::alarms::AlarmLimits;
use leveret_broker::limits::{BODY_BYTES_CAP, FRAME_MAX, FRAME_MIN, Limits};
use leveret_broker::product::Product;

use super::node_name::NodeName;
use super::security::{PublicUrl, Secret};
use super::setting::{Bytes, LogFormat, LogLevel, MemorySize, Setting};
use super::table::{Change, Key, in_range, keys};
use crate::net::tls::{ClientCertificates, LoginFrom};

/// Least default, in bytes, for memory held for clients: a few ordinary requests and messages.
const HELD_BYTES_LEAST: u64 = 32 << 20;

fn local(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

keys! {
    "Places", None => {
        /// Folder for messages and definitions. One broker at a time; relative to where the broker is started.
        data_dir: PathBuf = PathBuf::from("leveret-data"), Restart;
        /// Where AMQP clients connect. Only this machine at first: whoever opens it to others first gives it a
        /// user of their own, as guest can not log in from elsewhere.
        amqp_listen: SocketAddr = local(5672), Restart;
        /// Where AMQP clients connect over TLS, commonly on port 5671. Nowhere at first: TLS needs a certificate.
        amqps_listen: Option<SocketAddr> = None, Restart;
        /// Where the management API and the dashboard are served.
        http_listen: SocketAddr = local(15672), Restart;
        /// Where the management API and the dashboard are served over TLS, commonly on port 15671.
        https_listen: Option<SocketAddr> = None, Restart;
        /// Names under which the management API and the metrics are reached, beside addresses, names without a dot, names
        /// below `localhost` and the machine's own. While none is given, any name will do on an address that others reach,
        /// and only those on one of this machine. A request for another name is one of a browser that was led here by a
        /// stranger's page, and is refused with 421. `*` stands for all.
        http_allowed_hosts: Vec<String> = Vec::new(), Restart;
        /// Where Prometheus finds metrics. An address of its own, as it asks for no login.
        metrics_listen: SocketAddr = local(15692), Restart;
        /// Where they are found over TLS, commonly on port 15691. Nowhere at first: TLS needs a certificate.
        metrics_tls_listen: Option<SocketAddr> = None, Restart;
        /// Folder to serve the dashboard's files from, while one works on them. Without it they come from the
        /// binary.
        ui_dir: Option<PathBuf> = None, Restart;
        /// The broker's name in answers of the management API, as `rabbit@shop-1`. Without it `leveret@` and the host's
        /// name. Clients may ask for the node by any name that it has had.
        node_name: Option<NodeName> = None, Restart;
        /// Topology file, or a folder of them: vhosts, users, exchanges, queues, bindings and so on that are made
        /// before the first client is let in. A file that is wrong stops the start; a reload applies it again.
        topology: Option<PathBuf> = None, Live;
    }

    "Log", None => {
        /// Level: error, warn, info, debug, trace, or per module as in `info,leveret::net=debug`. At info a quiet
        /// broker is quiet.
        log_level: LogLevel = LogLevel::default(), Live;
        /// Lines for people, or one JSON object a line.
        log_format: LogFormat = LogFormat::default(), Restart;
    }

    "Connections", None => {
        /// Name and version that clients and tools are told, as in `RabbitMQ 3.13.7`, for those that take a path of
        /// their own for it; docs/for-rabbitmq-users.md says which. Without a version it is the broker's own.
        product: Product = Product::default(), Restart;
        /// Connections at one time. Each takes some kilobytes and one file descriptor.
        connections_max: usize = Limits::default().connections_max, Live;
        /// Channels per connection offered to clients. As RabbitMQ.
        channel_max: u16 = Limits::default().channel_max, Live, range 1, 65_535;
        /// Channels of all connections together. Without it any number. RabbitMQ's `channel_max_per_node`.
        channels_max: Option<usize> = None, Live;
        /// Largest frame offered to clients, its head and end included. As RabbitMQ; the least is the
        /// specification's.
        frame_max: u32 = Limits::default().frame_max, Live, unit "bytes", range FRAME_MIN as u64, FRAME_MAX as u64;
        /// Heartbeat interval offered to clients, 0 for none; the client's answer decides. As RabbitMQ.
        heartbeat: u16 = Limits::default().heartbeat_s, Live, unit "s";
        /// From accepting a connection to connection.open-ok. Whoever takes longer is sent away.
        handshake_timeout_ms: u64 = Limits::default().handshake_timeout_ms, Live, unit "ms", range 1, 3_600_000;
        /// How long an HTTP client may take over a request with its body, stay idle between two, and not read on
        /// an answer.
        http_timeout_ms: u64 = 60_000, Restart, unit "ms", range 1, 3_600_000;
        /// What may wait for one slow client before its consumers get nothing more.
        outbox_bytes_max: Bytes = Bytes(Limits::default().outbox_bytes_max as u64), Live, unit "bytes", range 4_096, 1 << 40;
        /// Consumers on one channel.
        consumers_per_channel_max: usize = Limits::default().consumers_per_channel_max, Live;
    }

    "Declarations", None => {
        /// Exchanges in all vhosts together, the predeclared seven of each among them. Without it any
        /// number. RabbitMQ's `cluster_exchange_limit`.
        exchanges_max: Option<usize> = None, Live;
    }

    "Logins", None => {
        /// User that the first start makes, in place of guest. `admin` if only its password is given.
        admin_user: Option<String> = None, Restart;
        /// Password of the user that the first start makes. Changes nothing later.
        admin_password: Option<Secret> = None, Restart;
        /// File that holds this password, as orchestrators mount secrets.
        admin_password_file: Option<PathBuf> = None, Restart;
        /// Proxies that say for whom they connect: addresses or networks. Whoever connects to an AMQP port from
        /// there must begin with a PROXY header, version 1 or 2; nobody else may.
        proxy_protocol_trusted: Vec<IpNet> = Vec::new(), Restart;
        /// The same for the ports of the management API. Apart, as a check of health may come past the proxy.
        http_proxy_protocol_trusted: Vec<IpNet> = Vec::new(), Restart;
        /// Failed logins from one address in a minute, over AMQP and HTTP together, before it is refused for a
        /// while; 0 for no limit. Others are not concerned.
        login_failures_per_minute: u32 = 30, Restart;
    }

    "Messages", None => {
        /// Largest message body; larger ones close the channel with 406. As RabbitMQ 4 has it.
        message_bytes_max: Bytes = Bytes(Limits::default().message_bytes_max), Live, unit "bytes", range 0, BODY_BYTES_CAP;
        /// Copies that dead-lettering makes of one message on its own, from its publish or its last rejection on, until
        /// it goes to one queue only wherever it dies; 0 for no limit. The first time it may go to any number of
        /// queues, and retries, which make no copies, are not concerned.
        dead_letter_copies_max: u32 = Limits::default().dead_letter_copies_max, Live;
        /// What an open transaction of one channel may hold; more closes the channel with 406.
        transaction_bytes_max: Bytes = Bytes(Limits::default().transaction_bytes_max as u64), Live, unit "bytes", range 0, 1 << 40;
        /// Bodies held in memory by all queues together; beyond it they are on disk only. They get less, down to half,
        /// when the whole process takes more than a sixteenth on top. A percentage is of the memory that the machine or
        /// the control group has.
        memory_bytes_max: MemorySize = MemorySize::Percent(40), Live, unit "bytes", range 1 << 20, u64::MAX;
    }

    "Alarms", None => {
        /// What clients may have the broker hold besides queued messages: requests and messages that are not whole yet, open
        /// transactions, publishes that wait for an alarm to end, answers and deliveries that they do not read. Beyond it
        /// whoever holds most is refused or closed, and all others are served. Without it a tenth of the memory that the
        /// machine or the control group has, and no more than a quarter of `resident_bytes_max` or `memory_bytes_max`.
        held_bytes_max: Option<MemorySize> = None, Live, unit "bytes", range 1 << 20, u64::MAX;
        /// Free space for the data folder below which publishers are held up (connection.blocked), until there is
        /// a tenth more. The log makes two files of 64 MiB ahead, and as much again lets the index and compaction
        /// go on, so that consumers can work the backlog off.
        disk_free_bytes_min: Bytes = Bytes(AlarmLimits::DISK_FREE_MIN), Live, unit "bytes", range 0, 1 << 60;
        /// Memory of the process above which publishers are held up, until it is a twentieth less. Bodies have
        /// `memory_bytes_max`; this is for everything else, before the system runs out of memory.
        resident_bytes_max: MemorySize = MemorySize::Percent(70), Live, unit "bytes", range 1 << 20, u64::MAX;
    }

    "TLS", Some("tls") => {
        /// The server's certificate in PEM, with those between it and an authority behind it. Read again when it
        /// changes.
        tls_certificate: Option<PathBuf> = None, Restart;
        /// The certificate's private key in PEM. Read again when it changes.
        tls_key: Option<PathBuf> = None, Restart;
        /// Authorities in PEM that clients' certificates must come from. Read again when it changes.
        tls_ca: Option<PathBuf> = None, Restart;
        /// Whether AMQP clients have to show a certificate. With one they can log in by EXTERNAL.
        tls_client_certificates: ClientCertificates = ClientCertificates::None, Restart;
        /// Whether HTTP clients have to show a certificate. They log in as ever.
        tls_https_client_certificates: ClientCertificates = ClientCertificates::None, Restart;
        /// Which name in a client's certificate is the user's, for EXTERNAL. As RabbitMQ.
        tls_login_from: LoginFrom = LoginFrom::DistinguishedName, Restart;
    }

    "Tokens (OAuth 2)", Some("oauth") => {
        /// Who tokens must be for: their `aud`. Turns tokens on.
        oauth_resource_server_id: Option<String> = None, Restart;
        /// Who tokens must come from: their `iss`.
        oauth_issuer: Option<String> = None, Restart;
        /// Where the issuer's keys are (a JWK set), over HTTPS. Asked again now and then.
        oauth_jwks_url: Option<PublicUrl> = None, Restart;
        /// Authorities in PEM for the certificate of that server. Without it those that browsers trust.
        oauth_jwks_ca: Option<PathBuf> = None, Restart;
        /// How long keys from a URL are used before they are asked for again. A token with a new key asks sooner.
        oauth_jwks_refresh: u32 = 300, Restart, unit "s", range 10, 86_400;
        /// The issuer's keys in a file. Read again when it changes.
        oauth_jwks_file: Option<PathBuf> = None, Restart;
        /// The secret for HS256 in a file. Without it such tokens are refused.
        oauth_hs256_key_file: Option<PathBuf> = None, Restart;
        /// What the broker's scopes begin with. Without it the resource server's id and a dot.
        oauth_scope_prefix: Option<String> = None, Restart;
        /// Another claim that holds scopes, as a path with dots: `realm_access.roles`.
        oauth_additional_scopes_key: Option<String> = None, Restart;
        /// Claims that may hold the user's name; the first that is there counts.
        oauth_username_claims: Vec<String> = vec!["sub".to_owned(), "client_id".to_owned()], Restart;
    }
}

impl Config {
    /// Where the alarms begin.
    pub fn alarms(&self) -> AlarmLimits {
        AlarmLimits {
            disk_free_min: self.disk_free_bytes_min.0,
            resident_max: self.resident_bytes_max.of(super::machine::memory()),
        }
    }

    /// What clients may have the broker hold besides queued messages, in bytes.
    fn held_bytes(&self) -> u64 {
        let total = super::machine::memory();
        if let Some(held) = self.held_bytes_max {
            return held.of(total);
        }
        let quarter = self.resident_bytes_max.of(total).min(self.memory_bytes_max.of(total)) / 4;
        quarter.min(total / 10).max(HELD_BYTES_LEAST)
    }

    /// The broker's limits.
    pub fn limits(&self) -> Limits {
        let size = |bytes: Bytes| usize::try_from(bytes.0).unwrap_or(usize::MAX);
        Limits {
            frame_max: self.frame_max,
            channel_max: self.channel_max,
            heartbeat_s: self.heartbeat,
            handshake_timeout_ms: self.handshake_timeout_ms,
            message_bytes_max: self.message_bytes_max.0,
            outbox_bytes_max: size(self.outbox_bytes_max),
            connections_max: self.connections_max,
            held_bytes_max: self.held_bytes(),
            memory_bytes_max: self.memory_bytes_max.of(super::machine::memory()),
            channels_max: self.channels_max,
            exchanges_max: self.exchanges_max,
            consumers_per_channel_max: self.consumers_per_channel_max,
            dead_letter_copies_max: self.dead_letter_copies_max,
            transaction_bytes_max: size(self.transaction_bytes_max),
        }
    }
}
