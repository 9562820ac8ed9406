//! What collectors were going to remove, and is needed since.
//!
//! Between a verdict and its end another place of a chunk may be lost: then the pack that the
//! verdict names is the only one, and no collector carries the verdict out, nor begins anything
//! else before. So what such packs hold is stored again, in packs that no verdict names. Spec:
//! `format-spec/13-commit.md`, section 4.

use std::collections::HashSet;
use std::sync::Arc;

use crate::format::snapshot::Snapshot;
use crate::id::{ObjectId, SnapshotId};
use crate::maintain::check::Examined;
use crate::maintain::mark::{MarkFailure, Marking};
use crate::monitor::Monitor;
use crate::repo::gc::generations::{Generations, State};
use crate::repo::read::reachable::Marks;
use crate::repo::{Reader, Repository, Result};

/// A verdict that is on record and not carried out.
pub struct Unfinished {
    /// The number of its generation.
    pub number: u64,
    /// The snapshots that it drops, ascending.
    pub snapshots: Vec<SnapshotId>,
}

/// Returns the verdict that is to be carried out next, if there is one.
pub fn unfinished(repository: &Repository) -> Result<Option<Unfinished>> {
    let generations = Generations::list(repository)?;
    let number = generations.highest();
    if number == 0 {
        return Ok(None);
    }
    match generations.state(repository, number) {
        Ok(State::Unfinished(removal)) => {
            Ok(Some(Unfinished { number, snapshots: removal.snapshots }))
        }
        // A record that is damaged is among the problems; one that is gone was trimmed, so it has
        // ended.
        Err(error) if !error.is_damage() && !error.is_not_found() => Err(error),
        _ => Ok(None),
    }
}

/// Returns the packs that verdicts on record remove, and that are there and named yet.
pub fn doomed_packs(examined: &Examined, removed: &HashSet<ObjectId>) -> HashSet<ObjectId> {
    let runs = examined.reader.index().runs();
    let named = runs.iter().flat_map(|run| &run.toc().packs).map(|pack| pack.name);
    named.filter(|name| removed.contains(name) && !examined.damage.packs().contains(name)).collect()
}

/// Returns which of the `doomed` packs are the only place of something that a snapshot needs, if
/// `reader`'s index is that of the repository.
///
/// Snapshots that are `dropped` (ascending) need nothing. From then on the reader relies on no
/// other of the packs.
pub fn only_places(
    examined: &Examined,
    reader: &Arc<Reader>,
    doomed: &HashSet<ObjectId>,
    dropped: &[SnapshotId],
    monitor: &Monitor,
) -> Result<HashSet<ObjectId>> {
    let gone = examined.damage.gone_packs();
    gone.iter().chain(doomed).for_each(|pack| reader.index().avoid_pack(*pack));
    let stays = |snapshot: &&Snapshot| dropped.binary_search(&snapshot.id).is_err();
    let roots: Vec<Snapshot> = examined.snapshots.iter().filter(stays).cloned().collect();
    let (marks, mut unneeded) = (Marks::new(reader.index().record_count()), doomed.clone());
    let marking = Marking { reader, marks: &marks, pool: &examined.pool, monitor };
    marking.mark_what_is_there(&roots, &mut unneeded, MarkFailure::Unreadable)?;
    Ok(doomed - &unneeded)
}
