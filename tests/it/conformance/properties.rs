//! Message properties: which are validated, and that all others arrive unchanged.

use super::conform;

#[test]
fn bad_expiration() {
    conform(|t| {
        let mut c = t.client();
        for expiration in ["12a", "-1", "\"\"", "315360000001"] {
            c.publish_with("routing_key=$gone", &format!("expiration={expiration}"), "x");
            c.channel_closes(406, "basic.publish", "invalid expiration");
            c.open_channel(1);
        }
    });
}

#[test]
fn user_id_must_be_the_user() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish_with("routing_key=$q", "user_id=guest", "mine");
        assert_eq!(c.drain("$q"), ["mine"]);
        c.publish_with("routing_key=$q", "user_id=root", "x");
        c.channel_closes(
            406,
            "basic.publish",
            "user_id property set to 'root' but authenticated user was 'guest'",
        );
    });
}

#[test]
fn cc_and_bcc_must_be_arrays() {
    conform(|t| {
        let mut c = t.client();
        for header in ["CC:text", "BCC:1"] {
            c.publish_with("routing_key=$gone", &format!("headers={{{header}}}"), "x");
            c.channel_closes(406, "basic.publish", "");
            c.open_channel(1);
        }
    });
}

#[test]
fn every_property_and_field_type_arrives_as_sent() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        let headers = "{t:true,b:-1b,B:200B,s:-300s,u:60000u,I:-70000,i:4000000000i,l:-5000000000l,T:1700000000T,\
                       d:2.5,S:\"two words\",A:[1,\"x\",{in:void}],F:{a:{b:{c:1}}},V:void}";
        c.publish_with(
            "routing_key=$q",
            &format!(
                "content_type=a content_encoding=b headers={headers} delivery_mode=1 priority=9 correlation_id=c \
                 reply_to=d expiration=60000 message_id=e timestamp=1700000000T type=f user_id=guest app_id=g cluster_id=h"
            ),
            "x",
        );
        let got = c.take("$q");
        assert_eq!(got.props.get("headers").expect("headers").to_string(), headers);
        let rest: Vec<_> = got
            .props
            .table()
            .iter()
            .filter(|(k, _)| k != "headers")
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(
            rest.join(" "),
            "content_type=\"a\" content_encoding=\"b\" delivery_mode=1l priority=9l correlation_id=\"c\" reply_to=\"d\" \
             expiration=\"60000\" message_id=\"e\" timestamp=1700000000l type=\"f\" user_id=\"guest\" app_id=\"g\" cluster_id=\"h\""
        );
    });
}

#[test]
fn no_properties_stay_no_properties() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q", "");
        let got = c.take("$q");
        assert_eq!((got.props.to_string().as_str(), got.body.len()), ("{}", 0));
    });
}

#[test]
fn bodies_of_many_sizes_arrive_as_sent() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for size in [0, 1, 131_063, 131_064, 131_065, 262_128, 5_000_000] {
            let body: Vec<u8> =
                (0..size).map(|i: u32| i.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
            c.publish("routing_key=$q", &body);
            assert!(c.take("$q").body == body, "body of {size}");
        }
    });
}

/// Headers with arrays nested this deep, and the text `end` at the bottom, as the payload of a content header.
fn deep_headers(depth: usize) -> Vec<u8> {
    let bottom = b"S\0\0\0\x03end";
    let mut table = b"\x01a".to_vec();
    for level in 0..depth {
        table.push(b'A');
        table.extend(u32::try_from((depth - level - 1) * 5 + bottom.len()).expect("short").to_be_bytes());
    }
    table.extend(bottom);
    let mut payload = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0];
    payload.extend(u32::try_from(table.len()).expect("short").to_be_bytes());
    payload.extend(table);
    payload
}

#[test]
fn headers_are_as_deep_as_a_frame_holds() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$h type=headers auto_delete", "exchange.declare-ok");
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$h arguments={x-match:any,a:1}", "queue.bind-ok");
        c.ask("queue.bind queue=$q exchange=$h arguments={x-match:any,a:void}", "queue.bind-ok");
        for depth in [32, 33, 1000, 20_000] {
            let payload = deep_headers(depth);
            c.say("basic.publish exchange=$h");
            c.frame(crate::raw::HEADER, 1, &payload);
            c.say("basic.get queue=$q no_ack");
            let ok = c.next_frame().expect("get-ok");
            assert_eq!(&ok.payload[..4], [0, 60, 0, 71], "depth {depth}");
            let header = c.next_frame().expect("the header");
            assert!(header.payload == payload, "depth {depth}");
        }
        c.silent();
    });
}
