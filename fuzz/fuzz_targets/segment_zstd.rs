//! Compressed bodies: never more bytes than stated, never a panic.
#![no_main]

use drumlin::compress::SegmentDecompressor;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: (u32, &[u8])| {
    let (raw_len, mut out) = (data.0 as usize % (8 << 20), Vec::new());
    if SegmentDecompressor::default().decompress(data.1, raw_len, &mut out).is_ok() {
        assert_eq!(out.len(), raw_len);
    }
});
