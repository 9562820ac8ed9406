//! The end of each entry: metadata, hard links, and the folders above once nothing in them is
//! pending.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};

use super::context::Context;
use super::counts::entry_done;
use super::dir_finish::release_dir;
use super::existing;
use super::file_job::{FileJob, Found, Origin};
use super::link_group::{First, LinkGroup};
use super::link_outcomes;
use super::make_links::make_link;
use crate::monitor::ProblemKind;
use crate::os::apply::{CurrentMetadata, LOCKING_FLAGS, MetadataTarget, apply, confirm};
use crate::os::attributes::write_flags;
use crate::os::dir::stat_of;
use crate::os::special;
use crate::repo;
use crate::restore::options::add;
use crate::restore::target::dir::Identity;

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

/// Reports a file of which a piece is damaged or missing in the repository; it is not left looking
/// whole.
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
        Ok(Some((file, identity, origin))) if !job.has_failed() => {
            finish_content(context, job, &file, identity, origin)
        }
        Ok(made) => {
            abandon(context, job, made.as_ref().map(|(file, _, origin)| (&**file, *origin)))
        }
        Err(error) => {
            piece_failed(context, job, error);
            abandon(context, job, None);
        }
    }
}

fn finish_content(
    context: &Context,
    job: &Arc<FileJob>,
    file: &File,
    identity: Identity,
    origin: Origin,
) {
    if origin == Origin::Found && job.found_len() > job.size {
        if let Err(error) = file.set_len(job.size) {
            piece_failed(context, job, error);
            return abandon(context, job, Some((file, origin)));
        }
    } else if origin == Origin::Found && !job.has_changed() {
        add(&context.counts.files_kept, 1);
    }
    finish_open(context, job, file, Some(identity), origin);
}

/// Finishes a file whose content is whole; a group's first member must say what inode it is.
pub fn finish_open(
    context: &Context,
    job: &Arc<FileJob>,
    file: &File,
    identity: Option<Identity>,
    origin: Origin,
) {
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
pub fn apply_to_file(context: &Context, job: &FileJob, file: &File, present: &CurrentMetadata) {
    let mut failed = Vec::new();
    apply(MetadataTarget::Open(file.as_fd()), present, &job.metadata, &mut failed);
    if job.dir.is_doubted {
        confirm(file.as_fd(), &job.metadata, &mut failed);
    }
    context.report_metadata(failed, || job.path());
}

/// Lets a file go that did not become whole.
///
/// What there is of it is kept under a name that says so; what was there before stays as it was, if
/// nothing of it was replaced.
fn abandon(context: &Context, job: &Arc<FileJob>, made: Option<(&File, Origin)>) {
    let done = match made {
        None if job.is_replacing() => tell_kept(context, job),
        None => Ok(()),
        Some((file, Origin::Found)) if !job.is_overwritten() => leave_as_it_was(context, job, file),
        Some((_, origin)) => set_aside(context, job, origin),
    };
    if let Err(error) = done {
        context.report_failed(&job.path(), error);
    }
    if let Some(group) = &job.group {
        if job.is_unwritable() {
            link_outcomes::vacate(context, group)
        } else {
            link_outcomes::fail(context, group, job.as_name())
        }
    }
    release_dir(context, &job.dir);
}

fn leave_as_it_was(context: &Context, job: &FileJob, file: &File) -> io::Result<()> {
    if let Some(Found { len, mtime, flags, mode }) = job.found() {
        if len < job.size {
            file.set_len(len)?;
        }
        if len < job.size || job.is_touched() {
            MetadataTarget::Open(file.as_fd()).set_mtime(mtime)?;
        }
        if stat_of(file)?.mode != mode {
            fchmod(file, Mode::from_raw_mode(mode.into()))?;
        }
        if flags & LOCKING_FLAGS != 0 {
            write_flags(file, flags)?;
        }
    }
    // Where a restore was interrupted, it may be that one's work, with holes where pieces are
    // missing: it must not look whole.
    if context.trust.found.is_begun {
        let dir = job.dir.open(&context.host.dirs)?;
        let aside = aside_of(&job.name);
        if special::rename_to_free(&dir, &job.name, &aside).is_ok() {
            let message =
                format!("the file that was there is kept in {}", String::from_utf8_lossy(&aside));
            context.monitor.problem(ProblemKind::Notice, &job.path(), message);
            return Ok(());
        }
    }
    tell_kept(context, job)
}

fn tell_kept(context: &Context, job: &FileJob) -> io::Result<()> {
    if existing::stat(&*job.dir.open(&context.host.dirs)?, &job.name)?.is_some() {
        context.monitor.problem(
            ProblemKind::Notice,
            &job.path(),
            "the file that was there stays as it was",
        );
    }
    Ok(())
}

/// Returns what a file is called that is not whole.
fn aside_of(name: &[u8]) -> Vec<u8> {
    [&name[..name.len().min(NAME_LEN_MAX_BYTES - DAMAGED_SUFFIX.len())], DAMAGED_SUFFIX].concat()
}

fn set_aside(context: &Context, job: &FileJob, origin: Origin) -> io::Result<()> {
    let dir = job.dir.open(&context.host.dirs)?;
    if origin == Origin::Made && job.placed() == 0 {
        return special::remove(&dir, &job.name);
    }
    let aside = aside_of(&job.name);
    match special::rename_to_free(&dir, &job.name, &aside) {
        Ok(()) => {}
        // It is there from an earlier run, or there is no room: what was made here must not look
        // whole.
        Err(_) if origin == Origin::Made => return special::remove(&dir, &job.name),
        Err(error) => {
            let aside = String::from_utf8_lossy(&aside).into_owned();
            return Err(io::Error::other(format!(
                "it is part old and part new, and cannot be renamed to {aside}: {error}"
            )));
        }
    }
    let message = format!(
        "{} of {} bytes are kept in {}",
        job.placed(),
        job.size,
        String::from_utf8_lossy(&aside)
    );
    context.monitor.problem(ProblemKind::Notice, &job.path(), message);
    Ok(())
}

/// Makes the links that wait for the first member of a group, which is done.
pub fn complete_group(context: &Context, group: &LinkGroup, first: First) {
    for link in link_outcomes::complete(context, group, first.clone()) {
        make_link(context, group, &first, &link);
    }
}
