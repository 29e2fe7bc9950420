//! Deduplication on queues and exchanges.

use super::conform;

#[test]
fn a_queue_takes_each_id_once() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-message-deduplication:true,x-cache-size:100}");
        for (id, body) in [("1", "a"), ("2", "b"), ("1", "again")] {
            c.publish_with("routing_key=$q", &format!("headers={{x-deduplication-header:id{id}}}"), body);
        }
        c.publish("routing_key=$q", "no id");
        c.publish("routing_key=$q", "no id");
        assert_eq!(c.drain("$q"), ["a", "b", "no id", "no id"]);
    });
}

#[test]
fn an_exchange_takes_each_id_once() {
    conform(|t| {
        let mut c = t.client();
        c.ask(
            "exchange.declare exchange=$x type=fanout auto_delete arguments={x-message-deduplication:true,x-cache-size:100}",
            "exchange.declare-ok",
        );
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$x", "queue.bind-ok");
        for body in ["a", "again"] {
            c.publish_with("exchange=$x", "headers={x-deduplication-header:id}", body);
        }
        assert_eq!(c.drain("$q"), ["a"]);
    });
}
