//! Runs a seed; a failure is reported with a minimal list of operations.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::author::script;
use crate::play::Play;
use crate::script::Op;

/// Maximum runs for shrinking.
const TRIES: usize = 2_000;

/// Runs a seed's script; returns the events seen.
///
/// # Panics
///
/// On any violation.
pub(crate) fn run(seed: u64) -> BTreeMap<String, u64> {
    let ops = script(seed);
    let failure = match play(seed, &ops) {
        Ok(came_up) => return came_up,
        Err(failure) => failure,
    };
    let (ops, failure) = shrunk(seed, ops, failure);
    let mut text = String::new();
    for op in &ops {
        let _ = writeln!(text, "  {op:?}");
    }
    panic!(
        "seed {seed}: {}\n\nthe fewest operations that fail:\n{text}\nwhat was said:\n{}",
        failure.why,
        failure.said.join("\n")
    );
}

struct Failure {
    why: String,
    said: Vec<String>,
}

fn play(seed: u64, ops: &[Op]) -> Result<BTreeMap<String, u64>, Failure> {
    let mut play = Play::new(seed);
    for op in ops {
        let done = catch_unwind(AssertUnwindSafe(|| play.step(op)));
        let why = match done {
            Ok(Ok(())) => continue,
            Ok(Err(why)) => why,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                format!("panic: {}", text.unwrap_or_default())
            }
        };
        return Err(Failure { why, said: std::mem::take(&mut play.said) });
    }
    Ok(play.seen)
}

/// Removes operations while it still fails: halves, then quarters, then single ones.
fn shrunk(seed: u64, mut ops: Vec<Op>, mut failure: Failure) -> (Vec<Op>, Failure) {
    let mut tries = 0;
    let mut part = ops.len().div_ceil(2).max(1);
    loop {
        let mut at = 0;
        let mut left_out = false;
        while at < ops.len() && tries < TRIES {
            tries += 1;
            let mut fewer = ops.clone();
            fewer.drain(at..(at + part).min(ops.len()));
            match play(seed, &fewer) {
                Err(fails) => {
                    (ops, failure, left_out) = (fewer, fails, true);
                }
                Ok(_) => at += part,
            }
        }
        if tries >= TRIES || (part == 1 && !left_out) {
            return (ops, failure);
        }
        part = part.div_ceil(2).max(1);
    }
}
