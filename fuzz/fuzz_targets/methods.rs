//! One method's payload: accepted input must match `amq-protocol`'s reading, and must survive re-encoding.
#![no_main]

use leveret_amqp091::wire::control::{method_payload, parse_method, prefetch_size};
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
