//! Unit tests of the fixed layouts, at each limit and for each byte; the vectors have one example
//! of each refusal.

use super::*;
use crate::format::codec;

fn header() -> Header {
    Header {
        kind: ContainerKind::Data,
        flags: 0,
        repository: RepositoryId([1; 16]),
        salt: [2; 32],
        commitment: [3; 32],
    }
}

#[test]
fn each_bit_of_a_header_is_checked_or_returned() {
    let bytes = header().encode();
    assert_eq!(Header::decode(&bytes).unwrap(), header());
    for at in 0..HEADER_LEN_BYTES {
        for bit in 0..8 {
            let mut changed = bytes;
            changed[at] ^= 1 << bit;
            let decoded = Header::decode(&changed);
            let is_free = (header_at::REPOSITORY_ID..header_at::RESERVED).contains(&at);
            let is_kind = at == header_at::KIND && ContainerKind::from_byte(changed[at]).is_some();
            assert_eq!(decoded.is_ok(), is_free || is_kind, "byte {at}, bit {bit}");
            if let Ok(decoded) = decoded {
                assert_eq!(decoded.encode(), changed, "byte {at}, bit {bit}");
            }
        }
    }
}

#[test]
fn a_header_is_the_first_128_bytes() {
    let mut bytes = header().encode().to_vec();
    assert!(Header::decode(&bytes[..HEADER_LEN_BYTES - 1]).is_err());
    bytes.push(7);
    assert_eq!(Header::decode(&bytes).unwrap(), header());
}

#[test]
fn each_kind_has_one_number() {
    let known: Vec<u8> =
        (0..=u8::MAX).filter(|byte| ContainerKind::from_byte(*byte).is_some()).collect();
    assert_eq!(known, (1..=9).collect::<Vec<u8>>());
    for byte in known {
        assert_eq!(ContainerKind::from_byte(byte).map(|kind| kind as u8), Some(byte));
    }
}

fn frame(codec: SegmentCodec, body_len: u32, raw_len: u32, chunk_count: u32) -> Frame {
    Frame { body_len, raw_len, chunk_count, codec }
}

#[test]
fn frames_are_refused_one_above_each_limit() {
    let raw_max = u32::try_from(limits::SEGMENT_RAW_LEN_MAX_BYTES).unwrap();
    let chunks_max = u32::try_from(limits::CHUNKS_PER_SEGMENT_MAX).unwrap();
    let (raw, zstd) = (SegmentCodec::Raw, SegmentCodec::Zstd);
    for good in [
        frame(raw, 1, 1, 0),
        frame(raw, raw_max, raw_max, chunks_max),
        frame(zstd, raw_max - 1, raw_max, 1),
        frame(zstd, 1, 2, 1),
    ] {
        assert_eq!(Frame::decode(&good.encode()), Ok(good));
    }
    for bad in [
        frame(raw, 0, 0, 0),
        frame(raw, raw_max + 1, raw_max + 1, 1),
        frame(zstd, 1, raw_max + 1, 1),
        frame(raw, 1, 1, chunks_max + 1),
        // A raw body has the raw length, and a compressed one is shorter.
        frame(raw, 1, 2, 1),
        frame(raw, 2, 1, 1),
        frame(zstd, 2, 2, 1),
        frame(zstd, 3, 2, 1),
        frame(zstd, u32::MAX, u32::MAX, u32::MAX),
    ] {
        assert!(Frame::decode(&bad.encode()).is_err(), "{bad:?}");
    }
}

#[test]
fn each_reserved_byte_of_a_frame_is_zero_and_other_codecs_are_unknown() {
    let bytes = frame(SegmentCodec::Raw, 9, 9, 1).encode();
    for at in frame_at::RESERVED..FRAME_PLAIN_LEN_BYTES {
        let mut changed = bytes;
        changed[at] = 1;
        assert!(Frame::decode(&changed).is_err(), "byte {at}");
    }
    for codec in 2..=u8::MAX {
        let mut changed = bytes;
        changed[frame_at::CODEC] = codec;
        assert!(Frame::decode(&changed).is_err(), "codec {codec}");
    }
}

/// Returns a trailer and the length of the container that it fits.
fn trailer(toc_offset: u64, toc_len: u32, padding_len: u32) -> (Trailer, u64) {
    let trailer = Trailer { toc_offset, toc_len, padding_len, segment_count: 3, raw_total: 4 };
    let sealed_len = u64::from(toc_len) + u64::from(padding_len) + TAG_LEN_BYTES as u64;
    (trailer, toc_offset.wrapping_add(sealed_len + TRAILER_LEN_BYTES as u64))
}

#[test]
fn a_trailer_fits_exactly_one_length() {
    for (trailer, len) in [
        trailer(HEADER_LEN_BYTES as u64, 0, 0),
        trailer(1 << 20, 500, 12),
        // No sum of lengths overflows.
        trailer(1 << 20, u32::MAX, u32::MAX),
    ] {
        assert_eq!(Trailer::decode(&trailer.encode(), len), Ok(trailer));
        for wrong in [0, len - 1, len + 1, u64::MAX] {
            assert!(Trailer::decode(&trailer.encode(), wrong).is_err(), "{trailer:?} {wrong}");
        }
    }
}

#[test]
fn the_table_never_overlaps_the_header() {
    for toc_offset in [0, HEADER_LEN_BYTES as u64 - 1, u64::MAX - 90, u64::MAX] {
        let (trailer, len) = trailer(toc_offset, 5, 6);
        assert!(Trailer::decode(&trailer.encode(), len).is_err(), "{toc_offset}");
    }
}

#[test]
fn each_reserved_byte_of_a_trailer_is_zero() {
    let (trailer, len) = trailer(1 << 20, 500, 12);
    let reserved = (trailer_at::RESERVED..trailer_at::RAW_TOTAL)
        .chain(trailer_at::RESERVED_2..TRAILER_PLAIN_LEN_BYTES);
    for at in reserved {
        let mut changed = trailer.encode();
        changed[at] = 1;
        assert!(Trailer::decode(&changed, len).is_err(), "byte {at}");
    }
}

fn chunk(kind: ChunkKind, len: u32) -> ChunkRecord {
    ChunkRecord { kind, id: crate::id::ChunkId([5; 32]), len }
}

/// Method: lengths and counts at which the codec needs one more byte for a number.
#[test]
fn the_raw_length_of_a_segment_includes_its_table() {
    for len in [1, 250, 251, 65_535, 65_536, 4 << 20] {
        for count in [1, 2, 250, 251] {
            let chunks = vec![chunk(ChunkKind::Data, len); count];
            let table = SegmentTable {
                chunks: chunks.iter().map(|chunk| (chunk.kind, chunk.len)).collect(),
            };
            let table_len = codec::encode(&table).len() + SEGMENT_TABLE_LEN_BYTES;
            let record = SegmentRecord { stored_len: 0, chunks };
            let expected = u64::from(len) * count as u64 + table_len as u64;
            assert_eq!(record.raw_len(), expected, "{count} chunks of {len} bytes");
        }
    }
}

#[test]
fn file_content_and_nodes_are_in_different_packs() {
    let (data, meta) = (ContainerKind::Data, ContainerKind::Meta);
    for (kind, container, is_good) in [
        (ChunkKind::Data, data, true),
        (ChunkKind::Data, meta, false),
        (ChunkKind::Tree, data, false),
        (ChunkKind::Tree, meta, true),
        (ChunkKind::List, data, false),
        (ChunkKind::List, meta, true),
    ] {
        assert_eq!(chunk(kind, 1).check(container).is_ok(), is_good, "{kind:?} {container:?}");
        assert!(chunk(kind, 0).check(container).is_err(), "an empty chunk");
    }
}
