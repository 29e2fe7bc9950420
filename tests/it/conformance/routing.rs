//! direct, fanout and topic.

use super::conform;

#[test]
fn direct_wants_the_same_key() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=amq.direct routing_key=$a.b", "queue.bind-ok");
        for key in ["$a.b", "$a", "$a.b.c", "$A.B"] {
            c.publish(&format!("exchange=amq.direct routing_key={key}"), key);
        }
        assert_eq!(c.drain("$q"), ["$a.b"]);
    });
}

#[test]
fn fanout_does_not_look_at_the_key() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout auto_delete", "exchange.declare-ok");
        for q in ["$a", "$b"] {
            c.declare(&format!("queue={q} exclusive"));
            c.ask(&format!("queue.bind queue={q} exchange=$x routing_key=k"), "queue.bind-ok");
        }
        c.publish("exchange=$x routing_key=other", "x");
        assert_eq!((c.drain("$a"), c.drain("$b")), (vec!["x".to_owned()], vec!["x".to_owned()]));
    });
}

#[test]
fn topic_patterns() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=topic", "exchange.declare-ok");
        for (pattern, key, matches) in [
            ("a.b", "a.b", true),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("a.*", "a.", true),
            ("*", "", false),
            ("*.b", ".b", true),
            ("#", "", true),
            ("#", "a.b.c", true),
            ("a.#", "a", true),
            ("a.#", "a.b.c", true),
            ("a.#", "b.a", false),
            ("#.c", "a.b.c", true),
            ("#.c", "c", true),
            ("a.#.c", "a.c", true),
            ("a.#.c", "a.b.b.c", true),
            ("a.#.c", "a.b", false),
            ("#.#", "", true),
            ("*.#.*", "a", false),
            ("*.#.*", "a.b", true),
            ("#.b.#", "a.b.c", true),
            ("#.b.#", "a.c", false),
            ("a#", "ab", false),
            ("a*", "ab", false),
        ] {
            c.declare("queue=$q exclusive");
            c.ask(&format!("queue.bind queue=$q exchange=$x routing_key=\"{pattern}\""), "queue.bind-ok");
            c.publish(&format!("exchange=$x routing_key=\"{key}\""), "x");
            assert_eq!(c.drain("$q").len() == 1, matches, "{pattern:?} and {key:?}");
            c.ask("queue.delete queue=$q", "queue.delete-ok");
        }
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn a_queue_bound_twice_gets_one_copy() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        for pattern in ["$a.#", "$a.*", "$a.b"] {
            c.ask(&format!("queue.bind queue=$q exchange=amq.topic routing_key={pattern}"), "queue.bind-ok");
            c.ask(&format!("queue.bind queue=$q exchange=amq.topic routing_key={pattern}"), "queue.bind-ok");
        }
        c.publish("exchange=amq.topic routing_key=$a.b", "x");
        assert_eq!(c.drain("$q"), ["x"]);
        for pattern in ["$a.#", "$a.*"] {
            c.ask(
                &format!("queue.unbind queue=$q exchange=amq.topic routing_key={pattern}"),
                "queue.unbind-ok",
            );
        }
        c.publish("exchange=amq.topic routing_key=$a.b", "y");
        c.publish("exchange=amq.topic routing_key=$a.c", "z");
        assert_eq!(c.drain("$q"), ["y"]);
    });
}

#[test]
fn publish_to_an_internal_exchange_is_refused() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout internal auto_delete", "exchange.declare-ok");
        c.publish("exchange=$x", "x");
        c.channel_closes(
            403,
            "basic.publish",
            "ACCESS_REFUSED - cannot publish to internal exchange '$x' in vhost '/'",
        );
        c.open_channel(1);
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}
