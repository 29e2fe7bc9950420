//! Peers that break the rules or never finish: memory stays bounded, others are served, the log says so once.

use std::time::Duration;

use crate::harness::Broker;
use crate::management::Http;
use crate::raw::{BODY, Client, HEADER, METHOD, encode_header, frame_bytes};
use crate::wait;

const MIB: u64 = 1 << 20;

/// Checks that others are served: a message passes through.
#[track_caller]
fn serves(broker: &Broker) {
    let mut c = broker.client();
    let queue = c.declare("exclusive");
    c.publish(&format!("routing_key={queue}"), "hello");
    assert_eq!(c.drain(&queue), ["hello"]);
    c.close();
}

/// Number of log lines that name the peer by this connection's own port.
fn lines_about(broker: &Broker, client: &Client) -> usize {
    let port = format!(":{}", client.local_port());
    broker.log().lines().filter(|l| l.contains(&port) && (l.contains("WARN") || l.contains("ERROR"))).count()
}

/// Repeats an offence and checks memory: the cost of offenders must not add up.
#[track_caller]
fn stays_small(broker: &Broker, limit: u64, mut offence: impl FnMut()) {
    let before = broker.memory();
    offence();
    serves(broker);
    let after = broker.memory();
    assert!(after < before + limit, "memory grew from {} to {} MiB", before / MIB, after / MIB);
}

/// A cheap source of arbitrary octets.
struct Noise(u64);

impl Noise {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count);
        while out.len() < count {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            out.extend(self.0.to_be_bytes());
        }
        out.truncate(count);
        out
    }
}

/// Password checks are slow. Clients waiting for one must not occupy the threads of all others.
#[test]
fn a_crowd_that_guesses_passwords_from_many_addresses_stops_nobody() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    const CROWD: u8 = 6;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).expect("room for sockets");
    let broker = Broker::with(&["--proxy-protocol-trusted=127.0.0.1"]);
    let mut before = Client::connect(broker.amqp, "");
    before.bytes(b"PROXY UNKNOWN\r\nAMQP\x00\x00\x09\x01");
    before.hear("0 connection.start");
    before.start_ok("PLAIN", "\\0guest\\0guest");
    before.hear("0 connection.tune");
    before.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    before.say("0 connection.open virtual_host=/");
    before.hear("0 connection.open-ok");
    before.open_channel(1);
    let crowd = (0..CROWD).flat_map(|net| (0..100).map(move |host| (net, host)));
    let crowd: Vec<_> = crowd
        .map(|(net, host)| {
            let mut c = Client::connect(broker.amqp, "");
            let header = format!("PROXY TCP4 10.0.{net}.{host} 198.51.100.1 40000 5672\r\n");
            c.bytes(&[header.as_bytes(), b"AMQP\x00\x00\x09\x01"].concat());
            c.start_ok("PLAIN", "\\0guest\\0wrong");
            c
        })
        .collect();
    let begun = leveret::net::now().0;
    for round in 0..20 {
        before.declare(&format!("queue=q{round} durable"));
        Http::of(&broker).nobody().get("/api/version").is(200);
    }
    let took = leveret::net::now().0 - begun;
    assert!(took < 8_000, "{} others wait for {took} ms", crowd.len());
}

#[test]
fn garbage_before_the_handshake() {
    let broker = Broker::new();
    let mut noise = Noise(7);
    stays_small(&broker, 64 * MIB, || {
        for size in [1, 7, 8, 9, 100, 10_000, 1_000_000] {
            let mut c = Client::connect(broker.amqp, "");
            c.try_bytes(&noise.bytes(size));
            c.finish_writing();
            c.rest();
        }
    });
}

#[test]
fn garbage_after_the_handshake() {
    let broker = Broker::new();
    let mut noise = Noise(11);
    stays_small(&broker, 64 * MIB, || {
        for size in [1, 7, 8, 9, 100, 10_000, 1_000_000] {
            let mut c = broker.client();
            c.try_bytes(&noise.bytes(size));
            c.finish_writing();
            c.rest();
        }
        // Whole frames with garbage inside.
        for kind in [METHOD, HEADER, BODY, 8] {
            for _ in 0..50 {
                let mut c = broker.client();
                let payload = noise.bytes(40);
                c.try_bytes(&frame_bytes(kind, 1, &payload));
                c.finish_writing();
                c.rest();
            }
        }
    });
}

#[test]
fn known_methods_with_garbage_arguments() {
    let broker = Broker::new();
    let mut noise = Noise(13);
    stays_small(&broker, 64 * MIB, || {
        for (class, id) in
            [(10, 11), (10, 31), (40, 10), (50, 10), (50, 20), (60, 20), (60, 40), (60, 80), (60, 120)]
        {
            for size in [0, 1, 3, 10, 100, 4000] {
                let mut c = broker.client();
                let mut payload = vec![0, class, 0, id];
                payload.extend(noise.bytes(size));
                c.try_bytes(&frame_bytes(METHOD, 1, &payload));
                c.finish_writing();
                c.rest();
            }
        }
    });
}

#[test]
fn half_frames_wait_at_little_cost_and_end_with_the_socket() {
    let broker = Broker::new();
    stays_small(&broker, 128 * MIB, || {
        let clients: Vec<_> = (0..100)
            .map(|_| {
                let mut c = broker.client();
                let frame = c.publish_bytes(1, "routing_key=q", "", &vec![0; 50_000]);
                c.bytes(&frame[..frame.len() / 2]);
                c
            })
            .collect();
        serves(&broker);
        drop(clients);
    });
}

#[test]
fn a_frame_that_declares_four_gigabytes_is_refused_at_once() {
    let broker = Broker::new();
    stays_small(&broker, 32 * MIB, || {
        let mut c = broker.client();
        c.bytes(&[METHOD, 0, 1, 0xFF, 0xFF, 0xFF, 0xF0, 1, 2, 3]);
        c.connection_closes(501, "", "");
    });
}

#[test]
fn declared_body_sizes_cost_little_until_they_come() {
    let broker = Broker::new();
    stays_small(&broker, 128 * MIB, || {
        let mut clients = Vec::new();
        for _ in 0..50 {
            let mut c = broker.client();
            c.say("basic.publish routing_key=q");
            c.frame(HEADER, 1, &encode_header(60, 100 * MIB, ""));
            c.frame(BODY, 1, &[0; 1000]);
            clients.push(c);
        }
        serves(&broker);
    });
}

#[test]
fn a_table_nested_beyond_reason_is_an_error_and_not_a_crash() {
    let broker = Broker::new();
    stays_small(&broker, 64 * MIB, || {
        let mut table = Vec::new();
        for _ in 0..15_000 {
            let mut outer = vec![1, b'a', b'F'];
            outer.extend(u32::try_from(table.len()).expect("small").to_be_bytes());
            outer.extend(&table);
            table = outer;
            if table.len() > 100_000 {
                break;
            }
        }
        let mut payload = vec![0, 50, 0, 10, 0, 0, 1, b'q', 0];
        payload.extend(u32::try_from(table.len()).expect("small").to_be_bytes());
        payload.extend(table);
        let mut c = broker.client();
        c.frame(METHOD, 1, &payload);
        // Well-formed: the channel is closed, and the connection continues.
        c.channel_closes(406, "queue.declare", "nested deeper");
        c.open_channel(1);
        c.silent();
    });
}

#[test]
fn ten_thousand_channels() {
    let broker = Broker::new();
    stays_small(&broker, 256 * MIB, || {
        let mut clients = Vec::new();
        for _ in 0..5 {
            let mut c = broker.client();
            for channel in 2..=2000_u16 {
                c.say(&format!("{channel} channel.open"));
            }
            for channel in 2..=2000_u16 {
                c.hear(&format!("{channel} channel.open-ok"));
            }
            clients.push(c);
        }
        serves(&broker);
    });
}

#[test]
fn a_handshake_that_never_ends_is_cut_off() {
    let broker = Broker::new();
    let mut silent = Client::connect(broker.amqp, "");
    let mut half = Client::connect(broker.amqp, "");
    half.bytes(b"AMQP");
    let mut started = Client::start(broker.amqp, "");
    serves(&broker);
    silent.rest();
    half.rest();
    started.rest();
    serves(&broker);
}

#[test]
fn a_slow_handshake_octet_by_octet_is_cut_off_too() {
    let broker = Broker::new();
    let mut c = Client::start(broker.amqp, "");
    c.write_patience(Duration::from_secs(1));
    let mut sent = 0_u32;
    // A start-ok with a huge declared length that trickles in.
    c.bytes(&[METHOD, 0, 0, 0, 0, 0x0F, 0xFF]);
    let cut = wait::within(wait::LIMIT, || {
        sent += 1;
        !c.try_bytes(&[0])
    });
    assert!(cut, "still there after {sent} octets");
    serves(&broker);
}

#[test]
fn a_client_that_never_reads_does_not_fill_memory() {
    let broker = Broker::new();
    let mut deaf = broker.client();
    deaf.declare("queue=q");
    deaf.ask("basic.consume queue=q no_ack", "basic.consume-ok");
    stays_small(&broker, 256 * MIB, || {
        // 400 MB for a consumer that reads none of it; a limit keeps the queue itself small.
        let mut c = broker.client();
        c.confirms();
        c.declare("queue=limited arguments={x-max-length:100}");
        c.ask("queue.bind queue=limited exchange=amq.fanout", "queue.bind-ok");
        deaf.say("basic.consume queue=limited no_ack");
        let body = vec![0; 100_000];
        for _ in 0..4000 {
            c.publish("exchange=amq.fanout", &body);
        }
        let mut confirmed = 0;
        while confirmed < 4000 {
            let ack = c.hear("basic.ack");
            confirmed = if ack.field("multiple").int() == 1 { ack.tag() } else { confirmed + 1 };
        }
        serves(&broker);
    });
}

#[test]
fn answers_nobody_reads_do_not_fill_memory() {
    let broker = Broker::new();
    let mut deaf = broker.client();
    deaf.write_patience(Duration::from_secs(2));
    stays_small(&broker, 128 * MIB, || {
        // Each unroutable mandatory message is returned whole; none is read.
        let bytes = deaf.publish_bytes(1, "routing_key=none mandatory", "", &vec![0; 100_000]);
        for _ in 0..3000 {
            if !deaf.try_bytes(&bytes) {
                break;
            }
        }
        serves(&broker);
    });
}

#[test]
fn an_offence_is_one_line_in_the_log() {
    let broker = Broker::new();
    let mut garbage = Client::connect(broker.amqp, "");
    garbage.bytes(b"GET / HTTP/1.1\r\n\r\n");
    garbage.rest();
    let mut malformed = broker.client();
    malformed.bytes(&[77, 0, 0, 0, 0, 0, 0, 0xCE]);
    malformed.connection_closes(501, "", "");
    let mut refused = Client::start(broker.amqp, "");
    refused.start_ok("PLAIN", "\\0guest\\0wrong");
    refused.rest();
    for client in [&garbage, &malformed, &refused] {
        wait::until("a line in the log", || lines_about(&broker, client) > 0);
        assert_eq!(lines_about(&broker, client), 1, "{}", broker.log());
    }
    assert!(!broker.log().contains("panicked"), "{}", broker.log());
}
