//! Runs of a set, the numbers of their records, and the places to avoid.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use super::run::{Location, Run};
use crate::format::run::RunRecord;
use crate::id::ObjectId;

/// The runs that a set knows.
#[derive(Default)]
pub(super) struct KnownRuns {
    /// The runs.
    pub runs: Vec<Numbered>,
    /// The number of the first record of the next run.
    pub next: u64,
    /// The places to avoid.
    pub avoided: Avoided,
    /// All runs that were ever in the set.
    seen: HashMap<ObjectId, SeenRun>,
}

/// What is remembered about a run that may be dropped and added again, because its local copy is
/// damaged.
struct SeenRun {
    /// Number of the run's first record.
    first: u64,
    /// Whether it was in the set when the places to avoid were set last.
    is_judged: bool,
}

/// A run with the number of its first record. The number never changes, even if the run is dropped
/// and added again, because traversals mark chunks by these numbers.
pub(super) struct Numbered {
    /// Number of the first record.
    pub first: u64,
    /// The run.
    pub run: Arc<Run>,
}

impl Deref for Numbered {
    type Target = Arc<Run>;

    fn deref(&self) -> &Arc<Run> {
        &self.run
    }
}

/// Places on which sessions must not rely, because collectors removed them or may be removing them.
///
/// Spec: `format-spec/13-commit.md`.
#[derive(Default, Debug)]
pub struct Avoided {
    /// Packs that are condemned or missing.
    pub packs: HashSet<ObjectId>,
    /// Runs that are so old that it is not known any more which of their packs were removed.
    pub stale_runs: HashSet<ObjectId>,
    /// The generation with which the runs were compared. A run that is added later and states an
    /// earlier generation is not trusted, because its packs were not compared with the removals.
    /// `None` if all later runs are trusted.
    pub judged: Option<u64>,
}

impl Avoided {
    /// Returns whether there is nothing to avoid.
    pub fn is_empty(&self) -> bool {
        self.packs.is_empty() && self.stale_runs.is_empty()
    }

    fn trusts(&self, run: &Run, pack: &ObjectId) -> bool {
        self.is_empty() || !(self.packs.contains(pack) || self.stale_runs.contains(&run.name()))
    }
}

/// A place of a chunk.
#[derive(Clone, Copy, Debug)]
pub struct ChunkPlace {
    /// The number of its record, which never changes; marks are bits with these numbers.
    pub number: u64,
    /// The place.
    pub location: Location,
    /// Whether a session may rely on it; if not, its pack may be removed already, or soon.
    pub is_trusted: bool,
}

impl KnownRuns {
    /// Adds a run.
    pub(super) fn add(&mut self, run: Arc<Run>) {
        let next = self.next;
        let seen = self.seen.entry(run.name()).or_insert(SeenRun { first: next, is_judged: false });
        if seen.first == next {
            self.next = next.saturating_add(run.toc().record_count());
        }
        if !seen.is_judged
            && self.avoided.judged.is_some_and(|judged| run.toc().generation < judged)
        {
            self.avoided.stale_runs.insert(run.name());
        }
        self.runs.push(Numbered { first: seen.first, run });
    }

    /// Sets the places to avoid; they must have been found from the runs in the set.
    pub(super) fn avoid(&mut self, avoided: Avoided) {
        self.avoided = avoided;
        let there: HashSet<ObjectId> = self.runs.iter().map(|run| run.name()).collect();
        self.seen.iter_mut().for_each(|(name, seen)| seen.is_judged = there.contains(name));
    }

    /// Returns whether a run that is trusted names a pack that is not avoided.
    pub(super) fn is_trusted_pack(&self, pack: &ObjectId) -> bool {
        let names = |run: &Run| run.toc().packs.iter().any(|named| named.name == *pack);
        self.runs.iter().any(|run| self.avoided.trusts(run, pack) && names(run))
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
        let number = first_number + run.toc().block(block).first_record + at as u64;
        let location = run.location(record);
        ChunkPlace { number, location, is_trusted: self.avoided.trusts(run, &location.pack.name) }
    }
}
