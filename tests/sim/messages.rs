//! Message operations: publish, consume, get, settle; and the crash.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::model::channel::How;
use crate::model::route::{Binding, End};
use crate::model::{Consumer, Left, Msg};
use crate::play::Play;
use crate::script::{At, Publish};

impl Play {
    pub(crate) fn bind(&mut self, at: At, binding: &Binding, binds: bool) -> Result<(), String> {
        let verb = if binds { "bind" } else { "unbind" };
        let (class, ends) = match &binding.end {
            End::Queue(queue) => ("queue", format!("queue={queue} exchange={}", binding.source)),
            End::Exchange(to) => ("exchange", format!("destination={to} source={}", binding.source)),
        };
        let method = format!(
            "{class}.{verb} {ends} routing_key={:?} arguments={}",
            binding.key,
            binding.matching.arguments()
        );
        let reply = match (class, binds) {
            ("queue", true) => "queue.bind-ok",
            ("queue", false) => "queue.unbind-ok",
            (_, true) => "exchange.bind-ok",
            (_, false) => "exchange.unbind-ok",
        };
        self.call(at, &method, |model| {
            if binds { model.bind(at.0, binding) } else { model.unbind(at.0, binding) }?;
            model.reply(at, reply, &[]);
            Ok(())
        })
    }

    pub(crate) fn publish(
        &mut self,
        at: At,
        count: u64,
        exchange: &str,
        key: &str,
        how: Publish,
    ) -> Result<(), String> {
        let (mut lines, mut messages) = (String::new(), Vec::new());
        for _ in 0..count {
            self.bodies += 1;
            let msg = Msg {
                body: format!("m{}", self.bodies),
                exchange: exchange.to_owned(),
                key: key.to_owned(),
                persistent: how.persistent,
                priority: how.priority,
                expiration: how.expiration,
                header: how.header,
                deaths: Vec::new(),
                left: Left::No,
            };
            let octets = format!("{:.<1$}", msg.body, how.size);
            let number = at.1;
            let mut properties =
                format!("delivery_mode={} priority={}", 1 + u8::from(how.persistent), how.priority);
            if let Some(ms) = how.expiration {
                let _ = write!(properties, " expiration=\"{ms}\"");
            }
            if let Some(value) = how.header {
                let _ = write!(properties, " headers={{h:{value}}}");
            }
            let _ = writeln!(
                lines,
                "C {number} basic.publish exchange={exchange:?} routing_key={key:?} mandatory={}\n\
                 C {number} header {} {properties}\nC {number} body {octets}",
                how.mandatory,
                octets.len(),
            );
            messages.push(msg);
        }
        self.say(at.0, &lines);
        self.model.step += 1;
        self.listen()?;
        let done = messages.iter().try_for_each(|msg| self.model.publish(at, msg, how.mandatory));
        self.close_if(at, "basic.publish", done)?;
        self.judge()
    }

    pub(crate) fn consume(
        &mut self,
        at: At,
        queue: &str,
        no_ack: bool,
        exclusive: bool,
        priority: i64,
    ) -> Result<(), String> {
        self.consumers += 1;
        let consumer = Consumer {
            tag: format!("t{}", self.consumers),
            client: at.0,
            channel: at.1,
            no_ack,
            exclusive,
            priority,
            prefetch: self.model.channel(at.0, at.1).prefetch,
        };
        let method = format!(
            "basic.consume queue={queue} consumer_tag={} no_ack={no_ack} exclusive={exclusive} arguments={{x-priority:{priority}}}",
            consumer.tag
        );
        self.call(at, &method, |model| {
            let tag = consumer.tag.clone();
            model.consume(queue, consumer)?;
            model.reply(at, "basic.consume-ok", &[("consumer_tag", tag)]);
            Ok(())
        })
    }

    pub(crate) fn cancel(&mut self, at: At, which: usize) -> Result<(), String> {
        let consumers = self.model.queues.values().flat_map(|queue| &queue.consumers);
        let own: Vec<String> =
            consumers.filter(|one| (one.client, one.channel) == at).map(|one| one.tag.clone()).collect();
        let tag = if own.is_empty() { "nobody".to_owned() } else { own[which % own.len()].clone() };
        self.call(at, &format!("basic.cancel consumer_tag={tag}"), |model| {
            model.cancel(&tag);
            model.reply(at, "basic.cancel-ok", &[("consumer_tag", tag)]);
            Ok(())
        })
    }

    pub(crate) fn get(&mut self, at: At, queue: &str, no_ack: bool) -> Result<(), String> {
        self.call(at, &format!("basic.get queue={queue} no_ack={no_ack}"), |model| {
            let Some((id, left)) = model.get(at, queue, no_ack)? else {
                model.reply(at, "basic.get-empty", &[]);
                return Ok(());
            };
            let copy = &model.ledger[id];
            let mut fields = vec![
                ("exchange", copy.msg.exchange.clone()),
                ("routing_key", copy.msg.key.clone()),
                ("message_count", left.to_string()),
                ("sign", copy.msg.sign()),
            ];
            if copy.redelivered || copy.msg.left != Left::Maybe {
                fields.push(("redelivered", copy.redelivered.to_string()));
            }
            model.reply(at, "basic.get-ok", &fields);
            Ok(())
        })
    }

    pub(crate) fn settle(
        &mut self,
        at: At,
        which: Option<usize>,
        multiple: bool,
        how: How,
        reject: bool,
    ) -> Result<(), String> {
        let channel = self.model.channel(at.0, at.1);
        let tags: Vec<u64> = channel.out.iter().filter(|out| !out.pending).map(|out| out.tag).collect();
        let tag = match which {
            None => channel.tag + 1,
            Some(_) if tags.is_empty() => return Ok(()),
            Some(which) => tags[which % tags.len()],
        };
        self.settle_tag(at, tag, multiple, how, reject)
    }

    pub(crate) fn settle_tag(
        &mut self,
        at: At,
        tag: u64,
        multiple: bool,
        how: How,
        reject: bool,
    ) -> Result<(), String> {
        let requeue = how == How::Requeue;
        let method = match how {
            How::Ack => format!("basic.ack delivery_tag={tag} multiple={multiple}"),
            _ if reject && !multiple => format!("basic.reject delivery_tag={tag} requeue={requeue}"),
            _ => format!("basic.nack delivery_tag={tag} multiple={multiple} requeue={requeue}"),
        };
        self.call(at, &method, |model| model.settle(at, tag, multiple, how))
    }

    /// A commit is answered once durable, so it includes a sync.
    pub(crate) fn commit(&mut self, at: At) -> Result<(), String> {
        let mut copies = None;
        self.call(at, "tx.commit", |model| {
            copies = Some(model.commit(at)?);
            Ok(())
        })?;
        let Some(copies) = copies else { return Ok(()) };
        let waits = copies.iter().any(|id| !self.model.is_safe(*id));
        let early = std::mem::take(&mut self.committed);
        if early && waits {
            return Err("a commit is answered before it is durable".to_owned());
        }
        self.world.sync();
        self.after(|_| ())?;
        if early == std::mem::take(&mut self.committed) {
            return Err("a commit is not answered once".to_owned());
        }
        self.model.synced();
        self.verdict()
    }

    pub(crate) fn crash(&mut self, seed: u64) -> Result<(), String> {
        self.world.crash(seed);
        self.model.storage_fails = false;
        self.model.step += 1;
        let mut found = BTreeMap::new();
        for queue in self.world.vhost().queues() {
            found.insert(queue.name.as_str().to_owned(), self.world.contents(&queue));
        }
        let standing = found.values().map(Vec::len).sum::<usize>();
        let held = self.model.queues.values().map(|queue| queue.ready.len()).sum::<usize>();
        if standing > 0 {
            self.saw("a crash that something survived");
        }
        if standing < held {
            self.saw("a crash that something did not survive");
        }
        self.model.crash(&found);
        self.started = true;
        self.judge()
    }
}
