//! Refusals of users with limited permissions: code, level, method and text of each row (2a, 1e). The users are
//! defined before the broker starts.

use std::path::Path;

use leveret_broker::users::{PermissionRecord, UserRecord, hash_password};
use leveret_store::definitions::Definitions;

use serde_json::json;

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;

/// A data folder with vhosts `/` and `closed`, and a user with configure `c..`, write `w..` and read `r..` in `/`.
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
    definitions.close().expect("in order");
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
fn a_new_secret_means_nothing_to_a_user_who_logged_in_with_a_password() {
    let broker = Broker::prepared(prepare);
    let mut c = limited(&broker);
    for secret in ["secret", "another", ""] {
        let said = format!("0 connection.update-secret new_secret=\"{secret}\" reason=renewed");
        c.ask(&said, "0 connection.update-secret-ok");
    }
    c.say("queue.declare queue=forbidden");
    c.channel_closes(403, "queue.declare", "user 'limited'");
}

/// Permissions needed by each operation; each letter of `cwr` is one permission, `any` is one of the three. The
/// methods are sent on a channel with confirms, in this order, by a user whose permissions change while connected.
const MATRIX: &[(&str, &str, &str)] = &[
    ("queue.declare queue=new", "queue.declare-ok", "c"),
    ("queue.declare queue=old passive", "queue.declare-ok", "any"),
    ("queue.declare queue=dlx arguments={x-dead-letter-exchange:old}", "queue.declare-ok", "cwr"),
    ("queue.declare queue=dlx2 arguments={x-dead-letter-exchange:\"\"}", "queue.declare-ok", "cwr"),
    // Redeclaring an existing queue needs only the permission for its own name.
    ("queue.declare queue=with_dlx arguments={x-dead-letter-exchange:old}", "queue.declare-ok", "c"),
    ("queue.declare exclusive", "queue.declare-ok", "c"),
    ("queue.delete queue=gone", "queue.delete-ok", "c"),
    ("queue.purge queue=old", "queue.purge-ok", "r"),
    ("queue.bind queue=old exchange=old routing_key=k", "queue.bind-ok", "wr"),
    ("queue.unbind queue=old exchange=old routing_key=k", "queue.unbind-ok", "wr"),
    ("exchange.declare exchange=new type=direct", "exchange.declare-ok", "c"),
    ("exchange.declare exchange=old passive type=direct", "exchange.declare-ok", "any"),
    (
        "exchange.declare exchange=ae type=direct arguments={alternate-exchange:old}",
        "exchange.declare-ok",
        "cwr",
    ),
    (
        "exchange.declare exchange=with_ae type=direct arguments={alternate-exchange:old}",
        "exchange.declare-ok",
        "c",
    ),
    ("exchange.delete exchange=gone", "exchange.delete-ok", "c"),
    ("exchange.bind destination=old source=amq.fanout routing_key=k", "exchange.bind-ok", "wr"),
    ("exchange.unbind destination=old source=amq.fanout routing_key=k", "exchange.unbind-ok", "wr"),
    ("basic.get queue=old no_ack", "basic.get-empty", "r"),
    ("basic.consume queue=old consumer_tag=t", "basic.consume-ok", "r"),
    ("basic.cancel consumer_tag=t", "basic.cancel-ok", ""),
    ("basic.publish exchange=old routing_key=none", "basic.ack", "w"),
    ("queue.declare queue=old passive durable", "queue.declare-ok", "any"),
    ("basic.get queue=old", "basic.get-empty", "r"),
    ("basic.consume queue=old consumer_tag=n no_ack", "basic.consume-ok", "r"),
    ("basic.cancel consumer_tag=n", "basic.cancel-ok", ""),
    ("basic.qos prefetch_count=1", "basic.qos-ok", ""),
    ("basic.recover requeue", "basic.recover-ok", ""),
    ("channel.flow active", "channel.flow-ok", ""),
    ("confirm.select", "confirm.select-ok", ""),
    ("basic.publish exchange=\"\" routing_key=none", "basic.ack", "w"),
];

#[test]
fn each_operation_is_allowed_with_just_the_permissions_it_needs() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.user("u", "");
    let mut guest = broker.client();
    guest.declare("queue=old");
    guest.declare("queue=with_dlx arguments={x-dead-letter-exchange:old}");
    guest.ask("exchange.declare exchange=old type=direct", "exchange.declare-ok");
    let with_ae = "exchange.declare exchange=with_ae type=direct arguments={alternate-exchange:old}";
    guest.ask(with_ae, "exchange.declare-ok");
    let mut user = Client::open_as(broker.amqp, "u", "pw");
    user.confirms();
    for granted in ["", "c", "w", "r", "cw", "cr", "wr", "cwr"] {
        let pattern = |letter| if granted.contains(letter) { ".*" } else { "" };
        let permission = json!({ "configure": pattern('c'), "write": pattern('w'), "read": pattern('r') });
        http.put("/api/permissions/%2F/u", &permission).is(204);
        for (say, answer, needs) in MATRIX {
            let allowed = match *needs {
                "any" => !granted.is_empty(),
                needs => needs.chars().all(|letter| granted.contains(letter)),
            };
            if let Some(args) = say.strip_prefix("basic.publish ") {
                user.publish(args, "x");
            } else {
                user.say(say);
            }
            let heard = user.next();
            if allowed {
                assert_eq!(heard.spec.name, *answer, "{say} with {granted:?}: {heard}");
                continue;
            }
            assert_eq!(heard.spec.name, "channel.close", "{say} with {granted:?}: {heard}");
            assert_eq!(heard.field("reply_code").int(), 403, "{say} with {granted:?}: {heard}");
            let text = heard.field("reply_text").str();
            assert!(text.contains("refused for user 'u'"), "{text}");
            user.say("channel.close-ok");
            user.open_channel(1);
            user.confirms();
        }
        for queue in ["new", "dlx", "dlx2"] {
            guest.delete(queue);
        }
        for exchange in ["new", "ae"] {
            guest.ask(&format!("exchange.delete exchange={exchange}"), "exchange.delete-ok");
        }
    }
}

#[test]
fn names_that_clients_leave_empty_are_permitted_by_what_they_stand_for() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.user("u", "");
    let mut guest = broker.client();
    guest.ask("exchange.declare exchange=x type=fanout", "exchange.declare-ok");
    let mut user = Client::open_as(broker.amqp, "u", "pw");
    user.confirms();
    let permit = |configure: &str, write: &str, read: &str| {
        let permission = json!({ "configure": configure, "write": write, "read": read });
        http.put("/api/permissions/%2F/u", &permission).is(204);
    };
    permit("^amq\\.gen-", "^amq\\.default$", "^amq\\.gen-");
    let dead_letters = "exclusive arguments={x-dead-letter-exchange:\"\"}";
    user.ask(&format!("queue.declare {dead_letters}"), "queue.declare-ok");
    user.ask("basic.consume consumer_tag=t", "basic.consume-ok");
    user.publish("routing_key=none", "x");
    user.hear("basic.ack");
    user.publish("exchange=x", "x");
    user.channel_closes(
        403,
        "basic.publish",
        "write access to exchange 'x' in vhost '/' refused for user 'u'",
    );
    user.open_channel(1);
    user.say("queue.declare queue=q exclusive");
    user.channel_closes(403, "queue.declare", "configure access to queue 'q'");
    user.open_channel(1);
    permit(".*", "^x$", ".*");
    user.say(&format!("queue.declare {dead_letters}"));
    user.channel_closes(403, "queue.declare", "write access to exchange 'amq.default'");
    user.open_channel(1);
    permit("^q", ".*", ".*");
    user.say("queue.declare exclusive");
    user.channel_closes(403, "queue.declare", "configure access to queue 'amq.gen-");
}

/// Refused before anything about the exchange is revealed.
#[test]
fn binding_to_the_default_exchange_asks_for_permissions_first() {
    let broker = Broker::prepared(prepare);
    let mut c = limited(&broker);
    for line in [
        "queue.bind queue=rq",
        "queue.unbind queue=rq",
        "exchange.bind destination=rx",
        "exchange.unbind destination=rx",
        "queue.bind queue=amq.rabbitmq.reply-to exchange=cx",
    ] {
        c.say(line);
        let method = line.split(' ').next().expect("a name");
        c.channel_closes(403, method, "write access to");
        c.open_channel(1);
    }
    c.say("exchange.bind destination=\"\" source=cx");
    c.channel_closes(403, "exchange.bind", "write access to exchange 'amq.default'");
}

#[test]
fn a_permission_that_is_taken_away_holds_from_the_next_operation_on() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.user("u", "");
    let (mut guest, mut user) = (broker.client(), Client::open_as(broker.amqp, "u", "pw"));
    guest.declare("queue=q");
    user.ask("basic.consume queue=q consumer_tag=t", "basic.consume-ok");
    user.publish("exchange=amq.direct routing_key=none", "in the cache of routes");
    user.silent();
    let none = json!({ "configure": "", "write": "", "read": "" });
    http.put("/api/permissions/%2F/u", &none).is(204);
    // Existing consumers continue, as permitted when they started; acknowledging needs no permission.
    guest.publish("routing_key=q", "x");
    let tag = user.hear("basic.deliver").tag();
    user.say(&format!("basic.ack delivery_tag={tag}"));
    user.silent();
    user.publish("exchange=amq.direct routing_key=none", "x");
    user.channel_closes(403, "basic.publish", "write access to exchange 'amq.direct'");
    user.open_channel(1);
    user.say("basic.consume queue=q consumer_tag=again");
    user.channel_closes(403, "basic.consume", "read access to queue 'q'");
    http.delete("/api/permissions/%2F/u").is(204);
    let mut late = Client::opening(broker.amqp, "u", "pw", "/");
    late.connection_closes(530, "?connection.open", "access to vhost '/' refused for user 'u'");
}

/// Keys that may be published to and bound from an exchange with `write` and `read` set. Only `amq.topic` and the
/// delayed exchange route by topic.
const TOPICS: &[(&str, &str, &str, bool)] = &[
    ("amq.topic", "publish", "u.orders", true),
    ("amq.topic", "publish", "v.orders", false),
    ("amq.topic", "publish", "", false),
    ("amq.topic", "bind", "eu.#", true),
    ("amq.topic", "bind", "u.#", false),
    ("amq.topic", "bind", "#", false),
    ("amq.topic", "unbind", "eu.#", true),
    ("amq.topic", "unbind", "#", false),
    ("amq.direct", "publish", "v.orders", true),
    ("amq.direct", "bind", "#", true),
    ("delayed", "publish", "v.orders", false),
    ("delayed", "bind", "eu.#", true),
    ("free", "publish", "v.orders", true),
    ("free", "bind", "#", true),
];

#[test]
fn topic_permissions_decide_by_routing_key_on_topic_exchanges() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.user("u", "");
    let mut user = Client::open_as(broker.amqp, "u", "pw");
    user.confirms();
    user.declare("queue=q");
    user.ask("exchange.declare exchange=free type=topic", "exchange.declare-ok");
    user.ask(
        "exchange.declare exchange=delayed type=x-delayed-message arguments={x-delayed-type:topic}",
        "exchange.declare-ok",
    );
    // This connection has published to the exchange before any topic permission was set.
    user.publish_confirmed("exchange=amq.topic routing_key=v.orders", "", "x");
    for exchange in ["amq.topic", "amq.direct", "delayed"] {
        let topic = json!({ "exchange": exchange, "write": "^{username}\\.", "read": "^eu\\." });
        http.put("/api/topic-permissions/%2F/u", &topic);
    }
    for (exchange, what, key, allowed) in TOPICS {
        let place = format!("exchange={exchange} routing_key=\"{key}\"");
        let (access, answer) = match *what {
            "publish" => ("write", "basic.ack"),
            "bind" => ("read", "queue.bind-ok"),
            _ => ("read", "queue.unbind-ok"),
        };
        if *what == "publish" {
            user.publish(&place, "x");
        } else {
            user.say(&format!("queue.{what} queue=q {place}"));
        }
        if *allowed {
            user.hear(answer);
            continue;
        }
        let method = answer.trim_end_matches("-ok").replace("basic.ack", "basic.publish");
        let text = format!(
            "{access} access to topic '{key}' in exchange '{exchange}' in vhost '/' refused for user 'u'"
        );
        user.channel_closes(403, &method, &text);
        user.open_channel(1);
        user.confirms();
    }
    user.publish_with("exchange=amq.topic routing_key=u.a", "headers={CC:[v.a]}", "x");
    user.channel_closes(403, "basic.publish", "write access to topic 'v.a' in exchange 'amq.topic'");
    user.open_channel(1);
    user.confirms();
    http.delete("/api/topic-permissions/%2F/u/amq.topic").is(204);
    user.publish_confirmed("exchange=amq.topic routing_key=v.orders", "", "x");
}

/// The machine's address on some network.
fn own_address() -> std::net::IpAddr {
    // Nothing is sent: connecting a datagram socket only selects the route.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").expect("a socket");
    let own = ["192.0.2.1:9", "198.51.100.1:9"].iter().find_map(|there| {
        socket.connect(there).ok()?;
        Some(socket.local_addr().ok()?.ip()).filter(|own| !own.is_loopback() && !own.is_unspecified())
    });
    own.expect("an address besides loopback, without which the rule cannot be tried")
}

#[test]
fn who_is_deleted_is_told_so_and_goes() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/vhosts/v", &json!({})).is(201);
    http.user("u", "");
    http.user("w", "");
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    http.put("/api/permissions/v/w", &all).is(201);
    let mut deleted = Client::open_as(broker.amqp, "u", "pw");
    let mut stays = Client::open_as(broker.amqp, "w", "pw");
    let mut homeless = Client::opening(broker.amqp, "w", "pw", "v");
    homeless.hear("0 connection.open-ok");
    http.delete("/api/users/u").is(204);
    deleted.connection_closes(320, "", "CONNECTION_FORCED - user 'u' is deleted");
    http.delete("/api/vhosts/v").is(204);
    homeless.connection_closes(320, "", "CONNECTION_FORCED - vhost 'v' is deleted");
    stays.declare("queue=q");
}

#[test]
fn guest_logs_in_from_this_machine_only() {
    let broker = Broker::with(&["--amqp-listen", "0.0.0.0:0", "--http-listen", "0.0.0.0:0"]);
    let here = std::net::SocketAddr::from(([127, 0, 0, 1], broker.amqp.port()));
    drop(Client::open_as(here, "guest", "guest"));
    let own = own_address();
    let port = listening(&broker, "http").port();
    let http = Http::at(std::net::SocketAddr::new(here.ip(), port)).login("guest", "guest");
    http.user("u", "management");
    let api = Http::at(std::net::SocketAddr::new(own, port));
    api.login("u", "pw").get("/api/whoami").is(200);
    let guest = api.login("guest", "guest");
    guest.get("/api/whoami").refused(401, "not_authorized", "User can only log in via localhost");
    let session = api.post("/api/login", &json!({ "username": "guest", "password": "guest" }));
    session.refused(401, "not_authorized", "User can only log in via localhost");
    let there = std::net::SocketAddr::new(own, broker.amqp.port());
    let mut guest = Client::start(there, "");
    guest.start_ok("PLAIN", "\\0guest\\0guest");
    guest.connection_closes(
        403,
        "?connection.start-ok",
        "Login was refused using authentication mechanism PLAIN",
    );
    assert!(broker.log().contains("user 'guest' can only connect via localhost"));
    drop(Client::open_as(there, "u", "pw"));
}
