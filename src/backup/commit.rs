//! Commit of a backup's tree, and the problems that the snapshot records.
//!
//! A commit may have to be repeated: a collector can declare the session dead, and a store's answer
//! can get lost.

use super::options::Error;
use crate::format::limits::{SNAPSHOT_PROBLEMS_LEN_MAX_BYTES, SNAPSHOT_PROBLEMS_MAX};
use crate::format::snapshot::{Snapshot, SnapshotProblem};
use crate::monitor::{Monitor, ProblemKind};
use crate::repo::snapshots::prepare::{self, NewTree, Prepared};
use crate::repo::snapshots::{self, Commit};
use crate::repo::{DurablePacks, Repository};

/// Most times that an unconfirmed commit is repeated under a new id.
const LOST_MAX: usize = 4;

/// Commits a tree, again under a new id if a collector declared the session dead, or if the store's
/// answer was lost.
pub(super) fn commit_tree(
    repository: &Repository,
    mut stored: DurablePacks,
    mut tree: NewTree,
    describe: impl Fn(&Prepared) -> Result<Snapshot, Error>,
    monitor: &Monitor,
) -> Result<Snapshot, Error> {
    let mut lost = 0;
    loop {
        let secured = prepare::prepare(stored, tree, monitor)?;
        let snapshot = describe(&secured)?;
        match snapshots::commit(repository, &snapshot, secured)? {
            Commit::Done => return Ok(snapshot),
            Commit::Lost(_, _, error) if lost == LOST_MAX => return Err(error.into()),
            Commit::Lost(again, same, _) => {
                (stored, tree) = (again, same);
                lost += 1;
            }
            Commit::Aborted(again, same) => (stored, tree) = (again, same),
        }
    }
}

/// Returns the number of problems, without notices, and those that a snapshot has room for.
pub(super) fn problems_of(monitor: &Monitor) -> (u64, Vec<SnapshotProblem>) {
    let mut lost = monitor.problems();
    lost.retain(|problem| problem.kind != ProblemKind::Notice);
    // There may be no room for all: files that are missing from the snapshot come first. The sort
    // is stable, so whole sources stay before the rest.
    lost.sort_by_key(|problem| problem.kind != ProblemKind::Unreadable);
    let kind = |kind| match kind {
        ProblemKind::Vanished => 2,
        ProblemKind::Changed => 3,
        _ => 1,
    };
    let count = monitor.problem_count() - monitor.count_of(ProblemKind::Notice);
    let mut room = SNAPSHOT_PROBLEMS_LEN_MAX_BYTES;
    let in_words = lost.into_iter().take(SNAPSHOT_PROBLEMS_MAX).take_while(|lost| {
        let left = room.checked_sub(lost.path.len() + lost.message.len());
        room = left.unwrap_or(0);
        left.is_some()
    });
    let problems = in_words.map(|lost| SnapshotProblem {
        path: lost.path,
        kind: kind(lost.kind),
        message: lost.message,
    });
    (count, problems.collect())
}
