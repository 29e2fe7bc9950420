//! Delayed retries.

use super::super::limits::DROPS_PER_CALL;
use super::*;

fn retrying(which: RetryType, min_ms: u64, max_ms: u64) -> Settings {
    Settings { delayed_retry: Some(DelayedRetry { which, min_ms, max_ms }), ..durable() }
}

fn all(min_ms: u64) -> Settings {
    retrying(RetryType::All, min_ms, u64::MAX)
}

/// A queue with these messages, all held by consumer 1.
fn held(settings: Settings, bodies: &[&str]) -> (Bench, Vec<Token>) {
    let mut b = bench(settings);
    b.consume(Bench::spec(1));
    for body in bodies {
        b.publish_meta(body, persistent());
    }
    let tokens = b.tokens();
    (b, tokens)
}

fn waits(b: &Bench) -> Vec<(u64, u64)> {
    let due = |peeked: &Peeked<'_>| match peeked {
        Peeked::Message { seq, retry_due: Some(due), .. } => Some((seq.0, due.0)),
        _ => None,
    };
    b.q.peek(0, 100).iter().filter_map(due).collect()
}

#[test]
fn each_type_delays_its_own_returns() {
    use Requeue::{ChannelClosed, Nack, Recover, Reject};
    use RetryType::{All, Failed, Returned};
    for (which, covered) in [
        (Failed, &[Nack, Reject, ChannelClosed][..]),
        (Returned, &[Nack, Recover][..]),
        (All, &[Nack, Reject, ChannelClosed, Recover][..]),
    ] {
        for cause in [Nack, Reject, ChannelClosed, Recover] {
            let (mut b, tokens) = held(retrying(which, 50, 500), &["a"]);
            b.requeue(&tokens, cause);
            let counts = b.q.counts();
            let waiting = u64::from(covered.contains(&cause));
            assert_eq!((counts.ready, counts.retrying), (1 - waiting, waiting), "{which:?} {cause:?}");
        }
    }
}

#[test]
fn the_wait_grows_with_the_failures_up_to_the_maximum() {
    let (mut b, mut tokens) = held(retrying(RetryType::Failed, 100, 250), &["a"]);
    for (failures, delay) in [(1, 100), (2, 200), (3, 250), (4, 250)] {
        b.requeue(&tokens, Requeue::Reject);
        let due = b.now.0 + delay;
        assert_eq!(b.q.next_deadline(), Some(Millis(due)));
        assert_eq!(std::mem::take(&mut b.fx.returned), [(Seq(1), failures)], "kept without a limit as well");
        b.tick_at(due - 1);
        assert!(b.desk.out.is_empty(), "not early");
        b.tick_at(due);
        let (_, delivery) = &b.desk.out[0];
        assert_eq!((delivery.delivery_count, delivery.acquired_count), (failures, failures));
        tokens = b.tokens();
    }
    let huge = DelayedRetry { which: RetryType::All, min_ms: u64::MAX, max_ms: u64::MAX };
    assert_eq!(huge.delay_ms(u32::MAX), u64::MAX);
}

#[test]
fn what_is_returned_without_a_failure_waits_for_the_minimum_each_time() {
    let (mut b, mut tokens) = held(all(100), &["a"]);
    for acquired in 1..4 {
        b.requeue(&tokens, Requeue::Recover);
        b.tick_at(b.now.0 + 100);
        let (_, delivery) = &b.desk.out[0];
        assert_eq!((delivery.delivery_count, delivery.acquired_count), (0, acquired));
        tokens = b.tokens();
    }
}

#[test]
fn others_pass_and_the_message_resumes_its_place() {
    let (mut b, tokens) = held(all(100), &["a"]);
    b.desk.shut.insert(1);
    b.publish_all(&["b", "c"]);
    b.requeue(&tokens, Requeue::Nack);
    b.desk.shut.clear();
    b.q.unblock(ConsumerId(1));
    b.dispatch();
    assert_eq!(b.bodies(), "b c");
    b.desk.shut.insert(1);
    b.publish_all(&["d", "e"]);
    b.desk.shut.clear();
    b.now = Millis(1100);
    b.q.unblock(ConsumerId(1));
    b.dispatch();
    assert_eq!(b.bodies(), "a d e");
}

#[test]
fn a_wait_of_nothing_is_none() {
    let (mut b, tokens) = held(all(0), &["a"]);
    b.requeue(&tokens, Requeue::Nack);
    b.dispatch();
    assert_eq!(b.bodies(), "a");
}

#[test]
fn what_fails_too_often_is_dead_lettered_at_once() {
    let settings = Settings { delivery_limit: Some(1), dead_letters: true, ..all(100) };
    let (mut b, tokens) = held(settings, &["a"]);
    b.requeue(&tokens, Requeue::Nack);
    b.tick_at(1100);
    let tokens = b.tokens();
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.gone(), [(1, SettleReason::DeliveryLimit, true)]);
    assert_eq!(b.q.counts().total(), 0);
}

#[test]
fn waiting_messages_count_towards_limits() {
    let limited = Settings { max_length: Some(2), dead_letters: true, ..all(100) };
    let (mut b, tokens) = held(Settings { overflow: Overflow::RejectPublish, ..limited }, &["a", "b"]);
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.publish("c"), Published::Refused { dead_letter: false });

    let (mut b, tokens) = held(limited, &["a", "b"]);
    b.desk.shut.insert(1);
    b.requeue(&tokens, Requeue::Nack);
    b.publish("c");
    assert_eq!(b.gone(), [(1, SettleReason::MaxLength, true)], "the oldest");
    assert_eq!((b.q.counts().ready, b.q.counts().retrying), (1, 1));

    let bytes = Settings { max_bytes: Some(3), ..all(100) };
    let (mut b, tokens) = held(bytes, &["aa", "bb"]);
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.gone(), [(1, SettleReason::MaxLength, false)]);
}

#[test]
fn what_is_over_a_limit_waits_while_dead_letters_are_held() {
    let settings = Settings { max_length: Some(1), dead_letters: true, ..all(100) };
    let (mut b, tokens) = held(settings, &["a", "b"]);
    b.q.hold_letters(true);
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!((b.q.counts().retrying, b.gone().len()), (2, 0));
    assert!(b.q.letters_wait());
    b.q.hold_letters(false);
    b.tick_at(1001);
    assert_eq!(b.gone(), [(1, SettleReason::MaxLength, true)]);
}

#[test]
fn a_message_expires_while_it_waits() {
    let settings = Settings { message_ttl_ms: Some(60), dead_letters: true, ..all(100) };
    let (mut b, tokens) = held(settings, &["a"]);
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.q.next_deadline(), Some(Millis(1060)));
    b.tick_at(1060);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
    assert!(b.desk.out.is_empty());
}

#[test]
fn an_expired_message_that_is_returned_does_not_wait() {
    let (mut b, tokens) = held(Settings { message_ttl_ms: Some(60), dead_letters: true, ..all(100) }, &["a"]);
    b.now = Millis(1060);
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
}

#[test]
fn a_time_to_live_set_later_holds_for_what_waits() {
    let settings = Settings { dead_letters: true, ..all(100) };
    let (mut b, tokens) = held(settings, &["a"]);
    b.requeue(&tokens, Requeue::Nack);
    let shorter = Settings { message_ttl_ms: Some(30), ..settings };
    b.q.set_settings(b.now, shorter, &mut b.desk, &mut b.fx);
    assert_eq!((waits(&b), b.q.next_deadline()), (vec![(1, 1100)], Some(Millis(1030))));
    b.tick_at(1030);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
}

#[test]
fn a_purge_takes_what_waits() {
    let (mut b, tokens) = held(all(100), &["a", "b"]);
    b.requeue(&tokens[..1], Requeue::Nack);
    assert_eq!(b.q.at_rest(), None);
    assert_eq!(b.q.purge(&mut b.fx), 1);
    let mark = b.fx.purge.take().expect("a mark");
    assert_eq!((mark.stored, mark.kept), (true, vec![Seq(2)]));
    b.tick_at(1100);
    assert!(b.desk.out.is_empty());
    assert_eq!((b.q.counts().total(), b.q.next_deadline()), (1, None));
}

#[test]
fn what_waits_can_be_released() {
    let (mut b, tokens) = held(all(100), &["a", "b"]);
    b.desk.shut.insert(1);
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.q.release_retries(), 2);
    assert_eq!(b.q.release_retries(), 0, "released already");
    b.desk.shut.clear();
    b.dispatch();
    assert_eq!((b.bodies().as_str(), b.q.next_deadline()), ("a b", None));
}

#[test]
fn new_settings_hold_for_later_returns_and_none_release() {
    let (mut b, tokens) = held(all(100), &["a", "b"]);
    b.requeue(&tokens[..1], Requeue::Nack);
    b.q.set_settings(b.now, all(40), &mut b.desk, &mut b.fx);
    b.requeue(&tokens[1..], Requeue::Nack);
    assert_eq!(waits(&b), [(2, 1040), (1, 1100)]);
    b.q.set_settings(b.now, durable(), &mut b.desk, &mut b.fx);
    assert_eq!((b.bodies().as_str(), b.q.counts().retrying), ("a b", 0));
}

#[test]
fn one_call_releases_a_bounded_number() {
    let many = DROPS_PER_CALL as u64 + 5;
    let mut b = bench(all(100));
    b.consume(Bench::spec(1));
    for _ in 0..many {
        b.publish("x");
    }
    let tokens = b.tokens();
    b.desk.shut.insert(1);
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.q.counts().retrying, many);
    b.tick_at(1100);
    assert_eq!((b.q.counts().retrying, b.q.next_deadline()), (5, Some(Millis(1100))));
    b.tick_at(1100);
    assert_eq!((b.q.counts().ready, b.q.counts().retrying), (many, 0));
}

#[test]
fn bodies_of_what_waits_leave_memory_and_are_read_again() {
    let (mut b, tokens) = held(all(100), &["m1", "m2"]);
    b.requeue(&tokens, Requeue::Nack);
    assert!(b.page_out(0) > 0);
    assert_eq!((b.q.counts().resident_bytes, b.q.counts().away), (0, 0));
    b.tick_at(1100);
    assert_eq!(b.q.counts().away, 2);
    b.answer(|seq| Some(Ok(message(&format!("m{seq}"), persistent()))));
    assert_eq!(b.bodies(), "m1 m2");
}

#[test]
fn transient_bodies_of_what_waits_are_offered_to_the_store() {
    let mut b = bench(all(100));
    b.consume(Bench::spec(1));
    b.publish("a");
    let tokens = b.tokens();
    b.requeue(&tokens, Requeue::Nack);
    let candidates = b.q.page_candidates(0, 10);
    assert_eq!(candidates.iter().map(|one| (one.seq.0, one.delivery_count)).collect::<Vec<_>>(), [(1, 1)]);
    b.q.paged();
    assert!(b.q.page_out(0, Seq(0), false) > 0);
}

#[test]
fn what_waits_becomes_durable_with_its_queue() {
    let (mut b, tokens) = held(Settings { durable: false, ..all(100) }, &["a"]);
    b.requeue(&tokens, Requeue::Nack);
    let untold = b.q.change(b.now, all(100), Seq(0), &mut b.desk, &mut b.fx);
    assert_eq!(untold.iter().map(|told| (told.seq.0, told.delivery_count)).collect::<Vec<_>>(), [(1, 1)]);
}

/// A recovered queue of three messages; the second failed twice.
fn recovered(settings: Settings) -> Bench {
    let range = ColdRange { priority_level: 0, first: Seq(1), last: Seq(3), count: 3, bytes: 6 };
    let found = RecoveredQueue { ranges: vec![range], last_seq: Seq(3), delivered_upto: Seq(3) };
    Bench { q: Queue::recover(settings, &found, Millis(1000)), ..bench(settings) }
}

fn read(b: &mut Bench) {
    let asked = b.fx.read.take().expect("something is asked for");
    let stored = (asked.from.0..=asked.to.0)
        .map(|seq| Stored {
            seq: Seq(seq),
            message: Ok(message(&format!("m{seq}"), persistent())),
            expires: None,
            delivery_count: if seq == 2 { 2 } else { 0 },
        })
        .collect();
    b.q.fetched(b.now, stored, asked, &mut b.desk, &mut b.fx);
}

#[test]
fn what_failed_before_a_restart_waits_anew() {
    let mut b = recovered(all(100));
    b.consume(Bench::spec(1));
    assert_eq!(b.q.counts().total(), 3);
    read(&mut b);
    assert_eq!(b.bodies(), "m1 m3");
    assert_eq!((b.q.counts().retrying, waits(&b)), (1, vec![(2, 1200)]));
    b.tick_at(1200);
    read(&mut b);
    let (_, delivery) = &b.desk.out[0];
    assert_eq!((delivery.delivery_count, delivery.redelivered), (2, true));
    assert_eq!(b.bodies(), "m2");
}

#[test]
fn basic_get_after_a_restart_gets_what_need_not_wait() {
    let mut b = recovered(all(100));
    assert!(b.get().is_none(), "read first");
    read(&mut b);
    assert_eq!(b.drain(), "m1 m3");
    assert_eq!((b.q.counts().retrying, b.q.next_deadline()), (1, Some(Millis(1200))));
}

#[test]
fn what_would_be_due_already_does_not_wait_after_a_restart() {
    for released in [false, true] {
        let mut b = recovered(all(100));
        if released {
            assert_eq!(b.q.release_retries(), 0);
        } else {
            b.now = Millis(1200);
        }
        b.consume(Bench::spec(1));
        read(&mut b);
        assert_eq!(b.bodies(), "m1 m2 m3", "{released}");
    }
}

#[test]
fn a_single_active_consumer_gets_what_is_behind_and_its_successor_the_retry() {
    let (mut b, tokens) = held(Settings { single_active_consumer: true, ..all(100) }, &["a", "b"]);
    b.consume(Bench::spec(2));
    b.requeue(&tokens[..1], Requeue::Nack);
    b.dispatch();
    assert!(b.desk.out.is_empty());
    b.q.detach(b.now, ConsumerId(1), &mut b.fx);
    b.requeue(&tokens[1..], Requeue::Recover);
    b.tick_at(1100);
    assert_eq!(b.seen(), [(2, "a".to_owned()), (2, "b".to_owned())]);
}

#[test]
fn a_higher_priority_goes_first_when_both_are_due() {
    let mut b = bench(Settings { max_priority: Some(5), ..all(100) });
    b.consume(Bench::spec(1));
    b.publish_meta("high", MessageMeta { priority: Some(5), ..persistent() });
    let tokens = b.tokens();
    b.desk.shut.insert(1);
    b.publish("low");
    b.requeue(&tokens, Requeue::Nack);
    assert_eq!(b.q.peek(0, 1).len(), 1);
    b.desk.shut.clear();
    b.now = Millis(1100);
    b.q.unblock(ConsumerId(1));
    b.dispatch();
    assert_eq!(b.bodies(), "high low");
}
