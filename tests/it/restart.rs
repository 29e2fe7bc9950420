//! State after a restart: orderly, and after kill -9.

use crate::harness::Broker;
use crate::raw::Client;

/// Both ways to end; the second is the hard one.
#[derive(Clone, Copy)]
enum End {
    Term,
    Kill,
}

fn restart(broker: &mut Broker, end: End) {
    match end {
        End::Term => {
            let status = broker.stop();
            assert!(status.success(), "{status} after SIGTERM:\n{}", broker.log());
        }
        End::Kill => broker.kill(),
    }
    broker.start_again();
}

fn missing(c: &mut Client, line: &str, method: &str) {
    c.say(line);
    c.channel_closes(404, method, "NOT_FOUND");
    c.open_channel(1);
}

#[test]
fn definitions_stay_if_durable_after_sigterm() {
    definitions(End::Term);
}

#[test]
fn definitions_stay_if_durable_after_kill() {
    definitions(End::Kill);
}

fn definitions(end: End) {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.ask(
        "exchange.declare exchange=durable type=topic durable arguments={alternate-exchange:amq.fanout}",
        "exchange.declare-ok",
    );
    c.ask("exchange.declare exchange=passing type=topic", "exchange.declare-ok");
    c.ask("exchange.declare exchange=deleted type=topic durable", "exchange.declare-ok");
    c.declare("queue=durable durable arguments={x-max-length:100,x-foo:[1,{a:b}]}");
    c.declare("queue=passing");
    c.declare("queue=deleted durable");
    c.declare("queue=mine exclusive durable");
    c.ask("queue.bind queue=durable exchange=durable routing_key=a.#", "queue.bind-ok");
    c.ask("queue.bind queue=durable exchange=durable routing_key=unbound", "queue.bind-ok");
    c.ask("queue.unbind queue=durable exchange=durable routing_key=unbound", "queue.unbind-ok");
    c.ask("queue.bind queue=durable exchange=amq.headers arguments={x-match:any,k:1}", "queue.bind-ok");
    c.ask("exchange.delete exchange=deleted", "exchange.delete-ok");
    c.ask("queue.delete queue=deleted", "queue.delete-ok");
    restart(&mut broker, end);

    let mut c = broker.client();
    for name in ["passing", "deleted"] {
        missing(&mut c, &format!("exchange.declare exchange={name} type=topic passive"), "exchange.declare");
        missing(&mut c, &format!("queue.declare queue={name} passive"), "queue.declare");
    }
    missing(&mut c, "queue.declare queue=mine passive", "queue.declare");
    c.ask(
        "exchange.declare exchange=durable type=topic durable arguments={alternate-exchange:amq.fanout}",
        "exchange.declare-ok",
    );
    c.declare("queue=durable durable arguments={x-max-length:100}");
    c.publish("exchange=durable routing_key=a.b", "by topic");
    c.publish("exchange=durable routing_key=unbound", "nowhere");
    c.publish_with("exchange=amq.headers", "headers={k:1}", "by header");
    assert_eq!(c.drain("durable"), ["by topic", "by header"]);
}

#[test]
fn persistent_messages_stay_and_transient_ones_go_after_sigterm() {
    messages(End::Term);
}

#[test]
fn persistent_messages_stay_and_transient_ones_go_after_kill() {
    messages(End::Kill);
}

fn messages(end: End) {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.declare("queue=r durable");
    c.ask("queue.bind queue=q exchange=amq.fanout", "queue.bind-ok");
    c.ask("queue.bind queue=r exchange=amq.fanout", "queue.bind-ok");
    c.confirms();
    let big = vec![b'x'; 3_000_000];
    for n in 0..200 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2 headers={n:1} message_id=m", n.to_string());
        c.publish_confirmed("routing_key=q", "delivery_mode=1", "transient");
    }
    c.publish_confirmed("exchange=amq.fanout", "delivery_mode=2", &big);
    restart(&mut broker, end);

    let mut c = broker.client();
    assert_eq!((c.counts("q"), c.counts("r")), ((201, 0), (1, 0)));
    for n in 0..200 {
        let got = c.ask("basic.get queue=q no_ack", "basic.get-ok exchange=\"\" routing_key=q redelivered=0");
        assert_eq!(got.text(), n.to_string());
        assert_eq!(got.props.to_string(), "{headers:{n:1},delivery_mode:2l,message_id:\"m\"}");
    }
    for q in ["q", "r"] {
        let got = c.take(q);
        assert!(got.body == big, "{q}");
        assert_eq!(got.field("exchange").str(), "amq.fanout");
    }
}

#[test]
fn unacked_messages_come_back_redelivered_after_sigterm() {
    unacked(End::Term);
}

#[test]
fn unacked_messages_come_back_redelivered_after_kill() {
    unacked(End::Kill);
}

fn unacked(end: End) {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    for n in 0..6 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2", n.to_string());
    }
    for tag in 1..=4 {
        c.ask("basic.get queue=q", &format!("basic.get-ok delivery_tag={tag}"));
    }
    c.say("basic.ack delivery_tag=2");
    c.say("basic.reject delivery_tag=4");
    // A confirm after the acks: they precede it in the log.
    c.publish_confirmed("routing_key=q", "delivery_mode=2", "6");
    restart(&mut broker, end);

    let mut c = broker.client();
    for (body, redelivered) in [("0", Some(1)), ("2", Some(1)), ("4", None), ("5", None), ("6", None)] {
        let got = c.ask("basic.get queue=q no_ack", "basic.get-ok");
        assert_eq!(got.text(), body);
        if redelivered.is_some() {
            assert_eq!(got.field("redelivered").int(), 1, "{body}");
        }
    }
    c.ask("basic.get queue=q", "basic.get-empty");
}

const FILLED: i64 = 60;
const QUEUES: [&str; 3] = ["acked", "unacked", "untouched"];

/// A broker with three durable queues of numbered messages.
fn filled() -> Broker {
    let broker = Broker::new();
    let mut c = broker.client();
    for queue in QUEUES {
        c.declare(&format!("queue={queue} durable"));
    }
    c.confirms();
    for queue in QUEUES {
        for n in 0..FILLED {
            c.publish_with(&format!("routing_key={queue}"), "delivery_mode=2", n.to_string());
        }
    }
    while c.hear("basic.ack").tag() < 3 * FILLED {}
    broker
}

/// A queue's messages, and whether each is flagged as redelivered.
fn marks(c: &mut Client, queue: &str) -> Vec<(i64, bool)> {
    let mut marks = Vec::new();
    for _ in 0..c.counts(queue).0 {
        let got = c.take(queue);
        marks.push((got.text().parse().expect("a number"), got.field("redelivered").int() == 1));
    }
    marks
}

#[test]
fn what_a_client_saw_right_before_kill_9_comes_back_marked() {
    for seen in [1, 7, FILLED] {
        let mut broker = filled();
        let mut c = broker.client();
        c.ask("basic.consume queue=acked no_ack", "basic.consume-ok");
        for _ in 0..seen {
            c.hear("basic.deliver");
        }
        let mut d = broker.client();
        for _ in 0..seen {
            d.ask("basic.get queue=unacked", "basic.get-ok");
        }
        // No wait: whatever the client has seen must survive.
        broker.kill();
        broker.start_again();
        let mut c = broker.client();
        // An ack that was only sent may not be on disk yet; its message then comes again, redelivered.
        for (n, marked) in marks(&mut c, "acked") {
            assert!(marked || n >= seen, "{n} of {seen} was delivered");
        }
        let unacked = marks(&mut c, "unacked");
        assert_eq!(unacked.len(), 60);
        assert!(
            unacked.iter().all(|(n, marked)| *marked || *n >= seen),
            "{seen} were delivered: {unacked:?}"
        );
        let wanted: Vec<_> = (0..FILLED).map(|n| (n, false)).collect();
        assert_eq!(marks(&mut c, "untouched"), wanted, "nobody asked");
    }
}

#[test]
fn after_an_orderly_end_just_what_was_delivered_is_marked() {
    let mut broker = filled();
    let mut c = broker.client();
    for _ in 0..7 {
        c.ask("basic.get queue=unacked", "basic.get-ok");
    }
    restart(&mut broker, End::Term);
    let mut c = broker.client();
    let wanted: Vec<_> = (0..FILLED).map(|n| (n, n < 7)).collect();
    assert_eq!(marks(&mut c, "unacked"), wanted);
}

#[test]
fn purged_and_deleted_messages_stay_gone() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.confirms();
    for q in ["purged", "deleted"] {
        c.declare(&format!("queue={q} durable"));
        c.publish_confirmed(&format!("routing_key={q}"), "delivery_mode=2", "old");
    }
    c.ask("queue.purge queue=purged", "queue.purge-ok message_count=1");
    c.ask("queue.delete queue=deleted", "queue.delete-ok message_count=1");
    c.declare("queue=deleted durable");
    c.publish_confirmed("routing_key=purged", "delivery_mode=2", "new");
    restart(&mut broker, End::Kill);
    let mut c = broker.client();
    assert_eq!(c.drain("purged"), ["new"]);
    assert_eq!(c.counts("deleted").0, 0);
}

#[test]
fn a_large_backlog_is_there_in_order_after_kill() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    let count = 20_000;
    for n in 0..count {
        c.publish_with("routing_key=q", "delivery_mode=2", n.to_string());
    }
    let mut confirmed = 0;
    while confirmed < count {
        let ack = c.hear("basic.ack");
        confirmed = if ack.field("multiple").int() == 1 { ack.tag() } else { confirmed + 1 };
    }
    for _ in 0..2 {
        restart(&mut broker, End::Kill);
    }
    let mut c = broker.client();
    assert_eq!(c.counts("q").0, count);
    let all = c.drain("q");
    assert!(all.iter().enumerate().all(|(n, body)| *body == n.to_string()));
}

#[test]
fn clients_are_told_of_a_shutdown() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    assert!(broker.stop().success());
    c.connection_closes(320, "", "CONNECTION_FORCED");
}
