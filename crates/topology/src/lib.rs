//! Topology: the objects a broker should have, from a file or a broker, and the difference between two.
//!
//! Invariants: reading, comparing and writing are pure except for the files they are given; a topology that is
//! written and read again is the same; every error in a file gives the file, the line and the reason; files contain
//! no secrets, and differences show none.
//! Absent: sockets, a broker, the execution of a plan.

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
pub use spanned::{meant, nearest};
pub use write::write;

#[cfg(test)]
mod tests;
