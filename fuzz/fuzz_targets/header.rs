//! Container headers: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::container::{HEADER_LEN_BYTES, Header};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(header) = Header::decode(data) {
        assert_eq!(header.encode(), data[..HEADER_LEN_BYTES]);
    }
});
