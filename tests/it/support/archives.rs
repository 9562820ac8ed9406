//! Archives of snapshots, and programs that unpack them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use drumlin::format::snapshot::Snapshot;
use drumlin::monitor::Monitor;
use drumlin::restore::archive::{self, ArchiveFormat, ArchiveOutput, ArchiveReport};
use drumlin::restore::{Error, RestoreOptions};

use super::fixture::TestRepo;

/// Writes an archive; it lies beside the target.
pub fn archive(
    repo: &TestRepo,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    format: ArchiveFormat,
) -> (Result<ArchiveReport, Error>, Monitor, PathBuf) {
    let (monitor, path) = (Monitor::default(), repo.scratch.path().join("archive"));
    let mut out = std::io::BufWriter::new(fs::File::create(&path).unwrap());
    let report = archive::write(
        &repo.repository,
        snapshot,
        options,
        ArchiveOutput { format, out: &mut out },
        &monitor,
    );
    drop(out);
    (report, monitor, path)
}

/// Unpacks an archive with GNU tar.
pub fn extract(archive: &Path, into: &Path) {
    fs::create_dir(into).unwrap();
    let (archive, into) = (archive.to_str().unwrap(), into.to_str().unwrap());
    run(
        "tar",
        &[
            "--xattrs",
            "--xattrs-include=*",
            "--numeric-owner",
            "--warning=no-timestamp",
            "-xpf",
            archive,
            "-C",
            into,
        ],
    );
}

/// Runs a program that must succeed and say nothing of what is wrong.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{program} {arguments:?}: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}
