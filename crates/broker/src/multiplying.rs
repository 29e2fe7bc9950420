//! Limits the multiplication of dead letters.
//!
//! No queue drops a message twice unless a client rejected it in between. That ends every cycle, but not the paths
//! through many queues: with twelve queues that dead-letter to each other, every order of the twelve is a path of its
//! own, and one publish becomes a billion messages. So a message carries the number of copies made on its way (the
//! product of its target counts at each death) since its publish or last rejection: multiplication by clients is theirs
//! to bound. It may fan out to any number of queues once; beyond `dead_letter_copies_max` it is not multiplied again,
//! but goes to as many of its queues as fit, at least one. Moves to one queue cost nothing, so retries go on for ever.
//!
//! The number is in the newest entry of `x-death` (`copies`) if it is more than one, and so on disk.

use std::sync::atomic::Ordering;

use leveret_message::Message;
use leveret_message::table::edit::{put_value, rewrite};
use leveret_message::table::{ArrayRef, TableRef, ValueRef};

use super::attributes::headers;
use super::broker::Broker;
use super::copies::with_headers;
use super::dead_letter::{COPIES, copies_in, deaths, told};
use super::transfer::Targets;
use super::vhost::Vhost;

/// How many of `targets` a message with `copies` copies may go to.
pub(super) fn fitting(copies: u64, targets: usize, max: u64) -> usize {
    if max == 0 || copies <= 1 || targets <= 1 {
        return targets;
    }
    let fitting = usize::try_from(max / copies).unwrap_or(usize::MAX);
    fitting.clamp(1, targets)
}

/// Copies made of the message since its publish or its last rejection.
pub(super) fn copies(message: &Message) -> u64 {
    let newest =
        headers(message).filter(|_| message.meta().died).and_then(|table| deaths(table).first().copied());
    newest.map_or(1, copies_in)
}

/// The dead letter as delivered to each of its `targets`.
pub(super) fn multiplied(message: &Message, targets: usize) -> Option<Message> {
    if targets < 2 {
        return None;
    }
    let table = headers(message)?;
    let copies = copies(message).saturating_mul(targets as u64);
    let mut history = Vec::new();
    for (place, entry) in deaths(table).into_iter().enumerate() {
        let rewritten;
        let entry = if place == 0 {
            rewritten = rewrite(entry, &[(COPIES, told(copies))]);
            TableRef::assume_valid(&rewritten)
        } else {
            entry
        };
        put_value(&mut history, ValueRef::Table(entry));
    }
    let history = ValueRef::Array(ArrayRef::assume_valid(&history));
    Some(with_headers(message, &rewrite(table, &[("x-death", Some(history))])))
}

/// Maximum queue names in a log line.
const NAMES_TOLD: usize = 5;

impl Broker {
    /// Drops those of `targets` that would multiply a dead letter from `from` beyond the limit, and logs it. Returns
    /// the message for the remaining ones.
    pub(super) fn bound_copies(
        &self,
        vhost: &Vhost,
        from: &str,
        message: &Message,
        targets: &mut Targets,
    ) -> Option<Message> {
        let total = targets.queues.len() + targets.delay_rooms.len();
        if total < 2 {
            return None;
        }
        let copies = copies(message);
        let kept = fitting(copies, total, self.limits().dead_letter_copies_max.into());
        if kept < total {
            targets.delay_rooms.truncate(kept);
            let left = targets.queues.split_off(kept - targets.delay_rooms.len());
            let names: Vec<&str> = left.iter().take(NAMES_TOLD).map(|queue| queue.name.as_str()).collect();
            tracing::warn!(
                vhost = %vhost.name, from, copies, without = ?names,
                "a dead letter goes to {kept} of {total} queues: too many copies of it were made on its way without a \
                 client's doing (dead_letter_copies_max)"
            );
            vhost.stats.copies_left_out.fetch_add((total - kept) as u64, Ordering::Relaxed);
        }
        multiplied(message, kept)
    }
}

#[cfg(test)]
mod tests {
    use leveret_message::stored::SettleReason;
    use leveret_message::{MessageMeta, Millis, Short};

    use super::super::dead_letter::{DeadLetterRule, dead_letter};
    use super::super::names::{ExchangeName, QueueName};
    use super::*;

    /// The fate of a message that dies in a queue.
    struct World {
        max: u64,
        deaths: usize,
    }

    impl World {
        /// The copies of a message that died in `queue`, and where they are.
        fn die(
            &mut self,
            message: &Message,
            queue: &str,
            reason: SettleReason,
            to: &[String],
        ) -> Vec<(String, Message)> {
            self.deaths += 1;
            let rule = DeadLetterRule { exchange: ExchangeName::new("dlx"), routing_key: None };
            let letter = dead_letter(message, &QueueName::new(queue), reason, &rule, Millis(1), false);
            let open = to.iter().filter(|to| !letter.is_cycle(&QueueName::new(to)));
            let mut open: Vec<String> = open.cloned().collect();
            let mut message = letter.message.clone();
            if letter.is_automatic() {
                open.truncate(fitting(copies(&message), open.len(), self.max));
                message = multiplied(&message, open.len()).unwrap_or(message);
            }
            open.into_iter().map(|queue| (queue, message.clone())).collect()
        }

        /// All deaths and copies of a message in the first of `queues`, which expire and dead-letter to each other.
        fn among(queues: usize, max: u64) -> Self {
            let names: Vec<String> = (0..queues).map(|n| format!("q{n}")).collect();
            let mut world = Self { max, deaths: 0 };
            let mut alive = vec![(names[0].clone(), published())];
            while let Some((queue, message)) = alive.pop() {
                alive.extend(world.die(&message, &queue, SettleReason::Expired, &names));
            }
            world
        }
    }

    fn published() -> Message {
        message(&[])
    }

    fn message(headers: &[u8]) -> Message {
        let message = Message::new(Short::EMPTY, Short::literal("q"), b"\0\0", b"x", MessageMeta::default());
        if headers.is_empty() { message } else { with_headers(&message, headers) }
    }

    #[test]
    fn a_message_takes_every_way_through_few_queues() {
        // 1 + 4 + 4 * 3 + 4 * 3 * 2 + 4 * 3 * 2 * 1 deaths.
        assert_eq!(World::among(5, 1000).deaths, 65);
        assert_eq!(World::among(5, 0).deaths, 65);
    }

    #[test]
    fn ways_through_many_queues_are_bounded() {
        for max in [1, 10, 100] {
            let deaths = World::among(12, max).deaths;
            // It multiplies once whatever the limit; each copy may then go to each of the others.
            assert!(deaths as u64 <= 12 * max.max(11), "limit {max}: {deaths}");
        }
    }

    #[test]
    fn retries_go_on_for_ever() {
        let (mut world, mut message) = (World { max: 2, deaths: 0 }, published());
        for _ in 0..3000 {
            let copies = world.die(&message, "work", SettleReason::Rejected, &["wait".to_owned()]);
            let copies = world.die(&copies[0].1, "wait", SettleReason::Expired, &["work".to_owned()]);
            message = copies[0].1.clone();
        }
        let table = headers(&message).expect("headers");
        assert!(deaths(table).iter().all(|entry| entry.get(COPIES).is_none()));
    }

    #[test]
    fn a_copy_for_the_auditors_at_every_rejection_is_no_multiplication() {
        let (mut world, mut message) = (World { max: 2, deaths: 0 }, published());
        let both = ["wait".to_owned(), "audit".to_owned()];
        for _ in 0..1000 {
            let copies = world.die(&message, "work", SettleReason::Rejected, &both);
            assert_eq!(copies.len(), 2);
            let copies = world.die(&copies[0].1, "wait", SettleReason::Expired, &["work".to_owned()]);
            message = copies[0].1.clone();
        }
    }

    #[test]
    fn one_fan_out_may_be_of_any_width_and_what_follows_goes_on_in_one_copy() {
        let mut world = World { max: 1000, deaths: 0 };
        let wide: Vec<String> = (0..3000).map(|n| format!("q{n}")).collect();
        let copies = world.die(&published(), "source", SettleReason::Expired, &wide);
        assert_eq!((copies.len(), super::copies(&copies[0].1)), (3000, 3000));
        let next = world.die(&copies[0].1, "q0", SettleReason::Expired, &["a".to_owned(), "b".to_owned()]);
        assert_eq!(next.len(), 1);
        assert_eq!(super::copies(&next[0].1), 3000);
    }

    #[test]
    fn what_a_publisher_says_of_copies_is_not_believed() {
        let mut entry = Vec::new();
        leveret_message::table::edit::put_entry(&mut entry, COPIES.as_bytes(), ValueRef::I64(1_000_000));
        let mut history = Vec::new();
        put_value(&mut history, ValueRef::Table(TableRef::assume_valid(&entry)));
        let mut headers = Vec::new();
        let array = ValueRef::Array(ArrayRef::assume_valid(&history));
        leveret_message::table::edit::put_entry(&mut headers, b"x-death", array);
        assert_eq!(copies(&message(&headers)), 1);
    }
}
