//! Bodies made of log records: a client's data is never read as a record, whatever happens to the file that holds it.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::harness::Broker;
use crate::management::Http;
use crate::raw::Client;
use crate::wait;

/// Fills a log segment together with its overhead, so that each body starts a new one.
const BODY: usize = (64 << 20) - (16 << 10);
/// Bytes before the body in its segment: segment header, batch marker, record header and fixed part, names and
/// properties.
const BODY_AT: usize = 4096 + 24 + 16 + 48 + "evil".len() + 3;

/// A record in the log's format, for a file identified by `mark` and a CRC seeded with `start`: in version 1 the
/// segment's number and 0.
fn record(out: &mut Vec<u8>, mark: u32, start: u32, kind: u8, payload: &[u8]) {
    let offset = u32::try_from(BODY_AT + out.len()).expect("small");
    let mut head = Vec::new();
    head.extend(u32::try_from(payload.len()).expect("small").to_le_bytes());
    head.extend(mark.to_le_bytes());
    head.extend([kind, 1, 0, 0]);
    let mut crc = crc32c::crc32c_append(start, &head);
    crc = crc32c::crc32c_append(crc, &offset.to_le_bytes());
    crc = crc32c::crc32c_append(crc, payload);
    out.extend(crc.to_le_bytes());
    out.extend(head);
    out.extend(payload);
    out.resize((BODY_AT + out.len()).next_multiple_of(8) - BODY_AT, 0);
}

/// An enqueue record of a message "forged" for `queue`.
fn enqueue(queue: u64) -> Vec<u8> {
    let mut payload = vec![0; 48];
    payload[..8].copy_from_slice(&queue.to_le_bytes());
    payload[8..16].copy_from_slice(&900u64.to_le_bytes());
    payload[32..36].copy_from_slice(&2u32.to_le_bytes());
    payload[36..40].copy_from_slice(&6u32.to_le_bytes());
    payload[45] = 2;
    payload.extend(b"\0\0forged");
    payload
}

/// Records for the segments to come: everything synced, the first queues settled, and a message for each.
fn body() -> Vec<u8> {
    let mut out = vec![0; BODY_AT.next_multiple_of(8) - BODY_AT];
    while out.len() < BODY - (64 << 10) {
        for (mark, start) in (1..16).map(|number| (number, 0)).chain([(0, 0)]) {
            record(&mut out, mark, start, 1, &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
            for queue in 1..6u64 {
                let settle = [queue, 0, u64::MAX].map(u64::to_le_bytes).concat();
                record(&mut out, mark, start, 4, &[&settle[..], &[1]].concat());
                record(&mut out, mark, start, 2, &enqueue(queue));
            }
        }
    }
    out.resize(BODY, 0);
    out
}

fn segments(broker: &Broker) -> Vec<PathBuf> {
    let entries = fs::read_dir(broker.data().join("log")).expect("the log");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    segments.sort();
    segments
}

#[test]
fn a_body_of_log_records_in_a_reused_file_is_nothing_after_kill_9() {
    let mut broker = Broker::new();
    let mut victim = broker.client();
    victim.declare("queue=victim durable");
    victim.confirms();
    for n in 0..21 {
        victim.publish_confirmed("routing_key=victim", "delivery_mode=2", n.to_string());
    }
    let http = Http::of(&broker);
    http.put("/api/vhosts/own", &serde_json::json!({})).is(201);
    http.put("/api/users/evil", &serde_json::json!({ "password": "evil", "tags": "" })).is(201);
    let all = serde_json::json!({ "configure": ".*", "write": ".*", "read": ".*" });
    http.put("/api/permissions/own/evil", &all).is(201);
    let mut evil = Client::opening(broker.amqp, "evil", "evil", "own");
    evil.hear("0 connection.open-ok");
    evil.open_channel(1);
    evil.declare("queue=evil durable");
    evil.confirms();
    let body = body();
    let mut reused = false;
    for _ in 0..4 {
        evil.publish_confirmed("routing_key=evil", "delivery_mode=2", &body);
        evil.ask("queue.purge queue=evil", "queue.purge-ok");
        let last = segments(&broker).pop().expect("a segment");
        // Its file becomes a spare, then the next segment, which a small message starts.
        wait::until("the segment is given up", || {
            victim.publish_confirmed("routing_key=victim", "delivery_mode=2", vec![b'v'; 40 << 10]);
            !last.exists()
        });
        let newest = fs::File::open(segments(&broker).pop().expect("a segment")).expect("the newest");
        let mut stale = [0; 4096];
        newest.read_exact_at(&mut stale, 32 << 20).expect("read");
        reused = stale.windows(6).any(|part| part == b"forged");
        if reused {
            break;
        }
    }
    assert!(reused, "a file with forged records behind its end is the newest segment");
    let wanted = victim.counts("victim").0;
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    let found = c.drain("victim");
    assert_eq!(i64::try_from(found.len()).expect("small"), wanted);
    let numbers: Vec<_> = (0..21).map(|n| n.to_string()).collect();
    assert_eq!(found[..21], numbers);
    assert!(!found.iter().any(|text| text == "forged"));
    let log = broker.log();
    assert!(!log.contains("ERROR"), "{log}");
}
