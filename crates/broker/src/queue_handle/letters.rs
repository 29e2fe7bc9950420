//! Dead letters with bodies only on disk: they are read, then forwarded.
//!
//! Invariants: one dead letter per queue is read at a time, and later ones wait for it, so that they arrive in the
//! order in which they left; only one that cannot be read is overtaken. Until then it stays in the store under its
//! source.

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_message::stored::Stored;
use leveret_message::{Millis, Seq};
use leveret_store::{ReadWish, Unread};

use super::{Cell, QueueHandle, State};
use crate::turn::{Dead, Turn};

/// Delay before a failed read of dead letters or delayed messages is retried, in milliseconds.
pub(crate) const READ_AGAIN_MS: u64 = 5000;

/// See the module documentation. Exists only while a letter is being read or could not be read.
#[derive(Default)]
pub(super) struct UnreadLetters {
    reading: bool,
    /// Waiting for the one being read.
    behind: VecDeque<Dead>,
    /// Could not be read.
    failed: Vec<Dead>,
    again_at: Millis,
}

impl UnreadLetters {
    /// When failed reads are to be retried.
    pub(super) fn again_at(&self) -> Option<Millis> {
        (!self.failed.is_empty()).then_some(self.again_at)
    }

    fn is_done(&self) -> bool {
        !self.reading && self.failed.is_empty()
    }
}

impl QueueHandle {
    /// The dead letter if it can be forwarded now. `None`: it comes again in a later turn.
    pub(crate) fn letter_in_line(self: &Arc<Self>, dead: Dead) -> Option<Dead> {
        let mut state = self.state.lock();
        if let State::Busy(cell) = &mut *state
            && let Some(unread) = cell.unread_letters.as_mut().filter(|unread| unread.reading)
        {
            unread.behind.push_back(dead);
            return None;
        }
        if dead.message.is_some() {
            return Some(dead);
        }
        let (seq, priority_level) = dead.place?;
        state.busy(self.durable()).unread_letters.get_or_insert_default().reading = true;
        drop(state);
        let wish = ReadWish {
            queue: self.id,
            priority_level,
            from: seq,
            to: seq,
            max_messages: 1,
            max_bytes: usize::MAX,
        };
        let this = Arc::clone(self);
        self.environment.store.read(wish, Box::new(move |read| this.letter_read(dead, seq, read)));
        None
    }

    fn letter_read(self: &Arc<Self>, dead: Dead, seq: Seq, read: Result<Vec<Stored>, Unread>) {
        let mut turn = Turn::at((self.environment.clock)());
        self.enter(&mut turn, |cell, work| {
            match read {
                Ok(stored) => {
                    if let Some(message) = self.undamaged(cell, seq, stored) {
                        work.dead.push(Dead { message: Some(message), ..dead });
                    }
                }
                Err(why) => {
                    self.unreadable(cell, &why);
                    if !cell.gone {
                        let unread = cell.unread_letters.get_or_insert_default();
                        unread.again_at = work.now.plus(READ_AGAIN_MS);
                        unread.failed.push(dead);
                    }
                }
            }
            if let Some(unread) = &mut cell.unread_letters {
                unread.reading = false;
                work.dead.extend(unread.behind.drain(..));
            }
            cell.unread_letters.take_if(|unread| unread.is_done());
        });
        self.finish(&mut turn);
    }

    fn undamaged(&self, cell: &mut Cell, seq: Seq, stored: Vec<Stored>) -> Option<leveret_message::Message> {
        match stored.into_iter().next()?.message {
            Ok(message) => Some(message),
            Err(why) => {
                self.tell_damaged(&why);
                cell.damaged.push(seq);
                None
            }
        }
    }

    /// Retries failed reads of dead letters if they are due.
    pub(super) fn read_letters_again(&self, cell: &mut Cell, now: Millis, dead: &mut Vec<Dead>) {
        let due = |unread: &UnreadLetters| unread.again_at().is_some_and(|at| at <= now);
        let Some(unread) = cell.unread_letters.as_deref_mut().filter(|unread| due(unread)) else {
            return;
        };
        dead.append(&mut unread.failed);
        cell.unread_letters.take_if(|unread| unread.is_done());
        self.readable(cell);
    }

    /// The queue is deleted: its unread dead letters are given up.
    pub(super) fn forget_unread_letters(cell: &mut Cell) {
        if let Some(unread) = &mut cell.unread_letters {
            unread.failed.clear();
        }
        cell.unread_letters.take_if(|unread| unread.is_done());
    }
}
