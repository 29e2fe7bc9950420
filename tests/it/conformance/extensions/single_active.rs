//! Single active consumer.

use super::conform;

#[test]
fn only_the_first_consumer_gets_messages_until_it_goes() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-single-active-consumer:true}");
        for tag in ["a", "b", "c"] {
            c.ask(&format!("basic.consume queue=$q consumer_tag={tag}"), "basic.consume-ok");
        }
        for n in 1..=3 {
            c.publish("routing_key=$q", n.to_string());
            c.hear(&format!("basic.deliver consumer_tag=a delivery_tag={n}"));
        }
        c.ask("basic.cancel consumer_tag=a", "basic.cancel-ok");
        c.publish("routing_key=$q", "4");
        c.hear("basic.deliver consumer_tag=b delivery_tag=4");
    });
}

#[test]
fn exclusive_consume_is_refused() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-single-active-consumer:true}");
        c.say("basic.consume queue=$q exclusive");
        c.channel_closes(403, "basic.consume", "queue '$q' in vhost '/' in exclusive use");
    });
}

#[test]
fn the_next_one_is_the_one_of_highest_priority() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive arguments={x-single-active-consumer:true}");
        for (tag, priority) in [("a", 0), ("b", 1), ("c", 5)] {
            c.ask(
                &format!("basic.consume queue=$q consumer_tag={tag} arguments={{x-priority:{priority}}}"),
                "basic.consume-ok",
            );
        }
        c.ask("basic.cancel consumer_tag=a", "basic.cancel-ok");
        c.publish("routing_key=$q", "x");
        c.hear("basic.deliver consumer_tag=c");
    });
}

#[test]
fn it_goes_over_when_the_active_ones_connection_is_lost() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q arguments={x-single-active-consumer:true}");
        let mut first = t.client();
        first.ask("basic.consume queue=$q consumer_tag=first", "basic.consume-ok");
        c.ask("basic.consume queue=$q consumer_tag=second", "basic.consume-ok");
        c.publish("routing_key=$q", "x");
        first.hear("basic.deliver consumer_tag=first redelivered=0");
        drop(first);
        c.hear("basic.deliver consumer_tag=second redelivered=1");
        c.delete("$q");
    });
}
