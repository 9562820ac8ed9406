//! What all parts of one restore share.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use rustix::io::Errno;

use super::descriptors::{Descriptors, lock};
use super::disks::Disks;
use super::error::{Error, Result};
use super::job::Host;
use super::options::{Counts, RestoreOptions, add};
use super::own::{self, OwnFolders};
use crate::format::entry::Timestamp;
use crate::monitor::{Monitor, ProblemKind, in_words};
use crate::os::apply::{Failed, Metadata};
use crate::os::owners::OwnerNames;
use crate::os::process;
use crate::os::stat::Stat;
use crate::repo::{self, DirEntry, Trees};

/// Descriptors of folders and files that are kept open, where the process may have enough of them.
const OPEN_DIRS_MAX: usize = 256;
const OPEN_FILES_MAX: usize = 64;

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
    /// What is written to.
    pub disks: Disks,
    /// What was done so far.
    pub counts: Counts,
    /// Files whose time is from here on are compared by content: see the crash reasoning in `restore/mod.rs`.
    pub trusted_before: Timestamp,
    /// Hard links that wait for the first member of their group.
    pub links_waiting: AtomicUsize,
    owners: OwnerNames,
    said: Mutex<HashSet<String>>,
    passed_over: Mutex<HashSet<u64>>,
    hasher: RandomState,
    failure: Mutex<Option<Error>>,
    stop: AtomicBool,
}

impl<'a> Context<'a> {
    /// Starts with nothing done; files changed at or after `trusted_before` are never trusted by time and size.
    pub fn new(trees: Trees, options: &'a RestoreOptions, monitor: &'a Monitor, trusted_before: Timestamp) -> Self {
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
            disks: Disks::default(),
            counts: Counts::default(),
            trusted_before,
            links_waiting: AtomicUsize::new(0),
            owners: OwnerNames::new(),
            said: Mutex::default(),
            passed_over: Mutex::default(),
            hasher: RandomState::new(),
            failure: Mutex::default(),
            stop: AtomicBool::new(false),
        }
    }

    /// Returns what a restored entry is to have; names of owners count more than their numbers, which differ between machines.
    pub fn metadata_of(&self, found: &mut DirEntry) -> Metadata {
        let by_name = self.host.is_superuser && !self.options.numeric_ids;
        let (user, group) = (found.user.as_deref().filter(|_| by_name), found.group.as_deref().filter(|_| by_name));
        let uid = user.and_then(|name| self.owners.uid(name)).unwrap_or(found.entry.uid);
        let gid = group.and_then(|name| self.owners.gid(name)).unwrap_or(found.entry.gid);
        let entry = &mut found.entry;
        let xattrs = std::mem::take(&mut entry.xattrs);
        Metadata { uid, gid, mode: entry.mode, flags: entry.flags, mtime: entry.mtime, xattrs }
    }

    /// Returns whether the threads should stop: somebody failed, or the user wants it.
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

    /// Counts something that exists and stays as it is.
    pub fn leave_alone(&self, path: impl FnOnce() -> Vec<u8>) {
        add(&self.counts.left_alone, 1);
        if self.options.verify {
            self.pass_over(&path());
        }
    }

    /// Tells that something is in the place of a folder that is restored, and stays: nothing is restored below it.
    pub fn bar(&self, path: &[u8], why: &str) {
        self.leave_alone(|| path.to_vec());
        self.monitor.problem(ProblemKind::Notice, path, why);
    }

    /// Tells that a folder of the program itself stays as it is, if this is one.
    pub fn spares(&self, stat: &Stat, path: impl FnOnce() -> Vec<u8>) -> bool {
        let is_own = self.own.contains(stat);
        if is_own {
            self.bar(&path(), own::LEFT_ALONE);
        }
        is_own
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

    /// Reports a folder or file whose tree cannot be read; stops if it is the repository itself that failed.
    pub fn report_unreadable(&self, path: &[u8], error: repo::Error) {
        if error.is_damage() { self.report_damage(path, &error) } else { self.stop(error.into()) }
    }

    /// Reports an entry that could not be restored; stops where nothing else could be written either.
    pub fn report_failed(&self, path: &[u8], error: io::Error) {
        self.pass_over(path);
        let errno = Errno::from_io_error(&error);
        if matches!(errno, Some(Errno::NOSPC | Errno::DQUOT | Errno::ROFS)) {
            self.stop(Error::Write { path: String::from_utf8_lossy(path).into_owned(), source: error });
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
    pub fn report_metadata(&self, failed: Vec<Failed>, path: impl FnOnce() -> Vec<u8>) {
        if failed.is_empty() {
            return;
        }
        let path = path();
        for Failed { what, is_refused, source } in failed {
            let is_lacking = matches!(Errno::from_io_error(&source), Some(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NOTTY));
            if is_refused && self.host.is_superuser {
                let message = format!("not even the superuser may set the {what} here ({source}): left out here and elsewhere");
                self.say_once(&what, &path, &message);
            } else if is_refused {
                self.say_once(
                    "privileged",
                    &path,
                    "owners, flags and system attributes need the superuser: left out here and elsewhere",
                );
            } else if is_lacking {
                self.say_once(&what, &path, &format!("the file system cannot hold this {what}: left out here and elsewhere"));
            } else {
                self.report(&path, format!("cannot set {what}: {source}"));
            }
        }
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
