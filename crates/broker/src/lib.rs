//! Definitions and access rights; routing of published messages, and what becomes of them. Built on the router and the
//! queues; used by the client sessions.
//!
//! Absent: frames, reply codes, sockets, tasks. Time is read through the clock that was passed in.

pub mod accounts;
mod admission;
pub mod alarms;
mod apply;
pub mod arguments;
mod attributes;
pub mod batch;
pub mod bindings;
pub mod broker;
mod burying;
mod catalog;
pub mod channel_stats;
pub mod consumer;
mod copies;
pub mod dead_letter;
pub mod deadlines;
mod deduplication;
pub mod definitions;
pub mod delay;
pub mod delay_room;
mod exchange_features;
pub mod exchange_stats;
pub mod exchanges;
pub mod expiration;
pub mod explain;
mod gather;
pub mod global_parameters;
mod graves;
pub mod held;
pub mod identity;
pub mod limits;
pub mod listing;
mod load;
pub mod login;
pub mod login_limiter;
pub mod login_options;
pub mod lost;
pub mod memory;
pub mod message_sizes;
mod multiplying;
pub mod names;
pub mod operator_limits;
pub mod orphans;
mod paging;
pub mod password;
pub mod pattern;
pub mod policies;
mod policy_changes;
pub mod prepared;
pub mod product;
pub mod publish;
pub mod queue_handle;
pub mod queue_kind;
pub mod queue_options;
pub mod queues;
mod quotas;
mod recent_history;
pub mod redrive;
pub mod refusal;
pub mod registry;
mod removal;
pub mod reply_to;
mod requeue_backoff;
mod room_for_arguments;
mod route;
pub mod row;
pub mod shared_credit;
mod stored_table;
pub mod survey;
pub mod token;
pub mod topic_permissions;
mod transfer;
pub mod turn;
pub mod users;
pub mod vhost;
pub mod vhosts;
pub mod waiting;

#[cfg(test)]
mod tests;

pub use broker::Broker;

use leveret_message::short::SHORT_BYTES_MAX;
use names::ConnectionId;
use refusal::Refusal;
use users::AccessRights;

/// On whose behalf a request is made.
pub struct Caller<'a> {
    /// The user's rights in the vhost.
    pub rights: &'a AccessRights,
    /// The connection; `None` for the management API.
    pub connection: Option<ConnectionId>,
}

/// Refuses names and keys too long for a frame, and those that definitions cannot keep apart.
fn check_text(what: &str, text: &str) -> Result<(), Refusal> {
    if text.len() > SHORT_BYTES_MAX {
        return Err(Refusal::Precondition(format!("{what} is longer than {SHORT_BYTES_MAX} bytes")));
    }
    if text.contains(definitions::KEY_SEPARATOR) {
        return Err(Refusal::Precondition(format!("{what} contains a NUL character")));
    }
    Ok(())
}
