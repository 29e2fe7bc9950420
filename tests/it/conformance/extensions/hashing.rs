//! Exchanges that route to one of their queues.

use super::conform;
use crate::raw::Client;

/// Publishes 100 keys twice; each message must be in exactly one queue, and both messages of a key in the same.
fn spread(c: &mut Client, kind: &str, stable: bool) {
    c.ask(&format!("exchange.declare exchange=$x type={kind} auto_delete"), "exchange.declare-ok");
    for q in ["$a", "$b", "$c"] {
        c.declare(&format!("queue={q} exclusive"));
        c.ask(&format!("queue.bind queue={q} exchange=$x routing_key=10"), "queue.bind-ok");
    }
    for n in 0..200 {
        let key = n % 100;
        c.publish(&format!("exchange=$x routing_key=key{key}"), key.to_string());
    }
    let shares: Vec<_> = ["$a", "$b", "$c"].iter().map(|q| c.drain(q)).collect();
    assert_eq!(shares.iter().map(Vec::len).sum::<usize>(), 200);
    assert!(shares.iter().all(|s| !s.is_empty()), "a queue got nothing");
    if stable {
        for share in shares {
            assert!(share.iter().all(|k| share.iter().filter(|o| *o == k).count() == 2));
        }
    }
}

#[test]
fn consistent_hash_spreads_by_routing_key() {
    conform(|t| spread(&mut t.client(), "x-consistent-hash", true));
}

#[test]
fn modulus_hash_spreads_by_routing_key() {
    conform(|t| spread(&mut t.client(), "x-modulus-hash", true));
}

#[test]
fn random_takes_any_one() {
    conform(|t| spread(&mut t.client(), "x-random", false));
}

#[test]
fn consistent_hash_wants_a_weight() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=x-consistent-hash", "exchange.declare-ok");
        c.declare("queue=$q exclusive");
        for key in ["heavy", "0", "-1"] {
            c.say(&format!("queue.bind queue=$q exchange=$x routing_key={key}"));
            c.channel_closes(406, "queue.bind", "");
            c.open_channel(1);
        }
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}

#[test]
fn recent_history_gives_a_new_binding_the_last_messages() {
    conform(|t| {
        let mut c = t.client();
        c.ask(
            "exchange.declare exchange=$x type=x-recent-history arguments={x-recent-history-length:2}",
            "exchange.declare-ok",
        );
        for body in ["a", "b", "c"] {
            c.publish("exchange=$x", body);
        }
        c.publish_with("exchange=$x", "headers={x-recent-history-no-store:true}", "not kept");
        c.declare("queue=$q exclusive");
        c.ask("queue.bind queue=$q exchange=$x", "queue.bind-ok");
        c.wait_ready("$q", 2);
        let mut got = c.drain("$q");
        got.sort();
        assert_eq!(got, ["b", "c"]);
        c.ask("exchange.delete exchange=$x", "exchange.delete-ok");
    });
}
