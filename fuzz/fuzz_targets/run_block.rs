//! Blocks of index runs: what is accepted has as many records as the table says, sorted, each of a
//! pack that the table names.
#![no_main]

use drumlin::format::container::{Frame, SegmentCodec};
use drumlin::format::run::{RECORD_LEN_BYTES, RunToc};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((len, rest)) = data.split_first_chunk() else { return };
    let Some((toc, raw)) = rest.split_at_checked(u16::from_le_bytes(*len).into()) else { return };
    let Ok(toc) = RunToc::decode(toc) else { return };
    let frame = Frame {
        body_len: raw.len() as u32,
        raw_len: raw.len() as u32,
        chunk_count: 0,
        codec: SegmentCodec::Raw,
    };
    for at in 0..toc.fences.len().min(8) {
        if let Ok(records) = toc.parse_block(at, &frame, raw) {
            assert_eq!(records.len() * RECORD_LEN_BYTES, raw.len());
            assert!(records.is_sorted_by(|a, b| a.id < b.id));
            assert!(records.iter().all(|record| toc.packs.get(record.pack as usize).is_some()));
        }
    }
});
