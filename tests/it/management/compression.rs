//! Answers are compressed for clients that accept it, unless they are small or streams of events.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::{Value, json};
use ureq::http::{Request, Response};

use super::{Http, listening};
use crate::harness::Broker;

const GUEST: &str = "Basic Z3Vlc3Q6Z3Vlc3Q=";

fn ask(broker: &Broker, method: &str, path: &str, accepted: Option<&str>) -> Response<ureq::Body> {
    let url = format!("http://{}{path}", listening(broker, "http"));
    let mut request = Request::builder().method(method).uri(url).header("authorization", GUEST);
    if let Some(accepted) = accepted {
        request = request.header("accept-encoding", accepted);
    }
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    agent.run(request.body(()).expect("a request")).expect("an answer")
}

fn encoding(answer: &Response<ureq::Body>) -> Option<&str> {
    answer.headers().get("content-encoding").map(|value| value.to_str().expect("text"))
}

/// The body as sent.
fn sent(answer: Response<ureq::Body>) -> Vec<u8> {
    answer.into_body().with_config().limit(1 << 30).read_to_vec().expect("a body")
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).expect("gzip");
    text
}

#[test]
fn lists_and_files_are_compressed_for_who_accepts_it() {
    let broker = Broker::new();
    let http = Http::of(&broker);
    let queues: Vec<_> = (0..100).map(|n| json!({ "name": format!("q{n}"), "vhost": "/", "durable": false, "auto_delete": false, "arguments": {} })).collect();
    http.post("/api/definitions", &json!({ "queues": queues })).is(204);
    for (path, factor) in [("/api/queues?columns=name,vhost,durable", 5), ("/style.css", 2)] {
        let answer = ask(&broker, "GET", path, Some("gzip, deflate, br"));
        assert_eq!((answer.status().as_u16(), encoding(&answer)), (200, Some("gzip")), "{path}");
        let vary = answer.headers().get("vary").expect("it varies").to_str().expect("text").to_lowercase();
        assert!(vary.contains("accept-encoding"), "{vary}");
        let packed = sent(answer);
        for plain in [None, Some("identity"), Some("br"), Some("gzip;q=0")] {
            let answer = ask(&broker, "GET", path, plain);
            assert_eq!((answer.status().as_u16(), encoding(&answer)), (200, None), "{path}");
            let plain = sent(answer);
            assert_eq!(unpacked(&packed), String::from_utf8(plain.clone()).expect("UTF-8"), "{path}");
            assert!(packed.len() * factor < plain.len(), "{path}: {} of {}", packed.len(), plain.len());
        }
        let head = ask(&broker, "HEAD", path, Some("gzip"));
        assert_eq!((head.status().as_u16(), sent(head).len()), (200, 0), "{path}");
    }
}

#[test]
fn small_answers_refusals_and_streams_are_sent_as_they_are() {
    let broker = Broker::new();
    for (path, status) in [("/api/whoami", 200), ("/api/queues/%2F/none", 404), ("/api/vhosts/none", 404)] {
        let answer = ask(&broker, "GET", path, Some("gzip"));
        assert_eq!((answer.status().as_u16(), encoding(&answer)), (status, None), "{path}");
        let _: Value = serde_json::from_slice(&sent(answer)).expect("JSON");
    }
    let stream = ask(&broker, "GET", "/api/events?watch=overview", Some("gzip"));
    assert_eq!((stream.status().as_u16(), encoding(&stream)), (200, None));
    let mut start = [0; 6];
    stream.into_body().into_reader().read_exact(&mut start).expect("an event");
    assert_eq!(&start, b"data: ");
}
