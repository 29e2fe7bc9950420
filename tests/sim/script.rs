//! The operations of a run, each meaningful in any state, so that any of them can be left out.

use crate::model::channel::How;
use crate::model::route::Binding;
use crate::model::shape::{ExchangeShape, PolicyShape, QueueShape};

/// A client and one of its channels.
pub(crate) type At = (usize, u16);

/// One operation. The connections and channels it needs are opened first.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    DeclareQueue {
        at: At,
        name: &'static str,
        shape: QueueShape,
    },
    FindQueue {
        at: At,
        name: &'static str,
    },
    DeleteQueue {
        at: At,
        name: &'static str,
        if_unused: bool,
        if_empty: bool,
    },
    Purge {
        at: At,
        name: &'static str,
    },
    DeclareExchange {
        at: At,
        name: &'static str,
        shape: ExchangeShape,
    },
    DeleteExchange {
        at: At,
        name: &'static str,
        if_unused: bool,
    },
    Bind {
        at: At,
        binding: Binding,
    },
    Unbind {
        at: At,
        binding: Binding,
    },
    Publish {
        at: At,
        count: u64,
        exchange: &'static str,
        key: &'static str,
        how: Publish,
    },
    Consume {
        at: At,
        queue: &'static str,
        no_ack: bool,
        exclusive: bool,
        priority: i64,
    },
    /// The channel's consumer with this index, modulo their number.
    Cancel {
        at: At,
        which: usize,
    },
    Get {
        at: At,
        queue: &'static str,
        no_ack: bool,
    },
    /// The delivery with this index, modulo their number; `None`: a tag that was never assigned.
    Settle {
        at: At,
        which: Option<usize>,
        multiple: bool,
        how: How,
        reject: bool,
    },
    SettleAll {
        at: At,
        how: How,
    },
    Recover {
        at: At,
    },
    Qos {
        at: At,
        count: u64,
        shared: bool,
    },
    ConfirmSelect {
        at: At,
    },
    TxSelect {
        at: At,
    },
    Commit {
        at: At,
    },
    Rollback {
        at: At,
    },
    CloseChannel {
        at: At,
    },
    CloseConnection {
        client: usize,
    },
    Disconnect {
        client: usize,
    },
    SetPolicy {
        name: &'static str,
        policy: PolicyShape,
    },
    ClearPolicy {
        name: &'static str,
    },
    Pass {
        ms: u64,
    },
    Sync,
    /// Idle queues release their memory.
    Rest,
    /// Whether definitions can be stored from now on.
    Storage {
        fails: bool,
    },
    Crash {
        seed: u64,
    },
    /// A failing sync, and the resulting crash.
    FailedSync {
        seed: u64,
    },
}

/// The channel that an operation needs.
pub(crate) fn channel_of(op: &Op) -> Option<At> {
    match op {
        Op::DeclareQueue { at, .. }
        | Op::FindQueue { at, .. }
        | Op::DeleteQueue { at, .. }
        | Op::Purge { at, .. }
        | Op::DeclareExchange { at, .. }
        | Op::DeleteExchange { at, .. }
        | Op::Bind { at, .. }
        | Op::Unbind { at, .. }
        | Op::Publish { at, .. }
        | Op::Consume { at, .. }
        | Op::Cancel { at, .. }
        | Op::Get { at, .. }
        | Op::Settle { at, .. }
        | Op::SettleAll { at, .. }
        | Op::Recover { at }
        | Op::Qos { at, .. }
        | Op::ConfirmSelect { at }
        | Op::TxSelect { at }
        | Op::Commit { at }
        | Op::Rollback { at }
        | Op::CloseChannel { at } => Some(*at),
        _ => None,
    }
}

/// The parameters of a publish.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Publish {
    pub(crate) persistent: bool,
    pub(crate) mandatory: bool,
    pub(crate) priority: u8,
    pub(crate) expiration: Option<u64>,
    pub(crate) header: Option<i64>,
    /// Minimum body size, in octets.
    pub(crate) size: usize,
}
