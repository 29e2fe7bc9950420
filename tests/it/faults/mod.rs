//! A disk that is full, nearly full, read-only or does not sync; low memory.
//!
//! These tests mount small file systems and trace the broker, which needs privileges. Without them they say so, and
//! fail if `CI` is set.

mod alarms;
mod full_disk;
mod held_up;
mod mount;
mod read;
mod read_only;
mod sync;
mod threads;
mod trace;

/// A step that is impossible here: fails where all tests must run.
#[track_caller]
fn cannot(what: &str) {
    let required = std::env::var("CI").is_ok_and(|ci| !ci.is_empty() && ci != "false");
    assert!(!required, "this has to be tested in CI: {what}");
    eprintln!("not tested here: {what}");
}
