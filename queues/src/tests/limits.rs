//! Expiry, length limits, purge.

use super::super::letters::ASIDE_MAX;
use super::super::limits::DROPS_PER_CALL;
use super::*;

fn ttl(ms: u64) -> MessageMeta {
    MessageMeta { expiration_ms: Some(ms), ..MessageMeta::default() }
}

fn dead_letters() -> Settings {
    Settings { dead_letters: true, ..Settings::default() }
}

#[test]
fn lower_of_queue_and_message_ttl_counts() {
    for (queue, own, want) in [
        (Some(50), Some(20), Some(1020)),
        (Some(50), Some(90), Some(1050)),
        (None, Some(20), Some(1020)),
        (Some(50), None, Some(1050)),
        (None, None, None),
    ] {
        let mut b = bench(Settings { message_ttl_ms: queue, ..Settings::default() });
        let meta = MessageMeta { expiration_ms: own, ..MessageMeta::default() };
        let want = want.map(Millis);
        let Published::Enqueued { expires, .. } = b.publish_meta("a", meta) else {
            panic!("enqueued");
        };
        assert_eq!((expires, b.q.next_deadline()), (want, want));
    }
}

#[test]
fn messages_expire_at_the_head_only() {
    let mut b = bench(dead_letters());
    b.publish_meta("a", ttl(10));
    b.publish_meta("b", ttl(50));
    b.publish_meta("c", ttl(5));
    b.tick_at(1009);
    assert!(b.gone().is_empty());
    b.tick_at(1010);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
    assert_eq!(b.q.counts().ready, 2, "c waits behind b");
    assert_eq!(b.q.next_deadline(), Some(Millis(1050)));
    b.tick_at(1050);
    assert_eq!(b.gone().len(), 2);
    assert_eq!(b.q.next_deadline(), None);
}

#[test]
fn expired_message_is_not_delivered_even_without_a_tick() {
    let mut b = bench(dead_letters());
    b.publish_meta("a", ttl(10));
    b.publish("b");
    b.now = Millis(1010);
    b.consume(Bench::spec(1));
    assert_eq!(b.bodies(), "b");
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
}

#[test]
fn get_does_not_see_expired_messages() {
    let mut b = plain();
    b.publish_meta("a", ttl(10));
    b.now = Millis(1010);
    assert!(matches!(b.q.get(b.now, false, &mut b.fx), GetReply::Empty));
    assert!(b.fx.is_empty(), "transient and no dead-letter exchange");
}

#[test]
fn ttl_zero_reaches_only_a_consumer_that_waits() {
    let mut b = bench(dead_letters());
    b.publish_meta("a", ttl(0));
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    b.publish_meta("b", ttl(0));
    b.publish_meta("c", ttl(0));
    assert_eq!(b.bodies(), "b");
    assert_eq!(b.gone(), [(3, SettleReason::Expired, true)]);
}

#[test]
fn what_has_expired_behind_a_message_that_is_fetched_is_not_left() {
    let mut b = bench(dead_letters());
    b.publish("a");
    b.publish_meta("b", ttl(10));
    b.now = Millis(1010);
    let GetReply::Got(got) = b.q.get(b.now, true, &mut b.fx) else { panic!("a") };
    assert_eq!((got.delivery.seq, got.ready_left), (Seq(1), 0));
    assert_eq!(b.gone(), [(2, SettleReason::Expired, true)]);
}

#[test]
fn requeued_message_that_expired_meanwhile_goes_at_once() {
    let mut b = bench(dead_letters());
    b.publish_meta("a", ttl(10));
    let token = b.get().and_then(|d| d.token).expect("token");
    b.tick_at(2000);
    assert!(b.gone().is_empty(), "unacknowledged messages do not expire");
    b.requeue(&[token], Requeue::ChannelClosed);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
}

#[test]
fn expiry_looks_at_the_highest_priority_only() {
    let mut b = bench(Settings { max_priority: Some(1), ..dead_letters() });
    b.publish_meta("low", ttl(10));
    b.publish_meta("high", MessageMeta { priority: Some(1), ..MessageMeta::default() });
    b.tick_at(5000);
    assert!(b.gone().is_empty());
    assert_eq!(b.q.next_deadline(), None);
}

#[test]
fn many_expired_messages_take_several_calls() {
    let mut b = plain();
    let many = 2 * DROPS_PER_CALL as u64 + 1;
    for _ in 0..many {
        b.publish_meta("a", ttl(10));
    }
    b.publish("live");
    b.now = Millis(1010);
    assert!(matches!(b.q.get(b.now, false, &mut b.fx), GetReply::NotYet));
    assert_eq!(b.q.next_deadline(), Some(Millis(0)));
    b.tick_at(1010);
    assert_eq!(b.q.counts().ready, many + 1 - 2 * DROPS_PER_CALL as u64);
    assert_eq!(b.drain(), "live");
    b.q.check();
}

#[test]
fn drop_head_drops_the_oldest_ready_messages() {
    let mut b = bench(Settings { max_length: Some(2), ..dead_letters() });
    b.publish_all(&["a", "b", "c"]);
    assert_eq!(b.gone(), [(1, SettleReason::MaxLength, true)]);
    assert_eq!(b.drain(), "b c");
}

#[test]
fn unacknowledged_messages_do_not_count_until_they_come_back() {
    let mut b = bench(Settings { max_length: Some(2), ..dead_letters() });
    b.publish_all(&["a", "b"]);
    let held: Vec<Token> = (0..2).filter_map(|_| b.get()?.token).collect();
    b.publish_all(&["c", "d"]);
    assert!(b.gone().is_empty());
    b.requeue(&held[1..], Requeue::Nack);
    assert_eq!(b.gone(), [(2, SettleReason::MaxLength, true)], "the head goes");
    assert_eq!(b.drain(), "c d");
}

#[test]
fn byte_limit_counts_bodies_and_may_drop_the_new_message_itself() {
    let mut b = bench(Settings { max_bytes: Some(4), ..dead_letters() });
    b.publish_all(&["aa", "bb", "c"]);
    assert_eq!(b.gone(), [(1, SettleReason::MaxLength, true)]);
    b.publish("ddddd");
    assert_eq!(b.gone().len(), 3);
    assert_eq!(b.q.counts(), Counts::default());
}

#[test]
fn length_zero_lets_through_only_to_waiting_consumers() {
    let mut b = bench(Settings { max_length: Some(0), ..dead_letters() });
    b.publish("a");
    assert_eq!(b.gone(), [(1, SettleReason::MaxLength, true)]);
    b.consume(Bench::spec(1));
    b.publish("b");
    assert_eq!(b.bodies(), "b");
}

#[test]
fn drop_head_takes_from_the_highest_priority() {
    let mut b = bench(Settings { max_priority: Some(9), max_length: Some(2), ..dead_letters() });
    b.publish("low");
    b.publish_meta("high", MessageMeta { priority: Some(9), ..MessageMeta::default() });
    b.publish("low");
    assert_eq!(b.gone(), [(2, SettleReason::MaxLength, true)]);
}

#[test]
fn full_queue_refuses_publishes_when_told_so() {
    for (overflow, dead_letters, want) in [
        (Overflow::RejectPublish, true, false),
        (Overflow::RejectPublishDeadLetter, true, true),
        (Overflow::RejectPublishDeadLetter, false, false),
    ] {
        let mut b = bench(Settings {
            max_length: Some(2),
            max_bytes: Some(4),
            overflow,
            dead_letters,
            ..Settings::default()
        });
        b.publish("aaa");
        assert_eq!(b.publish("bb"), Published::Refused { dead_letter: want });
        assert!(matches!(b.publish("b"), Published::Enqueued { .. }));
        assert_eq!(b.publish(""), Published::Refused { dead_letter: want });
        assert_eq!(b.drain(), "aaa b");
    }
}

#[test]
fn refusing_queue_keeps_what_comes_back() {
    let mut b = bench(Settings { max_length: Some(1), overflow: Overflow::RejectPublish, ..dead_letters() });
    b.publish("a");
    let token = b.get().and_then(|d| d.token).expect("token");
    b.publish("b");
    b.requeue(&[token], Requeue::Nack);
    assert_eq!(b.drain(), "a b");
}

#[test]
fn new_limits_apply_at_once_and_fixed_settings_stay() {
    let mut b = bench(Settings { dead_letters: true, ..durable() });
    b.publish_all(&["a", "b", "c"]);
    let settings = Settings {
        max_length: Some(1),
        max_priority: Some(9),
        single_active_consumer: true,
        dead_letters: true,
        ..Settings::default()
    };
    b.q.set_settings(b.now, settings, &mut b.desk, &mut b.fx);
    assert_eq!(b.gone().len(), 2);
    assert!(b.q.settings().durable && b.q.settings().max_priority.is_none());
    assert!(!b.q.settings().single_active_consumer);
}

#[test]
fn purge_takes_what_is_ready_and_leaves_what_is_held() {
    let mut b = bench(Settings { dead_letters: true, ..durable() });
    for body in ["a", "b", "c", "d"] {
        b.publish_meta(body, persistent());
    }
    let held: Vec<Token> = (0..2).filter_map(|_| b.get()?.token).collect();
    assert_eq!(b.q.purge(&mut b.fx), 2);
    let mark = b.fx.purge.take().expect("a mark");
    assert_eq!((mark.upto, mark.stored), (Seq(4), true));
    assert_eq!(mark.kept, [Seq(1), Seq(2)]);
    assert!(b.gone().is_empty(), "not one by one, and not dead-lettered");
    assert_eq!((b.q.counts().ready, b.q.counts().persistent), (0, 2));
    b.requeue(&held, Requeue::Nack);
    assert_eq!(b.drain(), "a b");
    assert_eq!(b.q.purge(&mut b.fx), 0);
    assert!(b.fx.purge.is_none());
}

#[test]
fn a_time_to_live_that_comes_later_holds_for_what_is_there() {
    let mut b = bench(dead_letters());
    b.publish("old");
    b.publish_meta("short", ttl(10));
    b.now = Millis(2000);
    let with_ttl = Settings { message_ttl_ms: Some(100), ..dead_letters() };
    b.q.set_settings(b.now, with_ttl, &mut b.desk, &mut b.fx);
    assert_eq!(b.q.next_deadline(), Some(Millis(2100)));
    b.now = Millis(2050);
    b.publish("new");
    b.tick_at(2099);
    assert!(b.gone().is_empty(), "the short-lived one waits behind the old one");
    b.tick_at(2100);
    let expired = SettleReason::Expired;
    assert_eq!(b.gone(), [(1, expired, true), (2, expired, true)]);
    assert_eq!(b.q.next_deadline(), Some(Millis(2150)), "the new one's own");
    b.q.set_settings(b.now, dead_letters(), &mut b.desk, &mut b.fx);
    b.tick_at(2150);
    assert_eq!(b.gone(), [(3, expired, true)], "what was published under a time to live keeps it");
}

#[test]
fn a_time_to_live_that_goes_again_spares_what_had_none() {
    let mut b = bench(dead_letters());
    b.publish("old");
    let with_ttl = Settings { message_ttl_ms: Some(100), ..dead_letters() };
    b.q.set_settings(b.now, with_ttl, &mut b.desk, &mut b.fx);
    b.q.set_settings(b.now, dead_letters(), &mut b.desk, &mut b.fx);
    b.tick_at(5000);
    assert!(b.gone().is_empty());
    assert_eq!(b.q.next_deadline(), None);
}

#[test]
fn what_comes_back_expires_with_what_was_there() {
    let mut b = bench(dead_letters());
    b.publish("old");
    b.consume(Bench::spec(1));
    let tokens = b.tokens();
    let with_ttl = Settings { message_ttl_ms: Some(100), ..dead_letters() };
    b.q.set_settings(b.now, with_ttl, &mut b.desk, &mut b.fx);
    b.q.detach(b.now, ConsumerId(1), &mut b.fx);
    b.tick_at(1200);
    b.requeue(&tokens, Requeue::ChannelClosed);
    b.dispatch();
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
}

#[test]
fn a_shorter_limit_drops_at_once_and_a_longer_one_takes_more() {
    let mut b = bench(dead_letters());
    b.publish_all(&["a", "b", "c", "d"]);
    let most = |max| Settings { max_length: Some(max), ..dead_letters() };
    b.q.set_settings(b.now, most(1), &mut b.desk, &mut b.fx);
    let over = SettleReason::MaxLength;
    assert_eq!(b.gone(), [(1, over, true), (2, over, true), (3, over, true)]);
    b.q.set_settings(b.now, most(2), &mut b.desk, &mut b.fx);
    b.publish_all(&["e", "f"]);
    assert_eq!(b.gone(), [(4, over, true)]);
    assert_eq!(b.drain(), "e f");
}

/// A queue that holds dead letters from the start.
fn held(settings: Settings) -> Bench {
    let mut b = bench(settings);
    b.q.hold_letters(true);
    b
}

#[test]
fn what_expires_waits_while_dead_letters_are_held() {
    let mut b = held(dead_letters());
    b.publish_meta("a", ttl(10));
    b.publish_meta("b", ttl(10));
    b.tick_at(1010);
    assert!(b.gone().is_empty() && b.q.letters_wait());
    assert_eq!((b.q.counts().ready, b.q.next_deadline()), (2, None), "the caller asks again");
    assert!(b.get().is_none(), "expired messages are not delivered");
    assert_eq!((b.q.counts().ready, b.q.peek(0, 9).len()), (2, 2), "nor are they hidden");
    b.q.hold_letters(false);
    assert_eq!(b.q.next_deadline(), Some(Millis(0)));
    b.tick_at(1020);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true), (2, SettleReason::Expired, true)]);
    assert!(!b.q.letters_wait());
    assert_eq!((b.q.counts(), b.q.next_deadline()), (Counts::default(), None));
}

#[test]
fn consumers_get_what_stands_behind_expired_messages_that_wait() {
    let mut b = held(dead_letters());
    b.publish_meta("a", ttl(10));
    b.publish("b");
    b.publish_meta("c", ttl(10));
    b.publish("d");
    b.now = Millis(1010);
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    let tokens = b.tokens();
    b.settle(&tokens);
    b.dispatch();
    assert_eq!(b.bodies(), "d");
    assert_eq!(b.gone(), []);
    assert_eq!((b.q.counts().ready, b.q.counts().unacked), (2, 1));
    b.q.hold_letters(false);
    b.tick_at(1011);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true), (3, SettleReason::Expired, true)]);
}

#[test]
fn a_purge_takes_what_waits_along() {
    let mut b = held(dead_letters());
    b.publish_meta("a", ttl(10));
    b.publish("b");
    b.now = Millis(1010);
    assert_eq!(b.get().expect("b").seq, Seq(2));
    assert_eq!(b.q.purge(&mut b.fx), 1);
    b.q.hold_letters(false);
    b.tick_at(2000);
    assert!(b.gone().is_empty());
}

#[test]
fn a_limit_is_kept_to_when_dead_letters_need_not_wait_any_more() {
    let mut b = held(Settings { max_length: Some(1), ..dead_letters() });
    b.publish_all(&["a", "b", "c"]);
    assert!(b.gone().is_empty() && b.q.letters_wait());
    assert_eq!(b.q.counts().ready, 3);
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    assert_eq!(b.bodies(), "a", "it is not expired");
    b.q.hold_letters(false);
    b.tick_at(1001);
    assert_eq!(b.gone(), [(2, SettleReason::MaxLength, true)]);
}

#[test]
fn what_clients_reject_waits_too_without_its_body_and_goes_in_order() {
    let mut b = held(Settings { delivery_limit: Some(0), durable: true, ..dead_letters() });
    for body in ["a", "b", "c"] {
        b.publish_meta(body, persistent());
    }
    b.consume(Bench::spec(1));
    let tokens = b.tokens();
    b.reject(&tokens[..1]);
    b.requeue(&tokens[1..2], Requeue::Nack);
    assert_eq!(b.gone(), []);
    assert!(b.q.letters_wait());
    assert_eq!((b.q.counts().ready, b.q.counts().unacked), (2, 1));
    b.q.page_out(0, Seq(3), true);
    assert_eq!((b.q.counts().away, b.q.counts().resident_bytes), (2, 0));
    b.q.hold_letters(false);
    b.reject(&tokens[2..]);
    assert_eq!(b.gone(), [], "it stands behind what waited longer");
    assert_eq!(b.q.next_deadline(), Some(Millis(0)));
    b.tick_at(1001);
    let (rejected, limit) = (SettleReason::Rejected, SettleReason::DeliveryLimit);
    assert_eq!(b.gone(), [(1, rejected, true), (2, limit, true), (3, rejected, true)]);
    assert_eq!(b.q.counts(), Counts { consumers: 1, ..Counts::default() });
}

#[test]
fn only_dead_letters_are_held() {
    let mut b = held(durable());
    b.publish_meta("a", MessageMeta { persistent: true, ..ttl(10) });
    b.tick_at(1010);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, false)]);
}

#[test]
fn without_a_rule_any_more_what_waits_is_dropped() {
    let mut b = held(dead_letters());
    b.publish_meta("a", ttl(10));
    b.publish("b");
    b.now = Millis(1010);
    assert_eq!(b.get().expect("b").seq, Seq(2));
    b.q.set_settings(b.now, Settings::default(), &mut b.desk, &mut b.fx);
    assert_eq!(b.q.counts().ready, 0);
    assert!(b.fx.gone.is_empty() && !b.q.letters_wait());
}

#[test]
fn so_many_expired_messages_are_put_aside_and_then_the_queue_waits() {
    let mut b = held(dead_letters());
    for _ in 0..=ASIDE_MAX {
        b.publish_meta("a", ttl(10));
    }
    b.publish("b");
    b.now = Millis(1010);
    b.consume(Bench::spec(1));
    assert_eq!((b.bodies().as_str(), b.q.counts().ready), ("", ASIDE_MAX as u64 + 2));
    assert_eq!(b.q.next_deadline(), None);
    b.q.hold_letters(false);
    b.tick_at(1011);
    assert_eq!((b.gone().len(), b.q.next_deadline()), (ASIDE_MAX, Some(Millis(0))));
    b.tick_at(1012);
    assert_eq!((b.gone().len(), b.bodies().as_str()), (1, "b"));
}

#[test]
fn large_dead_letters_go_a_few_at_a_time() {
    let mut b = bench(dead_letters());
    let body = "x".repeat(1 << 20);
    for _ in 0..10 {
        b.publish_meta(&body, ttl(10));
    }
    for want in [4, 4, 2] {
        b.tick_at(1010);
        assert_eq!(b.gone().len(), want);
    }
    assert_eq!(b.q.next_deadline(), None);
}
