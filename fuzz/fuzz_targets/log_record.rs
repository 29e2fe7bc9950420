//! A segment's header and single records.
#![no_main]

use leveret_store::log::fuzzing;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| fuzzing::record(bytes));
