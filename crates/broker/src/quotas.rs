//! Connections and channels per user, counted and limited.
//!
//! Invariants: a [`QuotaUse`] counts until it is dropped, whether or not a limit is set, so that a later limit includes
//! earlier uses; a user without connections takes no memory.

use std::sync::Arc;

use dashmap::DashMap;

use super::names::UserName;

/// The counted resources.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    Connection,
    Channel,
}

#[derive(Clone, Copy, Debug, Default)]
struct Taken {
    connections: u64,
    channels: u64,
}

impl Taken {
    const fn none(&self) -> bool {
        self.connections == 0 && self.channels == 0
    }

    const fn of(&mut self, kind: Kind) -> &mut u64 {
        match kind {
            Kind::Connection => &mut self.connections,
            Kind::Channel => &mut self.channels,
        }
    }
}

/// The quotas of all users.
#[derive(Clone, Debug, Default)]
pub(super) struct Quotas(Arc<DashMap<UserName, Taken>>);

impl Quotas {
    /// Counts one more, unless the user already has `max`.
    pub(super) fn take(&self, user: &UserName, kind: Kind, max: Option<u64>) -> Option<QuotaUse> {
        let mut taken = self.0.entry(user.clone()).or_default();
        let count = taken.of(kind);
        if max.is_some_and(|max| *count >= max) {
            drop(taken);
            self.0.remove_if(user, |_, taken| taken.none());
            return None;
        }
        *count += 1;
        Some(QuotaUse { quotas: self.clone(), user: user.clone(), kind })
    }
}

/// One counted connection or channel.
#[derive(Debug)]
pub struct QuotaUse {
    quotas: Quotas,
    user: UserName,
    kind: Kind,
}

impl Drop for QuotaUse {
    fn drop(&mut self) {
        self.quotas.0.remove_if_mut(&self.user, |_, taken| {
            *taken.of(self.kind) -= 1;
            taken.none()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_and_channels_are_counted_by_kind_and_user_and_come_back() {
        let quotas = Quotas::default();
        let (a, b) = (UserName::new("a"), UserName::new("b"));
        let first = quotas.take(&a, Kind::Connection, None).expect("no limit");
        assert!(quotas.take(&a, Kind::Connection, Some(1)).is_none());
        assert!(quotas.take(&a, Kind::Channel, Some(0)).is_none());
        let channel = quotas.take(&a, Kind::Channel, Some(1)).expect("the first channel");
        let _other = quotas.take(&b, Kind::Connection, Some(1)).expect("another user");
        drop(first);
        assert!(quotas.take(&a, Kind::Connection, Some(1)).is_some());
        assert!(quotas.take(&UserName::new("c"), Kind::Connection, Some(0)).is_none());
        drop(channel);
        assert_eq!(quotas.0.len(), 1, "a user without connections is forgotten");
    }
}
