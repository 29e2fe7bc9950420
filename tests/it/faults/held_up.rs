//! Publishers blocked by an alarm: their other methods are still processed, and they are still monitored.

use std::time::Duration;

use crate::harness::Broker;
use crate::raw::Client;
use crate::wait;

/// A broker that is short of disk whatever the free space.
fn short_of_disk() -> Broker {
    Broker::with(&["--disk-free-bytes-min", "1000000000000000"])
}

/// A blocked publisher that holds the only message of the queue `work`, is its single active consumer, and owns
/// `mine`.
fn held_up(broker: &Broker, heartbeat: u16) -> (Client, Client) {
    let mut other = broker.client();
    other.declare("queue=work durable arguments={x-single-active-consumer:true}");
    other.publish("routing_key=work", "a piece of work");
    other.hear("0 connection.blocked");
    let mut other = broker.client();
    let mut publisher = Client::open_with(broker.amqp, "", 131_072, heartbeat);
    publisher.declare("queue=mine exclusive");
    publisher.ask("basic.consume queue=work consumer_tag=worker", "basic.consume-ok");
    publisher.hear("basic.deliver");
    publisher.publish("routing_key=out", "x");
    publisher.hear("0 connection.blocked");
    other.declare("queue=out durable");
    (publisher, other)
}

/// Checks that what the publisher held is available to others again.
#[track_caller]
fn is_gone(other: &mut Client) {
    other.ask("basic.consume queue=work consumer_tag=next", "basic.consume-ok");
    let again = other.hear("basic.deliver");
    assert_eq!(again.text(), "a piece of work");
    assert_eq!(again.field("redelivered").int(), 1);
    wait::until("the exclusive name is free", || {
        other.open_channel(2);
        other.say("2 queue.declare queue=mine exclusive");
        let free = other.next().spec.name == "queue.declare-ok";
        if free {
            other.ask("2 channel.close", "2 channel.close-ok");
        } else {
            other.say("2 channel.close-ok");
        }
        free
    });
}

/// Sends more than the broker reads from a blocked publisher, and the kernel buffers for it.
fn flood(publisher: &mut Client) {
    let one = publisher.publish_bytes(1, "routing_key=out", "", &[b'x'; 10_000]);
    publisher.write_patience(Duration::from_secs(1));
    let mut bytes = 0;
    while bytes < 64 << 20 && publisher.try_bytes(&one) {
        bytes += one.len();
    }
    assert!((1 << 20..64 << 20).contains(&bytes), "{bytes} bytes were taken");
}

#[test]
fn what_it_says_beside_publishes_is_answered() {
    let broker = short_of_disk();
    let (mut publisher, mut other) = held_up(&broker, 0);
    for _ in 0..3 {
        publisher.publish("routing_key=out", "waits");
    }
    publisher.say("basic.ack delivery_tag=1");
    wait::until("the ack counts", || other.counts("work").0 == 0);
    publisher.ask("basic.cancel consumer_tag=worker", "basic.cancel-ok");
    assert_eq!(other.counts("work"), (0, 0));
    // Another channel has nothing that could be overtaken.
    publisher.open_channel(2);
    publisher.say("2 basic.get queue=work");
    assert_eq!(publisher.next().spec.name, "basic.get-empty");
    assert_eq!(other.counts("out").0, 0, "no publish was carried out");
    // Earlier methods are executed first.
    publisher.say("basic.get queue=out");
    publisher.say("2 basic.get queue=work");
    assert!(!wait::within(Duration::from_millis(700), || other.counts("out").0 > 0));
    drop(publisher);
    other.wait_ready("out", 3);
}

#[test]
fn the_end_of_a_channel_or_a_connection_is_answered_and_nothing_taken_is_lost() {
    let broker = short_of_disk();
    let (mut publisher, mut other) = held_up(&broker, 0);
    publisher.publish("routing_key=out", "first");
    publisher.open_channel(2);
    let second = publisher.publish_bytes(2, "routing_key=out", "", b"second");
    publisher.bytes(&second);
    publisher.ask("channel.close", "channel.close-ok");
    other.wait_ready("out", 1);
    publisher.ask("0 connection.close", "0 connection.close-ok");
    assert!(publisher.try_next().is_none(), "the socket is closed");
    assert_eq!(other.counts("out").0, 2);
    assert_eq!([other.take("out").text(), other.take("out").text()], ["first", "second"]);
    is_gone(&mut other);
}

#[test]
fn its_end_is_seen_behind_what_nobody_reads() {
    for reset in [false, true] {
        let broker = short_of_disk();
        let (mut publisher, mut other) = held_up(&broker, 0);
        flood(&mut publisher);
        if reset {
            publisher.reset();
        } else {
            drop(publisher);
        }
        is_gone(&mut other);
    }
}

#[test]
fn its_silence_is_seen() {
    let broker = short_of_disk();
    let (mut publisher, mut other) = held_up(&broker, 1);
    publisher.publish("routing_key=out", "waits");
    is_gone(&mut other);
    assert!(broker.log().contains("missed heartbeats from client"), "{}", broker.log());
}

#[test]
fn its_silence_is_seen_when_it_is_not_read_from() {
    let broker = short_of_disk();
    let (mut publisher, mut other) = held_up(&broker, 1);
    // More than the broker reads, by less than the kernel buffers.
    let body = vec![b'x'; 100_000];
    for _ in 0..13 {
        publisher.publish("routing_key=out", &body);
    }
    publisher.say("basic.ack delivery_tag=1");
    is_gone(&mut other);
}

#[test]
fn heartbeats_keep_it_alive() {
    let broker = short_of_disk();
    let (mut publisher, mut other) = held_up(&broker, 1);
    flood(&mut publisher);
    let mut heartbeats = 0;
    while heartbeats < 8 {
        // The broker's own heartbeats continue, twice a second.
        assert_eq!(publisher.any_frame().expect("the connection is there").kind, crate::raw::HEARTBEAT);
        heartbeats += 1;
    }
    assert_eq!(other.counts("work").1, 1, "it still consumes");
}
