//! Channels: opening, closing, what belongs on which.

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
