//! Every limit on what a peer can make large, with its unit and reason.

/// Limits that a configuration can change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame offered in `connection.tune`, in bytes, head and end octet included.
    pub frame_max: u32,
    /// Channels of one connection, offered in `connection.tune`.
    pub channel_max: u16,
    /// Heartbeat interval offered in `connection.tune`, in seconds; the client's answer decides.
    pub heartbeat_s: u16,
    /// From TCP accept to `connection.open-ok`, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Largest message body in bytes; larger ones close the channel with 406.
    pub message_bytes_max: u64,
    /// Bytes waiting for one slow client before its consumers get no more credit.
    pub outbox_bytes_max: usize,
    /// Connections at one time.
    pub connections_max: usize,
    /// Channels of all connections together, if they are limited.
    pub channels_max: Option<usize>,
    /// Exchanges in all vhosts together, predeclared ones too, if they are limited.
    pub exchanges_max: Option<usize>,
    /// Consumers on one channel.
    pub consumers_per_channel_max: usize,
    /// Copies of one message that dead-lettering makes on its own, before it multiplies no further; 0 for no limit.
    pub dead_letter_copies_max: u32,
    /// What an open transaction of one channel may hold, in bytes; more closes the channel with 406.
    pub transaction_bytes_max: usize,
    /// What peers make us hold besides queued messages, in bytes: see `held.rs`.
    pub held_bytes_max: u64,
    /// Bodies held in memory by all queues together, in bytes.
    pub memory_bytes_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            frame_max: 131_072,
            channel_max: 2_047,
            heartbeat_s: 60,
            handshake_timeout_ms: 10_000,
            message_bytes_max: 128 * 1024 * 1024,
            outbox_bytes_max: 512 * 1024,
            connections_max: 100_000,
            channels_max: None,
            exchanges_max: None,
            consumers_per_channel_max: 10_000,
            dead_letter_copies_max: 1000,
            transaction_bytes_max: 64 * 1024 * 1024,
            held_bytes_max: 256 * 1024 * 1024,
            memory_bytes_max: 1024 * 1024 * 1024,
        }
    }
}

/// The spec's lower bound for `frame_max` (4.2.3): both sides must accept frames of this size.
pub const FRAME_MIN: u32 = 4_096;

/// Largest frame before `connection.tune-ok`, in bytes: who has not logged in cannot make us keep more. As `RabbitMQ` 4.1,
/// which has raised it from 4,096 for the sake of tokens.
pub const HANDSHAKE_FRAME_MAX: u32 = 8_192;

/// Largest body size that may be declared in a content header at all (RabbitMQ's hard cap): a
/// larger one is a framing error, not a refusal.
pub const BODY_BYTES_CAP: u64 = 512 * 1024 * 1024;

/// Largest `frame_max` that can be configured: what a connection's reader has room for.
pub const FRAME_MAX: u32 = 131_072;

/// Bodies that one `x-recent-history` exchange remembers, in bytes.
pub const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Ids that one deduplicating queue or exchange remembers, if nothing else is said (as `LavinMQ`).
pub const DEDUPLICATION_IDS_DEFAULT: u64 = 128;

/// Ids that one deduplicating queue or exchange can be told to remember; some 80 bytes each.
pub const DEDUPLICATION_IDS_MAX: u64 = 10_000_000;

/// Bodies of delayed messages that one exchange keeps in memory, in bytes. Beyond that they are read
/// back from the store when they are due.
pub const DELAYED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest time to live or lease in milliseconds: ten years, as `RabbitMQ`.
pub const TTL_MS_MAX: u64 = 315_360_000_000;
