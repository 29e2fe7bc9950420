//! Errors and what the client is told: the table in docs/semantics.md, row by row as far as a client alone can
//! reach it. The method to blame is the last one sent.

use super::{conversation, handshake, play_from};

/// Queue `q`, exchange `x`, and a second client's exclusive queue `theirs`.
const SCENE: &str = "C 1 queue.declare queue=q \n S 1 queue.declare-ok
    C 1 exchange.declare exchange=x type=direct \n S 1 exchange.declare-ok
    C2 1 queue.declare queue=theirs exclusive \n S2 1 queue.declare-ok \n";

/// `said` on channel 1 closes that channel.
#[track_caller]
fn channel_closes(before: &str, said: &str, code: u16, words: &str) {
    let method = said.split(' ').next().expect("a method");
    conversation(&format!(
        "{SCENE} {before}
         C 1 {said} \n S 1 channel.close {code} by {method} saying {words}
         C 1 channel.close-ok \n C 1 channel.open \n S 1 channel.open-ok"
    ));
}

/// `said` on channel 1 closes the connection.
#[track_caller]
fn connection_closes(before: &str, said: &str, code: u16, blamed: &str, words: &str) {
    conversation(&format!(
        "{SCENE} {before}
         C {said} \n S 0 connection.close {code} by {blamed} saying {words}
         C 0 connection.close-ok \n S end"
    ));
}

#[test]
fn what_is_not_there() {
    for (said, words) in [
        ("basic.publish exchange=none routing_key=q << x", "no exchange 'none' in vhost '/'"),
        ("exchange.declare exchange=none passive", "no exchange 'none' in vhost '/'"),
        ("queue.declare queue=none passive", "no queue 'none' in vhost '/'"),
        ("queue.purge queue=none", "no queue 'none' in vhost '/'"),
        ("basic.get queue=none", "no queue 'none' in vhost '/'"),
        ("basic.consume queue=none", "no queue 'none' in vhost '/'"),
        ("queue.bind queue=none exchange=x", "no queue 'none' in vhost '/'"),
        ("queue.bind queue=q exchange=none", "no exchange 'none' in vhost '/'"),
        ("exchange.bind destination=none source=x", "no exchange 'none' in vhost '/'"),
        ("queue.bind exchange=x", ""),
        ("basic.get", "no previously declared queue"),
    ] {
        let forgotten =
            "C 1 channel.close \n S 1 channel.close-ok \n C 1 channel.open \n S 1 channel.open-ok";
        channel_closes(forgotten, said, 404, words);
    }
}

#[test]
fn what_need_not_be_there() {
    conversation(
        "C 1 exchange.delete exchange=none \n S 1 exchange.delete-ok
         C 1 queue.delete queue=none \n S 1 queue.delete-ok message_count=0
         C 1 queue.unbind queue=none exchange=none \n S 1 queue.unbind-ok
         C 1 exchange.unbind destination=none source=none \n S 1 exchange.unbind-ok
         C 1 basic.cancel consumer_tag=none \n S 1 basic.cancel-ok consumer_tag=none",
    );
}

#[test]
fn what_is_forbidden() {
    for said in [
        "exchange.declare exchange=amq.mine type=direct",
        "queue.declare queue=amq.mine",
        "exchange.delete exchange=amq.direct",
        "exchange.delete exchange=\"\"",
        "queue.bind queue=q exchange=\"\"",
        "queue.unbind queue=q exchange=\"\"",
    ] {
        channel_closes("", said, 403, "");
    }
    let internal = "C 1 exchange.declare exchange=i type=fanout internal \n S 1 exchange.declare-ok";
    channel_closes(internal, "basic.publish exchange=i << x", 403, "");
    let exclusive = "C 1 basic.consume queue=q exclusive consumer_tag=c \n S 1 basic.consume-ok";
    channel_closes(exclusive, "basic.consume queue=q", 403, "exclusive use");
    let shared = "C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok";
    channel_closes(shared, "basic.consume queue=q exclusive", 403, "exclusive use");
}

#[test]
fn what_is_another_connections() {
    for said in [
        "queue.declare queue=theirs exclusive",
        "queue.declare queue=theirs",
        "queue.declare queue=theirs passive",
        "queue.bind queue=theirs exchange=x",
        "queue.purge queue=theirs",
        "queue.delete queue=theirs",
        "basic.get queue=theirs",
        "basic.consume queue=theirs",
    ] {
        channel_closes("", said, 405, "theirs");
    }
}

#[test]
fn what_is_not_as_it_was() {
    for (before, said) in [
        ("", "queue.declare queue=q durable"),
        ("", "queue.declare queue=q auto_delete"),
        ("", "queue.declare queue=q arguments={x-max-length:5}"),
        ("", "exchange.declare exchange=x type=fanout"),
        ("", "exchange.declare exchange=x type=direct durable"),
        ("", "queue.declare queue=bad arguments={x-message-ttl:-1}"),
        ("", "queue.declare queue=bad arguments={x-max-length:word}"),
        ("", "queue.declare queue=bad arguments={x-expires:0}"),
        ("", "basic.ack delivery_tag=1"),
        ("", "basic.ack"),
        ("", "basic.ack delivery_tag=1 multiple"),
        ("", "basic.nack delivery_tag=1"),
        ("", "basic.reject delivery_tag=1"),
        ("", "tx.commit"),
        ("", "tx.rollback"),
        ("C 1 tx.select \n S 1 tx.select-ok", "confirm.select"),
        ("C 1 confirm.select \n S 1 confirm.select-ok", "tx.select"),
        ("C 1 basic.publish routing_key=q << x", "queue.delete queue=q if_empty"),
        (
            "C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok",
            "queue.delete queue=q if_unused",
        ),
        ("C 1 queue.bind queue=q exchange=x \n S 1 queue.bind-ok", "exchange.delete exchange=x if_unused"),
    ] {
        channel_closes(before, said, 406, "");
    }
}

#[test]
fn what_the_properties_of_a_publish_must_not_say() {
    for properties in
        ["expiration=-1", "expiration=12a", "user_id=other", "headers={CC:a}", "headers={BCC:5}"]
    {
        conversation(&format!(
            "C 1 basic.publish routing_key=q \n C 1 header 0 {properties}
             S 1 channel.close 406 by basic.publish"
        ));
    }
}

#[test]
fn what_is_not_implemented() {
    for said in [
        "1 basic.qos prefetch_size=1",
        "1 basic.recover",
        "1 basic.recover-async",
        "1 channel.flow",
        "1 basic.publish routing_key=q immediate << x",
    ] {
        let method = said.split(' ').nth(1).expect("a method");
        connection_closes("", said, 540, method, "");
    }
}

#[test]
fn what_is_out_of_place() {
    for (said, blamed) in [
        ("0 queue.declare", "queue.declare"),
        ("0 channel.open", "channel.open"),
        ("0 connection.open virtual_host=/", "connection.open"),
        ("1 connection.close", "connection.close"),
        ("1 channel.open", "channel.open"),
        ("3 queue.declare", "queue.declare"),
        ("3 basic.ack delivery_tag=1", "basic.ack"),
    ] {
        connection_closes("", said, 504, blamed, "");
    }
    let content = "C 1 basic.publish routing_key=q";
    for (before, said, blamed) in [
        ("", "1 heartbeat", "0,0"),
        ("", "1 header 5", "0,0"),
        ("", "1 body x", "0,0"),
        (content, "1 body x", "basic.publish"),
        (content, "1 queue.declare queue=q", "basic.publish"),
    ] {
        connection_closes(before, said, 505, blamed, "");
    }
}

#[test]
fn what_no_client_says() {
    for said in [
        "channel.open-ok",
        "queue.declare-ok",
        "basic.get-ok",
        "basic.deliver",
        "basic.return",
        "confirm.select-ok",
    ] {
        connection_closes("", &format!("1 {said}"), 503, said, "unimplemented method");
    }
    connection_closes("", "1 class 77.1", 503, "77,1", "");
}

#[test]
fn what_is_used_up() {
    let tag = "C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok";
    connection_closes(
        tag,
        "1 basic.consume queue=q consumer_tag=c",
        530,
        "basic.consume",
        "attempt to reuse",
    );
    let three = "C 1 basic.consume queue=q \n S 1 basic.consume-ok
        C 1 basic.consume queue=q \n S 1 basic.consume-ok \n C 1 basic.consume queue=q \n S 1 basic.consume-ok";
    connection_closes(three, "1 basic.consume queue=q", 530, "basic.consume", "maximum (3)");
}

#[test]
fn frames_that_are_none() {
    for octets in [
        // An unknown type, a wrong end octet, more than negotiated.
        "05000100000000ce",
        "01000100000004003c0050cf",
        "0100010000ffff",
    ] {
        conversation(&format!("C raw {octets} \n S 0 connection.close 501 by 0,0 \n S end"));
    }
}

#[test]
fn the_handshake_in_the_wrong_order_or_with_wrong_numbers() {
    const LOGIN: &str = "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US \n S 0 connection.tune";
    for (before, said, code, blamed) in [
        ("", "C 0 connection.start-ok mechanism=MAGIC", 503, "connection.start-ok"),
        ("", "C 0 connection.start-ok mechanism=PLAIN response=short", 502, "connection.start-ok"),
        (LOGIN, "C 0 connection.tune-ok channel_max=6 frame_max=4096", 530, "connection.tune-ok"),
        (LOGIN, "C 0 connection.tune-ok channel_max=0 frame_max=4096", 530, "connection.tune-ok"),
        (LOGIN, "C 0 connection.tune-ok channel_max=5 frame_max=4095", 530, "connection.tune-ok"),
        (LOGIN, "C 0 connection.tune-ok channel_max=5 frame_max=131073", 530, "connection.tune-ok"),
        (
            LOGIN,
            "C 0 connection.tune-ok channel_max=5 frame_max=4096 \n C 0 connection.open virtual_host=none",
            530,
            "connection.open",
        ),
    ] {
        handshake(&format!(
            "{before} \n {said} \n S 0 connection.close {code} by {blamed} \n C 0 connection.close-ok \n S end"
        ));
    }
}

#[test]
fn a_client_that_is_told_nothing_of_closed_consumers_hears_nothing() {
    play_from(
        false,
        "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US \n S 0 connection.tune
         C 0 connection.tune-ok channel_max=5 frame_max=4096 \n C 0 connection.open virtual_host=/
         S 0 connection.open-ok \n C 1 channel.open \n S 1 channel.open-ok
         C 1 queue.declare queue=q \n S 1 queue.declare-ok
         C 1 basic.consume queue=q consumer_tag=c \n S 1 basic.consume-ok
         C 1 queue.delete queue=q \n S 1 queue.delete-ok",
    );
}

/// A table nested `depth` levels deep, as the octets of its contents.
fn nested(depth: usize) -> Vec<u8> {
    let mut contents: Vec<u8> = Vec::new();
    for _ in 1..depth {
        let length = u32::try_from(contents.len()).expect("short").to_be_bytes();
        contents = [&b"\x01nF"[..], &length, &contents].concat();
    }
    contents
}

#[test]
fn arguments_that_are_nested_too_deep_close_the_channel_and_headers_may_be() {
    let declare = |depth: usize| {
        let arguments = nested(depth);
        let length = u32::try_from(arguments.len()).expect("short").to_be_bytes();
        let octets = [&b"\0\0\x01d\x08"[..], &length, &arguments].concat();
        octets.iter().fold("C 1 method 50.10".to_owned(), |text, octet| format!("{text} {octet:02x}"))
    };
    conversation(&format!("{} \n S 1 queue.declare-ok queue=d", declare(64)));
    for depth in [65, 500] {
        conversation(&format!(
            "{} \n S 1 channel.close 406 by queue.declare saying nested deeper than 64 levels
             C 1 channel.close-ok \n C 1 channel.open \n S 1 channel.open-ok",
            declare(depth)
        ));
    }
}

#[test]
fn a_frame_before_tune_ok_is_no_longer_than_that_of_a_client_that_is_to_log_in() {
    for (length, lives) in [(8_000, true), (9_000, false)] {
        let said = format!(
            "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US client_properties={{platform:{}}}",
            "x".repeat(length)
        );
        let answer = if lives { "S 0 connection.tune" } else { "S 0 connection.close 501 by 0,0 \n S end" };
        handshake(&format!("{said} \n {answer}"));
    }
}
