//! The runs of a set, the numbers of their records, and which places of theirs must not be relied
//! on.

use std::collections::{HashMap, HashSet};
use std::ops::Deref;
use std::sync::Arc;

use super::run::{Location, Run};
use crate::format::run::RunRecord;
use crate::id::ObjectId;

/// What a set knows.
#[derive(Default)]
pub(super) struct KnownRuns {
    /// The runs.
    pub runs: Vec<Numbered>,
    /// The number of the first record of the next run.
    pub next: u64,
    /// What must not be relied on.
    pub avoided: Avoided,
    /// All runs that were ever there.
    seen: HashMap<ObjectId, SeenRun>,
}

/// What is remembered of a run, should it go and come back: a bad local copy is dropped and fetched
/// again.
struct SeenRun {
    /// The number of its first record.
    first: u64,
    /// Whether it was there when it was said last what must not be relied on.
    is_judged: bool,
}

/// A run, and the number of its first record: it stays when others go, and when the run itself goes
/// and comes back, because who walks through trees marks by numbers.
pub(super) struct Numbered {
    /// That number.
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

/// Places that must not be relied on: collectors removed them, or may be doing so. Spec:
/// `format-spec/13-commit.md`.
#[derive(Default, Debug)]
pub struct Avoided {
    /// Packs that are condemned or gone.
    pub packs: HashSet<ObjectId>,
    /// Runs of which it is not known any more which of their packs were removed.
    pub stale_runs: HashSet<ObjectId>,
    /// The generation up to which the runs of then were looked at: one that comes later and states
    /// an earlier one is not relied on, for nobody has seen yet which of its packs were removed.
    /// `None` if all that comes may be.
    pub judged: Option<u64>,
}

impl Avoided {
    /// Returns whether all may be relied on.
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
    /// The number of its record, which is the same as long as its run is in the set: a set of
    /// chunks is a bit for each number.
    pub number: u64,
    /// The place.
    pub location: Location,
    /// Whether it may be relied on; if not, the pack may be gone already, or soon.
    pub is_trusted: bool,
}

impl KnownRuns {
    /// Adds a run.
    pub fn add(&mut self, run: Arc<Run>) {
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

    /// Says what must not be relied on of the runs that are there.
    pub fn avoid(&mut self, avoided: Avoided) {
        self.avoided = avoided;
        let there: HashSet<ObjectId> = self.runs.iter().map(|run| run.name()).collect();
        self.seen.iter_mut().for_each(|(name, seen)| seen.is_judged = there.contains(name));
    }

    /// Describes the place that record `at` of a block states.
    pub fn place(
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
