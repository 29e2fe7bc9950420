//! Limits that a configuration sets.

use crate::harness::Broker;
use crate::raw::Client;

#[test]
fn connections_beyond_the_limit_are_refused_and_one_that_ends_makes_room() {
    let broker = Broker::with(&["--connections-max", "1"]);
    let first = broker.client();
    let (mut second, _) = Client::tune(broker.amqp, "");
    second.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    second.say("0 connection.open virtual_host=/");
    second.connection_closes(530, "?connection.open", "connection limit (1) is reached");
    first.close();
    drop(broker.client());
}

#[test]
fn a_body_over_the_configured_size_closes_the_channel() {
    let broker = Broker::with(&["--message-bytes-max", "1000"]);
    let mut c = broker.client();
    c.declare("queue=q");
    c.publish("exchange=\"\" routing_key=q", vec![b'x'; 1000]);
    c.wait_ready("q", 1);
    c.publish("exchange=\"\" routing_key=q", vec![b'x'; 1001]);
    c.channel_closes(406, "basic.publish", "message size 1001 is larger than configured max size 1000");
}
