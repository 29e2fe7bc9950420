//! Reserved names. The broker enforces them; the rules are here.

use crate::InnerKind;

/// The default exchange.
pub const DEFAULT: &str = "";

/// The exchanges of a new virtual host: name, kind, internal. All are durable.
pub const PREDECLARED: [(&str, InnerKind, bool); 7] = [
    (DEFAULT, InnerKind::Direct, false),
    ("amq.direct", InnerKind::Direct, false),
    ("amq.fanout", InnerKind::Fanout, false),
    ("amq.headers", InnerKind::Headers, false),
    ("amq.match", InnerKind::Headers, false),
    ("amq.rabbitmq.trace", InnerKind::Topic, true),
    ("amq.topic", InnerKind::Topic, false),
];

/// Whether the name is that of the default exchange, which clients may not declare, delete or bind.
pub const fn is_default(name: &str) -> bool {
    name.is_empty()
}

/// Whether the name is reserved: clients may not create or delete it.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("amq.")
}

/// Whether a new virtual host has an exchange with this name.
pub fn is_predeclared(name: &str) -> bool {
    PREDECLARED.iter().any(|(predeclared, ..)| *predeclared == name)
}
