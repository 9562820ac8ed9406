//! Packs that an unfinished verdict names and that have become the only place of needed chunks.
//!
//! Between a verdict and its execution, another place of a chunk may be lost. Then the pack that
//! the verdict names is the only one, and no prune carries out the verdict, or begins anything
//! else. So the chunks of such packs are stored again, in packs that no verdict names. Spec:
//! `format-spec/13-commit.md`, section 4.

use std::collections::HashSet;
use std::sync::Arc;

use crate::format::snapshot::Snapshot;
use crate::id::{ObjectId, SnapshotId};
use crate::maintain::check::Examined;
use crate::maintain::mark::{MarkFailure, Marking};
use crate::monitor::Monitor;
use crate::repo::gc::generations::{GenerationState, Generations};
use crate::repo::read::reachable::MarkBits;
use crate::repo::{Reader, Repository, Result};

/// A recorded verdict that is not carried out.
pub(super) struct Unfinished {
    /// The number of its generation.
    pub number: u64,
    /// The snapshots that it drops, ascending.
    pub snapshots: Vec<SnapshotId>,
}

/// Returns the verdict to be carried out next, if there is one.
pub(super) fn unfinished(repository: &Repository) -> Result<Option<Unfinished>> {
    let generations = Generations::list(repository)?;
    let number = generations.highest();
    if number == 0 {
        return Ok(None);
    }
    match generations.state(repository, number) {
        Ok(GenerationState::Unfinished(removal)) => {
            Ok(Some(Unfinished { number, snapshots: removal.snapshots }))
        }
        // A damaged record is reported as a problem; a missing one was trimmed, so its generation
        // has ended.
        Err(error) if !error.is_damage() && !error.is_not_found() => Err(error),
        _ => Ok(None),
    }
}

/// Returns the packs that recorded verdicts remove, and that still exist and are indexed.
pub(super) fn doomed_packs(examined: &Examined, removed: &HashSet<ObjectId>) -> HashSet<ObjectId> {
    let runs = examined.reader.index().runs();
    let named = runs.iter().flat_map(|run| &run.toc().packs).map(|pack| pack.name);
    named.filter(|name| removed.contains(name) && !examined.damage.packs().contains(name)).collect()
}

/// Returns which of the `doomed` packs are the only place of a needed chunk, by the index of
/// `reader`.
///
/// Snapshots that are `dropped` (ascending) need nothing. From then on the reader avoids the other
/// doomed packs.
pub(super) fn only_places(
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
    let (marks, mut unneeded) = (MarkBits::new(reader.index().record_count()), doomed.clone());
    let marking = Marking { reader, marks: &marks, pool: &examined.pool, monitor };
    marking.mark_what_is_there(&roots, &mut unneeded, MarkFailure::Unreadable)?;
    Ok(doomed - &unneeded)
}
