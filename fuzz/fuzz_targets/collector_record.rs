//! Records of collectors: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::generation::CollectorRecord;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = CollectorRecord::decode(data) {
        assert_eq!(value.encode(), data);
    }
});
