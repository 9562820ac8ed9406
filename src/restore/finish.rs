//! The end of each entry: metadata, hard links, and the folders above once nothing in them is pending.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::context::Context;
use super::delete::clear;
use super::descriptors::{Reopenable, lock};
use super::existing::unlock;
use super::job::{FileJob, Link, LinkGroup, LinkState, Origin};
use super::options::{Overwrite, add};
use super::target::{Identity, TargetDir};
use crate::monitor::ProblemKind;
use crate::os::apply::{Metadata, Object, Present, apply};
use crate::os::attributes::{read_flags, write_flags};
use crate::os::dir::Dir;
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
        complete_group(context, group, identity);
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
        fail_group(context, group);
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

/// Makes the links that wait for the first member of a group, which is `identity` now.
pub fn complete_group(context: &Context, group: &LinkGroup, identity: Identity) {
    for link in end_of_waiting(context, group, LinkState::Done(identity)) {
        make_link(context, group, identity, &link);
    }
}

/// Reports the links that wait for the first member of a group, which could not be restored.
pub fn fail_group(context: &Context, group: &LinkGroup) {
    for link in end_of_waiting(context, group, LinkState::Failed) {
        fail_link(context, group, &link);
    }
}

fn end_of_waiting(context: &Context, group: &LinkGroup, state: LinkState) -> Vec<Link> {
    match std::mem::replace(&mut *lock(&group.state), state) {
        LinkState::Pending(waiting) => {
            context.links_waiting.fetch_sub(waiting.len(), Ordering::Relaxed);
            waiting
        }
        LinkState::Done(_) | LinkState::Failed => Vec::new(),
    }
}

/// Reports a link to a file that could not be restored.
pub fn fail_link(context: &Context, group: &LinkGroup, link: &Link) {
    let first = group.dir.path_of(&group.name);
    let message = format!("it is a hard link to {}, which could not be restored", String::from_utf8_lossy(&first));
    context.report(&link.dir.path_of(&link.name), message);
    release_dir(context, &link.dir);
}

/// Makes one link of a group whose first member is done.
pub fn make_link(context: &Context, group: &LinkGroup, identity: Identity, link: &Link) {
    match try_link(context, group, identity, link) {
        Ok(true) => {
            entry_done(context, link.size);
            add(&context.monitor.bytes_done, link.size);
        }
        Ok(false) => context.leave_alone(|| link.dir.path_of(&link.name)),
        Err(error) => context.report_failed(&link.dir.path_of(&link.name), error),
    }
    release_dir(context, &link.dir);
}

/// Makes a link unless it is there; false if something else is there and is to be left alone.
fn try_link(context: &Context, group: &LinkGroup, identity: Identity, Link { dir, name, .. }: &Link) -> io::Result<bool> {
    let from = group.dir.open(&context.host.dirs)?;
    let to = dir.open(&context.host.dirs)?;
    if !dir.is_fresh
        && let Ok(stat) = to.stat(name)
    {
        if Identity::from(&stat) == identity {
            return Ok(true);
        }
        if context.options.overwrite == Overwrite::Never {
            return Ok(false);
        }
        clear(context, dir, name, &stat)?;
    }
    link_to(group, &from, &to, name)?;
    if Identity::from(&to.stat(name)?) != identity {
        special::remove(&to, name)?;
        return Err(io::Error::other("the file that it links to was replaced meanwhile"));
    }
    Ok(true)
}

/// Gives the first member of a group another name, even if it is immutable: such a file takes none.
fn link_to(group: &LinkGroup, from: &Dir, to: &Dir, name: &[u8]) -> io::Result<()> {
    let link = || special::make_hard_link(from, &group.name, to, name);
    match link() {
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
        done => return done,
    }
    // One at a time, so that no other member finds the flags set again between these steps.
    let _alone = lock(&group.state);
    let stat = from.stat(&group.name)?;
    if !unlock(from, &group.name, &stat)? {
        return link();
    }
    let linked = link();
    write_flags(from.open_file(&group.name)?, read_flags(&stat)).and(linked)
}

/// Notes that something in a folder is done; finishes it, and those above, if it was the last.
pub fn release_dir(context: &Context, dir: &Arc<TargetDir>) {
    let mut current = Some(dir);
    while let Some(dir) = current.filter(|dir| dir.release()) {
        if context.is_stopped() {
            return;
        }
        if let Some(metadata) = &dir.metadata {
            finish_dir(context, dir, metadata);
        }
        add(&context.counts.dirs, 1);
        add(&context.monitor.dirs_done, 1);
        dir.close();
        current = dir.parent();
    }
}

fn finish_dir(context: &Context, dir: &Arc<TargetDir>, metadata: &Metadata) {
    let opened = dir.open(&context.host.dirs).and_then(|open| Ok((open.stat_self()?, open)));
    match opened {
        Ok((stat, open)) => {
            let mut failed = Vec::new();
            let present = Present { has_xattrs: !dir.is_fresh || dir.bequeaths, ..Present::from(&stat) };
            apply(Object::Open(open.as_fd()), &present, metadata, &mut failed);
            context.report_metadata(failed, || dir.path());
        }
        Err(error) => context.report_failed(&dir.path(), error),
    }
}
