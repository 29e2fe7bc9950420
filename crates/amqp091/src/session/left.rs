//! Numbers of channels closed by the broker, kept while frames may still arrive on them.
//!
//! A client that closes a channel while our own `channel.close` is in flight gets both that and a `close-ok`, and
//! owes us a `close-ok`. The number is then free, and frames that still arrive on it are distinguished here from
//! frames on a number never opened.
//!
//! Invariants: a number occurs once; it is removed when reopened, or after [`KEPT`] newer ones.

use std::collections::VecDeque;

/// Numbers kept: as many as channels likely to be closed at once. Owed answers arrive within a round trip.
const KEPT: usize = 256;

/// State of a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum CloseAnswer {
    /// The client's close was answered, ours was not: everything but an opening is discarded.
    Owed,
    /// Our close was answered. Another answer, or a close that crossed ours, is ignored.
    Answered,
}

/// See the module.
#[derive(Default)]
pub(super) struct Left(VecDeque<(u16, CloseAnswer)>);

impl Left {
    /// The channel with this number is closed.
    pub(super) fn note(&mut self, number: u16, close_answer: CloseAnswer) {
        self.forget(number);
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((number, close_answer));
    }

    /// The number is reused.
    pub(super) fn forget(&mut self, number: u16) {
        self.0.retain(|(left, _)| *left != number);
    }

    /// Which answer may still arrive on it.
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
