//! Goal: what was backed up comes back, whatever is in the way, whatever interrupts it, and nothing
//! more than needed is fetched. Method: real trees in scratch folders, repositories in memory that
//! count requests, and tools of others (`rsync`, `getfattr`) as judges.

pub mod archive; // tar and zip archives
mod damage; // damaged repositories
mod existing_files; // existing files
mod interruption; // interrupted restores
mod needed_packs; // packs that will be read
mod nothing_lost; // existing files that must not be lost
pub mod round_trip; // a tree with everything
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

/// Returns what `rsync` would have to do to make `target` equal to `source`: names, content,
/// metadata, links, ACLs, attributes.
pub fn differences(source: &Path, target: &Path) -> String {
    let slash = |path: &Path| format!("{}/", path.display());
    let mut rsync = std::process::Command::new("rsync");
    rsync
        .args(["-n", "-i", "-c", "-aHAX", "--devices", "--specials", "--delete"])
        .args([slash(source), slash(target)]);
    let output = rsync.output().unwrap();
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
