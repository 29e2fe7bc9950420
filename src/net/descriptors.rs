//! File descriptors: raises the limit to the system's maximum and reserves some for files.
//!
//! An accepted connection gets the lowest free descriptor. A high number therefore means that few are left: the
//! connection is closed at once, before the store runs out of files.

use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicI32, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Reserved for the store and the definitions; a quarter, if the limit is low.
const RESERVED: i32 = 64;

/// Connections' descriptors are below this.
static CONNECTIONS_BELOW: AtomicI32 = AtomicI32::new(i32::MAX);

/// Raises the descriptor limit as far as the process may, and reserves some for files.
pub fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, wanted)
    {
        tracing::warn!("the limit on open files stays at {:?}: {error}", limit.current);
    }
    let max =
        getrlimit(Resource::Nofile).current.map_or(i32::MAX, |max| i32::try_from(max).unwrap_or(i32::MAX));
    CONNECTIONS_BELOW.store(connections_below(max), Ordering::Relaxed);
}

const fn connections_below(max: i32) -> i32 {
    let quarter = max / 4;
    max - if quarter < RESERVED { quarter } else { RESERVED }
}

/// Whether a newly accepted connection leaves too few descriptors for files.
pub(crate) fn too_many(socket: &impl AsFd) -> bool {
    socket.as_fd().as_raw_fd() >= CONNECTIONS_BELOW.load(Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use super::connections_below;

    #[test]
    fn some_are_kept_for_files_whatever_the_limit() {
        assert_eq!(connections_below(64), 48);
        assert_eq!(connections_below(1024), 960);
        assert_eq!(connections_below(i32::MAX), i32::MAX - 64);
    }
}
