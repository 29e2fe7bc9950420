//! Changes of what is declared that came together: each is checked against what is there, all are durable with one
//! commit, then each is put in place.
//!
//! Invariants: the outcome is that of one after the other, up to the first that is refused; nothing is seen before it
//! is durable.

use rustc_hash::FxHashSet;

use super::broker::Broker;
use super::definitions::Changes;
use super::refusal::Refusal;
use super::vhost::Vhost;

/// How far a row of requests came.
#[derive(Debug)]
pub struct Row<T> {
    /// What became of those that were carried out, in their order.
    pub done: Vec<T>,
    /// Why the one behind them was not.
    pub refused: Option<Refusal>,
}

impl<T> Row<T> {
    /// The outcome of a row of one.
    pub(super) fn only(mut self) -> Result<T, Refusal> {
        match self.refused {
            Some(refusal) => Err(refusal),
            None => Ok(self.done.pop().expect("a request is carried out or refused")),
        }
    }
}

/// What was checked and is not in place yet.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) changes: Changes,
    /// What is new, or goes.
    names: FxHashSet<Box<str>>,
    /// What else it takes along depends on what is there, and the other way round.
    alone: bool,
}

impl Staged {
    /// Notes that something of this name comes or goes.
    pub(super) fn note(&mut self, name: &str) {
        self.names.insert(name.into());
    }

    pub(super) fn concerns(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// How much is new, or goes.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Whether a request has to wait until this is in place, because it is to be alone or the last one is.
    pub(super) fn keeps_apart(&mut self, alone: bool) -> bool {
        if self.alone || (alone && !self.names.is_empty()) {
            return true;
        }
        self.alone = alone;
        false
    }
}

impl Broker {
    /// Carries out requests in their order. `plan` checks one and stages what it changes; `None`: it has to wait until
    /// what is staged is in place. `put` does what was planned; it is asked once that is durable. Nothing else changes
    /// what is declared in the vhost meanwhile.
    pub(super) fn in_a_row<'r, R, P, T>(
        &self,
        vhost: &Vhost,
        requests: &'r [R],
        commit: impl Fn(&Self, Changes) -> Result<(), Refusal>,
        mut plan: impl FnMut(&'r R, &mut Staged) -> Result<Option<P>, Refusal>,
        mut put: impl FnMut(P) -> Result<T, Refusal>,
    ) -> Row<T> {
        let _change = match vhost.change() {
            Ok(change) => change,
            Err(refusal) => return Row { done: Vec::new(), refused: Some(refusal) },
        };
        let mut row = Row { done: Vec::with_capacity(requests.len()), refused: None };
        let mut rest = requests.iter().peekable();
        while row.refused.is_none() && rest.peek().is_some() {
            let (mut staged, mut planned, mut settled) = (Staged::default(), Vec::new(), 0);
            let mut refused = None;
            while let Some(request) = rest.peek() {
                let before = staged.changes.len();
                match plan(request, &mut staged) {
                    Ok(Some(one)) => match staged.changes.too_long(before) {
                        None => planned.push(one),
                        Some(what) => {
                            staged.changes.truncate(before);
                            refused = Some(Refusal::Precondition(what));
                            break;
                        }
                    },
                    Ok(None) => break,
                    Err(refusal) => {
                        refused = Some(refusal);
                        break;
                    }
                }
                rest.next();
                if staged.changes.is_empty() {
                    settled = planned.len();
                }
            }
            if let Err(refusal) = commit(self, staged.changes) {
                // Those before the first that is to be kept on disk need no disk.
                planned.truncate(settled);
                refused = Some(refusal);
            }
            for one in planned {
                match put(one) {
                    Ok(done) if row.refused.is_none() => row.done.push(done),
                    Ok(_) => {}
                    // What is behind it is durable, so it is put in place all the same.
                    Err(refusal) => row.refused = row.refused.or(Some(refusal)),
                }
            }
            row.refused = row.refused.or(refused);
        }
        row
    }
}
