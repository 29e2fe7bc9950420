//! Few file descriptors: connections are refused before files are.

use std::io::{ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::Broker;

/// Whether the broker has closed the connection.
fn is_refused(mut socket: &TcpStream) -> bool {
    socket.set_read_timeout(Some(Duration::from_millis(20))).expect("a timeout");
    match socket.read(&mut [0; 8]) {
        Ok(read) => read == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn connections_are_refused_before_files_are() {
    let mut broker = Broker::with_descriptors(80);
    let mut c = broker.client();
    let crowd: Vec<_> =
        (0..100).map(|_| TcpStream::connect(broker.amqp).expect("the backlog takes it")).collect();
    crate::wait::until("some are let go", || crowd.iter().any(is_refused));
    // Definitions continue over several snapshots and new journals; and so does the log.
    c.confirms();
    for n in 0..200 {
        c.declare(&format!("queue=q{n} durable"));
        c.publish_confirmed(&format!("routing_key=q{n}"), "delivery_mode=2", "x");
    }
    let log = broker.log();
    assert!(log.contains("too few file descriptors"), "{log}");
    assert!(!log.contains("a change of definitions was refused"), "{log}");
    broker.kill();
    drop(crowd);
    broker.start_again();
    let mut c = broker.client();
    for n in 0..200 {
        assert_eq!(c.drain(&format!("q{n}")).len(), 1, "queue {n}");
    }
}
