//! Index runs: where chunks are, sorted by id. Spec: `format-spec/06-index.md`.

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use crate::id::{ChunkId, ObjectId, SnapshotId};

/// Length of one record in bytes.
pub const RECORD_LEN_BYTES: usize = 44;
/// Records in a full block: the unit that is sealed and looked up.
pub const RECORDS_PER_BLOCK: usize = 372;

/// Offsets of a record's fields in bytes.
pub mod record_at {
    /// Offsets in bytes.
    pub const ID: usize = 0;
    pub const PACK: usize = 32;
    pub const OFFSET: usize = 35;
    pub const STORED_LEN: usize = 39;
    pub const CHUNK: usize = 42;
}

/// Where a chunk is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The chunk.
    pub id: ChunkId,
    /// Position of its pack in the run's table (24 bits).
    pub pack: u32,
    /// Where its segment's frame starts in the pack, in bytes.
    pub offset: u32,
    /// Bytes of frame and segment in the pack (24 bits; segments are at most 8 MiB).
    pub stored_len: u32,
    /// Its position in the segment.
    pub chunk: u16,
}

impl RunRecord {
    /// Appends the record's bytes.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.id.0);
        out.extend_from_slice(&self.pack.to_le_bytes()[..3]);
        out.extend_from_slice(&self.offset.to_le_bytes());
        out.extend_from_slice(&self.stored_len.to_le_bytes()[..3]);
        out.extend_from_slice(&self.chunk.to_le_bytes());
    }

    /// Parses one record from exactly [`RECORD_LEN_BYTES`] bytes.
    pub fn decode(bytes: &[u8]) -> Self {
        let three = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], 0]);
        Self {
            id: ChunkId(bytes[..32].try_into().expect("32 bytes")),
            pack: three(record_at::PACK),
            offset: u32::from_le_bytes(bytes[record_at::OFFSET..record_at::STORED_LEN].try_into().expect("4 bytes")),
            stored_len: three(record_at::STORED_LEN),
            chunk: u16::from_le_bytes(bytes[record_at::CHUNK..].try_into().expect("2 bytes")),
        }
    }
}

/// Which class a pack belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Encode, Decode)]
pub enum PackClass {
    /// `data/`: file content.
    Data,
    /// `meta/`: tree and list nodes.
    Meta,
}

/// One pack that a run names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct PackRef {
    /// Its class.
    pub class: PackClass,
    /// Its name.
    pub name: ObjectId,
    /// Its length in bytes.
    pub len: u32,
    /// Its salt, so that a segment can be opened without reading the pack's header.
    pub salt: [u8; 32],
}

/// The table of contents of an index run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Encode, Decode)]
pub struct RunToc {
    /// Records in all blocks.
    pub record_count: u64,
    /// The highest generation that its writer had listed before it stored the first of these packs.
    pub generation: u64,
    /// The session that stored the packs; `None` in runs of collectors.
    pub session: Option<SnapshotId>,
    /// Names of the runs that this one replaces.
    pub replaces: Vec<ObjectId>,
    /// The packs, in the order that records refer to.
    pub packs: Vec<PackRef>,
    /// First id of each block, its first 8 bytes as a big-endian number.
    pub fences: Vec<u64>,
}

impl RunToc {
    /// Parses the table and checks that counts fit each other and fences ascend.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let toc: Self = codec::decode("index run table", bytes)?;
        let blocks = toc.record_count.div_ceil(RECORDS_PER_BLOCK as u64);
        if blocks != toc.fences.len() as u64 || !toc.fences.is_sorted() {
            return Err(DecodeError::new("index run table", "fences do not fit the records"));
        }
        Ok(toc)
    }
}

/// Returns the first eight bytes of an id as a number that sorts like the id.
pub fn fence_of(id: &ChunkId) -> u64 {
    u64::from_be_bytes(id.0[..8].try_into().expect("8 bytes"))
}
