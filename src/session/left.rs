//! Numbers of channels that the broker has closed, for as long as something may still come on them.
//!
//! A client that closes a channel while our own `channel.close` is on its way gets both that and a `close-ok`, and owes
//! us a `close-ok`. The number is free from then on, and what still comes on it is told apart here from what comes on
//! a number that nobody has opened.
//!
//! Invariants: a number stands here once; it leaves when it is opened again, or when [`KEPT`] others came after it.

use std::collections::VecDeque;

/// Numbers kept, as many as channels that are likely to be closed at once. Answers that are owed come within a round
/// trip.
const KEPT: usize = 256;

/// What is known of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloseAnswer {
    /// The client's close was answered, ours is not: all but an opening is discarded.
    Owed,
    /// Our close was answered. Another answer, or a close that crossed ours, means nothing.
    Answered,
}

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Left(VecDeque<(u16, CloseAnswer)>);

impl Left {
    /// The channel of this number is gone.
    pub(super) fn note(&mut self, number: u16, close_answer: CloseAnswer) {
        self.forget(number);
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((number, close_answer));
    }

    /// The number is used again.
    pub(super) fn forget(&mut self, number: u16) {
        self.0.retain(|(left, _)| *left != number);
    }

    /// What may still come on it.
    pub(super) fn close_answer(&self, number: u16) -> Option<CloseAnswer> {
        self.0.iter().rev().find(|(left, _)| *left == number).map(|(_, close_answer)| *close_answer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_numbers_are_kept_and_each_once() {
        let mut left = Left::default();
        for number in 1..=300 {
            left.note(number, CloseAnswer::Owed);
            left.note(number, CloseAnswer::Answered);
        }
        assert_eq!(left.0.len(), KEPT);
        assert_eq!(left.close_answer(44), None);
        assert_eq!(left.close_answer(45), Some(CloseAnswer::Answered));
        left.forget(45);
        assert_eq!(left.close_answer(45), None);
    }
}
