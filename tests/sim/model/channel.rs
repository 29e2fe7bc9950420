//! A channel's outstanding deliveries, and their settlement.

use std::collections::BTreeSet;

use super::confirm::Waiting;
use super::{Consumer, CopyId, Model, Msg, Queue, Refused, State};

/// An unsettled delivery.
#[derive(Clone, Debug)]
pub(crate) struct Out {
    pub(crate) tag: u64,
    pub(crate) copy: CopyId,
    /// `None`: taken by `basic.get`.
    pub(crate) consumer: Option<String>,
    /// To be settled by the commit of a transaction.
    pub(crate) pending: bool,
}

/// A way of settling a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    Ack,
    Reject,
    Requeue,
}

/// A publish within a transaction. Its targets are determined when it arrives, except for the default exchange, which
/// resolves queues by name.
#[derive(Clone, Debug)]
pub(crate) struct Prepared {
    pub(crate) msg: Msg,
    pub(crate) targets: BTreeSet<String>,
    pub(crate) mandatory: bool,
}

/// The pending work of a transaction.
#[derive(Clone, Default, Debug)]
pub(crate) struct Transaction {
    pub(crate) publishes: Vec<Prepared>,
    pub(crate) settles: Vec<(How, u64)>,
}

#[derive(Clone, Default, Debug)]
pub(crate) struct Channel {
    /// Highest delivery tag assigned.
    pub(crate) tag: u64,
    pub(crate) out: Vec<Out>,
    /// For future consumers.
    pub(crate) prefetch: u64,
    /// Shared by all its consumers.
    pub(crate) shared: u64,
    /// Publishes since `confirm.select`.
    pub(crate) confirms: Option<u64>,
    pub(crate) waiting: Vec<Waiting>,
    pub(crate) tx: Option<Transaction>,
}

/// The result of `basic.get`: a message, and the number of messages left at that time.
pub(crate) type Got = Option<(CopyId, usize)>;

impl Model {
    /// The delivery tags covered by an acknowledgement.
    fn named(&mut self, at: (usize, u16), tag: u64, multiple: bool) -> Result<Vec<u64>, Refused> {
        let out = &self.channel(at.0, at.1).out;
        let open = out.iter().filter(|out| !out.pending).map(|out| out.tag);
        if multiple && tag == 0 {
            return Ok(open.collect());
        }
        if !open.clone().any(|open| open == tag) {
            return Err(Refused(406));
        }
        Ok(open.filter(|open| if multiple { *open <= tag } else { *open == tag }).collect())
    }

    pub(crate) fn settle(
        &mut self,
        at: (usize, u16),
        tag: u64,
        multiple: bool,
        how: How,
    ) -> Result<(), Refused> {
        let tags = self.named(at, tag, multiple)?;
        let channel = self.channel(at.0, at.1);
        if let Some(tx) = &mut channel.tx {
            tx.settles.extend(tags.iter().map(|tag| (how, *tag)));
            for out in channel.out.iter_mut().filter(|out| tags.contains(&out.tag)) {
                out.pending = true;
            }
            return Ok(());
        }
        self.settle_tags(at, &tags, how);
        Ok(())
    }

    fn settle_tags(&mut self, at: (usize, u16), tags: &[u64], how: How) {
        let channel = self.channel(at.0, at.1);
        let (settled, rest) =
            std::mem::take(&mut channel.out).into_iter().partition(|out| tags.contains(&out.tag));
        channel.out = rest;
        let consumers = self.queues_of(at);
        let settled: Vec<Out> = settled;
        for queue in self.by_queue(&settled) {
            let of_queue: Vec<CopyId> =
                settled.iter().map(|out| out.copy).filter(|copy| self.is_in(*copy, &queue)).collect();
            match how {
                How::Ack => of_queue.iter().for_each(|copy| self.lose(*copy, "acked")),
                How::Reject => of_queue.iter().for_each(|copy| self.lose(*copy, "rejected")),
                How::Requeue => self.give_back(&queue, &of_queue, true),
            }
            self.serve(&queue);
        }
        // A shared limit frees credit for consumers of other queues, too.
        for queue in consumers {
            self.serve(&queue);
        }
    }

    /// Requeues copies, or drops those delivered too often.
    pub(crate) fn give_back(&mut self, queue: &str, copies: &[CopyId], failed: bool) {
        let limit = self.rules(queue).delivery_limit;
        let mut copies = copies.to_vec();
        copies.sort_by_key(|id| self.ledger[*id].order);
        for id in &copies {
            let copy = &mut self.ledger[*id];
            copy.redelivered = true;
            copy.count += u64::from(failed);
            if failed && limit.is_some_and(|limit| copy.count > limit) {
                self.lose(*id, "delivery_limit");
            } else {
                self.make_ready(*id);
            }
        }
        self.trim(queue);
    }

    /// Whether a copy is in the queue that currently has this name.
    fn is_in(&self, copy: CopyId, queue: &str) -> bool {
        let copy = &self.ledger[copy];
        copy.queue == queue && self.queues.get(queue).is_some_and(|queue: &Queue| queue.birth == copy.birth)
    }

    /// The existing queues of these deliveries, oldest first.
    fn by_queue(&self, out: &[Out]) -> Vec<String> {
        let mut queues: Vec<(u64, String)> = Vec::new();
        for out in out {
            let copy = &self.ledger[out.copy];
            if self.is_in(out.copy, &copy.queue) {
                queues.push((copy.birth, copy.queue.clone()));
            }
        }
        queues.sort();
        queues.dedup();
        queues.into_iter().map(|(_, queue)| queue).collect()
    }

    /// The queues that a channel consumes from.
    fn queues_of(&self, at: (usize, u16)) -> Vec<String> {
        let consumes = |queue: &Queue| queue.consumers.iter().any(|one| (one.client, one.channel) == at);
        self.queues.iter().filter(|(_, queue)| consumes(queue)).map(|(name, _)| name.clone()).collect()
    }

    pub(crate) fn recover(&mut self, at: (usize, u16)) {
        let channel = self.channel(at.0, at.1);
        let (back, rest) = std::mem::take(&mut channel.out).into_iter().partition(|out| !out.pending);
        channel.out = rest;
        let back: Vec<Out> = back;
        for queue in self.by_queue(&back) {
            let copies: Vec<CopyId> =
                back.iter().map(|out| out.copy).filter(|copy| self.is_in(*copy, &queue)).collect();
            self.give_back(&queue, &copies, false);
            self.serve(&queue);
        }
        for queue in self.queues_of(at) {
            self.serve(&queue);
        }
    }

    pub(crate) fn get(&mut self, at: (usize, u16), queue: &str, no_ack: bool) -> Result<Got, Refused> {
        self.usable(at.0, queue)?;
        let now = self.now;
        self.queues.get_mut(queue).expect("usable").last_used = now;
        let Some(id) = self.queues[queue].ready.first().copied() else { return Ok(None) };
        self.queues.get_mut(queue).expect("usable").ready.remove(0);
        self.ledger[id].delivered = true;
        let tag = self.channel(at.0, at.1).tag;
        if no_ack {
            self.lose(id, "acked");
        } else {
            self.ledger[id].state = State::Out;
            self.channel(at.0, at.1).out.push(Out { tag, copy: id, consumer: None, pending: false });
        }
        self.trim(queue);
        // Expired messages behind it are not counted.
        Ok(Some((id, self.queues[queue].ready.len())))
    }

    pub(crate) fn consume(&mut self, queue: &str, consumer: Consumer) -> Result<(), Refused> {
        self.usable(consumer.client, queue)?;
        let of = &self.queues[queue];
        let taken = of.consumers.iter().any(|other| other.exclusive);
        if taken || (consumer.exclusive && (!of.consumers.is_empty() || of.shape.single_active)) {
            return Err(Refused(403));
        }
        let of = self.queues.get_mut(queue).expect("usable");
        of.consumers.push(consumer);
        of.had_consumer = true;
        self.elect(queue);
        self.serve(queue);
        Ok(())
    }

    /// Ends a consumer; its unacknowledged messages stay with the channel.
    pub(crate) fn cancel(&mut self, tag: &str) {
        let holds = |queue: &Queue| queue.consumers.iter().any(|consumer| consumer.tag == tag);
        let Some(name) = self.queues.iter().find(|(_, queue)| holds(queue)).map(|(name, _)| name.clone())
        else {
            return;
        };
        self.detach(&name, |consumer| consumer.tag == tag);
        self.serve(&name);
    }

    fn detach(&mut self, name: &str, goes: impl Fn(&Consumer) -> bool) {
        let now = self.now;
        let queue = self.queues.get_mut(name).expect("a queue");
        queue.consumers.retain(|consumer| !goes(consumer));
        if queue.consumers.is_empty() {
            queue.last_used = now;
            if queue.shape.auto_delete && queue.had_consumer {
                self.deletable.push(name.to_owned());
            }
        }
        self.elect(name);
    }

    /// Ends channels together: their consumers first, then all their outstanding messages are requeued.
    pub(crate) fn end_channels(&mut self, ended: &[(usize, u16)]) {
        let ends = |consumer: &Consumer| ended.contains(&(consumer.client, consumer.channel));
        let names: Vec<String> = self.queues.keys().cloned().collect();
        let touched: Vec<String> =
            names.into_iter().filter(|name| self.queues[name].consumers.iter().any(ends)).collect();
        for name in &touched {
            self.detach(name, ends);
        }
        let mut back: Vec<Out> = Vec::new();
        for (client, number) in ended {
            let channels = self.clients.get_mut(client).expect("a connection");
            back.extend(channels.remove(number).into_iter().flat_map(|channel| channel.out));
        }
        let queues = self.by_queue(&back);
        for queue in &queues {
            let copies: Vec<CopyId> =
                back.iter().map(|out| out.copy).filter(|copy| self.is_in(*copy, queue)).collect();
            self.give_back(queue, &copies, true);
        }
        for queue in queues.iter().chain(&touched) {
            self.serve(queue);
        }
    }

    /// Ends a connection, with its exclusive queues.
    pub(crate) fn end_client(&mut self, client: usize) {
        let Some(channels) = self.clients.get(&client) else { return };
        let ended: Vec<(usize, u16)> = channels.keys().map(|number| (client, *number)).collect();
        self.end_channels(&ended);
        self.clients.remove(&client);
        let owned = |queue: &Queue| queue.owner == Some(client);
        let names: Vec<String> =
            self.queues.iter().filter(|(_, queue)| owned(queue)).map(|(name, _)| name.clone()).collect();
        for name in names {
            self.remove_queue(&name);
        }
    }

    /// `basic.qos`: for future consumers, which lifts the channel's shared limit; or the shared one.
    pub(crate) fn limit(&mut self, at: (usize, u16), count: u64, shared: bool) {
        let channel = self.channel(at.0, at.1);
        channel.shared = if shared { count } else { 0 };
        if !shared {
            channel.prefetch = count;
        }
        for queue in self.queues_of(at) {
            self.serve(&queue);
        }
    }

    pub(crate) fn commit(&mut self, at: (usize, u16)) -> Result<Vec<CopyId>, Refused> {
        let Some(tx) = self.channel(at.0, at.1).tx.replace(Transaction::default()) else {
            self.channel(at.0, at.1).tx = None;
            return Err(Refused(406));
        };
        let mut copies = Vec::new();
        let mut complete = true;
        for Prepared { msg, mut targets, mandatory } in tx.publishes {
            if msg.exchange.is_empty() {
                targets = self.route("", &msg).unwrap_or_default();
            }
            targets.retain(|target| self.queues.contains_key(target));
            if targets.is_empty() && mandatory {
                self.expect_return(at, &msg);
            }
            for target in targets {
                match self.enqueue(&target, &msg, None) {
                    Some(id) => copies.push(id),
                    None => complete = false,
                }
            }
        }
        let mut settles = tx.settles.into_iter().peekable();
        while let Some((how, tag)) = settles.next() {
            let mut tags = vec![tag];
            while let Some((_, tag)) = settles.next_if(|(next, _)| *next == how) {
                tags.push(tag);
            }
            self.settle_tags(at, &tags, how);
        }
        if complete { Ok(copies) } else { Err(Refused(406)) }
    }

    pub(crate) fn roll_back(&mut self, at: (usize, u16)) -> Result<(), Refused> {
        let channel = self.channel(at.0, at.1);
        if channel.tx.is_none() {
            return Err(Refused(406));
        }
        channel.tx = Some(Transaction::default());
        channel.out.iter_mut().for_each(|out| out.pending = false);
        Ok(())
    }
}
