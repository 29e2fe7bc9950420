//! The id of an exchange within one router.

/// Identifies an existing exchange. An id may be reused after its exchange is removed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct ExchangeId(pub(crate) u32);
