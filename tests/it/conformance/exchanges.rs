//! Declaring and deleting exchanges.

use super::conform;

#[test]
fn unknown_exchange_type() {
    conform(|t| {
        let mut c = t.client();
        c.say("exchange.declare exchange=$x type=$new");
        c.channel_closes(406, "exchange.declare", "unknown exchange type '$new'");
    });
}

#[test]
fn if_unused_with_bindings() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout", "exchange.declare-ok");
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$x", "queue.bind-ok");
        c.say("exchange.delete exchange=$x if_unused");
        c.channel_closes(406, "exchange.delete", "PRECONDITION_FAILED - exchange '$x' in vhost '/' in use");
        c.open_channel(1);
        c.ask("queue.unbind queue=$q exchange=$x", "queue.unbind-ok");
        c.ask("exchange.delete exchange=$x if_unused", "exchange.delete-ok");
    });
}

#[test]
fn a_deleted_exchange_is_gone_with_its_bindings() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout", "exchange.declare-ok");
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$x", "queue.bind-ok");
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
        c.ask("exchange.declare exchange=$x type=fanout", "exchange.declare-ok");
        c.publish("exchange=$x mandatory", "x");
        c.hear("basic.return reply_code=312");
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn queue_if_unused_and_if_empty() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        c.publish("routing_key=$q", "x");
        c.say("queue.delete queue=$q if_empty");
        c.channel_closes(406, "queue.delete", "PRECONDITION_FAILED - queue '$q' in vhost '/' not empty");
        c.open_channel(1);
        c.ask("basic.consume queue=$q consumer_tag=c no_ack", "basic.consume-ok");
        c.hear("basic.deliver");
        c.say("queue.delete queue=$q if_unused");
        c.channel_closes(406, "queue.delete", "PRECONDITION_FAILED - queue '$q' in vhost '/' in use");
        c.open_channel(1);
        c.ask("queue.delete queue=$q if_unused if_empty", "queue.delete-ok message_count=0");
    });
}

#[test]
fn queue_delete_counts_what_it_throws_away() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        for _ in 0..3 {
            c.publish("routing_key=$q", "x");
        }
        c.ask("queue.delete queue=$q", "queue.delete-ok message_count=3");
        c.say("queue.declare queue=$q passive");
        c.channel_closes(404, "queue.declare", "$q");
    });
}
