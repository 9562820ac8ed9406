//! Options and report of a restore.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::entry::Content;
use crate::repo::{self, Reader, Repository};
use crate::rules::Pattern;

/// Treatment of existing files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Content is compared chunk by chunk, and differing chunks are written.
    Always,
    /// As `Always`, but size and time are trusted for files that this restore wrote before it was
    /// interrupted.
    #[default]
    IfDifferent,
    /// Size and time are trusted for all files.
    IfChanged,
    /// Existing entries are left alone; only missing ones are restored.
    Never,
}

/// Options of a restore.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// Absolute path in the snapshot: the content of that directory (or that one file) is restored
    /// into `target`.
    ///
    /// `None`: everything, each entry below `target` with its full path.
    pub path: Option<Vec<u8>>,
    /// The directory to restore into; created if it is missing.
    pub target: PathBuf,
    /// Directories that are never entered, changed or removed: the repository and its cache.
    pub own_dirs: Vec<PathBuf>,
    /// Patterns with gitignore's meaning, relative to `target`: only matching entries are restored,
    /// with everything below them.
    pub includes: Vec<Pattern>,
    /// Patterns of entries that are not restored; in the target they are left alone.
    pub excludes: Vec<Pattern>,
    /// Changes nothing, only lists and counts.
    pub dry_run: bool,
    /// Reads everything from the disk again afterwards and compares it with the chunks' ids.
    pub verify: bool,
    /// Removes entries of restored directories that are not in the snapshot.
    pub delete: bool,
    /// Treatment of existing files.
    pub overwrite: Overwrite,
    /// Threads that read, decode and write (at least 1).
    pub threads: usize,
    /// Uses smaller batches: about 40 MiB less memory.
    pub low_memory: bool,
    /// Restores owners by number, even where their names exist on this machine.
    pub numeric_ids: bool,
}

impl RestoreOptions {
    /// Opens the reader that costs least: a restore of one path needs only a small part of the
    /// index.
    pub(super) fn reader(&self, repository: &Arc<Repository>) -> repo::Result<Arc<Reader>> {
        if self.path.is_some() {
            Reader::for_lookup(repository)
        } else {
            Reader::tolerant(repository)
        }
    }
}

/// Counts of what a restore did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Entries other than directories that were created, changed or already right.
    pub files: u64,
    /// Directories that were created, changed or already right.
    pub dirs: u64,
    /// Bytes of content of those files.
    pub bytes: u64,
    /// Files among them whose content was already right.
    pub files_kept: u64,
    /// Bytes of content that were already right, in kept and in partly changed files.
    pub bytes_kept: u64,
    /// Bytes of content that were written.
    pub bytes_written: u64,
    /// Bytes that were read from the repository's data packs.
    pub bytes_fetched: u64,
    /// Existing entries that were left alone because of [`Overwrite::Never`].
    pub left_alone: u64,
    /// Entries removed from the target because of `delete`.
    pub deleted: u64,
    /// Files that could not be restored because stored data is damaged or missing.
    pub damaged: u64,
    /// Entries that could not be restored completely for another reason.
    pub failed: u64,
    /// Files that verification read.
    pub verified: u64,
    /// Files that verification found to be wrong.
    pub verify_failed: u64,
}

/// Action of a restore on one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryAction {
    /// Created.
    Create,
    /// Exists; its content is compared or replaced.
    Update,
    /// Exists and looks right; at most its metadata changes.
    Keep,
    /// Exists, and is left alone because of [`Overwrite::Never`].
    LeaveAlone,
    /// Removed from the target because of `delete`.
    Delete,
}

impl EntryAction {
    /// Returns the stable name used in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Keep => "keep",
            Self::LeaveAlone => "leave-alone",
            Self::Delete => "delete",
        }
    }
}

/// One line of a dry run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedEntry<'a> {
    /// The action.
    pub action: EntryAction,
    /// Raw bytes of the path below the target.
    pub path: &'a [u8],
    /// Bytes of content.
    pub size: u64,
    /// Whether the entry is a directory.
    pub is_dir: bool,
    /// Its content in the snapshot; `None` for directories and removed entries.
    pub content: Option<&'a Content>,
}

/// The counts of a [`RestoreReport`], shared by all threads.
#[derive(Default)]
pub(super) struct RestoreCounters {
    pub files: AtomicU64,
    pub dirs: AtomicU64,
    pub bytes: AtomicU64,
    pub files_kept: AtomicU64,
    pub bytes_kept: AtomicU64,
    pub bytes_written: AtomicU64,
    pub bytes_fetched: AtomicU64,
    pub left_alone: AtomicU64,
    pub deleted: AtomicU64,
    pub damaged: AtomicU64,
    pub failed: AtomicU64,
    pub verified: AtomicU64,
    pub verify_failed: AtomicU64,
}

impl RestoreCounters {
    pub(super) fn report(&self) -> RestoreReport {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RestoreReport {
            files: get(&self.files),
            dirs: get(&self.dirs),
            bytes: get(&self.bytes),
            files_kept: get(&self.files_kept),
            bytes_kept: get(&self.bytes_kept),
            bytes_written: get(&self.bytes_written),
            bytes_fetched: get(&self.bytes_fetched),
            left_alone: get(&self.left_alone),
            deleted: get(&self.deleted),
            damaged: get(&self.damaged),
            failed: get(&self.failed),
            verified: get(&self.verified),
            verify_failed: get(&self.verify_failed),
        }
    }
}

/// Adds to a counter.
pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}
