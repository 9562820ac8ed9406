//! One index run as a local file: table in memory, blocks read and opened on demand.

use std::path::Path;
use std::sync::Arc;

use super::filter::RunFilter;
use crate::compress::SegmentDecompressor;
use crate::container::{ContainerError, Opener};
use crate::crypto::keyring::Keyring;
use crate::format::codec::DecodeError;
use crate::format::container::{ContainerKind, FRAME_LEN_BYTES, HEADER_LEN_BYTES, TAG_LEN_BYTES, TRAILER_LEN_BYTES};
use crate::format::run::{PackRef, RECORD_LEN_BYTES, RECORDS_PER_BLOCK, RunRecord, RunToc, fence_of};
use crate::id::{ChunkId, ObjectId};
use crate::repo::cache::{Cache, LocalCopy};
use crate::repo::error::{Error, Result};

/// Where a chunk lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// Its pack.
    pub pack: PackRef,
    /// Where its segment's frame starts in the pack, in bytes.
    pub offset: u32,
    /// Bytes of frame and segment.
    pub stored_len: u32,
    /// Its position in the segment.
    pub chunk: u16,
}

/// An index run that lies in the local cache.
pub struct Run {
    name: ObjectId,
    file: LocalCopy,
    opener: Opener,
    toc: RunToc,
    filter: Option<RunFilter>,
}

/// Bytes that a full block takes in the run's file.
const BLOCK_STRIDE_BYTES: usize = FRAME_LEN_BYTES + RECORDS_PER_BLOCK * RECORD_LEN_BYTES + TAG_LEN_BYTES;

impl Run {
    /// Opens a run's local copy; reads its table and its filter, which is made where it is missing.
    pub fn open(cache: &Cache, keyring: &Keyring, name: ObjectId) -> Result<Self> {
        let file = cache.open_copy("index", &name.to_hex())?;
        let len = file.len_bytes().map_err(|source| Error::Cache { path: Path::new("index").join(name.to_hex()), source })?;
        let read = |at: u64, len: usize| {
            let mut bytes = vec![0; len];
            file.read_exact_at(&mut bytes, at).map_err(|_| ContainerError::Short).map(|()| bytes)
        };
        let open_toc = || {
            let opener = Opener::from_header(keyring, ContainerKind::IndexRun, &read(0, HEADER_LEN_BYTES)?)?;
            let last = len.checked_sub(TRAILER_LEN_BYTES as u64).ok_or(ContainerError::Short)?;
            let trailer = opener.trailer(&read(last, TRAILER_LEN_BYTES)?, len)?;
            let toc = opener.toc(&trailer, &read(trailer.toc_offset, trailer.sealed_toc_len() as usize)?)?;
            let toc = RunToc::decode(&toc)?;
            if toc.fences.len() != trailer.segment_count as usize {
                return Err(DecodeError::new("index run table", "fences do not fit the blocks").into());
            }
            Ok((opener, toc))
        };
        let (opener, toc) = open_toc().map_err(Error::damaged(format!("index/{name}")))?;
        let mut run = Self { name, file, opener, toc, filter: None };
        run.filter = run.load_filter(cache, keyring)?;
        Ok(run)
    }

    fn load_filter(&self, cache: &Cache, keyring: &Keyring) -> Result<Option<RunFilter>> {
        let file_name = self.name.to_hex();
        let stored = cache.read("filter", &file_name);
        if let Some(filter) = stored.and_then(|bytes| RunFilter::decode(keyring.cache_key(), &self.name.0, &bytes)) {
            return Ok(Some(filter));
        }
        let mut ids = Vec::with_capacity(self.toc.record_count as usize);
        for block in 0..self.block_count() {
            ids.extend(self.read_block(block)?.iter().map(|record| record.id));
        }
        let filter = RunFilter::build(ids.into_iter());
        if let Some(filter) = &filter {
            cache.write("filter", &file_name, &filter.encode(keyring.cache_key(), &self.name.0))?;
        }
        Ok(filter)
    }

    /// Returns the run's name.
    pub fn name(&self) -> ObjectId {
        self.name
    }

    /// Returns the run's table of contents.
    pub fn toc(&self) -> &RunToc {
        &self.toc
    }

    /// Returns how many blocks of records there are.
    pub fn block_count(&self) -> usize {
        self.toc.fences.len()
    }

    /// Returns whether the run may hold `id`, by its filter alone.
    pub fn may_hold(&self, id: &ChunkId) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_hold(id))
    }

    /// Returns the blocks that can hold `id`: one, or neighbours whose fences are equal.
    pub fn candidate_blocks(&self, id: &ChunkId) -> std::ops::Range<usize> {
        let fence = fence_of(id);
        let end = self.toc.fences.partition_point(|first| *first <= fence);
        let start = self.toc.fences[..end].partition_point(|first| *first < fence);
        start.saturating_sub(1)..end
    }

    /// Reads and opens one block; its records must be sorted and refer to packs of this run.
    pub fn read_block(&self, block: usize) -> Result<Arc<[RunRecord]>> {
        self.try_read_block(block).map_err(Error::damaged(format!("index/{}", self.name)))
    }

    fn try_read_block(&self, block: usize) -> std::result::Result<Arc<[RunRecord]>, ContainerError> {
        let before = (block * RECORDS_PER_BLOCK) as u64;
        let count = (self.toc.record_count - before).min(RECORDS_PER_BLOCK as u64) as usize;
        let offset = (HEADER_LEN_BYTES + block * BLOCK_STRIDE_BYTES) as u64;
        let mut stored = vec![0; FRAME_LEN_BYTES + count * RECORD_LEN_BYTES + TAG_LEN_BYTES];
        self.file.read_exact_at(&mut stored, offset).map_err(|_| ContainerError::Short)?;
        let mut raw = Vec::new();
        self.opener.segment(offset, &mut stored, &mut SegmentDecompressor::default(), &mut raw)?;
        if raw.len() != count * RECORD_LEN_BYTES {
            return Err(DecodeError::new("index block", "another number of records than stated").into());
        }
        let records: Arc<[RunRecord]> = raw.chunks_exact(RECORD_LEN_BYTES).map(RunRecord::decode).collect();
        let valid = records.is_sorted_by(|a, b| a.id < b.id)
            && records.iter().all(|record| (record.pack as usize) < self.toc.packs.len())
            && records.first().is_some_and(|record| fence_of(&record.id) == self.toc.fences[block]);
        if valid {
            Ok(records)
        } else {
            Err(DecodeError::new("index block", "records are not sorted or refer to nothing").into())
        }
    }

    /// Returns the location that one of this run's records states.
    pub fn location(&self, record: &RunRecord) -> Location {
        let pack = self.toc.packs[record.pack as usize];
        Location { pack, offset: record.offset, stored_len: record.stored_len, chunk: record.chunk }
    }
}
