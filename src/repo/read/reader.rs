//! Reader of chunks: from an id to verified bytes.
//!
//! The index is a hint: a pack may have been removed or be damaged, so a chunk is looked for in
//! every place that the index names before it counts as missing.
//!
//! Spec: `format-spec/06-index.md`, section 4, and `format-spec/13-commit.md`, section 5.

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
/// Number of openers that are kept, a few hundred bytes each.
const OPENERS_MAX: usize = 256;

/// Most packs with trees for which a hint is given: with more of them, a path needs only a few.
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

    /// Makes a reader for read-only commands, whose index is what the store holds now without
    /// damaged runs.
    ///
    /// Anyone who can write to the store can add a damaged run. It is reported
    /// ([`Repository::report_skipped_runs`]), and only chunks that no other run names cannot be
    /// read. A caller must not conclude from a chunk that is not found that it does not exist.
    pub fn tolerant(repository: &Arc<Repository>) -> Result<Arc<Self>> {
        let index = IndexSet::open_cached(repository.cache(), repository.records())?.skip_damaged();
        let reader = Self::with_index(repository, index);
        reader.sync()?;
        Ok(reader)
    }

    /// Makes a reader like [`Self::tolerant`] for lookups in trees and single files.
    ///
    /// Of long index runs in a remote store, only the tail is fetched, which has the records of
    /// trees; records of file content are fetched one block at a time. To read much content or the
    /// whole index, use [`Self::tolerant`].
    pub fn for_lookup(repository: &Arc<Repository>) -> Result<Arc<Self>> {
        let index = IndexSet::open_cached(repository.cache(), repository.records())?
            .with_partial_runs(repository);
        let reader = Self::with_index(repository, index.skip_damaged());
        reader.sync()?;
        reader.hint_tree_packs();
        Ok(reader)
    }

    /// Tells the store which packs may hold the path to a file, if they are few.
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

    /// Makes a reader whose index is what the local cache holds, without a request to the store.
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

    /// Returns another place of a chunk than those in the packs `gone`, which do not exist any
    /// more, and those in `wrong`, which do not hold it.
    ///
    /// Prefers a trusted place. `None` if there is no other: then the chunk is missing. The first
    /// call for a pack lists the index again, because a collector may have moved the chunk.
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
    /// If the pack is gone, or what it holds does not match the id, the chunk is looked for in
    /// other places: a collector may have moved it, a pack may be damaged, or a record of the index
    /// may be wrong. If no place has it, returns the first error, but the first error of damage if
    /// there was one.
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
            // An error of damage says more than one of a missing pack.
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

    /// Returns the bytes of a chunk from any other place than `wrong`; `None` if there is none.
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

    /// Fails unless exactly this place holds the chunk, and its bytes match its id.
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
    /// Sets the function that receives, once each, the errors of damaged index runs that readers
    /// skip.
    pub fn report_skipped_runs(&self, tell: impl Fn(&Error) + Send + Sync + 'static) {
        self.verified().skipped_runs.report_to(tell);
    }
}
