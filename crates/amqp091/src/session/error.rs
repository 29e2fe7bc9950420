//! Mapping of errors to reply code, level and method to blame. The only such table (docs/semantics.md, Errors).

use std::fmt;

use leveret_broker::refusal::Refusal;
use leveret_message::table::TableError;

use crate::wire::control::MethodError;
use crate::wire::frame::FrameError;

/// A reply code of AMQP 0-9-1, with the name it has in reply texts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the specification's names")]
#[repr(u16)]
pub enum ReplyCode {
    ContentTooLarge = 311,
    NoRoute = 312,
    NoConsumers = 313,
    ConnectionForced = 320,
    AccessRefused = 403,
    NotFound = 404,
    ResourceLocked = 405,
    PreconditionFailed = 406,
    FrameError = 501,
    SyntaxError = 502,
    CommandInvalid = 503,
    ChannelError = 504,
    UnexpectedFrame = 505,
    ResourceError = 506,
    NotAllowed = 530,
    NotImplemented = 540,
    InternalError = 541,
}

impl ReplyCode {
    /// The name at the start of a reply text.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ContentTooLarge => "CONTENT_TOO_LARGE",
            Self::NoRoute => "NO_ROUTE",
            Self::NoConsumers => "NO_CONSUMERS",
            Self::ConnectionForced => "CONNECTION_FORCED",
            Self::AccessRefused => "ACCESS_REFUSED",
            Self::NotFound => "NOT_FOUND",
            Self::ResourceLocked => "RESOURCE_LOCKED",
            Self::PreconditionFailed => "PRECONDITION_FAILED",
            Self::FrameError => "FRAME_ERROR",
            Self::SyntaxError => "SYNTAX_ERROR",
            Self::CommandInvalid => "COMMAND_INVALID",
            Self::ChannelError => "CHANNEL_ERROR",
            Self::UnexpectedFrame => "UNEXPECTED_FRAME",
            Self::ResourceError => "RESOURCE_ERROR",
            Self::NotAllowed => "NOT_ALLOWED",
            Self::NotImplemented => "NOT_IMPLEMENTED",
            Self::InternalError => "INTERNAL_ERROR",
        }
    }

    /// The code on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether it closes only the channel (spec 1.1: soft error).
    pub const fn is_soft(self) -> bool {
        matches!(
            self,
            Self::ContentTooLarge
                | Self::NoRoute
                | Self::NoConsumers
                | Self::AccessRefused
                | Self::NotFound
                | Self::ResourceLocked
                | Self::PreconditionFailed
        )
    }
}

/// Class and method ids; 0,0 when no method is to blame.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MethodId(pub u16, pub u16);

/// An error as reported to the peer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AmqpError {
    /// Reply code.
    pub code: ReplyCode,
    /// The method to blame.
    pub method: MethodId,
    /// The reason, without the code's name.
    pub text: String,
    /// Whether it closes the connection.
    pub closes_connection: bool,
}

impl AmqpError {
    /// An error at its code's level.
    pub fn new(code: ReplyCode, method: MethodId, text: impl Into<String>) -> Self {
        Self { code, method, text: text.into(), closes_connection: !code.is_soft() }
    }

    /// The same error, but closing the connection whatever its code.
    #[must_use]
    pub fn on_connection(mut self) -> Self {
        self.closes_connection = true;
        self
    }

    /// The reply text: `NAME - reason`.
    pub fn reply_text(&self) -> String {
        format!("{} - {}", self.code.name(), self.text)
    }
}

impl fmt::Display for AmqpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.number(), self.reply_text())
    }
}

/// A refusal in AMQP's terms. `method` is the request.
pub fn refused(refusal: &Refusal, method: MethodId) -> AmqpError {
    let code = match refusal {
        Refusal::NotFound { .. } | Refusal::NoLastQueue => ReplyCode::NotFound,
        Refusal::Denied { .. }
        | Refusal::ExclusiveUse { .. }
        | Refusal::ReservedName(_)
        | Refusal::DefaultExchange
        | Refusal::SystemExchange(..)
        | Refusal::InternalExchange(..)
        | Refusal::Forbidden(_) => ReplyCode::AccessRefused,
        Refusal::ExclusiveToAnother { .. } => ReplyCode::ResourceLocked,
        Refusal::Inequivalent { .. }
        | Refusal::InvalidArgument { .. }
        | Refusal::ArgumentType { .. }
        | Refusal::Precondition(_)
        | Refusal::UnknownExchangeType(_)
        | Refusal::InUse { .. }
        | Refusal::NotEmpty { .. } => ReplyCode::PreconditionFailed,
        Refusal::NoVhost(_) | Refusal::VhostDenied { .. } | Refusal::NotAllowed(_) => ReplyCode::NotAllowed,
        Refusal::NotImplemented(_) => ReplyCode::NotImplemented,
        Refusal::Storage(_) => ReplyCode::InternalError,
    };
    AmqpError::new(code, method, refusal.to_string())
}

/// A malformed frame: always closes the connection.
pub fn bad_frame(error: &FrameError) -> AmqpError {
    AmqpError::new(ReplyCode::FrameError, MethodId::default(), error.to_string())
}

/// A malformed method: closes the connection, except for well-formed arguments that are too many or too deep.
pub fn bad_method(error: &MethodError, payload: &[u8]) -> AmqpError {
    let (class, method) = crate::wire::control::method_id(payload).unwrap_or_default();
    match error {
        MethodError::Unknown { .. } => AmqpError::new(
            ReplyCode::CommandInvalid,
            MethodId(class, method),
            format!("unimplemented method {class}.{method}"),
        ),
        MethodError::TooManyValues | MethodError::Table(TableError::TooDeep) => {
            AmqpError::new(ReplyCode::PreconditionFailed, MethodId(class, method), error.to_string())
        }
        _ => AmqpError::new(ReplyCode::SyntaxError, MethodId(class, method), error.to_string()),
    }
}
