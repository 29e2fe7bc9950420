//! Tokens in place of passwords: their rights over AMQP and HTTP, and their expiry.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;
use crate::wait;

struct Issuer {
    pair: Ed25519KeyPair,
    key_id: &'static str,
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn now_s() -> u64 {
    leveret::net::now().0 / 1000
}

impl Issuer {
    fn new(key_id: &'static str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
        Self { pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).expect("a key"), key_id }
    }

    fn keys(&self) -> String {
        let x = encoded(self.pair.public_key());
        json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": self.key_id, "x": x }] }).to_string()
    }

    /// A token of `user` valid for this many seconds.
    fn token(&self, user: &str, seconds: u64, scope: &str) -> String {
        self.signed(&json!({
            "iss": "https://issuer.example", "aud": "leveret", "sub": user,
            "exp": now_s() + seconds, "scope": scope,
        }))
    }

    fn signed(&self, claims: &Value) -> String {
        let head = json!({ "alg": "EdDSA", "kid": self.key_id });
        let message = format!("{}.{}", encoded(head.to_string()), encoded(claims.to_string()));
        let signature = self.pair.sign(message.as_bytes());
        format!("{message}.{}", encoded(signature))
    }
}

const ALL: &str = "leveret.configure:*/* leveret.write:*/* leveret.read:*/*";

struct Setting {
    issuer: Issuer,
    broker: Broker,
    _folder: TempDir,
}

fn with_keys_of(issuer: Issuer) -> Setting {
    let folder = TempDir::new().expect("a folder");
    let keys: PathBuf = folder.path().join("keys.json");
    std::fs::write(&keys, issuer.keys()).expect("written");
    let keys = format!("--oauth-jwks-file={}", keys.display());
    let broker =
        Broker::with(&["--oauth-resource-server-id=leveret", "--oauth-issuer=https://issuer.example", &keys]);
    wait::until("keys are read", || broker.log().contains("keys for tokens read: 1"));
    Setting { issuer, broker, _folder: folder }
}

fn tuned(broker: &Broker, token: &str) -> Client {
    let mut client = Client::start(broker.amqp, "");
    client.start_ok("PLAIN", &format!("\\0anyone\\0{token}"));
    client.hear("0 connection.tune");
    client.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    client
}

fn open(broker: &Broker, token: &str) -> Client {
    let mut client = tuned(broker, token);
    client.say("0 connection.open virtual_host=/");
    client.hear("0 connection.open-ok");
    client.open_channel(1);
    client
}

#[test]
fn a_token_is_a_password_and_its_scopes_are_the_rights() {
    let Setting { issuer, broker, .. } = with_keys_of(Issuer::new("k"));
    let scopes = "openid leveret.configure:%2F/q* leveret.write:%2F/* leveret.read:%2F/q1";
    let mut ann = open(&broker, &issuer.token("ann", 60, scopes));
    ann.declare("queue=q1");
    ann.declare("queue=q2");
    ann.publish("routing_key=q1", "a");
    ann.wait_ready("q1", 1);
    ann.ask("basic.get queue=q1 no_ack", "basic.get-ok");
    ann.say("basic.get queue=q2");
    ann.channel_closes(403, "basic.get", "read access to queue 'q2' in vhost '/' refused for user 'ann'");
    assert_eq!(Http::of(&broker).get("/api/connections").json[0]["user"], "ann");

    let mut elsewhere = tuned(&broker, &issuer.token("ann", 60, "leveret.read:other/*"));
    elsewhere.say("0 connection.open virtual_host=/");
    elsewhere.connection_closes(530, "connection.open", "refused for user 'ann'");
}

#[test]
fn a_scope_may_be_for_some_routing_keys_only() {
    let Setting { issuer, broker, .. } = with_keys_of(Issuer::new("k"));
    let scopes =
        "leveret.configure:*/* leveret.read:*/* leveret.write:%2F/q leveret.write:%2F/amq.topic/eu.*";
    let mut ann = open(&broker, &issuer.token("ann", 60, scopes));
    ann.declare("queue=q");
    ann.ask("queue.bind queue=q exchange=amq.topic routing_key=#", "queue.bind-ok");
    ann.publish("exchange=amq.topic routing_key=eu.fr", "a");
    ann.wait_ready("q", 1);
    ann.publish("exchange=amq.topic routing_key=us.ny", "b");
    ann.channel_closes(403, "basic.publish", "write access to topic 'us.ny' in exchange 'amq.topic'");
}

#[test]
fn what_is_no_token_of_the_issuer_is_refused() {
    let Setting { issuer, broker, .. } = with_keys_of(Issuer::new("k"));
    let claims = |change: fn(&mut Value)| {
        let mut claims = json!({ "iss": "https://issuer.example", "aud": "leveret", "sub": "ann", "exp": now_s() + 60, "scope": ALL });
        change(&mut claims);
        claims
    };
    let wrong = [
        (issuer.token("ann", 0, ALL), "expired"),
        (issuer.signed(&claims(|claims| claims["aud"] = json!("other"))), "InvalidAudience"),
        (issuer.signed(&claims(|claims| claims["iss"] = json!("https://evil.example"))), "InvalidIssuer"),
        (Issuer::new("k").token("ann", 60, ALL), "InvalidSignature"),
        (Issuer::new("other").token("ann", 60, ALL), "no key is known"),
        (format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(claims(|_| ()).to_string())), "token"),
    ];
    for (token, why) in &wrong {
        let mut client = Client::start(broker.amqp, "");
        client.start_ok("PLAIN", &format!("\\0ann\\0{token}"));
        let close = client.hear("0 connection.close");
        assert_eq!(close.field("reply_code").int(), 403, "{why}");
        wait::until(why, || broker.log().contains(why));
    }
}

#[test]
fn the_end_of_a_token_is_the_end_of_its_connection() {
    let Setting { issuer, broker, .. } = with_keys_of(Issuer::new("k"));
    let mut client = open(&broker, &issuer.token("ann", 2, ALL));
    client.declare("queue=q");
    let close = client.hear("0 connection.close");
    assert_eq!(close.field("reply_code").int(), 320);
    assert!(close.field("reply_text").str().contains("credential expired"));
}

#[test]
fn a_new_token_renews_the_rights_and_the_time() {
    let Setting { issuer, broker, .. } = with_keys_of(Issuer::new("k"));
    let mut client = open(&broker, &issuer.token("ann", 2, ALL));
    client.declare("queue=q");
    client.say("basic.consume queue=q consumer_tag=c");
    client.hear("basic.consume-ok");
    client.publish("routing_key=q", "a");
    client.hear("basic.deliver");
    let less = issuer.token("ann", 600, "leveret.read:%2F/other leveret.configure:%2F/*");
    client.say(&format!("0 connection.update-secret new_secret=\"{less}\" reason=renewed"));
    // Messages that may no longer be read are no longer delivered; publishes no longer permitted are refused.
    client.hear("basic.cancel consumer_tag=c");
    client.hear("0 connection.update-secret-ok");
    client.publish("routing_key=q", "b");
    client.channel_closes(403, "basic.publish", "write access to exchange 'amq.default'");
    // The first token expires before these do.
    let begun = now_s();
    wait::until("three seconds are over", || now_s() >= begun + 3);
    client.open_channel(2);
    client.say("2 queue.declare queue=q passive");
    client.hear("2 queue.declare-ok");

    let other = issuer.token("bob", 600, ALL);
    client.say(&format!("0 connection.update-secret new_secret=\"{other}\" reason=renewed"));
    client.connection_closes(530, "connection.update-secret", "refused");
}

#[test]
fn the_api_takes_tokens_as_bearer_and_as_password() {
    let Setting { issuer, broker, .. } = with_keys_of(Issuer::new("k"));
    let http = Http::at(listening(&broker, "http"));
    let token = issuer.token("ann", 60, "leveret.tag:management leveret.configure:%2F/q leveret.read:%2F/*");
    let bearer = format!("Bearer {token}");
    let with = [("authorization", bearer.as_str())];
    let who = http.call("GET", "/api/whoami", &with, "").is(200).json;
    assert_eq!(who, json!({ "name": "ann", "tags": ["management"] }));
    assert_eq!(http.login("", &token).get("/api/whoami").is(200).json["name"], "ann");
    http.call("PUT", "/api/queues/%2F/q", &with, "{}").is(201);
    http.call("PUT", "/api/queues/%2F/x", &with, "{}").refused(401, "not_authorised", "configure access");
    assert_eq!(http.call("GET", "/api/vhosts", &with, "").is(200).json[0]["name"], "/");
    http.call("GET", "/api/nodes", &with, "").is(401);
    http.call("GET", "/api/whoami", &[("authorization", "Bearer nonsense")], "").is(401);
    let untagged = format!("Bearer {}", issuer.token("ann", 60, ALL));
    http.call("GET", "/api/whoami", &[("authorization", &untagged)], "").is(401);
}

/// Serves `keys`, valid or not, to any client.
fn key_server(keys: &Arc<Mutex<String>>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    let keys = Arc::clone(keys);
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            let body = keys.lock().expect("keys").clone();
            let mut request = [0; 4096];
            // Both fail only if the broker has disconnected.
            drop(socket.read(&mut request));
            drop(write!(
                socket,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            ));
        }
    });
    url
}

/// An issuer that answers with nothing, or endlessly.
fn bad_key_server(answer: &'static [u8], again: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
    std::thread::spawn(move || {
        for mut socket in listener.incoming().flatten() {
            // Both fail once the broker gives up.
            if socket.write_all(answer).is_ok() {
                while !again.is_empty() && socket.write_all(again).is_ok() {}
                drop(socket.read_to_end(&mut Vec::new()));
            }
        }
    });
    url
}

#[test]
fn an_issuer_that_hangs_or_never_ends_costs_neither_logins_nor_memory() {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{\"keys\":[";
    for (what, answer, again) in [
        ("silent", &b""[..], &b""[..]),
        ("half", HEAD, b""),
        ("endless", HEAD, &[b' '; 16384]),
        ("endless head", b"HTTP/1.1 200 OK\r\n", &[b'x'; 16384]),
    ] {
        let url = format!("--oauth-jwks-url={}", bad_key_server(answer, again));
        let broker = Broker::with(&["--oauth-resource-server-id=leveret", &url]);
        let before = broker.memory();
        broker.client().close();
        let mut refused = Client::start(broker.amqp, "");
        refused.start_ok("PLAIN", &format!("\\0ann\\0{}", Issuer::new("k").token("ann", 60, ALL)));
        refused.hear("0 connection.close");
        wait::until(what, || broker.log().contains("keys for tokens stay as they were"));
        broker.client().close();
        let grown = broker.memory().saturating_sub(before);
        assert!(grown < 64 << 20, "{what}: {} MiB", grown >> 20);
    }
}

#[test]
fn keys_come_from_a_url_and_a_token_with_a_new_one_has_it_asked_again() {
    let (first, second) = (Issuer::new("first"), Issuer::new("second"));
    let keys = Arc::new(Mutex::new(first.keys()));
    let url = format!("--oauth-jwks-url={}", key_server(&keys));
    let broker = Broker::with(&["--oauth-resource-server-id=leveret", &url]);
    wait::until("keys are read", || broker.log().contains("keys for tokens read: 1"));
    open(&broker, &first.token("ann", 60, ALL)).close();
    *keys.lock().expect("keys") = second.keys();
    let mut refused = Client::start(broker.amqp, "");
    refused.start_ok("PLAIN", &format!("\\0ann\\0{}", second.token("ann", 60, ALL)));
    refused.hear("0 connection.close");
    wait::until("new keys are read", || broker.log().matches("keys for tokens read: 1").count() == 2);
    open(&broker, &second.token("ann", 60, ALL)).close();
}
