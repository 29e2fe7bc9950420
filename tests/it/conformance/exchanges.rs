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
fn a_queue_whose_messages_are_all_out_is_empty() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        for body in ["a", "b"] {
            c.publish("routing_key=$q", body);
        }
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.ask("queue.delete queue=$q if_empty if_unused", "queue.delete-ok message_count=0");
        // Outstanding deliveries can still be acknowledged; requeued ones are dropped.
        c.say("basic.ack delivery_tag=1");
        c.say("basic.nack delivery_tag=2 requeue");
        c.silent();
        c.say("queue.declare queue=$q passive");
        c.channel_closes(404, "queue.declare", "$q");
    });
}

#[test]
fn only_ready_messages_are_told_of_a_deleted_queue() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q");
        for body in ["a", "b", "c"] {
            c.publish("routing_key=$q", body);
        }
        c.ask("basic.get queue=$q", "basic.get-ok");
        c.ask("queue.delete queue=$q", "queue.delete-ok message_count=2");
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

#[test]
fn an_exchange_for_federation_sends_on_what_has_not_come_far() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask(
            "exchange.declare exchange=$f type=x-federation-upstream auto_delete \
             arguments={x-max-hops:2l,x-downstream-name:down,x-downstream-vhost:v}",
            "exchange.declare-ok",
        );
        c.ask("queue.bind queue=$q exchange=$f", "queue.bind-ok");
        for (body, hops) in [
            ("fresh", ""),
            ("near", "{cluster-name:a,vhost:v}"),
            ("far", "{cluster-name:a,vhost:v},{cluster-name:b,vhost:v}"),
            ("back", "{cluster-name:down,vhost:v}"),
            ("beside", "{cluster-name:down,vhost:other}"),
        ] {
            c.publish_with("exchange=$f", &format!("headers={{x-received-from:[{hops}]}}"), body);
        }
        c.publish("exchange=$f", "plain");
        assert_eq!(c.drain("$q"), ["fresh", "near", "beside", "plain"]);
    });
}
