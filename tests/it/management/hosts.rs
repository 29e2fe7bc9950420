//! Requests for foreign host names, as sent by a third party's page in DNS rebinding.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use super::{Http, listening};
use crate::harness::Broker;
use crate::raw::PATIENCE;

const GUEST: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n";

/// The whole answer to a request with this Host header.
fn answer(address: SocketAddr, path: &str, host: &str, more: &str) -> String {
    let mut socket = TcpStream::connect(address).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    let request = format!("{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n");
    socket.write_all(request.as_bytes()).expect("asked");
    let mut text = String::new();
    socket.read_to_string(&mut text).expect("an answer");
    text
}

#[track_caller]
fn is(address: SocketAddr, path: &str, host: &str, more: &str, status: u16) -> String {
    let text = answer(address, path, host, more);
    assert!(text.starts_with(&format!("HTTP/1.1 {status} ")), "{path} for {host}: {text}");
    if status == 421 {
        assert!(text.contains("http_allowed_hosts") && text.contains("x-frame-options"), "{text}");
    }
    text
}

#[test]
fn a_stranger_s_name_is_refused_where_only_this_machine_asks() {
    let broker = Broker::new();
    let (http, metrics) = (listening(&broker, "http"), listening(&broker, "metrics"));
    for host in ["evil.example", "evil.example:15672", "127.0.0.1.evil.example", "localhost.evil.example."] {
        for path in ["GET /", "GET /api/overview", "GET /api/version", "GET /api/health/checks/is-in-service"]
        {
            is(http, path, host, GUEST, 421);
        }
        // It claims the same origin, which for the browser it is.
        let origin =
            format!("{GUEST}Origin: http://{host}\r\nSec-Fetch-Site: same-origin\r\nContent-Length: 2\r\n");
        is(http, "PUT /api/queues/%2F/q", host, &origin, 421);
        is(metrics, "GET /metrics", host, "", 421);
    }
    is(http, "GET http://evil.example/api/overview", "localhost", GUEST, 421);
    for host in
        ["localhost", "localhost:15672", "127.0.0.1:1", "[::1]:15672", "mq", "mq:15672", "a.localhost"]
    {
        is(http, "GET /api/overview", host, GUEST, 200);
        is(metrics, "GET /metrics", host, "", 200);
    }
    assert_eq!(Http::of(&broker).get("/api/queues/%2F/q").status, 404);
}

#[test]
fn names_that_are_given_are_ours() {
    let broker = Broker::with(&["--http-allowed-hosts", "mq.example.com,*.svc.cluster.local"]);
    let http = listening(&broker, "http");
    for host in ["mq.example.com", "MQ.example.com:443", "mq.default.svc.cluster.local:15672", "127.0.0.1"] {
        is(http, "GET /api/overview", host, GUEST, 200);
    }
    is(http, "GET /api/overview", "other.example.com", GUEST, 421);
    let all = Broker::with(&["--http-allowed-hosts", "*"]);
    is(listening(&all, "http"), "GET /api/overview", "evil.example", GUEST, 200);
}

#[test]
fn where_others_ask_only_guest_is_kept_from_strangers_pages() {
    let broker = Broker::with(&["--http-listen", "0.0.0.0:0"]);
    let http = SocketAddr::from(([127, 0, 0, 1], listening(&broker, "http").port()));
    let guest = Http::at(http).login("guest", "guest");
    guest.put("/api/users/ann", &json!({ "password": "pw", "tags": "administrator" })).is(201);
    is(http, "GET /api/overview", "mq.example.com", GUEST, 421);
    is(http, "GET /api/overview", "10.1.2.3:15672", GUEST, 200);
    is(http, "GET /api/overview", "mq.example.com", "Authorization: Basic YW5uOnB3\r\n", 200);
    is(http, "GET /api/health/checks/is-in-service", "mq.example.com", "", 200);
}

#[test]
fn a_session_counts_at_the_host_that_it_was_opened_for() {
    let broker = Broker::new();
    let http = listening(&broker, "http");
    let body = "username=guest&password=guest";
    let more = format!(
        "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let text = is(http, "POST /api/login", "localhost:1", &more, 200);
    let cookie =
        text.split("leveret_session=").nth(1).and_then(|rest| rest.split(';').next()).expect("a cookie");
    let cookie = format!("Cookie: leveret_session={cookie}\r\n");
    is(http, "GET /api/whoami", "localhost:1", &cookie, 200);
    is(http, "GET /api/whoami", "LOCALHOST:1", &cookie, 200);
    is(http, "GET /api/whoami", "mq:1", &cookie, 401);
}
