//! All live runs together: find a chunk, learn of new runs.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::run::{Location, Run};
use crate::crypto::keyring::Keyring;
use crate::format::run::{RECORDS_PER_BLOCK, RunRecord};
use crate::id::{ChunkId, ObjectId};
use crate::repo::cache::Cache;
use crate::repo::error::{Error, Result};
use crate::repo::lru::ByteLru;
use crate::repo::names;
use crate::store::{Class, Store};

/// Memory for opened blocks in bytes.
const BLOCK_CACHE_BYTES: usize = 8 << 20;

type BlockCache = Mutex<ByteLru<(ObjectId, usize), Arc<[RunRecord]>>>;

/// The union of all index runs that are known here.
pub struct IndexSet {
    runs: RwLock<Vec<Arc<Run>>>,
    blocks: BlockCache,
}

impl IndexSet {
    /// Opens the runs whose local copies are there, without asking the store; damaged copies are dropped.
    pub fn open_cached(cache: &Cache, keyring: &Keyring) -> Result<Self> {
        let set = Self { runs: RwLock::default(), blocks: Mutex::new(ByteLru::new(BLOCK_CACHE_BYTES)) };
        for name in cache.names("index") {
            match ObjectId::from_hex(&name).map(|id| Run::open(cache, keyring, id)) {
                Some(Ok(run)) => set.write_runs().push(Arc::new(run)),
                _ => cache.remove("index", &name),
            }
        }
        Ok(set)
    }

    /// Opens exactly these runs from their local copies, leaving out those that another of them replaces.
    pub fn open_these(cache: &Cache, keyring: &Keyring, names: &[ObjectId]) -> Result<Self> {
        let runs = names.iter().map(|name| Run::open(cache, keyring, *name).map(Arc::new)).collect::<Result<Vec<_>>>()?;
        let replaced: HashSet<ObjectId> = runs.iter().flat_map(|run| run.toc().replaces.clone()).collect();
        let runs = runs.into_iter().filter(|run| !replaced.contains(&run.name())).collect();
        Ok(Self { runs: RwLock::new(runs), blocks: Mutex::new(ByteLru::new(BLOCK_CACHE_BYTES)) })
    }

    /// Makes this set equal to the runs in the store: fetches new ones and drops those that are gone or replaced.
    pub fn sync(&self, store: &dyn Store, cache: &Cache, keyring: &Keyring) -> Result<()> {
        let listed = store.list(Class::Index, "")?;
        let wanted: HashSet<ObjectId> = listed.iter().filter_map(|object| names::object_id(&object.name)).collect();
        let known: HashSet<ObjectId> = self.runs().iter().map(|run| run.name()).collect();
        for object in &listed {
            let Some(id) = names::object_id(&object.name).filter(|id| !known.contains(id)) else {
                continue;
            };
            let key = crate::store::Key::new(Class::Index, object.name.clone());
            let bytes = store.read(&key)?;
            if crate::container::name_of(&bytes) != id {
                return Err(Error::WrongContent { object: key.to_string() });
            }
            self.add(cache, keyring, id, &bytes)?;
        }
        let replaced: HashSet<ObjectId> = self.runs().iter().flat_map(|run| run.toc().replaces.clone()).collect();
        let stale = |run: &Arc<Run>| !wanted.contains(&run.name()) || replaced.contains(&run.name());
        for run in self.runs().into_iter().filter(stale) {
            cache.remove("index", &run.name().to_hex());
            cache.remove("filter", &run.name().to_hex());
        }
        self.write_runs().retain(|run| !stale(run));
        Ok(())
    }

    /// Forgets runs whose local copies went bad, so that the next [`Self::sync`] fetches them again.
    pub fn drop_bad_copies(&self, cache: &Cache) {
        let is_good = |run: &Arc<Run>| cache.hash_file("index", &run.name().to_hex()) == Some(run.name());
        let bad: Vec<_> = self.runs().into_iter().filter(|run| !is_good(run)).collect();
        for run in &bad {
            cache.remove("index", &run.name().to_hex());
            cache.remove("filter", &run.name().to_hex());
        }
        self.write_runs().retain(|run| !bad.iter().any(|bad| bad.name() == run.name()));
    }

    /// Adds a run whose bytes are at hand; a copy goes to the cache.
    pub fn add(&self, cache: &Cache, keyring: &Keyring, name: ObjectId, bytes: &[u8]) -> Result<()> {
        cache.write("index", &name.to_hex(), bytes)?;
        let run = Run::open(cache, keyring, name)?;
        self.write_runs().push(Arc::new(run));
        Ok(())
    }

    /// Returns the runs.
    pub fn runs(&self) -> Vec<Arc<Run>> {
        self.runs.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write_runs(&self) -> std::sync::RwLockWriteGuard<'_, Vec<Arc<Run>>> {
        self.runs.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns a place of the chunk with this id; all 32 bytes are compared.
    pub fn find(&self, id: &ChunkId) -> Result<Option<Location>> {
        Ok(self.find_numbered(id)?.map(|(_, location)| location))
    }

    /// Returns how many records all runs have: one more than the largest number of [`Self::find_numbered`].
    pub fn record_count(&self) -> u64 {
        self.runs().iter().map(|run| run.toc().record_count).sum()
    }

    /// Returns a place of the chunk with this id, and the number of its record, which is the same as long as no run comes
    /// or goes: a set of chunks is a bit for each number.
    pub fn find_numbered(&self, id: &ChunkId) -> Result<Option<(u64, Location)>> {
        let mut records_before = 0;
        for run in self.runs.read().unwrap_or_else(PoisonError::into_inner).iter() {
            if run.may_hold(id) {
                for block in run.candidate_blocks(id) {
                    let records = self.block(run, block)?;
                    if let Ok(at) = records.binary_search_by(|record| record.id.cmp(id)) {
                        let number = records_before + (block * RECORDS_PER_BLOCK + at) as u64;
                        return Ok(Some((number, run.location(&records[at]))));
                    }
                }
            }
            records_before += run.toc().record_count;
        }
        Ok(None)
    }

    fn block(&self, run: &Run, block: usize) -> Result<Arc<[RunRecord]>> {
        let key = (run.name(), block);
        if let Some(records) = self.blocks.lock().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return Ok(records);
        }
        let records = run.read_block(block)?;
        let len = size_of_val(&*records);
        self.blocks.lock().unwrap_or_else(PoisonError::into_inner).insert(key, records.clone(), len);
        Ok(records)
    }
}
