//! Ctrl-C: ends the measurement with its result; a second one ends the process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Exit code of a process that SIGINT ended.
const KILLED: i32 = 130;

static CAME: AtomicBool = AtomicBool::new(false);

/// Whether the user wants the measurement to end.
pub(super) fn came() -> bool {
    CAME.load(Ordering::Relaxed)
}

/// Watches from now on. If that fails, Ctrl-C ends the process as always.
pub(super) fn watch() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let Ok(runtime) = runtime else { return };
    thread::spawn(move || {
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if CAME.swap(true, Ordering::Relaxed) {
                    std::process::exit(KILLED);
                }
            }
        });
    });
}
