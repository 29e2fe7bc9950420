//! PROXY headers: no panic, no endless request for more input, and none beyond a header's maximum size.
#![no_main]

use leveret_amqp091::wire::proxy_header::{Progress, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut taken = 0;
    while let Ok(Progress::Needs(more)) = parse(&bytes[..taken]) {
        assert!(more > 0 && taken + more <= 8192);
        taken += more;
        if taken > bytes.len() {
            break;
        }
    }
});
