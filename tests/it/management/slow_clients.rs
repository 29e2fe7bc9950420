//! Slow clients are disconnected, and do not affect others meanwhile.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;

use super::{Http, listening};
use crate::harness::Broker;
use crate::raw::PATIENCE;
use crate::wait;

fn connected(broker: &Broker) -> TcpStream {
    let socket = TcpStream::connect(listening(broker, "http")).expect("connected");
    socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    socket
}

/// Everything until the broker closes the socket; a reset counts as the end.
fn rest(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    match socket.read_to_end(&mut bytes) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the broker keeps the socket"),
        _ => String::from_utf8_lossy(&bytes).into_owned(),
    }
}

#[test]
fn a_head_or_a_body_that_does_not_end_is_cut_off() {
    let broker = Broker::with(&["--http-timeout-ms=400"]);
    for begun in [
        "",
        "GET /api/overview HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        "POST /api/login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n{",
        "PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\nContent-Length: 9999999999\r\n\r\n{",
    ] {
        let mut socket = connected(&broker);
        socket.write_all(begun.as_bytes()).expect("written");
        let answer = rest(&mut socket);
        assert!(!answer.starts_with("HTTP/1.1 2"), "{begun}: {answer}");
    }
}

#[test]
fn a_head_that_comes_byte_by_byte_is_cut_off_too() {
    let broker = Broker::with(&["--http-timeout-ms=400"]);
    let mut socket = connected(&broker);
    socket.set_nodelay(true).expect("set");
    let mut ended = false;
    wait::until("the broker closes the socket", || {
        ended = ended || socket.write_all(b"X").is_err();
        ended
    });
}

#[test]
fn whoever_does_not_read_the_answer_is_dropped() {
    let broker = Broker::with(&["--http-timeout-ms=400"]);
    let mut sockets: Vec<TcpStream> = (0..4).map(|_| connected(&broker)).collect();
    // More answers than fit into the sockets' buffers.
    let request = "GET /api/openapi.json HTTP/1.1\r\nHost: x\r\n\r\n".repeat(200);
    for socket in &mut sockets {
        socket.set_write_timeout(Some(PATIENCE)).expect("a timeout");
        // The broker may have closed the connection before reading all of them.
        drop(socket.write_all(request.as_bytes()));
    }
    wait::until("the sockets are gone", || {
        sockets.iter_mut().all(|socket| matches!(socket.write(b"\r\n"), Err(error) if error.kind() != std::io::ErrorKind::WouldBlock))
    });
    Http::of(&broker).get("/api/overview").is(200);
}

/// Potentially large bodies are read only for authorised senders.
#[test]
fn a_large_body_is_not_waited_for_from_whom_it_is_not_taken() {
    let broker = Broker::new();
    let admin = Http::of(&broker);
    admin.put("/api/vhosts/closed", &serde_json::json!({})).is(201);
    admin.user("m", "management");
    let login = base64::engine::general_purpose::STANDARD.encode("m:pw");
    for path in [
        "definitions",
        "definitions/%2F",
        "definitions/closed",
        "all-configuration",
        "topology/plan",
        "topology/apply",
        "exchanges/closed/amq.direct/publish",
    ] {
        let mut socket = connected(&broker);
        let head = format!(
            "POST /api/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {login}\r\n\
             Content-Length: 100000000\r\n\r\n{{"
        );
        socket.write_all(head.as_bytes()).expect("written");
        let answer = rest(&mut socket);
        assert!(answer.starts_with("HTTP/1.1 401"), "{path}: {answer}");
    }
}

#[test]
fn a_large_head_or_body_is_refused() {
    let broker = Broker::new();
    let mut socket = connected(&broker);
    let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Large: {}\r\n\r\n", "x".repeat(200_000));
    // The broker may stop reading before the end.
    drop(socket.write_all(head.as_bytes()));
    assert!(!rest(&mut socket).starts_with("HTTP/1.1 2"));
    // Guest's login, and one byte more than the limit; the rest need not arrive.
    let mut socket = connected(&broker);
    let head = "PUT /api/queues/%2F/q HTTP/1.1\r\nHost: x\r\nAuthorization: Basic Z3Vlc3Q6Z3Vlc3Q=\r\n\
                Content-Length: 2000000\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("written");
    socket.write_all(&vec![b' '; (1 << 20) + 1]).expect("written");
    let answer = rest(&mut socket);
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("payload_too_large"), "{answer}");
    assert!(
        answer.contains("x-frame-options: DENY") && answer.contains("content-security-policy"),
        "{answer}"
    );
}
