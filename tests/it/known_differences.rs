//! Where another broker is known to differ from what the conformance tests ask, and why we ask it all the same.

/// One test that the named broker fails.
pub(crate) struct Difference {
    /// The test, as `module::name` below `conformance`.
    pub(crate) test: &'static str,
    /// How its product and version begin.
    pub(crate) broker: &'static str,
    /// What it does instead, and why we differ.
    pub(crate) reason: &'static str,
}

/// RabbitMQ as Debian 12 packages it; the contract follows its main branch, four years younger.
#[cfg_attr(not(test), expect(dead_code, reason = "read by tests"))]
const RABBITMQ_3: &str = "RabbitMQ 3.";

/// The list.
pub(crate) const DIFFERENCES: &[Difference] = &[];
