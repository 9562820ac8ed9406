//! Restores.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use super::defaults::threads;
use super::error::Result;
use super::progress::{Progress, watched};
use super::repository::Repository;
use super::snapshot::Snapshot;
use crate::connect::host::here;
use crate::jobs::patterns::Surroundings;
use crate::monitor::Monitor;
use crate::restore::{self, RestoreOptions};

/// A restore that is about to be made.
///
/// ```no_run
/// # let repository = drumlin::Repository::open("r", drumlin::Credentials::password("x"))?;
/// let latest = repository.snapshot("latest")?;
/// let report = repository.restore(&latest, "/tmp/back").path("/srv/wiki").run(&())?;
/// assert_eq!(report.failed + report.damaged, 0);
/// # Ok::<(), drumlin::Error>(())
/// ```
#[must_use = "it does nothing before `run`"]
pub struct Restore<'a> {
    repository: &'a Repository,
    snapshot: Snapshot,
    options: RestoreOptions,
    includes: Vec<OsString>,
    excludes: Vec<OsString>,
}

/// What a restore did.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct RestoreReport {
    /// Files of any kind but directories: made, changed or found to be right.
    pub files: u64,
    /// Directories: made, changed or found to be right.
    pub directories: u64,
    /// Bytes of the content of the files.
    pub bytes: u64,
    /// Files whose content was right already.
    pub files_kept: u64,
    /// Files that could not be restored because what is stored is damaged or missing.
    pub damaged: u64,
    /// Entries that could not be restored, or not wholly, for another reason.
    pub failed: u64,
}

impl Repository {
    /// Prepares a restore of a snapshot into the directory `target`.
    pub fn restore(&self, snapshot: &Snapshot, target: impl Into<PathBuf>) -> Restore<'_> {
        Restore::new(self, snapshot, target.into())
    }
}

impl<'a> Restore<'a> {
    pub(super) fn new(repository: &'a Repository, snapshot: &Snapshot, target: PathBuf) -> Self {
        let own_dirs = repository.connector.own_dirs(&repository.place);
        let options =
            RestoreOptions { target, own_dirs, threads: threads(), ..RestoreOptions::default() };
        Self {
            repository,
            snapshot: snapshot.clone(),
            options,
            includes: Vec::new(),
            excludes: Vec::new(),
        }
    }

    /// Restores the content of one directory of the snapshot, or one file, right into the target,
    /// instead of everything with its full path.
    pub fn path(mut self, path: impl Into<PathBuf>) -> Self {
        self.options.path = Some(path.into().into_os_string().into_vec());
        self
    }

    /// Restores only what fits a pattern with gitignore's meaning, with all below it.
    pub fn include(mut self, pattern: impl Into<OsString>) -> Self {
        self.includes.push(pattern.into());
        self
    }

    /// Leaves out what fits a pattern with gitignore's meaning.
    pub fn exclude(mut self, pattern: impl Into<OsString>) -> Self {
        self.excludes.push(pattern.into());
        self
    }

    /// Removes what is in restored directories and not in the snapshot.
    pub fn delete(mut self) -> Self {
        self.options.delete = true;
        self
    }

    /// Reads everything again from the disk, and compares it.
    pub fn verify(mut self) -> Self {
        self.options.verify = true;
        self
    }

    /// Works with so many threads instead of one per core.
    pub fn threads(mut self, count: usize) -> Self {
        self.options.threads = count.max(1);
        self
    }

    /// Restores.
    ///
    /// Files that cannot be restored are problems, not errors: look at [`RestoreReport::damaged`]
    /// and [`RestoreReport::failed`].
    pub fn run(mut self, progress: &dyn Progress) -> Result<RestoreReport> {
        let root = self.options.path.clone().map(|path| PathBuf::from(OsString::from_vec(path)));
        let home = self.repository.connector.env.home();
        let typed_at = Surroundings { here: Some(here()?), home, root };
        self.options.includes = typed_at.patterns(&self.includes, &[]);
        self.options.excludes = typed_at.patterns(&self.excludes, &[]);
        let monitor = Monitor::default();
        let report = watched(progress, &monitor, || {
            let (repository, snapshot) = (&self.repository.inner, &self.snapshot.data);
            Ok(restore::run(repository, snapshot, &self.options, &monitor)?)
        })?;
        Ok(RestoreReport {
            files: report.files,
            directories: report.dirs,
            bytes: report.bytes,
            files_kept: report.files_kept,
            damaged: report.damaged,
            failed: report.failed + report.verify_failed,
        })
    }
}
