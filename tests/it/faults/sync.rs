//! `fdatasync` is called for every confirm, and the fate of a batch whose `fdatasync` failed: observed and injected
//! from outside, with strace.

use super::trace::Trace;
use crate::harness::Broker;
use crate::management::Http;
use crate::wait;

#[test]
fn every_lone_confirm_has_its_fdatasync() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    let Some(trace) = Trace::attach(&broker, "fdatasync", None) else { return };
    for _ in 0..50 {
        c.publish_confirmed("routing_key=q", "delivery_mode=2", "x");
    }
    wait::until("fifty calls are traced", || trace.calls("= 0") >= 50);
}

#[test]
fn a_failed_fdatasync_refuses_its_publishes_and_the_connection_stays() {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    // Counted per thread: another thread syncs the index, and may sync when nobody waits for it.
    let Some(trace) = Trace::attach(&broker, "fdatasync", Some("inject=fdatasync:error=EIO:when=10+50"))
    else {
        return;
    };
    let (mut confirmed, mut refused) = (Vec::new(), Vec::new());
    for tag in 1..=500 {
        c.publish_with("routing_key=q", "delivery_mode=2", tag.to_string());
        let heard = loop {
            let heard = c.next();
            if !heard.spec.name.starts_with("connection.") {
                break heard;
            }
        };
        assert_eq!(heard.tag(), tag, "one answer for each publish");
        match heard.spec.name {
            "basic.ack" => confirmed.push(tag),
            "basic.nack" => refused.push(tag),
            _ => panic!("instead of a confirm: {heard}"),
        }
        if refused.len() == 1 && confirmed.last() > refused.last() {
            break;
        }
    }
    assert_eq!(refused.len(), 1, "{refused:?} are refused, then others are confirmed again");
    assert!(trace.calls("EIO") >= 1);
    c.silent();
    let log = broker.log();
    assert!(log.contains("fdatasync of the message log failed"), "{log}");
    drop(trace);
    broker.kill();
    broker.start_again();
    let there = broker.client().drain("q");
    for tag in confirmed {
        assert!(there.contains(&tag.to_string()), "{tag} was confirmed: {there:?}");
    }
}

#[test]
fn an_fdatasync_that_does_not_return_refuses_publishes_and_fails_health_until_it_does() {
    let broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    c.publish_confirmed("routing_key=q", "delivery_mode=2", "before");
    let http = Http::of(&broker);
    let in_service = || http.get("/api/health/checks/is-in-service");
    // Two minutes, in microseconds.
    let hang = Some("inject=fdatasync:delay_enter=120000000");
    let Some(trace) = Trace::attach(&broker, "fdatasync", hang) else { return };
    c.publish_with("routing_key=q", "delivery_mode=2", "during");
    // A disk may take half a minute.
    assert!(wait::within(wait::LIMIT * 3, || in_service().status == 503), "it is in service all the time");
    assert!(in_service().text.contains("log-commit"), "{}", in_service().text);
    let refused = loop {
        let heard = c.next();
        if !heard.spec.name.starts_with("connection.") {
            break heard;
        }
    };
    assert_eq!(refused.spec.name, "basic.nack");
    assert!(broker.log().contains("a thread of the store has not got on for"), "{}", broker.log());
    drop(trace);
    wait::until("it is in service again", || in_service().status == 200);
    let mut c = broker.client();
    c.confirms();
    c.publish_confirmed("routing_key=q", "delivery_mode=2", "after");
    let there = c.drain("q");
    assert!(there.contains(&"before".to_owned()) && there.contains(&"after".to_owned()), "{there:?}");
}
