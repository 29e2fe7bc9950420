//! The client-visible effect of a reload: one test per live key, named after it.

use leveret::cli::config::KEYS;
use leveret::cli::config::table::Change;
use rustix::process::Signal;
use serde_json::json;
use tempfile::TempDir;

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;
use crate::wait;

/// A broker with its configuration file.
struct Reloading {
    folder: TempDir,
    broker: Broker,
    times: usize,
}

impl Reloading {
    fn from(text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("leveret.toml");
        std::fs::write(&config, text).expect("a file");
        let broker = Broker::with(&["--config", config.to_str().expect("UTF-8")]);
        Self { folder, broker, times: 0 }
    }

    /// Rewrites the file and reloads it.
    #[track_caller]
    fn to(&mut self, text: &str) {
        std::fs::write(self.folder.path().join("leveret.toml"), text).expect("a file");
        self.times += 1;
        self.broker.signal(Signal::HUP);
        wait::until("the reload", || self.broker.log().matches("reload: done").count() == self.times);
    }

    fn client(&self) -> Client {
        self.broker.client()
    }

    /// A client that sends connection.open; the answer is not read.
    fn opening(&self) -> Client {
        Client::opening(self.broker.amqp, "guest", "guest", "/")
    }

    fn http(&self) -> Http {
        Http::of(&self.broker)
    }

    /// Connects a client that must be offered `offered` in connection.tune, and sends `asked` in tune-ok.
    fn agrees(&self, offered: &str, asked: &str) -> Client {
        let (mut client, tune) = Client::tune(self.broker.amqp, "");
        let (field, value) = offered.split_once('=').expect("a field and a value");
        assert_eq!(tune.field(field).int().to_string(), value);
        client.say(&format!("0 connection.tune-ok {asked} heartbeat=0"));
        client.say("0 connection.open virtual_host=/");
        client
    }
}

#[test]
fn every_live_key_has_a_test() {
    let here = include_str!("reload.rs");
    for key in KEYS.iter().filter(|key| key.change == Change::Live) {
        assert!(here.contains(&format!("#[test]\nfn {}()", key.name)), "{}", key.name);
    }
}

#[test]
fn channel_max() {
    let mut it = Reloading::from("channel_max = 5");
    let more = "channel_max=6 frame_max=131072";
    it.agrees("channel_max=5", more).connection_closes(530, "connection.tune-ok", "channel_max");
    it.to("channel_max = 6");
    let mut client = it.agrees("channel_max=6", more);
    client.hear("0 connection.open-ok");
    client.open_channel(6);
}

#[test]
fn frame_max() {
    let mut it = Reloading::from("frame_max = 8192");
    let more = "channel_max=1 frame_max=16384";
    it.agrees("frame_max=8192", more).connection_closes(530, "connection.tune-ok", "frame_max");
    it.to("frame_max = 16384");
    it.agrees("frame_max=16384", more).hear("0 connection.open-ok");
}

#[test]
fn heartbeat() {
    let mut it = Reloading::from("heartbeat = 60");
    let any = "channel_max=1 frame_max=131072";
    it.agrees("heartbeat=60", any).hear("0 connection.open-ok");
    it.to("heartbeat = 7");
    it.agrees("heartbeat=7", any).hear("0 connection.open-ok");
}

#[test]
fn handshake_timeout_ms() {
    let mut it = Reloading::from("handshake_timeout_ms = 3600000");
    let mut before = Client::start(it.broker.amqp, "");
    it.to("handshake_timeout_ms = 100");
    assert!(Client::start(it.broker.amqp, "").try_next().is_none(), "whoever says nothing is sent away");
    before.start_ok("PLAIN", "\\0guest\\0guest");
    before.hear("0 connection.tune");
}

#[test]
fn connections_max() {
    let mut it = Reloading::from("connections_max = 1");
    let _first = it.client();
    it.opening().connection_closes(530, "connection.open", "connection limit (1)");
    it.to("connections_max = 2");
    let _second = it.client();
    it.opening().connection_closes(530, "connection.open", "connection limit (2)");
}

#[test]
fn channels_max() {
    let mut it = Reloading::from("channels_max = 1");
    let (mut first, mut second) = (it.client(), it.opening());
    second.hear("0 connection.open-ok");
    second.say("1 channel.open");
    second.connection_closes(530, "channel.open", "limit of (1)");
    it.to("channels_max = 2");
    first.open_channel(2);
    it.to("");
    first.open_channel(3);
}

#[test]
fn consumers_per_channel_max() {
    let mut it = Reloading::from("consumers_per_channel_max = 1");
    let one = |client: &mut Client| drop(client.ask("basic.consume queue=q", "basic.consume-ok"));
    let one_too_many = |mut client: Client| {
        client.say("basic.consume queue=q");
        client.connection_closes(530, "basic.consume", "consumers per channel");
    };
    let mut before = it.client();
    before.declare("queue=q");
    one(&mut before);
    it.to("consumers_per_channel_max = 2");
    let mut after = it.client();
    one(&mut after);
    one(&mut after);
    one_too_many(after);
    one_too_many(before);
}

#[test]
fn exchanges_max() {
    let mut it = Reloading::from("exchanges_max = 8");
    let mut client = it.client();
    let one = |client: &mut Client, name: &str| {
        client.ask(&format!("exchange.declare exchange={name} type=topic"), "exchange.declare-ok");
    };
    one(&mut client, "a");
    client.say("exchange.declare exchange=b type=topic");
    client.channel_closes(406, "exchange.declare", "exchange limit of 8 is reached");
    it.to("exchanges_max = 9");
    client.open_channel(1);
    one(&mut client, "b");
    client.say("exchange.declare exchange=c type=topic");
    client.channel_closes(406, "exchange.declare", "exchange limit of 9 is reached");
}

#[test]
fn message_bytes_max() {
    let mut it = Reloading::from("message_bytes_max = 10");
    let mut before = it.client();
    before.declare("queue=q");
    it.to("message_bytes_max = \"8MiB\"");
    let mut after = it.client();
    after.confirms();
    after.publish_confirmed("routing_key=q", "", [b'x'; 500]);
    before.publish("routing_key=q", [b'x'; 500]);
    before.channel_closes(406, "basic.publish", "");

    let publish = |size: usize| {
        let message = json!({ "routing_key": "q", "payload": "x".repeat(size), "payload_encoding": "string", "properties": {} });
        it.http().post("/api/exchanges/%2F/amq.default/publish", &message)
    };
    publish(6 << 20).is(200);
    publish((8 << 20) + 1).refused(400, "bad_request", "larger than configured max size 8388608");
}

#[test]
fn outbox_bytes_max() {
    const SOME: usize = 48;
    let mut it = Reloading::from("outbox_bytes_max = \"1GiB\"\nmemory_bytes_max = \"1GiB\"");
    // More than the socket buffers, which are the same for both.
    let left = |it: &Reloading, queue: &str| {
        let mut slow = it.client();
        slow.declare(&format!("queue={queue}"));
        slow.ask(&format!("basic.consume queue={queue} no_ack"), "basic.consume-ok");
        let mut publisher = it.client();
        publisher.confirms();
        for _ in 0..SOME {
            publisher.publish_confirmed(&format!("routing_key={queue}"), "", vec![b'x'; 1 << 20]);
        }
        (publisher.counts(queue).0, slow)
    };
    assert_eq!(left(&it, "before").0, 0, "all wait for the client");
    it.to("outbox_bytes_max = 4096\nmemory_bytes_max = \"1GiB\"");
    let (left, mut slow) = left(&it, "after");
    assert!(left > 10, "{left}");
    for _ in 0..SOME {
        slow.hear("basic.deliver");
    }
}

#[test]
fn transaction_bytes_max() {
    let mut it = Reloading::from("transaction_bytes_max = \"1KiB\"");
    let transaction = |it: &Reloading| {
        let mut client = it.client();
        client.declare("queue=q");
        client.ask("tx.select", "tx.select-ok");
        for _ in 0..2 {
            client.publish("routing_key=q", [b'x'; 1000]);
        }
        client
    };
    let too_large = "transaction is larger than configured max size 1024";
    transaction(&it).channel_closes(406, "basic.publish", too_large);
    it.to("transaction_bytes_max = \"1MiB\"");
    transaction(&it).ask("tx.commit", "tx.commit-ok");
}

#[test]
fn dead_letter_copies_max() {
    let mut it = Reloading::from("dead_letter_copies_max = 2");
    let mut client = it.client();
    client.ask("exchange.declare exchange=many type=fanout", "exchange.declare-ok");
    for (queue, ttl) in [("first", ",x-message-ttl:1"), ("second", ",x-message-ttl:1"), ("a", ""), ("b", "")]
    {
        client.declare(&format!("queue={queue} arguments={{x-dead-letter-exchange:many{ttl}}}"));
        if queue != "first" {
            client.ask(&format!("queue.bind queue={queue} exchange=many"), "queue.bind-ok");
        }
    }
    // To the second, a and b; from the second to one of a and b, or to both.
    let mut arrive = |copies: usize| {
        client.publish("routing_key=first", "x");
        let mut arrived = 0;
        wait::until("the copies arrive", || {
            arrived += client.drain("a").len() + client.drain("b").len();
            arrived >= copies
        });
        assert_eq!(arrived, copies);
    };
    arrive(3);
    it.to("dead_letter_copies_max = 6");
    arrive(4);
}

#[test]
fn memory_bytes_max() {
    let mut it = Reloading::from("memory_bytes_max = \"1GiB\"");
    let mut client = it.client();
    client.declare("queue=q durable");
    client.confirms();
    let mut fill = || {
        for _ in 0..8 {
            client.publish_confirmed("routing_key=q", "delivery_mode=2", vec![b'x'; 1 << 20]);
        }
    };
    fill();
    let http = it.http();
    let on_disk_only = || http.get("/api/queues/%2F/q").is(200).json["messages_paged_out"].as_u64();
    assert_eq!(on_disk_only(), Some(0));
    it.to("memory_bytes_max = \"1MiB\"");
    wait::until("bodies leave memory", || on_disk_only() >= Some(7));
    it.to("memory_bytes_max = \"1GiB\"");
    fill();
    assert!(on_disk_only() <= Some(8), "there is room for more");
}

/// Publishers are blocked by reloading the one value, and continue after reloading the other.
fn holds_publishers_up(resource: &str, alarming: &str, harmless: &str) {
    let mut it = Reloading::from(harmless);
    let mut client = it.client();
    client.declare("queue=q");
    client.confirms();
    client.publish_confirmed("routing_key=q", "", "free");
    it.to(alarming);
    let http = it.http();
    wait::until("the alarm", || http.get("/api/health/checks/alarms").status == 503);
    client.publish("routing_key=q", "told");
    let mut heard = [client.next(), client.next()];
    heard.sort_by_key(|heard| heard.spec.name);
    assert_eq!(heard.each_ref().map(|heard| heard.spec.name), ["basic.ack", "connection.blocked"]);
    let reason = heard[1].field("reason").str();
    assert!(reason.starts_with(&format!("low on {resource}: ")), "{reason}");
    client.publish("routing_key=q", "held up");
    it.to(harmless);
    client.hear("0 connection.unblocked");
    client.hear("basic.ack");
    assert_eq!(client.drain("q"), ["free", "told", "held up"]);
}

#[test]
fn disk_free_bytes_min() {
    holds_publishers_up("disk", "disk_free_bytes_min = \"1000TiB\"", "disk_free_bytes_min = 0");
}

#[test]
fn resident_bytes_max() {
    holds_publishers_up("memory", "resident_bytes_max = \"1MiB\"", "resident_bytes_max = \"1000TiB\"");
}

#[test]
fn log_level() {
    let mut it = Reloading::from("log_level = \"info,leveret::session=warn\"");
    drop(it.client());
    it.to("log_level = \"info\"");
    assert!(!it.broker.log().contains("connection opened"), "{}", it.broker.log());
    drop(it.client());
    wait::until("the line of another level", || it.broker.log().contains("connection opened"));
}

#[test]
fn topology() {
    let mut it = Reloading::from("");
    let http = it.http();
    let metrics = Http::at(listening(&it.broker, "metrics"));
    let drift = || {
        let text = metrics.get("/metrics").is(200).text;
        text.lines().find_map(|line| line.strip_prefix("leveret_topology_drift ").map(str::to_owned))
    };
    let declared = || http.get("/api/topology/drift").is(200).json["declared"].clone();
    assert_eq!((declared(), drift()), (json!(false), None));

    let file = it.folder.path().join("t.yaml");
    std::fs::write(&file, "queues: {q: }\n").expect("a file");
    it.to(&format!("topology = {file:?}"));
    assert_eq!(it.client().counts("q"), (0, 0));
    assert_eq!(drift().as_deref(), Some("0"));
    http.delete("/api/queues/%2F/q").is(204);
    wait::until("it is looked at now and then", || drift().as_deref() == Some("1"));

    it.to("");
    assert_eq!((declared(), drift()), (json!(false), None));
}

#[test]
fn held_bytes_max() {
    let mut it = Reloading::from("held_bytes_max = \"1MiB\"");
    let transactions = |it: &Reloading| {
        let mut clients: Vec<_> = (0..2).map(|_| it.client()).collect();
        for client in &mut clients {
            client.ask("tx.select", "tx.select-ok");
            for _ in 0..20 {
                client.publish("routing_key=q", vec![b'x'; 100_000]);
            }
        }
        clients
    };
    let mut clients = transactions(&it);
    let words = "the limit for all is 1 MiB (held_bytes_max)";
    // The first alone has the limit of one message; the second is one too many.
    for client in &mut clients {
        client.read_patience(std::time::Duration::from_secs(1));
    }
    let told =
        clients.iter_mut().filter_map(Client::next_or_nothing).map(|heard| heard.field("reply_text").str());
    assert!(told.collect::<Vec<_>>().iter().any(|text| text.contains(words)));
    it.to("held_bytes_max = \"100MiB\"");
    for mut client in transactions(&it) {
        client.ask("tx.commit", "tx.commit-ok");
    }
}
