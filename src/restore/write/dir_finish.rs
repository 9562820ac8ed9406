//! The end of each folder: it is finished when nothing below it is pending any more, and so are
//! those above.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};

use super::context::Context;
use crate::id::ChunkId;
use crate::os::apply::{CurrentMetadata, Metadata, MetadataTarget, apply, confirm};
use crate::repo;
use crate::restore::options::add;
use crate::restore::plan::coverage::Standing;
use crate::restore::target::descriptors::Reopenable;
use crate::restore::target::dir::TargetDir;
use crate::restore::target::restore_mark;
use crate::sync::lock;

/// Notes that something in a folder is done; finishes it, and those above, if it was the last.
pub fn release_dir(context: &Context, dir: &Arc<TargetDir>) {
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

/// Returns whether a folder's owner, who restores and is not the superuser, has no right to enter
/// it once it is done.
fn is_shut_for_me(context: &Context, dir: &TargetDir) -> bool {
    let mode = dir.metadata.as_ref().map(|metadata| metadata.mode).or(dir.mode_back.get().copied());
    !context.host.is_superuser && mode.is_some_and(|mode| mode & 0o700 != 0o700)
}

/// Returns whether something is to be done in a folder after everything in it is done: it is read
/// again, other names are linked to a file in it, or it is the target's own, in which the mark
/// stays to the end.
fn is_needed_again(context: &Context, dir: &TargetDir) -> bool {
    context.options.verify || dir.has_links() || dir.parent().is_none()
}

/// Finishes the folders that had to stay open until nothing is to be made, linked or read in them
/// any more.
pub fn finish_shut(context: &Context) {
    // Those below come before those above.
    for dir in std::mem::take(&mut *lock(&context.unfinished)) {
        finish_dir(context, &dir);
    }
}

fn finish_dir(context: &Context, dir: &Arc<TargetDir>) {
    if dir.metadata.is_none() && dir.mode_back.get().is_none() {
        return;
    }
    let is_shut = is_shut_for_me(context, dir);
    let finished = dir.open(&context.host.dirs).and_then(|open| {
        if let (true, None, Some(mark)) = (is_shut, dir.parent(), &context.mark) {
            // Later it could not be reached any more.
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
        let may_have_xattrs = !dir.is_fresh || dir.bequeaths || dir.standing == Standing::Above;
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
        Ok(()) => context.taken.forget(dir),
        Err(error) => context.report_failed(&dir.path(), error),
    }
}

/// Reads attributes again that were too long to be kept while the walk was below their folder.
fn with_attributes(
    context: &Context,
    metadata: &Metadata,
    above: &ChunkId,
    name: &[u8],
) -> repo::Result<Metadata> {
    let found = context.trees.find(above, name)?.ok_or(repo::Error::WrongChunk { id: *above })?;
    Ok(Metadata { xattrs: found.entry.xattrs, ..metadata.clone() })
}
