//! Delayed messages over restarts.

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

/// Publishes and waits for all confirms at the end.
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
