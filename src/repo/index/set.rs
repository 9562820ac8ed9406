//! The index: all runs that are known here together.
//!
//! A chunk may have places in several runs, and some of these must not be relied on, so look-ups
//! ask all of them. Spec: `format-spec/06-index.md`, section 4.

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

/// Memory for opened blocks in bytes.
const BLOCK_CACHE_BYTES: usize = 8 << 20;

type Blocks = ByteLru<(ObjectId, usize), Arc<[RunRecord]>>;

struct BlockCache(Mutex<Blocks>);

impl Default for BlockCache {
    fn default() -> Self {
        Self(Mutex::new(ByteLru::new(BLOCK_CACHE_BYTES)))
    }
}

/// The union of all index runs that are known here.
#[derive(Default)]
pub struct IndexSet {
    known: RwLock<KnownRuns>,
    blocks: BlockCache,
    /// For a set that need not have all of each run here.
    pub(super) partial: Option<PartialFetch>,
    /// Whether it stays as it is, whatever the store holds.
    is_frozen: bool,
    /// Whether damaged runs are left out instead of being an error.
    pub(super) skips_damaged: bool,
    /// Those that were, and what is wrong with them, until that is asked.
    pub(super) skipped: Mutex<Vec<(ObjectId, Error)>>,
}

impl IndexSet {
    /// Opens the runs whose local copies are there, without asking the store; damaged copies are
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

    /// Lets the set fetch only the ends of long runs in a distant store: for look-ups, not for
    /// those who read whole runs.
    pub fn with_partial_runs(mut self, repository: &Arc<Repository>) -> Self {
        self.partial = Some(PartialFetch::new(repository));
        self
    }

    /// Lets the set do without runs that are damaged: for those who only look, and name what they
    /// then miss.
    pub fn skip_damaged(mut self) -> Self {
        self.skips_damaged = true;
        self
    }

    /// Returns the runs that were left out since this was asked last, and what is wrong with them.
    pub fn take_skipped(&self) -> Vec<(ObjectId, Error)> {
        std::mem::take(&mut *lock(&self.skipped))
    }

    /// Opens exactly these runs from their local copies, leaving out those that another of them
    /// replaces.
    pub fn open_these(cache: &Cache, keys: &RecordKeys, names: &[ObjectId]) -> Result<Self> {
        let runs = names
            .iter()
            .map(|name| Run::open(cache, keys, *name).map(Arc::new))
            .collect::<Result<Vec<_>>>()?;
        Ok(Self::of(runs))
    }

    /// Makes a set of runs that are open, and of some that a repair has made. It stays as it is:
    /// the store does not have these.
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

    /// Returns whether it stays as it is.
    pub fn is_frozen(&self) -> bool {
        self.is_frozen
    }

    /// Adds a run with these bytes; a copy goes to the cache.
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

    /// Puts a run in the place of what is known of it; if that is gone, so is the run.
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

    /// Returns the run that has the record with this number, and states its place.
    pub fn run_of(&self, number: u64) -> Option<ObjectId> {
        let known = self.read();
        let has_it = |run: &&Numbered| {
            number.checked_sub(run.first).is_some_and(|at| at < run.toc().record_count())
        };
        known.runs.iter().find(has_it).map(|run| run.name())
    }

    /// Says from now on which places must not be relied on.
    pub fn avoid(&self, avoided: Avoided) {
        self.write().avoid(avoided);
    }

    /// Returns whether all places may be relied on, as far as this set knows.
    pub fn trusts_all(&self) -> bool {
        self.read().avoided.is_empty()
    }

    /// Returns whether a pack must not be relied on.
    pub fn avoids(&self, pack: &ObjectId) -> bool {
        self.read().avoided.packs.contains(pack)
    }

    /// Relies on a pack again, because it is spared.
    pub fn trust_pack(&self, pack: &ObjectId) {
        self.write().avoided.packs.remove(pack);
    }

    /// Stops relying on one more pack, because it was found missing.
    pub fn avoid_pack(&self, pack: ObjectId) {
        self.write().avoided.packs.insert(pack);
    }

    /// Returns what is known, to look at.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, KnownRuns> {
        sync::read(&self.known)
    }

    /// Returns what is known, to change.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, KnownRuns> {
        sync::write(&self.known)
    }

    /// Returns the best place of the chunk with this id; all 32 bytes are compared.
    pub fn find(&self, id: &ChunkId) -> Result<Option<Location>> {
        Ok(self.find_numbered(id)?.map(|found| found.location))
    }

    /// Returns a place of the chunk that may be relied on, as far as this set knows.
    pub fn find_trusted(&self, id: &ChunkId) -> Result<Option<Location>> {
        Ok(self.find_numbered(id)?.filter(|found| found.is_trusted).map(|found| found.location))
    }

    /// Returns how many records the runs have.
    pub fn chunk_count(&self) -> u64 {
        self.read().runs.iter().fold(0, |sum, run| sum.saturating_add(run.toc().record_count()))
    }

    /// Returns one more than the largest number of [`Self::find_numbered`]: how many records all
    /// runs have that this set ever had.
    pub fn record_count(&self) -> u64 {
        self.read().next
    }

    /// Returns the first place of the chunk with this id that may be relied on, or else the first
    /// that there is.
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

    /// Returns all places of the chunk with this id, also those that must not be relied on.
    pub fn places(&self, id: &ChunkId) -> Result<Vec<ChunkPlace>> {
        let mut places = Vec::new();
        self.look_up(id, |place| {
            places.push(place);
            true
        })?;
        Ok(places)
    }

    /// Shows the places of a chunk, one run's after another's, as long as more are wanted: first
    /// those that are known here, then those that only the store knows.
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
        // No thread that learns of a run need wait until the store has answered.
        drop(known);
        self.find_remote(id, &remote, &mut wants_more)
    }

    /// Describes the place that record `at` of a block states.
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

    /// Returns a block that is in the local cache.
    pub(super) fn block(&self, run: &Run, block: usize) -> Result<Arc<[RunRecord]>> {
        self.cached_block(run, block, || run.read_block(block))
    }

    /// Returns a block from memory, or keeps there what `read` returns.
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
