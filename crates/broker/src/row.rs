//! Batches of pipelined changes to definitions: each is checked against the current state, all are made durable in one
//! commit, then each is applied.
//!
//! Invariants: the outcome equals that of sequential execution, up to the first refusal; nothing is visible before it
//! is durable.

use rustc_hash::FxHashSet;

use super::broker::Broker;
use super::definitions::Changes;
use super::refusal::Refusal;
use super::vhost::Vhost;

/// Outcome of a sequence of requests.
#[derive(Debug)]
pub struct Row<T> {
    /// Results of the requests carried out, in order.
    pub done: Vec<T>,
    /// Why the next request was refused.
    pub refused: Option<Refusal>,
}

impl<T> Row<T> {
    /// The outcome of a single request.
    pub(super) fn only(mut self) -> Result<T, Refusal> {
        match self.refused {
            Some(refusal) => Err(refusal),
            None => Ok(self.done.pop().expect("a request is carried out or refused")),
        }
    }
}

/// Checked changes that are not applied yet.
#[derive(Default)]
pub(super) struct Staged {
    pub(super) changes: Changes,
    /// Names of objects created or deleted.
    names: FxHashSet<Box<str>>,
    /// Its side effects depend on other objects, and theirs on it.
    alone: bool,
}

impl Staged {
    /// Records that an object of this name is created or deleted.
    pub(super) fn note(&mut self, name: &str) {
        self.names.insert(name.into());
    }

    pub(super) fn concerns(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    /// Number of objects created or deleted.
    pub(super) fn count(&self) -> usize {
        self.names.len()
    }

    /// Whether a request must wait until the staged changes are applied, because it, or the last one, must be alone.
    pub(super) fn keeps_apart(&mut self, alone: bool) -> bool {
        if self.alone || (alone && !self.names.is_empty()) {
            return true;
        }
        self.alone = alone;
        false
    }
}

impl Broker {
    /// Carries out requests in order. `plan` checks one and stages its changes; `None`: it must wait until the staged
    /// ones are applied. `put` applies a planned change once it is durable. The caller prevents other changes to the
    /// vhost's definitions meanwhile.
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
                // Requests before the first durable change need no disk.
                planned.truncate(settled);
                refused = Some(refusal);
            }
            for one in planned {
                match put(one) {
                    Ok(done) if row.refused.is_none() => row.done.push(done),
                    Ok(_) => {}
                    // Later ones are durable, so they are applied all the same.
                    Err(refusal) => row.refused = row.refused.or(Some(refusal)),
                }
            }
            row.refused = row.refused.or(refused);
        }
        row
    }
}
