//! Login attempts by source address, and the limit on failures.
//!
//! Invariants: an address with too many failed logins is refused without a password check until time has passed; other
//! addresses are unaffected; a source that fails less often than the limit is never refused; at most [`SOURCES_MAX`]
//! addresses are remembered.
//! Absent: a clock; the time is an argument.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};

use leveret_message::Millis;
use parking_lot::Mutex;
use rustc_hash::FxBuildHasher;

/// Maximum addresses remembered; some 100 bytes each.
pub const SOURCES_MAX: usize = 10_000;

/// A whole minute's failures may occur in a burst.
const MINUTE_MS: u64 = 60_000;

/// Protocol of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// Over AMQP.
    Amqp,
    /// By a request to the management API.
    Http,
}

impl Protocol {
    /// All protocols.
    pub const ALL: [Self; 2] = [Self::Amqp, Self::Http];

    /// `RabbitMQ`'s name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Amqp => "amqp091",
            Self::Http => "http",
        }
    }
}

/// Login counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say all")]
pub struct Tally {
    pub failed: u64,
    pub succeeded: u64,
}

#[derive(Clone, Copy, Default)]
struct Source {
    /// When all its failures will be forgiven.
    clean_at: u64,
    tallies: [Tally; 2],
}

/// See the module documentation.
pub struct LoginLimiter {
    /// Added to `clean_at` per failure; 0 for no limit.
    step_ms: u64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    totals: [Tally; 2],
    sources: HashMap<IpAddr, Source, FxBuildHasher>,
}

impl LoginLimiter {
    /// Allows this many failures per minute from one address; 0 for no limit.
    pub fn new(failures_per_minute: u32) -> Self {
        let step_ms = MINUTE_MS.checked_div(u64::from(failures_per_minute)).map_or(0, |step| step.max(1));
        Self { step_ms, state: Mutex::default() }
    }

    /// Whether a login from this address may be checked.
    pub fn may_try(&self, from: IpAddr, now: Millis) -> bool {
        let state = self.state.lock();
        let clean_at = state.sources.get(&network(from)).map_or(0, |source| source.clean_at);
        clean_at.saturating_sub(now.0) + self.step_ms <= MINUTE_MS
    }

    /// Records the outcome of a checked login.
    pub fn tried(&self, from: IpAddr, protocol: Protocol, now: Millis, succeeded: bool) {
        let mut state = self.state.lock();
        let state = &mut *state;
        let from = network(from);
        if state.sources.len() >= SOURCES_MAX && !state.sources.contains_key(&from) {
            make_room(&mut state.sources, now);
        }
        let source = state.sources.entry(from).or_default();
        let tallies = [&mut state.totals[protocol as usize], &mut source.tallies[protocol as usize]];
        for tally in tallies {
            *if succeeded { &mut tally.succeeded } else { &mut tally.failed } += 1;
        }
        if !succeeded {
            source.clean_at = source.clean_at.max(now.0) + self.step_ms;
        }
    }

    /// Totals of all logins since the start.
    pub fn totals(&self) -> [(Protocol, Tally); 2] {
        let state = self.state.lock();
        Protocol::ALL.map(|protocol| (protocol, state.totals[protocol as usize]))
    }

    /// Totals by address, as far as remembered. IPv6 addresses are grouped by /64 network.
    pub fn sources(&self) -> Vec<(IpAddr, Protocol, Tally)> {
        let state = self.state.lock();
        let mut all: Vec<_> = state
            .sources
            .iter()
            .flat_map(|(from, source)| {
                Protocol::ALL.map(|protocol| (*from, protocol, source.tallies[protocol as usize]))
            })
            .filter(|(_, _, tally)| *tally != Tally::default())
            .collect();
        all.sort_by_key(|(from, protocol, _)| (*from, *protocol as usize));
        all
    }

    /// Resets the counts; refused addresses stay refused.
    pub fn reset(&self) {
        let mut state = self.state.lock();
        state.totals = Default::default();
        for source in state.sources.values_mut() {
            source.tallies = Default::default();
        }
    }
}

/// Forgets addresses without unforgiven failures; if that is not enough, the half that is forgiven first.
fn make_room(sources: &mut HashMap<IpAddr, Source, FxBuildHasher>, now: Millis) {
    sources.retain(|_, source| source.clean_at > now.0);
    if sources.len() > SOURCES_MAX / 2 {
        let mut ends: Vec<_> = sources.values().map(|source| source.clean_at).collect();
        let (_, middle, _) = ends.select_nth_unstable(SOURCES_MAX / 2);
        let middle = *middle;
        sources.retain(|_, source| source.clean_at > middle);
    }
}

/// Holders of an IPv6 address usually have 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn failures_hold_up_their_own_address_for_a_while() {
        let login_limiter = LoginLimiter::new(30);
        let (bad, good) = (address("192.0.2.1"), address("192.0.2.2"));
        let mut now = Millis(1_000_000);
        for _ in 0..30 {
            assert!(login_limiter.may_try(bad, now));
            login_limiter.tried(bad, Protocol::Amqp, now, false);
        }
        assert!(!login_limiter.may_try(bad, now));
        assert!(login_limiter.may_try(good, now));
        now.0 += 1_999;
        assert!(!login_limiter.may_try(bad, now));
        now.0 += 1;
        assert!(login_limiter.may_try(bad, now), "one is forgiven every two seconds");
        login_limiter.tried(bad, Protocol::Http, now, false);
        assert!(!login_limiter.may_try(bad, now));
        now.0 += MINUTE_MS;
        assert!(login_limiter.may_try(bad, now));
    }

    #[test]
    fn successes_and_rare_failures_cost_nothing() {
        let login_limiter = LoginLimiter::new(30);
        let from = address("192.0.2.1");
        for second in 0..1000 {
            let now = Millis(second * 2_000);
            assert!(login_limiter.may_try(from, now));
            login_limiter.tried(from, Protocol::Amqp, now, second % 2 == 0);
        }
        let tally = Tally { failed: 500, succeeded: 500 };
        assert_eq!(login_limiter.totals()[0], (Protocol::Amqp, tally));
        assert_eq!(login_limiter.sources(), [(from, Protocol::Amqp, tally)]);
        login_limiter.reset();
        assert_eq!(login_limiter.sources(), []);
    }

    #[test]
    fn no_limit_is_no_limit() {
        let login_limiter = LoginLimiter::new(0);
        let from = address("192.0.2.1");
        (0..10_000).for_each(|_| login_limiter.tried(from, Protocol::Http, Millis(5), false));
        assert!(login_limiter.may_try(from, Millis(5)));
    }

    #[test]
    fn the_table_is_bounded_and_keeps_the_worst() {
        let login_limiter = LoginLimiter::new(30);
        let (bad, now) = (address("203.0.113.9"), Millis(1_000_000));
        (0..30).for_each(|_| login_limiter.tried(bad, Protocol::Amqp, now, false));
        for number in 0..3 * u32::try_from(SOURCES_MAX).unwrap() {
            let from = std::net::Ipv4Addr::from_bits(0x0a00_0000 + number).into();
            login_limiter.tried(from, Protocol::Amqp, now, false);
            assert!(login_limiter.state.lock().sources.len() <= SOURCES_MAX);
        }
        assert!(!login_limiter.may_try(bad, now));
    }

    #[test]
    fn a_network_of_ipv6_counts_as_one_and_mapped_addresses_as_ipv4() {
        let login_limiter = LoginLimiter::new(1);
        let now = Millis(1_000_000);
        login_limiter.tried(address("2001:db8::1"), Protocol::Amqp, now, false);
        assert!(!login_limiter.may_try(address("2001:db8::ffff:2"), now));
        assert!(login_limiter.may_try(address("2001:db8:0:1::1"), now));
        login_limiter.tried(address("::ffff:192.0.2.1"), Protocol::Amqp, now, false);
        assert!(!login_limiter.may_try(address("192.0.2.1"), now));
    }
}
