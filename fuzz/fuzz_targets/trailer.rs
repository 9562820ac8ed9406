//! Container trailers: whatever is accepted has one encoding and describes the container's length.
#![no_main]

use drumlin::format::container::{HEADER_LEN_BYTES, TRAILER_LEN_BYTES, Trailer};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u64, [u8; 48])| {
    if let Ok(trailer) = Trailer::decode(&data.1, data.0) {
        assert_eq!(trailer.encode(), data.1);
        assert!(trailer.toc_offset >= HEADER_LEN_BYTES as u64);
        assert_eq!(
            trailer.toc_offset + trailer.sealed_toc_len() + TRAILER_LEN_BYTES as u64,
            data.0
        );
    }
});
