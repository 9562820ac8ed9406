//! What all parts of one restore share.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::file_job::Host;
use super::link_group::LinkGroup;
use super::memory_load::Load;
use crate::format::entry::{Content, Entry, Timestamp};
use crate::format::snapshot::Snapshot;
use crate::monitor::{Monitor, ProblemKind, in_words};
use crate::os::apply::{Metadata, MetadataFailure, SYSTEM_FLAGS};
use crate::os::owners::OwnerNames;
use crate::os::process;
use crate::os::stat::Stat;
use crate::repo::{self, DirEntry, Trees};
use crate::restore::error::{Error, Result};
use crate::restore::options::{Counts, RestoreOptions, add};
use crate::restore::plan::coverage::Ground;
use crate::restore::plan::select::Scope;
use crate::restore::target::descriptors::Descriptors;
use crate::restore::target::dir::{Identity, TargetDir};
use crate::restore::target::disks::Disks;
use crate::restore::target::protected_dirs::{self, OwnFolders, Repositories};
use crate::restore::target::restore_mark::{self, Mark};
use crate::restore::target::taken_over::Taken;
use crate::sync::lock;

/// Descriptors of folders and files that are kept open, where the process may have enough of them.
const OPEN_DIRS_MAX: usize = 256;
const OPEN_FILES_MAX: usize = 64;

/// What of that which is there may be believed by size and time, without reading it.
#[derive(Default)]
pub struct Trust {
    /// Files whose time is from here on are compared by content: see the crash reasoning in
    /// `restore/mod.rs`.
    pub before: Timestamp,
    /// What the target's mark says of earlier runs.
    pub found: restore_mark::Found,
}

impl Trust {
    /// Takes what the mark says; after another boot nothing is believed.
    pub fn new(snapshot: &Snapshot, found: restore_mark::Found) -> Self {
        let before = if found.is_doubtful {
            Timestamp { seconds: i64::MIN, nanos: 0 }
        } else {
            snapshot.started
        };
        Self { before, found }
    }
}

/// Everything that the threads of one restore share.
pub struct Context<'a> {
    /// Reads the snapshot's trees and chunks.
    pub trees: Trees,
    /// What is wanted.
    pub options: &'a RestoreOptions,
    /// Where progress and problems go.
    pub monitor: &'a Monitor,
    /// Descriptors and abilities.
    pub host: Host,
    /// What is never touched.
    pub own: OwnFolders,
    /// What nothing is removed from.
    pub repositories: Repositories,
    /// What is written to.
    pub disks: Disks,
    /// What was done so far.
    pub counts: Counts,
    /// What of that which is there may be believed without reading it.
    pub trust: Trust,
    /// What the snapshot says of whole paths.
    pub ground: Ground,
    /// What is selected.
    pub scope: Scope,
    /// Whether the target's folder was new, or is what a restore that did not end has left of one.
    pub is_ours: bool,
    /// The mark of this restore, if it changes anything.
    pub mark: Option<Mark>,
    /// Hard links that wait for the first member of their group.
    pub links_waiting: AtomicUsize,
    /// What the entries weigh that are under way.
    pub load: Arc<Load>,
    /// Groups whose first member could not be made in its own place.
    pub vacant: Mutex<Vec<Arc<LinkGroup>>>,
    /// Folders that get their metadata at the very end.
    pub unfinished: Mutex<Vec<Arc<TargetDir>>>,
    /// Folders that were there and are taken over.
    pub taken: Taken,
    without_links: Mutex<HashSet<(u32, u32)>>,
    owners: OwnerNames,
    said: Mutex<HashSet<String>>,
    passed_over: Mutex<HashSet<u64>>,
    hasher: RandomState,
    failure: Mutex<Option<Error>>,
    stop: AtomicBool,
}

impl<'a> Context<'a> {
    /// Starts with nothing done, and with no trust in what is there.
    pub fn new(
        trees: Trees,
        options: &'a RestoreOptions,
        monitor: &'a Monitor,
        ground: Ground,
        scope: Scope,
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
            own: OwnFolders::new(&options.own_folders),
            repositories: Repositories::default(),
            disks: Disks::default(),
            counts: Counts::default(),
            trust: Trust::default(),
            ground,
            scope,
            is_ours: false,
            mark: None,
            links_waiting: AtomicUsize::new(0),
            load: Arc::default(),
            vacant: Mutex::default(),
            unfinished: Mutex::default(),
            taken: Taken::default(),
            without_links: Mutex::default(),
            owners: OwnerNames::new(),
            said: Mutex::default(),
            passed_over: Mutex::default(),
            hasher: RandomState::new(),
            failure: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Returns what a restored entry is to have; names of owners count more than their numbers,
    /// which differ between machines.
    ///
    /// What the snapshot lists as not read may lack attributes that are there: they are not taken
    /// away; from nothing, if it could not list all.
    pub fn metadata_of(&self, found: &mut DirEntry, path: impl FnOnce() -> Vec<u8>) -> Metadata {
        let by_name = self.host.is_superuser && !self.options.numeric_ids;
        let (user, group) =
            (found.user.as_deref().filter(|_| by_name), found.group.as_deref().filter(|_| by_name));
        let uid = user.and_then(|name| self.owners.uid(name)).unwrap_or(found.entry.uid);
        let gid = group.and_then(|name| self.owners.gid(name)).unwrap_or(found.entry.gid);
        let entry = &mut found.entry;
        let xattrs = std::mem::take(&mut entry.xattrs);
        let keeps_xattrs =
            self.ground.is_list_cut() || self.ground.lists_any() && self.ground.is_listed(&path());
        // Whether it changed while it was read is nothing that a file system keeps.
        let flags = entry.flags & SYSTEM_FLAGS;
        Metadata { uid, gid, mode: entry.mode, flags, mtime: entry.mtime, xattrs, keeps_xattrs }
    }

    /// Returns the names that the snapshot has in the folder at `path`, one `None` for what cannot
    /// be read.
    pub fn names_in<'c>(
        &'c self,
        path: &[u8],
    ) -> impl Iterator<Item = Option<Vec<u8>>> + use<'c, 'a> {
        let tree = match path {
            b"" => Some(self.ground.root()),
            path => match self.trees.lookup(&self.ground.root(), path) {
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

    /// Returns whether the threads should stop: one failed, or the user wants it.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || self.monitor.is_cancelled()
    }

    /// Stops the restore; the first error is the one that is returned.
    pub fn stop(&self, error: Error) {
        lock(&self.failure).get_or_insert(error);
        self.stop.store(true, Ordering::Relaxed);
    }

    /// Fails if the restore was stopped.
    pub fn check(&self) -> Result<()> {
        if let Some(error) = lock(&self.failure).take() {
            return Err(error);
        }
        if self.is_stopped() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Notes now and then in the target that the restore is at work.
    pub fn beat(&self) {
        if let Some(mark) = &self.mark {
            mark.beat();
        }
    }

    /// Counts something that exists and stays as it is.
    pub fn leave_alone(&self, path: impl FnOnce() -> Vec<u8>) {
        add(&self.counts.left_alone, 1);
        if self.options.verify {
            self.pass_over(&path());
        }
    }

    /// Tells that something is in the place of a folder that is restored, and stays: nothing is
    /// restored below it.
    pub fn bar(&self, path: &[u8], why: &str) {
        self.leave_alone(|| path.to_vec());
        self.monitor.problem(ProblemKind::Notice, path, why);
    }

    /// Tells that a folder of the program itself, which the snapshot does not have, stays as it is,
    /// if this is one.
    pub fn spares(&self, stat: &Stat, path: impl FnOnce() -> Vec<u8>) -> bool {
        let is_own = self.own.contains(stat);
        if is_own {
            self.bar(&path(), protected_dirs::LEFT_ALONE);
        }
        is_own
    }

    /// Tells the same of one that the snapshot has; what it has below it is not restored then,
    /// which is no small thing.
    pub fn spares_all_below(&self, stat: &Stat, path: impl FnOnce() -> Vec<u8>) -> bool {
        let is_own = self.own.contains(stat);
        if is_own {
            let path = path();
            if self.names_in(&path).next().is_none() {
                self.bar(&path, protected_dirs::LEFT_ALONE);
            } else {
                self.pass_over(&path);
                self.report(&path, protected_dirs::NOT_RESTORED.to_owned());
            }
        }
        is_own
    }

    /// Tells that something is not removed, if the snapshot says that it, or something in it, could
    /// not be read.
    pub fn keeps_unread(&self, path: impl FnOnce() -> Vec<u8>) -> bool {
        let path = path();
        let is_unread = self.ground.is_unread(&path);
        if is_unread {
            self.bar(&path, "not removed: the snapshot lists it, or something in it, as not read");
        }
        is_unread
    }

    /// Returns whether the snapshot's silence about names in a folder means that they should not be
    /// there.
    pub fn may_delete_in(&self, path: &[u8]) -> bool {
        if !self.options.delete {
            return false;
        }
        if self.ground.covers(path) && self.ground.is_list_cut() {
            let message = "more could not be read than the snapshot lists: nothing is removed";
            self.say_once("delete", path, message);
        }
        self.ground.covers(path) && !self.ground.is_list_cut()
    }

    /// Keeps in mind that reading this again would tell nothing new.
    fn pass_over(&self, path: &[u8]) {
        if self.options.verify {
            lock(&self.passed_over).insert(self.hasher.hash_one(path));
        }
    }

    /// Returns whether this was left alone, or reported as not restored.
    pub fn was_passed_over(&self, path: &[u8]) -> bool {
        lock(&self.passed_over).contains(&self.hasher.hash_one(path))
    }

    /// Reports something that cannot be restored because stored data is damaged or missing.
    pub fn report_damage(&self, path: &[u8], error: &repo::Error) {
        self.pass_over(path);
        add(&self.counts.damaged, 1);
        self.monitor.problem(ProblemKind::Damaged, or_root(path), in_words(error));
    }

    /// Reports a folder or file whose tree cannot be read; stops if it is the repository itself
    /// that failed.
    pub fn report_unreadable(&self, path: &[u8], error: repo::Error) {
        if error.is_damage() { self.report_damage(path, &error) } else { self.stop(error.into()) }
    }

    /// Reports an entry that could not be restored; stops where nothing else could be written
    /// either.
    pub fn report_failed(&self, path: &[u8], error: io::Error) {
        self.pass_over(path);
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
    pub fn report(&self, path: &[u8], message: String) {
        add(&self.counts.failed, 1);
        self.monitor.problem(ProblemKind::NotRestored, or_root(path), message);
    }

    /// Reports metadata that could not be set.
    ///
    /// What this user cannot do is said once, and so is what this file system cannot do at all.
    pub fn report_metadata(&self, failed: Vec<MetadataFailure>, path: impl FnOnce() -> Vec<u8>) {
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
                self.say_once(&what, &path, &message);
            } else if is_refused {
                self.say_once(
                    "privileged",
                    &path,
                    "owners, flags and system attributes need the superuser: left out here and \
                        elsewhere",
                );
            } else if is_lacking {
                self.say_once(
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

    /// Returns whether the file system of an inode was found to have no hard links.
    pub fn lacks_links(&self, identity: Identity) -> bool {
        lock(&self.without_links).contains(&identity.parts().0)
    }

    /// Tells that further names become copies; `lacking` if that holds for the whole file system.
    pub fn say_copies(&self, lacking: Option<Identity>, path: impl FnOnce() -> Vec<u8>) {
        if let Some(identity) = lacking {
            lock(&self.without_links).insert(identity.parts().0);
        }
        let message = "no hard link can be made here: further names of a file become copies, here \
            and elsewhere";
        self.say_once("hard links", &path(), message);
    }

    fn say_once(&self, topic: &str, path: &[u8], message: &str) {
        if lock(&self.said).insert(topic.to_owned()) {
            self.monitor.problem(ProblemKind::Notice, or_root(path), message);
        }
    }
}

fn or_root(path: &[u8]) -> &[u8] {
    if path.is_empty() { b"/" } else { path }
}
