//! Shared state of one restore: options, target, progress and reported problems.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::file_job::Host;
use super::link_group::LinkGroup;
use super::memory_load::Load;
use super::stat_trust::StatTrust;
use crate::format::entry::{Content, Entry};
use crate::monitor::{Monitor, ProblemKind, in_words};
use crate::os::apply::{Metadata, MetadataFailure, SYSTEM_FLAGS};
use crate::os::owners::OwnerNames;
use crate::os::process;
use crate::os::stat::Stat;
use crate::repo::{self, DirEntry, Trees};
use crate::restore::error::{Error, Result};
use crate::restore::options::{RestoreCounters, RestoreOptions, add};
use crate::restore::plan::coverage::SourceCoverage;
use crate::restore::plan::select::TargetScope;
use crate::restore::target::descriptors::Descriptors;
use crate::restore::target::dir::{InodeId, TargetDir};
use crate::restore::target::file_systems::FileSystems;
use crate::restore::target::protected_dirs::{self, ProtectedDirs, Repositories};
use crate::restore::target::restore_mark::Mark;
use crate::restore::target::taken_over::TakenOverDirs;
use crate::sync::lock;

/// Descriptors of directories and files that are kept open, if the limit of the process allows it.
const OPEN_DIRS_MAX: usize = 256;
const OPEN_FILES_MAX: usize = 64;

/// The state that all threads of one restore share.
pub(crate) struct RestoreContext<'a> {
    /// Reads the snapshot's trees and chunks.
    pub trees: Trees,
    /// The options.
    pub options: &'a RestoreOptions,
    /// Receives progress and problems.
    pub monitor: &'a Monitor,
    /// Open descriptors, and rights of this process.
    pub host: Host,
    /// Directories that are never touched.
    pub protected: ProtectedDirs,
    /// Repositories in the target, from which nothing is removed.
    pub repositories: Repositories,
    /// The file systems that are written to.
    pub file_systems: FileSystems,
    /// Counts of what was done so far.
    pub counts: RestoreCounters,
    /// Which existing files are trusted without reading them.
    pub trust: StatTrust,
    /// Which paths the snapshot covers.
    pub coverage: SourceCoverage,
    /// Which paths are selected.
    pub scope: TargetScope,
    /// Whether the root of the target was new, or was left by an unfinished restore that created
    /// it.
    pub is_ours: bool,
    /// The mark of this restore; `None` for a dry run and an archive.
    pub mark: Option<Mark>,
    /// Number of hard links that wait for the first member of their group.
    pub links_waiting: AtomicUsize,
    /// Memory of the entries in progress.
    pub load: Arc<Load>,
    /// Groups whose first member could not be created at its own path.
    pub orphaned: Mutex<Vec<Arc<LinkGroup>>>,
    /// Directories that get their metadata at the very end.
    pub unfinished: Mutex<Vec<Arc<TargetDir>>>,
    /// Existing directories that are taken over.
    pub taken_over: TakenOverDirs,
    without_links: Mutex<HashSet<(u32, u32)>>,
    owners: OwnerNames,
    reported_once: Mutex<HashSet<String>>,
    skipped: Mutex<HashSet<u64>>,
    hasher: RandomState,
    failure: Mutex<Option<Error>>,
    stop: AtomicBool,
}

impl<'a> RestoreContext<'a> {
    /// Starts with nothing done, and trusts no existing file.
    pub(crate) fn new(
        trees: Trees,
        options: &'a RestoreOptions,
        monitor: &'a Monitor,
        coverage: SourceCoverage,
        scope: TargetScope,
    ) -> Self {
        let descriptors = process::open_files_max();
        let host = Host {
            dirs: Descriptors::new(OPEN_DIRS_MAX.min(descriptors / 4)),
            files: Descriptors::new(OPEN_FILES_MAX.min(descriptors / 8)),
            mask: process::creation_mask(),
            is_superuser: process::is_superuser(),
        };
        Self {
            trees,
            options,
            monitor,
            host,
            protected: ProtectedDirs::new(&options.own_dirs),
            repositories: Repositories::default(),
            file_systems: FileSystems::default(),
            counts: RestoreCounters::default(),
            trust: StatTrust::default(),
            coverage,
            scope,
            is_ours: false,
            mark: None,
            links_waiting: AtomicUsize::new(0),
            load: Arc::default(),
            orphaned: Mutex::default(),
            unfinished: Mutex::default(),
            taken_over: TakenOverDirs::default(),
            without_links: Mutex::default(),
            owners: OwnerNames::new(),
            reported_once: Mutex::default(),
            skipped: Mutex::default(),
            hasher: RandomState::new(),
            failure: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Returns the metadata for a restored entry. Names of owners take precedence over numbers,
    /// which differ between machines.
    ///
    /// An entry that the snapshot lists as not read may have more attributes than the snapshot
    /// knows, so none are removed from it. If the list is truncated, none are removed from any
    /// entry.
    pub(crate) fn metadata_of(
        &self,
        found: &mut DirEntry,
        path: impl FnOnce() -> Vec<u8>,
    ) -> Metadata {
        let by_name = self.host.is_superuser && !self.options.numeric_ids;
        let (user, group) =
            (found.user.as_deref().filter(|_| by_name), found.group.as_deref().filter(|_| by_name));
        let uid = user.and_then(|name| self.owners.uid(name)).unwrap_or(found.entry.uid);
        let gid = group.and_then(|name| self.owners.gid(name)).unwrap_or(found.entry.gid);
        let entry = &mut found.entry;
        let xattrs = std::mem::take(&mut entry.xattrs);
        let keeps_xattrs = self.coverage.is_list_truncated()
            || self.coverage.lists_any() && self.coverage.is_listed(&path());
        // The flag "changed while it was read" is no flag of a file system.
        let flags = entry.flags & SYSTEM_FLAGS;
        Metadata { uid, gid, mode: entry.mode, flags, mtime: entry.mtime, xattrs, keeps_xattrs }
    }

    /// Returns the names that the snapshot has in the directory at `path`, with a `None` for
    /// entries that cannot be read.
    pub(crate) fn names_in<'c>(
        &'c self,
        path: &[u8],
    ) -> impl Iterator<Item = Option<Vec<u8>>> + use<'c, 'a> {
        let tree = match path {
            b"" => Some(self.coverage.root()),
            path => match self.trees.lookup(&self.coverage.root(), path) {
                Ok(Some(DirEntry {
                    entry: Entry { content: Content::Tree(tree), .. }, ..
                })) => Some(tree),
                _ => None,
            },
        };
        let unreadable = tree.is_none().then_some(None);
        let entries = tree.into_iter().flat_map(|tree| self.trees.entries(&tree));
        unreadable.into_iter().chain(entries.map(|entry| entry.ok().map(|entry| entry.entry.name)))
    }

    /// Returns whether the threads should stop, because one failed or the user cancelled.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.monitor.is_cancelled()
    }

    /// Stops the restore; the first error is the result.
    pub(crate) fn stop(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Fails if the restore was stopped.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        if self.is_stopped() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Updates the mark on the target now and then.
    pub(crate) fn beat(&self) {
        if let Some(mark) = &self.mark {
            mark.beat();
        }
    }

    /// Counts an existing entry that is left alone.
    pub(crate) fn leave_alone(&self, path: impl FnOnce() -> Vec<u8>) {
        add(&self.counts.left_alone, 1);
        if self.options.verify {
            self.mark_skipped(&path());
        }
    }

    /// Reports an entry that blocks a restore or a removal and is left alone.
    pub(crate) fn report_blocked(&self, path: &[u8], why: &str) {
        self.leave_alone(|| path.to_vec());
        self.monitor.problem(ProblemKind::Notice, path, why);
    }

    /// Reports a protected directory that the snapshot does not contain; returns whether this is
    /// one.
    pub(crate) fn skip_if_protected(&self, stat: &Stat, path: impl FnOnce() -> Vec<u8>) -> bool {
        let is_own = self.protected.contains(stat);
        if is_own {
            self.report_blocked(&path(), protected_dirs::LEFT_ALONE);
        }
        is_own
    }

    /// Reports a protected directory that the snapshot contains; returns whether this is one.
    /// Everything that the snapshot has below it counts as not restored.
    pub(crate) fn skip_all_if_protected(
        &self,
        stat: &Stat,
        path: impl FnOnce() -> Vec<u8>,
    ) -> bool {
        let is_own = self.protected.contains(stat);
        if is_own {
            let path = path();
            if self.names_in(&path).next().is_none() {
                self.report_blocked(&path, protected_dirs::LEFT_ALONE);
            } else {
                self.mark_skipped(&path);
                self.report(&path, protected_dirs::NOT_RESTORED.to_owned());
            }
        }
        is_own
    }

    /// Reports that an entry is not removed because the snapshot lists it, or something in it, as
    /// not read; returns whether that is so.
    pub(crate) fn skip_if_unread(&self, path: impl FnOnce() -> Vec<u8>) -> bool {
        let path = path();
        let is_unread = self.coverage.is_unread(&path);
        if is_unread {
            self.report_blocked(
                &path,
                "not removed: the snapshot lists it, or something in it, as not read",
            );
        }
        is_unread
    }

    /// Returns whether names in a directory that the snapshot lacks should be removed.
    pub(crate) fn may_delete_in(&self, path: &[u8]) -> bool {
        if !self.options.delete {
            return false;
        }
        if self.coverage.covers(path) && self.coverage.is_list_truncated() {
            let message = "more could not be read than the snapshot lists: nothing is removed";
            self.report_once("delete", path, message);
        }
        self.coverage.covers(path) && !self.coverage.is_list_truncated()
    }

    /// Excludes a path from verification: its state is reported already.
    fn mark_skipped(&self, path: &[u8]) {
        if self.options.verify {
            lock(&self.skipped).insert(self.hasher.hash_one(path));
        }
    }

    /// Returns whether a path was left alone, or reported as not restored.
    pub(crate) fn was_skipped(&self, path: &[u8]) -> bool {
        lock(&self.skipped).contains(&self.hasher.hash_one(path))
    }

    /// Reports an entry that cannot be restored because stored data is damaged or missing.
    pub(crate) fn report_damage(&self, path: &[u8], error: &repo::Error) {
        self.mark_skipped(path);
        add(&self.counts.damaged, 1);
        self.monitor.problem(ProblemKind::Damaged, or_root(path), in_words(error));
    }

    /// Reports a directory or file whose tree cannot be read; stops the restore if the error is no
    /// damage.
    pub(crate) fn report_unreadable(&self, path: &[u8], error: repo::Error) {
        if error.is_damage() { self.report_damage(path, &error) } else { self.stop(error.into()) }
    }

    /// Reports an entry that could not be restored; stops the restore if the file system is full or
    /// read-only.
    pub(crate) fn report_failed(&self, path: &[u8], error: io::Error) {
        self.mark_skipped(path);
        let errno = Errno::from_io_error(&error);
        if matches!(errno, Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) {
            self.stop(Error::Write {
                path: String::from_utf8_lossy(path).into_owned(),
                source: error,
            });
            return;
        }
        self.report(path, error.to_string());
    }

    /// Reports an entry that could not be restored.
    pub(crate) fn report(&self, path: &[u8], message: String) {
        add(&self.counts.failed, 1);
        self.monitor.problem(ProblemKind::NotRestored, or_root(path), message);
    }

    /// Reports metadata that could not be set.
    ///
    /// A lack of rights is reported once, and so is each attribute that the file system does not
    /// support.
    pub(crate) fn report_metadata(
        &self,
        failed: Vec<MetadataFailure>,
        path: impl FnOnce() -> Vec<u8>,
    ) {
        if failed.is_empty() {
            return;
        }
        let path = path();
        for MetadataFailure { what, is_refused, source } in failed {
            let is_lacking = matches!(
                Errno::from_io_error(&source),
                Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY)
            );
            if is_refused && self.host.is_superuser {
                let message = format!(
                    "not even the superuser may set the {what} here ({source}): left out here and \
                        elsewhere"
                );
                self.report_once(&what, &path, &message);
            } else if is_refused {
                self.report_once(
                    "privileged",
                    &path,
                    "owners, flags and system attributes need the superuser: left out here and \
                        elsewhere",
                );
            } else if is_lacking {
                self.report_once(
                    &what,
                    &path,
                    &format!(
                        "the file system cannot hold this {what}: left out here and elsewhere"
                    ),
                );
            } else {
                self.report(&path, format!("cannot set {what}: {source}"));
            }
        }
    }

    /// Returns whether the file system of an inode is known not to support hard links.
    pub(crate) fn lacks_links(&self, identity: InodeId) -> bool {
        lock(&self.without_links).contains(&identity.parts().0)
    }

    /// Reports that further names become copies; `lacking` names an inode of the file system if it
    /// supports no hard links at all.
    pub(crate) fn report_copies(&self, lacking: Option<InodeId>, path: impl FnOnce() -> Vec<u8>) {
        if let Some(identity) = lacking {
            lock(&self.without_links).insert(identity.parts().0);
        }
        let message = "no hard link can be made here: further names of a file become copies, here \
            and elsewhere";
        self.report_once("hard links", &path(), message);
    }

    fn report_once(&self, topic: &str, path: &[u8], message: &str) {
        if lock(&self.reported_once).insert(topic.to_owned()) {
            self.monitor.problem(ProblemKind::Notice, or_root(path), message);
        }
    }
}

fn or_root(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}
