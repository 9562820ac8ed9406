//! Operations on a repository, with the options of most tests: forget, prune, repair.

use std::sync::Arc;

use drumlin::format::snapshot::Snapshot;
use drumlin::id::SnapshotId;
use drumlin::maintain::check::Level;
use drumlin::maintain::forget::{self, ForgetPlan, Scope};
use drumlin::maintain::prune::{self, PruneOptions, PruneReport};
use drumlin::maintain::repair::RepairOptions;
use drumlin::monitor::Monitor;
use drumlin::repo::snapshots::trash::{self, ForgetNote};
use drumlin::repo::snapshots::{self, Listing};
use drumlin::repo::{Repository, Result};
use drumlin::retention::Policy;
use jiff::tz::TimeZone;

use super::fixture::now;

/// Returns what a tombstone says of who forgot.
pub fn note() -> ForgetNote {
    let word = str::to_owned;
    ForgetNote {
        host: word("host"),
        user: word("user"),
        program: word("test"),
        now: now(),
        reason: String::new(),
    }
}

/// Puts a snapshot into the trash.
pub fn put_in_trash(repository: &Repository, snapshot: &Snapshot) {
    let hash = snapshots::chain_hash(snapshot);
    assert!(trash::forget(repository, &snapshot.id, Some(hash), &note()).unwrap());
}

/// Returns the listing, and the plan to forget what a policy does not keep.
pub fn plan_of_policy(repository: &Repository, keep: &str) -> Result<(Listing, ForgetPlan)> {
    let mut policy = Policy::default();
    policy.add(keep).unwrap();
    let listing = snapshots::listing(repository)?;
    let plan = forget::plan_policy(&listing, &Scope::USUAL, &policy, &TimeZone::UTC, now().seconds);
    Ok((listing, plan))
}

/// Forgets what a policy does not keep.
pub fn forget_by_policy(repository: &Repository, keep: &str) -> Result<Vec<SnapshotId>> {
    let (_, plan) = plan_of_policy(repository, keep)?;
    forget::apply(repository, &plan, &note(), &Monitor::default())
}

/// Options that drop what is forgotten at once and leave nothing unused.
pub fn at_once() -> PruneOptions {
    PruneOptions {
        trash_window_s: 0,
        max_unused_permille: 0,
        grace_s: 0,
        low_memory: true,
        threads: 2,
        ..PruneOptions::new(now())
    }
}

/// Collects.
pub fn prune(repository: &Arc<Repository>, options: PruneOptions) -> Result<PruneReport> {
    prune::run(repository, &options, &Monitor::default())
}

/// Returns options for a repair that leaves snapshots as they are.
pub fn repair_options(level: Level) -> RepairOptions {
    let word = str::to_owned;
    let (host, user, program) = (word("host"), word("user"), word("test"));
    RepairOptions {
        level,
        threads: 2,
        now: now(),
        host,
        user,
        program,
        clock: now,
        snapshots: false,
    }
}
