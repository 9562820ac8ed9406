//! Is everything in a repository whole, and if not, which paths of which snapshots are affected?
//!
//! # No false alarms beside running backups
//!
//! A backup stores packs, then the index run that names them, then the snapshot. A check looks in
//! the opposite order: snapshots, then the index, then the packs. So whatever a snapshot relies on
//! was in the index before the index is read, and whatever the index names was stored before the
//! packs are listed. What appears meanwhile is at most more than needed: packs that no run names
//! yet are counted, not complained about. Local notes of snapshots seen are read before the store's
//! listing, because a backup notes its snapshot after storing it.
//!
//! A collector removes in the opposite order (index runs that name a pack, then the pack), so a
//! pack that is missing is complained about only if the run that names it is still listed *after*
//! the pack was found missing.
//!
//! # Nothing local is believed
//!
//! Every object is read from the store. Local copies that trees are read from are first compared
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

/// How often a check looks again before it believes that what it found is damage.
const CHECKS_MAX: usize = 3;

/// Checks a repository. Needs at most 200 MiB, whatever its size.
///
/// Damage is in the report, never an error: an error means that the check could not be finished.
///
/// What a collector did meanwhile may look like damage: then it is looked at again before anybody
/// is told.
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
        // Records that cannot be read are among the problems, and no reason to look again.
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
