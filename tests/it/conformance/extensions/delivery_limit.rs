//! Delivery limits on any queue, and the quorum queue type.

use super::conform;

#[test]
fn a_classic_queue_counts_deliveries_and_gives_up() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$dead exclusive");
        c.declare(
            "queue=$q exclusive arguments={x-delivery-limit:2,x-dead-letter-exchange:\"\",x-dead-letter-routing-key:$dead}",
        );
        c.publish("routing_key=$q", "x");
        for tag in 1..=3 {
            let got = c.ask("basic.get queue=$q", &format!("basic.get-ok delivery_tag={tag}"));
            let count = got.header("x-delivery-count").map(crate::raw::value::Value::int);
            assert_eq!(count, (tag > 1).then_some(tag - 1));
            c.say(&format!("basic.reject delivery_tag={tag} requeue"));
        }
        c.wait_ready("$dead", 1);
        let dead = c.take("$dead");
        assert_eq!(dead.header("x-first-death-reason").expect("reason").str(), "delivery_limit");
    });
}

#[test]
fn a_quorum_queue_is_durable_and_neither_exclusive_nor_nameless() {
    conform(|t| {
        let mut c = t.client();
        for args in
            ["queue=$q", "queue=$q durable exclusive", "queue=$q durable auto_delete", "queue= durable"]
        {
            c.say(&format!("queue.declare {args} arguments={{x-queue-type:quorum}}").replace("queue= ", ""));
            c.channel_closes(406, "queue.declare", "");
            c.open_channel(1);
        }
    });
}

#[test]
fn a_quorum_queue_counts_and_gives_up() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q durable arguments={x-queue-type:quorum,x-delivery-limit:1}");
        c.confirms();
        c.publish_confirmed("routing_key=$q", "delivery_mode=2", "x");
        c.ask("basic.qos prefetch_count=1", "basic.qos-ok");
        c.ask("basic.consume queue=$q consumer_tag=c", "basic.consume-ok");
        c.hear("basic.deliver delivery_tag=1");
        c.say("basic.reject delivery_tag=1 requeue");
        let again = c.hear("basic.deliver delivery_tag=2 redelivered=1");
        assert_eq!(again.header("x-delivery-count").expect("count").int(), 1);
        c.say("basic.reject delivery_tag=2 requeue");
        c.wait_ready("$q", 0);
        c.delete("$q");
    });
}

#[test]
fn streams_are_refused_in_words() {
    conform(|t| {
        let mut c = t.client();
        c.say("queue.declare queue=$q durable arguments={x-queue-type:stream}");
        c.channel_closes(406, "queue.declare", "stream");
    });
}
