//! The data after a segment's header.
#![no_main]

use leveret_store::log::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::segment(bytes));
