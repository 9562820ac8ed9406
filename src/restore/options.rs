//! What a restore is asked to do, and what it did.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::format::entry::Content;
use crate::repo::{self, Reader, Repository};
use crate::rules::Pattern;

/// What happens to files that are there already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Overwrite {
    /// Their content is compared chunk by chunk, and what differs is written.
    Always,
    /// As `Always`, but what this restore wrote itself before it was interrupted is known by size
    /// and time.
    #[default]
    IfDifferent,
    /// A file of the right size and time is taken to have the right content.
    IfChanged,
    /// They are left alone, whatever they are; only what is missing is restored.
    Never,
}

/// How a restore works.
#[derive(Clone, Debug, Default)]
pub struct RestoreOptions {
    /// Absolute path in the snapshot: the content of that folder (or that one file) goes into
    /// `target`.
    ///
    /// `None`: everything, each entry below `target` with its full path.
    pub path: Option<Vec<u8>>,
    /// The folder to restore into; made if it is missing.
    pub target: PathBuf,
    /// Folders that are neither entered nor changed nor removed: the repository's own, and its
    /// cache.
    pub own_dirs: Vec<PathBuf>,
    /// Patterns with gitignore's meaning, relative to what lies below `target`: only what matches
    /// is restored, with all below it.
    pub includes: Vec<Pattern>,
    /// Patterns of what is left out; it is left alone in the target too.
    pub excludes: Vec<Pattern>,
    /// Changes nothing, only lists and counts.
    pub dry_run: bool,
    /// Reads everything again from the disk afterwards and compares it with the chunks' ids.
    pub verify: bool,
    /// Removes what lies in restored folders and is not in the snapshot.
    pub delete: bool,
    /// What happens to files that are there already.
    pub overwrite: Overwrite,
    /// Threads that read, decode and write (at least 1).
    pub threads: usize,
    /// Smaller batches: about 40 MiB less.
    pub low_memory: bool,
    /// Takes owners by number only, although their names are known here.
    pub numeric_ids: bool,
}

impl RestoreOptions {
    /// Makes the reader that serves best: who restores a part of a snapshot needs little of the
    /// index.
    pub(super) fn reader(&self, repository: &Arc<Repository>) -> repo::Result<Arc<Reader>> {
        if self.path.is_some() { Reader::sparing(repository) } else { Reader::looking(repository) }
    }
}

/// What a restore did, or would do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// Entries that are not folders: made, changed or found to be right.
    pub files: u64,
    /// Directories: made, changed or found to be right.
    pub dirs: u64,
    /// Bytes of the content of those files.
    pub bytes: u64,
    /// Files among them whose content was right already.
    pub files_kept: u64,
    /// Bytes of content that were right already, in kept or in partly changed files.
    pub bytes_kept: u64,
    /// Bytes of content that were written.
    pub bytes_written: u64,
    /// Bytes that were read from the repository's data packs.
    pub bytes_fetched: u64,
    /// Entries that exist and were left alone because of [`Overwrite::Never`].
    pub left_alone: u64,
    /// Entries removed from the target because of `delete`.
    pub deleted: u64,
    /// Files that could not be restored because stored data is damaged or missing.
    pub damaged: u64,
    /// Entries that could not be restored, or not wholly, for another reason.
    pub failed: u64,
    /// Files that were read again.
    pub verified: u64,
    /// Files that were found to be wrong when read again.
    pub verify_failed: u64,
}

/// What is done with one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryAction {
    /// It is made.
    Create,
    /// It is there, and its content is compared or replaced.
    Update,
    /// It is there and looks right; at most its metadata changes.
    Keep,
    /// It is there and left alone because of [`Overwrite::Never`].
    LeaveAlone,
    /// It is removed from the target because of `delete`.
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
    /// What would be done.
    pub action: EntryAction,
    /// Path below the target, raw bytes.
    pub path: &'a [u8],
    /// Bytes of content.
    pub size: u64,
    /// Whether it is a folder.
    pub is_dir: bool,
    /// What it holds, unless it is a folder or is removed.
    pub content: Option<&'a Content>,
}

/// The numbers of a [`RestoreReport`] while several threads count.
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
    pub fn report(&self) -> RestoreReport {
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
