//! A disk without any free space.

use std::collections::{BTreeMap, BTreeSet};

use super::mount::{self, Mount};
use crate::harness::Broker;
use crate::management::Http;
use crate::raw::Client;
use crate::wait;

const BODY: usize = 64 * 1024;

/// Maximum unanswered publishes.
const WINDOW: usize = 8;

fn body(number: u64) -> Vec<u8> {
    let mut body = format!("{number:>12}").into_bytes();
    body.resize(BODY, b'x');
    body
}

fn number(body: &[u8]) -> u64 {
    String::from_utf8_lossy(&body[..12]).trim().parse().expect("a number")
}

/// Publishes with confirms until the broker blocks; returns what was confirmed.
fn publish_until_blocked(c: &mut Client, next: &mut u64) -> (BTreeSet<u64>, BTreeMap<i64, u64>) {
    c.confirms();
    let (mut confirmed, mut open) = (BTreeSet::new(), BTreeMap::new());
    let mut tag = 1;
    loop {
        while open.len() < WINDOW {
            c.publish_with("routing_key=q", "delivery_mode=2", body(*next));
            open.insert(tag, *next);
            (tag, *next) = (tag + 1, *next + 1);
        }
        let heard = c.next();
        match heard.spec.name {
            "connection.blocked" => return (confirmed, open),
            "basic.ack" => answered(&heard, &mut open, &mut confirmed),
            _ => panic!("instead of a confirm: {heard}"),
        }
    }
}

fn answered(ack: &crate::raw::Heard, open: &mut BTreeMap<i64, u64>, confirmed: &mut BTreeSet<u64>) {
    let upto = ack.tag();
    let multiple = ack.field("multiple").int() == 1;
    let tags: Vec<_> = open.keys().copied().filter(|tag| *tag == upto || multiple && *tag < upto).collect();
    confirmed.extend(tags.iter().filter_map(|tag| open.remove(tag)));
}

/// Takes and acknowledges up to `count` messages.
fn take(c: &mut Client, count: usize) -> Vec<u64> {
    let mut taken = Vec::new();
    for _ in 0..count {
        c.say("basic.get queue=q");
        let heard = c.next();
        if heard.spec.name == "basic.get-empty" {
            break;
        }
        c.say(&format!("basic.ack delivery_tag={}", heard.tag()));
        taken.push(number(&heard.body));
    }
    taken
}

/// Declares durable queues until one cannot be stored: the client gets an error in time.
fn declare_until_refused(broker: &Broker) {
    let mut c = broker.client();
    for n in 0..1000 {
        c.say(&format!("queue.declare queue={}{n} durable", "long".repeat(50)));
        let heard = c.next();
        if heard.spec.name == "connection.close" {
            assert_eq!(heard.field("reply_code").int(), 541, "{heard}");
            assert!(heard.field("reply_text").str().contains("cannot be saved"), "{heard}");
            return;
        }
        assert_eq!(heard.spec.name, "queue.declare-ok");
    }
    panic!("a full disk keeps a thousand definitions");
}

#[test]
fn a_full_disk_holds_publishers_up_and_loses_nothing() {
    mount::where_possible("faults::full_disk::a_full_disk_holds_publishers_up_and_loses_nothing", || {
        let disk = Mount::tmpfs("180m").expect("a disk");
        // The alarm would come first.
        let mut broker = Broker::inside(disk.folder(), &["--disk-free-bytes-min", "0"]);
        let (mut publisher, mut consumer) = (broker.client(), broker.client());
        consumer.declare("queue=q durable");
        let mut next = 0;
        let (mut confirmed, _open) = publish_until_blocked(&mut publisher, &mut next);
        let http = Http::of(&broker);
        http.get("/api/health/checks/alarms").is(503);
        assert_eq!(http.get("/api/nodes").json[0]["disk_free_alarm"], true);

        disk.fill(0);
        let mut settled: BTreeSet<u64> = take(&mut consumer, 20).into_iter().collect();
        assert_eq!(settled.len(), 20, "consumers go on");
        declare_until_refused(&broker);
        settled.extend(take(&mut consumer, 20));
        assert_eq!(settled.len(), 40, "consumers still go on");

        broker.kill();
        disk.make_room();
        disk.fill(28 << 20);
        broker.start_again();
        let (mut publisher, mut consumer) = (broker.client(), broker.client());
        publisher.confirms();
        // No room for another segment yet.
        publisher.publish_with("routing_key=q", "delivery_mode=2", body(next));
        wait::until("the publisher is held up", || {
            Http::of(&broker).get("/api/health/checks/alarms").status == 503
        });
        let mut found = BTreeSet::new();
        loop {
            let taken = take(&mut consumer, 100);
            if taken.is_empty() {
                break;
            }
            for number in taken {
                assert!(found.insert(number), "{number} twice");
            }
        }
        let lost: Vec<_> = confirmed.iter().filter(|n| !found.contains(n) && !settled.contains(n)).collect();
        assert!(lost.is_empty(), "confirmed and not there: {lost:?}");

        // Room is available once all that is consumed.
        confirmed.clear();
        let mut answers = BTreeSet::new();
        while !answers.contains("basic.ack") {
            answers.insert(publisher.next().spec.name);
        }
        wait::until("the alarm is over", || Http::of(&broker).get("/api/health/checks/alarms").status == 200);
        for n in 1..=10 {
            publisher.publish_with("routing_key=q", "delivery_mode=2", body(next + n));
            while publisher.next().spec.name != "basic.ack" {}
        }
        broker.kill();
        broker.start_again();
        let there = take(&mut broker.client(), 100);
        assert!((next + 1..=next + 10).all(|number| there.contains(&number)), "{there:?}");
    });
}

/// With this much free space, with or without the reserve kept for a start: starts three times, serves, and loses
/// nothing.
fn starts_without_room(disk: &Mount, cases: &[(bool, u64)]) {
    let mut broker = Broker::inside(disk.folder(), &["--disk-free-bytes-min", "0"]);
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    for number in 0..400 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2", body(number));
    }
    let mut there: BTreeSet<u64> = (0..400).collect();
    let reserve = broker.data().join("reserve");
    for &(kept, mebibytes) in cases {
        let what = format!("{mebibytes} MiB, reserve {kept}");
        wait::until("room is kept for a start", || reserve.exists());
        // Data to be read again at the start.
        let settled = take(&mut broker.client(), 10);
        there.retain(|number| !settled.contains(number));
        broker.kill();
        if !kept {
            std::fs::remove_file(&reserve).expect("the reserve");
        }
        disk.fill(mebibytes << 20);
        for again in 0..3 {
            broker.start_again();
            let mut c = broker.client();
            c.say("queue.declare queue=q passive");
            let count = c.next().field("message_count").int();
            // Acknowledgements are not waited for, so some messages may come again.
            let count = usize::try_from(count).expect("a count");
            assert!(count >= there.len(), "{what}, start {again}: {count} of {}", there.len());
            let settled = take(&mut c, 5);
            assert_eq!(settled.len(), 5, "{what}, start {again}");
            there.retain(|number| !settled.contains(number));
            Http::of(&broker).get("/api/health/checks/lost").is(200);
            broker.kill();
            if again == 0 {
                // No space may be left over by chance.
                disk.fill(mebibytes << 20);
            }
        }
        disk.make_room();
        broker.start_again();
    }
    let found: BTreeSet<u64> = take(&mut broker.client(), 1000).into_iter().collect();
    assert!(there.is_subset(&found), "{:?} are lost", there.difference(&found).collect::<Vec<_>>());
    assert!(broker.stop().success());
    broker.start_again();
    let log = broker.log();
    assert!(!log.contains(" ERROR "), "{log}");
}

#[test]
fn a_disk_without_room_is_no_reason_not_to_start_again_and_again() {
    mount::where_possible(
        "faults::full_disk::a_disk_without_room_is_no_reason_not_to_start_again_and_again",
        || {
            let all: Vec<_> =
                [0, 1, 2, 6, 10].iter().flat_map(|free| [(true, *free), (false, *free)]).collect();
            starts_without_room(&Mount::tmpfs("200m").expect("a disk"), &all);
            match Mount::ext4("200m") {
                Ok(disk) => starts_without_room(&disk, &[(true, 0), (false, 0), (false, 6)]),
                Err(problem) => super::cannot(&format!("starts on a full ext4: {problem}")),
            }
        },
    );
}
