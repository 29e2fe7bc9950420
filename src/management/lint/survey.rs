//! Takes the snapshot that the rules look at: one short lock for each queue, one pass over the bindings of each vhost.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use leveret_broker::policies::{Policy, PolicyKind};
use leveret_broker::queue_handle::{ConsumerListed, QueueHandle};
use leveret_broker::survey::Survey;
use leveret_broker::vhost::Vhost;
use leveret_exchanges::names;
use rustc_hash::FxHashMap;

use super::super::access::{Level, Login};
use super::super::rates;
use super::super::{Shared, connections};
use super::rules::{BACKLOG_MIN, STALL_S, YOUNG_S};
use super::snapshot::{
    ClientFacts, ConsumerFacts, DeadLetterFacts, ExchangeFacts, PolicyFacts, QueueFacts, Snapshot, VhostFacts,
};

/// Names of exchanges times policies that are compared; beyond, policies count as in force.
const COMPARED_MAX: usize = 2_000_000;

/// Takes the snapshot of these vhosts, with the connections that the user may see.
pub(super) fn snapshot(api: &Shared, login: &Login, vhosts: &[Arc<Vhost>]) -> Snapshot {
    let rates = api.rates.snapshot();
    let all = login.is(Level::Monitoring);
    Snapshot {
        vhosts: vhosts.iter().map(|vhost| vhost_facts(api, &rates, vhost)).collect(),
        clients: clients(api, login, vhosts),
        churn: if all { rates.connection_churn() } else { [0.0; 2] },
    }
}

fn vhost_facts(api: &Shared, rates: &rates::Snapshot, vhost: &Vhost) -> VhostFacts {
    let mut survey = vhost.survey();
    let mut sources: FxHashMap<Arc<str>, Vec<Arc<str>>> = FxHashMap::default();
    for (queue, exchange) in std::mem::take(&mut survey.transient_sources) {
        sources.entry(queue).or_default().push(exchange);
    }
    let mut in_force = HashSet::new();
    let queues = vhost.queues().into_iter().map(|queue| {
        let mut facts = queue_facts(api, rates, &queue, &mut in_force);
        facts.transient_sources = sources.remove(queue.name.as_str()).unwrap_or_default();
        facts.dead_letters = survey
            .dead_letters
            .remove(queue.name.as_str())
            .map(|(rule, leads)| DeadLetterFacts { exchange: rule.exchange.as_str().to_owned(), leads });
        facts
    });
    let mut queues: Vec<QueueFacts> = queues.collect();
    queues.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    let policies = policies(vhost, &survey, in_force);
    let exchanges = exchanges(survey, &queues);
    VhostFacts { name: vhost.name.as_str().to_owned(), queues, exchanges, policies }
}

/// Adds the queue's policies to those in force.
fn queue_facts(
    api: &Shared,
    rates: &rates::Snapshot,
    queue: &QueueHandle,
    in_force: &mut HashSet<*const Policy>,
) -> QueueFacts {
    let view = queue.view();
    let (counts, settings) = (&view.counts, &view.settings);
    in_force.extend([&view.matched.policy, &view.matched.operator].into_iter().flatten().map(Arc::as_ptr));
    let consumers = if counts.consumers > 0 { queue.consumers() } else { Vec::new() };
    let rate = |path| rates.rate_at(queue.id, path).unwrap_or_default();
    let delivered = rate("message_stats.deliver_get_details.rate");
    // The past is looked at where it decides.
    let may_stall = counts.consumers > 0 && counts.ready >= BACKLOG_MIN && delivered == 0.0;
    let acked = may_stall.then(|| api.rates.acked_within(queue.id, STALL_S)).flatten();
    QueueFacts {
        name: queue.name.as_str().to_owned(),
        durable: settings.durable,
        fleeting: queue.exclusive_owner.is_some() || queue.auto_delete(),
        ready: counts.ready,
        unacked: counts.unacked,
        persistent: counts.persistent,
        bounded: settings.max_length.is_some()
            || settings.max_bytes.is_some()
            || settings.message_ttl_ms.is_some()
            || settings.expires_ms.is_some(),
        delivery_limit: settings.delivery_limit.is_some(),
        growth: rate("messages_details.rate"),
        delivered,
        acked: acked.map(|count| count > 0),
        consumers: consumers.iter().map(consumer_facts).collect(),
        dead_letters: None,
        transient_sources: Vec::new(),
    }
}

fn consumer_facts(listed: &ConsumerListed) -> ConsumerFacts {
    let consumer = &listed.consumer;
    let limits = [consumer.prefetch, consumer.shared_credit.limit()];
    ConsumerFacts {
        tag: consumer.tag.as_str().to_owned(),
        unacked: u64::from(listed.unacked),
        acks: !consumer.no_ack,
        prefetch: limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(0),
    }
}

fn exchanges(survey: Survey, queues: &[QueueFacts]) -> Vec<ExchangeFacts> {
    let alternates = survey.exchanges.iter().filter_map(|exchange| exchange.alternate.as_ref());
    let dead = queues.iter().filter_map(|queue| queue.dead_letters.as_ref());
    let mut referred_to: HashSet<String> = alternates.map(|(name, _)| name.clone()).collect();
    referred_to.extend(dead.map(|to| to.exchange.clone()));
    let facts = survey.exchanges.into_iter().map(|exchange| ExchangeFacts {
        predeclared: names::is_predeclared(&exchange.info.name),
        referred_to: referred_to.contains(&*exchange.info.name),
        outgoing: exchange.outgoing,
        incoming: exchange.incoming,
        published: exchange.published,
        alternate: exchange.alternate,
        name: exchange.info.name.to_string(),
    });
    let mut facts: Vec<_> = facts.collect();
    facts.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    facts
}

/// `in_force`: the policies of queues.
fn policies(vhost: &Vhost, survey: &Survey, mut in_force: HashSet<*const Policy>) -> Vec<PolicyFacts> {
    let set = vhost.policies();
    let kinds = [PolicyKind::User, PolicyKind::Operator];
    let count: usize = kinds.iter().map(|kind| set.of(*kind).len()).sum();
    let compared = count * survey.exchanges.len() <= COMPARED_MAX;
    if compared && in_force.len() < count {
        for exchange in &survey.exchanges {
            let matched = vhost.policies_of_exchange(&exchange.info.name);
            in_force.extend([&matched.policy, &matched.operator].into_iter().flatten().map(Arc::as_ptr));
        }
    }
    let facts = kinds.into_iter().flat_map(|kind| {
        set.of(kind).iter().map(move |policy| (kind == PolicyKind::Operator, policy)).collect::<Vec<_>>()
    });
    let facts = facts.map(|(operator, policy)| PolicyFacts {
        name: policy.name.clone(),
        operator,
        pattern: policy.record.pattern.clone(),
        applies: !compared || in_force.contains(&Arc::as_ptr(policy)),
    });
    facts.collect()
}

/// The connections to these vhosts that the user may see, by user and address.
fn clients(api: &Shared, login: &Login, vhosts: &[Arc<Vhost>]) -> Vec<ClientFacts> {
    let names: HashSet<&str> = vhosts.iter().map(|vhost| vhost.name.as_str()).collect();
    let now = api.broker.now();
    let mut clients = BTreeMap::<(String, String), ClientFacts>::new();
    for connection in connections::seen(api, login) {
        let facts = &connection.facts;
        if !names.contains(facts.vhost.as_str()) {
            continue;
        }
        let key = (facts.user.as_str().to_owned(), facts.peer.ip().to_string());
        let client = clients.entry(key).or_default();
        client.connections += 1;
        client.narrow += usize::from(connection.channels().len() <= 1);
        client.young += usize::from(now.0.saturating_sub(facts.connected_at.0) < YOUNG_S * 1000);
    }
    clients.into_iter().map(|((user, host), client)| ClientFacts { user, host, ..client }).collect()
}
