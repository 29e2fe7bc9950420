//! Comparison: the clients' output with the expected one, the broker's state with the model's.

use std::collections::{BTreeMap, BTreeSet};

use leveret_broker::definitions::DestinationKind;

use crate::client::Heard;
use crate::model::route::End;
use crate::model::{Delivered, Reply, State};
use crate::play::Play;
use crate::script::At;

/// Channel; tag, multiple, positive; the bodies returned before it.
type Confirm = (At, (u64, bool, bool), Vec<String>);

/// Output not judged yet.
#[derive(Default)]
pub(crate) struct Ears {
    replies: Vec<(usize, Heard)>,
    cancels: BTreeSet<(usize, u16, String)>,
    confirms: Vec<Confirm>,
    /// Consumers whose consume-ok was received.
    known: BTreeSet<String>,
}

impl Play {
    /// Records the clients' output.
    pub(crate) fn listen(&mut self) -> Result<(), String> {
        let mut returned: BTreeMap<At, Vec<String>> = BTreeMap::new();
        let all = self.world.listen();
        for (client, heard) in all {
            self.said.push(format!("    {client}< {heard}"));
            self.note(&heard);
            let at = (client, heard.channel);
            match heard.spec.name {
                "basic.deliver" => self.delivered(at, &heard)?,
                "basic.ack" | "basic.nack" => {
                    let named = (
                        heard.number("delivery_tag"),
                        heard.flag("multiple"),
                        heard.spec.name == "basic.ack",
                    );
                    self.ears.confirms.push((at, named, returned.get(&at).cloned().unwrap_or_default()));
                }
                "basic.cancel" => {
                    let tag = heard.text("consumer_tag");
                    self.ears.known.remove(&tag);
                    if !self.ears.cancels.insert((client, heard.channel, tag)) {
                        return Err(format!("cancelled twice: {client} {heard}"));
                    }
                }
                "tx.commit-ok" if std::mem::replace(&mut self.committed, true) => {
                    return Err("a commit is answered twice".to_owned());
                }
                "tx.commit-ok" => {}
                name => {
                    match name {
                        "basic.consume-ok" => {
                            self.ears.known.insert(heard.text("consumer_tag"));
                        }
                        "basic.cancel-ok" => {
                            self.ears.known.remove(&heard.text("consumer_tag"));
                        }
                        "basic.get-ok" => self.tag_follows(at, &heard)?,
                        "basic.return" => {
                            let body = heard.body.trim_end_matches('.').to_owned();
                            returned.entry(at).or_default().push(body);
                        }
                        _ => {}
                    }
                    self.ears.replies.push((client, heard));
                }
            }
        }
        Ok(())
    }

    /// Counts events seen.
    fn note(&mut self, heard: &Heard) {
        let name = heard.spec.name;
        self.saw(name);
        if ["channel.close", "connection.close"].contains(&name) {
            self.saw(format!("{name} {}", heard.text("reply_code")));
        }
        if name == "basic.deliver" || name == "basic.get-ok" {
            if heard.flag("redelivered") {
                self.saw("redelivered");
            }
            for reason in ["expired", "maxlen", "rejected", "delivery_limit"] {
                if heard.sign().contains(&format!(" {reason} ")) {
                    self.saw(reason);
                }
            }
        }
    }

    /// A channel's delivery tags have no gaps.
    fn tag_follows(&mut self, at: At, heard: &Heard) -> Result<(), String> {
        let channel = self.model.clients.get_mut(&at.0).and_then(|channels| channels.get_mut(&at.1));
        let Some(channel) = channel else {
            return Err(format!("a delivery on a closed channel: {at:?} {heard}"));
        };
        channel.tag += 1;
        if heard.number("delivery_tag") == channel.tag {
            return Ok(());
        }
        Err(format!("a delivery tag does not follow {}: {at:?} {heard}", channel.tag - 1))
    }

    fn delivered(&mut self, at: At, heard: &Heard) -> Result<(), String> {
        self.tag_follows(at, heard)?;
        let consumer = heard.text("consumer_tag");
        if !self.ears.known.contains(&consumer) {
            return Err(format!("a delivery before consume-ok or after cancel-ok: {at:?} {heard}"));
        }
        self.model.heard.push(Delivered {
            client: at.0,
            channel: at.1,
            consumer,
            tag: heard.number("delivery_tag"),
            redelivered: heard.flag("redelivered"),
            count: heard.delivery_count(),
            sign: heard.sign(),
        });
        Ok(())
    }

    /// Compares a step's output with the model's expectation.
    pub(crate) fn judge(&mut self) -> Result<(), String> {
        self.model.syncs = self.world.syncs;
        for (at, named, returned) in std::mem::take(&mut self.ears.confirms) {
            self.model.confirmed(at, named, &returned);
        }
        self.model.check();
        self.verdict()?;
        let mut heard: BTreeMap<At, Vec<Heard>> = BTreeMap::new();
        for (client, reply) in std::mem::take(&mut self.ears.replies) {
            heard.entry((client, reply.channel)).or_default().push(reply);
        }
        let mut expected: BTreeMap<At, Vec<Reply>> = BTreeMap::new();
        for reply in std::mem::take(&mut self.model.replies) {
            expected.entry((reply.client, reply.channel)).or_default().push(reply);
        }
        for at in heard.keys().chain(expected.keys()).copied().collect::<BTreeSet<At>>() {
            let (none, nothing) = (Vec::new(), Vec::new());
            let (heard, expected) = (heard.get(&at).unwrap_or(&none), expected.get(&at).unwrap_or(&nothing));
            let same = heard.len() == expected.len() && heard.iter().zip(expected).all(|(h, e)| is(h, e));
            if !same {
                let heard: Vec<String> = heard.iter().map(ToString::to_string).collect();
                let expected: Vec<String> =
                    expected.iter().map(|reply| format!("{} {:?}", reply.name, reply.fields)).collect();
                return Err(format!("on {at:?} heard {heard:#?}\n  instead of {expected:#?}"));
            }
        }
        let (heard, expected) =
            (std::mem::take(&mut self.ears.cancels), std::mem::take(&mut self.model.cancelled));
        if heard != expected {
            return Err(format!("cancelled by the broker: {heard:?} instead of {expected:?}"));
        }
        Ok(())
    }

    /// `Err` with the violations the model has found.
    pub(crate) fn verdict(&mut self) -> Result<(), String> {
        let faults = std::mem::take(&mut self.model.faults);
        if faults.is_empty() { Ok(()) } else { Err(faults.join("\n")) }
    }

    /// Compares the broker's state with the model's.
    pub(crate) fn counts(&mut self) -> Result<(), String> {
        let vhost = self.world.vhost();
        let held: BTreeMap<String, (u64, u64, u64)> = vhost
            .queues()
            .iter()
            .map(|queue| {
                let counts = queue.counts();
                (queue.name.as_str().to_owned(), (counts.ready, counts.unacked, counts.consumers as u64))
            })
            .collect();
        let out = |name: &str, birth: u64| {
            let of = self.model.ledger.iter().filter(|copy| copy.queue == name && copy.birth == birth);
            of.filter(|copy| copy.state == State::Out).count() as u64
        };
        let modelled: BTreeMap<String, (u64, u64, u64)> = self
            .model
            .queues
            .iter()
            .map(|(name, queue)| {
                let out = out(name, queue.birth);
                (name.clone(), (queue.ready.len() as u64, out, queue.consumers.len() as u64))
            })
            .collect();
        same("queues (ready, unacked, consumers)", &held, &modelled)?;
        let held: BTreeSet<String> = vhost
            .exchanges()
            .iter()
            .map(|one| {
                let kind = one.kind.name();
                format!("{} {kind} {} {} {}", one.name, one.durable, one.auto_delete, one.internal)
            })
            .collect();
        let modelled: BTreeSet<String> = self
            .model
            .exchanges
            .iter()
            .map(|(name, exchange)| {
                let shape = &exchange.shape;
                format!("{name} {} {} {} {}", shape.kind, shape.durable, shape.auto_delete, shape.internal)
            })
            .collect();
        same("exchanges", &held, &modelled)?;
        let held: BTreeSet<String> = vhost
            .bindings()
            .iter()
            .filter(|binding| !binding.source.is_empty())
            .map(|binding| {
                let queue = binding.kind == DestinationKind::Queue;
                let count = binding.arguments.inner().len();
                format!("{} {queue} {} {} {count}", binding.source, binding.destination, binding.routing_key)
            })
            .collect();
        let modelled: BTreeSet<String> = self
            .model
            .bindings
            .iter()
            .map(|binding| {
                let (queue, end) = match &binding.end {
                    End::Queue(name) => (true, name),
                    End::Exchange(name) => (false, name),
                };
                let count = binding.matching.arguments().matches(':').count();
                format!("{} {queue} {end} {} {count}", binding.source, binding.key)
            })
            .collect();
        same("bindings", &held, &modelled)
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, held: &T, modelled: &T) -> Result<(), String> {
    if held == modelled { Ok(()) } else { Err(format!("{what}: {held:?}\n  instead of {modelled:?}")) }
}

fn is(heard: &Heard, expected: &Reply) -> bool {
    let field = |(name, value): &(&str, String)| match *name {
        "sign" => heard.sign() == *value,
        name => heard.text(name) == *value,
    };
    heard.spec.name == expected.name && expected.fields.iter().all(field)
}
