//! The way from a chunk id to its verified bytes.
//!
//! The index is a hint: what it names may have been moved, or be damaged, so a chunk is looked for
//! at every place that it has before it counts as missing. Spec: `format-spec/06-index.md`,
//! section 4, and `format-spec/13-commit.md`, section 5.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use super::meta_packs::TreePacks;
use crate::compress::SegmentDecompressor;
use crate::container::{Opener, Segment};
use crate::crypto::container_keys::OpenKeys;
use crate::format::codec::DecodeError;
use crate::format::container::ChunkKind;
use crate::format::run::PackClass;
use crate::id::{ChunkId, ObjectId};
use crate::repo::cache::lru::ByteLru;
use crate::repo::error::{Error, Result};
use crate::repo::index::{ChunkIndex, IndexSet, Location};
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::store::Key;
use crate::sync::lock;

/// Memory for decoded segments in bytes.
const SEGMENT_CACHE_BYTES: usize = 24 << 20;
/// Openers that are kept, a few hundred bytes each.
const OPENERS_MAX: usize = 256;

/// Of more packs with trees than these it cannot be said which a path leads through.
const HINTED_PACKS_MAX: usize = 16;

/// Reads chunks of one repository; shared between threads.
pub struct Reader {
    chunk_index: Arc<ChunkIndex>,
    keys: OpenKeys,
    segments: Mutex<ByteLru<(ObjectId, u32), Arc<Segment>>>,
    pub(super) openers: Mutex<ByteLru<ObjectId, Arc<Opener>>>,
    pub(super) tree_packs: TreePacks,
    pub(super) decompressors: Mutex<Vec<SegmentDecompressor>>,
}

impl Reader {
    /// Makes a reader whose index is what the store holds now; fails if a run is damaged.
    pub fn new(repository: &Arc<Repository>) -> Result<Arc<Self>> {
        let reader = Self::offline(repository)?;
        reader.sync()?;
        Ok(reader)
    }

    /// Makes a reader for looking, whose index is what the store holds now without the runs that
    /// are damaged.
    ///
    /// Anybody may have added one; it is told ([`Repository::report_skipped_runs`]), and what is then
    /// missing is missing only where it is wanted. Nothing may be concluded from that a chunk is
    /// not found.
    pub fn tolerant(repository: &Arc<Repository>) -> Result<Arc<Self>> {
        let index = IndexSet::open_cached(repository.cache(), repository.records())?.skip_damaged();
        let reader = Self::with_index(repository, index);
        reader.sync()?;
        Ok(reader)
    }

    /// Makes a reader like [`Self::tolerant`] for looking at trees and at single files.
    ///
    /// Of long index runs in a distant store only the end is fetched, where the records of trees
    /// are, and the records of file content one block at a time. Who reads much content, or all of
    /// the index, uses [`Self::tolerant`].
    pub fn for_lookup(repository: &Arc<Repository>) -> Result<Arc<Self>> {
        let index = IndexSet::open_cached(repository.cache(), repository.records())?
            .with_partial_runs(repository);
        let reader = Self::with_index(repository, index.skip_damaged());
        reader.sync()?;
        reader.hint_tree_packs();
        Ok(reader)
    }

    /// Tells the store in which packs the way to a file may lie, if they are few.
    fn hint_tree_packs(&self) {
        let runs = self.index().runs();
        let packs = runs
            .iter()
            .flat_map(|run| &run.toc().packs)
            .filter(|pack| pack.class == PackClass::Meta);
        let names: BTreeSet<ObjectId> = packs.map(|pack| pack.name).collect();
        if names.len() <= HINTED_PACKS_MAX {
            let keys: Vec<Key> =
                names.iter().map(|name| layout::pack_key(PackClass::Meta, name)).collect();
            self.repository().store().hint_reads(&keys);
        }
    }

    /// Makes a reader whose index is what lies in the local cache; the store is not asked.
    pub fn offline(repository: &Arc<Repository>) -> Result<Arc<Self>> {
        Ok(Self::with_index(
            repository,
            IndexSet::open_cached(repository.cache(), repository.records())?,
        ))
    }

    /// Makes a reader with these index runs.
    pub(in crate::repo) fn with_index(repository: &Arc<Repository>, runs: IndexSet) -> Arc<Self> {
        Self::over(&Arc::new(ChunkIndex::of(repository, runs)))
    }

    /// Makes a reader that finds chunks in an index which others use too, a session for example.
    pub(in crate::repo) fn over(chunk_index: &Arc<ChunkIndex>) -> Arc<Self> {
        Arc::new(Self {
            keys: chunk_index.repository().open_keys().clone(),
            chunk_index: chunk_index.clone(),
            segments: Mutex::new(ByteLru::new(SEGMENT_CACHE_BYTES)),
            openers: Mutex::new(ByteLru::new(OPENERS_MAX)),
            tree_packs: TreePacks::default(),
            decompressors: Mutex::default(),
        })
    }

    /// Returns the repository.
    pub fn repository(&self) -> &Arc<Repository> {
        self.chunk_index.repository()
    }

    /// Returns the index runs.
    pub fn index(&self) -> &Arc<IndexSet> {
        self.chunk_index.set()
    }

    /// Returns the index alone, for a session: it opens no packs.
    pub fn chunk_index(&self) -> &Arc<ChunkIndex> {
        &self.chunk_index
    }

    /// Returns what opens the packs.
    pub fn open_keys(&self) -> &OpenKeys {
        &self.keys
    }

    /// Makes the index what the store holds now.
    pub fn sync(&self) -> Result<()> {
        self.chunk_index.sync()
    }

    /// Returns a place of the chunk, or `None` if the index names none.
    pub fn locate(&self, id: &ChunkId) -> Result<Option<Location>> {
        self.chunk_index.locate(id)
    }

    /// See [`ChunkIndex::drop_bad_copies`].
    pub fn drop_bad_copies(&self) -> bool {
        self.chunk_index.drop_bad_copies()
    }

    /// Returns a chunk's bytes, verified; segments are cached, so neighbours cost nothing.
    pub fn read_chunk(&self, kind: ChunkKind, id: &ChunkId) -> Result<Vec<u8>> {
        let location = self.locate(id)?.ok_or(Error::MissingChunk { id: *id })?;
        self.with_chunk(&location, kind, id, <[u8]>::to_vec)
    }

    /// Returns another place of a chunk, because the packs in `gone` are not there, a collector may
    /// have moved what is in them, and it does not lie at the places in `wrong`.
    ///
    /// One that may be relied on if there is one; else any other. `None` if there is none: then the
    /// chunk is missing.
    fn other_place(
        &self,
        gone: &[ObjectId],
        wrong: &[Location],
        id: &ChunkId,
    ) -> Result<Option<Location>> {
        if let Some(last) = gone.last().filter(|last| !self.index().avoids(last)) {
            self.sync()?;
            self.index().avoid_pack(*last);
        }
        let mut places = self.index().places(id)?;
        places.retain(|place| {
            !gone.contains(&place.location.pack.name) && !wrong.contains(&place.location)
        });
        let best = places.iter().find(|place| place.is_trusted).or(places.first());
        Ok(best.map(|place| place.location))
    }

    /// Calls `use_bytes` with a chunk's verified bytes, without copying them.
    ///
    /// If its pack is not there (any more), or it is not there what its id promises, the chunk is
    /// looked for elsewhere: a collector may have moved it, a pack may be damaged, or the record
    /// that led there may be wrong. Only where no place has it, that is an error: the first one.
    pub fn with_chunk<T>(
        &self,
        location: &Location,
        kind: ChunkKind,
        id: &ChunkId,
        use_bytes: impl FnOnce(&[u8]) -> T,
    ) -> Result<T> {
        let mut location = *location;
        let (mut gone, mut wrong) = (Vec::new(), Vec::new());
        let mut first = None;
        let segment = loop {
            let read = self.cached_segment(&location).and_then(|segment| {
                self.chunk_of(&segment, &location, kind, id)?;
                Ok(segment)
            });
            let error = match read {
                Err(error) if error.is_damage() => error,
                read => break read?,
            };
            match error.is_not_found() {
                true => gone.push(location.pack.name),
                false => wrong.push(location),
            }
            let next = self.other_place(&gone, &wrong, id)?;
            // That something is damaged says more than that something else is not there.
            if first.as_ref().is_none_or(|first: &Error| first.is_not_found()) {
                first = Some(error);
            }
            match next {
                Some(next) => location = next,
                None => return Err(first.unwrap_or(Error::MissingChunk { id: *id })),
            }
        };
        let (_, bytes) =
            segment.chunk(usize::from(location.chunk)).ok_or(Error::WrongChunk { id: *id })?;
        Ok(use_bytes(bytes))
    }

    /// Returns the bytes of a chunk that does not lie at `wrong`, from any other place that the
    /// index has; `None` if there is none.
    pub fn read_elsewhere(
        &self,
        wrong: &Location,
        kind: ChunkKind,
        id: &ChunkId,
    ) -> Result<Option<Vec<u8>>> {
        let Some(other) = self.other_place(&[], std::slice::from_ref(wrong), id)? else {
            return Ok(None);
        };
        match self.with_chunk(&other, kind, id, <[u8]>::to_vec) {
            Err(error) if error.is_damage() => Ok(None),
            read => read.map(Some),
        }
    }

    /// Returns one chunk of a decoded segment after verifying its id.
    pub fn chunk_of<'a>(
        &self,
        segment: &'a Segment,
        location: &Location,
        kind: ChunkKind,
        id: &ChunkId,
    ) -> Result<&'a [u8]> {
        let (stored_kind, bytes) =
            segment.chunk(usize::from(location.chunk)).ok_or(Error::WrongChunk { id: *id })?;
        if stored_kind != kind || self.repository().ids().chunk_id(kind, bytes) != *id {
            return Err(Error::WrongChunk { id: *id });
        }
        Ok(bytes)
    }

    /// Makes sure that a chunk lies just there, and is what its id promises.
    pub fn verify(&self, location: &Location, kind: ChunkKind, id: &ChunkId) -> Result<()> {
        self.chunk_of(&*self.cached_segment(location)?, location, kind, id).map(drop)
    }

    fn cached_segment(&self, location: &Location) -> Result<Arc<Segment>> {
        let key = (location.pack.name, location.offset);
        if let Some(segment) = lock(&self.segments).get(&key) {
            return Ok(segment);
        }
        let segment = Arc::new(self.read_segment(location)?);
        lock(&self.segments).insert(key, segment.clone(), segment.memory_bytes());
        Ok(segment)
    }

    /// Parses a chunk that was read from the repository, naming the chunk if it breaks a rule.
    pub(in crate::repo) fn parsed<T>(
        id: &ChunkId,
        parsed: std::result::Result<T, DecodeError>,
    ) -> Result<T> {
        parsed.map_err(Error::malformed(format!("chunk {}", id.short())))
    }
}

impl Repository {
    /// Says who is told, once of each, of index runs that readers leave out because they are
    /// damaged.
    pub fn report_skipped_runs(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        self.verified().skipped_runs.report_to(tell);
    }
}
