//! Intents: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::intent::Intent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Intent::decode(data) {
        assert_eq!(value.encode(), data);
    }
});
