//! Delayed messages across restarts.

use std::collections::HashMap;
use std::time::Duration;

use crate::harness::Broker;
use crate::raw::Client;
use crate::wait;

const DAY_MS: u64 = 86_400_000;

fn topology(c: &mut Client) {
    c.ask(
        "exchange.declare exchange=later type=x-delayed-message durable arguments={x-delayed-type:fanout}",
        "exchange.declare-ok",
    );
    c.declare("queue=q durable");
    c.ask("queue.bind queue=q exchange=later", "queue.bind-ok");
    c.confirms();
}

/// Publishes, then waits for all confirms.
fn publish_all(c: &mut Client, messages: impl Iterator<Item = (u64, String)>) {
    let mut count = 0;
    for (delay, body) in messages {
        c.publish_with("exchange=later", &format!("delivery_mode=2 headers={{x-delay:{delay}}}"), body);
        count += 1;
    }
    let mut confirmed = 0;
    while confirmed < count {
        let ack = c.hear("basic.ack");
        confirmed = if ack.field("multiple").int() == 1 { ack.tag() } else { confirmed + 1 };
    }
}

#[test]
fn every_confirmed_message_comes_once_though_the_broker_is_killed_while_it_releases() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    topology(&mut c);
    let per_round = 400_u64;
    let rounds = 4;
    for round in 0..rounds {
        // Spread over half a second, in no order.
        let messages = (0..per_round).map(|n| (1 + n * 7919 % 500, (round * per_round + n).to_string()));
        publish_all(&mut c, messages);
        let some = round * per_round + round * 60;
        wait::until("some released", || c.counts("q").0 >= i64::try_from(some).expect("small"));
        broker.kill();
        broker.start_again();
        c = broker.client();
        c.confirms();
    }
    let all = per_round * rounds;
    c.wait_ready("q", i64::try_from(all).expect("small"));
    let mut times: HashMap<String, u32> = HashMap::new();
    for body in c.drain("q") {
        *times.entry(body).or_default() += 1;
    }
    let doubled: Vec<_> = times.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(times.len() as u64, all);
}

#[test]
fn what_is_due_while_the_broker_is_down_comes_at_the_start_and_later_ones_do_not() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    topology(&mut c);
    publish_all(&mut c, [(300, "soon".into()), (DAY_MS, "tomorrow".into())].into_iter());
    c.publish_with("exchange=later", "delivery_mode=1 headers={x-delay:300}", "not kept");
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    c.ask("basic.consume queue=q no_ack", "basic.consume-ok");
    let got = c.hear("basic.deliver");
    assert_eq!((got.text().as_str(), got.header("x-delay").expect("x-delay").int()), ("soon", -300));
    c.silent();
}

#[test]
fn deleting_the_exchange_drops_what_waits_for_good() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    topology(&mut c);
    publish_all(&mut c, std::iter::once((400, "x".into())));
    c.ask("exchange.delete exchange=later", "exchange.delete-ok");
    topology(&mut c);
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    assert!(!wait::within(Duration::from_millis(600), || c.counts("q").0 > 0));
}

#[test]
fn bindings_and_alternate_exchange_are_those_of_the_release() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.ask(
        "exchange.declare exchange=x type=x-delayed-message arguments={x-delayed-type:direct,alternate-exchange:amq.fanout}",
        "exchange.declare-ok",
    );
    c.declare("queue=bound");
    c.declare("queue=late");
    c.declare("queue=rest");
    c.ask("queue.bind queue=rest exchange=amq.fanout", "queue.bind-ok");
    c.ask("queue.bind queue=bound exchange=x routing_key=a", "queue.bind-ok");
    c.confirms();
    c.publish_confirmed("exchange=x routing_key=a mandatory", "headers={x-delay:300}", "a");
    c.publish_confirmed("exchange=x routing_key=b mandatory", "headers={x-delay:300}", "b");
    c.publish_confirmed("exchange=x routing_key=c mandatory", "headers={x-delay:300}", "c");
    c.ask("queue.unbind queue=bound exchange=x routing_key=a", "queue.unbind-ok");
    c.ask("queue.bind queue=late exchange=x routing_key=b", "queue.bind-ok");
    c.silent();
    c.wait_ready("late", 1);
    c.wait_ready("rest", 2);
    assert_eq!((c.drain("late"), c.drain("rest")), (vec!["b".into()], vec!["a".into(), "c".into()]));
    assert_eq!(c.counts("bound").0, 0);
}

#[test]
fn dead_letters_wait_in_a_delayed_exchange_and_are_neither_lost_nor_doubled() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    topology(&mut c);
    c.declare("queue=work durable arguments={x-dead-letter-exchange:later}");
    for n in 0..200 {
        c.publish_confirmed("routing_key=work", "delivery_mode=2 headers={x-delay:400}", n.to_string());
        c.ask("basic.get queue=work", "basic.get-ok");
        c.say(&format!("basic.reject delivery_tag={}", n + 1));
    }
    c.publish_confirmed("routing_key=q", "delivery_mode=2", "mark");
    broker.kill();
    broker.start_again();
    let mut c = broker.client();
    // The last rejects may not have reached the store.
    wait::until("all there", || c.counts("q").0 + c.counts("work").0 == 201);
    let mut all = [c.drain("q"), c.drain("work")].concat();
    all.retain(|body| body != "mark");
    all.sort_unstable_by_key(|body| body.parse::<u32>().expect("a number"));
    assert_eq!(all, (0..200).map(|n| n.to_string()).collect::<Vec<_>>());
}

#[test]
fn a_held_message_keeps_its_copies() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.ask(
        "exchange.declare exchange=x type=x-delayed-message arguments={x-delayed-type:direct}",
        "exchange.declare-ok",
    );
    for q in ["to", "cc", "bcc"] {
        c.declare(&format!("queue={q}"));
        c.ask(&format!("queue.bind queue={q} exchange=x routing_key={q}"), "queue.bind-ok");
    }
    c.publish_with("exchange=x routing_key=to", "headers={x-delay:50,CC:[cc],BCC:[bcc]}", "x");
    for q in ["to", "cc", "bcc"] {
        c.wait_ready(q, 1);
        let got = c.take(q);
        assert!(got.header("BCC").is_none() && got.header("CC").is_some(), "{q}");
    }
}
