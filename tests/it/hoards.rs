//! Clients that make the broker hold as much as they can: a common budget bounds them, and others are served.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;
use crate::wait;

const MIB: u64 = 1 << 20;
const GUEST: &str = "Authorization: Basic Z3Vlc3Q6Z3Vlc3Q=";

/// The budget of the brokers in these tests.
const HELD: u64 = 64 * MIB;

fn broker() -> Broker {
    Broker::with(&["--held-bytes-max", "64MiB"])
}

/// The value of a metric.
fn metric(broker: &Broker, name: &str) -> u64 {
    let text = Http::at(listening(broker, "metrics")).get("/metrics").is(200).text;
    let line = text
        .lines()
        .find(|line| line.split(' ').next() == Some(name))
        .unwrap_or_else(|| panic!("{name} in {text}"));
    line.rsplit(' ').next().and_then(|number| number.parse().ok()).expect("a number")
}

/// Checks memory against the budget plus the process's other use. Allocators keep some freed memory.
#[track_caller]
fn is_bounded(broker: &Broker, before: u64) {
    let held = metric(broker, "leveret_held_bytes");
    assert!(held <= HELD / 4 * 5, "{} MiB are held", held / MIB);
    let grown = broker.memory().saturating_sub(before);
    assert!(grown <= HELD * 3, "{} MiB more are resident", grown / MIB);
}

/// Checks that a publisher with confirms and an API user are served.
#[track_caller]
fn others_are_served(broker: &Broker) {
    let mut c = broker.client();
    c.declare("queue=good durable");
    c.confirms();
    c.publish_confirmed("routing_key=good", "delivery_mode=2", vec![b'x'; 300_000]);
    assert_eq!(c.take("good").body.len(), 300_000);
    let http = Http::of(broker);
    http.get("/api/overview").is(200);
    http.put("/api/queues/%2F/good", &json!({ "durable": true })).is(204);
    http.get("/api/queues").is(200);
}

#[track_caller]
fn all_is_given_back(broker: &Broker) {
    wait::until("nothing is held", || metric(broker, "leveret_held_bytes") == 0);
}

fn asked(broker: &Broker, request: &str) -> TcpStream {
    let mut socket = TcpStream::connect(listening(broker, "http")).expect("connected");
    socket.set_write_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket.set_read_timeout(Some(Duration::from_secs(10))).expect("a timeout");
    socket.write_all(request.as_bytes()).expect("asked");
    socket
}

/// The status of the answer; 0 if the connection was closed without one.
fn status(socket: &mut TcpStream) -> u16 {
    let mut head = [0; 12];
    match socket.read_exact(&mut head) {
        Ok(()) => String::from_utf8_lossy(&head[9..]).parse().expect("a status"),
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("no answer"),
        Err(_) => 0,
    }
}

#[test]
fn requests_that_do_not_end_are_bounded() {
    let broker = broker();
    Http::of(&broker).get("/api/overview").is(200);
    let before = broker.memory();
    let head =
        format!("POST /api/definitions HTTP/1.1\r\nHost: x\r\n{GUEST}\r\nContent-Length: 60000001\r\n\r\n");
    let mut sockets: Vec<_> = (0..12).map(|_| asked(&broker, &head)).collect();
    let mut gone = vec![false; sockets.len()];
    let piece = vec![b' '; 1_000_000];
    for _ in 0..60 {
        for (socket, gone) in sockets.iter_mut().zip(&mut gone) {
            *gone = *gone || socket.write_all(&piece).is_err();
        }
        is_bounded(&broker, before);
    }
    others_are_served(&broker);
    assert!(gone.iter().filter(|gone| **gone).count() >= 10, "{gone:?}");
    assert!(metric(&broker, "leveret_held_bytes") > 0, "what fits is held");
    let told = sockets.iter_mut().zip(&gone).filter(|(_, gone)| **gone).map(|(socket, _)| status(socket));
    assert!(told.into_iter().all(|status| [503, 0].contains(&status)));
    drop(sockets);
    all_is_given_back(&broker);
}

#[test]
fn users_that_do_not_finish_their_requests_keep_nobody_out() {
    let broker = broker();
    let begins = [
        format!(
            "POST /api/exchanges/%2F/amq.default/publish HTTP/1.1\r\nHost: x\r\n{GUEST}\r\nContent-Length: 500000\r\n\r\n{{"
        ),
        format!("PUT /api/queues/%2F/x HTTP/1.1\r\nHost: x\r\n{GUEST}\r\nContent-Length: 9\r\n\r\n{{"),
    ];
    for begin in begins {
        // More than the limit, from more than one address.
        let sockets: Vec<_> =
            (2..7_u8).cycle().take(700).map(|last| asked_from([127, 0, 0, last], &broker, &begin)).collect();
        for path in ["/api/health/checks/alarms", "/api/healthchecks/node", "/api/whoami", "/api/overview"] {
            Http::of(&broker).get(path).is(200);
        }
        others_are_served(&broker);
        drop(sockets);
    }
}

/// The same from another local address.
fn asked_from(address: [u8; 4], broker: &Broker, request: &str) -> Option<TcpStream> {
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let own = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&own, &std::net::SocketAddr::from((address, 0))).expect("an address of this machine");
    connect(&own, &listening(broker, "http")).ok()?;
    let mut socket = TcpStream::from(own);
    socket.write_all(request.as_bytes()).ok()?;
    Some(socket)
}

/// Makes `/api/queues` return several megabytes.
fn many_queues(broker: &Broker) {
    let queues: Vec<Value> = (0..3000)
        .map(|n| json!({ "vhost": "/", "name": format!("{n:0>200}"), "durable": false, "auto_delete": false, "arguments": {} }))
        .collect();
    Http::of(broker).post("/api/definitions", &json!({ "queues": queues })).is(204);
}

#[test]
fn answers_that_are_not_read_are_bounded() {
    let broker = broker();
    many_queues(&broker);
    let one = Http::of(&broker).get("/api/queues").is(200).text.len() as u64;
    assert!(one > 2 * MIB, "{one}");
    let before = broker.memory();
    let request = format!("GET /api/queues HTTP/1.1\r\nHost: x\r\n{GUEST}\r\n\r\n");
    let sockets: Vec<_> = (0..80)
        .map(|_| {
            let socket = asked(&broker, &request);
            rustix::net::sockopt::set_socket_recv_buffer_size(&socket, 4096).expect("a small buffer");
            socket
        })
        .collect();
    wait::until("some were closed or refused", || {
        is_bounded(&broker, before);
        metric(&broker, "leveret_held_given_up_total{how=\"closed\"}") > 10
    });
    others_are_served(&broker);
    is_bounded(&broker, before);
    drop(sockets);
    all_is_given_back(&broker);
}

/// Sends frames on several channels of ten connections until the broker refuses them; polls the good client
/// meanwhile.
fn hoard(broker: &Broker, begin: &str, frames: impl Fn(&Client, u16, usize) -> Vec<u8>) -> Vec<Client> {
    let before = broker.memory();
    let mut clients: Vec<_> = (0..10).map(|_| broker.client()).collect();
    for client in &mut clients {
        for channel in 1..=4 {
            if channel > 1 {
                client.open_channel(channel);
            }
            if !begin.is_empty() {
                client.ask(&format!("{channel} {begin}"), &format!("{channel} {begin}-ok"));
            }
        }
    }
    for round in 0..24 {
        for client in &mut clients {
            for channel in 1..=4 {
                let bytes = frames(client, channel, round);
                client.bytes(&bytes);
            }
        }
        is_bounded(broker, before);
    }
    others_are_served(broker);
    clients
}

/// Checks that most of them had a channel closed, with a text that names the key.
#[track_caller]
fn most_were_told(clients: &mut [Client]) {
    let told = clients.iter_mut().filter_map(|client| {
        client.read_patience(Duration::from_millis(500));
        client.next_or_nothing().filter(|heard| heard.spec.name == "channel.close")
    });
    let told: Vec<_> = told.collect();
    assert!(told.len() >= 5, "{} of 10", told.len());
    for close in told {
        assert_eq!(close.field("reply_code").int(), 311);
        let text = close.field("reply_text").str();
        assert!(text.contains("held_bytes_max"), "{text}");
    }
}

#[test]
fn messages_that_are_never_whole_are_bounded() {
    let broker = broker();
    let mut clients = hoard(&broker, "", |client, channel, round| {
        if round > 0 {
            return crate::raw::frame_bytes(crate::raw::BODY, channel, &vec![b'x'; 131_000]).repeat(8);
        }
        let whole = client.publish_bytes(channel, "routing_key=q", "", &vec![b'x'; 60_000_000]);
        whole[..whole_frames(&whole, 400_000)].to_vec()
    });
    most_were_told(&mut clients);
    drop(clients);
    all_is_given_back(&broker);
}

/// Total length of the complete frames within the first `most` bytes.
fn whole_frames(bytes: &[u8], most: usize) -> usize {
    let mut end = 0;
    loop {
        let size = u32::from_be_bytes(bytes[end + 3..end + 7].try_into().expect("four")) as usize + 8;
        if end + size > most {
            return end;
        }
        end += size;
    }
}

#[test]
fn transactions_that_are_never_committed_are_bounded() {
    let broker = broker();
    let mut clients = hoard(&broker, "tx.select", |client, channel, _| {
        client.publish_bytes(channel, "routing_key=q", "", &vec![b'x'; 100_000]).repeat(10)
    });
    most_were_told(&mut clients);
    drop(clients);
    all_is_given_back(&broker);
}

#[test]
fn what_clients_do_not_read_is_bounded() {
    let broker = Broker::with(&["--held-bytes-max", "8MiB"]);
    let mut clients: Vec<_> = (0..24).map(|_| broker.client()).collect();
    let lost =
        clients[0].publish_bytes(1, "routing_key=nowhere mandatory", "", &vec![b'x'; 30_000]).repeat(30);
    for client in &mut clients {
        client.write_patience(Duration::from_millis(300));
        // Stops when the broker reads no more.
        while client.try_bytes(&lost) {}
    }
    wait::until("the heaviest were closed", || {
        metric(&broker, "leveret_held_given_up_total{how=\"closed\"}") > 5
    });
    assert!(broker.log().contains("held_bytes_max"), "{}", broker.log());
    wait::until("the rest fits", || metric(&broker, "leveret_held_bytes") <= 10 * MIB);
    others_are_served(&broker);
    drop(clients);
    all_is_given_back(&broker);
}

#[test]
fn one_large_message_passes_whatever_the_budget() {
    let broker = Broker::with(&["--held-bytes-max", "1MiB"]);
    let mut c = broker.client();
    c.declare("queue=q");
    c.confirms();
    c.publish_confirmed("routing_key=q", "", vec![b'x'; 20_000_000]);
    assert_eq!(c.take("q").body.len(), 20_000_000);
}

#[test]
fn a_backlog_that_is_taken_and_not_acknowledged_stays_on_disk() {
    let broker = Broker::with(&["--memory-bytes-max", "8MiB"]);
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    for _ in 0..600 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2", vec![b'x'; 100_000]);
    }
    let held = || metric(&broker, "leveret_message_memory_bytes");
    // No publishes from here on: only messages read back count.
    c.ask("basic.consume queue=q", "basic.consume-ok");
    for n in 0..600 {
        c.hear("basic.deliver");
        if n % 100 == 99 {
            let held = held();
            assert!(held < 16 * MIB, "{} MiB of bodies after {n} deliveries", held / MIB);
        }
    }
    c.ask("basic.recover requeue", "basic.recover-ok");
    for n in 0..600 {
        let again = c.hear("basic.deliver");
        assert_eq!(again.body.len(), 100_000, "{n}");
    }
    assert!(held() < 16 * MIB, "{} MiB of bodies after all came again", held() / MIB);
}
