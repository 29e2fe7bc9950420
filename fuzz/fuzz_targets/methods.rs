//! One method's payload: what we accept must be what `amq-protocol` reads, and must survive being written again.
#![no_main]

use leveret::wire::control::{method_payload, parse_method, prefetch_size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let _ = prefetch_size(payload);
    if let Ok(method) = parse_method(payload) {
        let written = method_payload(&method);
        let again = parse_method(&written).expect("a method that we write");
        // Compared as bytes, since a table may hold a NaN.
        assert_eq!(method_payload(&again), written);
    }
});
