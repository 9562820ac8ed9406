//! Table of contents of a pack, and the table of each of its segments.
//!
//! A pack lists its chunks twice: at its end, so that one read finds all of them, and in each
//! segment, so that a truncated pack still yields its chunks.
//!
//! Spec: `format-spec/04-container.md`, sections 3 and 4.

use bincode::{Decode, Encode};

use super::ContainerKind;
use crate::format::codec::DecodeError;
use crate::id::ChunkId;

/// Length in bytes of the last field of a raw segment, which is the length of its table.
pub const SEGMENT_TABLE_LEN_BYTES: usize = 4;

/// Kind of a chunk; each kind has its own id key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Encode, Decode)]
pub enum ChunkKind {
    /// Part of a file's content.
    Data,
    /// A tree node.
    Tree,
    /// A list node.
    List,
}

/// One chunk in a segment's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct ChunkRecord {
    /// Its kind.
    pub kind: ChunkKind,
    /// Its id.
    pub id: ChunkId,
    /// Its length in bytes.
    pub len: u32,
}

impl ChunkRecord {
    /// Checks that the chunk is not empty, and its kind fits the container.
    pub fn check(&self, container: ContainerKind) -> Result<(), DecodeError> {
        let fits = (container == ContainerKind::Data) == (self.kind == ChunkKind::Data);
        if !fits || self.len == 0 {
            return Err(DecodeError::new(
                "chunk record",
                "empty, or of a kind that this container never holds",
            ));
        }
        Ok(())
    }
}

/// One segment in a pack's table of contents.
#[derive(Clone, Debug, PartialEq, Eq, Encode, Decode)]
pub struct SegmentRecord {
    /// Length of its frame and body in the container in bytes.
    pub stored_len: u32,
    /// Its chunks in order; together they are the raw segment without its table.
    pub chunks: Vec<ChunkRecord>,
}

impl SegmentRecord {
    /// Returns the length in bytes of the raw segment: its chunks, their table, and the table's
    /// length.
    pub fn raw_len(&self) -> u64 {
        let number = |value: u64| {
            if value < 251 {
                1
            } else if value < 1 << 16 {
                3
            } else {
                5
            }
        };
        let chunks =
            self.chunks.iter().map(|chunk| u64::from(chunk.len) + 1 + number(u64::from(chunk.len)));
        chunks.sum::<u64>() + number(self.chunks.len() as u64) + SEGMENT_TABLE_LEN_BYTES as u64
    }
}

/// The table of contents of a data or meta pack: its segments from the front, without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct PackToc {
    /// The segments.
    pub segments: Vec<SegmentRecord>,
}

/// The table of kinds and lengths that ends each raw segment, so that a truncated pack still yields
/// its chunks.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct SegmentTable {
    /// Kind and length in bytes of each chunk.
    pub chunks: Vec<(ChunkKind, u32)>,
}
