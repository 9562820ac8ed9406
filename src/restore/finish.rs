//! The end of each entry: metadata, hard links, and the folders above once nothing in them is pending.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};

use super::context::Context;
use super::descriptors::{Reopenable, lock};
use super::ground::Standing;
use super::job::{FileJob, Origin};
use super::link_group::{self, First, LinkGroup};
use super::linking::make_link;
use super::mark;
use super::options::add;
use super::target::{Identity, TargetDir};
use crate::monitor::ProblemKind;
use crate::os::apply::{Object, Present, apply};
use crate::os::special;
use crate::repo;

/// What a file that could not be made whole is called from then on.
const DAMAGED_SUFFIX: &[u8] = b".drumlin-damaged";
/// Longest name that all usual file systems take, in bytes.
const NAME_LEN_MAX_BYTES: usize = 255;

/// Notes that one piece of a file is done; finishes the file if it was the last.
pub fn piece_done(context: &Context, job: &Arc<FileJob>) {
    if job.piece_done() {
        finish_file(context, job);
    }
}

/// Reports a file of which a piece is damaged or missing in the repository; it is not left looking whole.
pub fn piece_damaged(context: &Context, job: &Arc<FileJob>, error: &repo::Error) {
    if job.fail() {
        context.report_damage(&job.path(), error);
    }
}

/// Reports a file that cannot be written.
pub fn piece_failed(context: &Context, job: &Arc<FileJob>, error: io::Error) {
    job.give_up_writing();
    if job.fail() {
        context.report_failed(&job.path(), error);
    }
}

/// Gives a whole file its metadata, makes the links that wait for it, and lets its folder go.
fn finish_file(context: &Context, job: &Arc<FileJob>) {
    if context.is_stopped() {
        return;
    }
    if !job.has_failed()
        && let Err(error) = job.file(&context.host)
    {
        // A file of nothing but holes is made here.
        piece_failed(context, job, error);
    }
    match job.take(&context.host) {
        Ok(Some((file, identity, origin))) if !job.has_failed() => finish_content(context, job, &file, (identity, origin)),
        Ok(made) => abandon(context, job, made.is_some()),
        Err(error) => {
            piece_failed(context, job, error);
            abandon(context, job, false);
        }
    }
}

fn finish_content(context: &Context, job: &Arc<FileJob>, file: &File, (identity, origin): (Identity, Origin)) {
    if origin == Origin::Found && !job.has_changed() {
        add(&context.counts.files_kept, 1);
    }
    finish_open(context, job, file, (Some(identity), origin));
}

/// Finishes a file whose content is whole; a group's first member must say what inode it is.
pub fn finish_open(context: &Context, job: &Arc<FileJob>, file: &File, (identity, origin): (Option<Identity>, Origin)) {
    match job.present(file, origin) {
        Ok(present) => apply_to_file(context, job, file, &present),
        Err(error) => context.report_failed(&job.path(), error),
    }
    entry_done(context, job.size);
    if let (Some(group), Some(identity)) = (&job.group, identity) {
        complete_group(context, group, First { name: job.as_name(), identity });
    }
    release_dir(context, &job.dir);
}

/// Applies a job's metadata to its file, of which `present` is known.
pub fn apply_to_file(context: &Context, job: &FileJob, file: &File, present: &Present) {
    let mut failed = Vec::new();
    apply(Object::Open(file.as_fd()), present, &job.metadata, &mut failed);
    context.report_metadata(failed, || job.path());
}

/// Lets a file go that did not become whole: what there is of it is kept under a name that says so.
fn abandon(context: &Context, job: &Arc<FileJob>, is_made: bool) {
    if is_made && let Err(error) = set_aside(context, job) {
        context.report_failed(&job.path(), error);
    }
    if let Some(group) = &job.group {
        if job.is_unwritable() { link_group::vacate(context, group) } else { link_group::fail(context, group, job.as_name()) }
    }
    release_dir(context, &job.dir);
}

fn set_aside(context: &Context, job: &FileJob) -> io::Result<()> {
    let dir = job.dir.open(&context.host.dirs)?;
    if job.placed() == 0 {
        return special::remove(&dir, &job.name);
    }
    let kept = job.name.len().min(NAME_LEN_MAX_BYTES - DAMAGED_SUFFIX.len());
    let aside = [&job.name[..kept], DAMAGED_SUFFIX].concat();
    if special::rename_to_free(&dir, &job.name, &aside).is_err() {
        // It is there from an earlier run.
        return special::remove(&dir, &job.name);
    }
    let message = format!("{} of {} bytes are kept in {}", job.placed(), job.size, String::from_utf8_lossy(&aside));
    context.monitor.problem(ProblemKind::Notice, &job.path(), message);
    Ok(())
}

/// Counts a finished entry that is no folder.
pub fn entry_done(context: &Context, size: u64) {
    add(&context.counts.files, 1);
    add(&context.counts.bytes, size);
    add(&context.monitor.files_done, 1);
}

/// Makes the links that wait for the first member of a group, which is done.
pub fn complete_group(context: &Context, group: &LinkGroup, first: First) {
    for link in link_group::complete(context, group, first.clone()) {
        make_link(context, group, &first, &link);
    }
}

/// Notes that something in a folder is done; finishes it, and those above, if it was the last.
pub fn release_dir(context: &Context, dir: &Arc<TargetDir>) {
    let mut current = Some(dir);
    while let Some(dir) = current.filter(|dir| dir.release()) {
        if context.is_stopped() {
            return;
        }
        if is_shut_for_me(context, dir) {
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

/// Returns whether a folder's owner, who restores and is not the superuser, has no right to enter it once it is done.
fn is_shut_for_me(context: &Context, dir: &TargetDir) -> bool {
    let mode = dir.metadata.as_ref().map(|metadata| metadata.mode).or(dir.mode_back.get().copied());
    !context.host.is_superuser && mode.is_some_and(|mode| mode & 0o700 != 0o700)
}

/// Finishes the folders that had to stay open until nothing is to be made, linked or read in them any more.
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
        let kept;
        let metadata = if dir.parent().is_none() {
            kept = mark::with_mark(&open, metadata);
            &kept
        } else {
            &**metadata
        };
        let stat = open.stat_self()?;
        let mut failed = Vec::new();
        let may_have_xattrs = !dir.is_fresh || dir.bequeaths || dir.standing == Standing::Above;
        let present = Present { has_xattrs: may_have_xattrs, ..Present::from(&stat) };
        apply(Object::Open(open.as_fd()), &present, metadata, &mut failed);
        context.report_metadata(failed, || dir.path());
        Ok(())
    });
    if let Err(error) = finished {
        context.report_failed(&dir.path(), error);
    }
}
