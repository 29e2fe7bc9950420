//! Waiting messages after a clean restart, and after kill -9.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{HOUR_MS, ROUNDING_MS, Scene};
use crate::management::Http;
use crate::wait;

/// Long enough to be seen waiting, short enough to be sat out.
const WAIT_MS: u64 = 2_000;

fn restart(s: &mut Scene, kill: bool) {
    if kill {
        s.broker.kill();
    } else {
        assert!(s.broker.stop().success(), "{}", s.broker.log());
    }
    s.broker.start_again();
    s.c = s.broker.client();
    s.c.confirms();
    s.http = Http::of(&s.broker);
}

#[test]
fn what_waits_survives_a_clean_restart_with_its_count() {
    survives(false);
}

#[test]
fn what_waits_survives_kill_9_with_its_count() {
    survives(true);
}

fn survives(kill: bool) {
    let mut s = Scene::new();
    s.queue(WAIT_MS, "");
    s.publish(&["a", "b", "c"]);
    s.fail();
    s.wait_lengths([2, 0, 1]);
    assert_eq!(s.release(), 1);
    s.fail();
    s.wait_lengths([2, 0, 1]);
    // A confirm comes after all that was written before.
    s.publish(&["d"]);
    let (again, took) = wait::time(|| {
        restart(&mut s, kill);
        assert_eq!(s.lengths().iter().sum::<u64>(), 4, "none is lost");
        s.c.ask("basic.consume queue=q consumer_tag=t", "basic.consume-ok");
        for body in ["b", "c", "d"] {
            let delivery = s.c.hear("basic.deliver");
            assert_eq!(delivery.text(), body);
            s.c.say(&format!("basic.ack delivery_tag={}", delivery.tag()));
        }
        s.c.hear("basic.deliver redelivered=1")
    });
    assert_eq!(again.text(), "a");
    assert_eq!(again.header("x-delivery-count").expect("a count").int(), 2);
    assert!(took >= Duration::from_millis(2 * WAIT_MS - ROUNDING_MS), "early: {took:?}");
    s.c.say(&format!("basic.ack delivery_tag={}", again.tag()));
    s.wait_lengths([0, 0, 0]);
}

#[test]
fn what_waits_long_waits_again_and_can_be_released() {
    let mut s = Scene::new();
    s.queue(HOUR_MS, "");
    s.publish(&["a", "b"]);
    s.fail();
    s.wait_lengths([1, 0, 1]);
    s.publish(&["c"]);
    restart(&mut s, true);
    assert_eq!(s.c.drain("q"), ["b", "c"]);
    s.wait_lengths([0, 0, 1]);
    assert_eq!(s.release(), 1);
    assert_eq!(s.c.take("q").header("x-delivery-count").expect("a count").int(), 1);
}

/// Messages fail all the time while the broker is killed again and again.
#[test]
fn none_is_lost_or_doubled_by_kill_9_while_messages_fail() {
    const PER_ROUND: u64 = 50;
    let mut s = Scene::new();
    s.queue(20, ",x-delayed-retry-max:60");
    let rounds = crate::crash::rounds().min(4);
    for round in 0..rounds {
        for n in 0..PER_ROUND {
            s.c.publish_confirmed("routing_key=q", "delivery_mode=2", (round * PER_ROUND + n).to_string());
        }
        s.c.ask("basic.qos prefetch_count=20", "basic.qos-ok");
        s.c.ask("basic.consume queue=q consumer_tag=t", "basic.consume-ok");
        for _ in 0..PER_ROUND * (round + 2) {
            let delivery = s.c.hear("basic.deliver");
            s.c.say(&format!("basic.reject delivery_tag={} requeue", delivery.tag()));
        }
        restart(&mut s, true);
    }
    let all = PER_ROUND * rounds;
    assert_eq!(s.lengths().iter().sum::<u64>(), all);
    let mut times: BTreeMap<String, u64> = BTreeMap::new();
    s.c.ask("basic.consume queue=q consumer_tag=t no_ack", "basic.consume-ok");
    for _ in 0..all {
        *times.entry(s.c.hear("basic.deliver").text()).or_default() += 1;
    }
    assert_eq!((times.len() as u64, times.values().max()), (all, Some(&1)));
    s.wait_lengths([0, 0, 0]);
    s.c.silent_after("q");
}
