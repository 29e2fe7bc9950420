//! Redeclaring existing objects: which properties must be equal, and which are ignored.

use super::conform;

#[test]
fn queue_redeclared_with_another_field() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        for (args, words) in [
            (
                "durable",
                "PRECONDITION_FAILED - inequivalent arg 'durable' for queue '$q' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                "auto_delete",
                "inequivalent arg 'auto_delete' for queue '$q' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                "arguments={x-message-ttl:5000}",
                "inequivalent arg 'x-message-ttl' for queue '$q' in vhost '/': received the value '5000' of type 'signedint' but current is none",
            ),
        ] {
            c.say(&format!("queue.declare queue=$q {args}"));
            c.channel_closes(406, "queue.declare", words);
            c.open_channel(1);
        }
        c.ask("queue.delete queue=$q", "queue.delete-ok");
    });
}

#[test]
fn queue_argument_missing_the_second_time() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:5}");
        c.say("queue.declare queue=$q exclusive");
        c.channel_closes(
            406,
            "queue.declare",
            "inequivalent arg 'x-max-length' for queue '$q' in vhost '/': received none but current is the value '5' of type 'signedint'",
        );
    });
}

#[test]
fn queue_arguments_are_compared_by_value_whatever_the_integers_width() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-max-length:5,x-dead-letter-exchange:a}");
        for width in ["b", "B", "s", "u", "i", "l"] {
            c.declare(&format!(
                "queue=$q exclusive arguments={{x-dead-letter-exchange:a,x-max-length:5{width}}}"
            ));
        }
        c.say("queue.declare queue=$q exclusive arguments={x-max-length:6,x-dead-letter-exchange:a}");
        c.channel_closes(406, "queue.declare", "inequivalent arg 'x-max-length'");
    });
}

#[test]
fn unknown_queue_arguments_are_accepted_and_not_compared() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-foo:1,my-own:{a:[1,void,2.5]}}");
        c.declare("queue=$q exclusive arguments={x-foo:other}");
        c.declare("queue=$q exclusive");
    });
}

#[test]
fn classic_is_the_same_as_no_queue_type() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.declare("queue=$q exclusive arguments={x-queue-type:classic}");
        c.declare("queue=$r exclusive arguments={x-queue-type:classic}");
        c.declare("queue=$r exclusive");
    });
}

#[test]
fn exclusive_differs_is_a_locked_resource() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        c.say("queue.declare queue=$q exclusive");
        c.channel_closes(405, "queue.declare", "RESOURCE_LOCKED");
        c.open_channel(1);
        c.ask("queue.delete queue=$q", "queue.delete-ok");
    });
}

#[test]
fn an_exclusive_queue_matches_durable_or_not() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive durable");
        c.declare("queue=$q exclusive");
        c.declare("queue=$q exclusive durable");
    });
}

#[test]
fn exchange_redeclared_with_another_field() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=direct", "exchange.declare-ok");
        for (args, words) in [
            (
                "type=fanout",
                "inequivalent arg 'type' for exchange '$x' in vhost '/': received 'fanout' but current is 'direct'",
            ),
            (
                "type=direct durable",
                "inequivalent arg 'durable' for exchange '$x' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                "type=direct auto_delete",
                "inequivalent arg 'auto_delete' for exchange '$x' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                "type=direct internal",
                "inequivalent arg 'internal' for exchange '$x' in vhost '/': received 'true' but current is 'false'",
            ),
            (
                "type=direct arguments={alternate-exchange:amq.fanout}",
                "inequivalent arg 'alternate-exchange' for exchange '$x' in vhost '/': received the value 'amq.fanout' of type 'longstr' but current is none",
            ),
        ] {
            c.say(&format!("exchange.declare exchange=$x {args}"));
            c.channel_closes(406, "exchange.declare", words);
            c.open_channel(1);
        }
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn other_exchange_arguments_are_not_compared() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=direct arguments={a:1}", "exchange.declare-ok");
        c.ask("exchange.declare exchange=$x type=direct arguments={b:2}", "exchange.declare-ok");
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn passive_queue_declare_looks_at_the_name_only_and_counts() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        c.publish("routing_key=$q", "1");
        c.publish("routing_key=$q", "2");
        c.ask("basic.consume queue=$other_no no_ack", "channel.close reply_code=404");
        c.say("channel.close-ok");
        c.open_channel(1);
        let ok = c.ask(
            "queue.declare queue=$q passive durable auto_delete arguments={x-max-length:9}",
            "queue.declare-ok queue=$q message_count=2 consumer_count=0",
        );
        assert_eq!(ok.field("queue").str(), c.expand("$q"));
        c.ask("queue.delete queue=$q", "queue.delete-ok message_count=2");
    });
}

#[test]
fn passive_exchange_declare_looks_at_the_name_only() {
    conform(|t| {
        let mut c = t.client();
        c.ask(
            "exchange.declare exchange=amq.direct type=fanout passive auto_delete internal",
            "exchange.declare-ok",
        );
    });
}

#[test]
fn nowait_is_silent_when_it_works_and_closes_the_channel_when_not() {
    conform(|t| {
        let mut c = t.client();
        c.say("exchange.declare exchange=$x type=fanout nowait auto_delete");
        c.say("queue.declare queue=$q exclusive nowait");
        c.say("queue.bind queue=$q exchange=$x nowait");
        c.say("queue.declare queue=$q passive nowait");
        c.say("basic.consume queue=$q consumer_tag=c nowait");
        c.publish("exchange=$x", "hello");
        c.hear("basic.deliver consumer_tag=c delivery_tag=1");
        c.say("basic.cancel consumer_tag=c nowait");
        c.say("queue.purge queue=$q nowait");
        c.say("queue.delete queue=$q nowait");
        c.say("exchange.delete exchange=$x nowait");
        c.silent();
        c.say("queue.declare queue=$q passive nowait");
        c.channel_closes(404, "queue.declare", "$q");
    });
}
