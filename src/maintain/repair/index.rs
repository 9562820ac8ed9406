//! Drafts of new packs and index runs, in the local cache.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{NewPack, NewRun};
use crate::format::generation::Victim;
use crate::format::run::{PackClass, PackRef};
use crate::id::ObjectId;
use crate::maintain::check::{Examined, Level};
use crate::repo::audit::salvage::{self, ListedPack, Resealed, Salvaged, SegmentPlaces};
use crate::repo::index::{PlacedPack, Run};
use crate::repo::{Reader, Repository, Result};

/// Chunks after which a new run is closed: 12 MiB of memory.
const CHUNKS_PER_RUN: u64 = 200_000;

/// Drafts of objects to be stored.
pub(super) struct Drafts<'a> {
    repository: &'a Arc<Repository>,
    examined: &'a Examined,
    generation: u64,
    /// Packs that recorded verdicts remove.
    removed: &'a HashSet<ObjectId>,
    /// Damaged packs that the index names, without those that a prune removed.
    damaged: HashSet<ObjectId>,
    left_out: HashSet<Victim>,
    packs: Vec<NewPack>,
    added: Vec<NewRun>,
    rewritten: Vec<NewRun>,
    pending: Vec<PlacedPack>,
    pending_chunks: u64,
}

impl<'a> Drafts<'a> {
    /// Starts without drafts. `damaged` are packs that were found to be damaged after the
    /// examination.
    pub(super) fn new(
        repository: &'a Arc<Repository>,
        examined: &'a Examined,
        generation: u64,
        removed: &'a HashSet<ObjectId>,
        damaged: &HashSet<ObjectId>,
    ) -> Self {
        let gone = examined.damage.gone_packs() & removed;
        let damaged = &(examined.damage.packs() - &gone) | damaged;
        Self {
            repository,
            examined,
            generation,
            removed,
            damaged,
            left_out: HashSet::new(),
            packs: Vec::new(),
            added: Vec::new(),
            rewritten: Vec::new(),
            pending: Vec::new(),
            pending_chunks: 0,
        }
    }

    /// Returns whether the index or packs are damaged.
    pub(super) fn is_needed(&self) -> bool {
        let report = &self.examined.report;
        let is_missing =
            || {
                report.problems.items.iter().any(|problem| {
                    problem.object.starts_with("chunk ") || problem.object == "index"
                })
            };
        !self.damaged.is_empty()
            || !self.examined.damaged_runs.is_empty()
            || is_missing()
            || !report.affected.is_empty()
    }

    /// Returns the drafts: packs, runs that index packs again, and runs that leave out lost chunks.
    pub(super) fn into_parts(self) -> (Vec<NewPack>, Vec<NewRun>, Vec<NewRun>) {
        (self.packs, self.added, self.rewritten)
    }

    /// Returns the packs that no run will name any more.
    pub(super) fn left_out(&self) -> Vec<Victim> {
        self.left_out.iter().copied().collect()
    }

    /// Drafts new packs with the readable chunks of damaged ones, and runs that do not name the
    /// damaged ones.
    pub(super) fn reseal_damaged_packs(&mut self) -> Result<()> {
        let runs = self.examined.reader.index().runs();
        for (pack, places) in places_of(&runs, &self.damaged)? {
            match self.if_whole(&pack)? {
                Some(placed) => self.reseal(placed.pack, &salvage::places_of(&placed), None)?,
                None => self.reseal(pack, &places, None)?,
            };
        }
        for run in runs {
            let (lost, packs): (Vec<&PackRef>, Vec<&PackRef>) =
                run.toc().packs.iter().partition(|pack| self.damaged.contains(&pack.name));
            self.left_out
                .extend(lost.iter().map(|pack| Victim { class: pack.class, name: pack.name }));
            if !lost.is_empty() {
                let (name, left_out) = salvage::run_without(self.repository, &run, |pack| {
                    !self.damaged.contains(&pack.name)
                })?;
                let chunks = run.toc().record_count() - left_out;
                let replaces = vec![run.name()];
                self.rewritten.push(NewRun {
                    name,
                    replaces,
                    packs: packs.len() as u64,
                    chunks,
                    left_out,
                });
            }
        }
        Ok(())
    }

    /// Returns the content of a pack if it is sound: then an index run is wrong about it.
    fn if_whole(&self, pack: &PackRef) -> Result<Option<PlacedPack>> {
        if self.examined.damage.is_gone(&pack.name) {
            return Ok(None);
        }
        let listed =
            ListedPack { class: pack.class, name: pack.name, len_bytes: u64::from(pack.len) };
        let salvaged = salvage::salvage(self.repository, &listed, true)?;
        Ok(salvaged.filter(|salvaged| !salvaged.is_damaged).map(|salvaged| salvaged.placed))
    }

    /// Drafts new packs in place of these, which a verdict names. The runs that name them are
    /// replaced when it is carried out.
    ///
    /// Returns packs of which not all could be read: newly found damage.
    pub(super) fn store_again(
        &mut self,
        packs: &HashSet<ObjectId>,
        doomed_by: Option<u64>,
    ) -> Result<Vec<PackRef>> {
        let mut damaged = Vec::new();
        if packs.is_empty() {
            return Ok(damaged);
        }
        let runs = self.reader()?.index().runs();
        for (pack, places) in places_of(&runs, packs)? {
            if !self.reseal(pack, &places, doomed_by)? {
                damaged.push(pack);
            }
        }
        Ok(damaged)
    }

    /// Drafts a new pack with the readable chunks of a pack; returns whether all of them could be
    /// read.
    fn reseal(
        &mut self,
        pack: PackRef,
        places: &SegmentPlaces,
        doomed_by: Option<u64>,
    ) -> Result<bool> {
        let Resealed { placed, is_whole } = salvage::reseal(self.repository, &pack, places)?;
        if let Some(placed) = placed {
            self.packs.push(NewPack {
                pack: placed.pack,
                instead_of: pack,
                doomed_by,
                chunks: chunk_count(&placed),
            });
            self.take(placed)?;
        }
        Ok(is_whole)
    }

    /// Removes the drafts.
    pub(super) fn discard(self) {
        let packs: Vec<PackRef> = self.packs.iter().map(|pack| pack.pack).collect();
        let runs: Vec<ObjectId> =
            self.added.iter().chain(&self.rewritten).map(|run| run.name).collect();
        salvage::forget(self.repository, &packs, &runs);
    }

    /// Drafts runs for packs with chunks that no run names: for unindexed packs, or for `all`
    /// packs.
    ///
    /// Readable chunks of damaged packs, and of packs that a verdict removes, go to new packs,
    /// because no run must name those.
    pub(super) fn name_packs_again(&mut self, all: bool) -> Result<()> {
        let reader = self.reader()?;
        let whole = self.examined.report.level == Level::Full;
        let gone = self.examined.damage.gone_packs();
        gone.iter().for_each(|pack| reader.index().avoid_pack(*pack));
        let candidates = if all { self.indexed_packs() } else { self.examined.unindexed.clone() };
        for pack in candidates {
            let whole = !all && (whole || pack.class == PackClass::Meta);
            let Some(Salvaged { placed, is_damaged }) =
                salvage::salvage(self.repository, &pack, whole)?
            else {
                continue;
            };
            let mut is_needed = false;
            for chunk in placed.toc.segments.iter().flat_map(|segment| &segment.chunks) {
                let place = reader.locate(&chunk.id)?;
                is_needed = is_needed || place.is_none_or(|place| gone.contains(&place.pack.name));
            }
            match (is_needed, is_damaged || self.removed.contains(&pack.name)) {
                (false, _) => {}
                (true, false) => self.take(placed)?,
                (true, true) => {
                    self.reseal(placed.pack, &salvage::places_of(&placed), None)?;
                }
            }
        }
        let damaged = if all { Vec::new() } else { self.examined.damaged_runs.clone() };
        if !self.pending.is_empty() || !damaged.is_empty() {
            self.close_run(damaged)?;
        }
        Ok(())
    }

    fn indexed_packs(&self) -> Vec<ListedPack> {
        let runs = self.examined.reader.index().runs();
        let packs = runs
            .iter()
            .flat_map(|run| &run.toc().packs)
            .filter(|pack| !self.damaged.contains(&pack.name));
        let listed = |pack: &PackRef| ListedPack {
            class: pack.class,
            name: pack.name,
            len_bytes: u64::from(pack.len),
        };
        let mut packs: Vec<ListedPack> = packs.map(listed).collect();
        packs.sort_by_key(|pack| pack.name);
        packs.dedup_by_key(|pack| pack.name);
        packs
    }

    fn take(&mut self, placed: PlacedPack) -> Result<()> {
        self.pending_chunks += chunk_count(&placed);
        self.pending.push(placed);
        if self.pending_chunks >= CHUNKS_PER_RUN { self.close_run(Vec::new()) } else { Ok(()) }
    }

    fn close_run(&mut self, replaces: Vec<ObjectId>) -> Result<()> {
        let packs = std::mem::take(&mut self.pending);
        let chunks = std::mem::take(&mut self.pending_chunks);
        let name =
            salvage::run_of_packs(self.repository, &packs, self.generation, replaces.clone())?;
        self.added.push(NewRun { name, replaces, packs: packs.len() as u64, chunks, left_out: 0 });
        Ok(())
    }

    /// Returns a reader with the index as it will be when the drafts so far are stored.
    pub(super) fn reader(&mut self) -> Result<Arc<Reader>> {
        if !self.pending.is_empty() {
            self.close_run(Vec::new())?;
        }
        let sound = self.examined.reader.index().runs();
        let made: Vec<ObjectId> =
            self.added.iter().chain(&self.rewritten).map(|run| run.name).collect();
        salvage::reader_of(self.repository, sound, &made)
    }
}

/// Returns these packs with the places of their segments, as far as runs name chunks in them;
/// ascending.
fn places_of(
    runs: &[Arc<Run>],
    packs: &HashSet<ObjectId>,
) -> Result<Vec<(PackRef, SegmentPlaces)>> {
    let unknown =
        |name: &ObjectId| PackRef { class: PackClass::Data, name: *name, len: 0, salt: [0; 32] };
    let mut wanted: HashMap<ObjectId, (PackRef, SegmentPlaces)> =
        packs.iter().map(|name| (*name, (unknown(name), SegmentPlaces::new()))).collect();
    for run in runs {
        if run.toc().packs.iter().any(|pack| packs.contains(&pack.name)) {
            salvage::places_in(run, &mut wanted)?;
        }
    }
    let mut wanted: Vec<_> =
        wanted.into_values().filter(|(_, places)| !places.is_empty()).collect();
    wanted.sort_by_key(|(pack, _)| pack.name);
    Ok(wanted)
}

fn chunk_count(placed: &PlacedPack) -> u64 {
    placed.toc.segments.iter().map(|segment| segment.chunks.len() as u64).sum()
}
