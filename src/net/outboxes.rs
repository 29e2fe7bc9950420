//! Counts data waiting for clients that do not read, against the common budget of memory held for peers.
//!
//! Polled from outside at intervals, to keep the cost off deliveries.

use std::sync::Arc;
use std::time::Duration;

use leveret_broker::Broker;
use leveret_broker::held::{STEP, Share};
use leveret_broker::names::ConnectionId;
use rustc_hash::{FxHashMap, FxHashSet};

use super::clock::now;

/// Check interval. With a hundred thousand connections, a check takes milliseconds.
const INTERVAL: Duration = Duration::from_secs(1);

/// Check interval while nobody is connected, or many are.
const LONG_INTERVAL: Duration = Duration::from_secs(5);

/// Number of connections that counts as many.
const MANY: usize = 10_000;

/// Runs for the broker's lifetime.
pub(super) async fn watch(broker: Arc<Broker>) {
    let mut large = FxHashMap::default();
    loop {
        let open = broker.open_connections();
        let often = (1..MANY).contains(&open) || broker.held().is_tight();
        tokio::time::sleep(if often { INTERVAL } else { LONG_INTERVAL }).await;
        look(&broker, &mut large);
        broker.held().relieve(now());
    }
}

fn look(broker: &Broker, large: &mut FxHashMap<ConnectionId, Share>) {
    let (mut small, mut seen) = (0, FxHashSet::default());
    broker.registry.each_waiting(|connection, bytes| {
        let (bytes, id) = (bytes as u64, connection.facts.id);
        if bytes < STEP {
            small += bytes;
            return;
        }
        seen.insert(id);
        let share = large.entry(id).or_insert_with(|| {
            let account = Arc::from(connection.facts.user.as_str());
            let connection = Arc::downgrade(connection);
            broker.held().share(account, move || {
                if let Some(connection) = connection.upgrade() {
                    connection.give_way();
                }
            })
        });
        share.observe(now(), bytes);
    });
    large.retain(|id, _| seen.contains(id));
    broker.held().observe_small(small);
}
