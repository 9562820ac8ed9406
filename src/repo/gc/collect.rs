//! Collector's operations on objects: lists packs with their ages, removes objects, and rewrites
//! the index.
//!
//! Spec: `format-spec/13-commit.md`, section 4.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::generations::{self, Generations};
use super::horizon;
use super::intents;
use super::records;
use crate::format::generation::{RecordContent, Removal, Victim};
use crate::format::run::PackClass;
use crate::id::{ObjectId, SnapshotId};
use crate::repo::cache;
use crate::repo::error::{Error, Result};
use crate::repo::index::{ChunkIndex, Run, RunMerge, merge_runs};
use crate::repo::objects::layout;
use crate::repo::open::Repository;
use crate::store::{Class, Key, Listed};

/// A pack as a collector lists it.
#[derive(Clone, Copy, Debug)]
pub struct DatedPack {
    /// Its class, from the prefix that was listed.
    pub class: PackClass,
    /// Length of the object in bytes.
    pub len_bytes: u64,
    /// Its time of creation by the store's clock, in seconds since 1970, if the store states it.
    pub modified_s: Option<i64>,
}

/// All packs in the store.
#[derive(Default)]
pub struct PackList {
    /// The packs by name.
    pub packs: HashMap<ObjectId, DatedPack>,
    /// The newest time of creation among them.
    pub newest_s: Option<i64>,
    /// Packs that recorded verdicts remove. Even if they are listed, they do not count as a place
    /// of chunks.
    used_up: HashSet<ObjectId>,
}

impl PackList {
    /// Returns whether a pack is listed, and counts as a place of chunks.
    pub fn has(&self, name: &ObjectId) -> bool {
        self.packs.contains_key(name) && !self.used_up.contains(name)
    }
}

/// Lists the packs of both classes.
pub fn list_packs(repository: &Repository) -> Result<PackList> {
    let mut list = PackList::default();
    for class in [PackClass::Data, PackClass::Meta] {
        for object in repository.store().list(layout::store_class(class), "")? {
            let name = layout::object_id(&object.name);
            if let Some(name) =
                name.filter(|name| layout::pack_key(class, name).name == object.name)
            {
                list.newest_s = list.newest_s.max(object.modified_s);
                let listed =
                    DatedPack { class, len_bytes: object.len_bytes, modified_s: object.modified_s };
                list.packs.insert(name, listed);
            }
        }
    }
    Ok(list)
}

/// Returns the packs that runs name and that are missing, or removed by a verdict.
fn missing_packs(index: &ChunkIndex, listed: &PackList) -> HashSet<ObjectId> {
    let runs = index.set().runs();
    let named = runs.iter().flat_map(|run| &run.toc().packs).map(|pack| pack.name);
    named.filter(|name| !listed.packs.contains_key(name) || listed.used_up.contains(name)).collect()
}

/// Makes the index equal to the store's, lists the packs, and makes the index avoid those that are
/// missing.
///
/// The index trusts all other packs, because they were listed after it.
pub fn survey(index: &ChunkIndex) -> Result<(horizon::Horizon, PackList)> {
    let repository = index.repository();
    let horizon = horizon::sync(index)?;
    let used_up = Generations::list(repository)?.removed_packs(repository)?;
    let listed = PackList { used_up, ..list_packs(repository)? };
    index.set().avoid(crate::repo::index::Avoided {
        packs: missing_packs(index, &listed),
        ..Default::default()
    });
    Ok((horizon, listed))
}

/// Adds runs that were written since [`survey`] without dropping others, and avoids those of their
/// packs that are missing.
pub fn learn(index: &ChunkIndex, listed: &mut PackList) -> Result<()> {
    let repository = index.repository();
    let before = index.set().runs().len();
    index.set().fetch_new(repository.store(), repository.cache(), repository.records())?;
    if index.set().runs().len() == before {
        return Ok(());
    }
    let again = list_packs(repository)?;
    listed.packs.extend(again.packs);
    missing_packs(index, listed).into_iter().for_each(|pack| index.set().avoid_pack(pack));
    Ok(())
}

/// Returns the object name of an index run, as the store lists it.
pub fn object_of_run(repository: &Repository, run: &ObjectId) -> Result<String> {
    let listed = repository.store().list(Class::Index, "")?;
    let name = listed
        .into_iter()
        .map(|object| object.name)
        .find(|name| layout::object_id(name).as_ref() == Some(run));
    Ok(Key::new(Class::Index, name.unwrap_or_else(|| run.to_hex())).to_string())
}

/// Compares the records of a generation in the store with what this collector wrote or found, for
/// stores that do not prevent replacement.
///
/// Fails with [`Error::SecondCollector`] if another collector replaced them. `condemned` is `None`
/// if only the verdict was read.
pub fn confirm(
    repository: &Repository,
    number: u64,
    condemned: Option<&Removal>,
    verdict: &Removal,
) -> Result<()> {
    let is_ours = |word| -> Result<bool> {
        Ok(match records::read_from_store(repository, number, word)?.content {
            RecordContent::Condemned(there) => {
                condemned.is_none_or(|removal| *removal == there.removal)
            }
            content => content == RecordContent::Go(verdict.clone()),
        })
    };
    if is_ours("condemned")? && is_ours("verdict")? {
        Ok(())
    } else {
        Err(Error::SecondCollector { generation: number })
    }
}

/// Removes the intents, protections and slots of dropped snapshots; their tombstones stay, to show
/// that they were removed on purpose.
///
/// A protection is removed before its slot, because a protection without a slot means that the
/// snapshot is hidden. The second pass removes protections that were made meanwhile.
pub fn remove_snapshots(repository: &Repository, dropped: &[SnapshotId]) -> Result<()> {
    if dropped.is_empty() {
        return Ok(());
    }
    for object in repository.store().list(Class::Intents, "")? {
        if let Some((session, number)) = layout::intent_of(&object.name)
            && dropped.binary_search(&session).is_ok()
        {
            intents::remove(repository, &session, &[number])?;
        }
    }
    remove_protections(repository, dropped)?;
    for id in dropped {
        repository.store().remove(&layout::snapshot_key(id))?;
        repository.cache().remove("snapshots", &id.to_hex());
    }
    remove_protections(repository, dropped)
}

fn remove_protections(repository: &Repository, dropped: &[SnapshotId]) -> Result<()> {
    for object in repository.store().list(Class::Snapshots, "")? {
        if layout::protection_of(&object.name).is_some_and(|id| dropped.binary_search(&id).is_ok())
        {
            repository.store().remove(&Key::new(Class::Snapshots, object.name))?;
        }
    }
    Ok(())
}

/// Removes packs; no run may name them any more.
pub fn remove_packs(repository: &Repository, packs: &[Victim]) -> Result<()> {
    for victim in packs {
        repository.store().remove(&layout::pack_key(victim.class, &victim.name))?;
        repository.cache().remove(cache::TREES, &victim.name.to_hex());
    }
    Ok(())
}

/// Result of rewriting the index.
pub struct Rewritten {
    /// The runs that name no removed pack.
    pub clean: Vec<ObjectId>,
    /// Number of runs now.
    pub runs: usize,
    /// Bytes of the new runs.
    pub stored_bytes: u64,
    /// Bytes of the removed runs.
    pub removed_bytes: u64,
}

/// Replaces the runs that name packs of `removal`, and those that are worth merging; removes the
/// replaced ones.
///
/// `may_merge` returns whether the session of a run has ended.
pub fn rewrite_index(
    index: &ChunkIndex,
    generation: u64,
    removal: &Removal,
    may_merge: &dyn Fn(&Run) -> bool,
) -> Result<Rewritten> {
    let repository = index.repository();
    horizon::sync(index)?;
    let removed = generations::removed(index)?;
    let used_up = Generations::list(repository)?.removed_packs(repository)?;
    let missing = missing_packs(index, &list_packs(repository)?);
    let mut dead: HashSet<ObjectId> = removal.packs.iter().map(|victim| victim.name).collect();
    let runs = index.set().runs();
    for run in &runs {
        let is_stale = removed.stale_runs.contains(&run.name());
        let gone =
            run.toc().packs.iter().map(|pack| pack.name).filter(|name| missing.contains(name));
        // A pack that is missing for another reason stays named, so that `check` reports it.
        dead.extend(gone.filter(|name| is_stale || removed.packs.contains(name)));
        dead.extend(
            run.toc().packs.iter().map(|pack| pack.name).filter(|name| used_up.contains(name)),
        );
    }
    let names_dead = |run: &Run| run.toc().packs.iter().any(|pack| dead.contains(&pack.name));
    let mut rewrite: Vec<Arc<Run>> = runs.iter().filter(|run| names_dead(run)).cloned().collect();
    rewrite.extend(worth_merging(&runs, may_merge).into_iter().filter(|run| !names_dead(run)));
    let mut clean: Vec<ObjectId> = runs.iter().map(|run| run.name()).collect();
    let mut stored_bytes = 0;
    if !rewrite.is_empty() {
        let names: HashSet<ObjectId> = rewrite.iter().map(|run| run.name()).collect();
        clean.retain(|name| !names.contains(name));
        let hidden = hidden_by(repository, &rewrite)?;
        let merge = RunMerge { runs: &rewrite, hidden: &hidden, dead: &dead, generation };
        merge_runs(repository, &merge, &mut |sealed| {
            crate::repo::objects::create_once::create_once(
                repository.store(),
                &layout::run_key(1, &sealed.name),
                &sealed.bytes,
            )?;
            clean.push(sealed.name);
            stored_bytes += sealed.bytes.len() as u64;
            index.set().add(repository.cache(), repository.records(), sealed.name, &sealed.bytes)
        })?;
    }
    let removed_bytes = remove_replaced(index, &rewrite)?;
    Ok(Rewritten { runs: clean.len(), clean, stored_bytes, removed_bytes })
}

/// Returns the listed runs that these replace, in a fixed order.
fn hidden_by(repository: &Repository, runs: &[Arc<Run>]) -> Result<Vec<ObjectId>> {
    let replaced: HashSet<ObjectId> =
        runs.iter().flat_map(|run| run.toc().replaces.iter().copied()).collect();
    let listed = repository.store().list(Class::Index, "")?;
    let mut hidden: Vec<ObjectId> =
        listed.iter().filter_map(|object| layout::object_id(&object.name)).collect();
    hidden.retain(|name| replaced.contains(name));
    hidden.sort_unstable();
    hidden.dedup();
    Ok(hidden)
}

/// Removes the runs that were rewritten, and those that other runs replace: leftovers of a
/// collector that died or of a repair.
///
/// A run is removed after all runs that it replaces: if the collector dies in between, records that
/// a repair dropped must not come back. Returns the number of bytes that were removed.
fn remove_replaced(index: &ChunkIndex, rewritten: &[Arc<Run>]) -> Result<u64> {
    let repository = index.repository();
    let runs = index.set().runs();
    let mut gone: HashSet<ObjectId> =
        runs.iter().flat_map(|run| run.toc().replaces.iter().copied()).collect();
    let mut order: HashMap<ObjectId, usize> = gone.iter().map(|name| (*name, 0)).collect();
    // Runs that are not loaded are replaced by loaded ones, so they are removed first; among the
    // loaded ones, each after those that it replaces.
    for (at, name) in replaced_first(rewritten).into_iter().enumerate() {
        order.insert(name, at + 1);
        gone.insert(name);
    }
    let named = |object: Listed| Some((layout::object_id(&object.name)?, object));
    let mut listed: Vec<_> =
        repository.store().list(Class::Index, "")?.into_iter().filter_map(named).collect();
    listed.retain(|(name, _)| gone.contains(name));
    listed.sort_by_key(|(name, _)| order.get(name).copied());
    let mut removed_bytes = 0;
    for (_, object) in listed {
        repository.store().remove(&Key::new(Class::Index, object.name))?;
        removed_bytes += object.len_bytes;
    }
    index.set().drop_named(repository.cache(), &gone);
    Ok(removed_bytes)
}

/// Returns the names of these runs, each after all those of them that it replaces.
fn replaced_first(runs: &[Arc<Run>]) -> Vec<ObjectId> {
    let by_name: HashMap<ObjectId, &Arc<Run>> = runs.iter().map(|run| (run.name(), run)).collect();
    let (mut placed, mut order) = (HashSet::new(), Vec::new());
    for run in runs {
        // A run is opened before those that it replaces, and placed after them.
        let mut open = vec![(run.name(), false)];
        while let Some((name, is_opened)) = open.pop() {
            if is_opened {
                order.push(name);
            } else if placed.insert(name) {
                open.push((name, true));
                let replaces =
                    by_name.get(&name).map(|run| &run.toc().replaces[..]).unwrap_or_default();
                open.extend(
                    replaces
                        .iter()
                        .filter(|name| by_name.contains_key(name))
                        .map(|name| (*name, false)),
                );
            }
        }
    }
    order
}

/// Number of runs of about one size that are merged, so that the number of runs grows with the
/// logarithm of the index.
const MERGE_AT: usize = 8;

/// Returns the runs that are worth merging: eight or more of about the same size.
pub fn worth_merging(runs: &[Arc<Run>], may_merge: &dyn Fn(&Run) -> bool) -> Vec<Arc<Run>> {
    let mut tiers: HashMap<u32, Vec<Arc<Run>>> = HashMap::new();
    for run in runs.iter().filter(|run| {
        run.toc().record_count() < crate::repo::index::MERGED_RECORDS_MAX / 2 && may_merge(run)
    }) {
        tiers.entry(run.toc().record_count().max(1).ilog2() / 3).or_default().push(run.clone());
    }
    let mut worth: Vec<Arc<Run>> =
        tiers.into_values().filter(|tier| tier.len() >= MERGE_AT).flatten().collect();
    // Two collectors that replaced the same run at the same time wrote the same records twice.
    let mut replaced_by: HashMap<ObjectId, Arc<Run>> = HashMap::new();
    for run in runs {
        for name in &run.toc().replaces {
            if let Some(other) = replaced_by.insert(*name, run.clone()) {
                worth.extend([other, run.clone()]);
            }
        }
    }
    worth.sort_by_key(|run| run.name());
    worth.dedup_by_key(|run| run.name());
    worth
}
