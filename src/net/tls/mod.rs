//! TLS: certificate, key and authorities from files, reloaded when the files change.
//!
//! Invariants: unusable files never replace those in use; open connections keep the certificates that they were
//! made with; only a verified certificate names a user.
//! Absent: revocation lists; `TLS` below 1.2.

mod certificate;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leveret_message::Millis;
use parking_lot::{Mutex, RwLock};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoClientAuth, WebPkiClientVerifier, danger::ClientCertVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig, ServerConnection, SupportedCipherSuite};
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, rustls};

pub use certificate::{LoginFrom, NameKind};
use leveret_broker::registry::TlsFacts;

/// Check interval of the files.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// Whether clients must present a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// Not requested.
    #[default]
    None,
    /// Optional; an invalid one is refused.
    Optional,
    /// Required.
    Required,
}

/// Files, and requirements on clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM: the server's certificate, followed by its intermediates.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: the authorities accepted for clients' certificates.
    pub authorities: Option<PathBuf>,
    /// Requirement on AMQP clients.
    pub amqp_clients: ClientCertificates,
    /// Requirement on HTTP clients.
    pub https_clients: ClientCertificates,
    /// Which name in a client's certificate is the user, for mechanism EXTERNAL.
    pub login_from: LoginFrom,
}

/// Why TLS cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or has unexpected contents.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate, key and authorities do not match.
    #[error("{certificate}: {why}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Client certificates are requested, but no authorities are given.
    #[error("client certificates are asked for, but tls_ca is not set")]
    NoAuthorities,
}

/// Detects changes of a file: time, size, inode.
type Stamp = Option<(i64, i64, u64, u64)>;

struct Loaded {
    amqp: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
    expires: Millis,
}

/// TLS configuration in use.
pub struct Tls {
    settings: TlsSettings,
    loaded: RwLock<Loaded>,
    /// Stamps of the files when last read, usable or not.
    stamps: Mutex<[Stamp; 3]>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// Unusable files.
    pub fn open(settings: TlsSettings) -> Result<Arc<Self>, TlsError> {
        let stamps = Mutex::new(stamps(&settings));
        let loaded = RwLock::new(load(&settings)?);
        Ok(Arc::new(Self { settings, loaded, stamps }))
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// Unusable files; the current ones stay in use.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.stamps.lock() = stamps(&self.settings);
        *self.loaded.write() = load(&self.settings)?;
        tracing::info!("TLS certificate read again from {}", self.settings.certificate.display());
        Ok(())
    }

    /// Reloads the files whenever one changes; never ends.
    pub async fn watch(self: Arc<Self>) {
        loop {
            tokio::time::sleep(WATCH_INTERVAL).await;
            tokio::task::block_in_place(|| {
                let changed = stamps(&self.settings) != *self.stamps.lock();
                if changed && let Err(error) = self.reload() {
                    tracing::error!("TLS certificate stays as it was: {error}");
                }
            });
        }
    }

    /// Earliest expiry among the server's certificates.
    pub fn expires(&self) -> Millis {
        self.loaded.read().expires
    }

    /// The certificate's file.
    pub fn certificate(&self) -> &Path {
        &self.settings.certificate
    }

    /// Performs the TLS handshake for AMQP. Takes as long as the client does.
    ///
    /// # Errors
    /// A failed handshake, with the socket.
    pub(super) async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
        &self,
        socket: S,
    ) -> Result<(TlsStream<S>, TlsFacts), (std::io::Error, S)> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.loaded.read().amqp));
        let stream = acceptor.accept(socket).into_fallible().await?;
        let facts = facts(stream.get_ref().1, self.settings.login_from);
        Ok((stream, facts))
    }

    /// The same for HTTP.
    ///
    /// # Errors
    /// A failed handshake.
    pub async fn accept_https(&self, socket: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        let acceptor = TlsAcceptor::from(Arc::clone(&self.loaded.read().https));
        acceptor.accept(socket).await
    }
}

fn stamps(settings: &TlsSettings) -> [Stamp; 3] {
    let stamp = |path: &Path| {
        let facts = fs::metadata(path).ok()?;
        Some((facts.mtime(), facts.mtime_nsec(), facts.len(), facts.ino()))
    };
    [stamp(&settings.certificate), stamp(&settings.key), settings.authorities.as_deref().and_then(stamp)]
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |why: String| TlsError::File { path: path.to_owned(), why };
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("holds no certificate".to_owned()));
    }
    Ok(certificates)
}

fn load(settings: &TlsSettings) -> Result<Loaded, TlsError> {
    let chain = certificates(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| TlsError::File { path: settings.key.clone(), why: error.to_string() })?;
    let expires = chain.iter().filter_map(|der| certificate::expires(der)).min();
    let unusable = |why: String| TlsError::Unusable { certificate: settings.certificate.clone(), why };
    let config = |clients, protocols: &[&[u8]]| {
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| unusable(error.to_string()))?
            .with_client_cert_verifier(verifier(settings, clients)?)
            .with_single_cert(chain.clone(), key.clone_key())
            .map_err(|error| unusable(error.to_string()))?;
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Ok::<_, TlsError>(Arc::new(config))
    };
    Ok(Loaded {
        amqp: config(settings.amqp_clients, &[])?,
        https: config(settings.https_clients, &[b"http/1.1"])?,
        expires: expires.ok_or_else(|| unusable("has no end that can be read".to_owned()))?,
    })
}

fn verifier(
    settings: &TlsSettings,
    clients: ClientCertificates,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    if clients == ClientCertificates::None {
        return Ok(Arc::new(NoClientAuth));
    }
    let path = settings.authorities.as_deref().ok_or(TlsError::NoAuthorities)?;
    let failed = |why: String| TlsError::File { path: path.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for authority in certificates(path)? {
        roots.add(authority).map_err(|error| failed(error.to_string()))?;
    }
    let provider = Arc::new(ring::default_provider());
    let mut builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
    if clients == ClientCertificates::Optional {
        builder = builder.allow_unauthenticated();
    }
    let verifier = builder.build().map_err(|error| failed(error.to_string()))?;
    Ok(verifier)
}

/// Facts about a connection, in Erlang's names as `RabbitMQ` reports them.
fn facts(connection: &ServerConnection, login_from: LoginFrom) -> TlsFacts {
    let protocol = match connection.protocol_version() {
        Some(rustls::ProtocolVersion::TLSv1_2) => "tlsv1.2",
        _ => "tlsv1.3",
    };
    let (key_exchange, cipher) = connection.negotiated_cipher_suite().map(suite).unwrap_or_default();
    let shown = connection.peer_certificates().and_then(|chain| chain.first());
    TlsFacts {
        protocol,
        key_exchange,
        cipher,
        certificate: shown.and_then(|der| certificate::read(der, login_from)),
    }
}

/// Key exchange and cipher of `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` or `TLS13_AES_256_GCM_SHA384`.
fn suite(suite: SupportedCipherSuite) -> (String, String) {
    let name = suite.suite().as_str().unwrap_or_default().to_lowercase();
    let cipher = |text: &str| text.rsplit_once("_sha").map_or(text, |(cipher, _)| cipher).to_owned();
    match name.strip_prefix("tls_").and_then(|rest| rest.split_once("_with_")) {
        Some((exchange, rest)) => (exchange.to_owned(), cipher(rest)),
        None => ("any".to_owned(), cipher(name.trim_start_matches("tls13_"))),
    }
}
