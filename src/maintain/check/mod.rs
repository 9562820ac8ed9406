//! Check of a repository: finds damage, and the paths of snapshots that it affects.
//!
//! # No false alarms during backups
//!
//! A backup stores packs, then the index run that names them, then the snapshot. A check reads in
//! the opposite order: snapshots, then the index, then the packs. So everything that a snapshot
//! needs was in the index before the index is read, and every pack that the index names was stored
//! before the packs are listed. Objects that appear meanwhile do no harm: packs that no run names
//! yet are counted, not reported. Local notes of known snapshots are read before the store's
//! listing, because a backup notes its snapshot after storing it.
//!
//! A prune removes in the opposite order (index runs that name a pack, then the pack), so a missing
//! pack is reported only if the run that names it is still listed *after* the pack was found
//! missing.
//!
//! # Local state is not trusted
//!
//! Every object is read from the store. Local copies from which trees are read are first compared
//! with it.

mod damage;
mod examine;
mod ledger;
mod level;
mod listing;
mod options;
mod pack;
mod pack_jobs;
mod packs;
mod paths;
mod report;
mod trees;

use std::sync::Arc;

pub use self::level::{Level, NoLevel};
pub use self::options::CheckOptions;
pub use self::report::{
    AffectedPath, CappedList, CheckCounts, CheckProblem, CheckReport, Coverage, KEPT_MAX,
};

pub(super) use self::damage::Damage;
pub(super) use self::examine::{Examined, examine};
use crate::monitor::Monitor;
use crate::repo::gc::generations::Generations;
use crate::repo::{Repository, Result};

/// Most passes of a check before damage is reported although a prune is running.
const CHECKS_MAX: usize = 3;

/// Checks a repository. Needs at most 200 MiB, whatever its size.
///
/// Damage is in the report, never an error: an error means that the check could not be finished.
///
/// A prune that ran meanwhile may look like damage: then the check is repeated before it reports
/// anything.
pub fn run(
    repository: &Arc<Repository>,
    options: &CheckOptions,
    monitor: &Monitor,
) -> Result<CheckReport> {
    for _ in 1..CHECKS_MAX {
        let before = Generations::list(repository)?;
        let report = check_once(repository, options, monitor)?;
        if report.is_sound() {
            return Ok(report);
        }
        let after = Generations::list(repository)?;
        // Unreadable collector records are reported as problems, and no reason to repeat.
        if before == after && !after.is_at_work(repository).unwrap_or(false) {
            return Ok(report);
        }
        monitor.begin_again();
    }
    check_once(repository, options, monitor)
}

fn check_once(
    repository: &Arc<Repository>,
    options: &CheckOptions,
    monitor: &Monitor,
) -> Result<CheckReport> {
    Ok(examine(repository, options, monitor)?.report)
}
