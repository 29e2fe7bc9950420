//! TLS with real certificates, generated per test: who is admitted, under which name, and what changes without a
//! restart.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, date_time_ymd,
};
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;
use crate::wait;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| Runtime::new().expect("a runtime"));

/// A certificate authority.
struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A certificate and its key, in PEM.
#[derive(Clone)]
struct Identity {
    certificate: String,
    key: String,
}

fn named(name: &str, alternative: &[&str]) -> CertificateParams {
    let names: Vec<_> = alternative.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).expect("names");
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "Hares");
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = named(name, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    fn identity(&self, params: &CertificateParams) -> Identity {
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate").pem();
        Identity { certificate, key: key.serialize_pem() }
    }

    fn server(&self) -> Identity {
        self.identity(&named("server", &["localhost"]))
    }

    fn client(&self, name: &str) -> Identity {
        self.identity(&named(name, &[]))
    }
}

/// The files given to a broker.
struct Files(TempDir);

impl Files {
    fn new(server: &Identity, authority: &Authority) -> Self {
        let files = Self(TempDir::new().expect("a folder"));
        fs::write(files.path("ca.pem"), &authority.pem).expect("written");
        files.put(server);
        files
    }

    fn put(&self, server: &Identity) {
        fs::write(self.path("key.pem"), &server.key).expect("written");
        fs::write(self.path("cert.pem"), &server.certificate).expect("written");
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn broker(&self, more: &[&str]) -> Broker {
        let [cert, key, ca] =
            ["cert.pem", "key.pem", "ca.pem"].map(|name| self.path(name).display().to_string());
        let mut options = vec![
            "--amqps-listen",
            "127.0.0.1:0",
            "--https-listen",
            "127.0.0.1:0",
            "--tls-certificate",
            &cert,
            "--tls-key",
            &key,
            "--tls-ca",
            &ca,
        ];
        options.extend(more);
        Broker::with(&options)
    }
}

/// A client that trusts an authority and may have a certificate.
fn client(trusts: &Authority, own: Option<&Identity>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(trusts.pem.as_bytes()).expect("PEM")).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots);
    match own {
        None => builder.with_no_client_auth(),
        Some(own) => {
            let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes()).expect("PEM");
            let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("PEM");
            builder.with_client_auth_cert(vec![certificate], key).expect("a pair")
        }
    }
}

fn connect(to: SocketAddr, config: ClientConfig, name: &'static str) -> Result<TlsStream<TcpStream>, String> {
    RUNTIME.block_on(async {
        let socket = TcpStream::connect(to).await.expect("connected");
        let name = ServerName::try_from(name).expect("a name");
        let connected = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        connected.map_err(|error| error.to_string())
    })
}

/// A local address that forwards plain AMQP into the TLS stream.
fn tunnel(mut stream: TlsStream<TcpStream>) -> SocketAddr {
    let listener = RUNTIME.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port");
    let address = listener.local_addr().expect("an address");
    RUNTIME.spawn(async move {
        let (mut plain, _) = listener.accept().await.expect("a client");
        // Fails if either end aborts, which the test itself observes.
        drop(tokio::io::copy_bidirectional(&mut plain, &mut stream).await);
    });
    address
}

fn amqps(broker: &Broker) -> SocketAddr {
    listening(broker, "amqps")
}

fn external(broker: &Broker, config: ClientConfig) -> Client {
    let stream = connect(amqps(broker), config, "localhost").expect("TLS");
    let mut client = Client::connect(tunnel(stream), "");
    client.bytes(b"AMQP\x00\x00\x09\x01");
    let start = client.hear("0 connection.start");
    assert_eq!(start.field("mechanisms").to_string(), "\"PLAIN AMQPLAIN EXTERNAL\"");
    client.start_ok("EXTERNAL", "");
    client
}

#[test]
fn a_client_that_trusts_the_authority_talks_over_tls() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&[]);
    let stream = connect(amqps(&broker), client(&authority, None), "localhost").expect("TLS");
    let mut amqp = Client::open(tunnel(stream), "");
    amqp.declare("queue=q");
    amqp.say("confirm.select");
    amqp.hear("confirm.select-ok");
    let body: Vec<u8> = (0..3_000_000_u32).map(|number| number.to_le_bytes()[0] ^ 0x55).collect();
    amqp.publish("routing_key=q", &body);
    amqp.hear("basic.ack");
    amqp.say("basic.consume queue=q consumer_tag=c no_ack");
    amqp.hear("basic.consume-ok");
    assert!(amqp.hear("basic.deliver").body == body, "the body comes as it went");

    let row = Http::of(&broker).get("/api/connections").is(200).json[0].clone();
    assert_eq!((&row["ssl"], &row["ssl_protocol"]), (&json!(true), &json!("tlsv1.3")));
    assert_eq!((&row["ssl_hash"], &row["peer_cert_subject"]), (&json!("aead"), &json!(null)));
    assert!(
        row["ssl_cipher"].as_str().is_some_and(|cipher| cipher.contains("aes") || cipher.contains("chacha"))
    );
    let overview = Http::of(&broker).get("/api/overview").json;
    let listeners = overview["listeners"].as_array().expect("listeners");
    for protocol in ["amqp/ssl", "https"] {
        let found = listeners.iter().find(|listener| listener["protocol"] == protocol).expect(protocol);
        assert_eq!(found["tls"], true);
    }
}

#[test]
fn clients_refuse_what_is_not_the_server_they_want() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&[]);
    let wrong_host = connect(amqps(&broker), client(&authority, None), "elsewhere").expect_err("refused");
    assert!(
        wrong_host.contains("NotValidForName") || wrong_host.contains("not valid for name"),
        "{wrong_host}"
    );
    let wrong_authority = connect(amqps(&broker), client(&other, None), "localhost").expect_err("refused");
    assert!(wrong_authority.contains("UnknownIssuer"), "{wrong_authority}");

    let mut old = named("server", &["localhost"]);
    old.not_after = date_time_ymd(2020, 1, 1);
    let files = Files::new(&authority.identity(&old), &authority);
    let broker = files.broker(&[]);
    let expired = connect(amqps(&broker), client(&authority, None), "localhost").expect_err("refused");
    assert!(expired.contains("xpired"), "{expired}");
    // The plain port is unaffected.
    drop(broker.client());
}

#[test]
fn without_a_certificate_nobody_comes_in_where_one_is_required() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&["--tls-client-certificates=required"]);
    let mut old = named("guest", &[]);
    old.not_after = date_time_ymd(2020, 1, 1);
    let expired = authority.identity(&old);
    let stranger = other.client("guest");
    for (own, what) in [(None, "none"), (Some(&expired), "expired"), (Some(&stranger), "another authority's")]
    {
        // With TLS 1.3 the client learns of it on the next read.
        let stream = connect(amqps(&broker), client(&authority, own), "localhost");
        let refused = stream.and_then(|mut stream| {
            let read = RUNTIME.block_on(async { stream.read_u8().await });
            read.map_err(|error| error.to_string())
        });
        let why = refused.expect_err(what);
        assert!(why.contains("alert") || why.contains("eof"), "{what}: {why}");
    }
    wait::until("the log says why", || broker.log().matches("no TLS").count() == 3);
    let own = authority.client("guest");
    let stream = connect(amqps(&broker), client(&authority, Some(&own)), "localhost").expect("TLS");
    drop(Client::open(tunnel(stream), ""));
}

#[test]
fn a_verified_certificate_is_a_login() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.server(), &authority);
    let options = ["--tls-client-certificates=optional", "--tls-login-from=common_name"];
    let broker = files.broker(&options);
    Http::of(&broker).user("orders", "");
    let mut amqp = external(&broker, client(&authority, Some(&authority.client("orders"))));
    amqp.hear("0 connection.tune");
    amqp.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    amqp.say("0 connection.open virtual_host=/");
    amqp.hear("0 connection.open-ok");
    let row = Http::of(&broker).get("/api/connections").is(200).json[0].clone();
    assert_eq!((&row["user"], &row["auth_mechanism"]), (&json!("orders"), &json!("EXTERNAL")));
    assert_eq!(row["peer_cert_subject"], "CN=orders,O=Hares");
    assert_eq!(row["peer_cert_issuer"], "CN=ca,O=Hares");
    assert!(row["peer_cert_validity"].as_str().is_some_and(|text| text.contains("Z - ")));

    let mut unknown = external(&broker, client(&authority, Some(&authority.client("nobody"))));
    let close = unknown.hear("0 connection.close");
    assert_eq!(close.field("reply_code").int(), 403);

    // Without a certificate EXTERNAL is neither offered nor accepted.
    let stream = connect(amqps(&broker), client(&authority, None), "localhost").expect("TLS");
    let mut plain = Client::connect(tunnel(stream), "");
    plain.bytes(b"AMQP\x00\x00\x09\x01");
    assert_eq!(plain.hear("0 connection.start").field("mechanisms").to_string(), "\"PLAIN AMQPLAIN\"");
    plain.start_ok("EXTERNAL", "");
    assert_eq!(plain.hear("0 connection.close").field("reply_code").int(), 503);
}

#[test]
fn a_new_certificate_is_taken_without_a_restart_and_a_broken_one_is_not() {
    let (authority, next) = (Authority::new("ca"), Authority::new("next"));
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&[]);
    let served_by = |trusted: &Authority| {
        ["amqps", "https"]
            .map(|protocol| connect(listening(&broker, protocol), client(trusted, None), "localhost").is_ok())
    };
    let old = connect(amqps(&broker), client(&authority, None), "localhost").expect("TLS");
    let mut old = Client::open(tunnel(old), "");

    fs::write(files.path("cert.pem"), "nonsense").expect("written");
    broker.signal(Signal::HUP);
    wait::until("the log says what is wrong", || broker.log().contains("TLS certificate stays as it was"));
    assert_eq!(served_by(&authority), [true, true]);

    files.put(&next.server());
    broker.signal(Signal::HUP);
    wait::until("the new one is served", || served_by(&next) == [true, true]);
    assert_eq!(served_by(&authority), [false, false]);
    old.declare("queue=q");
}

#[test]
fn the_files_are_watched() {
    let (authority, next) = (Authority::new("ca"), Authority::new("next"));
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&[]);
    files.put(&next.server());
    wait::until("the new one is served", || {
        connect(amqps(&broker), client(&next, None), "localhost").is_ok()
    });
}

#[test]
fn whoever_does_not_begin_is_sent_away() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&["--handshake-timeout-ms=300"]);
    let mut silent = std::net::TcpStream::connect(amqps(&broker)).expect("connected");
    silent.set_read_timeout(Some(crate::raw::PATIENCE)).expect("a timeout");
    assert_eq!(std::io::Read::read(&mut silent, &mut [0; 1]).expect("the end"), 0);
    wait::until("the log says why", || broker.log().contains("TLS handshake took too long"));
    // TLS is complete, AMQP is not: one timeout covers both.
    let mut stream = connect(amqps(&broker), client(&authority, None), "localhost").expect("TLS");
    let read = RUNTIME.block_on(async { stream.read_u8().await });
    assert!(read.is_err());
}

/// An HTTP client that trusts an authority.
fn trusting(authority: &Authority) -> ureq::Agent {
    let certificate = ureq::tls::Certificate::from_pem(authority.pem.as_bytes()).expect("PEM");
    let roots = ureq::tls::RootCerts::new_with_certs(&[certificate]);
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    ureq::Agent::config_builder().tls_config(tls).build().new_agent()
}

#[test]
fn the_api_is_served_over_https_and_tells_when_the_certificate_ends() {
    let authority = Authority::new("ca");
    let mut short = named("server", &["localhost"]);
    let year = 1970 + i32::try_from(leveret::net::now().0 / 31_557_600_000).expect("a year");
    short.not_after = date_time_ymd(year + 2, 1, 1);
    let files = Files::new(&authority.identity(&short), &authority);
    let broker = files.broker(&[]);
    let port = listening(&broker, "https").port();
    let login = r#"{"username":"guest","password":"guest"}"#;
    let answer = trusting(&authority)
        .post(format!("https://localhost:{port}/api/login"))
        .send(login)
        .expect("an answer");
    let cookie = answer.headers().get("set-cookie").expect("a cookie").to_str().expect("text");
    assert!(cookie.ends_with("; Secure"), "{cookie}");

    let http = Http::of(&broker);
    http.get("/api/health/checks/certificate-expiration/3/days").is(200);
    let answer = http.get("/api/health/checks/certificate-expiration/3/years").is(503);
    assert!(answer.json["reason"].as_str().is_some_and(|reason| reason.contains("expiring")));
    http.get("/api/health/checks/certificate-expiration/3/moons").is(400);
    http.get("/api/health/checks/protocol-listener/amqp%2Fssl").is(200);
}

#[test]
fn the_api_can_ask_for_certificates_of_its_own() {
    let (authority, other) = (Authority::new("ca"), Authority::new("other"));
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&["--tls-https-client-certificates=required"]);
    let version = |own: Option<&Identity>| {
        let mut stream = connect(listening(&broker, "https"), client(&authority, own), "localhost")?;
        RUNTIME.block_on(async {
            let request = b"GET /api/version HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
            stream.write_all(request).await.map_err(|error| error.to_string())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.map_err(|error| error.to_string())?;
            Ok(answer)
        })
    };
    assert!(version(Some(&authority.client("ann"))).is_ok_and(|answer| answer.starts_with("HTTP/1.1 200")));
    for own in [None, Some(&other.client("ann"))] {
        let refused: Result<_, String> = version(own);
        assert!(
            refused.as_ref().is_err_and(|why| why.contains("alert") || why.contains("eof")),
            "{refused:?}"
        );
    }
    // AMQP clients' certificates are configured separately.
    let stream = connect(amqps(&broker), client(&authority, None), "localhost").expect("TLS");
    drop(Client::open(tunnel(stream), ""));
}

#[test]
fn metrics_are_served_over_tls_too() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&["--metrics-tls-listen", "127.0.0.1:0"]);
    let port = listening(&broker, "metrics-tls").port();
    let url = format!("https://localhost:{port}/metrics");
    let mut answer = trusting(&authority).get(&url).call().expect("an answer");
    let text = answer.body_mut().read_to_string().expect("text");
    assert!(text.contains("rabbitmq_build_info{"), "{text}");
    assert!(trusting(&Authority::new("other")).get(&url).call().is_err());
    let http = Http::of(&broker);
    http.get("/api/health/checks/protocol-listener/https%2Fprometheus").is(200);
}

#[test]
fn the_load_generator_speaks_tls_with_whom_it_trusts() {
    let authority = Authority::new("ca");
    let files = Files::new(&authority.server(), &authority);
    let broker = files.broker(&[]);
    let url = format!("amqps://guest:guest@localhost:{}/%2f", amqps(&broker).port());
    let perf = |more: &[&str]| {
        let mut command = crate::cli::leveret();
        command.args(["perf", "--quiet", "--url", &url]).args(more);
        let output = command.output().expect("run");
        (
            output.status.success(),
            [output.stdout, output.stderr].map(|text| String::from_utf8(text).expect("text")),
        )
    };
    let ca = files.path("ca.pem").display().to_string();
    // Bodies in one TLS record and in many; deliveries larger than one read.
    for (size, trust) in
        [("16", vec!["--ca-file", &ca]), ("300000", vec!["--ca-file", &ca]), ("16", vec!["--insecure"])]
    {
        let shape = ["--size", size, "--count", "500", "--confirm", "50", "--ack-every", "1", "--json", "-"];
        let (well, [out, err]) = perf(&[&trust[..], &shape].concat());
        assert!(well, "{err}");
        let json: serde_json::Value = serde_json::from_str(&out).expect("JSON");
        let phase = &json["phases"][0];
        assert_eq!((&phase["confirmed"], &phase["received"]), (&json!(500), &json!(500)), "{json}");
        assert!(json["url"].as_str().expect("a URL").starts_with("amqps://localhost:"), "{json}");
    }
    let (well, [_, why]) = perf(&["--count", "1"]);
    assert!(!well && why.contains("certificate"), "{why}");
}

#[test]
fn a_broker_with_half_of_tls_does_not_start() {
    let folder = TempDir::new().expect("a folder");
    let output = crate::harness::serve(folder.path())
        .args(["--amqp-listen", "127.0.0.1:0", "--amqps-listen", "127.0.0.1:0"])
        .stderr(std::process::Stdio::piped())
        .output()
        .expect("run");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && text.contains("tls.certificate"), "{text}");
}
