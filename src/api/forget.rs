//! Snapshots into the trash.

use super::defaults::PROGRAM;
use super::error::{Error, ErrorKind, Result};
use super::repository::Repository;
use super::snapshot::Snapshot;
use crate::connect::host;
use crate::id::SnapshotId;
use crate::maintain::forget::{self, GroupBy};
use crate::monitor::Monitor;
use crate::repo::snapshots::trash::ForgetNote;
use crate::repo::{self, snapshots};
use crate::text;

impl Repository {
    /// Puts snapshots into the trash, from which `prune` removes them after seven days; until then
    /// `drumlin undelete` brings them back. Returns the ids of those that went there.
    ///
    /// Fails with [`ErrorKind::InvalidInput`], and changes nothing, if that would take the newest
    /// snapshot or more than half of a series, or a protected one: the command line asks for
    /// `--force` there.
    pub fn forget(&self, snapshots: &[Snapshot]) -> Result<Vec<String>> {
        forget(&self.inner, snapshots)
    }
}

/// Puts all of these into the trash, or none.
fn forget(repository: &repo::Repository, named: &[Snapshot]) -> Result<Vec<String>> {
    let now = text::now();
    let ids: Vec<SnapshotId> = named.iter().map(|snapshot| snapshot.data.id).collect();
    let listing = snapshots::listing(repository)?;
    let mut plan = forget::plan_named(&listing, &ids, GroupBy::DEFAULT, now.seconds);
    plan.refuse(|_| None);
    let refuse = |why: &str| Err(Error::new(ErrorKind::InvalidInput, why));
    if !plan.protected.is_empty() {
        return refuse("a protected snapshot is not forgotten");
    }
    if plan.unreadable_refused || plan.groups.iter().any(|group| group.refused.is_some()) {
        return refuse(
            "that would forget the newest snapshot of a series, or more than half of it",
        );
    }
    let note = ForgetNote {
        host: host::host_name(),
        user: host::user_name(),
        program: PROGRAM.to_owned(),
        now,
        reason: String::new(),
    };
    let gone = forget::apply(repository, &plan, &note, &Monitor::default())?;
    Ok(gone.iter().map(SnapshotId::to_hex).collect())
}
