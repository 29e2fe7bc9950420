//! Alternate exchanges.

use super::conform;

#[test]
fn what_finds_no_queue_goes_to_the_alternate() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$ae type=fanout auto_delete", "exchange.declare-ok");
        c.ask(
            "exchange.declare exchange=$x type=direct auto_delete arguments={alternate-exchange:$ae}",
            "exchange.declare-ok",
        );
        c.declare("queue=$q exclusive");
        c.declare("queue=$rest exclusive");
        c.ask("queue.bind queue=$q exchange=$x routing_key=k", "queue.bind-ok");
        c.ask("queue.bind queue=$rest exchange=$ae", "queue.bind-ok");
        c.publish("exchange=$x routing_key=k mandatory", "known");
        c.publish("exchange=$x routing_key=other mandatory", "unknown");
        c.silent_after("$rest");
        assert_eq!(c.drain("$q"), ["known"]);
        let got = c.ask("basic.get queue=$rest no_ack", "basic.get-ok exchange=$x routing_key=other");
        assert_eq!(got.text(), "unknown");
    });
}

#[test]
fn alternates_form_a_chain_and_a_loop_ends() {
    conform(|t| {
        let mut c = t.client();
        for (name, next) in [("$a", "$b"), ("$b", "$c"), ("$c", "$a")] {
            c.ask(
                &format!(
                    "exchange.declare exchange={name} type=direct arguments={{alternate-exchange:{next}}}"
                ),
                "exchange.declare-ok",
            );
        }
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$c routing_key=k", "queue.bind-ok");
        c.publish("exchange=$a routing_key=k", "x");
        c.publish("exchange=$a routing_key=none mandatory", "y");
        c.hear("basic.return reply_code=312 exchange=$a routing_key=none");
        assert_eq!(c.drain("$q"), ["x"]);
        for name in ["$a", "$b", "$c"] {
            c.ask(&format!("exchange.delete exchange={name}"), "exchange.delete-ok");
        }
    });
}

#[test]
fn a_missing_alternate_is_ignored() {
    conform(|t| {
        let mut c = t.client();
        c.ask(
            "exchange.declare exchange=$x type=direct arguments={alternate-exchange:$none}",
            "exchange.declare-ok",
        );
        c.publish("exchange=$x mandatory", "x");
        c.hear("basic.return reply_code=312");
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn it_must_be_a_string() {
    conform(|t| {
        let mut c = t.client();
        c.say("exchange.declare exchange=$x type=direct arguments={alternate-exchange:5}");
        c.channel_closes(406, "exchange.declare", "alternate-exchange");
    });
}
