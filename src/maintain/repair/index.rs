//! New packs and runs, made in the local cache.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::{NewPack, NewRun};
use crate::format::generation::Victim;
use crate::format::run::{PackClass, PackRef};
use crate::id::ObjectId;
use crate::maintain::check::{Examined, Level};
use crate::repo::index::PlacedPack;
use crate::repo::rebuild::{self, ListedPack, Salvaged, SegmentPlaces};
use crate::repo::{Reader, Repository, Result};

/// Chunks that a new run names at most, but for the last pack's: 12 MiB of memory.
const CHUNKS_PER_RUN: u64 = 200_000;

/// What is to be stored, as far as it is made.
pub struct Drafts<'a> {
    repository: &'a Arc<Repository>,
    examined: &'a Examined,
    generation: u64,
    /// Damaged packs that the index names, but for those that collectors removed.
    damaged: HashSet<ObjectId>,
    left_out: HashSet<Victim>,
    packs: Vec<NewPack>,
    added: Vec<NewRun>,
    rewritten: Vec<NewRun>,
    pending: Vec<PlacedPack>,
    pending_chunks: u64,
}

impl<'a> Drafts<'a> {
    /// Starts with nothing.
    pub fn new(repository: &'a Arc<Repository>, examined: &'a Examined, generation: u64, removed: HashSet<ObjectId>) -> Self {
        let damaged = examined.damage.packs() - &removed;
        Self {
            repository,
            examined,
            generation,
            damaged,
            left_out: HashSet::new(),
            packs: Vec::new(),
            added: Vec::new(),
            rewritten: Vec::new(),
            pending: Vec::new(),
            pending_chunks: 0,
        }
    }

    /// Returns whether anything about index or packs is wrong.
    pub fn is_needed(&self) -> bool {
        let report = &self.examined.report;
        let is_missing =
            || report.problems.items.iter().any(|problem| problem.object.starts_with("chunk ") || problem.object == "index");
        !self.damaged.is_empty() || !self.examined.damaged_runs.is_empty() || is_missing() || !report.affected.is_empty()
    }

    /// Returns what was made: packs, runs that name packs again, and runs that leave out.
    pub fn into_parts(self) -> (Vec<NewPack>, Vec<NewRun>, Vec<NewRun>) {
        (self.packs, self.added, self.rewritten)
    }

    /// Returns the packs that no run is to name any more.
    pub fn left_out(&self) -> Vec<Victim> {
        self.left_out.iter().copied().collect()
    }

    /// Makes new packs of what can be read of damaged ones, and runs that do not name the damaged ones any more.
    pub fn reseal_damaged_packs(&mut self) -> Result<()> {
        let mut wanted: HashMap<ObjectId, (PackRef, SegmentPlaces)> = HashMap::new();
        for name in &self.damaged {
            let unknown = PackRef { class: PackClass::Data, name: *name, len: 0, salt: [0; 32] };
            wanted.insert(*name, (unknown, SegmentPlaces::new()));
        }
        let runs = self.examined.reader.index().runs();
        for run in &runs {
            if run.toc().packs.iter().any(|pack| self.damaged.contains(&pack.name)) {
                rebuild::places_in(run, &mut wanted)?;
            }
        }
        let mut wanted: Vec<_> = wanted.into_values().filter(|(_, places)| !places.is_empty()).collect();
        wanted.sort_by_key(|(pack, _)| pack.name);
        for (pack, places) in wanted {
            self.reseal(pack, &places)?;
        }
        for run in runs {
            let (lost, packs): (Vec<&PackRef>, Vec<&PackRef>) =
                run.toc().packs.iter().partition(|pack| self.damaged.contains(&pack.name));
            self.left_out.extend(lost.iter().map(|pack| Victim { class: pack.class, name: pack.name }));
            if !lost.is_empty() {
                let (name, left_out) = rebuild::run_without(self.repository, &run, |pack| !self.damaged.contains(&pack.name))?;
                let chunks = run.toc().record_count() - left_out;
                let replaces = vec![run.name()];
                self.rewritten.push(NewRun { name, replaces, packs: packs.len() as u64, chunks, left_out });
            }
        }
        Ok(())
    }

    fn reseal(&mut self, pack: PackRef, places: &SegmentPlaces) -> Result<()> {
        if let Some(placed) = rebuild::reseal(self.repository, &pack, places)? {
            self.packs.push(NewPack { pack: placed.pack, instead_of: pack, chunks: chunk_count(&placed) });
            self.take(placed)?;
        }
        Ok(())
    }

    /// Makes runs of packs that hold chunks which no run names: of packs that no run names at all, or of `all`.
    ///
    /// What can be read of a damaged one goes to a new pack: no run is to name a damaged one.
    pub fn name_packs_again(&mut self, all: bool) -> Result<()> {
        let reader = self.reader()?;
        let whole = self.examined.report.level == Level::Full;
        let candidates = if all { self.indexed_packs() } else { self.examined.unindexed.clone() };
        for pack in candidates {
            let whole = !all && (whole || pack.class == PackClass::Meta);
            let Some(Salvaged { placed, is_damaged }) = rebuild::salvage(self.repository, &pack, whole)? else {
                continue;
            };
            let mut is_needed = false;
            for chunk in placed.toc.segments.iter().flat_map(|segment| &segment.chunks) {
                is_needed = is_needed || reader.locate(&chunk.id)?.is_none();
            }
            match (is_needed, is_damaged) {
                (false, _) => {}
                (true, false) => self.take(placed)?,
                (true, true) => self.reseal(placed.pack, &rebuild::places_of(&placed))?,
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
        let packs = runs.iter().flat_map(|run| &run.toc().packs).filter(|pack| !self.damaged.contains(&pack.name));
        let listed = |pack: &PackRef| ListedPack { class: pack.class, name: pack.name, len_bytes: u64::from(pack.len) };
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
        let name = rebuild::run_of_packs(self.repository, &packs, self.generation, replaces.clone())?;
        self.added.push(NewRun { name, replaces, packs: packs.len() as u64, chunks, left_out: 0 });
        Ok(())
    }

    /// Returns a reader whose index is what it will be when all is stored that is made so far.
    pub fn reader(&mut self) -> Result<Arc<Reader>> {
        if !self.pending.is_empty() {
            self.close_run(Vec::new())?;
        }
        let sound = self.examined.reader.index().runs();
        let made = self.added.iter().chain(&self.rewritten).map(|run| run.name);
        let runs: Vec<ObjectId> = sound.iter().map(|run| run.name()).chain(made).collect();
        rebuild::reader_of(self.repository, &runs)
    }
}

fn chunk_count(placed: &PlacedPack) -> u64 {
    placed.toc.segments.iter().map(|segment| segment.chunks.len() as u64).sum()
}
