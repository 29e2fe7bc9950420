//! One budget for memory held on behalf of peers, other than queued messages: incomplete requests and messages, open
//! transactions, publishes blocked by an alarm, unread answers and deliveries.
//!
//! Large holders are tracked individually. When the total is too high, the heaviest gives way: within the account that
//! holds most, the holder with the most bytes for the longest time. Small amounts are not tracked one by one: a
//! [`Share`] is for large or lasting ones, and holders count in steps.
//!
//! Invariants: held bytes are returned when the [`Share`] is dropped; a single message is bounded by its own limit; the
//! total stays below the limit and a quarter, except for such a message and for light holders, which are admitted while
//! others give way: below three times the limit.
//! Absent: how a holder is ended, a function of its owner; clocks.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use leveret_message::Millis;
use parking_lot::Mutex;
use rustc_hash::FxHashMap;

/// Bytes that one connection may hold uncounted.
pub const STEP: u64 = 64 * 1024;

/// Maximum age that counts, in milliseconds: a small amount held for hours does no harm.
const AGE_MS_MAX: u64 = 30_000;

/// Holders of less than the limit divided by this do not wait for others to give way.
const LIGHT: u64 = 8;

/// See the module documentation.
pub struct Held {
    limit: AtomicU64,
    /// Bytes a single holder may have while nothing else is held.
    alone: AtomicU64,
    total: AtomicU64,
    /// Last observed total of those too small to be holders.
    small: AtomicU64,
    /// Holders that gave way, and refused requests.
    ended: AtomicU64,
    refused: AtomicU64,
    next: AtomicU64,
    holders: Mutex<FxHashMap<u64, Arc<Holder>>>,
}

struct Holder {
    id: u64,
    account: Mutex<Arc<str>>,
    bytes: AtomicU64,
    /// Since when it holds anything, in milliseconds.
    since: AtomicU64,
    /// It was told to give way.
    ending: AtomicBool,
    end: Box<dyn Fn() + Send + Sync>,
}

/// The budget is exceeded. In words for the peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overdrawn {
    /// The total limit, in bytes.
    pub limit: u64,
}

impl fmt::Display for Overdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "clients have the broker hold too much in unfinished messages, transactions and unread answers, and this one \
             most; the limit for all is {} MiB (held_bytes_max)",
            self.limit >> 20
        )
    }
}

impl Held {
    /// An empty budget.
    pub fn new(limit: u64, alone: u64) -> Arc<Self> {
        Arc::new(Self {
            limit: AtomicU64::new(limit),
            alone: AtomicU64::new(alone),
            total: AtomicU64::new(0),
            small: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            next: AtomicU64::new(0),
            holders: Mutex::default(),
        })
    }

    /// Replaces the limits: the total, and that for a single message.
    pub fn allow(&self, limit: u64, alone: u64) {
        self.limit.store(limit, Ordering::Relaxed);
        self.alone.store(alone, Ordering::Relaxed);
    }

    /// The total limit, in bytes.
    pub fn limit(&self) -> u64 {
        self.limit.load(Ordering::Relaxed)
    }

    /// Bytes held.
    pub fn bytes(&self) -> u64 {
        self.total.load(Ordering::Relaxed) + self.small.load(Ordering::Relaxed)
    }

    /// Holders that gave way, and holders that were refused more, since the start.
    pub fn ended_and_refused(&self) -> (u64, u64) {
        (self.ended.load(Ordering::Relaxed), self.refused.load(Ordering::Relaxed))
    }

    /// Whether memory is tight: optional uses should be refused.
    pub fn is_tight(&self) -> bool {
        self.bytes() > self.limit() / 4 * 3
    }

    /// Sets the total held by those too small to be holders.
    pub fn observe_small(&self, bytes: u64) {
        self.small.store(bytes, Ordering::Relaxed);
    }

    /// Adds a holder. `account`: its user or address. `end` makes it give way, and must not block.
    pub fn share(self: &Arc<Self>, account: Arc<str>, end: impl Fn() + Send + Sync + 'static) -> Share {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let holder = Arc::new(Holder {
            id,
            account: Mutex::new(account),
            bytes: AtomicU64::new(0),
            since: AtomicU64::new(0),
            ending: AtomicBool::new(false),
            end: Box::new(end),
        });
        self.holders.lock().insert(id, Arc::clone(&holder));
        Share { held: Arc::clone(self), holder }
    }

    /// Has the heaviest holders give way until the rest is within the limit. `asking` is never ended: if it is the
    /// heaviest, it is refused instead.
    fn make_room(&self, now: Millis, asking: Option<u64>) -> Result<(), Overdrawn> {
        let refused = Overdrawn { limit: self.limit() };
        let mut ends = Vec::new();
        let outcome = loop {
            let holders = self.holders.lock();
            let staying = || holders.values().filter(|holder| !holder.ending.load(Ordering::Relaxed));
            let left: u64 = staying().map(|holder| holder.bytes.load(Ordering::Relaxed)).sum();
            if left + self.small.load(Ordering::Relaxed) <= refused.limit {
                let asks = asking.and_then(|id| holders.get(&id));
                let is_light =
                    asks.is_some_and(|asks| asks.bytes.load(Ordering::Relaxed) <= refused.limit / LIGHT);
                let most = if is_light { refused.limit * 3 } else { refused.limit + refused.limit / 4 };
                let bounded = self.bytes() <= most;
                break if bounded { Ok(()) } else { Err(refused) };
            }
            let Some(heaviest) = heaviest(staying(), now) else { break Err(refused) };
            let alone = heaviest.bytes.load(Ordering::Relaxed);
            if alone == left && alone <= self.alone.load(Ordering::Relaxed) {
                break Ok(());
            }
            if asking == Some(heaviest.id) {
                break Err(refused);
            }
            heaviest.ending.store(true, Ordering::Relaxed);
            ends.push(Arc::clone(heaviest));
        };
        self.ended.fetch_add(ends.len() as u64, Ordering::Relaxed);
        for holder in ends {
            tracing::warn!(
                account = %holder.account.lock(),
                bytes = holder.bytes.load(Ordering::Relaxed),
                "clients hold more than held_bytes_max ({} MiB); the heaviest gives way",
                refused.limit >> 20
            );
            (holder.end)();
        }
        outcome
    }

    /// Has the heaviest holders give way if the total is too high for reasons other than a current request.
    pub fn relieve(&self, now: Millis) {
        if self.bytes() > self.limit() {
            let _ = self.make_room(now, None);
        }
    }
}

/// The holder with the most bytes for the longest time, within the account that holds most.
fn heaviest<'a>(holders: impl Iterator<Item = &'a Arc<Holder>>, now: Millis) -> Option<&'a Arc<Holder>> {
    let mut accounts: FxHashMap<Arc<str>, (u64, u128, &Arc<Holder>)> = FxHashMap::default();
    for holder in holders {
        let bytes = holder.bytes.load(Ordering::Relaxed);
        if bytes == 0 {
            continue;
        }
        let age = now.0.saturating_sub(holder.since.load(Ordering::Relaxed)).min(AGE_MS_MAX) + 1000;
        let weight = u128::from(bytes) * u128::from(age);
        let account = accounts.entry(Arc::clone(&holder.account.lock())).or_insert((0, 0, holder));
        account.0 += bytes;
        if weight > account.1 {
            (account.1, account.2) = (weight, holder);
        }
    }
    accounts.into_values().max_by_key(|(bytes, ..)| *bytes).map(|(.., holder)| holder)
}

/// Bytes held by one peer.
pub struct Share {
    held: Arc<Held>,
    holder: Arc<Holder>,
}

impl Share {
    /// Assigns the share to an account that is now known.
    pub fn belongs_to(&self, account: Arc<str>) {
        *self.holder.account.lock() = account;
    }

    /// Sets the bytes held.
    ///
    /// # Errors
    /// The total is over the limit and this share is the heaviest: it keeps its previous size and should be released.
    pub fn hold(&self, now: Millis, bytes: u64) -> Result<(), Overdrawn> {
        let before = self.holder.bytes.swap(bytes, Ordering::Relaxed);
        if before == 0 {
            self.holder.since.store(now.0, Ordering::Relaxed);
        }
        if bytes <= before {
            self.held.total.fetch_sub(before - bytes, Ordering::Relaxed);
            return Ok(());
        }
        self.held.total.fetch_add(bytes - before, Ordering::Relaxed);
        if self.held.bytes() <= self.held.limit() {
            return Ok(());
        }
        self.held.make_room(now, Some(self.holder.id)).inspect_err(|_| {
            self.held.refused.fetch_add(1, Ordering::Relaxed);
            self.holder.bytes.store(before, Ordering::Relaxed);
            self.held.total.fetch_sub(bytes - before, Ordering::Relaxed);
        })
    }

    /// Sets the bytes held as observed, without a check.
    pub fn observe(&self, now: Millis, bytes: u64) {
        let before = self.holder.bytes.swap(bytes, Ordering::Relaxed);
        if before == 0 {
            self.holder.since.store(now.0, Ordering::Relaxed);
        }
        self.held.total.fetch_add(bytes, Ordering::Relaxed);
        self.held.total.fetch_sub(before, Ordering::Relaxed);
    }

    /// It has given way and may hold bytes again.
    pub fn gave_way(&self) {
        self.holder.ending.store(false, Ordering::Relaxed);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.held.holders.lock().remove(&self.holder.id);
        self.held.total.fetch_sub(self.holder.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    struct Peer {
        share: Share,
        ended: Arc<AtomicBool>,
    }

    impl Peer {
        fn new(held: &Arc<Held>, account: &str) -> Self {
            let ended = Arc::new(AtomicBool::new(false));
            let end = Arc::clone(&ended);
            let share = held.share(account.into(), move || end.store(true, Ordering::Relaxed));
            Self { share, ended }
        }

        fn has_ended(&self) -> bool {
            self.ended.load(Ordering::Relaxed)
        }
    }

    #[test]
    fn what_is_dropped_is_given_back() {
        let held = Held::new(100 * MIB, 0);
        let peer = Peer::new(&held, "a");
        peer.share.hold(Millis(0), 60 * MIB).unwrap();
        peer.share.hold(Millis(0), 40 * MIB).unwrap();
        assert_eq!(held.bytes(), 40 * MIB);
        drop(peer);
        assert_eq!(held.bytes(), 0);
        assert!(held.holders.lock().is_empty());
    }

    #[test]
    fn the_account_that_holds_most_gives_way_and_others_are_served() {
        let held = Held::new(100 * MIB, 0);
        let many: Vec<_> = (0..9).map(|_| Peer::new(&held, "many")).collect();
        for (second, peer) in many.iter().enumerate() {
            peer.share.hold(Millis(second as u64 * 1000), 10 * MIB).unwrap();
        }
        let large = Peer::new(&held, "large");
        large.share.hold(Millis(9000), 20 * MIB).unwrap();
        assert!(many[0].has_ended(), "it has held as much as the others for longer");
        assert!(!large.has_ended() && many[1..].iter().all(|peer| !peer.has_ended()));
        assert_eq!(held.bytes(), 110 * MIB, "until it has given way");
    }

    #[test]
    fn the_heaviest_is_refused_itself_and_keeps_what_it_has() {
        let held = Held::new(100 * MIB, 0);
        let (small, large) = (Peer::new(&held, "small"), Peer::new(&held, "large"));
        small.share.hold(Millis(0), 30 * MIB).unwrap();
        large.share.hold(Millis(0), 60 * MIB).unwrap();
        assert_eq!(large.share.hold(Millis(0), 90 * MIB), Err(Overdrawn { limit: 100 * MIB }));
        assert_eq!(held.bytes(), 90 * MIB);
        assert!(!small.has_ended() && !large.has_ended());
        assert_eq!(held.ended_and_refused(), (0, 1));
    }

    #[test]
    fn those_that_give_way_slowly_do_not_let_others_pile_up() {
        let held = Held::new(100 * MIB, 0);
        let stuck: Vec<_> = (0..20).map(|n| Peer::new(&held, &n.to_string())).collect();
        let taken = stuck.iter().filter(|peer| peer.share.hold(Millis(0), 20 * MIB).is_ok()).count();
        assert!(held.bytes() <= 125 * MIB, "{taken} hold {}", held.bytes());
    }

    #[test]
    fn who_holds_little_is_served_while_others_give_way() {
        let held = Held::new(100 * MIB, 0);
        let large: Vec<_> = (0..2).map(|_| Peer::new(&held, "large")).collect();
        large[0].share.observe(Millis(0), 120 * MIB);
        large[1].share.observe(Millis(0), 80 * MIB);
        let lights: Vec<_> = (0..20).map(|_| Peer::new(&held, "light")).collect();
        for light in &lights {
            light.share.hold(Millis(1), 4 * MIB).unwrap();
        }
        assert!(large.iter().all(Peer::has_ended) && !lights.iter().any(Peer::has_ended));
        Peer::new(&held, "more").share.hold(Millis(1), 13 * MIB).unwrap_err();
        let more: Vec<_> = (0..20).map(|n| Peer::new(&held, &n.to_string())).collect();
        let served = more.iter().filter(|peer| peer.share.hold(Millis(2), 10 * MIB).is_ok()).count();
        assert!(served > 0 && held.bytes() <= 325 * MIB, "{served} more, {}", held.bytes());
    }

    #[test]
    fn a_little_that_is_held_for_long_stays() {
        let held = Held::new(100 * MIB, 0);
        let (old, new) = (Peer::new(&held, "a"), Peer::new(&held, "a"));
        old.share.hold(Millis(0), MIB).unwrap();
        new.share.hold(Millis(36_000_000), 90 * MIB).unwrap();
        Peer::new(&held, "b").share.hold(Millis(36_000_100), 20 * MIB).unwrap();
        assert!(new.has_ended() && !old.has_ended());
    }

    #[test]
    fn one_message_alone_has_its_own_limit() {
        let held = Held::new(10 * MIB, 50 * MIB);
        let peer = Peer::new(&held, "a");
        peer.share.hold(Millis(0), 50 * MIB).unwrap();
        assert!(peer.share.hold(Millis(0), 51 * MIB).is_err());
        let other = Peer::new(&held, "b");
        other.share.hold(Millis(0), 2 * MIB).unwrap_err();
        assert!(peer.has_ended(), "room is made for the other, that comes again");
    }

    #[test]
    fn what_was_only_seen_counts_and_is_relieved() {
        let held = Held::new(100 * MIB, 0);
        let (a, b) = (Peer::new(&held, "a"), Peer::new(&held, "b"));
        a.share.observe(Millis(0), 80 * MIB);
        b.share.observe(Millis(0), 10 * MIB);
        held.relieve(Millis(0));
        assert!(!a.has_ended());
        held.observe_small(20 * MIB);
        held.relieve(Millis(0));
        assert!(a.has_ended() && !b.has_ended());
    }
}
