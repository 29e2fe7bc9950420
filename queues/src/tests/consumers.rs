//! Which consumer is served.

use super::*;

#[test]
fn consumers_take_turns() {
    let mut b = plain();
    for id in 1..=3 {
        b.consume(Bench::spec(id));
    }
    b.publish_all(&["a", "b", "c", "d"]);
    assert_eq!(b.takers(), [1, 2, 3, 1]);
}

#[test]
fn attach_delivers_nothing_before_the_kick() {
    let mut b = plain();
    b.publish("a");
    b.attach(Bench::spec(1));
    assert_eq!(b.bodies(), "");
    b.dispatch();
    assert_eq!(b.bodies(), "a");
}

#[test]
fn prefetch_bounds_what_a_consumer_holds_and_acks_free_it() {
    let mut b = plain();
    b.consume(ConsumerSpec { prefetch: 2, ..Bench::spec(1) });
    b.publish_all(&["a", "b", "c", "d"]);
    let tokens = b.tokens();
    assert_eq!(tokens.len(), 2);
    b.settle(&tokens[..1]);
    b.dispatch();
    assert_eq!(b.bodies(), "c");
    b.requeue(&tokens[1..], Requeue::Nack);
    b.dispatch();
    assert_eq!(b.bodies(), "b");
}

#[test]
fn prefetch_does_not_bind_consumers_that_do_not_acknowledge() {
    let mut b = plain();
    b.consume(ConsumerSpec { prefetch: 1, no_ack: true, ..Bench::spec(1) });
    b.publish_all(&["a", "b"]);
    assert_eq!(b.bodies(), "a b");
}

#[test]
fn full_consumers_are_skipped() {
    let mut b = plain();
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    b.consume(Bench::spec(2));
    b.publish_all(&["a", "b", "c"]);
    assert_eq!(b.takers(), [1, 2, 2]);
}

#[test]
fn consumer_without_room_takes_nothing_until_unblocked() {
    let mut b = plain();
    b.desk.room.insert(1, 1);
    b.consume(Bench::spec(1));
    b.publish_all(&["a", "b"]);
    assert_eq!(b.bodies(), "a");
    b.desk.room.insert(1, 9);
    b.dispatch();
    assert_eq!(b.bodies(), "", "nobody said that there is room");
    b.q.unblock(ConsumerId(1));
    b.dispatch();
    assert_eq!(b.bodies(), "b");
}

#[test]
fn refused_room_uses_no_credit() {
    let mut b = plain();
    b.desk.shut.insert(1);
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    b.publish("a");
    b.desk.shut.clear();
    b.q.unblock(ConsumerId(1));
    b.dispatch();
    assert_eq!(b.bodies(), "a");
    assert_eq!(b.q.consumers().map(|c| c.unacked).sum::<u32>(), 1);
}

#[test]
fn lower_priority_is_served_only_when_higher_ones_cannot() {
    let mut b = plain();
    b.consume(Bench::spec(1));
    b.consume(ConsumerSpec { priority: 10, prefetch: 2, ..Bench::spec(2) });
    b.consume(ConsumerSpec { priority: -1, ..Bench::spec(3) });
    b.publish_all(&["a", "b", "c", "d"]);
    assert_eq!(b.takers(), [2, 2, 1, 1]);
}

#[test]
fn exclusive_consumer_stands_alone() {
    let exclusive = |id| ConsumerSpec { exclusive: true, ..Bench::spec(id) };
    let mut b = plain();
    b.consume(exclusive(1));
    let refused = b.q.attach(b.now, Bench::spec(2), &mut b.fx);
    assert_eq!(refused, Err(AttachRefused::ExclusiveInUse));
    b.q.detach(b.now, ConsumerId(1), &mut b.fx);
    b.consume(Bench::spec(2));
    let refused = b.q.attach(b.now, exclusive(3), &mut b.fx);
    assert_eq!(refused, Err(AttachRefused::ExclusiveInUse));
    b.q.check();
}

#[test]
fn single_active_consumer_refuses_exclusive_ones() {
    let mut b = bench(Settings { single_active_consumer: true, ..Settings::default() });
    let spec = ConsumerSpec { exclusive: true, ..Bench::spec(1) };
    let refused = b.q.attach(b.now, spec, &mut b.fx);
    assert_eq!(refused, Err(AttachRefused::ExclusiveOnSingleActive));
}

#[test]
fn an_id_is_attached_once() {
    let mut b = plain();
    b.consume(Bench::spec(1));
    let refused = b.q.attach(b.now, Bench::spec(1), &mut b.fx);
    assert_eq!(refused, Err(AttachRefused::DuplicateId));
}

#[test]
fn detached_consumers_messages_stay_unacknowledged() {
    let mut b = plain();
    b.consume(Bench::spec(1));
    b.publish("a");
    let tokens = b.tokens();
    assert!(b.q.detach(b.now, ConsumerId(1), &mut b.fx));
    assert!(!b.q.detach(b.now, ConsumerId(1), &mut b.fx));
    assert_eq!(b.q.counts().unacked, 1);
    b.settle(&tokens);
    assert_eq!(b.q.counts(), Counts::default());
}

#[test]
fn credit_of_a_detached_consumer_does_not_go_to_the_next_in_its_slot() {
    let mut b = plain();
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    b.publish_all(&["a", "b", "c"]);
    let old = b.tokens();
    b.q.detach(b.now, ConsumerId(1), &mut b.fx);
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(2) });
    assert_eq!(b.bodies(), "b");
    b.settle(&old);
    b.dispatch();
    assert_eq!(b.bodies(), "");
    b.q.check();
}

#[test]
fn single_active_first_is_served_until_it_leaves() {
    let mut b = bench(Settings { single_active_consumer: true, ..Settings::default() });
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    b.consume(Bench::spec(2));
    b.consume(ConsumerSpec { priority: 5, ..Bench::spec(3) });
    b.consume(ConsumerSpec { priority: 5, ..Bench::spec(4) });
    assert_eq!(b.fx.activity, [(ConsumerId(1), true)]);
    b.fx.clear();
    b.publish_all(&["a", "b"]);
    assert_eq!(b.takers(), [1], "full, but nobody else is active");
    b.q.detach(b.now, ConsumerId(1), &mut b.fx);
    assert_eq!(b.fx.activity, [(ConsumerId(3), true)]);
    assert!(b.takers().is_empty(), "not before the kick");
    b.dispatch();
    assert_eq!(b.takers(), [3], "though a is still unacknowledged");
    assert_eq!(b.q.active(), Some(ConsumerId(3)));
    let active: Vec<u64> = b.q.consumers().filter(|c| c.active).map(|c| c.spec.id.0).collect();
    assert_eq!(active, [3]);
    b.q.detach(b.now, ConsumerId(2), &mut b.fx);
    assert_eq!(b.q.active(), Some(ConsumerId(3)), "a waiting one left");
}

#[test]
fn get_takes_the_head_and_tells_what_is_left() {
    let mut b = plain();
    b.publish_all(&["a", "b"]);
    let GetReply::Got(got) = b.q.get(b.now, true, &mut b.fx) else {
        panic!("there is one");
    };
    assert_eq!((got.delivery.message.body(), got.ready_left), (&b"a"[..], 1));
    assert!(got.delivery.token.is_none());
    assert_eq!(b.drain(), "b");
    assert!(matches!(b.q.get(b.now, false, &mut b.fx), GetReply::Empty));
}

#[test]
fn a_thousand_blocked_consumers_are_not_asked_again() {
    struct Counting(usize);
    impl Outlet<u64> for Counting {
        fn reserve(&mut self, _: &u64, _: usize) -> bool {
            self.0 += 1;
            false
        }
        fn deliver(&mut self, _: &u64, _: Delivery) {}
    }
    let mut b = plain();
    for id in 0..1000 {
        b.attach(Bench::spec(id));
    }
    let mut outlet = Counting(0);
    for _ in 0..10 {
        b.q.publish(b.now, message("a", MessageMeta::default()), &mut outlet, &mut b.fx);
    }
    assert_eq!(outlet.0, 1000);
}

#[test]
fn unused_queue_expires_and_use_defers_that() {
    let mut b = bench(Settings { expires_ms: Some(100), ..Settings::default() });
    assert_eq!(b.q.idle_deadline(), Some(Millis(1100)));
    b.q.touch(Millis(1050));
    assert_eq!(b.q.idle_deadline(), Some(Millis(1150)));
    b.now = Millis(1060);
    assert!(b.get().is_none());
    assert_eq!(b.q.idle_deadline(), Some(Millis(1160)));
    b.consume(Bench::spec(1));
    assert_eq!(b.q.idle_deadline(), None);
    b.q.detach(Millis(1500), ConsumerId(1), &mut b.fx);
    assert_eq!(b.q.idle_deadline(), Some(Millis(1600)));
}

#[test]
fn single_active_successor_sees_a_closed_channels_messages_first() {
    let mut b = bench(Settings { single_active_consumer: true, ..Settings::default() });
    for id in 1..=3 {
        b.consume(Bench::spec(id));
    }
    b.desk.room.insert(1, 2);
    b.publish_all(&["a", "b", "c"]);
    let held = b.tokens();
    assert_eq!(held.len(), 2);
    for id in 1..=2 {
        b.q.detach(b.now, ConsumerId(id), &mut b.fx);
    }
    b.requeue(&held, Requeue::ChannelClosed);
    b.dispatch();
    assert_eq!(b.takers(), [3, 3, 3]);
    assert_eq!(b.q.counts().unacked, 3);
}
