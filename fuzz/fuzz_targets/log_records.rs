//! Whole records with any payload: opened, read, opened again.
#![no_main]

use leveret_store::log::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::records(bytes));
