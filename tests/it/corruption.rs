//! A damaged data folder: the start reports the file and what is affected, serves the rest, never panics.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::harness::Broker;
use crate::raw::Client;

/// Messages of 64 KiB: two segments of the log.
const MESSAGES: i64 = 1100;

/// The folder of a stopped broker, with messages in it.
fn folder_with_messages() -> Broker {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=big durable");
    c.declare("queue=small durable arguments={x-max-length:1000000}");
    c.ask("queue.bind queue=small exchange=amq.topic routing_key=s.*", "queue.bind-ok");
    c.confirms();
    let body = vec![b'x'; 64 * 1024];
    for n in 1..=MESSAGES {
        c.publish_with("routing_key=big", "delivery_mode=2", &body);
        c.publish_with("exchange=amq.topic routing_key=s.x", "delivery_mode=2", n.to_string());
        if n % 16 == 0 || n == MESSAGES {
            confirmed_upto(&mut c, n * 2);
        }
    }
    broker.kill();
    broker
}

fn confirmed_upto(c: &mut Client, tag: i64) {
    while c.hear("basic.ack").tag() < tag {}
}

fn segments(broker: &Broker) -> Vec<PathBuf> {
    let entries = fs::read_dir(broker.data().join("log")).expect("the log");
    let files = entries.map(|entry| entry.expect("an entry").path());
    let mut segments: Vec<_> = files.filter(|path| path.extension().is_some_and(|e| e == "seg")).collect();
    segments.sort();
    segments
}

/// Starts it, and consumes both queues; returns the number of messages.
fn serve_the_rest(broker: &mut Broker) -> (i64, Vec<i64>, String) {
    broker.start_again();
    let mut c = broker.client();
    let big = c.drain("big").len();
    let small = c.drain("small").iter().map(|text| text.parse().expect("a number")).collect();
    // It accepts new ones.
    c.confirms();
    c.publish_confirmed("exchange=amq.topic routing_key=s.y", "delivery_mode=2", "7");
    assert_eq!(c.drain("small"), ["7"], "the binding is there");
    let log = broker.log();
    assert!(!log.contains("panicked"), "{log}");
    (i64::try_from(big).expect("small"), small, log)
}

fn name(path: &Path) -> &str {
    path.file_name().and_then(|name| name.to_str()).expect("UTF-8")
}

#[track_caller]
fn is_named(log: &str, level: &str, file: &str) {
    let told = log.lines().any(|line| line.contains(level) && line.contains(file));
    assert!(told, "{file} should be named in:\n{log}");
}

#[test]
fn without_its_indexes_nothing_is_lost() {
    let mut broker = folder_with_messages();
    // An orderly shutdown leaves a snapshot of the definitions, and no journal.
    broker.start_again();
    assert!(broker.stop().success());
    fs::remove_dir_all(broker.data().join("index")).expect("the index");
    fs::remove_dir_all(broker.data().join("definitions")).expect("the definitions");
    let (big, small, log) = serve_the_rest(&mut broker);
    assert_eq!((big, small), (MESSAGES, (1..=MESSAGES).collect()), "{log}");
    is_named(&log, "ERROR", "definitions");
    is_named(&log, "WARN", "index");
}

#[test]
fn a_nonsense_index_is_set_aside_and_nothing_is_lost() {
    let mut broker = folder_with_messages();
    let db = File::options().write(true).open(broker.data().join("index/db")).expect("the index");
    let len = db.metadata().expect("its length").len();
    for at in (0..len).step_by(512) {
        db.write_all_at(&[0xA5; 64], at).expect("write");
    }
    let (big, small, log) = serve_the_rest(&mut broker);
    assert_eq!((big, small), (MESSAGES, (1..=MESSAGES).collect()), "{log}");
    is_named(&log, "", "index");
}

#[test]
fn a_flipped_byte_costs_the_message_that_it_is_in() {
    let mut broker = folder_with_messages();
    let first = segments(&broker).remove(0);
    let file = File::options().read(true).write(true).open(&first).expect("the segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 10_000_000).expect("read");
    file.write_all_at(&[byte[0] ^ 1], 10_000_000).expect("write");
    // The index would skip that place; without it the whole log is read.
    fs::remove_dir_all(broker.data().join("index")).expect("the index");
    let (big, small, log) = serve_the_rest(&mut broker);
    assert!((MESSAGES - 2..MESSAGES).contains(&big), "{big} of {MESSAGES}");
    assert!(small.len() >= 1098, "{} of {MESSAGES}", small.len());
    is_named(&log, "ERROR", name(&first));
}

#[test]
fn a_flipped_byte_is_found_when_its_message_is_read() {
    let mut broker = folder_with_messages();
    let first = segments(&broker).remove(0);
    let file = File::options().read(true).write(true).open(&first).expect("the segment");
    let mut byte = [0];
    file.read_exact_at(&mut byte, 10_000_000).expect("read");
    file.write_all_at(&[byte[0] ^ 1], 10_000_000).expect("write");
    let (big, small, log) = serve_the_rest(&mut broker);
    assert_eq!((big, small.len()), (MESSAGES - 1, 1100), "{log}");
    is_named(&log, "ERROR", name(&first));
}

#[test]
fn a_missing_segment_costs_what_was_in_it() {
    let mut broker = folder_with_messages();
    let first = segments(&broker).remove(0);
    fs::remove_file(&first).expect("the segment");
    let (big, small, log) = serve_the_rest(&mut broker);
    assert!(big > 0 && big < MESSAGES, "{big}");
    assert!(!small.is_empty() && small.is_sorted(), "{small:?}");
    is_named(&log, "ERROR", name(&first));
}

#[test]
fn a_segment_that_was_cut_short_costs_what_was_behind() {
    let mut broker = folder_with_messages();
    let first = segments(&broker).remove(0);
    File::options().write(true).open(&first).expect("the segment").set_len(30_000_000).expect("cut");
    let (big, small, log) = serve_the_rest(&mut broker);
    assert!(big > 400 && big < MESSAGES, "{big}");
    assert!(small.is_sorted() && small.last() == Some(&MESSAGES), "{small:?}");
    is_named(&log, "ERROR", name(&first));
}

#[test]
fn a_flipped_byte_in_what_was_confirmed_last_is_told_and_not_taken_for_a_torn_tail() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    for n in 0..20 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2", format!("message {n:04} that matters"));
    }
    broker.kill();
    let newest = segments(&broker).pop().expect("a segment");
    let bytes = fs::read(&newest).expect("the segment");
    let last = b"message 0019 that matters";
    let at = bytes.windows(last.len()).position(|part| part == last).expect("the last message");
    let file = File::options().write(true).open(&newest).expect("the segment");
    file.write_all_at(&[bytes[at + 9] ^ 4], at as u64 + 9).expect("write");
    broker.start_again();
    let mut c = broker.client();
    assert_eq!(c.drain("q").len(), 19);
    let log = broker.log();
    is_named(&log, "ERROR", name(&newest));
    assert!(log.lines().any(|line| line.contains("offset") && line.contains("queue")), "{log}");
}
