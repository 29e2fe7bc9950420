//! Exchange-to-exchange bindings.

use super::conform;

#[test]
fn a_message_passes_from_exchange_to_exchange() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$in type=topic", "exchange.declare-ok");
        c.ask("exchange.declare exchange=$out type=fanout internal", "exchange.declare-ok");
        c.ask("exchange.bind destination=$out source=$in routing_key=a.#", "exchange.bind-ok");
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$out", "queue.bind-ok");
        c.publish("exchange=$in routing_key=a.b", "yes");
        c.publish("exchange=$in routing_key=b.a", "no");
        let got =
            c.ask("basic.get queue=$q no_ack", "basic.get-ok exchange=$in routing_key=a.b message_count=0");
        assert_eq!(got.text(), "yes");
        c.ask("exchange.unbind destination=$out source=$in routing_key=a.#", "exchange.unbind-ok");
        c.publish("exchange=$in routing_key=a.b", "gone");
        assert_eq!(c.counts("$q").0, 0);
        for x in ["$in", "$out"] {
            c.ask(&format!("exchange.delete exchange={x}"), "exchange.delete-ok");
        }
    });
}

#[test]
fn loops_end_and_a_queue_gets_one_copy() {
    conform(|t| {
        let mut c = t.client();
        for x in ["$a", "$b", "$c"] {
            c.ask(&format!("exchange.declare exchange={x} type=fanout"), "exchange.declare-ok");
        }
        for (from, to) in [("$a", "$b"), ("$b", "$c"), ("$c", "$a"), ("$a", "$c"), ("$a", "$a")] {
            c.ask(&format!("exchange.bind destination={to} source={from}"), "exchange.bind-ok");
        }
        c.declare("queue=$q exclusive");
        for x in ["$a", "$b", "$c"] {
            c.ask(&format!("queue.bind queue=$q exchange={x}"), "queue.bind-ok");
        }
        c.publish("exchange=$a", "x");
        assert_eq!(c.drain("$q"), ["x"]);
        for x in ["$a", "$b", "$c"] {
            c.ask(&format!("exchange.delete exchange={x}"), "exchange.delete-ok");
        }
    });
}

#[test]
fn deleting_the_destination_removes_the_binding() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$in type=fanout auto_delete", "exchange.declare-ok");
        c.ask("exchange.declare exchange=$out type=fanout", "exchange.declare-ok");
        c.ask("exchange.bind destination=$out source=$in", "exchange.bind-ok");
        c.ask("exchange.delete exchange=$out", "exchange.delete-ok");
        c.say("exchange.declare exchange=$in type=fanout passive");
        c.channel_closes(404, "exchange.declare", "$in");
    });
}
