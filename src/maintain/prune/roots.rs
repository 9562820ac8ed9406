//! What is needed: snapshots, and what running sessions rely on.

use std::collections::HashSet;

use super::options::{Exclusion, PruneOptions};
use crate::format::entry::Timestamp;
use crate::format::snapshot::Snapshot;
use crate::id::{ObjectId, SnapshotId};
use crate::repo::intents::SessionIntents;
use crate::repo::{Error, Repository, Result, intents, snapshots};

/// The roots, as one look at `intents/` and then at `snapshots/` found them.
pub struct Roots {
    /// Snapshots that must stay whole, those in the trash among them.
    pub snapshots: Vec<Snapshot>,
    /// Forgotten snapshots that cease to be roots, ascending.
    pub dropped: Vec<SnapshotId>,
    /// Snapshots that are in the trash and stay there, and when their windows are over.
    pub waiting: Vec<(SnapshotId, Timestamp)>,
    /// Packs that intents name.
    pub relied: HashSet<ObjectId>,
    /// Sessions whose slot is filled.
    pub over: HashSet<SnapshotId>,
    /// Sessions that have intents and no slot, and so may be running.
    pub running: usize,
}

/// Which forgotten snapshots are dropped.
pub enum Drop<'a> {
    /// Those whose window is over.
    Due,
    /// Those of these that are still forgotten.
    These(&'a [SnapshotId]),
}

/// Lists and reads intents, then snapshots.
///
/// Fails if a snapshot cannot be read: what it needs would be taken for garbage.
pub fn look(repository: &Repository, options: &PruneOptions, drop: &Drop) -> Result<Roots> {
    let sessions = intents::read_all(repository)?;
    let age_s = |found: &SessionIntents| options.now.seconds.saturating_sub(found.newest.seconds);
    let may_expire = !options.dry_run && options.exclusion == Exclusion::Store;
    let is_dead = |found: &SessionIntents| may_expire && age_s(found) > options.intent_max_age_s;
    let over = intents::expire(repository, &sessions, is_dead)?;
    let listing = snapshots::listing(repository)?;
    let clock = listing.clock(options.now);
    let mut roots =
        Roots { snapshots: Vec::new(), dropped: Vec::new(), waiting: Vec::new(), relied: HashSet::new(), over, running: 0 };
    let mut parents = HashSet::new();
    for (session, found) in sessions {
        if !roots.over.contains(&session) {
            roots.running += 1;
            roots.relied.extend(found.packs);
            parents.extend(found.parents);
        } else if !options.dry_run {
            // Its slot is filled, and `listing` was made after that was seen.
            intents::remove(repository, &session, &found.numbers)?;
        }
    }
    for (_, snapshot) in listing.snapshots {
        roots.snapshots.extend(present(snapshot)?);
    }
    for forgotten in listing.forgotten {
        let id = forgotten.tombstone.snapshot;
        let is_due = match drop {
            Drop::Due => forgotten.is_over(options.trash_window_s, clock),
            Drop::These(ids) => ids.binary_search(&id).is_ok(),
        };
        if is_due && !parents.contains(&id) {
            roots.dropped.push(id);
        } else {
            roots.waiting.push((id, forgotten.ends(options.trash_window_s)));
            roots.snapshots.extend(present(forgotten.snapshot)?);
        }
    }
    roots.dropped.sort_unstable();
    Ok(roots)
}

/// A slot that vanished since the listing was removed by another collector, and is no root any more.
fn present(snapshot: Result<Snapshot>) -> Result<Option<Snapshot>> {
    match snapshot {
        Err(error) if error.is_not_found() => Ok(None),
        other => other.map(Some),
    }
}

/// Refuses to go on when a live chunk is nowhere.
pub fn lost(id: crate::id::ChunkId) -> Error {
    Error::MissingChunk { id }
}
