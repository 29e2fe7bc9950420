//! What is declared and who may use it; where a published message goes and what becomes of it.
//! Below it lie the router and the queues, above it the conversation with clients.
//!
//! Absent: frames, reply codes, sockets, tasks. Time is read through the clock that was handed in.

mod accounts;
pub mod alarms;
pub mod arguments;
pub mod attempts;
mod attributes;
pub mod batch;
pub mod bindings;
#[expect(clippy::module_inception, reason = "the broker is the broker")]
pub mod broker;
pub mod channel_stats;
pub mod configured_limits;
pub mod consumer;
mod copies;
pub mod dead_letter;
pub mod deadlines;
mod deduplication;
pub mod definitions;
pub mod delay;
mod exchange_features;
pub mod exchange_stats;
pub mod exchanges;
mod futility;
pub mod global_parameters;
pub mod holder;
pub mod identity;
pub mod limits;
pub mod listing;
pub mod login;
pub mod memory;
pub mod message_sizes;
pub mod names;
mod paging;
pub mod password;
pub mod pattern;
pub mod policies;
pub mod publish;
pub mod queue_handle;
pub mod queue_options;
pub mod queues;
mod recent_history;
pub mod redrive;
pub mod refusal;
pub mod registry;
pub mod reply_to;
mod rules;
mod seats;
pub mod security;
pub mod token;
pub mod topic_permissions;
pub mod turn;
pub mod users;
pub mod vhost;
pub mod vhosts;

pub use broker::Broker;

use names::ConnectionId;
use refusal::Refusal;
use users::AccessRights;

/// In whose name something is asked of the broker.
pub struct Caller<'a> {
    /// What the user may do in the vhost.
    pub rights: &'a AccessRights,
    /// The connection; none for the management API.
    pub connection: Option<ConnectionId>,
}

/// Refuses names that the definitions cannot keep apart.
fn check_text(what: &str, text: &str) -> Result<(), Refusal> {
    if text.contains(definitions::KEY_SEPARATOR) {
        return Err(Refusal::Precondition(format!("{what} contains a NUL character")));
    }
    Ok(())
}
