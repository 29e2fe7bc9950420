//! What a user without all permissions is refused: code, level, method and text of each row (2a, 1e). The users stand in
//! the definitions before the broker starts.

use std::path::Path;

use leveret::broker::users::{PermissionRecord, UserRecord, hash_password};
use leveret_queues::store::definitions::Definitions;

use crate::harness::Broker;
use crate::raw::Client;

/// A data folder with vhosts `/` and `closed`, and a user who may configure `c..`, write `w..` and read `r..` in `/`.
fn prepare(data: &Path) {
    let (definitions, _) = Definitions::open(data).expect("a new folder");
    let user = UserRecord {
        password_hash: hash_password(b"secret").expect("randomness"),
        tags: vec!["management".to_owned()],
    };
    let permission =
        PermissionRecord { configure: "^c".to_owned(), write: "^[cw]".to_owned(), read: "^[cr]".to_owned() };
    let json = |value: serde_json::Value| Some(value.to_string().into_bytes());
    let changes = [
        ("vhost\0/".to_owned(), json(serde_json::json!({}))),
        ("vhost\0closed".to_owned(), json(serde_json::json!({}))),
        ("user\0limited".to_owned(), json(serde_json::to_value(user).expect("json"))),
        ("permission\0limited\0/".to_owned(), json(serde_json::to_value(permission).expect("json"))),
    ];
    definitions.commit(&changes).expect("stored");
    definitions.close();
}

fn tuned(broker: &Broker) -> Client {
    let mut c = Client::start(broker.amqp, "");
    c.start_ok("PLAIN", "\\0limited\\0secret");
    c.hear("0 connection.tune");
    c.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
    c
}

fn limited(broker: &Broker) -> Client {
    let mut c = tuned(broker);
    c.say("0 connection.open virtual_host=/");
    c.hear("0 connection.open-ok");
    c.open_channel(1);
    c
}

#[test]
fn each_operation_wants_its_permission() {
    let broker = Broker::prepared(prepare);
    let mut c = limited(&broker);
    c.declare("queue=cq durable");
    c.ask("exchange.declare exchange=cx type=direct", "exchange.declare-ok");
    for (say, method, words) in [
        (
            "queue.declare queue=q",
            "queue.declare",
            "configure access to queue 'q' in vhost '/' refused for user 'limited'",
        ),
        ("exchange.declare exchange=x type=direct", "exchange.declare", "configure access to exchange 'x'"),
        ("queue.declare queue=q passive", "queue.declare", "access to queue 'q'"),
        ("exchange.declare exchange=x passive type=direct", "exchange.declare", "access to exchange 'x'"),
        ("queue.delete queue=q", "queue.delete", "configure access to queue 'q'"),
        ("exchange.delete exchange=x", "exchange.delete", "configure access to exchange 'x'"),
        ("queue.bind queue=rq exchange=cx routing_key=k", "queue.bind", "write access to queue 'rq'"),
        ("queue.bind queue=cq exchange=wx routing_key=k", "queue.bind", "read access to exchange 'wx'"),
        (
            "exchange.bind destination=rx source=cx routing_key=k",
            "exchange.bind",
            "write access to exchange 'rx'",
        ),
        ("basic.get queue=wq", "basic.get", "read access to queue 'wq'"),
        ("basic.consume queue=wq consumer_tag=t", "basic.consume", "read access to queue 'wq'"),
        ("queue.purge queue=wq", "queue.purge", "read access to queue 'wq'"),
    ] {
        c.say(say);
        c.channel_closes(403, method, words);
        c.open_channel(1);
    }
    for (say, method) in [
        ("queue.declare queue=wq passive", "queue.declare"),
        ("queue.declare queue=rq passive", "queue.declare"),
    ] {
        c.say(say);
        c.channel_closes(404, method, "no queue");
        c.open_channel(1);
    }
    c.publish("exchange=amq.fanout routing_key=k", "x");
    c.channel_closes(
        403,
        "basic.publish",
        "write access to exchange 'amq.fanout' in vhost '/' refused for user 'limited'",
    );
    c.open_channel(1);
    c.publish("exchange=\"\" routing_key=cq", "x");
    c.channel_closes(403, "basic.publish", "write access to exchange 'amq.default'");
    c.open_channel(1);
    c.ask("queue.bind queue=cq exchange=cx routing_key=k", "queue.bind-ok");
    c.publish("exchange=cx routing_key=k", "allowed");
    c.wait_ready("cq", 1);
}

#[test]
fn a_vhost_without_permissions_is_closed() {
    let broker = Broker::prepared(prepare);
    let mut c = tuned(&broker);
    c.say("0 connection.open virtual_host=closed");
    c.connection_closes(530, "?connection.open", "access to vhost 'closed' refused for user 'limited'");
}

#[test]
fn a_new_secret_that_is_wrong_closes_the_connection_and_the_right_one_is_taken() {
    let broker = Broker::prepared(prepare);
    let mut c = limited(&broker);
    c.ask("0 connection.update-secret new_secret=secret reason=renewed", "0 connection.update-secret-ok");
    c.say("0 connection.update-secret new_secret=wrong reason=renewed");
    c.connection_closes(530, "?connection.update-secret", "refused");
}
