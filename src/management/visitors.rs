//! HTTP connections: how many, from where, and which one is evicted for a new one.
//!
//! Invariants: at most [`VISITORS_MAX`] connections, [`PER_ADDRESS_MAX`] from one address, and [`RESERVED`] more on
//! which only health checks and what needs no login are answered; before a connection is refused, another is evicted:
//! first those that have sent nothing, are between two requests or have not logged in, longest first; then logged-in
//! ones that keep the server waiting for a request's body or with a finished answer. Absent: sockets.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use leveret_broker::held::{Held, Overdrawn, STEP, Share};
use parking_lot::Mutex;
use rustc_hash::FxHashMap;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::net::now;

/// Maximum concurrent connections per listener.
const VISITORS_MAX: usize = 512;

/// Maximum connections from one address.
const PER_ADDRESS_MAX: usize = 384;

/// Additional connections, for health checks and logins.
const RESERVED: usize = 32;

/// All connections of one listener.
pub(super) struct Visitors {
    held: Arc<Held>,
    present: Mutex<Present>,
}

#[derive(Default)]
struct Present {
    next: u64,
    all: FxHashMap<u64, Arc<Visitor>>,
}

/// A connection.
pub(super) struct Visitor {
    id: u64,
    state: Mutex<State>,
    ended: AtomicBool,
    end: Notify,
    holding: Mutex<Holding>,
    held: Arc<Held>,
}

#[expect(clippy::struct_excessive_bools, reason = "they are independent of each other")]
struct State {
    /// Source address; unknown until a proxy has announced it.
    address: Option<IpAddr>,
    /// Start of the current state.
    since: Instant,
    /// A request is in progress.
    busy: bool,
    /// The user has logged in.
    known: bool,
    /// The server waits for the client: a request's body is incomplete, or a complete answer is not fully sent.
    keeps_us: bool,
    /// The account charged for held memory: a user's, or an address's.
    account: Arc<str>,
    /// It was admitted to a reserved place.
    reserved: bool,
}

/// Memory held for a connection.
#[derive(Default)]
struct Holding {
    bytes: u64,
    share: Option<Share>,
}

impl Visitors {
    pub(super) fn new(held: Arc<Held>) -> Arc<Self> {
        Arc::new(Self { held, present: Mutex::default() })
    }

    /// Admits a connection. `None`: no room, and none that could be evicted. Counted until [`Visitors::left`].
    pub(super) fn comes(&self, address: Option<IpAddr>) -> Option<Arc<Visitor>> {
        let mut present = self.present.lock();
        let reserved = !present.make_room(address);
        if reserved && present.count(true) >= RESERVED && !present.send_away(None, true) {
            return None;
        }
        present.next += 1;
        let id = present.next;
        let account = account_of(address);
        let state = State {
            address,
            since: Instant::now(),
            busy: false,
            known: false,
            keeps_us: false,
            account,
            reserved,
        };
        let visitor = Arc::new(Visitor {
            id,
            state: Mutex::new(state),
            ended: AtomicBool::new(false),
            end: Notify::new(),
            holding: Mutex::default(),
            held: Arc::clone(&self.held),
        });
        present.all.insert(id, Arc::clone(&visitor));
        Some(visitor)
    }

    /// A proxy has announced the source address. `false`: that address has too many connections.
    pub(super) fn introduced(&self, visitor: &Visitor, address: IpAddr) -> bool {
        let mut present = self.present.lock();
        let room = present.from(address) < PER_ADDRESS_MAX || present.send_away(Some(address), false);
        let mut state = visitor.state.lock();
        (state.address, state.account) = (Some(address), account_of(Some(address)));
        room
    }

    /// A connection has closed.
    pub(super) fn left(&self, visitor: &Visitor) {
        self.present.lock().all.remove(&visitor.id);
    }
}

fn account_of(address: Option<IpAddr>) -> Arc<str> {
    address.map_or_else(|| "unknown".to_owned(), |address| address.to_string()).into()
}

impl Present {
    fn from(&self, address: IpAddr) -> usize {
        self.all.values().filter(|visitor| visitor.state.lock().address == Some(address)).count()
    }

    /// The number of ordinary or reserved connections.
    fn count(&self, reserved: bool) -> usize {
        self.all.values().filter(|visitor| visitor.is_reserved() == reserved).count()
    }

    /// Whether there is room for one more, if necessary after an eviction.
    fn make_room(&mut self, address: Option<IpAddr>) -> bool {
        if let Some(address) = address
            && self.from(address) >= PER_ADDRESS_MAX
        {
            return self.send_away(Some(address), false);
        }
        self.count(false) < VISITORS_MAX || self.send_away(None, false)
    }

    /// Evicts the most dispensable connection, of one address or of all. Reserved places make no room for ordinary
    /// ones.
    fn send_away(&mut self, address: Option<IpAddr>, reserved: bool) -> bool {
        let idle = self.all.values().filter_map(|visitor| {
            let state = visitor.state.lock();
            let asked = state.reserved == reserved && (address.is_none() || state.address == address);
            let used = state.busy && state.known;
            (asked && (!used || state.keeps_us)).then_some((used, state.since, visitor.id))
        });
        let Some((_, _, id)) = idle.min() else { return false };
        if let Some(visitor) = self.all.remove(&id) {
            visitor.end();
        }
        true
    }
}

impl Visitor {
    /// Requests that the connection be closed.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
        self.end.notify_one();
    }

    /// Waits until the connection is to be closed. For a single caller.
    pub(super) async fn ended(&self) {
        while !self.ended.load(Ordering::Acquire) {
            self.end.notified().await;
        }
    }

    /// A request has arrived.
    pub(super) fn asks(&self) {
        let mut state = self.state.lock();
        (state.busy, state.known, state.since) = (true, false, Instant::now());
        state.keeps_us = false;
    }

    /// Whether the server waits for the client from now on.
    pub(super) fn keeps_us(&self, waiting: bool) {
        self.state.lock().keeps_us = waiting;
    }

    /// The user has logged in.
    pub(super) fn is_known(&self, user: &str) {
        let mut state = self.state.lock();
        state.known = true;
        if *state.account == *user {
            return;
        }
        state.account = user.into();
        drop(state);
        if let Some(share) = &self.holding.lock().share {
            share.belongs_to(user.into());
        }
    }

    /// The request is answered.
    fn is_answered(&self) {
        let mut state = self.state.lock();
        (state.busy, state.since) = (false, Instant::now());
    }

    /// Whether only what needs no login is answered.
    pub(super) fn is_reserved(&self) -> bool {
        self.state.lock().reserved
    }

    /// Accounts for `bytes` more, until the result is dropped.
    pub(super) fn holds(self: &Arc<Self>, bytes: u64) -> Result<Piece, Overdrawn> {
        let mut piece = Piece { visitor: Arc::clone(self), bytes: 0 };
        piece.grow(bytes).map(|()| piece)
    }

    fn change(self: &Arc<Self>, before: u64, after: u64) -> Result<(), Overdrawn> {
        let mut holding = self.holding.lock();
        let bytes = holding.bytes - before + after;
        if bytes >= STEP || holding.share.is_some() {
            let share = holding.share.get_or_insert_with(|| self.share());
            share.hold(now(), bytes)?;
        }
        holding.bytes = bytes;
        if bytes == 0 {
            holding.share = None;
        }
        Ok(())
    }

    fn share(self: &Arc<Self>) -> Share {
        let account = Arc::clone(&self.state.lock().account);
        let visitor = Arc::downgrade(self);
        self.held.share(account, move || {
            if let Some(visitor) = visitor.upgrade() {
                visitor.end();
            }
        })
    }
}

/// Bytes accounted to a connection.
pub(super) struct Piece {
    visitor: Arc<Visitor>,
    bytes: u64,
}

impl Piece {
    /// Adds to the same account.
    pub(super) fn grow(&mut self, bytes: u64) -> Result<(), Overdrawn> {
        let after = self.bytes + bytes;
        self.visitor.change(self.bytes, after)?;
        self.bytes = after;
        Ok(())
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // A decrease is never refused.
        let _ = self.visitor.change(self.bytes, 0);
    }
}

/// A request in progress; dropped with its answer.
pub(super) struct Answering(pub(super) Arc<Visitor>);

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.is_answered();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn address(last: usize) -> IpAddr {
        IpAddr::from([10, 0, 0, u8::try_from(last).unwrap()])
    }

    fn visitors() -> Arc<Visitors> {
        Visitors::new(Held::new(100 * MIB, 0))
    }

    /// All places taken by logged-in users' requests, from many addresses.
    fn all_busy(visitors: &Arc<Visitors>) -> Vec<Arc<Visitor>> {
        let busy = |n| {
            let visitor = visitors.comes(Some(address(n % 200))).unwrap();
            visitor.asks();
            visitor.is_known("a");
            visitor
        };
        (0..VISITORS_MAX).map(busy).collect()
    }

    fn has_ended(visitor: &Visitor) -> bool {
        visitor.ended.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn the_silent_make_room_oldest_first() {
        let visitors = visitors();
        let silent: Vec<_> =
            (0..VISITORS_MAX).map(|n| visitors.comes(Some(address(n % 200))).unwrap()).collect();
        for known in &silent[..2] {
            known.asks();
            known.is_known("a");
        }
        silent[2].asks();
        for _ in 0..VISITORS_MAX - 2 {
            assert!(!visitors.comes(Some(address(201))).unwrap().is_reserved());
        }
        assert!(!has_ended(&silent[0]) && !has_ended(&silent[1]), "they have logged in, and are answered");
        assert!(silent[2..].iter().filter(|visitor| has_ended(visitor)).count() > PER_ADDRESS_MAX - 2);
    }

    #[tokio::test]
    async fn one_address_does_not_take_all_and_pays_for_its_own() {
        let visitors = visitors();
        let other = visitors.comes(Some(address(1))).unwrap();
        let many: Vec<_> =
            (0..PER_ADDRESS_MAX + 10).map(|_| visitors.comes(Some(address(2))).unwrap()).collect();
        assert!(!has_ended(&other));
        assert_eq!(many.iter().filter(|visitor| has_ended(visitor)).count(), 10);
        assert!(many[..10].iter().all(|visitor| has_ended(visitor)));
    }

    #[tokio::test]
    async fn who_keeps_us_waiting_makes_room_when_there_are_no_others() {
        let visitors = visitors();
        let busy = all_busy(&visitors);
        for waiting in &busy[..3] {
            waiting.keeps_us(true);
        }
        busy[2].keeps_us(false);
        busy[9].is_answered();
        for gone in [9, 0, 1] {
            assert!(!has_ended(&busy[gone]));
            assert!(!visitors.comes(Some(address(201))).unwrap().is_reserved());
            assert!(has_ended(&busy[gone]), "{gone}");
            // The next request of each new arrival is in progress.
            for visitor in visitors.present.lock().all.values() {
                visitor.state.lock().busy = true;
                visitor.state.lock().known = true;
            }
        }
        assert!(visitors.comes(Some(address(201))).unwrap().is_reserved());
    }

    #[tokio::test]
    async fn when_all_are_busy_some_room_is_left_for_health() {
        let visitors = visitors();
        let busy = all_busy(&visitors);
        let reserved: Vec<_> = (0..RESERVED).map(|_| visitors.comes(Some(address(1))).unwrap()).collect();
        assert!(reserved.iter().all(|visitor| visitor.is_reserved()));
        // Reserved ones may be evicted, but only for others of their kind.
        assert!(visitors.comes(Some(address(3))).unwrap().is_reserved());
        assert_eq!(visitors.present.lock().all.len(), VISITORS_MAX + RESERVED);
        assert!(visitors.comes(Some(address(1))).is_some());
        assert!(busy.iter().all(|visitor| !has_ended(visitor)));
        visitors.left(&busy[0]);
        visitors.left(&busy[1]);
        assert!(!visitors.comes(Some(address(1))).unwrap().is_reserved());
    }

    #[tokio::test]
    async fn what_is_held_is_counted_and_ends_the_heaviest() {
        let visitors = visitors();
        let (a, b) = (visitors.comes(Some(address(1))).unwrap(), visitors.comes(Some(address(2))).unwrap());
        let small = a.holds(1000).unwrap();
        assert_eq!(visitors.held.bytes(), 0, "not worth counting");
        let large = a.holds(80 * MIB).unwrap();
        let mut other = b.holds(0).unwrap();
        other.grow(30 * MIB).unwrap();
        assert!(has_ended(&a) && !has_ended(&b));
        drop((small, large));
        assert_eq!(visitors.held.bytes(), 30 * MIB);
        drop(other);
        assert_eq!(visitors.held.bytes(), 0);
        assert!(b.holds(200 * MIB).is_err());
        assert_eq!(visitors.held.bytes(), 0);
    }
}
