//! Key slots: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::slot::Slot;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Slot::decode(data) {
        assert_eq!(value.encode(), data);
    }
});
