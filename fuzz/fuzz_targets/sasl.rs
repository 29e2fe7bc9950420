//! SASL responses.
#![no_main]

use leveret_amqp091::wire::sasl::{amqplain, plain};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|response: &[u8]| {
    if let Ok(found) = plain(response) {
        assert!(found.user.len() + found.password.len() < response.len());
    }
    let _ = amqplain(response).is_ok();
});
