//! Order, redelivery, settling.

use super::*;

#[test]
fn messages_come_in_publish_order() {
    let mut b = plain();
    b.publish_all(&["a", "b", "c"]);
    assert_eq!(b.q.counts().ready, 3);
    b.consume(Bench::spec(1));
    assert_eq!(b.bodies(), "a b c");
    assert_eq!((b.q.counts().ready, b.q.counts().unacked), (0, 3));
}

#[test]
fn settled_messages_leave_no_trace() {
    let mut b = plain();
    b.consume(Bench::spec(1));
    b.publish_all(&["a", "b"]);
    let tokens = b.tokens();
    b.settle(&tokens);
    b.settle(&tokens);
    assert_eq!(b.q.counts(), Counts { consumers: 1, ..Counts::default() });
    assert!(b.fx.is_empty(), "transient and not dead-lettered: nothing to do");
}

#[test]
fn stale_token_does_not_settle_the_slots_next_user() {
    let mut b = plain();
    b.publish_all(&["a", "b"]);
    let old = b.get().and_then(|d| d.token).expect("token");
    b.settle(&[old]);
    let new = b.get().and_then(|d| d.token).expect("token");
    assert_eq!(old.slot, new.slot, "the slot is used again");
    b.settle(&[old]);
    assert_eq!(b.q.counts().unacked, 1);
}

#[test]
fn no_ack_message_passes_through_an_empty_durable_queue() {
    let mut b = bench(durable());
    b.consume(ConsumerSpec { no_ack: true, ..Bench::spec(1) });
    assert_eq!(b.publish_meta("a", persistent()), Published::Passed);
    let (_, delivery) = b.desk.out.pop().expect("delivered");
    assert!(delivery.token.is_none() && !delivery.redelivered);
    assert!(b.fx.is_empty());
    assert_eq!(b.q.counts().unacked, 0);
}

#[test]
fn no_ack_delivery_of_a_stored_message_is_reported_as_acked() {
    let mut b = bench(durable());
    b.publish_meta("a", persistent());
    b.publish("transient");
    b.consume(ConsumerSpec { no_ack: true, ..Bench::spec(1) });
    assert_eq!(b.bodies(), "a transient");
    assert_eq!(b.gone(), [(1, SettleReason::Acked, false)]);
    assert_eq!(b.fx.delivered_upto, None, "it is gone, not delivered");
}

#[test]
fn delivered_upto_follows_stored_messages_only_and_only_grows() {
    let mut b = bench(durable());
    b.publish_meta("a", persistent());
    b.publish("b");
    b.consume(Bench::spec(1));
    assert_eq!(b.fx.delivered_upto, Some(Seq(1)));
    b.fx.clear();
    let tokens = b.tokens();
    b.requeue(&tokens, Requeue::Recover);
    b.dispatch();
    assert_eq!(b.fx.delivered_upto, None);
    assert_eq!(
        b.publish_meta("c", persistent()),
        Published::Enqueued { seq: Seq(3), priority_level: 0, expires: None }
    );
    assert_eq!(b.fx.delivered_upto, Some(Seq(3)));
}

#[test]
fn requeued_messages_return_to_their_old_places_marked_redelivered() {
    let mut b = plain();
    b.publish_all(&["a", "b", "c", "d", "e"]);
    let held: Vec<Token> = (0..4).filter_map(|_| b.get()?.token).collect();
    b.requeue(&[held[3], held[0], held[1]], Requeue::Recover);
    assert_eq!(b.q.counts().ready, 4);
    let first = b.get().expect("a");
    assert!(first.redelivered);
    assert_eq!(first.seq, Seq(1));
    assert_eq!(b.drain(), "b d e");
    assert!(b.tokens().is_empty());
}

#[test]
fn fresh_message_is_not_redelivered_even_after_a_requeue_before_it() {
    let mut b = plain();
    b.publish_all(&["a", "b"]);
    let token = b.get().and_then(|d| d.token).expect("token");
    b.requeue(&[token], Requeue::Nack);
    assert!(b.get().expect("a").redelivered);
    assert!(!b.get().expect("b").redelivered);
}

#[test]
fn failed_deliveries_count_and_others_do_not() {
    for (cause, want) in
        [(Requeue::Nack, 1), (Requeue::Reject, 1), (Requeue::ChannelClosed, 1), (Requeue::Recover, 0)]
    {
        let mut b = plain();
        b.publish("a");
        let token = b.get().and_then(|d| d.token).expect("token");
        b.requeue(&[token], cause);
        assert_eq!(b.get().expect("a").delivery_count, want, "{cause:?}");
    }
}

#[test]
fn delivery_limit_drops_what_fails_more_often() {
    let mut b = bench(Settings { delivery_limit: Some(2), dead_letters: true, ..durable() });
    b.publish_meta("a", persistent());
    for count in 1..=2 {
        let token = b.get().and_then(|d| d.token).expect("token");
        b.requeue(&[token], Requeue::Reject);
        assert_eq!(b.fx.returned.pop(), Some((Seq(1), count)));
    }
    let token = b.get().and_then(|d| d.token).expect("token");
    b.requeue(&[token], Requeue::Reject);
    assert_eq!(b.gone(), [(1, SettleReason::DeliveryLimit, true)]);
    assert!(b.get().is_none());
}

#[test]
fn rejected_messages_are_dead_lettered_only_if_there_is_an_exchange() {
    for dead_letters in [true, false] {
        let mut b = bench(Settings { dead_letters, ..durable() });
        b.publish_meta("a", persistent());
        let token = b.get().and_then(|d| d.token).expect("token");
        b.reject(&[token]);
        assert_eq!(b.gone(), [(1, SettleReason::Rejected, dead_letters)]);
    }
}

#[test]
fn higher_priorities_go_first_and_too_high_ones_are_clamped() {
    let mut b = bench(Settings { max_priority: Some(5), ..Settings::default() });
    for (body, priority) in [("none", None), ("p5", Some(5)), ("p9", Some(9)), ("p1", Some(1))] {
        let meta = MessageMeta { priority, ..MessageMeta::default() };
        b.publish_meta(body, meta);
    }
    let first = b.get().and_then(|d| d.token).expect("token");
    b.requeue(&[first], Requeue::Nack);
    assert_eq!(b.drain(), "p5 p9 p1 none");
    b.q.shrink();
    b.publish("again");
    assert_eq!(b.drain(), "again");
}

#[test]
fn priority_is_ignored_without_max_priority() {
    let mut b = plain();
    b.publish("a");
    b.publish_meta("b", MessageMeta { priority: Some(9), ..MessageMeta::default() });
    assert_eq!(b.drain(), "a b");
}

#[test]
fn peek_shows_the_order_of_delivery_and_changes_nothing() {
    let mut b = bench(Settings { max_priority: Some(1), ..Settings::default() });
    b.publish_all(&["a", "b"]);
    b.publish_meta("c", MessageMeta { priority: Some(1), ..MessageMeta::default() });
    let seqs = |peeked: Vec<Peeked<'_>>| -> Vec<u64> {
        let seq = |p: &Peeked<'_>| match p {
            Peeked::Message { seq, .. } => seq.0,
            Peeked::OnDisk { .. } => 0,
        };
        peeked.iter().map(seq).collect()
    };
    assert_eq!(seqs(b.q.peek(0, 10)), [3, 1, 2]);
    assert_eq!(seqs(b.q.peek(1, 1)), [1]);
    assert_eq!(b.q.counts().ready, 3);
}

#[test]
fn an_idle_queue_is_small() {
    assert!(size_of::<Queue<u64>>() <= 456, "{}", size_of::<Queue<u64>>());
}

#[test]
fn long_queue_gives_its_room_back_while_it_shrinks() {
    let room =
        |b: &Bench| b.q.priority_levels.get(0).map_or(0, |priority_level| priority_level.head.capacity());
    let mut b = plain();
    for _ in 0..10_000 {
        b.publish("a");
    }
    assert!(room(&b) >= 10_000);
    for _ in 0..9_900 {
        assert!(matches!(b.q.get(b.now, true, &mut b.fx), GetReply::Got(_)));
    }
    assert!(room(&b) < 1_000);
    b.drain();
    b.q.shrink();
    assert_eq!(room(&b), 0);
}
