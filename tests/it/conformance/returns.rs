//! mandatory and basic.return.

use super::conform;

#[test]
fn unroutable_mandatory_comes_back_whole() {
    conform(|t| {
        let mut c = t.client();
        c.publish_with(
            "exchange=amq.direct routing_key=$gone mandatory",
            "content_type=text/plain headers={a:1,b:[x,2l]} delivery_mode=2 priority=3 message_id=m1 timestamp=77T",
            "hello",
        );
        let back =
            c.hear("basic.return reply_code=312 reply_text=NO_ROUTE exchange=amq.direct routing_key=$gone");
        assert_eq!(back.text(), "hello");
        assert_eq!(
            back.props.to_string(),
            "{content_type:\"text/plain\",headers:{a:1,b:[\"x\",2l]},delivery_mode:2l,priority:3l,message_id:\"m1\",timestamp:77l}"
        );
    });
}

#[test]
fn the_return_comes_before_the_confirm() {
    conform(|t| {
        let mut c = t.client();
        c.confirms();
        c.publish("routing_key=$gone mandatory", "x");
        c.hear("basic.return reply_code=312");
        c.hear("basic.ack delivery_tag=1");
    });
}

#[test]
fn a_routed_mandatory_message_does_not_come_back() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q mandatory", "x");
        c.silent_after("$q");
        assert_eq!(c.drain("$q"), ["x"]);
    });
}

#[test]
fn an_unroutable_empty_body_comes_back() {
    conform(|t| {
        let mut c = t.client();
        c.publish("routing_key=$gone mandatory", "");
        assert!(c.hear("basic.return reply_code=312").body.is_empty());
    });
}
