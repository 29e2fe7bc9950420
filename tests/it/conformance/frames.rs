//! Frames that violate the framing rules.

use super::conform;
use crate::raw::{BODY, Client, HEADER, HEARTBEAT, METHOD, encode_header};

#[test]
fn heartbeat_on_a_channel() {
    conform(|t| {
        let mut c = t.client();
        c.frame(HEARTBEAT, 1, b"");
        c.connection_closes(505, "", "");
    });
}

#[test]
fn content_header_without_a_method() {
    conform(|t| {
        let mut c = t.client();
        c.frame(HEADER, 1, &encode_header(60, 5, ""));
        c.connection_closes(505, "", "");
    });
}

#[test]
fn body_without_a_method() {
    conform(|t| {
        let mut c = t.client();
        c.frame(BODY, 1, b"hello");
        c.connection_closes(505, "", "");
    });
}

#[test]
fn content_header_of_the_wrong_class() {
    conform(|t| {
        let mut c = t.client();
        c.say("basic.publish routing_key=$q");
        c.frame(HEADER, 1, &encode_header(50, 5, ""));
        c.connection_closes(505, "?basic.publish", "");
    });
}

#[test]
fn a_method_where_a_content_header_is_due() {
    conform(|t| {
        let mut c = t.client();
        c.say("basic.publish routing_key=$q");
        c.say("basic.publish routing_key=$q");
        c.connection_closes(505, "?basic.publish", "");
    });
}

#[test]
fn a_method_inside_a_body() {
    conform(|t| {
        let mut c = t.client();
        c.say("basic.publish routing_key=$q");
        c.frame(HEADER, 1, &encode_header(60, 5, ""));
        c.frame(BODY, 1, b"he");
        c.say("basic.qos prefetch_count=1");
        c.connection_closes(505, "?basic.publish", "");
    });
}

#[test]
fn unknown_frame_type() {
    conform(|t| {
        let mut c = t.client();
        c.frame(77, 1, b"hello");
        c.connection_closes(501, "", "");
    });
}

#[test]
fn bad_frame_end() {
    conform(|t| {
        let mut c = t.client();
        c.bytes(&[HEARTBEAT, 0, 0, 0, 0, 0, 0, 0xCD]);
        c.connection_closes(501, "", "");
    });
}

#[test]
fn frame_longer_than_frame_max() {
    conform(|t| {
        let mut c = t.client_with(8192, 0);
        c.say("basic.publish routing_key=$q");
        c.frame(HEADER, 1, &encode_header(60, 60_000, ""));
        c.frame(BODY, 1, &vec![b'x'; 60_000]);
        c.connection_closes(501, "", "");
    });
}

#[test]
fn body_longer_than_declared() {
    conform(|t| {
        let mut c = t.client();
        c.say("basic.publish routing_key=$q");
        c.frame(HEADER, 1, &encode_header(60, 2, ""));
        c.frame(BODY, 1, b"hello");
        c.connection_closes(501, "?basic.publish", "");
    });
}

#[test]
fn declared_size_over_512_mib() {
    conform(|t| {
        let mut c = t.client();
        c.say("basic.publish routing_key=$q");
        c.frame(HEADER, 1, &encode_header(60, u64::MAX / 2, ""));
        c.connection_closes(501, "?basic.publish", "");
    });
}

#[test]
fn body_over_the_maximum_message_size() {
    conform(|t| {
        let mut c = t.client();
        let size = 130 << 20;
        c.say("basic.publish routing_key=$q");
        c.frame(HEADER, 1, &encode_header(60, size, ""));
        let part = vec![0; 131_064];
        for _ in 0..size / 131_064 {
            c.frame(BODY, 1, &part);
        }
        c.frame(BODY, 1, &part[..usize::try_from(size % 131_064).expect("small")]);
        c.channel_closes(406, "basic.publish", "");
        c.open_channel(1);
    });
}

#[test]
fn a_body_may_come_in_frames_of_any_size() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.say("basic.publish routing_key=$q");
        c.frame(HEADER, 1, &encode_header(60, 10, ""));
        for part in ["a", "bcd", "", "efghij"] {
            c.frame(BODY, 1, part.as_bytes());
        }
        assert_eq!(c.take("$q").text(), "abcdefghij");
    });
}

#[test]
fn frames_may_come_an_octet_at_a_time() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for octet in c.publish_bytes(1, "routing_key=$q", "delivery_mode=1", b"slow") {
            c.bytes(&[octet]);
        }
        assert_eq!(c.take("$q").text(), "slow");
    });
}

#[test]
fn unknown_method() {
    conform(|t| unknown(&mut t.client(), [0, 60, 0, 200]));
}

#[test]
fn unknown_class() {
    conform(|t| unknown(&mut t.client(), [0, 99, 0, 10]));
}

fn unknown(c: &mut Client, number: [u8; 4]) {
    c.frame(METHOD, 1, &number);
    let heard = c.next();
    assert_eq!((heard.channel, heard.spec.name), (0, "connection.close"));
    assert!([501, 503, 540].contains(&heard.field("reply_code").int()), "{heard}");
}

#[test]
fn basic_content_methods_are_not_for_clients() {
    conform(|t| {
        for method in ["basic.deliver", "basic.return", "basic.get-ok"] {
            let mut c = t.client();
            c.say(method);
            c.frame(HEADER, 1, &encode_header(60, 0, ""));
            c.connection_closes(503, method, "");
        }
    });
}

#[test]
fn a_method_frame_that_ends_within_a_field_is_a_syntax_error() {
    conform(|t| {
        let mut c = t.client();
        c.frame(METHOD, 1, &[0, 50, 0, 10, 0, 0, 9, b'q']);
        let heard = c.next();
        assert_eq!((heard.channel, heard.spec.name), (0, "connection.close"));
        assert!([501, 502].contains(&heard.field("reply_code").int()), "{heard}");
    });
}

/// They cannot be split, and if not sent the message could never be consumed.
#[test]
fn headers_larger_than_a_frame_are_sent_in_one() {
    conform(|t| {
        let mut publisher = t.client();
        publisher.declare("queue=$q");
        let headers = format!("headers={{a:{}}}", "y".repeat(5000));
        for _ in 0..2 {
            publisher.publish_with("routing_key=$q", &headers, "x");
        }
        publisher.wait_ready("$q", 2);
        let mut c = t.client_with(4096, 0);
        let got = c.ask("basic.get queue=$q", "basic.get-ok");
        assert_eq!(got.header("a").map(|header| header.str().len()), Some(5000));
        c.ask("basic.consume queue=$q", "basic.consume-ok");
        let delivered = c.hear("basic.deliver");
        assert_eq!(delivered.header("a").map(|header| header.str().len()), Some(5000));
        publisher.delete("$q");
    });
}
