//! Raw segment: chunks, a table of their lengths, and the table's length.

use std::ops::Range;

use crate::format::codec::{self, DecodeError};
use crate::format::container::{ChunkKind, ChunkRecord, SEGMENT_TABLE_LEN_BYTES, SegmentTable};
use crate::format::limits;
use crate::id::ChunkId;

/// A raw segment that is being built.
pub struct SegmentBuilder {
    raw: Vec<u8>,
    chunks: Vec<ChunkRecord>,
}

impl SegmentBuilder {
    /// Starts a segment in `buffer`, whose memory is reused.
    pub fn new(mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self { raw: buffer, chunks: Vec::new() }
    }

    /// Returns the length of all chunks so far in bytes.
    pub fn len_bytes(&self) -> usize {
        self.raw.len()
    }

    /// Returns whether no chunk was added yet.
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }

    /// Returns whether the segment has the largest number of chunks.
    pub fn is_full(&self) -> bool {
        self.chunks.len() >= limits::CHUNKS_PER_SEGMENT_MAX
    }

    /// Appends a chunk.
    pub fn push(&mut self, kind: ChunkKind, id: ChunkId, plaintext: &[u8]) {
        let len = u32::try_from(plaintext.len()).expect("chunks are at most 4 MiB");
        self.raw.extend_from_slice(plaintext);
        self.chunks.push(ChunkRecord { kind, id, len });
    }

    /// Returns the raw segment and its chunks.
    pub fn finish(mut self) -> (Vec<u8>, Vec<ChunkRecord>) {
        let table = SegmentTable {
            chunks: self.chunks.iter().map(|chunk| (chunk.kind, chunk.len)).collect(),
        };
        let table = codec::encode(&table);
        self.raw.extend_from_slice(&table);
        self.raw.extend_from_slice(
            &u32::try_from(table.len()).expect("tables are short").to_le_bytes(),
        );
        (self.raw, self.chunks)
    }
}

/// A decoded segment: its raw bytes and the ranges of its chunks.
pub struct Segment {
    raw: Vec<u8>,
    chunks: Vec<(ChunkKind, Range<usize>)>,
}

impl Segment {
    /// Parses a raw segment; its chunks must fill it exactly.
    pub fn parse(raw: Vec<u8>) -> Result<Self, DecodeError> {
        let refuse = |why| DecodeError::new("segment", why);
        let (rest, table_len) =
            raw.split_last_chunk::<SEGMENT_TABLE_LEN_BYTES>().ok_or(refuse("too short"))?;
        let table_len = u32::from_le_bytes(*table_len) as usize;
        let table_at =
            rest.len().checked_sub(table_len).ok_or(refuse("its table is longer than itself"))?;
        let table: SegmentTable = codec::decode("segment table", &rest[table_at..])?;
        if table.chunks.is_empty() || table.chunks.len() > limits::CHUNKS_PER_SEGMENT_MAX {
            return Err(refuse("no chunk or too many"));
        }
        if table.chunks.iter().any(|(_, len)| *len == 0) {
            return Err(refuse("an empty chunk"));
        }
        let mut at = 0usize;
        let mut chunks = Vec::with_capacity(table.chunks.len());
        for (kind, len) in table.chunks {
            let end = at
                .checked_add(len as usize)
                .filter(|end| *end <= table_at)
                .ok_or(refuse("chunks overrun it"))?;
            chunks.push((kind, at..end));
            at = end;
        }
        if at != table_at {
            return Err(refuse("chunks do not fill it"));
        }
        Ok(Self { raw, chunks })
    }

    /// Returns kind and bytes of the chunk at `position`, or `None` after the last.
    pub fn chunk(&self, position: usize) -> Option<(ChunkKind, &[u8])> {
        self.chunks.get(position).map(|(kind, range)| (*kind, &self.raw[range.clone()]))
    }

    /// Returns all chunks in order.
    pub fn chunks(&self) -> impl ExactSizeIterator<Item = (ChunkKind, &[u8])> {
        self.chunks.iter().map(|(kind, range)| (*kind, &self.raw[range.clone()]))
    }

    /// Returns the memory that the segment takes, in bytes.
    pub fn memory_bytes(&self) -> usize {
        self.raw.capacity() + self.chunks.len() * size_of::<(ChunkKind, Range<usize>)>()
    }

    /// Returns the buffer for reuse.
    pub fn into_buffer(self) -> Vec<u8> {
        self.raw
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(chunks: usize) -> SegmentBuilder {
        let mut builder = SegmentBuilder::new(vec![9; 10]);
        (0..chunks).for_each(|_| builder.push(ChunkKind::Data, ChunkId([1; 32]), b"ab"));
        builder
    }

    #[test]
    fn a_segment_knows_its_length_and_when_it_is_full() {
        let (none, two) = (segment(0), segment(2));
        assert!(none.is_empty() && none.len_bytes() == 0 && !none.is_full());
        assert!(!two.is_empty() && two.len_bytes() == 4);
        assert!(!segment(limits::CHUNKS_PER_SEGMENT_MAX - 1).is_full());
        assert!(segment(limits::CHUNKS_PER_SEGMENT_MAX).is_full());
    }

    #[test]
    fn a_segment_has_one_chunk_at_least_and_as_many_as_the_limit() {
        let parse = |chunks| Segment::parse(segment(chunks).finish().0);
        assert!(parse(0).is_err() && parse(limits::CHUNKS_PER_SEGMENT_MAX + 1).is_err());
        assert_eq!(parse(limits::CHUNKS_PER_SEGMENT_MAX).unwrap().chunks().len(), 65_535);
        let raw = segment(2).finish().0;
        let parsed = Segment::parse(raw.clone()).unwrap();
        assert_eq!(parsed.chunk(1), Some((ChunkKind::Data, &b"ab"[..])));
        assert_eq!(parsed.chunk(2), None);
        assert_eq!(parsed.into_buffer(), raw);
    }
}
