//! From the protocol header to connection.open-ok.

use super::conform;

#[test]
fn garbage_instead_of_the_protocol_header_gets_ours_and_the_socket_closes() {
    conform(|t| {
        for header in [&b"AMQP\x00\x00\x08\x00"[..], b"HELO\x00\x00\x09\x01", b"GET / HTTP/1.1\r\n\r\n"] {
            let mut c = t.connect();
            c.bytes(header);
            assert_eq!(c.rest(), b"AMQP\x00\x00\x09\x01", "answer to {header:?}");
        }
    });
}

#[test]
fn the_older_protocol_header_is_accepted() {
    conform(|t| {
        let mut c = t.connect();
        c.bytes(b"AMQP\x01\x01\x00\x09");
        c.hear("0 connection.start version_major=0 version_minor=9");
    });
}

#[test]
fn start_names_mechanisms_locale_and_the_capabilities_clients_look_for() {
    conform(|t| {
        let mut c = t.connect();
        c.bytes(b"AMQP\x00\x00\x09\x01");
        let start = c.hear("0 connection.start version_major=0 version_minor=9 locales=en_US");
        let mechanisms = start.field("mechanisms").str();
        for mechanism in ["PLAIN", "AMQPLAIN"] {
            assert!(mechanisms.split(' ').any(|m| m == mechanism), "{mechanism} in {mechanisms:?}");
        }
        let properties = start.field("server_properties");
        for key in ["product", "version", "platform", "copyright", "information"] {
            assert!(!properties.get(key).expect(key).str().is_empty());
        }
        let capabilities = properties.get("capabilities").expect("capabilities");
        for key in [
            "publisher_confirms",
            "exchange_exchange_bindings",
            "basic.nack",
            "consumer_cancel_notify",
            "connection.blocked",
            "consumer_priorities",
            "authentication_failure_close",
            "per_consumer_qos",
            "direct_reply_to",
        ] {
            assert_eq!(capabilities.get(key).expect(key).int(), 1, "{key}");
        }
    });
}

#[test]
fn tune_offers_the_usual_limits() {
    conform(|t| {
        let (_, tune) = t.tune();
        assert_eq!(tune.field("channel_max").int(), 2047);
        assert_eq!(tune.field("frame_max").int(), 131_072);
        assert_eq!(tune.field("heartbeat").int(), 60);
    });
}

#[test]
fn amqplain_is_accepted() {
    conform(|t| {
        let mut c = t.start();
        c.start_ok("AMQPLAIN", "\\0LOGINS");
        c.connection_closes(502, "?connection.start-ok", "");
        let mut c = t.start();
        let response = "\u{5}LOGINS\\0\\0\\0\u{5}guest\u{8}PASSWORDS\\0\\0\\0\u{5}guest";
        c.start_ok("AMQPLAIN", response);
        c.hear("0 connection.tune");
    });
}

#[test]
fn bad_credentials_are_told_to_a_client_that_can_hear_it() {
    conform(|t| {
        for response in ["\\0guest\\0wrong", "\\0nobody\\0guest", "\\0\\0"] {
            let mut c = t.start();
            c.start_ok("PLAIN", response);
            c.connection_closes(
                403,
                "?connection.start-ok",
                "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN. For details see the broker logfile.",
            );
        }
    });
}

#[test]
fn bad_credentials_without_the_capability_just_close_the_socket() {
    conform(|t| {
        let mut c = t.start();
        c.say("0 connection.start-ok mechanism=PLAIN response=\"\\0guest\\0wrong\" locale=en_US");
        c.hangs_up();
    });
}

#[test]
fn malformed_sasl_response() {
    conform(|t| {
        for response in ["", "guest", "guest\\0guest"] {
            let mut c = t.start();
            c.start_ok("PLAIN", response);
            c.connection_closes(502, "?connection.start-ok", "");
        }
    });
}

#[test]
fn unknown_mechanism() {
    conform(|t| {
        let mut c = t.start();
        c.start_ok("KERBEROS_V4", "x");
        c.connection_closes(503, "?connection.start-ok", "unknown authentication mechanism 'KERBEROS_V4'");
    });
}

#[test]
fn tune_ok_outside_the_servers_limits() {
    conform(|t| {
        for (limits, words) in [
            (
                "channel_max=2047 frame_max=131073",
                "negotiated frame_max = 131073 is higher than the maximum allowed value (131072)",
            ),
            ("channel_max=2047 frame_max=0", "negotiated frame_max = 0"),
            (
                "channel_max=2047 frame_max=100",
                "negotiated frame_max = 100 is lower than the minimum allowed value",
            ),
            (
                "channel_max=2048 frame_max=131072",
                "negotiated channel_max = 2048 is higher than the maximum allowed value (2047)",
            ),
            ("channel_max=0 frame_max=131072", "negotiated channel_max = 0"),
        ] {
            let (mut c, _) = t.tune();
            c.say(&format!("0 connection.tune-ok {limits} heartbeat=0"));
            c.connection_closes(530, "?connection.tune-ok", words);
        }
    });
}

#[test]
fn a_client_may_choose_frames_of_4096() {
    conform(|t| {
        let mut c = t.client_with(4096, 0);
        let body = vec![b'x'; 20_000];
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q", &body);
        c.say("basic.get queue=$q no_ack");
        for kind in [1, 2, 3, 3, 3, 3, 3] {
            let frame = c.next_frame().expect("a frame");
            assert_eq!(frame.kind, kind);
            assert!(frame.payload.len() <= 4088, "{} octets", frame.payload.len());
        }
    });
}

#[test]
fn missing_vhost() {
    conform(|t| {
        let (mut c, _) = t.tune();
        c.say("0 connection.tune-ok channel_max=2047 frame_max=131072");
        c.say("0 connection.open virtual_host=$nowhere");
        c.connection_closes(530, "?connection.open", "vhost $nowhere not found");
    });
}

#[test]
fn connection_close_is_answered() {
    conform(|t| {
        let mut c = t.client();
        c.ask("0 connection.close reply_code=200 reply_text=bye", "0 connection.close-ok");
    });
}

/// Methods sent by a client that does not wait for the end of the handshake.
const TOO_EARLY: [&str; 5] = [
    "channel.open",
    "basic.publish routing_key=q",
    "basic.ack delivery_tag=1",
    "queue.declare queue=q",
    "channel.close-ok",
];

#[test]
fn what_comes_before_the_connection_is_tuned_ends_it_without_a_word() {
    conform(|t| {
        for early in TOO_EARLY.iter().chain(&["0 connection.open virtual_host=/", "0 connection.close-ok"]) {
            let mut c = t.start();
            c.say(early);
            c.hangs_up();
            let (mut c, _) = t.tune();
            c.say(early);
            c.hangs_up();
        }
    });
}

#[test]
fn what_comes_before_the_connection_is_open_closes_it() {
    conform(|t| {
        for (early, code) in TOO_EARLY
            .iter()
            .map(|early| (*early, 505))
            .chain([("0 connection.tune-ok channel_max=5 frame_max=4096", 504), ("0 channel.open", 504)])
        {
            let (mut c, _) = t.tune();
            c.say("0 connection.tune-ok channel_max=2047 frame_max=131072 heartbeat=0");
            c.say(early);
            let heard = c.next();
            assert_eq!(heard.spec.name, "connection.close", "{early}");
            assert_eq!(heard.field("reply_code").int(), code, "{early}: {heard}");
        }
    });
}

#[test]
fn a_new_secret_is_taken_whatever_it_is_from_a_user_with_a_password() {
    conform(|t| {
        let mut c = t.client();
        for secret in ["guest", "another", "\"\""] {
            let said = format!("0 connection.update-secret new_secret={secret} reason=renewed");
            c.ask(&said, "0 connection.update-secret-ok");
        }
        c.silent();
    });
}
