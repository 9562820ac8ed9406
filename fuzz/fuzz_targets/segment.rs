//! Raw segments: the chunks of whatever is accepted make the same segment again.
#![no_main]

use drumlin::container::{Segment, SegmentBuilder};
use drumlin::id::ChunkId;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(segment) = Segment::parse(data.to_vec()) {
        let mut again = SegmentBuilder::new(Vec::new());
        segment.chunks().for_each(|(kind, bytes)| again.push(kind, ChunkId([0; 32]), bytes));
        assert_eq!(again.finish().0, data);
    }
});
