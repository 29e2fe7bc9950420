//! Auto-delete: what is deleted with its last user, and what stays.

use super::conform;

#[test]
fn auto_delete_queue_goes_with_its_last_consumer() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q auto_delete");
        for tag in ["a", "b"] {
            c.ask(&format!("basic.consume queue=$q consumer_tag={tag}"), "basic.consume-ok");
        }
        c.ask("basic.cancel consumer_tag=a", "basic.cancel-ok");
        assert_eq!(c.counts("$q"), (0, 1));
        c.ask("basic.cancel consumer_tag=b", "basic.cancel-ok");
        c.say("queue.declare queue=$q passive");
        c.channel_closes(404, "queue.declare", "$q");
    });
}

#[test]
fn auto_delete_queue_goes_when_its_last_consumers_channel_closes() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.declare("queue=$q auto_delete");
        c.ask("2 basic.consume queue=$q", "2 basic.consume-ok");
        c.ask("2 channel.close reply_code=200", "2 channel.close-ok");
        crate::wait::until("the queue is gone", || {
            c.say("queue.declare queue=$q passive");
            let gone = c.next().spec.name == "channel.close";
            if gone {
                c.say("channel.close-ok");
                c.open_channel(1);
            }
            gone
        });
    });
}

#[test]
fn auto_delete_queue_that_was_never_consumed_stays() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q auto_delete");
        c.publish("routing_key=$q", "x");
        c.take("$q");
        c.close();
        let mut c = t.client();
        assert_eq!(c.counts("$q"), (0, 0));
        c.ask("queue.delete queue=$q", "queue.delete-ok");
    });
}

#[test]
fn auto_delete_exchange_goes_with_its_last_binding() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout auto_delete", "exchange.declare-ok");
        c.declare("queue=$a exclusive");
        c.declare("queue=$b exclusive");
        c.ask("queue.bind queue=$a exchange=$x", "queue.bind-ok");
        c.ask("queue.bind queue=$b exchange=$x", "queue.bind-ok");
        c.ask("queue.unbind queue=$a exchange=$x", "queue.unbind-ok");
        c.ask("exchange.declare exchange=$x type=fanout passive", "exchange.declare-ok");
        c.ask("queue.delete queue=$b", "queue.delete-ok");
        c.say("exchange.declare exchange=$x type=fanout passive");
        c.channel_closes(404, "exchange.declare", "$x");
    });
}

#[test]
fn auto_delete_exchange_that_was_never_bound_stays() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout auto_delete", "exchange.declare-ok");
        c.close();
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout passive", "exchange.declare-ok");
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn an_exchange_stays_when_it_is_only_a_destination() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout auto_delete", "exchange.declare-ok");
        c.ask("exchange.bind destination=$x source=amq.topic routing_key=$k", "exchange.bind-ok");
        c.ask("exchange.unbind destination=$x source=amq.topic routing_key=$k", "exchange.unbind-ok");
        c.ask("exchange.declare exchange=$x type=fanout passive", "exchange.declare-ok");
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn heartbeats_come_when_asked_for_and_a_silent_peer_is_dropped() {
    conform(|t| {
        let mut c = t.client_with(131_072, 1);
        let ((), took) = crate::wait::time(|| {
            let beat = c.any_frame().expect("a heartbeat");
            assert_eq!((beat.kind, beat.channel, beat.payload.len()), (8, 0, 0));
            // Nothing is sent from here on: the broker must close the connection.
            while c.any_frame().is_some() {}
        });
        assert!(took.as_secs() >= 1, "{took:?}");
    });
}

#[test]
fn no_heartbeats_when_the_client_says_zero() {
    conform(|t| {
        let mut c = t.client();
        c.silent();
        let frame = c.ask("channel.flow active", "channel.flow-ok");
        assert_eq!(frame.channel, 1);
    });
}
