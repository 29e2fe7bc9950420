//! Topology: what a broker should have, in a file or read from a broker, and what the difference comes to.
//!
//! Invariants: reading, comparing and writing are pure but for the files they are given; a topology that was
//! written and is read again is the same; every complaint about a file names the file, the line and the
//! reason; no secret stands in a file, and none is told in a difference.
//! Absent: sockets, a broker, how a difference is made to vanish.

mod definitions;
mod difference;
mod format;
mod forms;
mod model;
mod node;
mod read;
mod spanned;
mod toml;
mod write;
mod yaml;

pub use definitions::{Complaints, read as from_definitions, write as to_definitions};
pub use difference::{Action, Options, Plan, Step, World, difference, settle_types};
pub use format::schema;
pub use model::{Binding, Governs, Id, Kind, Object, Place, Topology, canonical, is_temporary};
pub use read::{OwnSecrets, ReadError, Secrets, read};
pub use write::write;

#[cfg(test)]
mod tests;
