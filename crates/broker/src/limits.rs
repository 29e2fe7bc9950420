//! All limits on sizes and counts that peers control, with units and reasons.

/// Configurable limits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Largest frame offered in `connection.tune`, in bytes, including header and end octet.
    pub frame_max: u32,
    /// Channels per connection, offered in `connection.tune`.
    pub channel_max: u16,
    /// Heartbeat interval offered in `connection.tune`, in seconds; the client's answer decides.
    pub heartbeat_s: u16,
    /// From TCP accept to `connection.open-ok`, in milliseconds.
    pub handshake_timeout_ms: u64,
    /// Largest message body in bytes; larger ones close the channel with 406.
    pub message_bytes_max: u64,
    /// Bytes queued for one slow client before its consumers get no more credit.
    pub outbox_bytes_max: usize,
    /// Concurrent connections.
    pub connections_max: usize,
    /// Channels on all connections together, if limited.
    pub channels_max: Option<usize>,
    /// Exchanges in all vhosts together, predeclared ones included, if limited.
    pub exchanges_max: Option<usize>,
    /// Consumers per channel.
    pub consumers_per_channel_max: usize,
    /// Copies of one message made by dead-lettering alone before it stops multiplying; 0 for no limit.
    pub dead_letter_copies_max: u32,
    /// Bytes held by one channel's open transaction; more closes the channel with 406.
    pub transaction_bytes_max: usize,
    /// Bytes held on behalf of peers other than queued messages: see `held.rs`.
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

/// Largest frame before `connection.tune-ok`, in bytes: bounds memory for unauthenticated peers. As in `RabbitMQ` 4.1,
/// which raised it from 4,096 to fit tokens.
pub const HANDSHAKE_FRAME_MAX: u32 = 8_192;

/// Largest body size that a content header may declare (RabbitMQ's hard cap): a larger one is a framing error, not a
/// refusal.
pub const BODY_BYTES_CAP: u64 = 512 * 1024 * 1024;

/// Largest configurable `frame_max`: the capacity of a connection's reader.
pub const FRAME_MAX: u32 = 131_072;

/// Bytes of bodies remembered by one `x-recent-history` exchange.
pub const HISTORY_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Default number of ids remembered by a deduplicating queue or exchange (as `LavinMQ`).
pub const DEDUPLICATION_IDS_DEFAULT: u64 = 128;

/// Maximum configurable number of ids of a deduplicating queue or exchange; some 80 bytes each.
pub const DEDUPLICATION_IDS_MAX: u64 = 10_000_000;

/// Bytes of delayed bodies that one exchange keeps in memory. Others are read back from the store when due.
pub const DELAYED_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Longest time to live or lease, in milliseconds: ten years, as in `RabbitMQ`.
pub const TTL_MS_MAX: u64 = 315_360_000_000;
