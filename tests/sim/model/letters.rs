//! Dead letters: the destination of a dropped message, and its history.

use super::{Dead, Death, Model, State};

impl Model {
    pub(crate) fn bury(&mut self, dead: Dead, reason: &'static str) {
        let (mut msg, queue, parent) = match dead {
            Dead::Copy(id) => (self.ledger[id].msg.clone(), self.ledger[id].queue.clone(), Some(id)),
            Dead::Refused(msg, queue) => (msg, queue, None),
        };
        if !self.queues.contains_key(&queue) {
            return;
        }
        let rules = self.rules(&queue);
        let Some(exchange) = rules.dead_letter else { return };
        if let Some(id) = parent {
            msg.left = self.ledger[id].left;
            self.ledger[id].state = State::Moved;
        }
        let known = msg.deaths.iter().position(|death| death.queue == queue && death.reason == reason);
        let mut death =
            known.map_or(Death { queue: queue.clone(), reason, count: 0 }, |at| msg.deaths.remove(at));
        death.count += 1;
        msg.deaths.insert(0, death);
        exchange.clone_into(&mut msg.exchange);
        msg.key = rules.dead_key.map_or(msg.key, str::to_owned);
        msg.expiration = None;
        // A missing exchange drops the message.
        for target in self.route(exchange, &msg).unwrap_or_default() {
            if !is_cycle(&msg.deaths, &target) {
                self.letter(&target, &msg, parent, &queue);
            }
        }
    }

    fn letter(&mut self, target: &str, msg: &super::Msg, parent: Option<super::CopyId>, from: &str) {
        if let Some(id) = self.enqueue(target, msg, parent) {
            self.ledger[id].source = String::from(from);
        }
    }
}

/// Whether this queue dropped the message before, without a client's reject since.
fn is_cycle(deaths: &[Death], target: &str) -> bool {
    if deaths.first().is_some_and(|death| death.reason == "rejected") {
        return false;
    }
    let Some(before) = deaths.iter().position(|death| death.queue == target) else { return false };
    !deaths[..=before].iter().any(|death| death.reason == "rejected")
}
