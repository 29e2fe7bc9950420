//! The dashboard's live data: samples of the past, and event streams.

use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

use serde_json::{Value, json};

use super::{Http, listening};
use crate::harness::Broker;
use crate::wait;

const AGES: &str = "lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5";

fn publish(http: &Http, queue: &str) {
    let message =
        json!({ "properties": {}, "routing_key": queue, "payload": "x", "payload_encoding": "string" });
    http.post("/api/exchanges/%2F/amq.default/publish", &message).is(200);
}

fn newest(details: &Value) -> u64 {
    details["samples"][0]["sample"].as_u64().unwrap_or_default()
}

#[test]
fn samples_of_the_overview_and_of_a_queue_are_there_when_asked_for() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/queues/%2F/q", &json!({})).is(201);
    publish(&http, "q");
    wait::until("there are samples", || {
        let overview = http.get(&format!("/api/overview?{AGES}")).json;
        let queue = http.get(&format!("/api/queues/%2F/q?{AGES}")).json;
        newest(&queue["messages_ready_details"]) == 1
            && newest(&queue["message_stats"]["publish_details"]) == 1
            && newest(&overview["queue_totals"]["messages_ready_details"]) == 1
    });
    let overview = http.get(&format!("/api/overview?{AGES}")).is(200).json;
    assert_eq!(newest(&overview["queue_totals"]["messages_ready_details"]), 1);
    let samples =
        overview["message_stats"]["publish_details"]["samples"].as_array().expect("samples").clone();
    assert!(samples.windows(2).all(|pair| {
        pair[0]["timestamp"].as_u64().expect("a time")
            == pair[1]["timestamp"].as_u64().expect("a time") + 5000
    }));
    let day = "lengths_age=86400&lengths_incr=60&msg_rates_age=86400&msg_rates_incr=60";
    let long = http.get(&format!("/api/queues/%2F/q?{day}")).is(200).json;
    assert!(long["messages_details"]["samples"].is_array());
    // A page of queues has the same samples, so that a list needs no request per row; so has a list no longer than a
    // page.
    let page = http.get(&format!("/api/queues?page=1&{AGES}")).is(200).json;
    assert_eq!(newest(&page["items"][0]["message_stats"]["publish_details"]), 1);
    let all = http.get(&format!("/api/queues/%2F?{AGES}")).is(200).json;
    assert_eq!(newest(&all[0]["message_stats"]["publish_details"]), 1);
    let more: Vec<_> = (0..500).map(|n| json!({ "vhost": "/", "name": format!("q{n}") })).collect();
    http.post("/api/definitions", &json!({ "queues": more })).is(204);
    let all = http.get(&format!("/api/queues?{AGES}")).is(200).json;
    assert_eq!(all[0]["messages_details"]["samples"], Value::Null);
    let plain = http.get("/api/queues/%2F/q").is(200).json;
    assert_eq!(plain["messages_details"]["samples"], Value::Null);
}

/// An event stream, line by line.
struct Stream(BufReader<TcpStream>);

impl Stream {
    fn open(broker: &Broker, login: &str, watch: &str) -> Self {
        Self::get(broker, login, &format!("events?{watch}"))
    }

    fn get(broker: &Broker, login: &str, path: &str) -> Self {
        use base64::Engine;
        let encoded = base64::engine::general_purpose::STANDARD.encode(login);
        let mut socket = TcpStream::connect(listening(broker, "http")).expect("connect");
        socket.set_read_timeout(Some(wait::LIMIT)).expect("a limit");
        write!(socket, "GET /api/{path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {encoded}\r\n\r\n")
            .expect("asked");
        Self(BufReader::new(socket))
    }

    /// The next line with this prefix.
    fn line(&mut self, start: &str) -> Option<String> {
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.starts_with(start) {
                return Some(line);
            }
        }
    }

    /// Whether the broker has closed it.
    fn has_ended(&mut self) -> bool {
        matches!(self.0.read_line(&mut String::new()), Ok(0))
    }

    fn event(&mut self) -> Value {
        let line = self.line("data: ").expect("an event");
        serde_json::from_str(&line["data: ".len()..]).expect("JSON")
    }
}

#[test]
fn a_stream_tells_what_changed_and_is_silent_about_the_rest() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    for queue in ["busy", "idle"] {
        http.put(&format!("/api/queues/%2F/{queue}"), &json!({})).is(201);
    }
    let watch = "watch=queues%2F%252F%2Fbusy%3Fcolumns%3Dname%2Cmessages&watch=queues%2F%252F%2Fidle%3Fcolumns%3Dname%2Cmessages";
    let mut stream = Stream::open(&broker, "guest:guest", watch);
    assert!(stream.line("HTTP/1.1 200").is_some());
    let mut first = [stream.event(), stream.event()];
    first.sort_by_key(|event| event["watch"].as_u64());
    assert_eq!(first[1], json!({ "watch": 1, "status": 200, "body": { "name": "idle", "messages": 0 } }));
    publish(&http, "busy");
    let next = stream.event();
    assert_eq!(next, json!({ "watch": 0, "status": 200, "body": { "name": "busy", "messages": 1 } }));
    http.delete("/api/queues/%2F/idle").is(204);
    let gone = stream.event();
    assert_eq!((&gone["watch"], &gone["status"]), (&json!(1), &json!(404)));
}

#[test]
fn a_stream_shows_nobody_more_than_a_call_would() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    http.put("/api/vhosts/secret", &json!({})).is(201);
    http.user("small", "management");
    let mut stream =
        Stream::open(&broker, "small:pw", "watch=queues%2Fsecret&watch=overview%3Fcolumns%3Dmessage_stats");
    let events = [stream.event(), stream.event()];
    let refused = events.iter().find(|event| event["watch"] == 0).expect("told");
    assert_eq!(refused["status"], 401);
    let overview = events.iter().find(|event| event["watch"] == 1).expect("told");
    assert_eq!(overview["body"], json!({ "message_stats": {} }));
    // And ends when the user is deleted.
    http.delete("/api/users/small").is(204);
    assert!(stream.line("data: ").is_none());
}

#[test]
fn what_is_not_live_cannot_be_watched() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    for query in ["", "?watch=definitions", "?watch=users", "?watch=queues/%252F/q/get%20x"] {
        assert_eq!(http.get(&format!("/api/events{query}")).status, 400, "{query}");
    }
    assert_eq!(http.nobody().get("/api/events?watch=overview").status, 401);
}

/// Follows the log as some user.
fn follow(broker: &Broker, login: &str) -> Stream {
    Stream::get(broker, login, "livelog")
}

#[test]
fn whoever_may_not_see_the_log_any_more_does_not() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let monitor = json!({ "password": "pw", "tags": "monitoring" });
    for (change, name) in [("removed", "a"), ("other tags", "b"), ("another password", "c")] {
        http.put(&format!("/api/users/{name}"), &monitor).is(201);
        let mut follower = follow(&broker, &format!("{name}:pw"));
        assert!(follower.line("data: ").is_some(), "{change}");
        match change {
            "removed" => http.delete(&format!("/api/users/{name}")).is(204),
            "other tags" => http
                .put(&format!("/api/users/{name}"), &json!({ "password": "pw", "tags": "management" }))
                .is(204),
            _ => http
                .put(&format!("/api/users/{name}"), &json!({ "password": "new", "tags": "monitoring" }))
                .is(204),
        };
        // Reads time out: the stream must end before.
        while let Some(line) = follower.line("data: ") {
            assert!(!line.contains("secret"), "{change}: {line}");
        }
        assert!(follower.has_ended(), "{change}");
    }
}

#[test]
fn a_user_has_so_many_streams_and_others_have_theirs() {
    let broker = Broker::new();
    let other = Http::of(&broker).user("small", "management");
    let mut streams: Vec<_> =
        (0..33).map(|_| Stream::open(&broker, "guest:guest", "watch=overview")).collect();
    let refused = streams
        .iter_mut()
        .filter_map(|stream| stream.line("HTTP/1.1 "))
        .filter(|line| line.contains(" 429 "));
    assert_eq!(refused.count(), 1);
    other.get("/api/overview").is(200);
    assert!(Stream::open(&broker, "small:pw", "watch=overview").line("HTTP/1.1 200").is_some());
}

/// An observed attack: many streams, each with large answers of its own, half of them not read.
#[test]
fn streams_are_bounded_in_memory_and_slow_readers_are_cut_off() {
    let broker = Broker::with(&["--held-bytes-max", "64MiB"]);
    let http = Http::of(&broker);
    let queues: Vec<Value> = (0..800)
        .map(|n| json!({ "vhost": "/", "name": format!("{n:0>250}"), "durable": false, "auto_delete": false, "arguments": {} }))
        .collect();
    http.post("/api/definitions", &json!({ "queues": queues })).is(204);
    let before = broker.memory();
    let mut slow = Vec::new();
    for stream in 0..12 {
        let watch: Vec<_> =
            (0..16).map(|path| format!("watch=queues%2F%252F%3Fx%3D{stream}.{path}")).collect();
        let stream = Stream::open(&broker, "guest:guest", &watch.join("&"));
        rustix::net::sockopt::set_socket_recv_buffer_size(stream.0.get_ref(), 4096).expect("a small buffer");
        slow.push(stream);
    }
    let cut_off = wait::within(wait::LIMIT * 4, || {
        let grown = broker.memory().saturating_sub(before) >> 20;
        assert!(grown < 400, "{grown} MiB more are resident");
        Http::of(&broker).get("/api/whoami").is(200);
        broker.log().contains("not read, and cut off")
    });
    assert!(cut_off, "{}", broker.log());
}
