//! Confirms: which are permitted when, and which are due.

use super::channel::Prepared;
use super::{CopyId, Model, Msg, Refused, State};

/// A publish that waits for its confirm.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    pub(crate) tag: u64,
    pub(crate) body: String,
    pub(crate) copies: Vec<CopyId>,
    /// A queue rejected it.
    pub(crate) refused: bool,
    pub(crate) returned: bool,
}

impl Model {
    /// Executes or defers a publish; an answer due at once is expected.
    pub(crate) fn publish(&mut self, at: (usize, u16), msg: &Msg, mandatory: bool) -> Result<(), Refused> {
        if self.exchanges.get(&msg.exchange).is_some_and(|exchange| exchange.shape.internal) {
            return Err(Refused(403));
        }
        let targets = self.route(&msg.exchange, msg).ok_or(Refused(404))?;
        if let Some(tx) = &mut self.channel(at.0, at.1).tx {
            tx.publishes.push(Prepared { msg: msg.clone(), targets, mandatory });
            return Ok(());
        }
        let returned = targets.is_empty() && mandatory;
        if returned {
            self.expect_return(at, msg);
        }
        let (mut copies, mut refused) = (Vec::new(), false);
        for target in targets {
            match self.enqueue(&target, msg, None) {
                Some(id) => copies.push(id),
                None => refused = true,
            }
        }
        let channel = self.channel(at.0, at.1);
        if let Some(count) = &mut channel.confirms {
            *count += 1;
            let waiting = Waiting { tag: *count, body: msg.body.clone(), copies, refused, returned };
            channel.waiting.push(waiting);
        }
        Ok(())
    }

    pub(crate) fn expect_return(&mut self, at: (usize, u16), msg: &Msg) {
        let fields = [("reply_code", "312".to_owned()), ("exchange", msg.exchange.clone())];
        self.reply(at, "basic.return", &[&fields[..], &[("routing_key", msg.key.clone())]].concat());
    }

    /// Whether it survives a crash: it is durable, or need not be.
    pub(crate) fn is_safe(&self, id: CopyId) -> bool {
        let copy = &self.ledger[id];
        match copy.state {
            State::Gone => true,
            // The confirm concerns the first queue.
            _ if !copy.stored => true,
            State::Moved => copy.children.iter().all(|child| self.is_safe(*child)),
            State::Ready | State::Out => copy.came < self.syncs,
        }
    }

    /// Processes a confirm received by a client after the returns in `returned`.
    pub(crate) fn confirmed(
        &mut self,
        at: (usize, u16),
        (tag, multiple, ok): (u64, bool, bool),
        returned: &[String],
    ) {
        if !self.clients.get(&at.0).is_some_and(|channels| channels.contains_key(&at.1)) {
            return;
        }
        let channel = self.channel(at.0, at.1);
        let named = |waiting: &Waiting| if multiple { waiting.tag <= tag } else { waiting.tag == tag };
        let (named, rest): (Vec<Waiting>, Vec<Waiting>) =
            std::mem::take(&mut channel.waiting).into_iter().partition(named);
        channel.waiting = rest;
        if named.is_empty() {
            self.fault(format!("publish {tag} of {at:?} is confirmed again, or was never made"));
        }
        for waiting in named {
            let Waiting { tag, body, copies, refused, returned: comes_back } = waiting;
            let wrong = if ok { refused } else { !refused && !self.broken };
            if wrong {
                self.fault(format!("publish {tag} ({body}) of {at:?}: refused {refused}, confirmed {ok}"));
            }
            if ok && !copies.iter().all(|id| self.is_safe(*id)) {
                self.fault(format!("publish {tag} ({body}) of {at:?} is confirmed before it is durable"));
            }
            if comes_back && !returned.contains(&body) {
                self.fault(format!("publish {tag} ({body}) of {at:?} is confirmed before it is returned"));
            }
        }
    }

    /// Everything is synced: no publish waits any longer.
    pub(crate) fn synced(&mut self) {
        let mut late = Vec::new();
        for (client, channels) in &self.clients {
            for (number, channel) in channels {
                late.extend(channel.waiting.iter().map(|one| (*client, *number, one.tag)));
            }
        }
        if !late.is_empty() {
            self.fault(format!("publishes are durable and not confirmed: {late:?}"));
        }
    }
}
