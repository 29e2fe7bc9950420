//! Names with a meaning. The broker polices them; the rules are here.

use crate::InnerKind;

/// The default exchange.
pub const DEFAULT: &str = "";

/// The exchanges every virtual host starts with: name, kind, internal. All are durable.
pub const PREDECLARED: [(&str, InnerKind, bool); 7] = [
    (DEFAULT, InnerKind::Direct, false),
    ("amq.direct", InnerKind::Direct, false),
    ("amq.fanout", InnerKind::Fanout, false),
    ("amq.headers", InnerKind::Headers, false),
    ("amq.match", InnerKind::Headers, false),
    ("amq.rabbitmq.trace", InnerKind::Topic, true),
    ("amq.topic", InnerKind::Topic, false),
];

/// Whether the name is the default exchange's, on which clients may neither declare, delete nor bind.
pub const fn is_default(name: &str) -> bool {
    name.is_empty()
}

/// Whether the name lies in the range that clients may not create or delete in.
pub fn is_reserved(name: &str) -> bool {
    name.starts_with("amq.")
}

/// Whether a virtual host starts with an exchange of that name.
pub fn is_predeclared(name: &str) -> bool {
    PREDECLARED.iter().any(|(predeclared, ..)| *predeclared == name)
}
