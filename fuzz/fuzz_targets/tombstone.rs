//! Tombstones: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::codec;
use drumlin::format::tombstone::{Tombstone, TombstoneSlot};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Tombstone::decode(data) {
        assert_eq!(value.encode(), data);
    }
    if let Ok(value) = codec::decode::<TombstoneSlot>("fuzzed", data) {
        assert_eq!(codec::encode(&value), data);
    }
});
