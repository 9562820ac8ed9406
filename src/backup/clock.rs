//! Check of the host's clock against the repository's.

use crate::format::snapshot::Snapshot;
use crate::monitor::{Monitor, ProblemKind};
use crate::repo::{Repository, snapshots};
use crate::retention::trust::TOLERANCE_S;

/// How much later than the last snapshot a new one must be dated, in seconds, for a remote store to
/// be asked when it received it: more than a week.
const JUMP_S: i64 = 8 * DAY_S;
const DAY_S: i64 = 24 * 3600;

/// Reports a new snapshot that is dated later than the store received it, or earlier than the one
/// before it.
///
/// A remote store is asked only if the date is far from the last one, so that an ordinary backup
/// needs no further request. A local store is asked whenever the answer can matter.
pub(super) fn check(
    repository: &Repository,
    snapshot: &Snapshot,
    before: Option<&Snapshot>,
    monitor: &Monitor,
) {
    let started_s = snapshot.started.seconds;
    let last_s =
        before.map_or(repository.config().created.seconds, |before| before.started.seconds);
    if let Some(before) = before.filter(|_| last_s > started_s.saturating_add(TOLERANCE_S)) {
        let what = format!(
            "the clock went back by {}: snapshot {} before this one is dated later; its place in \
                the chain counts, not the date",
            days(last_s - started_s),
            before.id.short()
        );
        monitor.problem(ProblemKind::Notice, b"", what);
    }
    let jump_s = if repository.is_local() { TOLERANCE_S } else { JUMP_S };
    if started_s.saturating_sub(last_s) < jump_s {
        return;
    }
    // Listing the snapshots makes the same check, so an error can be ignored here.
    if let Ok(Some(stored_s)) = snapshots::stored_s(repository, &snapshot.id)
        && started_s > stored_s.saturating_add(TOLERANCE_S)
    {
        let ahead = days(started_s - stored_s);
        let what = format!(
            "this snapshot is dated in the future: the clock here is {ahead} ahead of the store's"
        );
        monitor.problem(ProblemKind::Notice, b"", what);
    }
}

fn days(seconds: i64) -> String {
    match seconds / DAY_S {
        0 => format!("{} hours", seconds / 3600),
        1 => "1 day".to_owned(),
        days => format!("{days} days"),
    }
}
