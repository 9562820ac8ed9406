//! Planning of a repair.

use std::collections::HashSet;
use std::sync::Arc;

use super::doomed;
use super::index::Drafts;
use super::{Broken, RepairOptions, RepairPlan, unread};
use crate::format::run::PackRef;
use crate::format::snapshot::Snapshot;
use crate::id::{ObjectId, SnapshotId};
use crate::maintain::check::{
    CheckOptions, CheckProblem, CheckReport, Damage, Examined, Level, examine,
};
use crate::monitor::Monitor;
use crate::repo::audit::{drafts, salvage};
use crate::repo::gc::generations::{self, Generations};
use crate::repo::objects::layout;
use crate::repo::{Error, Repository, Result, snapshots};

/// Most examinations before damage is believed although a prune is running.
const LOOKS_MAX: usize = 3;

/// Examines everything and plans the repair; stores nothing.
///
/// Damage is in the plan, never an error: an error means that the examination could not be
/// finished.
pub fn plan(
    repository: &Arc<Repository>,
    options: &RepairOptions,
    monitor: &Monitor,
) -> Result<RepairPlan> {
    for _ in 1..LOOKS_MAX {
        match try_plan(repository, options, monitor) {
            // A prune removed a pack meanwhile, or a pack that could not be read can be read now.
            Err(Error::Contended { .. }) => monitor.begin_again(),
            planned => return planned,
        }
    }
    try_plan(repository, options, monitor)
}

fn try_plan(
    repository: &Arc<Repository>,
    options: &RepairOptions,
    monitor: &Monitor,
) -> Result<RepairPlan> {
    let check = CheckOptions {
        level: options.level.max(Level::Structure),
        threads: options.threads,
        now: options.now,
    };
    let (generation, mut examined) = examine_settled(repository, &check, monitor)?;
    unread::look_again(repository, &examined)?;
    let drafting = drafts::begin(repository);
    let copies =
        if options.snapshots { copies_of_lost_slots(repository, &examined) } else { Vec::new() };
    examined.snapshots.extend(copies.iter().cloned());
    let removed = removed_packs(&examined)?;
    let mut damaged = HashSet::new();
    let (drafts, preview) = loop {
        let mut drafts = Drafts::new(repository, &examined, generation, &removed, &damaged);
        match draft(&mut drafts, &examined, &removed, monitor) {
            Ok(Drafted::Damaged(packs)) => {
                drafts.discard();
                for pack in packs {
                    let object = layout::pack_key(pack.class, &pack.name).to_string();
                    let message = "not all of it can be read, and a prune that did not finish is \
                        going to remove it"
                        .to_owned();
                    examined.report.problems.push(CheckProblem { object, message });
                    damaged.insert(pack.name);
                }
            }
            Ok(Drafted::Whole(preview)) => break (drafts, preview),
            Err(error) => {
                drafts.discard();
                return Err(error);
            }
        }
    };
    let left_out = drafts.left_out();
    let (packs, added, rewritten) = drafts.into_parts();
    // From here on dropping the plan removes the drafts.
    let mut plan = RepairPlan {
        repository: repository.clone(),
        _drafting: drafting,
        options: options.clone(),
        preview: CheckReport::new(check.level),
        lost: Damage::default(),
        broken: Vec::new(),
        is_any_broken: false,
        beyond: beyond_repair(&examined, &copies),
        found: examined.report,
        packs,
        added,
        rewritten,
        left_out,
    };
    (plan.preview, plan.lost) = *preview;
    let broken = broken(&plan.preview, &examined.snapshots, &copies, &examined.forgotten);
    plan.is_any_broken = !broken.is_empty();
    if options.snapshots {
        plan.broken = broken;
    }
    Ok(plan)
}

/// Returns this machine's copies of snapshots whose slots are damaged or missing.
fn copies_of_lost_slots(repository: &Repository, examined: &Examined) -> Vec<Snapshot> {
    examined.lost_slots.iter().filter_map(|id| snapshots::load_cached(repository, id)).collect()
}

/// Returns the snapshots to be replaced, oldest first.
fn broken(
    preview: &CheckReport,
    readable: &[Snapshot],
    copies: &[Snapshot],
    forgotten: &HashSet<SnapshotId>,
) -> Vec<Broken> {
    let is_slot_lost = |id: &SnapshotId| copies.iter().any(|copy| copy.id == *id);
    let is_broken = |id: &SnapshotId| {
        !forgotten.contains(id) && (preview.incomplete.contains(id) || is_slot_lost(id))
    };
    let of = |snapshot: &Snapshot| Broken {
        snapshot: snapshot.clone(),
        is_slot_lost: is_slot_lost(&snapshot.id),
    };
    let mut broken: Vec<Broken> =
        readable.iter().filter(|snapshot| is_broken(&snapshot.id)).map(of).collect();
    broken.sort_by_key(|broken| (broken.snapshot.started, broken.snapshot.sequence));
    broken
}

/// Repeats the examination until it finds no problem, or no prune ran meanwhile, which may look
/// like damage; but at most [`LOOKS_MAX`] times.
///
/// Also returns the generation that new runs may state, which is read before any pack is listed.
fn examine_settled(
    repository: &Arc<Repository>,
    check: &CheckOptions,
    monitor: &Monitor,
) -> Result<(u64, Examined)> {
    let mut looks = 1;
    loop {
        let before = Generations::list(repository)?;
        let generation = salvage::stamp(repository)?;
        let examined = examine(repository, check, monitor)?;
        let after = Generations::list(repository)?;
        // Unreadable collector records are reported as problems, and no reason to repeat.
        let is_quiet = before == after && !after.is_at_work(repository).unwrap_or(false);
        if is_quiet || examined.report.is_sound() || looks == LOOKS_MAX {
            return Ok((generation, examined));
        }
        looks += 1;
        monitor.begin_again();
    }
}

fn removed_packs(examined: &Examined) -> Result<HashSet<ObjectId>> {
    match generations::removed(examined.reader.chunk_index()) {
        // A damaged collector record is reported as a problem.
        Err(error) if error.is_damage() => Ok(Default::default()),
        removed => Ok(removed?.packs),
    }
}

/// Result of drafting.
enum Drafted {
    /// All drafts are made; this is what stays lost.
    Whole(Box<(CheckReport, Damage)>),
    /// These packs were found to be damaged: the drafts are made again without them.
    Damaged(Vec<PackRef>),
}

fn draft(
    drafts: &mut Drafts<'_>,
    examined: &Examined,
    removed: &HashSet<ObjectId>,
    monitor: &Monitor,
) -> Result<Drafted> {
    let repository = examined.reader.repository();
    let whole = |preview| Drafted::Whole(Box::new(preview));
    let doomed = doomed::doomed_packs(examined, removed);
    if !drafts.is_needed() && doomed.is_empty() {
        return examined.preview_repair(&examined.reader, monitor).map(whole);
    }
    if drafts.is_needed() {
        drafts.reseal_damaged_packs()?;
        drafts.name_packs_again(false)?;
    }
    if !doomed.is_empty() {
        let (number, dropped) = doomed::unfinished(repository)?
            .map(|verdict| (verdict.number, verdict.snapshots))
            .unzip();
        let packs = doomed::only_places(
            examined,
            &drafts.reader()?,
            &doomed,
            &dropped.unwrap_or_default(),
            monitor,
        )?;
        let damaged = drafts.store_again(&packs, number)?;
        if !damaged.is_empty() {
            return Ok(Drafted::Damaged(damaged));
        }
    }
    let preview = examined.preview_repair(&drafts.reader()?, monitor)?;
    if preview.0.is_sound() {
        return Ok(whole(preview));
    }
    // A second copy of a chunk may be in a pack that runs name only for other chunks.
    drafts.name_packs_again(true)?;
    examined.preview_repair(&drafts.reader()?, monitor).map(whole)
}

/// Returns the problems with objects that cannot be derived from others, without slots that
/// `copies` can replace.
fn beyond_repair(examined: &Examined, copies: &[Snapshot]) -> Vec<String> {
    let hashes: HashSet<[u8; 32]> = copies.iter().map(snapshots::chain_hash).collect();
    // A snapshot that follows a lost slot in its chain is reported for that reason only.
    let follows =
        |snapshot: &&Snapshot| snapshot.previous.is_some_and(|previous| hashes.contains(&previous));
    let healed = copies.iter().chain(examined.snapshots.iter().filter(follows));
    let healed: HashSet<String> =
        healed.map(|snapshot| layout::snapshot_key(&snapshot.id).to_string()).collect();
    let is_beyond = |object: &str| {
        ["config/", "keys/", "snapshots/", "intents/", "gc/"]
            .iter()
            .any(|class| object.starts_with(class))
    };
    let is_lost = |object: &String| is_beyond(object) && !healed.contains(object);
    let beyond = examined.report.problems.items.iter().filter(|problem| is_lost(&problem.object));
    beyond.map(|problem| format!("{}: {}", problem.object, problem.message)).collect()
}
