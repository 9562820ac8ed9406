//! Prune: removes objects that no snapshot needs, concurrently with backups and other prunes,
//! without locks.
//!
//! ```text
//! finish the last generation ─ scan roots (intents, snapshots) ─ mark ─ plan ─ repack ─
//!     check for loss ─ condemn ─ scan roots again ─ verdict ─ remove
//! ```
//!
//! The process may die after every step: the next prune joins an open generation, and carries out a
//! verdict. Spec, with the argument for each step: `format-spec/13-commit.md`.

mod loss_check;
mod marked;
mod options;
mod plan;
mod repack;
mod report;
mod room;
mod roots;
mod verdict;

use std::collections::HashSet;
use std::sync::Arc;

pub use self::options::{Exclusion, PruneOptions};
pub use self::plan::PrunePlan;
pub use self::report::PruneReport;

use self::loss_check::LossCheck;
use self::marked::Marked;
use self::roots::{DropSet, Roots, scan_roots};
use crate::format::generation::{Condemned, Removal};
use crate::id::ObjectId;
use crate::maintain::mark::{MarkFailure, Marking};
use crate::monitor::Monitor;
use crate::repo::gc::collect;
use crate::repo::gc::generations::{self, GenerationState, Generations};
use crate::repo::gc::object_locks::{self, Unneeded};
use crate::repo::read::reachable::MarkBits;
use crate::repo::write::Checkpoints;
use crate::repo::{Error, Reader, Repository, Result, Session, SessionOptions};

/// Most rounds of one prune: a round is repeated if another prune was quicker, or if there is more
/// to remove.
const ROUNDS_MAX: usize = 16;
/// Newest generations whose records are kept, and seconds for which older records are kept.
const KEPT_GENERATIONS: u64 = 16;
const KEPT_S: i64 = 90 * 24 * 3600;

/// Removes objects that no snapshot needs. Memory: the index, 1 bit for each chunk, and about 100
/// bytes for each pack.
///
/// Reads file content only of packs that are rewritten, and of chunks that are stored twice before
/// one of their places is removed. Fails before it removes anything if the repository is damaged.
pub fn run(
    repository: &Arc<Repository>,
    options: &PruneOptions,
    monitor: &Monitor,
) -> Result<PruneReport> {
    let threads = rayon::ThreadPoolBuilder::new()
        .num_threads(repository.readers(options.threads))
        .thread_name(|at| format!("mark-{at}"));
    let pool = threads.build().map_err(|error| Error::Threads(error.to_string()))?;
    if !options.dry_run {
        repository.confirm_key()?;
    }
    let mut prune = Prune {
        repository,
        options,
        monitor,
        pool,
        is_tight: false,
        report: PruneReport::default(),
    };
    let ran = prune.run_with_room();
    if let Some(span_s) = options.lock_span_s {
        let until_s = object_locks::end_of_day(options.now, span_s);
        match &ran {
            Ok(()) => {
                let unneeded = prune.unneeded();
                prune.report.locks = Some(object_locks::extend(
                    repository,
                    &unneeded,
                    until_s,
                    options.dry_run,
                    monitor,
                )?);
            }
            // Needed objects cannot be told from the rest, so all locks are extended. The first
            // error is returned, not one of this.
            Err(error) if error.is_damage() => {
                drop(object_locks::extend(
                    repository,
                    &Unneeded::default(),
                    until_s,
                    options.dry_run,
                    monitor,
                ));
            }
            Err(_) => {}
        }
    }
    ran.map(|()| prune.report)
}

struct Prune<'a> {
    repository: &'a Arc<Repository>,
    options: &'a PruneOptions,
    monitor: &'a Monitor,
    pool: rayon::ThreadPool,
    /// Whether the store is full, so that as little as possible is written before packs are
    /// removed.
    is_tight: bool,
    report: PruneReport,
}

impl Prune<'_> {
    /// Repeats rounds until nothing is left to do, or other prunes were quicker too often.
    fn run(&mut self) -> Result<()> {
        let mut is_renewed = false;
        for _ in 0..ROUNDS_MAX {
            if self.monitor.is_cancelled() {
                return Err(Error::Cancelled);
            }
            let before = Generations::list(self.repository)?;
            match self.round(&before) {
                Ok(true) => return Ok(()),
                Ok(false) => {}
                // A removal by another prune meanwhile is no damage.
                Err(error)
                    if error.is_damage() && Generations::list(self.repository)? != before => {}
                // A bad local copy of the index is no damage either.
                Err(error)
                    if error.is_of_index()
                        && !is_renewed
                        && Reader::offline(self.repository)?.drop_bad_copies() =>
                {
                    is_renewed = true;
                }
                Err(error) => return Err(error),
            }
        }
        self.report.outrun = true;
        Ok(())
    }

    /// Returns the objects that nothing needs, and that no collector record names.
    fn unneeded(&self) -> Unneeded {
        let plan = &self.report.remaining;
        let mut unneeded =
            Unneeded { packs: plan.young.iter().copied().collect(), ..Unneeded::default() };
        if self.options.dry_run {
            unneeded.packs.extend(plan.victims().iter().map(|victim| victim.name));
            unneeded.snapshots.extend(&plan.dropped);
        }
        unneeded
    }

    /// Runs one round; returns whether there is nothing left to do.
    fn round(&mut self, generations: &Generations) -> Result<bool> {
        let number = generations.highest();
        if number > 0 && !self.options.dry_run {
            match generations.state(self.repository, number)? {
                GenerationState::Open(removal) => {
                    let judged = self.judge(removal, None)?;
                    self.decide_or_cancel(number, judged)?;
                    return Ok(false);
                }
                GenerationState::Unfinished(removal) => {
                    if self.options.exclusion == Exclusion::User {
                        collect::confirm(self.repository, number, None, &removal)?;
                    }
                    let roots = self.judge_another(number, &removal)?;
                    self.finish(number, &removal, &roots)?;
                    return Ok(false);
                }
                GenerationState::Cancelled | GenerationState::Done => {}
            }
        }
        let mut marked = self.mark_all()?;
        let plan = self.plan(&marked)?;
        self.report.remaining = plan.clone();
        self.report.waiting.clone_from(&marked.roots.waiting);
        self.report.guarded.clone_from(&marked.roots.guarded);
        self.report.running_sessions = marked.roots.running as u64;
        self.report.index_runs = marked.reader.index().runs().len() as u64;
        if self.options.dry_run || plan.is_empty() {
            return Ok(true);
        }
        self.store_again(&mut marked, &plan)?;
        LossCheck::of(&marked).refuse_loss(&plan.victims(), self.monitor)?;
        let removal = Removal { packs: plan.victims(), snapshots: plan.dropped.clone() };
        let oldest = self.oldest_kept(generations)?;
        let condemned = Condemned { oldest, removal: removal.clone() };
        if !generations::condemn(self.repository, number + 1, self.options.now, condemned)? {
            return Ok(false);
        }
        let judged = self.judge(removal, Some(marked))?;
        if !self.decide_and_finish(number + 1, judged)? {
            return Ok(false);
        }
        for old in generations.numbers().filter(|old| *old < oldest) {
            generations::trim(self.repository, old)?;
        }
        let PrunePlan { left_unused_bytes, young, young_bytes, is_capped, .. } = plan;
        self.report.remaining =
            PrunePlan { left_unused_bytes, young, young_bytes, ..PrunePlan::default() };
        Ok(!is_capped)
    }

    /// Lists everything and marks what is needed (steps C2 and C3).
    fn mark_all(&self) -> Result<Marked> {
        let roots = scan_roots(self.repository, self.options, &DropSet::Expired)?;
        let reader = Reader::offline(self.repository)?;
        let (horizon, listed) = collect::survey(reader.chunk_index())?;
        let marks = MarkBits::new(reader.index().record_count());
        self.mark(&reader, &roots, &marks, &mut HashSet::new())?;
        Ok(Marked { reader, horizon, listed, marks, roots, own: HashSet::new() })
    }

    /// Marks what the roots reach. An expired snapshot may be incomplete: this prune will drop it,
    /// but must finish an earlier verdict first.
    fn mark(
        &self,
        reader: &Arc<Reader>,
        roots: &Roots,
        marks: &MarkBits,
        condemned: &mut HashSet<ObjectId>,
    ) -> Result<()> {
        let marking = Marking { reader, marks, pool: &self.pool, monitor: self.monitor };
        marking.mark(&roots.snapshots, condemned)?;
        marking.mark_what_is_there(&roots.expired, condemned, MarkFailure::Lost)
    }

    fn plan(&self, marked: &Marked) -> Result<PrunePlan> {
        let Marked { reader, listed, marks, roots, .. } = marked;
        let packs = plan::measure(reader.index(), marks, listed, roots)?;
        let mut plan = plan::plan(&packs, listed, roots, self.options);
        plan.merges = collect::worth_merging(&reader.index().runs(), &|run| {
            plan::is_settled(run, &roots.ended_sessions)
        })
        .len();
        if self.is_tight {
            plan.tighten(listed);
        }
        Ok(plan)
    }

    /// Stores the live chunks of rewritten packs again.
    fn store_again(&mut self, marked: &mut Marked, plan: &PrunePlan) -> Result<()> {
        plan.victims().iter().for_each(|victim| marked.reader.index().avoid_pack(victim.name));
        if plan.repack.is_empty() {
            return Ok(());
        }
        let options = SessionOptions {
            compression: self.options.compression,
            threads: self.options.threads,
            low_memory: self.options.low_memory,
            dry_run: false,
            checkpoints: Checkpoints::default(),
        };
        let before: HashSet<ObjectId> =
            marked.reader.index().runs().iter().map(|run| run.name()).collect();
        let index = marked.reader.chunk_index().clone();
        let session = Session::of_collector(index, options, marked.horizon.clone());
        let lanes = repack::lanes_for(plan.repack_bytes, options.lanes());
        let stats = repack::repack(marked, session, &plan.repack, lanes, self.monitor)?;
        self.report.stored_bytes += stats.bytes_stored - stats.bytes_of_runs;
        self.report.stored_run_bytes += stats.bytes_of_runs;
        let runs = marked.reader.index().runs();
        let own = runs.iter().filter(|run| !before.contains(&run.name()));
        marked.own = own.flat_map(|run| &run.toc().packs).map(|pack| pack.name).collect();
        Ok(())
    }

    /// Returns the generation below which records are trimmed.
    fn oldest_kept(&self, generations: &Generations) -> Result<u64> {
        let first = generations.oldest(self.repository)?.max(1);
        let mut oldest = first;
        let highest = generations.highest();
        for number in generations.numbers().skip_while(|number| *number < first) {
            let age_s = self
                .options
                .now
                .seconds
                .saturating_sub(generations.opened(self.repository, number)?.seconds);
            if number.saturating_add(KEPT_GENERATIONS) > highest || age_s < KEPT_S {
                break;
            }
            oldest = number + 1;
        }
        Ok(oldest)
    }
}
