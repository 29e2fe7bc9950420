//! Decoding and encoding one message's frames, compared with a memcpy of the same bytes and with a bare relay over
//! loopback sockets: the distance to the limit.

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::thread;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use leveret_amqp091::wire::content::content_header;
use leveret_amqp091::wire::control::{parse_method, write_method};
use leveret_amqp091::wire::frame::{FrameKind, Scan, scan};
use leveret_amqp091::wire::hot_in::{HotMethod, hot_method};
use leveret_amqp091::wire::hot_out::{Deliver, ack, deliver, put_body};
use leveret_amqp091::wire::method::{AMQPClass, AMQPValue, FieldTable, basic};
use leveret_message::properties::essentials;
use leveret_message::table::edit::table_contents;

const FRAME_MAX: u32 = 131_072;
const BATCH: usize = 64;

fn properties(headers: usize) -> Vec<u8> {
    if headers == 0 {
        return b"\x10\0\x02".to_vec();
    }
    let mut table = FieldTable::default();
    for index in 0..headers {
        table.insert(format!("header-{index}").as_str().into(), AMQPValue::LongString("value".into()));
    }
    let contents = table_contents(&table);
    let mut raw = b"\x30\0".to_vec();
    raw.extend(u32::try_from(contents.len()).expect("small").to_be_bytes());
    raw.extend(contents);
    raw.push(2);
    raw
}

/// One socket read of publishes: `BATCH` times method, header, body.
fn publishes(body_bytes: usize, headers: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let properties = properties(headers);
    let publish = AMQPClass::Basic(basic::AMQPMethod::Publish(basic::Publish {
        exchange: "events".into(),
        routing_key: "orders.created.eu".into(),
        ..basic::Publish::default()
    }));
    for _ in 0..BATCH {
        write_method(&mut out, 1, &publish);
        out.extend([2, 0, 1]);
        out.extend(u32::try_from(12 + properties.len()).expect("small").to_be_bytes());
        out.extend([0, 60, 0, 0]);
        out.extend((body_bytes as u64).to_be_bytes());
        out.extend(&properties);
        out.push(0xCE);
        put_body(&mut out, 1, &vec![7; body_bytes], FRAME_MAX);
    }
    out
}

/// Everything a session decodes of a batch before routing.
fn decode(mut rest: &[u8]) -> u64 {
    let mut sum = 0;
    while let Ok(Scan::Frame(frame)) = scan(rest, FRAME_MAX) {
        let payload = &rest[frame.payload];
        match frame.kind {
            FrameKind::Method => {
                if let Ok(HotMethod::Publish(publish)) = hot_method(payload) {
                    sum += publish.routing_key.len() as u64;
                }
            }
            FrameKind::Header => {
                let header = content_header(payload).expect("valid");
                sum += header.body_size;
                sum += u64::from(essentials(&payload[header.properties]).expect("valid").persistent);
            }
            _ => sum += payload.len() as u64,
        }
        rest = &rest[frame.end..];
    }
    sum
}

/// Both ends of a relay that copies bytes from the first to the second, without parsing frames.
fn bare_relay() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let end = || {
        let client = TcpStream::connect(address).expect("it listens");
        let (server, _) = listener.accept().expect("it connects");
        server.set_nodelay(true).expect("a socket");
        (client, server)
    };
    let ((first, mut from), (second, mut to)) = (end(), end());
    thread::spawn(move || {
        let mut buffer = vec![0; 256 * 1024];
        // Ends when the benchmark closes its end of the connection.
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            to.write_all(&buffer[..count]).expect("the benchmark reads");
        }
    });
    (first, second)
}

fn codec(criterion: &mut Criterion) {
    for (name, body_bytes, headers) in [("16 B", 16, 0), ("1 KiB", 1024, 0), ("1 KiB, 5 headers", 1024, 5)] {
        let mut group = criterion.benchmark_group(name);
        group.throughput(Throughput::Elements(BATCH as u64));
        let input = publishes(body_bytes, headers);
        let body = vec![7; body_bytes];
        let properties = properties(headers);
        group.bench_function("decode publishes", |bench| {
            bench.iter(|| decode(black_box(&input)));
        });
        let mut out = Vec::with_capacity(2 * input.len());
        group.bench_function("encode deliveries", |bench| {
            bench.iter(|| {
                out.clear();
                for delivery_tag in 0..BATCH as u64 {
                    let method = Deliver {
                        consumer_tag: b"ctag1.0123456789abcdef",
                        delivery_tag,
                        redelivered: false,
                        exchange: b"events",
                        routing_key: b"orders.created.eu",
                    };
                    deliver(&mut out, 1, black_box(&method), &properties, black_box(&body), FRAME_MAX);
                }
                out.len()
            });
        });
        let bytes = out.clone();
        group.bench_function("memcpy of the same deliveries", |bench| {
            bench.iter(|| {
                out.clear();
                for chunk in black_box(&bytes).chunks(bytes.len() / BATCH) {
                    out.extend_from_slice(chunk);
                }
                out.len()
            });
        });
        let (mut first, mut second) = bare_relay();
        let mut arrived = vec![0; input.len()];
        group.bench_function("TCP relay of the same publishes", |bench| {
            bench.iter(|| {
                first.write_all(black_box(&input)).expect("the relay reads");
                second.read_exact(&mut arrived).expect("the relay writes");
            });
        });
        group.finish();
    }
    let mut group = criterion.benchmark_group("ack");
    let mut frame = Vec::with_capacity(64);
    ack(&mut frame, 1, 7, true);
    let payload = frame[7..20].to_vec();
    group.bench_function("by hand", |bench| {
        bench.iter(|| hot_method(black_box(&payload)).is_ok());
    });
    group.bench_function("through amq-protocol", |bench| {
        bench.iter(|| parse_method(black_box(&payload)).is_ok());
    });
    group.finish();
}

criterion_group!(benches, codec);
criterion_main!(benches);
