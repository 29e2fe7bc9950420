//! Channels: opening, closing, and which methods belong on which channel.

use super::conform;

#[test]
fn a_channel_method_on_channel_0() {
    conform(|t| {
        for method in ["queue.declare queue=$q", "channel.open", "basic.qos"] {
            let mut c = t.client();
            c.say(&format!("0 {method}"));
            let name = method.split(' ').next().expect("a name");
            c.connection_closes(504, name, "");
        }
    });
}

#[test]
fn a_method_on_a_channel_that_is_not_open() {
    conform(|t| {
        let mut c = t.client();
        c.say("2 queue.declare queue=$q");
        c.connection_closes(504, "queue.declare", "expected 'channel.open'");
    });
}

#[test]
fn channel_open_twice() {
    conform(|t| {
        let mut c = t.client();
        c.say("1 channel.open");
        c.connection_closes(504, "channel.open", "second 'channel.open' seen");
    });
}

#[test]
fn more_channels_than_channel_max() {
    conform(|t| {
        let (mut c, _) = t.tune();
        c.say("0 connection.tune-ok channel_max=5 frame_max=131072");
        c.say("0 connection.open virtual_host=/");
        c.hear("0 connection.open-ok");
        for channel in 1..=5 {
            c.open_channel(channel);
        }
        c.say("6 channel.open");
        c.connection_closes(530, "?channel.open", "");
    });
}

#[test]
fn channels_are_counted_whatever_their_numbers() {
    conform(|t| {
        let (mut c, _) = t.tune();
        c.say("0 connection.tune-ok channel_max=3 frame_max=131072");
        c.say("0 connection.open virtual_host=/");
        c.hear("0 connection.open-ok");
        for channel in [65_535, 7, 1000] {
            c.open_channel(channel);
        }
        c.ask("7 channel.close", "7 channel.close-ok");
        c.open_channel(8);
        c.say("9 channel.open");
        c.connection_closes(530, "?channel.open", "channel_max (3)");
    });
}

/// Methods of a client that closes its channel while an error closes it too: each in one packet with the close.
#[test]
fn closes_that_cross_leave_the_connection_alone() {
    conform(|t| {
        let mut c = t.client();
        for failing in [
            "basic.publish exchange=$nowhere",
            "queue.bind queue=$none exchange=amq.direct",
            "queue.declare queue=$none passive",
            "basic.consume queue=$none",
            "basic.ack delivery_tag=9",
        ] {
            for round in 0..20 {
                let content = if failing.starts_with("basic.publish") { Some("x") } else { None };
                c.say_with_close(failing, content);
                let close = c.hear("channel.close");
                assert!(close.field("reply_text").str().len() > 4, "{failing} in round {round}: {close}");
                c.hear("channel.close-ok");
                c.say("channel.close-ok");
                c.open_channel(1);
                c.silent();
            }
        }
    });
}

#[test]
fn a_second_answer_to_a_close_harms_nobody() {
    conform(|t| {
        let mut c = t.client();
        c.say("queue.declare queue=$none passive");
        c.channel_closes(404, "queue.declare", "$none");
        c.say("channel.close-ok");
        c.open_channel(1);
        c.silent();
    });
}

#[test]
fn a_number_is_free_when_the_clients_close_was_answered() {
    conform(|t| {
        let mut c = t.client();
        c.say("queue.declare queue=$none passive");
        c.say("channel.close");
        c.hear("channel.close");
        c.hear("channel.close-ok");
        c.open_channel(1);
        c.say("channel.close-ok");
        c.silent();
    });
}

#[test]
fn whoever_closes_a_connection_closes_the_socket() {
    conform(|t| {
        let mut c = t.client();
        c.ask("0 connection.close reply_code=200 reply_text=bye", "0 connection.close-ok");
        assert!(
            c.is_left_open_for(std::time::Duration::from_millis(300)),
            "the broker closed the socket first"
        );
        c.finish_writing();
        c.hangs_up();
    });
}

#[test]
fn an_error_of_the_connection_arrives_whatever_is_still_being_sent() {
    conform(|t| {
        for said in ["9 queue.declare queue=$q", "basic.publish immediate", "queue.declare-ok"] {
            let mut c = t.client();
            c.say(said);
            let rest = c.publish_bytes(1, "routing_key=$none", "", &[7; 10_000]).repeat(50);
            c.bytes(&rest);
            let close = c.next();
            assert_eq!(close.spec.name, "connection.close", "{close}");
            c.bytes(&rest);
            c.say("0 connection.close-ok");
            c.hangs_up();
        }
    });
}

#[test]
fn closes_of_a_connection_that_cross_are_both_answered() {
    conform(|t| {
        let mut c = t.client();
        c.say("9 queue.declare queue=$q");
        c.say("0 connection.close reply_code=200 reply_text=bye");
        c.hear("0 connection.close reply_code=504");
        c.hear("0 connection.close-ok");
        c.say("0 connection.close-ok");
        c.finish_writing();
        c.hangs_up();
    });
}

#[test]
fn a_closed_channels_number_can_be_used_again() {
    conform(|t| {
        let mut c = t.client();
        c.ask("channel.close reply_code=200", "channel.close-ok");
        c.open_channel(1);
        c.say("queue.declare queue=$q passive");
        c.channel_closes(404, "queue.declare", "");
        c.open_channel(1);
        c.silent();
    });
}

#[test]
fn what_comes_after_a_channel_error_is_discarded_until_close_ok() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.say("queue.declare queue=$gone passive");
        c.say("queue.declare queue=$q exclusive");
        c.publish("exchange=$nowhere", "x");
        c.channel_closes(404, "queue.declare", "$gone");
        c.ask("2 channel.flow active", "2 channel.flow-ok");
        c.open_channel(1);
        c.say("queue.declare queue=$q passive");
        c.channel_closes(404, "queue.declare", "$q");
    });
}

#[test]
fn a_channel_error_leaves_the_other_channels_alone() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.say("2 basic.ack delivery_tag=9");
        let close = c.next();
        assert_eq!((close.channel, close.spec.name), (2, "channel.close"));
        c.say("2 channel.close-ok");
        c.declare("queue=$q exclusive");
    });
}

#[test]
fn flow_can_be_turned_on_but_not_off() {
    conform(|t| {
        let mut c = t.client();
        c.ask("channel.flow active", "channel.flow-ok active=1");
        c.say("channel.flow");
        c.connection_closes(540, "channel.flow", "");
    });
}

#[test]
fn access_request_is_granted_and_means_nothing() {
    conform(|t| {
        let mut c = t.client();
        c.ask("access.request realm=/data read write active", "access.request-ok ticket=1");
    });
}

#[test]
fn prefetch_size_is_not_implemented() {
    conform(|t| {
        let mut c = t.client();
        c.say("basic.qos prefetch_size=1000");
        c.connection_closes(540, "basic.qos", "prefetch_size!=0 (1000)");
    });
}

#[test]
fn recover_without_requeue_is_not_implemented() {
    conform(|t| {
        for method in ["basic.recover", "basic.recover-async"] {
            let mut c = t.client();
            c.say(method);
            c.connection_closes(540, method, "");
        }
    });
}

#[test]
fn immediate_is_not_implemented() {
    conform(|t| {
        let mut c = t.client();
        c.publish("routing_key=$q immediate", "x");
        c.connection_closes(540, "basic.publish", "immediate=true");
    });
}
