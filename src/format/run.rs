//! Index runs: records of the places of chunks, sorted by id in two parts.
//!
//! Spec: `format-spec/06-index.md`.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bincode::{Decode, Encode};

use super::codec::{self, DecodeError};
use super::container::{
    FRAME_LEN_BYTES, Frame, HEADER_LEN_BYTES, SegmentCodec, TAG_LEN_BYTES, Trailer,
};
use super::limits;
use crate::id::{ChunkId, ObjectId, SnapshotId};

/// Length of one record in bytes.
pub const RECORD_LEN_BYTES: usize = 44;
/// Records in a full block: the unit that is sealed and looked up.
pub const RECORDS_PER_BLOCK: usize = 372;

/// Offsets of a record's fields in bytes.
#[allow(missing_docs, reason = "the fields of the specification")]
pub mod record_at {
    /// Offsets in bytes.
    pub const ID: usize = 0;
    pub const PACK: usize = 32;
    pub const OFFSET: usize = 35;
    pub const STORED_LEN: usize = 39;
    pub const CHUNK: usize = 42;
}

/// Record of the place of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunRecord {
    /// The chunk.
    pub id: ChunkId,
    /// Position of its pack in the run's table (24 bits).
    pub pack: u32,
    /// Offset of its segment's frame in the pack, in bytes.
    pub offset: u32,
    /// Length of frame and segment in the pack in bytes (24 bits; segments are at most 8 MiB).
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
            offset: u32::from_le_bytes(
                bytes[record_at::OFFSET..record_at::STORED_LEN].try_into().expect("4 bytes"),
            ),
            stored_len: three(record_at::STORED_LEN),
            chunk: u16::from_le_bytes(bytes[record_at::CHUNK..].try_into().expect("2 bytes")),
        }
    }
}

/// Class of a pack.
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
    /// Records of the first part: of chunks whose packs are in `data/`.
    pub data_records: u64,
    /// Records of the second part: of chunks whose packs are in `meta/`.
    pub meta_records: u64,
    /// The highest generation that its writer had listed before it stored the first of these packs.
    pub generation: u64,
    /// The session that stored the packs; `None` in runs of collectors.
    pub session: Option<SnapshotId>,
    /// Names of the runs that this one replaces.
    pub replaces: Vec<ObjectId>,
    /// The packs, in the order that records refer to.
    pub packs: Vec<PackRef>,
    /// First id of each block, its first 8 bytes as a big-endian number; they strictly ascend
    /// within each part.
    pub fences: Vec<u64>,
}

/// The place and content of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockPlace {
    /// The class of the packs of its records.
    pub class: PackClass,
    /// The position of its first record among all of the run's.
    pub first_record: u64,
    /// Number of its records.
    pub records: usize,
    /// Offset of its frame in the run, in bytes.
    pub offset: u64,
}

impl BlockPlace {
    /// Returns the length of its frame and body in bytes.
    pub fn stored_len(&self) -> usize {
        FRAME_LEN_BYTES + self.records * RECORD_LEN_BYTES + TAG_LEN_BYTES
    }
}

impl RunToc {
    /// Parses the table and checks that counts fit each other, fences strictly ascend in each part,
    /// and no pack is there twice.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        let toc: Self = codec::decode("index run table", bytes)?;
        let (data, meta) = (blocks_of(toc.data_records), blocks_of(toc.meta_records));
        if data + meta != toc.fences.len() as u64 {
            return Err(DecodeError::new("index run table", "fences do not fit the records"));
        }
        if toc.generation > limits::GENERATION_MAX {
            return Err(DecodeError::new("index run table", "a generation above the limit"));
        }
        let (data, meta) = toc.fences.split_at(data as usize);
        // Ids are hashes: if two neighbours have the same fence, one was forged, to slow down
        // lookups.
        if ![data, meta].iter().all(|fences| fences.is_sorted_by(|a, b| a < b)) {
            return Err(DecodeError::new("index run table", "fences do not ascend"));
        }
        let names: HashSet<&ObjectId> = toc.packs.iter().map(|pack| &pack.name).collect();
        if names.len() < toc.packs.len() {
            return Err(DecodeError::new("index run table", "a pack stands in it twice"));
        }
        Ok(toc)
    }

    /// Checks that the trailer states the sums that follow from the table.
    pub fn check(&self, trailer: &Trailer) -> Result<(), DecodeError> {
        let stated = (u64::from(trailer.segment_count), trailer.toc_offset, trailer.raw_total);
        if stated
            != (
                self.fences.len() as u64,
                self.blocks_end(),
                self.record_count() * RECORD_LEN_BYTES as u64,
            )
        {
            return Err(DecodeError::new("index run table", "its sums do not fit the blocks"));
        }
        Ok(())
    }

    /// Returns the number of records in both parts.
    pub fn record_count(&self) -> u64 {
        self.data_records + self.meta_records
    }

    /// Returns the positions of the blocks of a part.
    pub fn blocks(&self, class: PackClass) -> Range<usize> {
        let data = blocks_of(self.data_records) as usize;
        match class {
            PackClass::Data => 0..data,
            PackClass::Meta => data..self.fences.len(),
        }
    }

    /// Returns the place of the block at this position; there must be one.
    pub fn block(&self, at: usize) -> BlockPlace {
        let data = self.blocks(PackClass::Data).end;
        let (class, part, from, to) = match at.checked_sub(data) {
            None => (PackClass::Data, at, 0, self.data_records),
            Some(part) => (PackClass::Meta, part, self.data_records, self.record_count()),
        };
        let first_record = from + (part * RECORDS_PER_BLOCK) as u64;
        let records = (to - first_record).min(RECORDS_PER_BLOCK as u64) as usize;
        BlockPlace { class, first_record, records, offset: offset_of(first_record, at) }
    }

    /// Returns the offset in the run of the records of packs in `meta/`, in bytes: reads of trees
    /// need only the bytes from here on.
    pub fn meta_offset(&self) -> u64 {
        offset_of(self.data_records, self.blocks(PackClass::Data).end)
    }

    /// Returns the offset of the table of contents in the run, in bytes.
    fn blocks_end(&self) -> u64 {
        offset_of(self.record_count(), self.fences.len())
    }

    /// Returns the blocks of a part that can hold `id`: one, or neighbours whose fences are equal.
    pub fn candidate_blocks(&self, class: PackClass, id: &ChunkId) -> Range<usize> {
        let fence = fence_of(id);
        let part = self.blocks(class);
        let fences = &self.fences[part.clone()];
        let end = fences.partition_point(|first| *first <= fence);
        let start = fences[..end].partition_point(|first| *first < fence);
        part.start + start.saturating_sub(1)..part.start + end
    }

    /// Parses the raw bytes of the block at this position, which follow `frame`, and checks
    /// that they are what the table says.
    pub fn parse_block(
        &self,
        at: usize,
        frame: &Frame,
        raw: &[u8],
    ) -> Result<Arc<[RunRecord]>, DecodeError> {
        let place = self.block(at);
        if frame.codec != SegmentCodec::Raw || frame.chunk_count != 0 {
            return Err(DecodeError::new("index block", "it is compressed, or states chunks"));
        }
        if raw.len() != place.records * RECORD_LEN_BYTES {
            return Err(DecodeError::new("index block", "another number of records than stated"));
        }
        let records: Arc<[RunRecord]> =
            raw.chunks_exact(RECORD_LEN_BYTES).map(RunRecord::decode).collect();
        if !records.is_sorted_by(|a, b| a.id < b.id) {
            return Err(DecodeError::new("index block", "records are not sorted"));
        }
        if fence_of(&records[0].id) != self.fences[at] {
            return Err(DecodeError::new(
                "index block",
                "its first record is not that of its fence",
            ));
        }
        let is_of_part = |record: &RunRecord| {
            self.packs.get(record.pack as usize).is_some_and(|pack| pack.class == place.class)
        };
        if !records.iter().all(is_of_part) {
            return Err(DecodeError::new(
                "index block",
                "records refer to nothing, or to packs of the other part",
            ));
        }
        Ok(records)
    }
}

/// Returns the number of blocks of a part with so many records.
fn blocks_of(records: u64) -> u64 {
    records.div_ceil(RECORDS_PER_BLOCK as u64)
}

/// Returns the offset in the run, in bytes, after this many records in this many blocks.
fn offset_of(records: u64, blocks: usize) -> u64 {
    HEADER_LEN_BYTES as u64
        + records * RECORD_LEN_BYTES as u64
        + (blocks * (FRAME_LEN_BYTES + TAG_LEN_BYTES)) as u64
}

/// Returns the first eight bytes of an id as a number that sorts like the id.
pub fn fence_of(id: &ChunkId) -> u64 {
    u64::from_be_bytes(id.0[..8].try_into().expect("8 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn toc(data_records: u64, meta_records: u64) -> RunToc {
        let fences = (0..blocks_of(data_records)).chain(0..blocks_of(meta_records)).collect();
        RunToc { data_records, meta_records, fences, ..RunToc::default() }
    }

    #[test]
    fn blocks_follow_each_other_in_both_parts() {
        const FULL: u64 = RECORDS_PER_BLOCK as u64;
        for counts in [
            (0, 0),
            (1, 0),
            (0, 1),
            (1, 1),
            (FULL, FULL),
            (FULL + 1, 3 * FULL - 1),
            (5 * FULL, 1),
            (0, 2 * FULL + 7),
        ] {
            let toc = toc(counts.0, counts.1);
            let (mut offset, mut records) = (HEADER_LEN_BYTES as u64, 0);
            for class in [PackClass::Data, PackClass::Meta] {
                let mut in_part = 0;
                if class == PackClass::Meta {
                    assert_eq!(toc.meta_offset(), offset, "{counts:?}");
                }
                for at in toc.blocks(class) {
                    let block = toc.block(at);
                    assert_eq!(
                        (block.class, block.first_record, block.offset),
                        (class, records, offset),
                        "{counts:?}"
                    );
                    assert!(
                        block.records == RECORDS_PER_BLOCK
                            || at + 1 == toc.blocks(class).end && block.records > 0
                    );
                    in_part += block.records as u64;
                    records += block.records as u64;
                    offset += block.stored_len() as u64;
                }
                assert_eq!(in_part, if class == PackClass::Data { counts.0 } else { counts.1 });
            }
            assert_eq!((toc.record_count(), toc.blocks_end()), (records, offset), "{counts:?}");
            assert_eq!(toc.blocks(PackClass::Meta).end, toc.fences.len());
        }
    }

    #[test]
    fn equal_fences_and_doubled_packs_are_refused() {
        const FULL: u64 = RECORDS_PER_BLOCK as u64;
        let decode = |toc: &RunToc| RunToc::decode(&codec::encode(toc));
        let pack =
            |class, name| PackRef { class, name: ObjectId([name; 32]), len: 0, salt: [0; 32] };
        let good = RunToc {
            packs: vec![pack(PackClass::Data, 1), pack(PackClass::Meta, 2)],
            fences: vec![4, 5, 4, 5],
            ..toc(2 * FULL, 2 * FULL)
        };
        decode(&good).unwrap();
        for fences in [vec![4, 4, 4, 5], vec![4, 5, 5, 5], vec![5, 4, 4, 5]] {
            decode(&RunToc { fences, ..good.clone() }).unwrap_err();
        }
        for class in [PackClass::Data, PackClass::Meta] {
            let packs = [&good.packs[..], &[pack(class, 1)]].concat();
            decode(&RunToc { packs, ..good.clone() }).unwrap_err();
        }
    }

    #[test]
    fn candidates_are_sought_in_each_part_alone() {
        const FULL: u64 = RECORDS_PER_BLOCK as u64;
        let id = |fence: u64| {
            ChunkId([fence.to_be_bytes(), [7; 8], [7; 8], [7; 8]].concat().try_into().unwrap())
        };
        let toc = RunToc { fences: vec![10, 20, 20, 30, 5, 25], ..toc(4 * FULL, 2 * FULL) };
        for (fence, data, meta) in [
            (4, 0..0, 4..4),
            (7, 0..0, 4..5),
            (10, 0..1, 4..5),
            (19, 0..1, 4..5),
            (20, 0..3, 4..5),
            (27, 2..3, 5..6),
            (99, 3..4, 5..6),
        ] {
            assert_eq!(toc.candidate_blocks(PackClass::Data, &id(fence)), data, "{fence}");
            assert_eq!(toc.candidate_blocks(PackClass::Meta, &id(fence)), meta, "{fence}");
        }
    }
}
