//! Backups.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

use super::defaults::{PROGRAM, threads};
use super::error::Result;

use super::progress::{Progress, watched};
use super::repository::Repository;
use super::snapshot::Snapshot;
use crate::connect::host::here;
use crate::jobs::patterns::Surroundings;
use crate::jobs::{self, Additions, Job};
use crate::monitor::Monitor;
use crate::settings::app::AppSettings;

/// A backup that is about to be made.
///
/// ```no_run
/// # let repository = drumlin::Repository::open("r", drumlin::Credentials::password("x"))?;
/// let report = repository
///     .backup(["/srv/wiki", "/etc/wiki"])
///     .exclude("*.tmp")
///     .tag("web")
///     .run(&())?;
/// println!("{} new bytes", report.bytes_stored);
/// # Ok::<(), drumlin::Error>(())
/// ```
#[must_use = "it does nothing before `run`"]
pub struct Backup<'a> {
    repository: &'a Repository,
    app: String,
    settings: AppSettings,
    excludes: Vec<OsString>,
    additions: Additions,
}

/// What a backup did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BackupReport {
    /// The new snapshot; `None` after a dry run, and if nothing changed since the last one.
    pub snapshot: Option<Snapshot>,
    /// Files of any kind but directories in the sources.
    pub files: u64,
    /// Bytes of their content.
    pub bytes: u64,
    /// Files that the last snapshot did not have.
    pub files_new: u64,
    /// Files that differ from the last snapshot's.
    pub files_changed: u64,
    /// Files that are as they were.
    pub files_unchanged: u64,
    /// Bytes that were added to the repository, compressed.
    pub bytes_stored: u64,
    /// What could not be read, or not wholly; each was told to the [`Progress`] and is named in the
    /// snapshot.
    pub problems: u64,
}

impl Repository {
    /// Prepares a backup of files and directories.
    pub fn backup<P: Into<PathBuf>>(&self, paths: impl IntoIterator<Item = P>) -> Backup<'_> {
        Backup::new(self, paths.into_iter().map(Into::into).collect())
    }
}

impl<'a> Backup<'a> {
    pub(super) fn new(repository: &'a Repository, paths: Vec<PathBuf>) -> Self {
        let additions =
            Additions { threads: threads(), program: PROGRAM.to_owned(), ..Additions::default() };
        let settings = AppSettings { paths, ..AppSettings::default() };
        Self { repository, app: String::new(), settings, excludes: Vec::new(), additions }
    }

    /// Leaves out what fits a pattern with gitignore's meaning.
    pub fn exclude(mut self, pattern: impl Into<OsString>) -> Self {
        self.excludes.push(pattern.into());
        self
    }

    /// Leaves out files of more bytes.
    pub fn exclude_larger_than(mut self, bytes: u64) -> Self {
        self.settings.excludes.larger_than = Some(bytes);
        self
    }

    /// Leaves out the content of directories with a valid `CACHEDIR.TAG`.
    pub fn exclude_caches(mut self) -> Self {
        self.settings.excludes.caches = Some(true);
        self
    }

    /// Does not enter other file systems than those of the sources.
    pub fn one_file_system(mut self) -> Self {
        self.settings.excludes.one_file_system = Some(true);
        self
    }

    /// Adds a tag to the snapshot.
    pub fn tag(mut self, tag: impl Into<String>) -> Self {
        self.settings.tags.push(tag.into());
        self
    }

    /// Sets the app that the snapshot belongs to.
    pub fn app(mut self, name: impl Into<String>) -> Self {
        self.app = name.into();
        self
    }

    /// Sets the name of the host, instead of this machine's.
    pub fn host(mut self, name: impl Into<String>) -> Self {
        self.settings.host = Some(name.into());
        self
    }

    /// Makes a snapshot even if nothing changed.
    pub fn always_snapshot(mut self) -> Self {
        self.additions.always_snapshot = true;
        self
    }

    /// Reads every file, even if it looks unchanged.
    pub fn read_all(mut self) -> Self {
        self.additions.read_all = true;
        self
    }

    /// Reads and counts, but stores nothing.
    pub fn dry_run(mut self) -> Self {
        self.additions.dry_run = true;
        self
    }

    /// Uses less than 80 MiB of memory, at some cost of speed.
    pub fn low_memory(mut self) -> Self {
        self.additions.low_memory = true;
        self
    }

    /// Works with so many threads instead of one per core.
    pub fn threads(mut self, count: usize) -> Self {
        self.additions.threads = count.max(1);
        self
    }

    /// Makes the snapshot.
    ///
    /// Files that cannot be read are problems, not errors: look at [`BackupReport::problems`]. An
    /// error means that there is no new snapshot; what was stored helps the next backup.
    pub fn run(mut self, progress: &dyn Progress) -> Result<BackupReport> {
        let repository = self.repository;
        let here = here()?;
        self.settings.paths.iter_mut().for_each(|path| *path = here.join(&path));
        let typed_at = Surroundings {
            here: Some(here),
            home: repository.connector.env.home(),
            ..Surroundings::default()
        };
        self.additions.excludes = typed_at.patterns(&self.excludes, &[]);
        let job = Job::new(self.app, self.settings, self.additions);
        let monitor = Arc::new(Monitor::default());
        let report = watched(progress, &monitor, || {
            let (connector, place) = (&repository.connector, &repository.place);
            job.run(connector, place, &repository.inner, &monitor).map_err(|error| match error {
                jobs::Error::Connect(error) => error.into(),
                jobs::Error::Backup(error) => error.into(),
            })
        })?;
        let stats = report.stats;
        Ok(BackupReport {
            snapshot: report.snapshot.map(|data| Snapshot::new(repository.inner.clone(), data)),
            files: stats.totals.files,
            bytes: stats.totals.bytes,
            files_new: stats.files_new,
            files_changed: stats.files_changed,
            files_unchanged: stats.files_unchanged,
            bytes_stored: stats.bytes_stored,
            problems: monitor.loss_count(),
        })
    }
}
