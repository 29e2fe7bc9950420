//! Admission of connections and channels: all limits on their numbers.

use std::sync::Arc;

use super::broker::Broker;
use super::names::{ConnectionId, UserName};
use super::operator_limits::{MAX_CHANNELS, MAX_CONNECTIONS};
use super::quotas::QuotaUse;
use super::refusal::Refusal;
use super::registry::ChannelHandle;
use super::vhost::Vhost;

impl Broker {
    /// Admits a connection to a vhost unless a limit is reached. It is counted until [`Vhost::connection_ended`] and
    /// until the [`QuotaUse`] is dropped.
    pub fn admit(&self, vhost: &Vhost, user: &UserName, id: ConnectionId) -> Result<QuotaUse, Refusal> {
        let max = self.limits().connections_max;
        if self.open_connections() >= max {
            return Err(Refusal::NotAllowed(format!("connection limit ({max}) is reached")));
        }
        let max = self.users.limit(user.as_str(), MAX_CONNECTIONS);
        let quota_use = self.registry.quota_use(user, max).ok_or_else(|| {
            let max = max.unwrap_or_default();
            Refusal::NotAllowed(format!(
                "connection refused for user '{user}': user connection limit ({max}) is reached"
            ))
        })?;
        vhost.connection_comes(id).map_err(|max| {
            Refusal::NotAllowed(format!(
                "access to vhost '{}' refused for user '{user}': connection limit ({max}) is reached",
                vhost.name
            ))
        })?;
        Ok(quota_use)
    }

    /// Opens a channel for a user unless a limit is reached. Channels opened concurrently may exceed the broker-wide
    /// limit by their number.
    pub fn open_channel(
        &self,
        connection: ConnectionId,
        user: &UserName,
        number: u16,
    ) -> Result<Arc<ChannelHandle>, Refusal> {
        if let Some(max) =
            self.limits().channels_max.filter(|max| self.registry.churn.open_channels() >= *max)
        {
            return Err(Refusal::NotAllowed(format!(
                "number of channels opened on this node has reached the maximum allowed limit of ({max})"
            )));
        }
        let max = self.users.limit(user.as_str(), MAX_CHANNELS);
        self.registry.channel_opened(connection, user, number, max).ok_or_else(|| {
            let max = max.unwrap_or_default();
            Refusal::NotAllowed(format!(
                "number of channels opened for user '{user}' has reached the maximum allowed user limit of ({max})"
            ))
        })
    }
}
