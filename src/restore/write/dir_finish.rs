//! Completion of directories: each gets its metadata when nothing below it is pending any more.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};

use super::context::RestoreContext;
use crate::id::ChunkId;
use crate::os::apply::{CurrentMetadata, Metadata, MetadataTarget, apply, confirm};
use crate::repo;
use crate::restore::options::add;
use crate::restore::plan::coverage::SourceRelation;
use crate::restore::target::descriptors::Reopenable;
use crate::restore::target::dir::TargetDir;
use crate::restore::target::restore_mark;
use crate::sync::lock;

/// Counts one entry of a directory as done; if it was the last, finishes the directory, and so on
/// for its ancestors.
pub(crate) fn release_dir(context: &RestoreContext, dir: &Arc<TargetDir>) {
    let mut current = Some(dir);
    while let Some(dir) = current.filter(|dir| dir.release()) {
        if context.is_stopped() {
            return;
        }
        if is_shut_for_me(context, dir) && is_needed_again(context, dir) {
            lock(&context.unfinished).push(dir.clone());
        } else {
            finish_dir(context, dir);
        }
        add(&context.counts.dirs, 1);
        add(&context.monitor.dirs_done, 1);
        dir.close();
        current = dir.parent();
    }
}

/// Returns whether this user, who is not the superuser, cannot enter a directory once it has its
/// final mode.
fn is_shut_for_me(context: &RestoreContext, dir: &TargetDir) -> bool {
    let mode = dir.metadata.as_ref().map(|metadata| metadata.mode).or(dir.mode_back.get().copied());
    !context.host.is_superuser && mode.is_some_and(|mode| mode & 0o700 != 0o700)
}

/// Returns whether a directory must stay accessible after everything in it is done: for
/// verification, for later hard links to a file in it, or because it is the root, which has the
/// mark.
fn is_needed_again(context: &RestoreContext, dir: &TargetDir) -> bool {
    context.options.verify || dir.has_links() || dir.parent().is_none()
}

/// Finishes the directories that had to stay accessible.
pub(crate) fn finish_shut(context: &RestoreContext) {
    // Children come before their parents.
    for dir in std::mem::take(&mut *lock(&context.unfinished)) {
        finish_dir(context, &dir);
    }
}

fn finish_dir(context: &RestoreContext, dir: &Arc<TargetDir>) {
    if dir.metadata.is_none() && dir.mode_back.get().is_none() {
        return;
    }
    let is_shut = is_shut_for_me(context, dir);
    let finished = dir.open(&context.host.dirs).and_then(|open| {
        if let (true, None, Some(mark)) = (is_shut, dir.parent(), &context.mark) {
            // After the mode is set the mark could not be reached any more.
            mark.clear()?;
        }
        let Some(metadata) = &dir.metadata else {
            let mode = dir.mode_back.get().copied().unwrap_or_default();
            return Ok(fchmod(&*open, Mode::from_raw_mode(mode.into()))?);
        };
        let (kept, whole);
        let metadata = if dir.parent().is_none() {
            kept = restore_mark::with_mark(&open, metadata);
            &kept
        } else if let Some(above) = dir.attributes_in.get() {
            whole =
                with_attributes(context, metadata, above, dir.name()).map_err(io::Error::other)?;
            &whole
        } else {
            &**metadata
        };
        let stat = open.stat_self()?;
        if metadata.keeps_xattrs && dir.parent().is_some() {
            restore_mark::take_off(&open);
        }
        let mut failed = Vec::new();
        let may_have_xattrs =
            !dir.is_fresh || dir.has_default_acl || dir.relation == SourceRelation::Above;
        let present =
            CurrentMetadata { has_xattrs: may_have_xattrs, ..CurrentMetadata::from(&stat) };
        apply(MetadataTarget::Open(open.as_fd()), &present, metadata, &mut failed);
        if dir.is_doubted {
            confirm(open.as_fd(), metadata, &mut failed);
        }
        context.report_metadata(failed, || dir.path());
        Ok(())
    });
    match finished {
        Ok(()) => context.taken_over.forget(dir),
        Err(error) => context.report_failed(&dir.path(), error),
    }
}

/// Reads attributes again that were too long to be kept while the walk was in their directory.
fn with_attributes(
    context: &RestoreContext,
    metadata: &Metadata,
    above: &ChunkId,
    name: &[u8],
) -> repo::Result<Metadata> {
    let found = context.trees.find(above, name)?.ok_or(repo::Error::WrongChunk { id: *above })?;
    Ok(Metadata { xattrs: found.entry.xattrs, ..metadata.clone() })
}
