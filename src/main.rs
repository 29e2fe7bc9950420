//! The `leveret` binary: wiring only.
fn main() {}
