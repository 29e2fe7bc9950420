//! Many silent connections: they lock nobody out.

use std::io::{Read, Write};
use std::net::TcpStream;

use rustix::process::{Resource, getrlimit, setrlimit};

use super::{Http, listening};
use crate::harness::Broker;
use crate::raw::PATIENCE;
use crate::wait;

/// Raises the descriptor limit for a crowd, here and in brokers started from now on.
fn many_descriptors() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum.map(|most| most.min(65_536)).or(Some(65_536));
    setrlimit(Resource::Nofile, limit).expect("more descriptors");
}

#[test]
fn silent_connections_shut_nobody_out() {
    many_descriptors();
    let broker = Broker::new();
    let address = listening(&broker, "http");
    for said in [
        "",
        "GET /api/overview HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "POST /api/login HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{",
        "GET /api/version HTTP/1.1\r\nHost: x\r\n\r\n",
    ] {
        let mut silent: Vec<_> = (0..600)
            .map(|_| {
                let mut socket = TcpStream::connect(address).expect("connected");
                socket.set_read_timeout(Some(PATIENCE)).expect("a timeout");
                // It may have been evicted already.
                drop(socket.write_all(said.as_bytes()));
                socket
            })
            .collect();
        let http = Http::at(address);
        for _ in 0..10 {
            http.get("/api/health/checks/is-in-service").is(200);
            Http::of(&broker).get("/api/overview").is(200);
        }
        // Those that waited longest have been evicted.
        let mut rest = Vec::new();
        assert!(silent[0].read_to_end(&mut rest).is_ok() || rest.is_empty());
        drop(silent);
        wait::until("they are gone", || http.get("/api/version").status == 200);
    }
}

#[test]
fn handshakes_that_do_not_end_shut_nobody_out() {
    many_descriptors();
    let broker = Broker::with(&["--handshake-timeout-ms", "60000"]);
    let silent: Vec<_> = (0..1500)
        .map(|_| {
            let mut socket = TcpStream::connect(broker.amqp).expect("connected");
            drop(socket.write_all(b"AMQP\0\0\x09\x01"));
            socket
        })
        .collect();
    let mut c = broker.client();
    c.declare("queue=q");
    drop(silent);
}
