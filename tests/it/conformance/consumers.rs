//! Consumers: tags, exclusivity, cancelling, and cancel notifications.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use super::conform;

#[test]
fn consumer_tag_used_twice_on_a_channel() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        c.say("basic.consume queue=$q consumer_tag=c");
        c.connection_closes(530, "basic.consume", "NOT_ALLOWED - attempt to reuse consumer tag 'c'");
    });
}

#[test]
fn a_tag_is_free_when_the_broker_has_cancelled_its_consumer() {
    conform(|t| {
        let mut c = t.client();
        for _ in 0..5 {
            c.declare("queue=$q");
            c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
            t.client().ask("queue.delete queue=$q", "queue.delete-ok");
            c.hear("basic.cancel consumer_tag=c");
        }
    });
}

#[test]
fn the_same_tag_on_two_channels_is_fine() {
    conform(|t| {
        let mut c = t.client();
        c.open_channel(2);
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        c.ask("2 basic.consume queue=$q consumer_tag=c", "2 basic.consume-ok");
    });
}

#[test]
fn an_empty_tag_is_given_a_name() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        let tag = c.ask("basic.consume queue=$q", "basic.consume-ok").field("consumer_tag").str();
        assert!(tag.starts_with("amq.ctag-"), "{tag}");
        c.publish("routing_key=$q", "x");
        c.hear(&format!("basic.deliver consumer_tag={tag}"));
    });
}

#[test]
fn exclusive_consumer_when_there_is_one() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        c.open_channel(2);
        c.say("2 basic.consume queue=$q exclusive");
        c.channel_closes(403, "basic.consume", "ACCESS_REFUSED - queue '$q' in vhost '/' in exclusive use");
    });
}

#[test]
fn any_consumer_when_there_is_an_exclusive_one() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q consumer_tag=c exclusive", "basic.consume-ok");
        c.open_channel(2);
        c.say("2 basic.consume queue=$q");
        c.channel_closes(403, "basic.consume", "queue '$q' in vhost '/' in exclusive use");
        c.ask("basic.cancel consumer_tag=c", "basic.cancel-ok");
        c.open_channel(2);
        c.ask("2 basic.consume queue=$q consumer_tag=d exclusive", "2 basic.consume-ok");
    });
}

#[test]
fn cancelled_consumers_get_nothing_more() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q consumer_tag=c no_ack", "basic.consume-ok");
        c.ask("basic.cancel consumer_tag=c", "basic.cancel-ok consumer_tag=c");
        c.publish("routing_key=$q", "x");
        c.silent_after("$q");
        assert_eq!(c.drain("$q"), ["x"]);
    });
}

#[test]
fn a_consumer_is_told_when_its_queue_goes() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        let mut other = t.client();
        other.ask("queue.delete queue=$q", "queue.delete-ok");
        c.hear("basic.cancel consumer_tag=c nowait=1");
        c.silent();
    });
}

#[test]
fn a_client_may_answer_that_it_knows() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        let mut other = t.client();
        other.ask("queue.delete queue=$q", "queue.delete-ok");
        c.hear("basic.cancel consumer_tag=c nowait=1");
        c.say("basic.cancel-ok consumer_tag=c");
        c.silent();
    });
}

#[test]
fn a_client_without_the_capability_is_not_told() {
    conform(|t| {
        let mut c = t.start();
        c.say("0 connection.start-ok mechanism=PLAIN response=\"\\0guest\\0guest\" locale=en_US");
        c.hear("0 connection.tune");
        c.say("0 connection.tune-ok channel_max=2047 frame_max=131072");
        c.ask("0 connection.open virtual_host=/", "0 connection.open-ok");
        c.open_channel(1);
        c.declare("queue=$q");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        c.ask("queue.delete queue=$q", "queue.delete-ok");
        c.silent();
    });
}

#[test]
fn round_robin_between_consumers() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for tag in ["a", "b", "c"] {
            c.ask(&format!("basic.consume queue=$q consumer_tag={tag} no_ack"), "basic.consume-ok");
        }
        for _ in 0..9 {
            c.publish("routing_key=$q", "x");
        }
        let mut tags: Vec<_> = (0..9).map(|_| c.hear("basic.deliver").field("consumer_tag").str()).collect();
        tags.sort();
        assert_eq!(tags.concat(), "aaabbbccc");
    });
}

#[test]
fn consumer_priority_first_the_higher_while_it_can_take() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.qos prefetch_count=2", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=low", "basic.consume-ok");
        c.ask("basic.consume queue=$q consumer_tag=high arguments={x-priority:10}", "basic.consume-ok");
        for tag in ["high", "high", "low", "low"] {
            c.publish("routing_key=$q", "x");
            c.hear(&format!("basic.deliver consumer_tag={tag}"));
        }
    });
}

#[test]
fn no_local_is_ignored() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("basic.consume queue=$q consumer_tag=c no_local no_ack", "basic.consume-ok");
        c.publish("routing_key=$q", "mine");
        assert_eq!(c.hear("basic.deliver consumer_tag=c").text(), "mine");
    });
}

/// Others publish throughout, and each publish serves the new consumer.
#[test]
fn consume_ok_comes_before_the_first_delivery() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q arguments={x-max-length:10}");
        let ended = AtomicBool::new(false);
        let (publishers, ended) = ([t.client(), t.client(), t.client()], &ended);
        thread::scope(|scope| {
            for mut publisher in publishers {
                scope.spawn(move || {
                    publisher.confirms();
                    while !ended.load(Ordering::Relaxed) {
                        publisher.publish_confirmed("routing_key=$q", "", "x");
                    }
                });
            }
            let early = (0..300).find(|_| {
                c.say("basic.consume queue=$q consumer_tag=c no_ack");
                let early = c.next_frame().is_none_or(|first| !first.payload.starts_with(&[0, 60, 0, 21]));
                c.say("basic.cancel consumer_tag=c");
                while c.next_frame().is_some_and(|frame| !frame.payload.starts_with(&[0, 60, 0, 31])) {}
                early
            });
            ended.store(true, Ordering::Relaxed);
            assert_eq!(early, None, "a delivery came before consume-ok");
        });
        c.delete("$q");
    });
}
