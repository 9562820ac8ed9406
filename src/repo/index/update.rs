//! Update of a set from the runs in the store: fetches new ones, and drops those that are gone.
//!
//! Collectors replace runs at any time, even between a listing and the reads that follow it.
//!
//! Spec: `format-spec/06-index.md`, section 4.

use std::collections::HashSet;
use std::sync::Arc;

use super::fetch;
use super::run::{FILTERS, ListedRun, Run, TAILS, WHOLE};
use super::set::IndexSet;
use super::tail;
use crate::crypto::container_keys::RecordKeys;
use crate::id::ObjectId;
use crate::repo::cache::Cache;
use crate::repo::error::Result;
use crate::repo::objects::{layout, parallel};
use crate::store::{Class, Key, Listed, Store};
use crate::sync::lock;

/// Most listings of the index, as long as listed runs are removed before they are read.
const LISTINGS_MAX: usize = 8;

impl IndexSet {
    /// Makes this set equal to the runs in the store: fetches new ones and drops those that are
    /// gone or replaced.
    pub fn sync(&self, store: &dyn Store, cache: &Cache, keys: &RecordKeys) -> Result<()> {
        if self.is_frozen() {
            return Ok(());
        }
        let listed = self.fetch_new(store, cache, keys)?;
        let runs = self.runs();
        let there = runs.iter().filter(|run| listed.contains(&run.name()));
        let replaced: HashSet<ObjectId> =
            there.flat_map(|run| run.toc().replaces.iter().copied()).collect();
        let is_stale =
            |run: &Arc<Run>| !listed.contains(&run.name()) || replaced.contains(&run.name());
        self.drop_runs(cache, runs.iter().filter(|run| is_stale(run)));
        // Tails of runs that are gone, or that the cache has as a whole, are of no use.
        let known: HashSet<String> = self
            .runs()
            .iter()
            .filter(|run| run.remote().is_some())
            .map(|run| run.name().to_hex())
            .collect();
        cache
            .names(TAILS)
            .iter()
            .filter(|name| !known.contains(*name))
            .for_each(|name| cache.remove(TAILS, name));
        Ok(())
    }

    /// Adds new runs from the store without dropping others, and returns the names of all that are
    /// listed.
    ///
    /// Fails if one of them is damaged and no other replaces it, unless [`Self::skip_damaged`] is
    /// set.
    pub fn fetch_new(
        &self,
        store: &dyn Store,
        cache: &Cache,
        keys: &RecordKeys,
    ) -> Result<HashSet<ObjectId>> {
        for _ in 1..LISTINGS_MAX {
            match self.try_fetch_new(store, cache, keys, false) {
                // A collector replaced a run since the listing; the new run is in the next listing.
                Err(error) if error.is_not_found() => {}
                other => return other,
            }
        }
        self.try_fetch_new(store, cache, keys, self.skips_damaged)
    }

    /// Tries [`Self::fetch_new`] once; with `is_last`, a listed run that cannot be found counts as
    /// damaged.
    fn try_fetch_new(
        &self,
        store: &dyn Store,
        cache: &Cache,
        keys: &RecordKeys,
        is_last: bool,
    ) -> Result<HashSet<ObjectId>> {
        let listed = list(store)?;
        let known: HashSet<ObjectId> = self.runs().iter().map(|run| run.name()).collect();
        let names: HashSet<ObjectId> = listed.iter().map(|run| run.name).collect();
        let mut new: Vec<_> = listed.into_iter().filter(|run| !known.contains(&run.name)).collect();
        let mut damaged = Vec::new();
        while !new.is_empty() {
            let rest = new.split_off(parallel::at_once(&new, |run| self.fetched_len(store, run)));
            for (run, fetched) in new.iter().zip(parallel::for_each(store, &new, |run| {
                self.fetch(store, cache, keys, run, &names)
            })?) {
                match fetched {
                    Err(error) if error.is_damage() && (is_last || !error.is_not_found()) => {
                        damaged.push((run.name, error))
                    }
                    fetched => fetched?,
                }
            }
            new = rest;
        }
        // A damaged run that another one replaces has been repaired, and is not needed.
        damaged.retain(|(id, _)| !self.is_replaced(id, &names));
        if self.skips_damaged {
            lock(&self.skipped).extend(damaged);
            return Ok(names);
        }
        damaged.into_iter().next().map_or(Ok(names), |(_, error)| Err(error))
    }

    /// Adds one run from the store, unless a known one replaces it.
    fn fetch(
        &self,
        store: &dyn Store,
        cache: &Cache,
        keys: &RecordKeys,
        run: &ListedRun,
        listed: &HashSet<ObjectId>,
    ) -> Result<()> {
        if self.is_replaced(&run.name, listed) {
            return Ok(());
        }
        if self.fetches_tail_only(store, run) {
            return self.fetch_tail(store, cache, keys, run);
        }
        self.add(cache, keys, run.name, &fetch::fetch_verified(store, keys, run)?)
    }

    /// Returns whether a listed run states that it replaces this one. Runs that are not listed any
    /// more do not count, because the repository may have been set back to a state before them.
    fn is_replaced(&self, id: &ObjectId, listed: &HashSet<ObjectId>) -> bool {
        self.read()
            .runs
            .iter()
            .any(|run| listed.contains(&run.name()) && run.toc().replaces.contains(id))
    }

    /// Drops whole runs whose local copies are damaged, so that the next [`Self::sync`] fetches
    /// them again; returns whether there were any.
    pub fn drop_bad_copies(&self, cache: &Cache) -> bool {
        let is_good = |run: &Arc<Run>| {
            run.remote().is_some() || cache.hash_of(WHOLE, &run.name().to_hex()) == Some(run.name())
        };
        let bad: HashSet<ObjectId> =
            self.runs().iter().filter(|run| !is_good(run)).map(|run| run.name()).collect();
        self.drop_named(cache, &bad);
        !bad.is_empty()
    }

    fn drop_runs<'a>(&self, cache: &Cache, runs: impl Iterator<Item = &'a Arc<Run>>) {
        self.drop_named(cache, &runs.map(|run| run.name()).collect());
    }

    /// Drops runs and their local copies.
    pub fn drop_named(&self, cache: &Cache, names: &HashSet<ObjectId>) {
        for name in names {
            [WHOLE, TAILS, FILTERS]
                .into_iter()
                .for_each(|group| cache.remove(group, &name.to_hex()));
        }
        self.write().runs.retain(|run| !names.contains(&run.name()));
    }

    /// Returns the number of bytes that are fetched of a run.
    fn fetched_len(&self, store: &dyn Store, run: &ListedRun) -> u64 {
        if self.fetches_tail_only(store, run) { tail::guess(run.len_bytes) } else { run.len_bytes }
    }
}

/// Lists the runs in the store.
fn list(store: &dyn Store) -> Result<Vec<ListedRun>> {
    let named = |object: Listed| {
        Some(ListedRun {
            name: layout::object_id(&object.name)?,
            len_bytes: object.len_bytes,
            key: Key::new(Class::Index, object.name),
        })
    };
    Ok(store.list(Class::Index, "")?.into_iter().filter_map(named).collect())
}
