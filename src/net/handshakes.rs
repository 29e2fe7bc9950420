//! Connections that are not open yet: their limit, and eviction beyond it.
//!
//! Invariants: at most [`HANDSHAKES_MAX`]; eviction takes, among those waiting for their client, the
//! longest-waiting one of the address with most; connections that are new, or wait for us, are not evicted.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::time::Instant;

use super::control::{Control, Order};

/// Handshakes at a time: more than occur when all clients of a large broker reconnect at once.
const HANDSHAKES_MAX: usize = 4096;

/// Time a client has before it may be evicted.
const GRACE: Duration = Duration::from_secs(1);

/// All handshakes.
#[derive(Debug)]
pub(super) struct Handshakes {
    max: usize,
    state: Mutex<State>,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { max: HANDSHAKES_MAX, state: Mutex::default() }
    }
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    /// In order of arrival.
    all: BTreeMap<u64, PendingConnection>,
}

#[derive(Debug)]
struct PendingConnection {
    /// `None` until a proxy has named it.
    address: Option<IpAddr>,
    came: Instant,
    /// Waits for us.
    waits: bool,
    control: Arc<Control>,
}

impl State {
    /// The handshake to evict, if any.
    fn victim(&self, now: Instant) -> Option<u64> {
        let silent = || self.all.iter().filter(|(_, guest)| !guest.waits && now >= guest.came + GRACE);
        let mut by_address: FxHashMap<Option<IpAddr>, usize> = FxHashMap::default();
        for (_, guest) in silent() {
            *by_address.entry(guest.address).or_default() += 1;
        }
        let most = by_address.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)?;
        silent().find(|(_, guest)| guest.address == most).map(|(id, _)| *id)
    }
}

impl Handshakes {
    /// Adds a handshake. `None`: no room, and none to evict.
    pub(super) fn begin(
        self: &Arc<Self>,
        now: Instant,
        address: Option<IpAddr>,
        control: &Arc<Control>,
    ) -> Option<Handshake> {
        let mut state = self.state.lock();
        if state.all.len() >= self.max {
            let victim = state.victim(now)?;
            if let Some(guest) = state.all.remove(&victim) {
                tracing::debug!(peer = ?guest.address, "closing: a handshake makes room for another");
                guest.control.close(Order::AtOnce);
            }
        }
        state.next += 1;
        let id = state.next;
        state
            .all
            .insert(id, PendingConnection { address, came: now, waits: false, control: Arc::clone(control) });
        Some(Handshake { id, all: Arc::clone(self) })
    }
}

/// A handshake, counted until dropped.
#[derive(Debug)]
pub(super) struct Handshake {
    id: u64,
    all: Arc<Handshakes>,
}

impl Handshake {
    /// A proxy has named the client's address.
    pub(super) fn comes_from(&self, address: IpAddr) {
        self.change(|guest| guest.address = Some(address));
    }

    /// Sets whether it waits for us rather than for its client.
    pub(super) fn waits(&self, waits: bool) {
        self.change(|guest| guest.waits = waits);
    }

    fn change(&self, change: impl FnOnce(&mut PendingConnection)) {
        if let Some(guest) = self.all.state.lock().all.get_mut(&self.id) {
            change(guest);
        }
    }
}

impl Drop for Handshake {
    fn drop(&mut self) {
        self.all.state.lock().all.remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_closed(control: &Control) -> bool {
        tokio::time::timeout(Duration::ZERO, control.ordered()).await.is_ok()
    }

    #[tokio::test]
    async fn the_silent_ones_of_the_fullest_address_go_first_and_newcomers_stay() {
        let all = Arc::new(Handshakes { max: 4, state: Mutex::default() });
        let [a, b] = [1, 2].map(|last| Some(IpAddr::from([10, 0, 0, last])));
        let controls: Vec<_> = (0..6).map(|_| Control::new()).collect();
        let now = Instant::now();
        let mut open: Vec<_> = [b, a, a, a]
            .into_iter()
            .zip(&controls)
            .map(|(address, control)| all.begin(now, address, control).expect("room"))
            .collect();
        assert!(all.begin(now, b, &controls[4]).is_none(), "all have just come");
        let later = now + GRACE;
        open[1].waits(true);
        open.push(all.begin(later, b, &controls[4]).expect("one of the first address goes"));
        assert!(is_closed(&controls[2]).await, "not the one that waits for us");
        for stays in [0, 1, 3, 4] {
            assert!(!is_closed(&controls[stays]).await, "{stays}");
        }
        drop(open);
        assert!(all.state.lock().all.is_empty());
    }
}
