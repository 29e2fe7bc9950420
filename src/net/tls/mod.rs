//! TLS: certificate, key and authorities from files, read again when the files change.
//!
//! Invariants: files that cannot be used never replace what is in use; connections that are open keep
//! what they were made with; a user is named only by a certificate that was verified.
//! Absent: revocation lists; `TLS` below 1.2.

mod certificate;

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use leveret_queues::Millis;
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

use crate::broker::registry::TlsFacts;
pub use certificate::{LoginFrom, NameKind};

/// How often the files are looked at.
const WATCH_INTERVAL: Duration = Duration::from_secs(10);

/// Whether clients have to show a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ClientCertificates {
    /// They are not asked for one.
    #[default]
    None,
    /// They may; a wrong one is refused.
    Optional,
    /// Without one they are refused.
    Required,
}

/// Which files, and what is asked of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// PEM: the server's certificate, those between it and an authority behind it.
    pub certificate: PathBuf,
    /// PEM: its private key.
    pub key: PathBuf,
    /// PEM: the authorities that clients' certificates must come from.
    pub authorities: Option<PathBuf>,
    /// Of AMQP clients.
    pub amqp_clients: ClientCertificates,
    /// Of HTTP clients.
    pub https_clients: ClientCertificates,
    /// Which name of a client's certificate is the user's, for the mechanism EXTERNAL.
    pub login_from: LoginFrom,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read, or does not hold what it should.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificate, key and authorities do not go together.
    #[error("{certificate}: {why}")]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// Certificates are asked for and nothing says whose.
    #[error("client certificates are asked for, but tls_ca is not set")]
    NoAuthorities,
}

/// Tells whether a file was changed: time, size, inode.
type Stamp = Option<(i64, i64, u64, u64)>;

struct Loaded {
    amqp: Arc<ServerConfig>,
    https: Arc<ServerConfig>,
    expires: Millis,
}

/// What TLS is done with.
pub struct Tls {
    settings: TlsSettings,
    loaded: RwLock<Loaded>,
    /// Of the files when they were last read, whether they could be used or not.
    stamps: Mutex<[Stamp; 3]>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// When they cannot be used.
    pub fn open(settings: TlsSettings) -> Result<Arc<Self>, TlsError> {
        let stamps = Mutex::new(stamps(&settings));
        let loaded = RwLock::new(load(&settings)?);
        Ok(Arc::new(Self { settings, loaded, stamps }))
    }

    /// Reads the files again.
    ///
    /// # Errors
    /// When they cannot be used; all stays as it is.
    pub fn reload(&self) -> Result<(), TlsError> {
        *self.stamps.lock() = stamps(&self.settings);
        *self.loaded.write() = load(&self.settings)?;
        tracing::info!("TLS certificate read again from {}", self.settings.certificate.display());
        Ok(())
    }

    /// Reads the files again whenever one has changed; never ends.
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

    /// When the first of the server's certificates ends.
    pub fn expires(&self) -> Millis {
        self.loaded.read().expires
    }

    /// The certificate's file.
    pub fn certificate(&self) -> &Path {
        &self.settings.certificate
    }

    /// Makes TLS of a connection for AMQP. Takes as long as the client does.
    ///
    /// # Errors
    /// When the client does not go along, with the socket.
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
    /// When the client does not go along.
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

/// What is told of a connection, in the words that `RabbitMQ` takes from Erlang.
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

/// Key exchange and cipher, out of `TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384` or `TLS13_AES_256_GCM_SHA384`.
fn suite(suite: SupportedCipherSuite) -> (String, String) {
    let name = suite.suite().as_str().unwrap_or_default().to_lowercase();
    let cipher = |text: &str| text.rsplit_once("_sha").map_or(text, |(cipher, _)| cipher).to_owned();
    match name.strip_prefix("tls_").and_then(|rest| rest.split_once("_with_")) {
        Some((exchange, rest)) => (exchange.to_owned(), cipher(rest)),
        None => ("any".to_owned(), cipher(name.trim_start_matches("tls13_"))),
    }
}
