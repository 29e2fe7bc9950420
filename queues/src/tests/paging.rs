//! Paging out and reading back.

use super::*;

fn stored(bodies: &[&str]) -> Bench {
    let mut b = bench(durable());
    for body in bodies {
        b.publish_meta(body, persistent());
    }
    b
}

/// Ten messages `m1` to `m10`, stored.
fn ten() -> Bench {
    let bodies: Vec<String> = (1..=10).map(|n| format!("m{n}")).collect();
    stored(&bodies.iter().map(String::as_str).collect::<Vec<_>>())
}

#[expect(clippy::unnecessary_wraps, reason = "the answer may say 'not there'")]
fn whole(seq: u64) -> Option<Result<Message, String>> {
    Some(Ok(message(&format!("m{seq}"), persistent())))
}

fn recovered(settings: Settings, ranges: &[ColdRange], delivered_upto: u64) -> Bench {
    let found =
        RecoveredQueue { ranges: ranges.to_vec(), last_seq: Seq(100), delivered_upto: Seq(delivered_upto) };
    let mut b = bench(settings);
    b.q = Queue::recover(settings, &found, b.now);
    b
}

fn range(priority_level: u8, first: u64, last: u64) -> ColdRange {
    let count = last + 1 - first;
    ColdRange { priority_level, first: Seq(first), last: Seq(last), count, bytes: 2 * count }
}

#[test]
fn paged_out_messages_keep_their_counts_and_come_back_in_order() {
    let mut b = ten();
    let before = b.q.counts();
    let freed = b.page_out(0);
    assert_eq!(freed, before.resident_bytes);
    let counts = Counts { away: 10, resident_bytes: 0, ..before };
    assert_eq!(b.q.counts(), counts);
    assert_eq!(b.q.peek(0, 99).len(), 1, "one stretch for all of them");
    b.publish_meta("m11", persistent());
    b.consume(Bench::spec(1));
    assert_eq!(b.bodies(), "", "nothing overtakes");
    b.answer(whole);
    assert_eq!(b.bodies(), "m1 m2 m3 m4 m5 m6 m7 m8 m9 m10 m11");
    assert_eq!(b.q.counts().away, 0);
}

#[test]
fn head_stays_in_memory_as_far_as_told() {
    let mut b = ten();
    let one = b.q.counts().resident_bytes / 10;
    b.page_out(2 * one);
    assert_eq!(b.q.counts().away, 8);
    assert_eq!(b.get().expect("m1").message.body(), b"m1");
    assert!(b.fx.read.is_some(), "half of the head is gone: read ahead");
    assert_eq!(b.get().expect("m2").message.body(), b"m2");
    assert!(matches!(b.q.get(b.now, false, &mut b.fx), GetReply::NotYet));
    b.answer(whole);
    assert_eq!(b.drain(), "m3 m4 m5 m6 m7 m8 m9 m10");
}

#[test]
fn only_written_messages_are_paged_out() {
    let mut b = ten();
    b.q.page_out(0, Seq(8), false);
    assert_eq!(b.q.counts().away, 8);
    let mut b = ten();
    b.q.page_out(0, Seq(7), false);
    assert_eq!(b.q.counts().away, 0, "too few for a stretch");
}

#[test]
fn transient_messages_stay_until_they_are_written() {
    let mut b = plain();
    for n in 1..=10 {
        b.publish(&format!("m{n}"));
    }
    assert_eq!(b.page_out(0), 0);
    let candidates = b.q.page_candidates(0, 100);
    assert_eq!(candidates.len(), 10);
    assert!(b.q.page_candidates(0, 100).is_empty(), "one batch at a time");
    assert_eq!(b.page_out(0), 0);
    let token = b.get().and_then(|d| d.token).expect("token");
    b.settle(&[token]);
    assert_eq!(b.gone(), [(1, SettleReason::Acked, false)], "a settle record is owed");
    b.q.paged();
    assert!(b.page_out(0) > 0);
    assert_eq!(b.q.counts().away, 9);
    b.consume(Bench::spec(1));
    b.answer(|seq| Some(Ok(message(&format!("m{seq}"), MessageMeta::default()))));
    assert_eq!(b.bodies(), "m2 m3 m4 m5 m6 m7 m8 m9 m10");
}

#[test]
fn unwritten_transient_in_the_middle_stays_in_memory() {
    let mut b = bench(durable());
    for n in 1..=19 {
        let meta = if n == 10 { MessageMeta::default() } else { persistent() };
        b.publish_meta(&format!("m{n}"), meta);
    }
    b.page_out(0);
    assert_eq!(b.q.counts().away, 18);
    b.consume(Bench::spec(1));
    b.answer(whole);
    b.answer(whole);
    let want: Vec<String> = (1..=19).map(|n| format!("m{n}")).collect();
    assert_eq!(b.bodies(), want.join(" "));
}

#[test]
fn held_bodies_can_go_and_an_ack_does_not_need_them() {
    let mut b = stored(&["m1", "m2"]);
    b.consume(Bench::spec(1));
    let tokens = b.tokens();
    assert!(b.page_out(0) > 0);
    assert_eq!(b.q.counts().resident_bytes, 0);
    b.settle(&tokens[..1]);
    assert!(b.fx.gone[0].message.is_none() && b.fx.gone[0].stored);
    b.q.check();
}

#[test]
fn requeued_message_without_body_is_read_back_into_its_place() {
    let mut b = stored(&["m1", "m2", "m3"]);
    let held: Vec<Token> = (0..3).filter_map(|_| b.get()?.token).collect();
    b.page_out(0);
    b.requeue(&[held[2], held[0]], Requeue::Nack);
    assert_eq!((b.q.counts().ready, b.q.counts().away), (2, 2));
    b.consume(Bench::spec(1));
    let asked = b.answer(whole);
    assert_eq!((asked.from, asked.to), (Seq(1), Seq(3)));
    assert!(b.desk.out.iter().all(|(_, d)| d.redelivered && d.delivery_count == 1));
    assert_eq!(b.bodies(), "m1 m3", "m2 is still held");
    assert_eq!(b.fx.lost, 0);
}

#[test]
fn answer_in_parts_is_asked_for_until_all_is_here() {
    let mut b = ten();
    b.page_out(0);
    b.consume(Bench::spec(1));
    b.answer(|seq| whole(seq).filter(|_| seq <= 4));
    assert_eq!(b.bodies(), "m1 m2 m3 m4");
    let asked = b.answer(whole);
    assert_eq!((asked.from, asked.to), (Seq(5), Seq(10)));
    assert_eq!(b.bodies(), "m5 m6 m7 m8 m9 m10");
}

#[test]
fn damaged_and_missing_messages_are_reported_and_leave_the_counts() {
    let mut b = ten();
    b.page_out(0);
    b.consume(Bench::spec(1));
    b.answer(|seq| match seq {
        2 => Some(Err("crc".to_owned())),
        5 => None,
        _ => whole(seq),
    });
    assert_eq!(b.bodies(), "m1 m3 m4 m6 m7 m8 m9 m10");
    assert_eq!(b.fx.damaged, [(Seq(2), "crc".to_owned())]);
    assert_eq!(b.fx.lost, 1);
    let tokens: Vec<Token> = b.tokens();
    assert!(tokens.is_empty());
    assert_eq!(b.q.counts().ready, 0);
    b.q.check();
}

#[test]
fn stretch_that_the_store_knows_nothing_of_is_lost_and_the_rest_goes_on() {
    let mut b = ten();
    b.page_out(0);
    b.publish_meta("m11", persistent());
    b.consume(Bench::spec(1));
    b.answer(|_| None);
    assert_eq!(b.fx.lost, 10);
    assert_eq!(b.bodies(), "m11");
}

#[test]
fn failed_read_is_tried_again_later() {
    let mut b = ten();
    b.page_out(0);
    b.consume(Bench::spec(1));
    let asked = b.fx.read.take().expect("asked");
    assert_eq!(b.q.next_deadline(), None, "the answer will come");
    b.q.read_failed(b.now, asked);
    b.dispatch();
    assert_eq!(b.fx.read, None);
    assert_eq!(b.q.next_deadline(), Some(Millis(2000)));
    b.tick_at(2000);
    b.answer(whole);
    assert_eq!(b.seen().len(), 10);
}

#[test]
fn answer_after_a_purge_is_ignored() {
    let mut b = ten();
    b.page_out(0);
    b.consume(Bench::spec(1));
    let asked = b.fx.read.take().expect("asked");
    assert_eq!(b.q.purge(&mut b.fx), 10);
    b.publish("new");
    let late =
        Stored { seq: Seq(1), message: Ok(message("m1", persistent())), expires: None, delivery_count: 0 };
    b.q.fetched(b.now, vec![late], asked, &mut b.desk, &mut b.fx);
    assert_eq!(b.bodies(), "new");
    b.q.check();
}

#[test]
fn paging_during_a_read_does_not_disturb_its_answer() {
    let mut b = ten();
    b.page_out(0);
    b.consume(Bench::spec(1));
    for n in 11..=30 {
        b.publish_meta(&format!("m{n}"), persistent());
    }
    b.page_out(0);
    assert_eq!(b.q.counts().away, 30);
    let asked = b.answer(whole);
    assert_eq!(asked.to, Seq(10), "the stretch has grown since");
    assert_eq!(b.seen().len(), 10);
    b.answer(whole);
    assert_eq!(b.seen().len(), 20);
}

#[test]
fn paging_during_a_read_leaves_the_head_that_its_answer_follows() {
    let mut b = bench(durable());
    for n in 1..=40 {
        b.publish_meta(&format!("m{n}"), persistent());
    }
    let one = b.q.counts().resident_bytes / 40;
    b.page_out(20 * one);
    for _ in 0..10 {
        assert!(b.get().is_some());
    }
    let asked = b.fx.read.expect("half of the head is gone: read ahead");
    let counts = b.q.counts();
    assert!((8..=12).contains(&(counts.ready - counts.away)));
    b.q.page_out(0, Seq(u64::MAX), false);
    assert_eq!(b.q.counts(), counts);
    assert_eq!(b.answer(whole), asked);
    let want: Vec<String> = (11..=40).map(|n| format!("m{n}")).collect();
    assert_eq!(b.drain(), want.join(" "));
    assert!(b.fx.read.is_none(), "the first answer was enough");
}

#[test]
fn answer_does_not_replace_a_body_that_is_here() {
    let mut b = bench(durable());
    b.publish_meta("m1", persistent());
    b.publish("m2");
    b.publish_meta("m3", persistent());
    assert_eq!(b.q.page_candidates(0, 9).len(), 1, "the transient one");
    let held: Vec<Token> = (0..3).filter_map(|_| b.get()?.token).collect();
    b.page_out(0);
    b.requeue(&[held[0], held[2]], Requeue::Nack);
    b.consume(Bench::spec(1));
    assert!(b.fx.read.is_some());
    b.requeue(&held[1..2], Requeue::Nack);
    b.answer(whole);
    assert_eq!(b.bodies(), "m1 m2 m3");
    b.q.check();
}

#[test]
fn nothing_of_a_stretch_that_grew_during_its_read_is_there_and_the_sums_still_end_right() {
    let mut b = ten();
    b.page_out(0);
    b.consume(Bench::spec(1));
    for n in 11..=30 {
        b.publish_meta(&format!("m{n}"), persistent());
    }
    b.page_out(0);
    b.answer(|_| None);
    assert_eq!(b.fx.lost, 0, "not known before the end");
    b.answer(whole);
    assert_eq!(b.seen().len(), 20);
    assert_eq!(b.fx.lost, 10);
    b.q.check();
}

#[test]
fn large_backlog_costs_a_stretch_only() {
    let mut b = bench(durable());
    for n in 0..5000 {
        b.publish_meta("x", persistent());
        if n % 100 == 0 {
            b.page_out(0);
        }
    }
    b.page_out(0);
    assert_eq!(b.q.peek(0, 9999).len(), 1);
    assert_eq!(b.q.counts().resident_bytes, 0);
}

#[test]
fn paging_out_very_many_takes_several_calls() {
    let mut b = bench(durable());
    for _ in 0..60_000 {
        b.publish_meta("x", persistent());
    }
    b.page_out(0);
    assert_eq!(b.q.counts().away, 50_000);
    b.page_out(0);
    assert_eq!(b.q.counts().away, 60_000);
    assert_eq!(b.q.peek(0, 9999).len(), 1);
    b.q.check();
}

#[test]
fn recovered_queue_asks_for_its_front_at_once() {
    let mut b = recovered(durable(), &[range(0, 1, 5), range(0, 8, 9)], 3);
    assert_eq!(b.q.counts().ready, 7);
    assert_eq!(b.q.next_deadline(), Some(Millis(0)));
    b.tick_at(1000);
    let asked = b.answer(|seq| whole(seq).filter(|_| !(6..=7).contains(&seq)));
    assert!(asked.max_messages < 100, "only rules are wanted");
    b.consume(Bench::spec(1));
    let redelivered: Vec<bool> = b.desk.out.iter().map(|(_, d)| d.redelivered).collect();
    assert_eq!(redelivered, [true, true, true, false, false, false, false]);
    assert_eq!(b.fx.lost, 0);
    assert!(matches!(b.publish("n"), Published::Enqueued { seq: Seq(101), .. }));
}

#[test]
fn recovered_messages_expire_when_the_front_is_read() {
    let settings = Settings { dead_letters: true, ..durable() };
    let mut b = recovered(settings, &[range(0, 1, 2)], 0);
    b.tick_at(5000);
    let asked = b.fx.read.take().expect("asked");
    let answer = [4000, 6000].iter().zip(1..).map(|(at, seq)| Stored {
        seq: Seq(seq),
        message: Ok(message("mm", persistent())),
        expires: Some(Millis(*at)),
        delivery_count: 2,
    });
    b.q.fetched(b.now, answer.collect(), asked, &mut b.desk, &mut b.fx);
    assert_eq!(b.gone(), [(1, SettleReason::Expired, true)]);
    assert_eq!(b.q.next_deadline(), Some(Millis(6000)));
    let delivery = b.get().expect("the second");
    assert!(delivery.redelivered);
    assert_eq!(delivery.delivery_count, 2);
}

#[test]
fn length_limit_waits_for_a_front_on_disk() {
    let settings = Settings { max_length: Some(3), dead_letters: true, ..durable() };
    let mut b = recovered(settings, &[range(0, 1, 5)], 0);
    b.tick_at(1000);
    assert_eq!(b.q.counts().ready, 5);
    b.answer(whole);
    assert_eq!(b.gone().len(), 2);
    assert_eq!(b.drain(), "m3 m4 m5");
}

#[test]
fn priorities_on_disk_are_read_highest_first() {
    let settings = Settings { max_priority: Some(9), ..durable() };
    let mut b = recovered(settings, &[range(0, 1, 2), range(9, 3, 4)], 0);
    b.consume(Bench::spec(1));
    assert_eq!(b.answer(whole).priority_level, 9);
    assert_eq!(b.answer(whole).priority_level, 0);
    assert_eq!(b.bodies(), "m3 m4 m1 m2");
}

#[test]
fn nothing_is_read_ahead_when_nobody_consumes() {
    let mut b = ten();
    b.page_out(0);
    b.dispatch();
    b.answer(|seq| whole(seq).filter(|_| seq <= 4));
    let settings = Settings { max_length: Some(8), ..durable() };
    b.q.set_settings(b.now, settings, &mut b.desk, &mut b.fx);
    assert_eq!(b.gone().len(), 2);
    assert!(b.fx.read.is_none(), "the front's rules are known");
    b.consume(ConsumerSpec { prefetch: 1, ..Bench::spec(1) });
    assert!(b.fx.read.is_some(), "two left are few");
}

#[test]
fn while_memory_is_short_what_is_handed_out_keeps_no_body() {
    let mut b = ten();
    b.page_out(0);
    b.q.hand_out_lean(Some(Seq(0)));
    b.consume(Bench::spec(1));
    b.answer(whole);
    assert_eq!(b.bodies(), "m1 m2 m3 m4 m5 m6 m7 m8 m9 m10");
    let counts = b.q.counts();
    assert_eq!((counts.unacked, counts.resident_bytes), (10, 0));
}

#[test]
fn what_is_not_known_to_be_written_keeps_its_body_even_so() {
    let mut b = ten();
    b.q.hand_out_lean(Some(Seq(4)));
    b.consume(Bench::spec(1));
    assert_eq!(b.tokens().into_iter().filter(|token| b.q.held(*token).is_some()).count(), 6);
    let mut b = plain();
    b.publish("transient");
    b.q.hand_out_lean(Some(Seq(4)));
    b.consume(Bench::spec(1));
    assert!(b.q.counts().resident_bytes > 0);
}

#[test]
fn what_was_handed_out_lean_comes_back_whole() {
    let mut b = ten();
    b.q.hand_out_lean(Some(Seq(10)));
    let first = b.get().expect("m1");
    assert!(b.q.held(first.token.expect("a token")).is_none());
    b.requeue(&[first.token.expect("a token")], Requeue::Nack);
    b.q.hand_out_lean(None);
    assert!(matches!(b.q.get(b.now, false, &mut b.fx), GetReply::NotYet));
    b.answer(whole);
    assert_eq!(b.drain(), "m1 m2 m3 m4 m5 m6 m7 m8 m9 m10");
}
