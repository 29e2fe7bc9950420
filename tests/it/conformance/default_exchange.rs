//! The default exchange, the predeclared ones, and reserved names.

use super::conform;

#[test]
fn every_queue_is_bound_to_the_default_exchange_by_its_name() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q", "hello");
        let message = c.take("$q");
        assert_eq!(message.field("exchange").str(), "");
        assert_eq!(message.field("routing_key").str(), c.expand("$q"));
    });
}

#[test]
fn default_exchange_with_an_unknown_key_is_unroutable_not_missing() {
    conform(|t| {
        let mut c = t.client();
        c.publish("routing_key=$gone", "x");
        c.silent();
    });
}

#[test]
fn the_default_exchange_is_not_for_declaring_deleting_or_binding() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for line in [
            "exchange.declare type=direct durable",
            "exchange.declare type=direct passive",
            "exchange.delete",
            "queue.bind queue=$q",
            "queue.unbind queue=$q",
            "exchange.bind destination=amq.topic",
            "exchange.bind source=amq.topic",
            "exchange.unbind destination=amq.topic",
        ] {
            c.say(line);
            let method = line.split(' ').next().expect("a name");
            c.channel_closes(403, method, "operation not permitted on the default exchange");
            c.open_channel(1);
        }
    });
}

#[test]
fn nothing_with_the_prefix_amq_is_deleted_even_if_it_is_not_there() {
    conform(|t| {
        let mut c = t.client();
        c.say("exchange.delete exchange=amq.$new");
        let text = "deletion of system exchange 'amq.$new' in vhost '/' not allowed";
        c.channel_closes(403, "exchange.delete", text);
    });
}

#[test]
fn new_names_with_the_prefix_amq_are_refused() {
    conform(|t| {
        let mut c = t.client();
        c.say("exchange.declare exchange=amq.$x type=direct");
        c.channel_closes(403, "exchange.declare", "exchange name 'amq.$x' contains reserved prefix 'amq.*'");
        c.open_channel(1);
        c.say("queue.declare queue=amq.$q");
        c.channel_closes(403, "queue.declare", "queue name 'amq.$q' contains reserved prefix 'amq.*'");
    });
}

#[test]
fn predeclared_exchanges_are_there_and_may_be_redeclared_as_they_are() {
    conform(|t| {
        let mut c = t.client();
        for (name, kind) in [
            ("direct", "direct"),
            ("fanout", "fanout"),
            ("topic", "topic"),
            ("headers", "headers"),
            ("match", "headers"),
        ] {
            c.ask(
                &format!("exchange.declare exchange=amq.{name} type={kind} durable"),
                "exchange.declare-ok",
            );
            c.ask(&format!("exchange.declare exchange=amq.{name} type=any passive"), "exchange.declare-ok");
        }
        c.ask(
            "exchange.declare exchange=amq.rabbitmq.trace type=topic durable internal",
            "exchange.declare-ok",
        );
    });
}

#[test]
fn an_existing_amq_queue_may_be_looked_at_but_not_declared_again() {
    conform(|t| {
        let mut c = t.client();
        let name = c.declare("exclusive");
        assert!(name.starts_with("amq.gen-") && name.len() == 30, "{name}");
        c.ask(&format!("queue.declare queue={name} passive"), "queue.declare-ok message_count=0");
        c.say(&format!("queue.declare queue={name} exclusive"));
        c.channel_closes(403, "queue.declare", "reserved prefix 'amq.*'");
    });
}

#[test]
fn predeclared_exchanges_cannot_be_deleted() {
    conform(|t| {
        let mut c = t.client();
        for name in ["direct", "fanout", "topic", "headers", "match", "rabbitmq.trace"] {
            c.say(&format!("exchange.delete exchange=amq.{name}"));
            c.channel_closes(
                403,
                "exchange.delete",
                &format!("deletion of system exchange 'amq.{name}' in vhost '/' not allowed"),
            );
            c.open_channel(1);
        }
    });
}

#[test]
fn line_breaks_are_taken_out_of_names() {
    conform(|t| {
        let mut c = t.client();
        assert_eq!(c.declare("queue=\"$q\\r\\n\" exclusive"), c.expand("$q"));
        c.ask("exchange.declare exchange=\"$x\\n\" type=fanout auto_delete", "exchange.declare-ok");
        c.ask("exchange.declare exchange=$x type=fanout passive", "exchange.declare-ok");
        for method in ["exchange.bind", "exchange.unbind"] {
            let line = format!("{method} destination=\"$x\\n\" source=\"amq.\\rtopic\"");
            c.ask(&line, &format!("{method}-ok"));
        }
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn names_may_be_255_octets_long() {
    conform(|t| {
        let mut c = t.client();
        let name = format!("{:x<255}", c.expand("$"));
        assert_eq!(c.declare(&format!("queue={name} exclusive")), name);
        c.publish(&format!("routing_key={name}"), "hello");
        assert_eq!(c.drain(&name), ["hello"]);
    });
}
