//! Dead letters whose bodies are on disk only: they are read, then sent on.
//!
//! Invariants: one of a queue is read at a time, and those that leave the queue after it wait for it, so that they arrive in
//! the order in which they left; only where the disk does not give one, it is overtaken. It stays in the store under its
//! source meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;

use leveret_queues::store::{ReadWish, Stored, Unread};
use leveret_queues::{Millis, Seq};

use super::{Cell, QueueHandle, State};
use crate::broker::turn::{Dead, Turn};

/// After a read that failed, dead letters and delayed messages are asked for again after this long.
pub(in crate::broker) const READ_AGAIN_MS: u64 = 5000;

/// See the module. There is one only while a letter is read or could not be.
#[derive(Default)]
pub(super) struct UnreadLetters {
    reading: bool,
    /// They wait for the one that is read.
    behind: VecDeque<Dead>,
    /// The disk did not give them.
    failed: Vec<Dead>,
    again_at: Millis,
}

impl UnreadLetters {
    /// When those that could not be read are to be read again.
    pub(super) fn again_at(&self) -> Option<Millis> {
        (!self.failed.is_empty()).then_some(self.again_at)
    }

    fn is_done(&self) -> bool {
        !self.reading && self.failed.is_empty()
    }
}

impl QueueHandle {
    /// A dead letter of this queue that can be sent on now. `None`: it comes again in a later turn.
    pub(in crate::broker) fn letter_in_line(self: &Arc<Self>, dead: Dead) -> Option<Dead> {
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

    fn undamaged(&self, cell: &mut Cell, seq: Seq, stored: Vec<Stored>) -> Option<leveret_queues::Message> {
        match stored.into_iter().next()?.message {
            Ok(message) => Some(message),
            Err(why) => {
                self.tell_damaged(&why);
                cell.damaged.push(seq);
                None
            }
        }
    }

    /// Asks again for the dead letters that could not be read, if it is time.
    pub(super) fn read_letters_again(&self, cell: &mut Cell, now: Millis, dead: &mut Vec<Dead>) {
        let due = |unread: &UnreadLetters| unread.again_at().is_some_and(|at| at <= now);
        let Some(unread) = cell.unread_letters.as_deref_mut().filter(|unread| due(unread)) else {
            return;
        };
        dead.append(&mut unread.failed);
        cell.unread_letters.take_if(|unread| unread.is_done());
        self.readable(cell);
    }

    /// The queue is gone: what could not be read from it never will be.
    pub(super) fn forget_unread_letters(cell: &mut Cell) {
        if let Some(unread) = &mut cell.unread_letters {
            unread.failed.clear();
        }
        cell.unread_letters.take_if(|unread| unread.is_done());
    }
}
