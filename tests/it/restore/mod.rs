//! Goal: what was backed up comes back, whatever is in the way, whatever interrupts it, and nothing
//! more than needed is fetched. Method: real trees in scratch folders, repositories in memory that
//! count requests, and tools of others (`rsync`, `getfattr`) as judges.

mod archive; // tar and zip archives
mod damage; // damaged repositories
mod existing_files; // existing files
mod interruption; // interrupted restores
mod needed_packs; // packs that will be read
mod nothing_lost; // existing files that must not be lost
mod round_trip; // a tree with everything
mod selection; // parts of a snapshot, dry runs

use std::path::{Path, PathBuf};

use drumlin::format::snapshot::Snapshot;
use drumlin::monitor::Monitor;
use drumlin::restore::{self, RestoreOptions, RestoreReport};

use crate::support::fixture::TestRepo;

/// Options for restoring the test's source folder into `target`.
pub fn options(repo: &TestRepo, target: &Path) -> RestoreOptions {
    let path = Some(repo.source().into_os_string().into_encoded_bytes());
    RestoreOptions { path, target: target.to_owned(), threads: 2, ..RestoreOptions::default() }
}

/// Restores, which must succeed as a whole.
pub fn restore(
    repo: &TestRepo,
    snapshot: &Snapshot,
    options: &RestoreOptions,
) -> (RestoreReport, Monitor) {
    let monitor = Monitor::default();
    let report = restore::run(&repo.repository, snapshot, options, &monitor).unwrap();
    (report, monitor)
}

/// Restores, which must succeed without any problem.
pub fn restore_well(
    repo: &TestRepo,
    snapshot: &Snapshot,
    options: &RestoreOptions,
) -> RestoreReport {
    let (report, monitor) = restore(repo, snapshot, options);
    assert_eq!(monitor.problems(), []);
    report
}

/// Returns the folder that a test restores into.
pub fn target(repo: &TestRepo) -> PathBuf {
    repo.scratch.path().join("target")
}
