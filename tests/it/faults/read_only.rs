//! A file system that becomes read-only, as after a disk failure.

use std::collections::BTreeSet;

use super::cannot;
use super::mount::Mount;
use crate::harness::Broker;
use crate::management::Http;
use crate::wait;

const MESSAGES: i64 = 3000;

#[test]
fn a_read_only_disk_holds_publishers_up_and_loses_nothing() {
    let disk = match Mount::ext4("400m") {
        Ok(disk) => disk,
        Err(problem) => return cannot(&format!("a read-only disk needs a loop device: {problem}")),
    };
    // Little memory, so that most messages must be read back.
    let options = ["--disk-free-bytes-min", "0", "--memory-bytes-max", "1048576"];
    let mut broker = Broker::inside(disk.folder(), &options);
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    let filling = "x".repeat(2000);
    for n in 0..MESSAGES {
        c.publish_with("routing_key=q", "delivery_mode=2", format!("{n} {filling}"));
    }
    let mut confirmed = 0;
    while confirmed < MESSAGES {
        let ack = c.hear("basic.ack");
        confirmed = if ack.field("multiple").int() == 1 { ack.tag() } else { confirmed + 1 };
    }
    if let Err(problem) = disk.break_down() {
        return cannot(&format!("an ext4 cannot be broken: {problem}"));
    }
    // Refused, or not answered; never confirmed.
    c.publish_with("routing_key=q", "delivery_mode=2", "too late");
    wait::until("the alarm", || Http::of(&broker).get("/api/health/checks/alarms").status == 503);
    c.publish_with("routing_key=q", "delivery_mode=2", "too late as well");
    let mut heard = BTreeSet::new();
    while !heard.contains("connection.blocked") {
        let next = c.next().spec.name;
        assert_ne!(next, "basic.ack", "confirmed on a read-only disk");
        heard.insert(next);
    }
    let mut consumer = broker.client();
    for number in 0..MESSAGES {
        let got = consumer.ask("basic.get queue=q", "basic.get-ok");
        assert!(got.text().starts_with(&format!("{number} ")), "{number} is next, not {:.20}", got.text());
        consumer.say(&format!("basic.ack delivery_tag={}", got.tag()));
    }
    // A definition cannot be stored, and the client gets an error.
    consumer.say("queue.declare queue=other durable");
    consumer.connection_closes(541, "queue.declare", "cannot be saved");

    broker.kill();
    wait::until("the disk is free", || std::panic::catch_unwind(|| disk.again()).is_ok());
    broker.start_again();
    let all = broker.client().drain("q");
    // Acknowledgements could not be written: their messages come again.
    let there: BTreeSet<_> = all.iter().filter_map(|text| text.split(' ').next()).collect();
    assert_eq!(there.len(), all.len(), "none twice");
    for n in 0..MESSAGES {
        assert!(there.contains(n.to_string().as_str()), "{n} is lost");
    }
}
