//! Behind a proxy: the client address the broker sees, and who may announce it.

use std::io::{Read, Write};
use std::net::TcpStream;

use base64::Engine;
use serde_json::json;

use crate::harness::Broker;
use crate::management::{Http, listening};
use crate::raw::Client;

const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.1 40000 5672\r\n";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c\xc0\x00\x02\x07\xc6\x33\x64\x01\x9c\x40\x16\x28";

fn behind(broker: &Broker, header: &[u8]) -> Client {
    let mut client = Client::connect(broker.amqp, "");
    client.bytes(&[header, b"AMQP\x00\x00\x09\x01"].concat());
    client
}

#[test]
fn the_client_is_who_the_proxy_says() {
    let broker = Broker::with(&["--proxy-protocol-trusted=10.0.0.0/8,127.0.0.1"]);
    let http = Http::of(&broker);
    http.user("ann", "");
    for header in [V1, V2] {
        let mut amqp = behind(&broker, header);
        amqp.hear("0 connection.start");
        amqp.start_ok("PLAIN", "\\0ann\\0pw");
        amqp.hear("0 connection.tune");
        amqp.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
        amqp.say("0 connection.open virtual_host=/");
        amqp.hear("0 connection.open-ok");
        let rows = http.get("/api/connections").is(200).json;
        assert_eq!(rows[0]["name"], "192.0.2.7:40000 -> 198.51.100.1:5672");
        assert_eq!((&rows[0]["peer_host"], &rows[0]["peer_port"]), (&json!("192.0.2.7"), &json!(40000)));
        amqp.say("0 connection.close");
        amqp.hear("0 connection.close-ok");
    }
    // The loopback rule applies to the client, not to the proxy.
    let mut guest = behind(&broker, V1);
    guest.hear("0 connection.start");
    guest.start_ok("PLAIN", "\\0guest\\0guest");
    assert_eq!(guest.hear("0 connection.close").field("reply_code").int(), 403);
    let mut itself = behind(&broker, b"PROXY UNKNOWN\r\n");
    itself.hear("0 connection.start");
    itself.start_ok("PLAIN", "\\0guest\\0guest");
    itself.hear("0 connection.tune");
}

#[test]
fn a_trusted_proxy_has_to_say_it() {
    let broker = Broker::with(&["--proxy-protocol-trusted=127.0.0.1", "--handshake-timeout-ms=500"]);
    behind(&broker, b"").hangs_up();
    behind(&broker, b"PROXY TCP4 nonsense\r\n").hangs_up();
    // Half a header, and then nothing.
    let mut slow = Client::connect(broker.amqp, "");
    slow.bytes(&V2[..20]);
    slow.hangs_up();
}

#[test]
fn others_may_not_say_anything() {
    let broker = Broker::with(&["--proxy-protocol-trusted=192.0.2.0/24"]);
    drop(broker.client());
    let mut liar = behind(&broker, V1);
    // As for any other non-AMQP input: the broker's protocol header, then close.
    assert_eq!(liar.rest(), b"AMQP\x00\x00\x09\x01");
    assert!(broker.log().contains("not AMQP 0-9-1"));
}

/// One request to the management API behind such a header; returns the whole answer.
fn request(broker: &Broker, header: &[u8], user: &str, request: &str, body: &str) -> String {
    let mut socket = TcpStream::connect(listening(broker, "http")).expect("connected");
    let login = base64::engine::general_purpose::STANDARD.encode(user);
    let request = format!(
        "{request} HTTP/1.1\r\nHost: broker\r\nAuthorization: Basic {login}\r\nContent-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        body.len()
    );
    let mut answer = String::new();
    // A refused client may be cut off while it is sending.
    if socket.write_all(&[header, request.as_bytes()].concat()).is_ok() {
        let _ = socket.read_to_string(&mut answer);
    }
    answer
}

#[test]
fn over_http_too_the_client_is_who_the_proxy_says() {
    let broker = Broker::with(&["--http-proxy-protocol-trusted=127.0.0.1"]);
    let ann = r#"{"password":"pw","tags":"administrator"}"#;
    let made = request(&broker, b"PROXY UNKNOWN\r\n", "guest:guest", "PUT /api/users/ann", ann);
    assert!(made.starts_with("HTTP/1.1 201"), "{made}");
    for header in [V1, V2] {
        // The loopback rule applies to the client, not to the proxy.
        let guest = request(&broker, header, "guest:guest", "GET /api/whoami", "");
        assert!(guest.starts_with("HTTP/1.1 401"), "{guest}");
        let own = request(&broker, header, "ann:pw", "GET /api/overview?columns=node", "");
        let node = own.split("\"node\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a name");
        let sources = format!("GET /api/auth/attempts/{node}/source");
        let sources = request(&broker, header, "ann:pw", &sources, "");
        assert!(sources.contains("\"remote_address\":\"192.0.2.7\""), "{sources}");
    }
    for header in [b"".as_slice(), b"PROXY TCP4 nonsense\r\n"] {
        assert_eq!(request(&broker, header, "ann:pw", "GET /api/whoami", ""), "", "nothing without a header");
    }
    // AMQP has its own list.
    drop(broker.client());
}

#[test]
fn over_http_others_may_not_say_anything() {
    let broker = Broker::with(&["--http-proxy-protocol-trusted=192.0.2.0/24"]);
    let liar = request(&broker, V1, "guest:guest", "GET /api/whoami", "");
    assert!(liar.is_empty() || liar.starts_with("HTTP/1.1 400"), "{liar}");
    assert_eq!(Http::of(&broker).get("/api/whoami").is(200).json["name"], "guest");
}
