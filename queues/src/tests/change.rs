//! Changing a queue's fixed settings in place.

use super::*;

impl Bench {
    /// Changes the queue; returns the sequence numbers that the store is to be told of.
    fn change(&mut self, settings: Settings) -> Vec<u64> {
        let told = self.q.change(self.now, settings, Seq(u64::MAX), &mut self.desk, &mut self.fx);
        self.q.check();
        told.iter().map(|told| told.seq.0).collect()
    }
}

#[test]
fn messages_and_consumers_stay_where_they_are() {
    let mut b = plain();
    b.publish_all(&["m1", "m2", "m3"]);
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    let held = b.tokens();
    assert!(b.change(Settings { max_priority: Some(5), ..Settings::default() }).is_empty());
    b.publish_meta("urgent", MessageMeta { priority: Some(5), ..MessageMeta::default() });
    b.settle(&held);
    b.dispatch();
    assert_eq!(b.bodies(), "urgent");
    assert!(b.change(Settings::default()).is_empty());
    b.publish_meta("late", MessageMeta { priority: Some(5), ..MessageMeta::default() });
    assert_eq!(b.drain(), "m2 m3 late");
}

#[test]
fn limits_hold_for_what_is_there_already() {
    let mut b = plain();
    b.publish_all(&["m1", "m2", "m3"]);
    b.change(Settings { max_length: Some(1), dead_letters: true, ..Settings::default() });
    assert_eq!(b.gone(), [(1, SettleReason::MaxLength, true), (2, SettleReason::MaxLength, true)]);
}

#[test]
fn only_one_is_served_from_then_on_and_all_again() {
    let mut b = plain();
    for id in [1, 2] {
        b.attach(ConsumerSpec {
            prefetch: 1,
            priority: i32::try_from(id).expect("small"),
            ..Bench::spec(id)
        });
    }
    b.change(Settings { single_active_consumer: true, ..Settings::default() });
    b.publish_all(&["m1", "m2"]);
    assert_eq!(b.takers(), [2]);
    b.change(Settings::default());
    assert_eq!(b.takers(), [1]);
}

#[test]
fn what_becomes_durable_is_told_once_with_what_was_handed_out() {
    let mut b = plain();
    let ready: Vec<u64> = (1..=20).collect();
    for n in &ready {
        b.publish_meta(&format!("m{n}"), persistent());
    }
    b.publish("passing");
    let token = b.get().and_then(|delivery| delivery.token).expect("one");
    assert_eq!(b.change(durable()), ready);
    assert_eq!(b.fx.delivered_upto, Some(Seq(1)));
    assert!(b.change(durable()).is_empty());
    assert!(b.q.is_stored(token));
    b.settle(&[token]);
    assert_eq!(b.gone(), [(1, SettleReason::Acked, false)], "the store hears of it");
    assert!(b.page_out(0) > 0, "they can leave memory as others do");
}

#[test]
fn what_becomes_transient_is_still_settled_in_the_store_and_read_from_it() {
    let mut b = bench(durable());
    for n in 1..=20 {
        b.publish_meta(&format!("m{n}"), persistent());
    }
    b.change(Settings::default());
    b.publish_meta("m21", persistent());
    assert!(b.page_out(0) > 0, "what is written can leave memory");
    b.consume(Bench::spec(1));
    b.answer(|seq| (seq <= 20).then(|| Ok(message(&format!("m{seq}"), persistent()))));
    assert_eq!(b.seen().len(), 21);
    b.q.purge(&mut b.fx);
    b.publish("m22");
    b.change(durable());
    b.desk.shut.insert(1);
    b.publish("m23");
    assert_eq!(b.q.purge(&mut b.fx), 1);
    assert!(b.fx.purge.as_ref().is_some_and(|purge| purge.stored));
}
