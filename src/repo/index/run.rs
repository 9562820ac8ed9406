//! One index run as a local file: table in memory, blocks read and opened on demand.

use std::path::Path;
use std::sync::Arc;

use super::filter::RunFilter;
use crate::compress::SegmentDecompressor;
use crate::container::{ContainerError, Opener};
use crate::crypto::keyring::Keyring;
use crate::format::container::{ContainerKind, HEADER_LEN_BYTES, TRAILER_LEN_BYTES};
use crate::format::run::{PackClass, PackRef, RunRecord, RunToc};
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
            toc.check(&trailer)?;
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
        let mut ids = Vec::with_capacity(self.toc.record_count() as usize);
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

    /// Returns the blocks that can hold `id`: of each part one, or neighbours whose fences are equal.
    ///
    /// Those of trees come first: they are few, so they stay in memory, and who looks for trees reads no others.
    pub fn candidate_blocks(&self, id: &ChunkId) -> impl Iterator<Item = usize> {
        let in_part = |class| self.toc.candidate_blocks(class, id);
        in_part(PackClass::Meta).chain(in_part(PackClass::Data))
    }

    /// Reads and opens one block; its records must be sorted and refer to packs of this run.
    pub fn read_block(&self, block: usize) -> Result<Arc<[RunRecord]>> {
        self.try_read_block(block).map_err(Error::damaged(format!("index/{}", self.name)))
    }

    fn try_read_block(&self, block: usize) -> std::result::Result<Arc<[RunRecord]>, ContainerError> {
        let place = self.toc.block(block);
        let mut stored = vec![0; place.stored_len()];
        self.file.read_exact_at(&mut stored, place.offset).map_err(|_| ContainerError::Short)?;
        let mut raw = Vec::new();
        self.opener.segment(place.offset, &mut stored, &mut SegmentDecompressor::default(), &mut raw)?;
        Ok(self.toc.parse_block(block, &raw)?)
    }

    /// Returns the location that one of this run's records states.
    pub fn location(&self, record: &RunRecord) -> Location {
        let pack = self.toc.packs[record.pack as usize];
        Location { pack, offset: record.offset, stored_len: record.stored_len, chunk: record.chunk }
    }
}
