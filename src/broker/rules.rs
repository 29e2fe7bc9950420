//! Stored rules come back at a start: limits, topic permissions, parameters, policies.

use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::broker::Broker;
use super::definitions::Key;
use super::policies::{Policy, PolicyKind, PolicySet};
use super::topic_permissions::TopicPermissionRecord;

fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    serde_json::from_slice(value).map_err(|error| error.to_string())
}

impl Broker {
    /// Takes in one stored rule.
    pub(super) fn load_rule(&self, key: &str, value: &[u8]) -> Result<(), String> {
        let part = |index| Key::part(key, index);
        match Key::kind(key) {
            "topic_permission" => {
                let (user, vhost) = (part(0), part(1));
                let record = read::<TopicPermissionRecord>(value)?;
                let topics = self.users.topics(user, vhost).with(user, vhost, part(2), record);
                self.users.set_topic_permissions(user, vhost, topics.map_err(|error| error.to_string())?);
            }
            "vhost_limits" => {
                let vhost = self.vhost(part(0)).ok_or("its vhost is missing")?;
                *vhost.limits.write() = read(value)?;
            }
            kind @ ("policy" | "operator_policy") => {
                let kind = if kind == "policy" { PolicyKind::User } else { PolicyKind::Operator };
                let vhost = self.vhost(part(0)).ok_or("its vhost is missing")?;
                let policy = Policy::new(part(1), read(value)?).map_err(|error| error.to_string())?;
                let mut policies = PolicySet::clone(&vhost.policies());
                policies.put(kind, policy);
                *vhost.policies.write() = Arc::new(policies);
            }
            "user_limits" => self.users.set_limits(part(0), read(value)?),
            "global_parameter" => {
                self.global_parameters.write().insert(part(0).to_owned(), read(value)?);
            }
            other => return Err(format!("unknown kind {other:?}; was it written by a newer version?")),
        }
        Ok(())
    }
}
