//! Runs a script against the broker and the model, and compares them.

use std::collections::{BTreeMap, BTreeSet};

use crate::judge::Ears;
use crate::lines::Line;
use crate::model::channel::{Channel, Transaction};
use crate::model::{Model, Refused};
use crate::script::{At, Op, channel_of};
use crate::world::World;

/// Memory limit for bodies, in octets, in one run of three: further ones are read back from the store.
const LITTLE_MEMORY: u64 = 20_000;

pub(crate) struct Play {
    pub(crate) world: World,
    pub(crate) model: Model,
    pub(crate) ears: Ears,
    /// Number of publishes so far.
    pub(crate) bodies: u64,
    /// Number of consumers so far.
    pub(crate) consumers: u64,
    /// No time has passed since the broker's restart.
    pub(crate) started: bool,
    /// `tx.commit-ok` was received.
    pub(crate) committed: bool,
    /// The methods sent.
    pub(crate) said: Vec<String>,
    /// Events seen, and how often.
    pub(crate) seen: BTreeMap<String, u64>,
}

impl Play {
    pub(crate) fn new(seed: u64) -> Self {
        let memory = if seed.is_multiple_of(3) { LITTLE_MEMORY } else { u64::MAX };
        let mut model = Model::new();
        model.now = World::now();
        Self {
            world: World::new(memory),
            model,
            ears: Ears::default(),
            bodies: 0,
            consumers: 0,
            started: false,
            committed: false,
            said: Vec::new(),
            seen: BTreeMap::new(),
        }
    }

    /// Executes one operation and its consequences. `Err`: the violation.
    pub(crate) fn step(&mut self, op: &Op) -> Result<(), String> {
        self.pass(1)?;
        self.said.push(format!("# {op:?}"));
        if let Some(at) = channel_of(op) {
            self.open(at)?;
        }
        self.act(op)?;
        self.counts()
    }

    /// Advances time, stopping where the broker requests a call.
    fn pass(&mut self, ms: u64) -> Result<(), String> {
        let end = World::now() + ms;
        for _ in 0..10_000 {
            let more = self.world.pass(end);
            self.model.step += 1;
            self.listen()?;
            if self.started {
                self.model.taken = self.contents();
            }
            self.model.pass(World::now());
            self.judge()?;
            if !more {
                self.started = false;
                self.model.taken.clear();
                return Ok(());
            }
        }
        Err("hangs: the broker wants to be called again and again".to_owned())
    }

    /// The messages of all queues.
    fn contents(&self) -> BTreeMap<String, BTreeSet<String>> {
        let queues = self.world.vhost().queues();
        let signs = |queue| self.world.contents(queue).into_iter().map(|one| one.sign).collect();
        queues.iter().map(|queue| (queue.name.as_str().to_owned(), signs(queue))).collect()
    }

    fn open(&mut self, (client, number): At) -> Result<(), String> {
        if !self.model.clients.contains_key(&client) {
            self.world.connect(client);
            self.world.say(client, b"AMQP\0\0\x09\x01");
            self.say(client, "C 0 connection.start-ok mechanism=EXTERNAL locale=en_US client_properties={capabilities:{consumer_cancel_notify:true}}");
            self.say(client, "C 0 connection.tune-ok channel_max=4 frame_max=4096");
            self.say(client, "C 0 connection.open virtual_host=/");
            self.model.clients.insert(client, BTreeMap::new());
            for name in ["connection.start", "connection.tune", "connection.open-ok"] {
                self.model.reply((client, 0), name, &[]);
            }
            self.listen()?;
            self.judge()?;
        }
        if !self.model.clients[&client].contains_key(&number) {
            self.say(client, &format!("C {number} channel.open"));
            self.model.clients.get_mut(&client).expect("is there").insert(number, Channel::default());
            self.model.reply((client, number), "channel.open-ok", &[]);
            self.listen()?;
            self.judge()?;
        }
        Ok(())
    }

    /// Sends these lines from a client in one packet.
    pub(crate) fn say(&mut self, client: usize, lines: &str) {
        let mut octets = Vec::new();
        for line in lines.lines() {
            self.said.push(format!("{client}: {line}"));
            let Line::Said { frames, .. } = Line::parse(line) else { panic!("nobody says {line:?}") };
            octets.extend(frames.concat());
        }
        self.world.say(client, &octets);
    }

    /// Sends a method on a channel, and applies it to the model.
    pub(crate) fn call(
        &mut self,
        at: At,
        method: &str,
        model: impl FnOnce(&mut Model) -> Result<(), Refused>,
    ) -> Result<(), String> {
        let (name, _) = method.split_once(' ').unwrap_or((method, ""));
        self.say(at.0, &format!("C {} {method}", at.1));
        self.model.step += 1;
        self.listen()?;
        let done = model(&mut self.model);
        self.close_if(at, name, done)?;
        self.judge()
    }

    /// Ends a step; a refusal has closed its channel, or its connection.
    pub(crate) fn close_if(&mut self, at: At, name: &str, done: Result<(), Refused>) -> Result<(), String> {
        let Err(Refused(code)) = done else {
            self.model.finish();
            return Ok(());
        };
        let spec = crate::spec::by_name(name);
        let fields = [
            ("reply_code", code.to_string()),
            ("class_id", spec.class.to_string()),
            ("method_id", spec.id.to_string()),
        ];
        if [403, 404, 405, 406].contains(&code) {
            self.model.reply(at, "channel.close", &fields);
            self.model.end_channels(&[at]);
            self.say(at.0, &format!("C {} channel.close-ok", at.1));
        } else {
            self.model.reply((at.0, 0), "connection.close", &fields);
            self.model.end_client(at.0);
            self.say(at.0, "C 0 connection.close-ok");
            if !self.world.is_over(at.0) {
                return Err("the connection goes on after its end".to_owned());
            }
        }
        self.model.finish();
        Ok(())
    }

    fn act(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::DeclareQueue { at, name, shape } => {
                let method = format!(
                    "queue.declare queue={name} durable={} exclusive={} auto_delete={} arguments={}",
                    shape.durable,
                    shape.exclusive,
                    shape.auto_delete,
                    shape.arguments()
                );
                self.call(*at, &method, |model| {
                    let counted = model.declare_queue(at.0, name, shape)?;
                    model.declared(*at, &counted);
                    Ok(())
                })
            }
            Op::FindQueue { at, name } => {
                self.call(*at, &format!("queue.declare queue={name} passive=true"), |model| {
                    let counted = model.find_queue(at.0, name)?;
                    model.declared(*at, &counted);
                    Ok(())
                })
            }
            Op::DeleteQueue { at, name, if_unused, if_empty } => {
                let method = format!("queue.delete queue={name} if_unused={if_unused} if_empty={if_empty}");
                self.call(*at, &method, |model| {
                    let count = model.delete_queue(at.0, name, *if_unused, *if_empty)?;
                    model.reply(*at, "queue.delete-ok", &[("message_count", count.to_string())]);
                    Ok(())
                })
            }
            Op::Purge { at, name } => self.call(*at, &format!("queue.purge queue={name}"), |model| {
                let count = model.purge(at.0, name)?;
                model.reply(*at, "queue.purge-ok", &[("message_count", count.to_string())]);
                Ok(())
            }),
            Op::DeclareExchange { at, name, shape } => {
                let method = format!(
                    "exchange.declare exchange={name} type={} durable={} auto_delete={} internal={} arguments={}",
                    shape.kind,
                    shape.durable,
                    shape.auto_delete,
                    shape.internal,
                    shape.arguments()
                );
                self.call(*at, &method, |model| {
                    model.declare_exchange(name, shape)?;
                    model.reply(*at, "exchange.declare-ok", &[]);
                    Ok(())
                })
            }
            Op::DeleteExchange { at, name, if_unused } => {
                self.call(*at, &format!("exchange.delete exchange={name} if_unused={if_unused}"), |model| {
                    model.delete_exchange(name, *if_unused)?;
                    model.reply(*at, "exchange.delete-ok", &[]);
                    Ok(())
                })
            }
            Op::Bind { at, binding } => self.bind(*at, binding, true),
            Op::Unbind { at, binding } => self.bind(*at, binding, false),
            other => self.act_on_messages(other),
        }
    }

    fn act_on_messages(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Publish { at, count, exchange, key, how } => self.publish(*at, *count, exchange, key, *how),
            Op::Consume { at, queue, no_ack, exclusive, priority } => {
                self.consume(*at, queue, *no_ack, *exclusive, *priority)
            }
            Op::Cancel { at, which } => self.cancel(*at, *which),
            Op::Get { at, queue, no_ack } => self.get(*at, queue, *no_ack),
            Op::Settle { at, which, multiple, how, reject } => {
                self.settle(*at, *which, *multiple, *how, *reject)
            }
            Op::SettleAll { at, how } => self.settle_tag(*at, 0, true, *how, false),
            other => self.act_on_channel(other),
        }
    }

    fn act_on_channel(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::Recover { at } => self.call(*at, "basic.recover requeue=true", |model| {
                model.recover(*at);
                model.reply(*at, "basic.recover-ok", &[]);
                Ok(())
            }),
            Op::Qos { at, count, shared } => {
                self.call(*at, &format!("basic.qos prefetch_count={count} global={shared}"), |model| {
                    model.reply(*at, "basic.qos-ok", &[]);
                    model.limit(*at, *count, *shared);
                    Ok(())
                })
            }
            Op::ConfirmSelect { at } => self.call(*at, "confirm.select", |model| {
                let channel = model.channel(at.0, at.1);
                if channel.tx.is_some() {
                    return Err(Refused(406));
                }
                channel.confirms.get_or_insert(0);
                model.reply(*at, "confirm.select-ok", &[]);
                Ok(())
            }),
            Op::TxSelect { at } => self.call(*at, "tx.select", |model| {
                let channel = model.channel(at.0, at.1);
                if channel.confirms.is_some() {
                    return Err(Refused(406));
                }
                channel.tx.get_or_insert_with(Transaction::default);
                model.reply(*at, "tx.select-ok", &[]);
                Ok(())
            }),
            Op::Commit { at } => self.commit(*at),
            Op::Rollback { at } => self.call(*at, "tx.rollback", |model| {
                model.roll_back(*at)?;
                model.reply(*at, "tx.rollback-ok", &[]);
                Ok(())
            }),
            Op::CloseChannel { at } => self.call(*at, "channel.close", |model| {
                model.end_channels(&[*at]);
                model.reply(*at, "channel.close-ok", &[]);
                Ok(())
            }),
            Op::CloseConnection { client } => {
                if !self.model.clients.contains_key(client) {
                    return Ok(());
                }
                self.call((*client, 0), "connection.close", |model| {
                    model.end_client(*client);
                    model.reply((*client, 0), "connection.close-ok", &[]);
                    Ok(())
                })
            }
            Op::Disconnect { client } => {
                self.world.lose(*client);
                self.after(|model| model.end_client(*client))
            }
            other => self.act_on_machine(other),
        }
    }

    fn act_on_machine(&mut self, op: &Op) -> Result<(), String> {
        match op {
            Op::SetPolicy { name, policy } => {
                if self.model.storage_fails {
                    return Ok(());
                }
                self.world.put_policy(name, policy);
                let queues = self.world.queues();
                self.after(|model| model.set_policy(name, Some(policy.clone()), &queues))
            }
            Op::ClearPolicy { name } => {
                if self.model.storage_fails {
                    return Ok(());
                }
                self.world.clear_policy(name);
                let queues = self.world.queues();
                self.after(|model| model.set_policy(name, None, &queues))
            }
            Op::Pass { ms } => self.pass(*ms),
            Op::Sync => {
                self.world.sync();
                self.after(|_| ())?;
                self.model.synced();
                self.verdict()
            }
            Op::Rest => {
                self.world.broker.rest_queues();
                self.after(|_| ())
            }
            Op::Storage { fails } => {
                self.world.definitions_fail(*fails);
                self.after(|model| {
                    model.storage_fails = *fails;
                    if !fails {
                        model.delete_unused();
                    }
                })
            }
            Op::FailedSync { seed } => {
                self.model.broken = true;
                self.world.fail_sync();
                self.after(|_| ())?;
                self.crash(*seed)
            }
            Op::Crash { seed } => self.crash(*seed),
            other => panic!("nobody carries out {other:?}"),
        }
    }

    pub(crate) fn saw(&mut self, what: impl Into<String>) {
        *self.seen.entry(what.into()).or_default() += 1;
    }

    /// The consequences of an action without a client.
    pub(crate) fn after(&mut self, model: impl FnOnce(&mut Model)) -> Result<(), String> {
        self.model.step += 1;
        self.listen()?;
        model(&mut self.model);
        self.model.finish();
        self.judge()
    }
}
