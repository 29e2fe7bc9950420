//! Stored definitions: whatever bytes journal and snapshot hold, reading them reports what is usable.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (&[u8], &[u8])| {
    let (journal, snapshot) = data;
    let _ = leveret_store::definitions::read_any(journal, snapshot);
});
