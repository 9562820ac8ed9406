//! Verification of a whole pack, which trusts no part of it.

use super::open::{ContainerError, Opener};
use super::segment::Segment;
use crate::compress::SegmentDecompressor;
use crate::crypto::container_keys::OpenKeys;
use crate::crypto::id_keys::IdKeys;
use crate::format::codec::DecodeError;
use crate::format::container::{ContainerKind, Frame, HEADER_LEN_BYTES, PackToc, SegmentRecord};

/// Opens every part of a whole pack in memory and checks that header, frames, segments, chunk ids,
/// table of contents and trailer agree; returns the table of contents.
///
/// Spec: `format-spec/04-container.md`, section "What a checker checks".
pub fn verify_pack(
    keys: &OpenKeys,
    ids: &IdKeys,
    kind: ContainerKind,
    bytes: &[u8],
) -> Result<PackToc, ContainerError> {
    let opener = Opener::from_header(keys, kind, bytes)?;
    let toc = opener.pack_toc(bytes)?;
    let mut decompressor = SegmentDecompressor::default();
    let (mut offset, mut raw) = (HEADER_LEN_BYTES, Vec::new());
    for record in &toc.segments {
        let end = offset + record.stored_len as usize;
        let mut stored = bytes.get(offset..end).ok_or(ContainerError::Short)?.to_vec();
        let frame = opener.segment(offset as u64, &mut stored, &mut decompressor, &mut raw)?;
        raw = verify_segment(ids, record, &frame, raw)?.into_buffer();
        offset = end;
    }
    Ok(toc)
}

/// Checks a raw segment against its frame, its record in the table of contents, and its chunks'
/// ids.
pub fn verify_segment(
    ids: &IdKeys,
    record: &SegmentRecord,
    frame: &Frame,
    raw: Vec<u8>,
) -> Result<Segment, DecodeError> {
    let refuse = |why| Err(DecodeError::new("segment", why));
    if frame.stored_len() != record.stored_len as usize
        || frame.chunk_count as usize != record.chunks.len()
    {
        return refuse("its frame and the table of contents differ");
    }
    let segment = Segment::parse(raw)?;
    if segment.chunks().len() != record.chunks.len() {
        return refuse("its table and the table of contents differ");
    }
    for ((kind, plaintext), chunk) in segment.chunks().zip(&record.chunks) {
        if kind != chunk.kind || plaintext.len() != chunk.len as usize {
            return refuse("its table and the table of contents differ");
        }
        if ids.chunk_id(kind, plaintext) != chunk.id {
            return refuse("a chunk does not have its id");
        }
    }
    Ok(segment)
}
