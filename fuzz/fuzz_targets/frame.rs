//! Segment frames: whatever is accepted has one encoding.
#![no_main]

use drumlin::format::container::Frame;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(bytes) = data.try_into()
        && let Ok(frame) = Frame::decode(bytes)
    {
        assert_eq!(&frame.encode(), bytes);
    }
});
