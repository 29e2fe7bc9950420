//! A store thread that ends: the broker stops accepting messages, reports it to all clients, and exits with an error.
//!
//! The cause is an impossible system call result: more bytes written than requested. The standard library panics over
//! it in the writing thread. The ends of the other threads are tested beside the code.

use super::trace::Trace;
use crate::harness::Broker;
use crate::management::Http;
use crate::wait;

/// More than any single write.
const NONSENSE: &str = "inject=pwritev:retval=1073741824";

const HEALTH: [&str; 6] = [
    "/api/health/checks/is-in-service",
    "/api/health/checks/ready-to-serve-clients",
    "/api/health/checks/alarms",
    "/api/health/checks/local-alarms",
    "/api/healthchecks/node",
    "/api/aliveness-test/%2F",
];

fn a_thread_ends(thread: &str, has_it_write: impl FnOnce(&mut crate::raw::Client)) {
    let mut broker = Broker::new();
    let mut c = broker.client();
    c.declare("queue=q durable");
    c.confirms();
    c.publish_confirmed("routing_key=q", "delivery_mode=2", "before");
    let http = Http::of(&broker);
    for path in HEALTH {
        http.get(path).is(200);
    }
    let Some(trace) = Trace::attach_thread(&broker, thread, "pwritev", NONSENSE) else { return };
    let mut other = broker.client();
    has_it_write(&mut other);
    wait::until("it is told", || http.get(HEALTH[0]).status == 503);
    assert!(trace.calls("INJECTED") > 0);
    for path in HEALTH {
        let told = http.get(path).is(503);
        assert!(told.text.contains(&format!("its thread {thread} ended")), "{path}: {}", told.text);
    }
    // Refused, and blocked with the reason from then on.
    c.publish_with("routing_key=q", "delivery_mode=2", "after");
    let mut heard = [c.next(), c.next()];
    heard.sort_by_key(|heard| heard.spec.name);
    assert_eq!(heard[0].spec.name, "basic.nack");
    assert_eq!(heard[1].spec.name, "connection.blocked");
    assert!(heard[1].field("reason").str().contains(thread), "{}", heard[1]);
    // Consumers continue.
    assert_eq!(broker.client().take("q").text(), "before");
    let log = broker.log();
    let lines = || log.lines().filter(|line| line.contains(" ERROR "));
    assert!(lines().any(|line| line.contains(&format!("thread=\"{thread}\""))), "{log}");
    drop(trace);
    assert!(!broker.stop().success(), "its end is told by the exit code");

    broker.start_again();
    assert_eq!(Http::of(&broker).get(HEALTH[0]).status, 200);
    let mut c = broker.client();
    c.confirms();
    c.publish_confirmed("routing_key=q", "delivery_mode=2", "later");
    assert!(c.drain("q").contains(&"later".to_owned()));
    assert!(broker.stop().success());
}

#[test]
fn the_committer_s_panic_holds_publishers_up_fails_health_and_shows_in_the_exit_code() {
    a_thread_ends("log-commit", |c| {
        c.confirms();
        c.publish_with("routing_key=q", "delivery_mode=2", "during");
        // It gets an answer.
        let heard = loop {
            let heard = c.next();
            if heard.spec.name != "connection.blocked" {
                break heard;
            }
        };
        assert_eq!(heard.spec.name, "basic.nack");
    });
}

#[test]
fn the_panic_of_the_definitions_thread_does_the_same() {
    a_thread_ends("definitions", |c| drop(c.declare("queue=more durable")));
}
