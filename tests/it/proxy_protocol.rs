//! Behind a proxy: whom the broker takes the client for, and who may say so.

use serde_json::json;

use crate::harness::Broker;
use crate::management::Http;
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
    // The loopback rule is for the client, not for the proxy.
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
    // Half of it, and then nothing.
    let mut slow = Client::connect(broker.amqp, "");
    slow.bytes(&V2[..20]);
    slow.hangs_up();
}

#[test]
fn others_may_not_say_anything() {
    let broker = Broker::with(&["--proxy-protocol-trusted=192.0.2.0/24"]);
    drop(broker.client());
    let mut liar = behind(&broker, V1);
    // As to anything else that is not AMQP: our protocol header, and the end.
    assert_eq!(liar.rest(), b"AMQP\x00\x00\x09\x01");
    assert!(broker.log().contains("not AMQP 0-9-1"));
}
