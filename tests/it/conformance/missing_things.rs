//! Operations on missing objects: which are errors, and which are not.

use super::conform;

#[test]
fn missing_queue_is_not_found() {
    conform(|t| {
        let mut c = t.client();
        for method in ["queue.declare", "queue.purge", "basic.get", "basic.consume", "queue.bind"] {
            c.say(&match method {
                "queue.declare" => format!("{method} queue=$gone passive"),
                "queue.bind" => format!("{method} queue=$gone exchange=amq.topic"),
                _ => format!("{method} queue=$gone"),
            });
            c.channel_closes(404, method, "NOT_FOUND - no queue '$gone' in vhost '/'");
            c.open_channel(1);
        }
    });
}

#[test]
fn missing_exchange_is_not_found() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for line in [
            "exchange.declare exchange=$gone type=direct passive",
            "queue.bind queue=$q exchange=$gone",
            "exchange.bind destination=$gone source=amq.topic",
            "exchange.bind destination=amq.topic source=$gone",
            // If both are missing, the source is named.
            "queue.bind queue=$new exchange=$gone",
            "exchange.bind destination=$new source=$gone",
        ] {
            c.say(line);
            let method = line.split(' ').next().expect("a name");
            c.channel_closes(404, method, "NOT_FOUND - no exchange '$gone' in vhost '/'");
            c.open_channel(1);
        }
    });
}

#[test]
fn publish_to_a_missing_exchange_closes_the_channel() {
    conform(|t| {
        let mut c = t.client();
        c.publish("exchange=$gone routing_key=a", "x");
        c.channel_closes(404, "basic.publish", "NOT_FOUND - no exchange '$gone' in vhost '/'");
    });
}

#[test]
fn delete_of_a_missing_exchange_is_fine() {
    conform(|t| {
        t.client().ask("exchange.delete exchange=$gone", "exchange.delete-ok");
    });
}

#[test]
fn delete_of_a_missing_queue_is_fine() {
    conform(|t| {
        t.client().ask("queue.delete queue=$gone", "queue.delete-ok message_count=0");
    });
}

#[test]
fn unbind_of_what_is_not_there_is_fine() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for line in [
            "queue.unbind queue=$q exchange=amq.topic routing_key=never",
            "queue.unbind queue=$gone exchange=amq.topic",
            "queue.unbind queue=$q exchange=$gone",
        ] {
            c.ask(line, "queue.unbind-ok");
        }
        for line in [
            "exchange.unbind destination=amq.direct source=amq.topic routing_key=never",
            "exchange.unbind destination=$gone source=amq.topic",
            "exchange.unbind destination=amq.topic source=$gone",
        ] {
            c.ask(line, "exchange.unbind-ok");
        }
    });
}

#[test]
fn cancel_of_an_unknown_consumer_is_fine() {
    conform(|t| {
        t.client().ask("basic.cancel consumer_tag=nobody", "basic.cancel-ok consumer_tag=nobody");
    });
}

#[test]
fn empty_queue_name_without_a_declared_queue() {
    conform(|t| {
        let mut c = t.client();
        for line in [
            "queue.bind exchange=amq.topic",
            "queue.unbind exchange=amq.topic",
            "queue.purge",
            "queue.delete",
            "basic.get",
            "basic.consume",
        ] {
            c.say(line);
            let method = line.split(' ').next().expect("a name");
            c.channel_closes(404, method, "no previously declared queue");
            c.open_channel(1);
        }
    });
}

#[test]
fn empty_queue_name_means_the_last_one_declared() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$other exclusive");
        c.declare("queue=$q exclusive");
        c.ask("queue.bind exchange=amq.direct", "queue.bind-ok");
        c.publish("exchange=amq.direct routing_key=$q", "by its name");
        c.ask("basic.get no_ack", "basic.get-ok");
        c.ask("queue.declare queue=$other passive", "queue.declare-ok");
        c.ask("queue.purge", "queue.purge-ok");
        c.ask("basic.consume consumer_tag=c", "basic.consume-ok");
        assert_eq!(c.counts("$other"), (0, 1));
        c.delete("");
        let mut other = t.client();
        other.say("queue.declare queue=$other passive");
        other.channel_closes(404, "queue.declare", "$other");
    });
}

#[test]
fn bind_with_an_empty_queue_and_a_key_uses_that_key() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("queue.bind exchange=amq.direct routing_key=$k", "queue.bind-ok");
        c.publish("exchange=amq.direct routing_key=$q", "not bound");
        c.publish("exchange=amq.direct routing_key=$k", "bound");
        assert_eq!(c.drain("$q"), ["bound"]);
    });
}
