//! Exchange types: their names, and the arguments and bindings they accept.

use crate::federation::Horizon;
use crate::{Args, OwnedValue, Property, Refusal};

/// How an exchange selects destinations.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum InnerKind {
    /// The routing key equals the binding key.
    Direct,
    /// Every binding.
    Fanout,
    /// The routing key matches the binding's word pattern.
    Topic,
    /// The headers match the binding's arguments.
    Headers,
    /// `x-consistent-hash`: one destination by hash; binding keys are weights.
    ConsistentHash,
    /// `x-modulus-hash`: one destination by hash of the key modulo the number of destinations.
    ModulusHash,
    /// `x-random`: one destination at random.
    Random,
    /// `x-local-random`: as [`InnerKind::Random`], but binds queues with an empty key only.
    LocalRandom,
    /// `x-recent-history`: every binding; the caller keeps messages for later bindings.
    RecentHistory,
    /// `x-federation-upstream`: every binding, except for messages that have reached their hop limit or already
    /// passed the other end. Declared by a `RabbitMQ`'s federation links.
    FederationUpstream,
}

impl InnerKind {
    /// All types.
    pub const ALL: [Self; 10] = [
        Self::Direct,
        Self::Fanout,
        Self::Topic,
        Self::Headers,
        Self::ConsistentHash,
        Self::ModulusHash,
        Self::Random,
        Self::LocalRandom,
        Self::RecentHistory,
        Self::FederationUpstream,
    ];

    /// The name in exchange.declare.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Fanout => "fanout",
            Self::Topic => "topic",
            Self::Headers => "headers",
            Self::ConsistentHash => "x-consistent-hash",
            Self::ModulusHash => "x-modulus-hash",
            Self::Random => "x-random",
            Self::LocalRandom => "x-local-random",
            Self::RecentHistory => "x-recent-history",
            Self::FederationUpstream => "x-federation-upstream",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Refuses arguments the type does not support.
    fn check_args(self, args: &Args) -> Result<(), Refusal> {
        match self {
            Self::ConsistentHash => HashBy::from_args(args).map(drop),
            Self::FederationUpstream => Horizon::from_args(args).map(drop),
            Self::RecentHistory => match args.get(HISTORY_LENGTH) {
                Some(length) if length.as_int().is_none_or(|length| length <= 0) => {
                    Err(Refusal::InvalidArgument(format!(
                        "Invalid argument, '{HISTORY_LENGTH}' must be a positive integer"
                    )))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Refuses a binding that the type cannot match.
    pub(crate) fn check_binding(self, to_queue: bool, key: &str, args: &Args) -> Result<(), Refusal> {
        match self {
            Self::Headers => XMatch::from_args(args).map(drop),
            Self::ConsistentHash => weight(key).map(drop),
            Self::LocalRandom if !key.is_empty() => {
                Err(Refusal::InvalidBinding(format!("Non empty binding '{key}' key not permitted")))
            }
            Self::LocalRandom if !to_queue => {
                Err(Refusal::InvalidBinding("Destination must be a queue for this exchange type".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// An exchange's type: how it selects destinations, and whether it delays first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Kind {
    /// How it selects destinations.
    pub inner: InnerKind,
    /// `x-delayed-message`: messages with a delay are held before they are routed as by `inner`.
    pub delayed: bool,
}

const DELAYED_TYPE: &str = "x-delayed-type";
const ALTERNATE: &str = "alternate-exchange";
const HISTORY_LENGTH: &str = "x-recent-history-length";
/// History length of `x-recent-history` without an argument, in messages.
const HISTORY_LENGTH_DEFAULT: u64 = 20;

impl Kind {
    /// The type that holds messages, then routes them as its argument `x-delayed-type` specifies.
    pub const DELAYED: &str = "x-delayed-message";

    /// The type named in a declaration, with its arguments checked.
    pub(crate) fn declared(name: &str, args: &Args) -> Result<Self, Refusal> {
        alternate(args)?;
        let delayed = name == Self::DELAYED;
        let inner = if delayed {
            let inner = args.get(DELAYED_TYPE).and_then(OwnedValue::as_text);
            inner.and_then(InnerKind::from_name).ok_or_else(|| {
                Refusal::InvalidArgument(format!(
                    "Invalid argument, '{DELAYED_TYPE}' must be an existing exchange type"
                ))
            })?
        } else {
            InnerKind::from_name(name).ok_or_else(|| Refusal::UnknownKind(name.to_owned()))?
        };
        inner.check_args(args)?;
        Ok(Self { inner, delayed })
    }

    /// The names of all types accepted by exchange.declare.
    pub fn names() -> impl Iterator<Item = &'static str> {
        let inner = InnerKind::ALL.into_iter();
        inner.map(InnerKind::name).chain([Self::DELAYED])
    }

    /// Whether exchange.declare accepts this type name.
    pub(crate) fn exists(name: &str) -> bool {
        Self::names().any(|known| known == name)
    }

    /// The name in exchange.declare.
    pub const fn name(self) -> &'static str {
        if self.delayed { Self::DELAYED } else { self.inner.name() }
    }
}

/// The alternate exchange named in the arguments.
pub(crate) fn alternate(args: &Args) -> Result<Option<&str>, Refusal> {
    match args.get(ALTERNATE) {
        None => Ok(None),
        Some(value) => value.as_text().map(Some).ok_or_else(|| {
            Refusal::InvalidArgument(format!("invalid type '{}' for arg '{ALTERNATE}'", value.kind_name()))
        }),
    }
}

/// Refuses a redeclaration with a different alternate exchange, the only argument compared.
pub(crate) fn same_alternate(name: &str, current: &Args, wanted: &Args) -> Result<(), Refusal> {
    let (current, wanted) = (current.get(ALTERNATE), wanted.get(ALTERNATE));
    if current.and_then(OwnedValue::as_text) == wanted.and_then(OwnedValue::as_text) {
        return Ok(());
    }
    let show = |value: Option<&OwnedValue>| {
        value
            .and_then(OwnedValue::as_text)
            .map_or_else(|| "none".to_owned(), |text| format!("the value '{text}' of type 'longstr'"))
    };
    Err(Refusal::Inequivalent {
        exchange: name.to_owned(),
        field: ALTERNATE,
        wanted: show(wanted),
        current: show(current),
    })
}

/// The number of messages kept by an `x-recent-history` exchange with these arguments.
pub(crate) fn history_length(args: &Args) -> u64 {
    let length = args.get(HISTORY_LENGTH).and_then(OwnedValue::as_int);
    length.map_or(HISTORY_LENGTH_DEFAULT, |length| u64::try_from(length).unwrap_or(HISTORY_LENGTH_DEFAULT))
}

/// What a consistent-hash exchange hashes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum HashBy {
    Key,
    Header(Box<[u8]>),
    Property(Property),
}

impl HashBy {
    pub(crate) fn from_args(args: &Args) -> Result<Self, Refusal> {
        let text = |name| match args.get(name) {
            None => Ok(None),
            Some(value) => value.as_text().map(Some).ok_or_else(|| {
                Refusal::InvalidArgument(format!("invalid type '{}' for arg '{name}'", value.kind_name()))
            }),
        };
        match (text("hash-header")?, text("hash-property")?) {
            (None, None) => Ok(Self::Key),
            (Some(header), None) => Ok(Self::Header(header.as_bytes().into())),
            (None, Some("message_id")) => Ok(Self::Property(Property::MessageId)),
            (None, Some("correlation_id")) => Ok(Self::Property(Property::CorrelationId)),
            (None, Some("timestamp")) => Ok(Self::Property(Property::Timestamp)),
            (None, Some(other)) => Err(Refusal::InvalidArgument(format!("Unsupported property: {other}"))),
            (Some(_), Some(_)) => Err(Refusal::InvalidArgument(
                "hash-header and hash-property are mutually exclusive".to_owned(),
            )),
        }
    }
}

/// Parses a consistent-hash binding key as a weight.
pub(crate) fn weight(key: &str) -> Result<u32, Refusal> {
    match key.parse::<i64>() {
        Ok(weight) if weight < 1 => {
            Err(Refusal::InvalidBinding("The binding key must be greater than 0".to_owned()))
        }
        Ok(weight) => u32::try_from(weight)
            .map_err(|_| Refusal::InvalidBinding(format!("The binding key must be at most {}", u32::MAX))),
        Err(_) => Err(Refusal::InvalidBinding(format!("The binding key must be an integer: {key}"))),
    }
}

/// How the arguments of a headers binding are matched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct XMatch {
    /// One match suffices.
    pub(crate) any: bool,
    /// Arguments whose names start with `x-` are compared as well.
    with_x: bool,
}

impl XMatch {
    pub(crate) fn from_args(args: &Args) -> Result<Self, Refusal> {
        let (any, with_x) = match args.get("x-match") {
            None => (false, false),
            Some(value @ OwnedValue::Str { kind: b'S', .. }) => match value.as_text() {
                Some("all") => (false, false),
                Some("any") => (true, false),
                Some("all-with-x") => (false, true),
                Some("any-with-x") => (true, true),
                other => {
                    return Err(Refusal::InvalidBinding(format!(
                        "Invalid x-match field value {}; \
                         expected all, any, all-with-x, or any-with-x",
                        other.unwrap_or("that is not UTF-8")
                    )));
                }
            },
            Some(other) => {
                return Err(Refusal::InvalidBinding(format!(
                    "Invalid x-match field type {}; expected longstr",
                    other.kind_name()
                )));
            }
        };
        Ok(Self { any, with_x })
    }

    /// Whether the argument with this name is compared with the headers.
    pub(crate) fn counts(self, name: &[u8]) -> bool {
        name != b"x-match" && (self.with_x || !name.starts_with(b"x-"))
    }
}
