//! A crash: what must exist afterwards, what may, and what must not.

use std::collections::BTreeMap;

use super::{CopyId, Left, Model, State};
use crate::world::Stands;

impl Model {
    /// Loses everything in memory; `found` is the queues' contents after the restart.
    pub(crate) fn crash(&mut self, found: &BTreeMap<String, Vec<Stands>>) {
        self.broken = false;
        self.undeleted.clear();
        self.clients.clear();
        self.cancelled.clear();
        self.forget_transient();
        let mut there = vec![false; self.ledger.len()];
        for (queue, stands) in found {
            let Some(of) = self.queues.get(queue) else { continue };
            let birth = of.birth;
            let mut last = None;
            let mut ready = Vec::new();
            for stands in stands {
                let Some(id) = self.candidate(queue, birth, &stands.sign, &there) else {
                    self.fault(format!("{:?} stands in {queue} after the crash and must not", stands.sign));
                    continue;
                };
                there[id] = true;
                let copy = &self.ledger[id];
                let order = (std::cmp::Reverse(copy.priority_level), copy.order.0);
                let delivered = copy.delivered;
                if last.is_some_and(|last| order < last) {
                    self.fault(format!(
                        "{:?} stands behind later ones in {queue} after the crash",
                        stands.sign
                    ));
                }
                last = Some(order);
                if delivered && !stands.redelivered {
                    self.fault(format!(
                        "{:?} in {queue} was delivered before the crash and does not say so",
                        stands.sign
                    ));
                }
                ready.push((id, stands.redelivered, stands.count));
            }
            self.queues.get_mut(queue).expect("there").ready = ready.iter().map(|(id, ..)| *id).collect();
            self.adopt(&ready, queue);
        }
        self.judge(&there);
        self.bury_the_rest(&there);
    }

    /// The copy behind a found message: preferably an unsettled one.
    fn candidate(&self, queue: &str, birth: u64, sign: &str, there: &[bool]) -> Option<CopyId> {
        let fits = |id: &CopyId| {
            let copy = &self.ledger[*id];
            let durably_gone = copy.went.is_some_and(|went| went < self.syncs);
            copy.queue == queue
                && copy.birth == birth
                && copy.stored
                && !durably_gone
                && !there[*id]
                && copy.msg.sign() == sign
        };
        let all: Vec<CopyId> = (0..self.ledger.len()).filter(fits).collect();
        all.iter().find(|id| self.ledger[**id].went.is_none()).or(all.first()).copied()
    }

    /// Continues from the contents found.
    fn adopt(&mut self, ready: &[(CopyId, bool, u64)], queue: &str) {
        let limited = self.rules(queue).delivery_limit.is_some();
        for (id, redelivered, count) in ready {
            let copy = &mut self.ledger[*id];
            if limited && *count > copy.count {
                let sign = copy.msg.sign();
                self.fault(format!("{sign:?} in {queue} counts more deliveries after the crash than before"));
            }
            let copy = &mut self.ledger[*id];
            copy.left = match (copy.children.is_empty(), *redelivered) {
                (false, _) => Left::Yes,
                (true, true) => Left::Maybe,
                (true, false) => Left::No,
            };
            copy.redelivered = *redelivered;
            copy.count = if limited { *count } else { 0 };
            copy.state = State::Ready;
            copy.went = None;
        }
    }

    fn judge(&mut self, there: &[bool]) {
        let mut wrong = Vec::new();
        for (id, copy) in self.ledger.iter().enumerate() {
            let name = || format!("{:?} of {}", copy.msg.sign(), copy.queue);
            let durable = copy.came < self.syncs;
            let here = self.queues.get(&copy.queue).is_some_and(|queue| queue.birth == copy.birth);
            let lives = matches!(copy.state, State::Ready | State::Out);
            if copy.stored && durable && lives && here && !there[id] {
                wrong.push(format!("{} was durable and is lost", name()));
            }
            for child in copy.children.iter().filter(|_| here) {
                if there[id] && there[*child] {
                    wrong.push(format!("{} stands in both its queue and where it was dead-lettered", name()));
                }
                let target = &self.ledger[*child];
                let lives = matches!(target.state, State::Ready | State::Out) && target.stored;
                let target_here =
                    self.queues.get(&target.queue).is_some_and(|queue| queue.birth == target.birth);
                let was_kept = copy.stored && durable && copy.went.is_some_and(|went| went + 1 >= self.syncs);
                if was_kept && lives && target_here && !there[id] && !there[*child] {
                    wrong.push(format!("{} is lost on its way to {}", name(), target.queue));
                }
            }
        }
        self.faults.extend(wrong);
    }

    /// Copies not found are gone for good.
    fn bury_the_rest(&mut self, there: &[bool]) {
        let syncs = self.syncs;
        for (id, copy) in self.ledger.iter_mut().enumerate() {
            if there[id] {
                copy.children.clear();
            } else {
                copy.state = State::Gone;
                copy.went.get_or_insert(syncs);
            }
        }
    }
}
