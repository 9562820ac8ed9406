//! Lookups in runs of which only the tail is cached: first single blocks are read from the store,
//! later the whole run.

use std::sync::Arc;

use super::fetch::{PartialFetch, RemoteBlock, fetch_and_open, fetch_verified, keep_whole};
use super::places::ChunkPlace;
use super::run::{ListedRun, Run, TAILS};
use super::set::IndexSet;
use super::tail;
use crate::crypto::container_keys::RecordKeys;
use crate::format::run::RunRecord;
use crate::id::ChunkId;
use crate::repo::cache::Cache;
use crate::repo::error::Result;
use crate::repo::objects::parallel;
use crate::store::{Key, Store};
use crate::sync::lock;

/// Fraction of a run's blocks that are read singly before the whole run is fetched.
const BLOCKS_DIVISOR: usize = 8;
/// Most blocks of a run that are read singly: one after another they take about as long as fetching
/// the longest run.
const BLOCKS_MAX: usize = 64;

impl IndexSet {
    /// Returns whether only the tail of a run is fetched.
    pub(super) fn fetches_tail_only(&self, store: &dyn Store, run: &ListedRun) -> bool {
        self.partial.is_some() && store.properties().is_remote() && tail::is_long(run.len_bytes)
    }

    /// Calls `wants_more` with the places of a chunk in these blocks until it returns false. All
    /// blocks are read in parallel.
    ///
    /// If a block cannot be read, fails only if the places in the others do not suffice.
    pub(super) fn find_remote(
        &self,
        id: &ChunkId,
        blocks: &[RemoteBlock],
        wants_more: &mut dyn FnMut(ChunkPlace) -> bool,
    ) -> Result<()> {
        let Some(partial) = self.partial.as_ref().filter(|_| !blocks.is_empty()) else {
            return Ok(());
        };
        let store = partial.repository.store();
        let mut failed = None;
        for (remote, read) in blocks
            .iter()
            .zip(parallel::for_each(store, blocks, |remote| self.remote_block(partial, remote))?)
        {
            match read {
                Err(error) => failed = failed.or(Some(error)),
                Ok(records) => {
                    if let Ok(at) = records.binary_search_by(|record| record.id.cmp(id))
                        && !wants_more(self.place(
                            &remote.run,
                            remote.block,
                            at,
                            remote.first_number,
                            &records[at],
                        ))
                    {
                        return Ok(());
                    }
                }
            }
        }
        failed.map_or(Ok(()), Err)
    }

    fn remote_block(
        &self,
        partial: &PartialFetch,
        remote: &RemoteBlock,
    ) -> Result<Arc<[RunRecord]>> {
        let Some(rest) = remote.run.remote() else {
            return self.block(&remote.run, remote.block);
        };
        self.cached_block(&remote.run, remote.block, || {
            if rest.count_block() > BLOCKS_MAX.min(remote.run.block_count() / BLOCKS_DIVISOR) {
                return self.fetch_whole(partial, &remote.run, &rest.key)?.read_block(remote.block);
            }
            let place = remote.run.toc().block(remote.block);
            let mut stored = Vec::new();
            let range = place.offset..place.offset + place.stored_len() as u64;
            partial.repository.store().read_into(&rest.key, range, &mut stored)?;
            remote.run.open_block(remote.block, stored)
        })
    }

    /// Fetches a whole run in place of its tail, unless another thread has just done so.
    fn fetch_whole(&self, partial: &PartialFetch, run: &Run, key: &Key) -> Result<Arc<Run>> {
        let _guard = lock(&partial.fetching);
        if let Some(known) = self
            .runs()
            .into_iter()
            .find(|known| known.name() == run.name() && known.remote().is_none())
        {
            return Ok(known);
        }
        let repository = &partial.repository;
        let keys = repository.records();
        let bytes = fetch_verified(repository.store(), keys, &in_store(run, key))?;
        let whole = Arc::new(keep_whole(repository.cache(), keys, run.name(), &bytes)?);
        self.exchange(&whole);
        Ok(whole)
    }

    /// Adds a run by its tail: from the local copy, or from the store.
    pub(super) fn fetch_tail(
        &self,
        store: &dyn Store,
        cache: &Cache,
        keys: &RecordKeys,
        run: &ListedRun,
    ) -> Result<()> {
        let copy = cache
            .open_copy(TAILS, &run.name.to_hex())
            .and_then(|copy| Run::open_tail(keys, copy, run));
        self.insert(Arc::new(copy.or_else(|_| fetch_and_open(store, cache, keys, run))?));
        Ok(())
    }

    /// Fetches tails again whose local copies are damaged.
    ///
    /// Fails if one is damaged in the store, too. Runs that the store does not have any more are
    /// left to [`Self::sync`].
    pub fn renew_tails(&self, store: &dyn Store, cache: &Cache, keys: &RecordKeys) -> Result<()> {
        for run in self.runs() {
            let Some(rest) = run.remote().filter(|_| !run.is_sound_here()) else {
                continue;
            };
            match fetch_and_open(store, cache, keys, &in_store(&run, &rest.key)) {
                Err(error) if error.is_not_found() => {}
                fetched => self.exchange(&Arc::new(fetched?)),
            }
        }
        Ok(())
    }
}

/// Returns a known run as the store lists it.
fn in_store(run: &Run, key: &Key) -> ListedRun {
    ListedRun { name: run.name(), key: key.clone(), len_bytes: run.len_bytes() }
}
