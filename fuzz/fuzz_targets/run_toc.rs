//! Tables of contents of index runs: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::codec;
use drumlin::format::run::RunToc;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = RunToc::decode(data) {
        assert_eq!(codec::encode(&value), data);
    }
});
