//! Containers that hold one structure, such as snapshots and configs.

use super::build::{ContainerBuilder, Sealed};
use super::open::{ContainerError, Opener};
use crate::compress::SegmentDecompressor;
use crate::crypto::container_keys::{OpenKeys, SealKeys};
use crate::format::codec::DecodeError;
use crate::format::container::{ContainerKind, HEADER_LEN_BYTES, SegmentCodec};

/// Seals one structure; `random` must be fresh.
pub fn seal_single(
    keys: &SealKeys,
    kind: ContainerKind,
    random: &[u8; 32],
    plain: &[u8],
) -> Sealed {
    let mut builder = ContainerBuilder::new(kind, Vec::new());
    builder.push(SegmentCodec::Raw, plain, plain.len(), Vec::new());
    builder.finish(keys, random, &[])
}

/// Opens a container that holds one structure and returns the structure's bytes.
///
/// Every byte is authenticated: header, frame, body, padding and trailer.
pub fn open_single(
    keys: &OpenKeys,
    kind: ContainerKind,
    bytes: &[u8],
) -> Result<Vec<u8>, ContainerError> {
    let opener = Opener::from_header(keys, kind, bytes)?;
    let (trailer, toc) = opener.whole_toc(bytes)?;
    let mut stored = bytes[HEADER_LEN_BYTES..trailer.toc_offset as usize].to_vec();
    let mut plain = Vec::new();
    let frame = opener.segment(
        HEADER_LEN_BYTES as u64,
        &mut stored,
        &mut SegmentDecompressor::default(),
        &mut plain,
    )?;
    let counted = trailer.segment_count == 1 && trailer.raw_total == plain.len() as u64;
    if !toc.is_empty() || !counted || frame.stored_len() != stored.len() || frame.chunk_count != 0 {
        return Err(DecodeError::new("container", "holds more than one structure").into());
    }
    Ok(plain)
}
