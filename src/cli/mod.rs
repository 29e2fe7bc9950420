//! What the binary can be told to do. Each command is a module; `main.rs` only wires.

pub mod perf;
