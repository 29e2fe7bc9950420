//! The `leveret` binary: wiring only.

use std::process::ExitCode;

use libmimalloc_sys::{mi_collect, mi_option_set, mi_option_t};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay` of mimalloc 3, which the bindings do not name.
const PURGE_DELAY: mi_option_t = 15;

/// Milliseconds until freed memory is returned to the system. With the default of a second, a broker filling at
/// 700 MB/s keeps a hundred megabytes unused; at 10 ms the system calls cost a sixth of its CPU time.
const PURGE_DELAY_MS: i64 = 100;

fn main() -> ExitCode {
    #[expect(
        unsafe_code,
        reason = "the allocator has no safe call for it; measured: 60 to 100 MiB less resident memory"
    )]
    // SAFETY: stores a number in an atomic; the option exists in the linked version (see the test).
    unsafe {
        mi_option_set(PURGE_DELAY, PURGE_DELAY_MS);
    }
    leveret::cli::main(give_back)
}

/// Makes the allocator return free memory to the system at once. It does so by itself only while in use, and a
/// broker whose publishers wait for memory does little.
fn give_back() {
    #[expect(
        unsafe_code,
        reason = "the allocator has no safe call for it; without, an alarm over memory did not end after an attack"
    )]
    // SAFETY: may be called from any thread at any time.
    unsafe {
        mi_collect(true);
    }
}

#[cfg(test)]
mod tests {
    use libmimalloc_sys::mi_option_get;

    use super::*;

    #[test]
    fn the_option_is_the_one_whose_default_is_a_second() {
        #[expect(unsafe_code, reason = "the allocator has no safe call for it")]
        // SAFETY: reads a number.
        let default = unsafe { mi_option_get(PURGE_DELAY) };
        assert_eq!(default, 1000);
    }
}
