//! The rules: one table. Each looks at plain data only.
//!
//! Thresholds of backlogs, growth, stalls and hoarding are those of the dashboard's overview
//! (`management-ui/lib/attention.js`); a test compares them.

use leveret_broker::survey::Leads;

use super::cycles::dead_letter_cycles;
use super::snapshot::{ConsumerFacts, DeadLetterFacts, ExchangeFacts, QueueFacts, Snapshot, VhostFacts};

/// Fewer ready messages are no backlog.
pub(super) const BACKLOG_MIN: u64 = 100;

/// Unacknowledged messages from which on a consumer hoards.
pub(super) const UNACKED_MIN: u64 = 1000;

/// Growth of a queue, in messages per second.
pub(super) const GROWTH_MIN: f64 = 1.0;

/// A queue without an acknowledgement for so long is stalled, in seconds.
pub(super) const STALL_S: u64 = 30;

/// A larger prefetch does not make a consumer faster, and holds more messages up when it fails.
pub(super) const PREFETCH_MAX: u32 = 1000;

/// Connections with one channel each of one client, from which on they are many.
pub(super) const CONNECTIONS_MANY: usize = 100;

/// Connections opened, and as many closed, per second.
pub(super) const CHURN_MIN: f64 = 5.0;

/// A connection is young for so long, in seconds.
pub(super) const YOUNG_S: u64 = 60;

/// Objects listed for a finding; all are counted.
pub(super) const OBJECTS_MAX: usize = 20;

/// How grave a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Severity {
    /// May be intended.
    Info,
    /// Costs messages, memory or time under some circumstances.
    Warning,
    /// Does not work as configured.
    Error,
}

impl Severity {
    /// The name in answers.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// A rule.
pub(super) struct Rule {
    /// Unique; also the heading in docs/lint.md.
    pub(super) id: &'static str,
    pub(super) severity: Severity,
    /// What was found, in one sentence.
    pub(super) title: &'static str,
    /// Why it matters.
    pub(super) why: &'static str,
    /// What to do.
    pub(super) advice: &'static str,
    pub(super) find: fn(&Snapshot, &mut Found),
}

/// An object that a rule found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Object {
    pub(super) kind: &'static str,
    pub(super) vhost: Option<String>,
    pub(super) name: String,
    /// What about it.
    pub(super) why: String,
}

/// The objects that one rule found: the first [`OBJECTS_MAX`], all counted.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) objects: Vec<Object>,
    pub(super) count: usize,
}

impl Found {
    fn add(
        &mut self,
        kind: &'static str,
        vhost: Option<&VhostFacts>,
        name: &str,
        why: impl FnOnce() -> String,
    ) {
        self.count += 1;
        if self.objects.len() < OBJECTS_MAX {
            let vhost = vhost.map(|vhost| vhost.name.clone());
            self.objects.push(Object { kind, vhost, name: name.to_owned(), why: why() });
        }
    }
}

/// All rules, the gravest first.
pub(super) static RULES: [Rule; 19] = [
    Rule {
        id: "dead-letter-exchange-missing",
        severity: Severity::Error,
        title: "The dead-letter exchange does not exist.",
        why: "Messages that are rejected, expire or exceed a limit are dropped instead of dead-lettered.",
        advice: "Declare the exchange, or correct the name in the queue's arguments or policy.",
        find: |snapshot, found| {
            dead_letters(snapshot, found, |to| {
                (to.leads == Leads::Missing).then(|| format!("'{}' does not exist", to.exchange))
            });
        },
    },
    Rule {
        id: "alternate-exchange-missing",
        severity: Severity::Error,
        title: "The alternate exchange does not exist.",
        why: "Messages that no binding matches are dropped or returned instead of going to the alternate exchange.",
        advice: "Declare the exchange, or correct the name in the exchange's arguments or policy.",
        find: |snapshot, found| {
            exchanges(snapshot, found, |exchange| {
                let (name, _) = exchange.alternate.as_ref().filter(|(_, exists)| !exists)?;
                Some(format!("'{name}' does not exist"))
            });
        },
    },
    Rule {
        id: "dead-letters-unroutable",
        severity: Severity::Warning,
        title: "Dead letters are routed to no queue.",
        why: "The dead-letter exchange exists, but no binding leads from it to a queue: dead letters are dropped.",
        advice: "Bind a queue to the dead-letter exchange with the key that dead letters carry; \
                 `leveret ctl explain` shows where they go.",
        find: |snapshot, found| {
            dead_letters(snapshot, found, |to| {
                (to.leads == Leads::Nowhere).then(|| format!("'{}' routes them to no queue", to.exchange))
            });
        },
    },
    Rule {
        id: "dead-letter-loop",
        severity: Severity::Warning,
        title: "Dead letters return to a queue they left, without a delivery limit.",
        why: "The broker cuts cycles in which no client takes part. A message that a consumer rejects each time goes \
              round without end.",
        advice: "Have consumers give up after a number of deaths (header `x-death`), or requeue failed messages and \
                 set a delivery limit.",
        find: |snapshot, found| {
            for vhost in &snapshot.vhosts {
                for cycle in dead_letter_cycles(&vhost.queues).iter().filter(|cycle| !cycle.limited) {
                    let first = cycle.queues.first().copied().unwrap_or_default();
                    let way = || format!("{} -> {first}", cycle.queues.join(" -> "));
                    found.add("queue", Some(vhost), first, way);
                }
            }
        },
    },
    Rule {
        id: "queue-without-consumer",
        severity: Severity::Warning,
        title: "A backlog has no consumer.",
        why: "Nobody takes the messages; they use disk and memory until a limit or an alarm is reached.",
        advice: "Start the consumer, or purge or delete the queue. For a queue that is read now and then, such as one \
                 of dead letters, set a limit.",
        find: |snapshot, found| {
            queues(snapshot, found, |queue| {
                (queue.ready >= BACKLOG_MIN && queue.consumers.is_empty())
                    .then(|| format!("{} messages ready", queue.ready))
            });
        },
    },
    Rule {
        id: "queue-stalled",
        severity: Severity::Warning,
        title: "A queue has consumers and a backlog, and nothing is acknowledged.",
        why: "Its consumers hang, or hold as many messages as their prefetch allows.",
        advice: "Look at the consumers' logs. A consumer timeout (`x-consumer-timeout`) closes the channel of one that \
                 does not acknowledge.",
        find: |snapshot, found| {
            queues(snapshot, found, |queue| {
                let stalled = !queue.consumers.is_empty()
                    && queue.ready >= BACKLOG_MIN
                    && queue.delivered == 0.0
                    && queue.acked == Some(false);
                stalled.then(|| format!("{} messages ready, no acknowledgement for {STALL_S} s", queue.ready))
            });
        },
    },
    Rule {
        id: "queue-growing-without-limit",
        severity: Severity::Warning,
        title: "A queue without any limit is growing.",
        why: "Publishers are faster than consumers; the queue grows until the disk or memory alarm blocks all \
              publishers of the broker.",
        advice: "Add consumers, or set max-length, max-length-bytes or message-ttl with a policy.",
        find: |snapshot, found| {
            queues(snapshot, found, |queue| {
                let grows = queue.growth >= GROWTH_MIN && queue.ready + queue.unacked >= BACKLOG_MIN;
                (grows && !queue.bounded).then(|| {
                    format!("{} messages, {:.1} more per second", queue.ready + queue.unacked, queue.growth)
                })
            });
        },
    },
    Rule {
        id: "consumer-hoards",
        severity: Severity::Warning,
        title: "One consumer holds most of a queue's unacknowledged messages.",
        why: "Other consumers do not get them, and all come back at once when its connection ends.",
        advice: "Lower its prefetch, and acknowledge messages when they are processed.",
        find: |snapshot, found| {
            consumers(snapshot, found, |queue, consumer| {
                let hoards = queue.unacked >= UNACKED_MIN
                    && queue.unacked > queue.ready / 2
                    && consumer.unacked > queue.unacked / 2;
                hoards.then(|| {
                    format!(
                        "holds {} of {} unacknowledged messages of queue '{}'",
                        consumer.unacked, queue.unacked, queue.name
                    )
                })
            });
        },
    },
    Rule {
        id: "prefetch-unlimited",
        severity: Severity::Warning,
        title: "A consumer with acknowledgements has no prefetch limit.",
        why: "It is sent the whole queue, which fills its memory and leaves nothing for other consumers.",
        advice: "Set basic.qos before basic.consume; 10 to 300 suits most consumers.",
        find: |snapshot, found| {
            consumers(snapshot, found, |queue, consumer| {
                (consumer.acks && consumer.prefetch == 0).then(|| format!("of queue '{}'", queue.name))
            });
        },
    },
    Rule {
        id: "durable-queue-on-transient-exchange",
        severity: Severity::Warning,
        title: "A durable queue is bound to a transient exchange.",
        why: "After a restart the exchange and the binding are gone, and the queue receives nothing.",
        advice: "Declare the exchange durable: `leveret apply --migrate` changes it in place.",
        find: |snapshot, found| {
            queues(snapshot, found, |queue| {
                let names = queue.transient_sources.iter().take(5).map(|name| &**name).collect::<Vec<_>>();
                (!names.is_empty()).then(|| format!("bound to {}", names.join(", ")))
            });
        },
    },
    Rule {
        id: "policy-without-effect",
        severity: Severity::Warning,
        title: "A policy applies to nothing.",
        why: "No object matches its pattern and type, or policies of higher priority match first.",
        advice: "Correct the pattern, `apply-to` or priority, or delete the policy.",
        find: |snapshot, found| policies(snapshot, found, false),
    },
    Rule {
        id: "operator-policy-without-effect",
        severity: Severity::Warning,
        title: "An operator policy applies to nothing.",
        why: "The limits it should impose are not in force anywhere.",
        advice: "Correct the pattern, `apply-to` or priority, or delete the operator policy.",
        find: |snapshot, found| policies(snapshot, found, true),
    },
    Rule {
        id: "connection-churn",
        severity: Severity::Warning,
        title: "Connections are opened and closed all the time.",
        why: "A connection per message costs both sides several round trips, a password check and, with TLS, a \
              handshake.",
        advice: "Open one connection per process and keep it; open one channel per thread on it.",
        find: |snapshot, found| {
            let [opened, closed] = snapshot.churn;
            if opened >= CHURN_MIN && closed >= CHURN_MIN {
                let young = snapshot.clients.iter().max_by_key(|client| client.young);
                let name =
                    young.map_or_else(String::new, |client| format!("{}@{}", client.user, client.host));
                found.add("connections", None, &name, || {
                    format!("{opened:.1} opened and {closed:.1} closed per second on the whole broker")
                });
            }
        },
    },
    Rule {
        id: "connections-many",
        severity: Severity::Info,
        title: "A client has many connections with one channel each.",
        why: "Each connection takes a socket, buffers and two tasks, a channel almost nothing.",
        advice: "Share a connection between threads, with a channel for each.",
        find: |snapshot, found| {
            for client in snapshot.clients.iter().filter(|client| client.narrow >= CONNECTIONS_MANY) {
                found.add("connections", None, &format!("{}@{}", client.user, client.host), || {
                    format!(
                        "{} of {} connections have at most one channel",
                        client.narrow, client.connections
                    )
                });
            }
        },
    },
    Rule {
        id: "queue-without-limit",
        severity: Severity::Info,
        title: "A queue has no limit.",
        why: "Without consumers it grows until the disk or memory alarm blocks all publishers of the broker.",
        advice: "Set max-length, max-length-bytes, message-ttl or expires, for example for all queues with an \
                 operator policy.",
        find: |snapshot, found| {
            queues(snapshot, found, |queue| {
                (!queue.bounded && !queue.fleeting)
                    .then(|| format!("{} messages", queue.ready + queue.unacked))
            });
        },
    },
    Rule {
        id: "transient-messages-in-durable-queue",
        severity: Severity::Info,
        title: "A durable queue holds transient messages.",
        why: "They are lost at a restart, although the queue is not.",
        advice: "Publish with delivery_mode 2, or declare the queue transient if its messages may be lost.",
        find: |snapshot, found| {
            queues(snapshot, found, |queue| {
                let messages = queue.ready + queue.unacked;
                let transient = messages.saturating_sub(queue.persistent);
                (queue.durable && transient > 0).then(|| format!("{transient} of {messages} messages"))
            });
        },
    },
    Rule {
        id: "prefetch-high",
        severity: Severity::Info,
        title: "A consumer's prefetch is very high.",
        why: "It is no faster for it, and other consumers get less; its messages come back at once when it fails.",
        advice: "Use the smallest prefetch that keeps the consumer busy, mostly 10 to 300.",
        find: |snapshot, found| {
            consumers(snapshot, found, |queue, consumer| {
                (consumer.acks && consumer.prefetch > PREFETCH_MAX)
                    .then(|| format!("{} for queue '{}'", consumer.prefetch, queue.name))
            });
        },
    },
    Rule {
        id: "exchange-unused",
        severity: Severity::Info,
        title: "An exchange has no binding, and nothing was published to it since the start.",
        why: "It may be left over from a former version of an application.",
        advice: "Delete it if nobody needs it.",
        find: |snapshot, found| {
            exchanges(snapshot, found, |exchange| {
                let bound = exchange.outgoing + exchange.incoming > 0 || exchange.referred_to;
                let unused = !exchange.predeclared && !bound && exchange.published == 0;
                unused.then(|| "no binding, no publish".to_owned())
            });
        },
    },
    Rule {
        id: "exchange-without-binding",
        severity: Severity::Info,
        title: "Messages are published to an exchange without bindings.",
        why: "All of them are dropped or returned.",
        advice: "Bind a queue, set an alternate exchange, or stop publishing.",
        find: |snapshot, found| {
            exchanges(snapshot, found, |exchange| {
                let leads =
                    exchange.outgoing > 0 || exchange.alternate.as_ref().is_some_and(|(_, exists)| *exists);
                (!exchange.name.is_empty() && exchange.published > 0 && !leads)
                    .then(|| format!("{} messages published", exchange.published))
            });
        },
    },
];

fn queues(snapshot: &Snapshot, found: &mut Found, why: impl Fn(&QueueFacts) -> Option<String>) {
    for vhost in &snapshot.vhosts {
        for queue in &vhost.queues {
            if let Some(why) = why(queue) {
                found.add("queue", Some(vhost), &queue.name, || why);
            }
        }
    }
}

fn dead_letters(snapshot: &Snapshot, found: &mut Found, why: impl Fn(&DeadLetterFacts) -> Option<String>) {
    queues(snapshot, found, |queue| queue.dead_letters.as_ref().and_then(&why));
}

fn consumers(
    snapshot: &Snapshot,
    found: &mut Found,
    why: impl Fn(&QueueFacts, &ConsumerFacts) -> Option<String>,
) {
    for vhost in &snapshot.vhosts {
        for queue in &vhost.queues {
            for consumer in &queue.consumers {
                if let Some(why) = why(queue, consumer) {
                    found.add("consumer", Some(vhost), &consumer.tag, || why);
                }
            }
        }
    }
}

fn exchanges(snapshot: &Snapshot, found: &mut Found, why: impl Fn(&ExchangeFacts) -> Option<String>) {
    for vhost in &snapshot.vhosts {
        for exchange in &vhost.exchanges {
            if let Some(why) = why(exchange) {
                found.add("exchange", Some(vhost), &exchange.name, || why);
            }
        }
    }
}

fn policies(snapshot: &Snapshot, found: &mut Found, operator: bool) {
    let kind = if operator { "operator_policy" } else { "policy" };
    for vhost in &snapshot.vhosts {
        for policy in vhost.policies.iter().filter(|policy| policy.operator == operator && !policy.applies) {
            found.add(kind, Some(vhost), &policy.name, || format!("pattern {}", policy.pattern));
        }
    }
}
