//! Index run with a local copy: its table is in memory, its blocks are read on demand.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::filter::RunFilter;
use super::tail;
use crate::compress::SegmentDecompressor;
use crate::container::{ContainerError, Opener};
use crate::crypto::container_keys::RecordKeys;
use crate::format::container::{ContainerKind, HEADER_LEN_BYTES, TRAILER_LEN_BYTES};
use crate::format::run::{PackClass, PackRef, RunRecord, RunToc};
use crate::id::{ChunkId, ObjectId};
use crate::repo::cache::{Cache, LocalCopy};
use crate::repo::error::{Error, Result};
use crate::store::Key;

/// Cache group of whole runs.
pub const WHOLE: &str = "index";
/// Cache group of the tails of runs, see [`tail`].
pub(super) const TAILS: &str = "tail";
/// Cache group of filters of whole runs.
pub const FILTERS: &str = "filter";
/// Cache group of runs and packs that a repair has made but not stored yet.
pub const DRAFTS: &str = "repair";

/// Place of a chunk in a pack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location {
    /// The pack.
    pub pack: PackRef,
    /// Offset of its segment's frame in the pack, in bytes.
    pub offset: u32,
    /// Length of frame and segment in bytes.
    pub stored_len: u32,
    /// Its position in the segment.
    pub chunk: u16,
}

/// A run as the store lists it.
pub struct ListedRun {
    /// Its name.
    pub name: ObjectId,
    /// Key of its object.
    pub key: Key,
    /// Length of the object in bytes.
    pub len_bytes: u64,
}

/// An index run of which the cache has all, or header and tail.
pub struct Run {
    name: ObjectId,
    local: LocalPart,
    opener: Opener,
    toc: RunToc,
    filter: Option<RunFilter>,
}

/// The part of a run in the cache: its header, and its bytes from `from` on.
struct LocalPart {
    file: LocalCopy,
    /// Offset of the header in the file; the bytes from `from` on follow it.
    header_at: u64,
    from: u64,
    len_bytes: u64,
    /// The rest, if the cache has only the tail.
    remote: Option<RemotePart>,
}

/// The part of a run that only the store has.
pub struct RemotePart {
    /// Key of the run's object.
    pub key: Key,
    blocks_read: AtomicUsize,
}

impl RemotePart {
    /// Counts one more block that is read from the store, and returns the new count.
    pub fn count_block(&self) -> usize {
        self.blocks_read.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl LocalPart {
    fn read(&self, at: u64, len: usize) -> std::result::Result<Vec<u8>, ContainerError> {
        let header_len = HEADER_LEN_BYTES as u64;
        let place = match at.checked_sub(self.from) {
            Some(offset) => header_len + offset,
            None if at + len as u64 <= header_len => at,
            None => return Err(ContainerError::Short),
        };
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, self.header_at + place)
            .map_err(|_| ContainerError::Short)
            .map(|()| bytes)
    }
}

impl Run {
    /// Opens a run's local copy; reads its table and its filter, which is built if it is missing.
    pub fn open(cache: &Cache, keys: &RecordKeys, name: ObjectId) -> Result<Self> {
        Self::open_in(WHOLE, cache, keys, name)
    }

    /// Opens a run that a repair has made but not stored.
    pub fn open_draft(cache: &Cache, keys: &RecordKeys, name: ObjectId) -> Result<Self> {
        Self::open_in(DRAFTS, cache, keys, name)
    }

    fn open_in(
        group: &'static str,
        cache: &Cache,
        keys: &RecordKeys,
        name: ObjectId,
    ) -> Result<Self> {
        let file = cache.open_copy(group, &name.to_hex())?;
        let len_bytes = len_of(&file, group, &name)?;
        let local = LocalPart {
            file,
            header_at: 0,
            from: HEADER_LEN_BYTES as u64,
            len_bytes,
            remote: None,
        };
        let mut run = Self::open_local(keys, name, local)?;
        run.filter = run.load_filter(cache, keys)?;
        Ok(run)
    }

    /// Opens a copy of the tail of a run.
    ///
    /// Fails if the copy is of another run or damaged. Blocks are verified when they are read.
    pub fn open_tail(keys: &RecordKeys, file: LocalCopy, listed: &ListedRun) -> Result<Self> {
        let (name, len_bytes) = (listed.name, listed.len_bytes);
        let kept =
            len_of(&file, TAILS, &name)?.checked_sub((tail::LEN_BYTES + HEADER_LEN_BYTES) as u64);
        let mut stated = [0; tail::LEN_BYTES];
        let is_that =
            file.read_exact_at(&mut stated, 0).is_ok() && u64::from_le_bytes(stated) == len_bytes;
        let from = kept.filter(|_| is_that).and_then(|kept| len_bytes.checked_sub(kept));
        let from =
            from.filter(|from| *from >= HEADER_LEN_BYTES as u64).ok_or(ContainerError::Short);
        let from = from.map_err(Error::damaged(format!("index/{name}")))?;
        let remote = RemotePart { key: listed.key.clone(), blocks_read: AtomicUsize::new(0) };
        let run = Self::open_local(
            keys,
            name,
            LocalPart {
                file,
                header_at: tail::LEN_BYTES as u64,
                from,
                len_bytes,
                remote: Some(remote),
            },
        )?;
        if run.toc.meta_offset() < from {
            return Err(Error::damaged(format!("index/{name}"))(ContainerError::Short));
        }
        Ok(run)
    }

    fn open_local(keys: &RecordKeys, name: ObjectId, local: LocalPart) -> Result<Self> {
        let open_toc = || {
            let opener = Opener::from_header(
                keys.open(),
                ContainerKind::IndexRun,
                &local.read(0, HEADER_LEN_BYTES)?,
            )?;
            let last = local
                .len_bytes
                .checked_sub(TRAILER_LEN_BYTES as u64)
                .ok_or(ContainerError::Short)?;
            let trailer = opener.trailer(&local.read(last, TRAILER_LEN_BYTES)?, local.len_bytes)?;
            let toc = opener.toc(
                &trailer,
                &local.read(trailer.toc_offset, trailer.sealed_toc_len() as usize)?,
            )?;
            let toc = RunToc::decode(&toc)?;
            toc.check(&trailer)?;
            Ok((opener, toc))
        };
        let (opener, toc) = open_toc().map_err(Error::damaged(format!("index/{name}")))?;
        Ok(Self { name, local, opener, toc, filter: None })
    }

    fn load_filter(&self, cache: &Cache, keys: &RecordKeys) -> Result<Option<RunFilter>> {
        let file_name = self.name.to_hex();
        let stored = cache.read(FILTERS, &file_name);
        if let Some(filter) =
            stored.and_then(|bytes| RunFilter::decode(keys.cache_key(), &self.name.0, &bytes))
        {
            return Ok(Some(filter));
        }
        let mut ids = Vec::with_capacity(self.toc.record_count() as usize);
        for block in 0..self.block_count() {
            ids.extend(self.read_block(block)?.iter().map(|record| record.id));
        }
        let filter = RunFilter::build(ids.into_iter());
        if let Some(filter) = &filter {
            cache.write(FILTERS, &file_name, &filter.encode(keys.cache_key(), &self.name.0))?;
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

    /// Returns the run's length in bytes.
    pub fn len_bytes(&self) -> u64 {
        self.local.len_bytes
    }

    /// Returns the part of the run that only the store has; `None` if the cache has all of it.
    pub fn remote(&self) -> Option<&RemotePart> {
        self.local.remote.as_ref()
    }

    /// Returns the number of blocks of records.
    pub fn block_count(&self) -> usize {
        self.toc.fences.len()
    }

    /// Returns whether the run may hold `id`, by its filter alone.
    pub fn may_hold(&self, id: &ChunkId) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.may_hold(id))
    }

    /// Returns the blocks that can hold `id`: one of each part, or several neighbours with equal
    /// fences.
    ///
    /// Blocks with records of trees come first: they are few and stay in memory, and a lookup of a
    /// tree needs no others.
    pub fn candidate_blocks(&self, id: &ChunkId) -> impl Iterator<Item = usize> {
        let in_part = |class| self.toc.candidate_blocks(class, id);
        in_part(PackClass::Meta).chain(in_part(PackClass::Data))
    }

    /// Returns whether the cache has a block.
    pub fn is_here(&self, block: usize) -> bool {
        self.toc.block(block).offset >= self.local.from
    }

    /// Returns whether all blocks in the cache are intact.
    pub fn is_sound_here(&self) -> bool {
        (0..self.block_count())
            .filter(|block| self.is_here(*block))
            .all(|block| self.read_block(block).is_ok())
    }

    /// Reads, opens and checks one block in the cache.
    pub fn read_block(&self, block: usize) -> Result<Arc<[RunRecord]>> {
        let place = self.toc.block(block);
        let stored = self
            .local
            .read(place.offset, place.stored_len())
            .map_err(Error::damaged(format!("index/{}", self.name)))?;
        self.open_block(block, stored)
    }

    /// Opens and checks one block: its records must be sorted and refer to packs of this run.
    pub fn open_block(&self, block: usize, mut stored: Vec<u8>) -> Result<Arc<[RunRecord]>> {
        let mut raw = Vec::new();
        let opened = self.opener.segment(
            self.toc.block(block).offset,
            &mut stored,
            &mut SegmentDecompressor::default(),
            &mut raw,
        );
        let parsed = opened.and_then(|frame| Ok(self.toc.parse_block(block, &frame, &raw)?));
        parsed.map_err(Error::damaged(format!("index/{}", self.name)))
    }

    /// Returns the location in one of this run's records.
    pub fn location(&self, record: &RunRecord) -> Location {
        let pack = self.toc.packs[record.pack as usize];
        Location { pack, offset: record.offset, stored_len: record.stored_len, chunk: record.chunk }
    }
}

fn len_of(file: &LocalCopy, group: &str, name: &ObjectId) -> Result<u64> {
    file.len_bytes()
        .map_err(|source| Error::Cache { path: Path::new(group).join(name.to_hex()), source })
}
