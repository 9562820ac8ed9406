//! Restore: walks a snapshot's trees, plans reads per pack, fetches and verifies chunks in
//! parallel, writes them, and sets metadata bottom-up.
//!
//! ```text
//! walk (one thread) ─ enter directories ─ entries ─→ workers: inspect, create links, short files
//!                                      └─ chunks ─→ batch ─ locate ─ plan ─→ workers:
//!                                                   read, open, verify ids, write, finish
//! ```
//!
//! **It never leaves its target.** Every call is relative to an open directory and follows no link.
//! A name is one path component, never `.` or `..`. A directory that had to be closed is opened
//! again only if it is the same inode. A file that has other names, or that belongs to another
//! user, is never written into but replaced. Directories of other users are taken over first. An
//! entry that was made by name is opened once, checked, and changed through that descriptor (see
//! `enter_dir` and `special_files`). One exception: if files are restored to where they were backed
//! up, links that only the superuser or this user can have made are followed in the place of a
//! source or of a directory above it.
//!
//! **It continues.** A restore that was stopped by Ctrl-C, `kill -9` or an error is run again. This
//! is safe because:
//!
//! 1. Content is written to the file's final name, so there are no temporary files to find or clean
//!    up. A half written file is compared with the chunks' ids, and only what differs is fetched.
//! 2. A file gets its modification time last, after all its content. Every write sets that time to
//!    now, which is later than the snapshot's start. So a file whose time is the one in the
//!    snapshot, *and* is before the snapshot's start, was not written to after it got that time.
//!    Size and time are trusted for such a file if it was last changed while this restore was
//!    running in a new directory (see `restore_mark`), or if the user chose to trust them. All
//!    other files are compared, because programs and people set times, too.
//! 3. Hard links to a file are made after its content is complete; directories get their metadata
//!    after everything in them.
//!
//! This holds whenever the process dies. If the machine crashes during a restore, the mark on the
//! target (see `restore_mark`) makes the next run compare everything. At the end the restore syncs
//! the file systems (see `file_systems`) before it removes the mark and reports success, so a
//! reported restore survives a loss of power. `verify` reads everything from the disks again.
//!
//! **Memory** is bounded by the batch (see `batch`), a few units queued for the workers, and one
//! read per worker.

pub mod archive;
mod error;
mod needed_packs;
mod options;
mod plan;
mod target;
mod write;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;

pub use self::error::{Error, Result};
pub use self::needed_packs::{NeededPack, needed_packs};
pub use self::options::{EntryAction, Overwrite, PlannedEntry, RestoreOptions, RestoreReport};

use self::plan::coverage::{SourceCoverage, SourceRelation};
use self::target::dir::{InodeId, TargetDir};
use self::target::protected_dirs::ProtectedDirs;
use self::target::restore_mark::{self, Mark};
use self::target::taken_over::DirAttributes;
use self::write::context::RestoreContext;
use self::write::dir_finish::finish_shut;
use self::write::source::RestoreSource;
use self::write::stat_trust::StatTrust;
use self::write::walker::Walker;
use self::write::{dry_run, orphan_links, verify, workers};
use crate::format::entry::Xattr;
use crate::format::snapshot::Snapshot;
use crate::monitor::Monitor;
use crate::os::apply::Metadata;
use crate::os::attributes::read_xattrs_of;
use crate::os::dir::Dir;
use crate::os::process::own_ids;
use crate::os::stat::Stat;
use crate::repo::{Repository, Trees};

/// Restores a snapshot, or a part of it, into a directory.
///
/// Files that cannot be restored are problems in the monitor and counted in the report; the rest is
/// restored. Fails if the repository or the target cannot be used at all, or with
/// [`Error::Cancelled`]; the restore can then be run again and continues.
pub fn run(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    monitor: &Monitor,
) -> Result<RestoreReport> {
    if options.dry_run {
        return list(repository, snapshot, options, monitor, &mut |_| {});
    }
    refuse_own(options)?;
    let trees = Trees::new(options.reader(repository)?);
    let source = RestoreSource::find(&trees, snapshot, options)?;
    let failed = |source| Error::Target { path: options.target.clone(), source };
    let OpenedTarget { dir: target, is_new, mode } =
        open_target(&options.target).map_err(failed)?;
    let work = source.work(snapshot);
    let found = restore_mark::read(&target, &work);
    let is_ours = is_new || found.is_ours;
    let mark = Mark::set(&target, is_new, &found, &work).map_err(failed)?;
    let coverage = SourceCoverage::new(snapshot, is_in_place(&target, &source).map_err(failed)?);
    let mut context = RestoreContext::new(trees, options, monitor, coverage, source.scope());
    context.trust = StatTrust::new(snapshot, found);
    (context.is_ours, context.mark) = (is_ours, Some(mark));
    source.expect_totals(&context);
    let relation = context.coverage.relation(&source.shown);
    let metadata =
        source.dir.clone().map(|mut dir| context.metadata_of(&mut dir, || source.shown.clone()));
    let gets_all = |wanted: &Metadata| {
        is_ours || relation != SourceRelation::Above && looks_like(&target, mode, wanted)
    };
    let metadata = metadata.filter(gets_all).map(Box::new);
    let stat = target.stat_self().map_err(failed)?;
    context.file_systems.note(&target, &stat).map_err(failed)?;
    let root = TargetDir::root(target, &source.shown, relation, metadata).map_err(failed)?;
    if let Some(mode) = mode {
        let _ = root.mode_back.set(mode);
        context.taken_over.note(&root, DirAttributes::from(&Stat { mode, ..stat }));
    }
    let done = restore(&context, &source, &root).and_then(|()| settle(&context, &source, &root));
    if let (Err(_), Some(mark)) = (&done, &context.mark) {
        mark.stop();
    }
    let kept = context.taken_over.give_back(&context.host.dirs);
    kept.into_iter().for_each(|(path, what)| context.report(&path, what));
    if done.is_ok() {
        source.report_unmatched(&context);
    }
    done.map(|()| context.counts.report())
}

/// Syncs the file systems, verifies if the options say so, and removes the mark from the target.
fn settle(context: &RestoreContext, source: &RestoreSource, root: &Arc<TargetDir>) -> Result<()> {
    let options = context.options;
    let sync = || {
        context.file_systems.sync().map_err(|source| {
            context.mark.iter().for_each(Mark::distrust);
            Error::Sync { path: options.target.clone(), source }
        })
    };
    if options.verify {
        sync()?;
        verify::verify(context, source.walk(context)?, root)?;
    }
    finish_shut(context);
    context.check()?;
    sync()?;
    let cleared = context.mark.as_ref().map_or(Ok(()), Mark::clear);
    cleared.map_err(|source| Error::Target { path: options.target.clone(), source })
}

/// Returns whether the target is the same directory that was backed up: a restore in place.
fn is_in_place(target: &Dir, source: &RestoreSource) -> std::io::Result<bool> {
    let shown = if source.shown.is_empty() { b"/" } else { &source.shown[..] };
    let Ok(from) = Dir::open_for_lookup(Path::new(std::ffi::OsStr::from_bytes(shown))) else {
        return Ok(false);
    };
    Ok(InodeId::from(&from.stat_self()?) == InodeId::from(&target.stat_self()?))
}

/// Lists what a restore would do, entry by entry in the order of names, without changing anything.
pub fn list(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    monitor: &Monitor,
    each: &mut dyn FnMut(PlannedEntry<'_>),
) -> Result<RestoreReport> {
    list_in(&Trees::new(options.reader(repository)?), snapshot, options, monitor, each)
}

fn list_in(
    trees: &Trees,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    monitor: &Monitor,
    each: &mut dyn FnMut(PlannedEntry<'_>),
) -> Result<RestoreReport> {
    refuse_own(options)?;
    let source = RestoreSource::find(trees, snapshot, options)?;
    let failed = |source| Error::Target { path: options.target.clone(), source };
    let target = match Dir::open(&options.target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        opened => Some(opened.map_err(failed)?),
    };
    let found = target
        .as_ref()
        .map(|target| restore_mark::read(target, &source.work(snapshot)))
        .unwrap_or_default();
    let is_in_place =
        target.as_ref().map_or(Ok(false), |target| is_in_place(target, &source)).map_err(failed)?;
    let coverage = SourceCoverage::new(snapshot, is_in_place);
    let options = RestoreOptions { dry_run: true, ..options.clone() };
    let mut context =
        RestoreContext::new(trees.clone(), &options, monitor, coverage, source.scope());
    context.trust = StatTrust::new(snapshot, found);
    source.expect_totals(&context);
    let relation = context.coverage.relation(&source.shown);
    let target = target
        .map(|dir| TargetDir::root(dir, &source.shown, relation, None))
        .transpose()
        .map_err(failed)?;
    dry_run::list(&context, source.walk(&context)?, target, each)?;
    source.report_unmatched(&context);
    Ok(context.counts.report())
}

/// Refuses a target inside the repository or its cache.
pub fn refuse_own(options: &RestoreOptions) -> Result<()> {
    let path = || options.target.clone();
    match ProtectedDirs::new(&options.own_dirs).contains_path(&options.target) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::OwnTarget { path: path() }),
        Err(source) => Err(Error::Target { path: path(), source }),
    }
}

/// The opened root of the target.
struct OpenedTarget {
    dir: Dir,
    /// Whether it was just created or is empty.
    is_new: bool,
    /// Its original mode, if its owner lacked permissions that were added to open it.
    mode: Option<u16>,
}

/// Opens the root of the target, and creates it if it is missing.
fn open_target(path: &Path) -> std::io::Result<OpenedTarget> {
    use std::os::unix::fs::{MetadataExt, PermissionsExt};
    let mut mode = None;
    let dir = match Dir::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path)?;
            Dir::open(path)?
        }
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let metadata = path.metadata()?;
            if !metadata.is_dir()
                || metadata.uid() != own_ids().0
                || metadata.mode() & 0o700 == 0o700
            {
                return Err(error);
            }
            mode = Some((metadata.mode() & 0o7777) as u16);
            std::fs::set_permissions(
                path,
                PermissionsExt::from_mode(metadata.mode() & 0o7777 | 0o700),
            )?;
            Dir::open(path)?
        }
        opened => opened?,
    };
    let is_new = dir.names()?.is_empty();
    Ok(OpenedTarget { dir, is_new, mode })
}

/// Returns whether the root of the target already has the owner, mode and attributes of the
/// directory that is restored into it. Then it gets the modification time, too; any other existing
/// root keeps its metadata.
fn looks_like(dir: &Dir, mode: Option<u16>, wanted: &Metadata) -> bool {
    let is_owner_right = dir.stat_self().is_ok_and(|stat| {
        (stat.uid, stat.gid, mode.unwrap_or(stat.mode)) == (wanted.uid, wanted.gid, wanted.mode)
    });
    let without_mark = |xattrs: Vec<Xattr>| {
        xattrs.into_iter().filter(|xattr| !restore_mark::is_mark(xattr)).collect::<Vec<_>>()
    };
    is_owner_right
        && read_xattrs_of(dir).is_ok_and(|(xattrs, _)| without_mark(xattrs) == wanted.xattrs)
}

fn restore(context: &RestoreContext, source: &RestoreSource, root: &Arc<TargetDir>) -> Result<()> {
    let walk = source.walk(context)?;
    workers::with_workers(context, |units, results| {
        let mut walker = Walker::new(context, walk, root.clone(), units, results);
        if context.options.delete {
            walker.delete_rest_of_top();
        }
        walker.run()
    })?;
    orphan_links::restore(context)
}
