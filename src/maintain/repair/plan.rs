//! What is to be done.

use std::sync::Arc;

use super::index::Drafts;
use super::{Plan, RepairOptions};
use crate::maintain::check::{CheckOptions, CheckReport, Examined, Level, examine};
use crate::monitor::Monitor;
use crate::repo::generations::{self, Generations};
use crate::repo::{Repository, Result, rebuild};

/// How often damage is looked at before it is believed although collectors are at work.
const LOOKS_MAX: usize = 3;

/// Looks at everything and says what can be healed; stores nothing.
///
/// Damage is in the plan, never an error: an error means that the look could not be finished.
pub fn plan(repository: &Arc<Repository>, options: &RepairOptions, monitor: &Monitor) -> Result<Plan> {
    let check = CheckOptions { level: options.level.max(Level::Structure), threads: options.threads, now: options.now };
    let (generation, examined) = look(repository, &check, monitor)?;
    let mut drafts = Drafts::new(repository, &examined, generation, removed_packs(&examined)?);
    let outlook = draft(&mut drafts, &examined, monitor);
    let (packs, added, rewritten) = drafts.into_parts();
    // From here on the plan's end removes the drafts.
    let mut plan = Plan {
        repository: repository.clone(),
        options: options.clone(),
        outlook: CheckReport::new(check.level),
        beyond: beyond_repair(&examined.report),
        found: examined.report,
        packs,
        added,
        rewritten,
    };
    plan.outlook = outlook?;
    Ok(plan)
}

/// Looks until nothing is wrong or no collector was at work meanwhile, whose work may look like damage; but not for ever.
///
/// Returns too what new runs may say of themselves: it is found out before any pack is listed.
fn look(repository: &Arc<Repository>, check: &CheckOptions, monitor: &Monitor) -> Result<(u64, Examined)> {
    let mut looks = 1;
    loop {
        let before = Generations::list(repository)?;
        let generation = rebuild::stamp(repository)?;
        let examined = examine(repository, check, monitor)?;
        let after = Generations::list(repository)?;
        // Records that cannot be read are among the problems, and no reason to look again.
        let is_quiet = before == after && !after.is_at_work(repository).unwrap_or(false);
        if is_quiet || examined.report.is_sound() || looks == LOOKS_MAX {
            return Ok((generation, examined));
        }
        looks += 1;
        monitor.begin_again();
    }
}

fn removed_packs(examined: &Examined) -> Result<std::collections::HashSet<crate::id::ObjectId>> {
    match generations::removed(&examined.reader) {
        // A record of a collector is damaged: it is among the problems.
        Err(error) if error.is_damage() => Ok(Default::default()),
        removed => Ok(removed?.packs),
    }
}

fn draft(drafts: &mut Drafts<'_>, examined: &Examined, monitor: &Monitor) -> Result<CheckReport> {
    if !drafts.is_needed() {
        return examined.outlook(&examined.reader, monitor);
    }
    drafts.reseal_damaged_packs()?;
    drafts.name_packs_again(false)?;
    let outlook = examined.outlook(&drafts.reader()?, monitor)?;
    if outlook.is_sound() {
        return Ok(outlook);
    }
    // A second copy of a chunk may lie in a pack that is named for other chunks.
    drafts.name_packs_again(true)?;
    examined.outlook(&drafts.reader()?, monitor)
}

/// Returns the problems with objects that follow from nothing else.
fn beyond_repair(found: &CheckReport) -> Vec<String> {
    let is_beyond =
        |object: &str| ["config/", "keys/", "snapshots/", "intents/", "gc/"].iter().any(|class| object.starts_with(class));
    let beyond = found.problems.items.iter().filter(|problem| is_beyond(&problem.object));
    beyond.map(|problem| format!("{}: {}", problem.object, problem.message)).collect()
}
