//! Binds without waiting for answers, sent in one batch: in order, with their errors, and visible to the methods that
//! follow.

use super::conform;

#[test]
fn what_comes_behind_many_binds_without_an_answer_sees_them_all() {
    conform(|s| {
        let mut c = s.client();
        c.declare("queue=$many");
        let mut bytes = Vec::new();
        for n in 0..3000 {
            bytes.extend(c.method_bytes(&format!(
                "queue.bind queue=$many exchange=amq.direct routing_key=$k{n} nowait"
            )));
        }
        bytes.extend(c.publish_bytes(1, "exchange=amq.direct routing_key=$k2999 mandatory", "", b"x"));
        // Not the queue's count: RabbitMQ reports it before messages in transit arrive.
        bytes.extend(c.method_bytes("basic.get queue=$many no_ack"));
        c.bytes(&bytes);
        c.hear("basic.get-ok routing_key=$k2999");
        c.delete("$many");
    });
}

#[test]
fn a_bind_that_is_refused_in_between_closes_the_channel_and_those_before_it_are_made() {
    conform(|s| {
        let mut c = s.client();
        c.declare("queue=$some");
        let mut bytes = Vec::new();
        for exchange in ["amq.direct", "amq.direct", "$none", "amq.topic"] {
            bytes.extend(
                c.method_bytes(&format!("queue.bind queue=$some exchange={exchange} routing_key=$k nowait")),
            );
        }
        c.bytes(&bytes);
        c.channel_closes(404, "queue.bind", "no exchange");
        c.open_channel(1);
        c.publish("exchange=amq.direct routing_key=$k", "made");
        c.publish("exchange=amq.topic routing_key=$k", "not made");
        assert_eq!(c.drain("$some"), ["made"]);
        c.delete("$some");
    });
}

#[test]
fn binds_of_exchanges_and_of_queues_without_an_answer_are_made_in_their_order() {
    conform(|s| {
        let mut c = s.client();
        c.declare("queue=$mixed");
        c.ask("exchange.declare exchange=$x type=fanout durable", "exchange.declare-ok");
        let mut bytes = Vec::new();
        for n in 0..50 {
            bytes.extend(c.method_bytes(&format!(
                "exchange.bind destination=$x source=amq.direct routing_key=$m{n} nowait"
            )));
        }
        bytes.extend(c.method_bytes("queue.bind queue=$mixed exchange=$x nowait"));
        bytes.extend(c.publish_bytes(1, "exchange=amq.direct routing_key=$m49 mandatory", "", b"x"));
        for source in ["amq.direct", "$none", "amq.topic"] {
            bytes.extend(c.method_bytes(&format!(
                "exchange.bind destination=$x source={source} routing_key=$n nowait"
            )));
        }
        c.bytes(&bytes);
        c.channel_closes(404, "exchange.bind", "no exchange");
        c.open_channel(1);
        c.publish("exchange=amq.direct routing_key=$n", "y");
        c.publish("exchange=amq.topic routing_key=$n", "not made");
        assert_eq!(c.drain("$mixed"), ["x", "y"]);
        c.delete("$mixed");
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn declarations_and_deletions_in_one_go_are_answered_in_their_order() {
    conform(|s| {
        let mut c = s.client();
        let mut bytes = Vec::new();
        let quiet = |n: i32| if n % 3 == 0 { "nowait" } else { "" };
        for n in 0..300 {
            bytes.extend(c.method_bytes(&format!("queue.declare queue=$row{n} {}", quiet(n))));
        }
        bytes.extend(c.method_bytes("queue.declare queue=$row7"));
        for n in 0..300 {
            let quiet = quiet(n);
            bytes.extend(c.method_bytes(&format!("exchange.declare exchange=$x{n} type=fanout {quiet}")));
        }
        for n in 0..300 {
            let line =
                format!("exchange.bind destination=$x{n} source=amq.direct routing_key=$k {}", quiet(n));
            bytes.extend(c.method_bytes(&line));
        }
        for n in 0..300 {
            bytes.extend(c.method_bytes(&format!("queue.bind queue=$row{n} exchange=$x{n}")));
        }
        bytes.extend(c.publish_bytes(1, "exchange=amq.direct routing_key=$k mandatory", "", b"x"));
        bytes.extend(c.publish_bytes(1, "exchange=amq.direct routing_key=$k mandatory", "", b"x"));
        for n in 0..300 {
            let line =
                format!("exchange.unbind destination=$x{n} source=amq.direct routing_key=$k {}", quiet(n));
            bytes.extend(c.method_bytes(&line));
        }
        for n in 0..300 {
            bytes.extend(c.method_bytes(&format!("queue.unbind queue=$row{n} exchange=$x{n}")));
        }
        for n in 0..300 {
            bytes.extend(c.method_bytes(&format!("exchange.delete exchange=$x{n} {}", quiet(n))));
        }
        for n in 0..300 {
            bytes.extend(c.method_bytes(&format!("queue.delete queue=$row{n} {}", quiet(n))));
        }
        c.bytes(&bytes);
        let loud = || (0..300).filter(|n| n % 3 != 0);
        for n in loud().chain([7]) {
            c.hear(&format!("queue.declare-ok queue=$row{n} message_count=0"));
        }
        let answers = [
            ("exchange.declare-ok", 200),
            ("exchange.bind-ok", 200),
            ("queue.bind-ok", 300),
            ("exchange.unbind-ok", 200),
            ("queue.unbind-ok", 300),
            ("exchange.delete-ok", 200),
        ];
        for (answer, times) in answers {
            (0..times).for_each(|_| {
                c.hear(answer);
            });
        }
        loud().for_each(|_| {
            c.hear("queue.delete-ok message_count=2");
        });
        c.silent();
    });
}

#[test]
fn a_declaration_that_is_refused_in_between_closes_the_channel_and_those_before_it_are_made() {
    conform(|s| {
        let mut c = s.client();
        c.declare("queue=$other");
        let mut bytes = Vec::new();
        for queue in ["$a", "$b", "amq.no", "$c"] {
            bytes.extend(c.method_bytes(&format!("queue.declare queue={queue} nowait")));
        }
        bytes.extend(c.method_bytes("queue.declare queue=$d"));
        c.bytes(&bytes);
        c.channel_closes(403, "queue.declare", "reserved prefix");
        c.open_channel(1);
        let mut bytes = Vec::new();
        for queue in ["$a", "$b"] {
            bytes.extend(c.method_bytes(&format!("queue.declare queue={queue} passive")));
        }
        // The same and a different one, in the batch that creates it.
        for (queue, also) in [("$e", ""), ("$e", ""), ("$e", "auto_delete"), ("$f", "")] {
            bytes.extend(c.method_bytes(&format!("queue.declare queue={queue} {also}")));
        }
        c.bytes(&bytes);
        for queue in ["$a", "$b", "$e", "$e"] {
            c.hear(&format!("queue.declare-ok queue={queue}"));
        }
        c.channel_closes(406, "queue.declare", "inequivalent arg 'auto_delete'");
        for queue in ["$c", "$d", "$f"] {
            c.open_channel(1);
            c.say(&format!("queue.declare queue={queue} passive"));
            c.channel_closes(404, "queue.declare", "no queue");
        }
        c.open_channel(1);
        let mut bytes = Vec::new();
        for exchange in ["$x", "$y", "amq.no", "$z"] {
            bytes.extend(
                c.method_bytes(&format!("exchange.declare exchange={exchange} type=fanout durable nowait")),
            );
        }
        c.bytes(&bytes);
        c.channel_closes(403, "exchange.declare", "reserved prefix");
        c.open_channel(1);
        c.ask("exchange.declare exchange=$y passive", "exchange.declare-ok");
        c.say("exchange.declare exchange=$z passive");
        c.channel_closes(404, "exchange.declare", "no exchange");
        c.open_channel(1);
        for queue in ["$a", "$b", "$e", "$other"] {
            c.delete(queue);
        }
        for exchange in ["$x", "$y"] {
            c.ask(&format!("exchange.delete exchange={exchange}"), "exchange.delete-ok");
        }
    });
}

#[test]
fn deletions_in_one_go_take_along_what_the_last_of_them_is_the_last_binding_of() {
    conform(|s| {
        let mut c = s.client();
        c.ask("exchange.declare exchange=$auto type=fanout auto_delete", "exchange.declare-ok");
        let mut bytes = Vec::new();
        for queue in ["$a", "$b"] {
            c.declare(&format!("queue={queue}"));
            c.ask(&format!("queue.bind queue={queue} exchange=$auto"), "queue.bind-ok");
            bytes.extend(c.method_bytes(&format!("queue.delete queue={queue} nowait")));
        }
        bytes.extend(c.method_bytes("exchange.declare exchange=$auto passive"));
        c.bytes(&bytes);
        c.channel_closes(404, "exchange.declare", "no exchange");
    });
}
