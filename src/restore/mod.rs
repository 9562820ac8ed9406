//! Restoring: trees are walked, pieces planned per pack, fetched in parallel, verified, placed, and metadata set bottom-up.
//!
//! ```text
//! walk (one thread) ── enter folders ── items ─→ workers: look, make links and short files
//!                                    └─ pieces ─→ batch ─ locate ─ plan ─→ workers: read, open, verify id, write, finish
//! ```
//!
//! **It never leaves its target.** Every call is relative to an open folder and follows no link; a name is one step and
//! never `.` or `..`; a folder that had to be closed is entered again only if it is the same inode. A file that has other
//! names, or that belongs to somebody else, is never written into but replaced; folders of others are taken over first.
//!
//! **It continues.** A restore that was stopped, by Ctrl-C, `kill -9` or an error, is simply run again. What makes this safe:
//!
//! 1. Content is written into the file's final name, so nothing has to be found or cleaned up, and what is there of a half
//!    written file is compared with the chunks' ids: only what differs is fetched.
//! 2. A file gets its time last, after all its content. Every write sets the time to now, and now is later than the
//!    snapshot's start. So a file whose time is the snapshot's, *and* is before the snapshot's start, was not written to
//!    after it got that time: only such a file is taken for right by size and time. Files whose time is at or after the
//!    snapshot's start (they changed during the backup, or a clock was wrong) are always compared.
//! 3. Hard links to a file are made after it is whole; folders get their metadata after everything in them.
//!
//! This holds whenever the process dies. If the machine goes down during a restore, the mark on the target (see `mark`) makes
//! the next run compare everything. At the end the disks are waited for (see `disks`) before the mark goes away and success is
//! reported: what a restore has said to be there is there after power was lost. `verify` reads it from the disks again.
//!
//! **Memory** is bounded: by the batch (see `gather`), a few units on their way to the workers, and one read per worker.

pub mod archive;
mod compare;
mod context;
mod delete;
mod descriptors;
mod disks;
mod dry_run;
mod error;
mod existing;
mod feed;
mod finish;
mod gather;
mod group_log;
mod groups;
mod items;
mod job;
mod mark;
mod options;
mod own;
mod packs;
mod pipeline;
mod place;
mod plan;
mod recheck;
mod select;
mod source;
mod target;
mod verify;
mod walk;
mod workers;

use std::path::Path;
use std::sync::Arc;

pub use self::error::{Error, Result};
pub use self::options::{Action, Overwrite, Planned, RestoreOptions, RestoreReport};
pub use self::packs::{NeededPack, needed_packs};

use self::context::Context;
use self::mark::Mark;
use self::own::OwnFolders;
use self::pipeline::Planner;
use self::source::Source;
use self::target::TargetDir;
use crate::format::entry::{Timestamp, Xattr};
use crate::format::snapshot::Snapshot;
use crate::monitor::Monitor;
use crate::os::apply::Metadata;
use crate::os::attributes::read_xattrs_of;
use crate::os::dir::Dir;
use crate::repo::{Repository, Trees};

/// Restores a snapshot, or a part of it, into a folder.
///
/// Files that cannot be restored are problems in the monitor and numbers in the report; the rest is restored. Fails if the
/// repository or the target as a whole cannot be used, or with [`Error::Cancelled`]; then it can be run again and continues.
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
    let source = Source::find(&trees, snapshot, options)?;
    let failed = |source| Error::Target { path: options.target.clone(), source };
    let (target, Mark { is_ours, is_doubtful }) = open_target(&options.target).map_err(failed)?;
    let trusted_before = if is_doubtful { Timestamp { seconds: i64::MIN, nanos: 0 } } else { snapshot.started };
    let context = Context::new(trees, options, monitor, trusted_before);
    source.expect_totals(&context);
    let metadata = source.folder.clone().map(|mut folder| context.metadata_of(&mut folder));
    let metadata = metadata.filter(|wanted| is_ours || looks_like(&target, wanted)).map(Box::new);
    target.stat_self().and_then(|stat| context.disks.note(&target, &stat)).map_err(failed)?;
    let root = TargetDir::root(target, &source.shown, metadata).map_err(failed)?;
    restore(&context, snapshot, &source, &root)?;
    let target = root.open(&context.host.dirs).map_err(failed)?;
    context.disks.sync().map_err(|source| {
        mark::distrust(&target);
        Error::Sync { path: options.target.clone(), source }
    })?;
    mark::clear(&target).map_err(failed)?;
    if options.verify {
        verify::verify(&context, source.walk(&context)?, &root)?;
    }
    Ok(context.counts.report())
}

/// Says what a restore would do, entry by entry in the order of names, without changing anything.
pub fn list(
    repository: &Arc<Repository>,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    monitor: &Monitor,
    each: &mut dyn FnMut(Planned<'_>),
) -> Result<RestoreReport> {
    list_in(&Trees::new(options.reader(repository)?), snapshot, options, monitor, each)
}

fn list_in(
    trees: &Trees,
    snapshot: &Snapshot,
    options: &RestoreOptions,
    monitor: &Monitor,
    each: &mut dyn FnMut(Planned<'_>),
) -> Result<RestoreReport> {
    refuse_own(options)?;
    let source = Source::find(trees, snapshot, options)?;
    let context = Context::new(trees.clone(), options, monitor, snapshot.started);
    source.expect_totals(&context);
    let failed = |source| Error::Target { path: options.target.clone(), source };
    let target = match Dir::open(&options.target) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        opened => Some(opened.and_then(|dir| TargetDir::root(dir, &source.shown, None)).map_err(failed)?),
    };
    dry_run::list(&context, source.walk(&context)?, target, &snapshot.sources, each)?;
    Ok(context.counts.report())
}

/// Refuses a target in which the repository would be overwritten.
pub fn refuse_own(options: &RestoreOptions) -> Result<()> {
    let path = || options.target.clone();
    match OwnFolders::new(&options.own_folders).hold(&options.target) {
        Ok(false) => Ok(()),
        Ok(true) => Err(Error::OwnTarget { path: path() }),
        Err(source) => Err(Error::Target { path: path(), source }),
    }
}

/// Opens the target's folder, which is made if it is missing, and marks it.
fn open_target(path: &Path) -> std::io::Result<(Dir, Mark)> {
    let dir = match Dir::open(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            std::fs::create_dir_all(path)?;
            Dir::open(path)?
        }
        opened => opened?,
    };
    let is_new = dir.names()?.is_empty();
    let mark = mark::set(&dir, is_new);
    Ok((dir, mark))
}

/// Returns whether the target's folder has the owner, mode and attributes of the folder that is restored into it, so that
/// giving it the time too takes nothing from anybody. Any other folder that was there before keeps what it has.
fn looks_like(dir: &Dir, wanted: &Metadata) -> bool {
    let is_owner_right =
        dir.stat_self().is_ok_and(|stat| (stat.uid, stat.gid, stat.mode) == (wanted.uid, wanted.gid, wanted.mode));
    let without_mark = |xattrs: Vec<Xattr>| xattrs.into_iter().filter(|xattr| !mark::is_mark(xattr)).collect::<Vec<_>>();
    is_owner_right && read_xattrs_of(dir).is_ok_and(|xattrs| without_mark(xattrs) == wanted.xattrs)
}

fn restore(context: &Context, snapshot: &Snapshot, source: &Source, root: &Arc<TargetDir>) -> Result<()> {
    let walk = source.walk(context)?;
    workers::with_workers(context, |units, back| {
        let mut planner = Planner::new(context, walk, root.clone(), units, back);
        if context.options.delete {
            planner.delete_below(snapshot.sources.clone());
        }
        planner.run()
    })
}
