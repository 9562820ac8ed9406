//! Set of index runs: the index as this process knows it.
//!
//! A chunk may have places in several runs, some of which must be avoided, so lookups ask all runs.
//!
//! Spec: `format-spec/06-index.md`, section 4.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::fetch::{self, PartialFetch, RemoteBlock};
use super::places::{Avoided, ChunkPlace, KnownRuns, Numbered};
use super::run::{Location, Run, WHOLE};
use crate::crypto::container_keys::RecordKeys;
use crate::format::run::RunRecord;
use crate::id::{ChunkId, ObjectId};
use crate::repo::cache::Cache;
use crate::repo::cache::lru::ByteLru;
use crate::repo::error::{Error, Result};
use crate::repo::open::Repository;
use crate::sync::{self, lock};

/// Memory for decoded blocks in bytes.
const BLOCK_CACHE_BYTES: usize = 8 << 20;

type Blocks = ByteLru<(ObjectId, usize), Arc<[RunRecord]>>;

struct BlockCache(Mutex<Blocks>);

impl Default for BlockCache {
    fn default() -> Self {
        Self(Mutex::new(ByteLru::new(BLOCK_CACHE_BYTES)))
    }
}

/// The union of all index runs that this process knows.
#[derive(Default)]
pub struct IndexSet {
    known: RwLock<KnownRuns>,
    blocks: BlockCache,
    /// Set if tails of long runs are enough.
    pub(super) partial: Option<PartialFetch>,
    /// Whether the set never changes, even if the store's runs do.
    is_frozen: bool,
    /// Whether damaged runs are skipped instead of being an error.
    pub(super) skips_damaged: bool,
    /// The runs that were skipped and their errors, until they are taken.
    pub(super) skipped: Mutex<Vec<(ObjectId, Error)>>,
}

impl IndexSet {
    /// Opens the runs in the local cache, without a request to the store; damaged copies are
    /// dropped.
    pub fn open_cached(cache: &Cache, keys: &RecordKeys) -> Result<Self> {
        let set = Self::default();
        for name in cache.names(WHOLE) {
            match ObjectId::from_hex(&name).map(|id| Run::open(cache, keys, id)) {
                Some(Ok(run)) => set.write().add(Arc::new(run)),
                _ => cache.remove(WHOLE, &name),
            }
        }
        Ok(set)
    }

    /// Lets the set fetch only the tails of long runs in a remote store: for lookups, not for
    /// reading whole runs.
    pub fn with_partial_runs(mut self, repository: &Arc<Repository>) -> Self {
        self.partial = Some(PartialFetch::new(repository));
        self
    }

    /// Lets the set skip damaged runs: for read-only commands, which report chunks that are then
    /// missing.
    pub fn skip_damaged(mut self) -> Self {
        self.skips_damaged = true;
        self
    }

    /// Returns the runs that were skipped since the last call, with their errors.
    pub fn take_skipped(&self) -> Vec<(ObjectId, Error)> {
        std::mem::take(&mut *lock(&self.skipped))
    }

    /// Opens exactly these runs from their local copies, without those that another of them
    /// replaces.
    pub fn open_these(cache: &Cache, keys: &RecordKeys, names: &[ObjectId]) -> Result<Self> {
        let runs = names
            .iter()
            .map(|name| Run::open(cache, keys, *name).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::of(runs))
    }

    /// Makes a set of open runs and of drafts of a repair. It never changes, because the store does
    /// not have the drafts.
    pub fn with_drafts(
        cache: &Cache,
        keys: &RecordKeys,
        mut runs: Vec<Arc<Run>>,
        drafts: &[ObjectId],
    ) -> Result<Self> {
        for name in drafts {
            runs.push(Arc::new(Run::open_draft(cache, keys, *name)?));
        }
        Ok(Self { is_frozen: true, ..Self::of(runs) })
    }

    fn of(runs: Vec<Arc<Run>>) -> Self {
        let replaced: HashSet<ObjectId> =
            runs.iter().flat_map(|run| run.toc().replaces.clone()).collect();
        let set = Self::default();
        let runs = runs.into_iter().filter(|run| !replaced.contains(&run.name()));
        runs.for_each(|run| set.write().add(run));
        set
    }

    /// Returns whether the set never changes.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Adds a run with these bytes, and writes a copy to the cache.
    pub fn add(
        &self,
        cache: &Cache,
        keys: &RecordKeys,
        name: ObjectId,
        bytes: &[u8],
    ) -> Result<()> {
        self.insert(Arc::new(fetch::keep_whole(cache, keys, name, bytes)?));
        Ok(())
    }

    /// Adds a run, unless it is known.
    pub(super) fn insert(&self, run: Arc<Run>) {
        let mut known = self.write();
        if known.runs.iter().all(|known| known.name() != run.name()) {
            known.add(run);
        }
    }

    /// Replaces a run by another form of it, unless it was dropped meanwhile.
    pub(super) fn exchange(&self, run: &Arc<Run>) {
        let mut known = self.write();
        known
            .runs
            .iter_mut()
            .filter(|known| known.name() == run.name())
            .for_each(|known| known.run = run.clone());
    }

    /// Returns the runs.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        self.read().runs.iter().map(|known| known.run.clone()).collect()
    }

    /// Returns the runs, each with the number of its first record.
    pub fn numbered_runs(&self) -> Vec<(u64, Arc<Run>)> {
        self.read().runs.iter().map(|known| (known.first, known.run.clone())).collect()
    }

    /// Returns the name of the run that has the record with this number.
    pub fn run_of(&self, number: u64) -> Option<ObjectId> {
        let known = self.read();
        let has_it = |run: &&Numbered| {
            number.checked_sub(run.first).is_some_and(|at| at < run.toc().record_count())
        };
        known.runs.iter().find(has_it).map(|run| run.name())
    }

    /// Sets the places to avoid.
    pub fn avoid(&self, avoided: Avoided) {
        self.write().avoid(avoided);
    }

    /// Returns whether there are no places to avoid.
    pub fn trusts_all(&self) -> bool {
        self.read().avoided.is_empty()
    }

    /// Returns whether a pack is avoided.
    pub fn avoids(&self, pack: &ObjectId) -> bool {
        self.read().avoided.packs.contains(pack)
    }

    /// Returns whether a session may rely on a pack: a trusted run names it, and it is not avoided.
    pub fn is_trusted_pack(&self, pack: &ObjectId) -> bool {
        self.read().is_trusted_pack(pack)
    }

    /// Trusts a pack again, because the collector spares it.
    pub fn trust_pack(&self, pack: &ObjectId) {
        self.write().avoided.packs.remove(pack);
    }

    /// Avoids one more pack, because it was found missing.
    pub fn avoid_pack(&self, pack: ObjectId) {
        self.write().avoided.packs.insert(pack);
    }

    /// Locks the runs for reading.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, KnownRuns> {
        sync::read(&self.known)
    }

    /// Locks the runs for a change.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, KnownRuns> {
        sync::write(&self.known)
    }

    /// Returns the best place of a chunk.
    pub fn find(&self, id: &ChunkId) -> Result<Option<Location>> {
        Ok(self.find_numbered(id)?.map(|found| found.location))
    }

    /// Returns a trusted place of a chunk.
    pub fn find_trusted(&self, id: &ChunkId) -> Result<Option<Location>> {
        Ok(self.find_numbered(id)?.filter(|found| found.is_trusted).map(|found| found.location))
    }

    /// Returns the number of records in the runs.
    pub fn chunk_count(&self) -> u64 {
        self.read().runs.iter().fold(0, |sum, run| sum.saturating_add(run.toc().record_count()))
    }

    /// Returns a bound of the numbers of [`Self::find_numbered`]: the number of records in all runs
    /// that this set ever had.
    pub fn record_count(&self) -> u64 {
        self.read().next
    }

    /// Returns the first trusted place of a chunk, or else its first place.
    pub fn find_numbered(&self, id: &ChunkId) -> Result<Option<ChunkPlace>> {
        let mut best = None;
        self.look_up(id, |place| {
            if place.is_trusted || best.is_none() {
                best = Some(place);
            }
            !place.is_trusted
        })?;
        Ok(best)
    }

    /// Returns all places of a chunk, including those to avoid.
    pub fn places(&self, id: &ChunkId) -> Result<Vec<ChunkPlace>> {
        let mut places = Vec::new();
        self.look_up(id, |place| {
            places.push(place);
            true
        })?;
        Ok(places)
    }

    /// Calls `wants_more` with the places of a chunk, run by run, until it returns false: first
    /// places in cached blocks, then those in blocks that only the store has.
    fn look_up(&self, id: &ChunkId, mut wants_more: impl FnMut(ChunkPlace) -> bool) -> Result<()> {
        let known = self.read();
        let mut remote = Vec::new();
        for run in &known.runs {
            let blocks = run.may_hold(id).then(|| run.candidate_blocks(id));
            for block in blocks.into_iter().flatten() {
                if !run.is_here(block) {
                    remote.push(RemoteBlock {
                        run: run.run.clone(),
                        block,
                        first_number: run.first,
                    });
                    continue;
                }
                let records = self.block(run, block)?;
                if let Ok(at) = records.binary_search_by(|record| record.id.cmp(id)) {
                    if !wants_more(known.place(run, block, at, run.first, &records[at])) {
                        return Ok(());
                    }
                    break;
                }
            }
        }
        // Other threads can add runs while the store answers.
        drop(known);
        self.find_remote(id, &remote, &mut wants_more)
    }

    /// Returns the place in record `at` of a block.
    pub(super) fn place(
        &self,
        run: &Run,
        block: usize,
        at: usize,
        first_number: u64,
        record: &RunRecord,
    ) -> ChunkPlace {
        self.read().place(run, block, at, first_number, record)
    }

    /// Returns a block from memory or the local cache.
    pub(super) fn block(&self, run: &Run, block: usize) -> Result<Arc<[RunRecord]>> {
        self.cached_block(run, block, || run.read_block(block))
    }

    /// Returns a block from memory, or from `read`, whose result it keeps.
    pub(super) fn cached_block(
        &self,
        run: &Run,
        block: usize,
        read: impl FnOnce() -> Result<Arc<[RunRecord]>>,
    ) -> Result<Arc<[RunRecord]>> {
        let key = (run.name(), block);
        let blocks = || lock(&self.blocks.0);
        if let Some(records) = blocks().get(&key) {
            return Ok(records);
        }
        let records = read()?;
        let len = size_of_val(&*records);
        blocks().insert(key, records.clone(), len);
        Ok(records)
    }
}
