//! Configurations: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(value) = Config::decode(data) {
        assert_eq!(value.encode(), data);
    }
});
