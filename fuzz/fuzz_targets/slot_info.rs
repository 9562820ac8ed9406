//! What a key slot says about itself: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::codec;
use drumlin::format::slot::SlotInfo;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = codec::decode::<SlotInfo>("fuzzed", data) {
        assert_eq!(codec::encode(&value), data);
    }
});
