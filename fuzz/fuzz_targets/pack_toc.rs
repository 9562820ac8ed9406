//! Tables of contents of packs: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::codec;
use drumlin::format::container::PackToc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = codec::decode::<PackToc>("fuzzed", data) {
        assert_eq!(codec::encode(&value), data);
    }
});
