//! Publisher confirms.

use super::conform;
use crate::raw::Client;

/// Reads acks until `count` publishes are confirmed; anything else is an error.
fn confirmed(c: &mut Client, count: i64) {
    let mut done = vec![false; usize::try_from(count).expect("small")];
    while done.contains(&false) {
        let ack = c.hear("basic.ack");
        let tag = usize::try_from(ack.tag()).expect("positive");
        assert!(tag <= done.len() && !done[tag - 1], "{ack} was not outstanding");
        if ack.field("multiple").int() == 1 {
            done[..tag].fill(true);
        }
        done[tag - 1] = true;
    }
}

#[test]
fn numbers_start_at_1_and_every_publish_is_confirmed_once() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.publish("routing_key=$q", "not counted");
        c.confirms();
        for _ in 0..100 {
            c.publish("routing_key=$q", "x");
        }
        confirmed(&mut c, 100);
        c.silent_after("$q");
    });
}

#[test]
fn persistent_messages_to_a_durable_queue_are_confirmed() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q durable");
        c.confirms();
        for _ in 0..100 {
            c.publish_with("routing_key=$q", "delivery_mode=2", "x");
        }
        confirmed(&mut c, 100);
        c.ask("queue.delete queue=$q", "queue.delete-ok message_count=100");
    });
}

#[test]
fn select_twice_is_fine_and_does_not_start_again() {
    conform(|t| {
        let mut c = t.client();
        c.confirms();
        c.publish("routing_key=$gone", "x");
        c.hear("basic.ack delivery_tag=1");
        c.confirms();
        c.publish("routing_key=$gone", "x");
        c.hear("basic.ack delivery_tag=2");
    });
}

#[test]
fn select_nowait_is_not_answered() {
    conform(|t| {
        let mut c = t.client();
        c.say("confirm.select nowait");
        c.publish("routing_key=$gone", "x");
        c.hear("basic.ack delivery_tag=1");
    });
}

#[test]
fn unroutable_is_confirmed() {
    conform(|t| {
        let mut c = t.client();
        c.confirms();
        c.publish_with("routing_key=$gone", "delivery_mode=2", "x");
        c.hear("basic.ack delivery_tag=1");
    });
}

#[test]
fn confirms_on_a_tx_channel_and_the_other_way_round() {
    conform(|t| {
        let mut c = t.client();
        c.ask("tx.select", "tx.select-ok");
        c.say("confirm.select");
        c.channel_closes(406, "confirm.select", "cannot switch from tx to confirm mode");
        c.open_channel(1);
        c.confirms();
        c.say("tx.select");
        c.channel_closes(406, "tx.select", "cannot switch from confirm to tx mode");
    });
}

#[test]
fn commit_without_a_transaction() {
    conform(|t| {
        let mut c = t.client();
        for method in ["tx.commit", "tx.rollback"] {
            c.say(method);
            c.channel_closes(406, method, "channel is not transactional");
            c.open_channel(1);
        }
    });
}

#[test]
fn a_message_to_several_queues_is_confirmed_once() {
    conform(|t| {
        let mut c = t.client();
        c.ask("exchange.declare exchange=$x type=fanout auto_delete", "exchange.declare-ok");
        for q in ["$a", "$b", "$c"] {
            c.declare(&format!("queue={q} exclusive"));
            c.ask(&format!("queue.bind queue={q} exchange=$x"), "queue.bind-ok");
        }
        c.confirms();
        c.publish_confirmed("exchange=$x", "", "x");
        c.silent_after("$c");
        for q in ["$a", "$b", "$c"] {
            assert_eq!(c.drain(q), ["x"]);
        }
    });
}

#[test]
fn the_ack_of_a_returned_message_follows_its_return_and_names_no_other() {
    conform(|t| {
        let mut c = t.client();
        c.declare("queue=$q exclusive");
        c.confirms();
        let good = c.publish_bytes(1, "routing_key=$q", "", b"x");
        let lost = c.publish_bytes(1, "routing_key=$none mandatory", "", b"x");
        c.bytes(&[&good[..], &lost, &good].concat());
        let mut acked = Vec::new();
        while acked.len() < 3 {
            let heard = c.next();
            match heard.spec.name {
                "basic.ack" if heard.field("multiple").int() == 0 => acked.push(heard.tag()),
                "basic.ack" => {
                    acked.extend((1..=heard.tag()).filter(|tag| !acked.contains(tag)).collect::<Vec<_>>());
                }
                "basic.return" => {
                    c.hear("basic.ack delivery_tag=2 multiple=0");
                    acked.push(2);
                }
                _ => panic!("{heard}"),
            }
        }
    });
}
