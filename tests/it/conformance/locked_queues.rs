//! Exclusive queues, seen from another connection.

use super::conform;

#[test]
fn every_operation_of_another_connection_is_refused() {
    conform(|t| {
        let mut owner = t.client();
        owner.declare("queue=$q exclusive");
        let mut c = t.client();
        for line in [
            "queue.declare queue=$q passive",
            "queue.declare queue=$q exclusive",
            "queue.declare queue=$q",
            "queue.bind queue=$q exchange=amq.topic",
            "queue.purge queue=$q",
            "queue.delete queue=$q",
            "basic.get queue=$q",
            "basic.consume queue=$q",
        ] {
            c.say(line);
            let method = line.split(' ').next().expect("a name");
            c.channel_closes(
                405,
                method,
                "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '$q' in vhost '/'",
            );
            c.open_channel(1);
        }
    });
}

#[test]
fn a_binding_that_it_has_cannot_be_taken_away_and_one_that_it_has_not_is_gone_already() {
    conform(|t| {
        let mut owner = t.client();
        owner.declare("queue=$q exclusive");
        owner.ask("queue.bind queue=$q exchange=amq.topic routing_key=k", "queue.bind-ok");
        let mut c = t.client();
        c.ask("queue.unbind queue=$q exchange=amq.topic routing_key=other", "queue.unbind-ok");
        c.say("queue.unbind queue=$q exchange=amq.topic routing_key=k");
        c.channel_closes(405, "queue.unbind", "cannot obtain exclusive access to locked queue '$q'");
    });
}

#[test]
fn another_connection_may_publish_to_it() {
    conform(|t| {
        let mut owner = t.client();
        owner.declare("queue=$q exclusive");
        let mut c = t.client();
        c.confirms();
        c.publish_confirmed("routing_key=$q", "", "hello");
        assert_eq!(owner.drain("$q"), ["hello"]);
    });
}

#[test]
fn all_channels_of_the_owner_may_use_it() {
    conform(|t| {
        let mut owner = t.client();
        owner.declare("queue=$q exclusive");
        owner.open_channel(2);
        owner.ask("2 queue.purge queue=$q", "2 queue.purge-ok");
        owner.ask("1 channel.close reply_code=200", "1 channel.close-ok");
        owner.ask("2 queue.declare queue=$q exclusive", "2 queue.declare-ok");
    });
}

#[test]
fn it_is_gone_before_connection_close_is_answered() {
    conform(|t| {
        let mut owner = t.client();
        owner.declare("queue=$q exclusive");
        owner.close();
        let mut c = t.client();
        c.say("queue.declare queue=$q passive");
        c.channel_closes(404, "queue.declare", "$q");
    });
}

#[test]
fn it_goes_when_the_connection_is_lost() {
    conform(|t| {
        let mut owner = t.client();
        owner.declare("queue=$q exclusive");
        drop(owner);
        let mut c = t.client();
        crate::wait::until("the queue is gone", || {
            c.say("queue.declare queue=$q passive");
            let answer = c.next();
            assert_eq!(answer.spec.name, "channel.close");
            c.say("channel.close-ok");
            c.open_channel(1);
            answer.field("reply_code").int() == 404
        });
    });
}
