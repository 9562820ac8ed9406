//! Completion of files: metadata, waiting hard links, and the release of their directories.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;

use rustix::fs::{Mode, fchmod};

use super::context::RestoreContext;
use super::counts::entry_done;
use super::dir_finish::release_dir;
use super::existing;
use super::file_job::{FileJob, InodeOrigin, OriginalFile};
use super::link_group::{FirstLink, LinkGroup};
use super::link_outcomes;
use super::make_links::make_link;
use crate::monitor::ProblemKind;
use crate::os::apply::{CurrentMetadata, LOCKING_FLAGS, MetadataTarget, apply, confirm};
use crate::os::attributes::write_flags;
use crate::os::dir::stat_of;
use crate::os::special;
use crate::repo;
use crate::restore::options::add;
use crate::restore::target::dir::InodeId;

/// Suffix of the name of a file that could not be completed.
const DAMAGED_SUFFIX: &[u8] = b".drumlin-damaged";
/// Longest name that all usual file systems accept, in bytes.
const NAME_LEN_MAX_BYTES: usize = 255;

/// Counts one piece of a file as done; finishes the file if it was the last.
pub(crate) fn piece_done(context: &RestoreContext, job: &Arc<FileJob>) {
    if job.piece_done() {
        finish_file(context, job);
    }
}

/// Reports a file with a piece that is damaged or missing in the repository; it is set aside in the
/// end.
pub(crate) fn piece_damaged(context: &RestoreContext, job: &Arc<FileJob>, error: &repo::Error) {
    if job.fail() {
        context.report_damage(&job.path(), error);
    }
}

/// Reports a file that cannot be written.
pub(crate) fn piece_failed(context: &RestoreContext, job: &Arc<FileJob>, error: io::Error) {
    job.give_up_writing();
    if job.fail() {
        context.report_failed(&job.path(), error);
    }
}

/// Sets the metadata of a complete file, creates the links that wait for it, and releases its
/// directory.
fn finish_file(context: &RestoreContext, job: &Arc<FileJob>) {
    if context.is_stopped() {
        return;
    }
    if !job.has_failed()
        && let Err(error) = job.file(&context.host)
    {
        // A file that consists of holes only is created here.
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
    context: &RestoreContext,
    job: &Arc<FileJob>,
    file: &File,
    identity: InodeId,
    origin: InodeOrigin,
) {
    if origin == InodeOrigin::Existing && job.found_len() > job.size {
        if let Err(error) = file.set_len(job.size) {
            piece_failed(context, job, error);
            return abandon(context, job, Some((file, origin)));
        }
    } else if origin == InodeOrigin::Existing && !job.has_changed() {
        add(&context.counts.files_kept, 1);
    }
    finish_open(context, job, file, Some(identity), origin);
}

/// Finishes a file whose content is complete; the first member of a group needs its inode.
pub(crate) fn finish_open(
    context: &RestoreContext,
    job: &Arc<FileJob>,
    file: &File,
    identity: Option<InodeId>,
    origin: InodeOrigin,
) {
    match job.present(file, origin) {
        Ok(present) => apply_to_file(context, job, file, &present),
        Err(error) => context.report_failed(&job.path(), error),
    }
    entry_done(context, job.size);
    if let (Some(group), Some(identity)) = (&job.group, identity) {
        complete_group(context, group, FirstLink { name: job.as_name(), identity });
    }
    release_dir(context, &job.dir);
}

/// Applies a job's metadata to its file, which has the metadata `present`.
pub(crate) fn apply_to_file(
    context: &RestoreContext,
    job: &FileJob,
    file: &File,
    present: &CurrentMetadata,
) {
    let mut failed = Vec::new();
    apply(MetadataTarget::Open(file.as_fd()), present, &job.metadata, &mut failed);
    if job.dir.is_doubted {
        confirm(file.as_fd(), &job.metadata, &mut failed);
    }
    context.report_metadata(failed, || job.path());
}

/// Finishes a file that could not be completed.
///
/// Written content is kept under a name that says so; an existing file of which nothing was
/// overwritten stays as it was.
fn abandon(context: &RestoreContext, job: &Arc<FileJob>, made: Option<(&File, InodeOrigin)>) {
    let done = match made {
        None if job.is_replacing() => report_kept(context, job),
        None => Ok(()),
        Some((file, InodeOrigin::Existing)) if !job.is_overwritten() => {
            leave_as_it_was(context, job, file)
        }
        Some((_, origin)) => set_aside(context, job, origin),
    };
    if let Err(error) = done {
        context.report_failed(&job.path(), error);
    }
    if let Some(group) = &job.group {
        if job.is_unwritable() {
            link_outcomes::orphan(context, group)
        } else {
            link_outcomes::fail(context, group, job.as_name())
        }
    }
    release_dir(context, &job.dir);
}

fn leave_as_it_was(context: &RestoreContext, job: &FileJob, file: &File) -> io::Result<()> {
    if let Some(OriginalFile { len, mtime, flags, mode }) = job.found() {
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
    // After an interrupted restore the existing file may be its incomplete work, with holes in
    // place of missing pieces: it must not look complete.
    if context.trust.mark.is_begun {
        let dir = job.dir.open(&context.host.dirs)?;
        let aside = aside_of(&job.name);
        if special::rename_to_free(&dir, &job.name, &aside).is_ok() {
            let message =
                format!("the file that was there is kept in {}", String::from_utf8_lossy(&aside));
            context.monitor.problem(ProblemKind::Notice, &job.path(), message);
            return Ok(());
        }
    }
    report_kept(context, job)
}

fn report_kept(context: &RestoreContext, job: &FileJob) -> io::Result<()> {
    if existing::stat(&*job.dir.open(&context.host.dirs)?, &job.name)?.is_some() {
        context.monitor.problem(
            ProblemKind::Notice,
            &job.path(),
            "the file that was there stays as it was",
        );
    }
    Ok(())
}

/// Returns the name for an incomplete file.
fn aside_of(name: &[u8]) -> Vec<u8> {
    [&name[..name.len().min(NAME_LEN_MAX_BYTES - DAMAGED_SUFFIX.len())], DAMAGED_SUFFIX].concat()
}

fn set_aside(context: &RestoreContext, job: &FileJob, origin: InodeOrigin) -> io::Result<()> {
    let dir = job.dir.open(&context.host.dirs)?;
    if origin == InodeOrigin::Created && job.placed() == 0 {
        return special::remove(&dir, &job.name);
    }
    let aside = aside_of(&job.name);
    match special::rename_to_free(&dir, &job.name, &aside) {
        Ok(()) => {}
        // The name exists from an earlier run, or the disk is full: an incomplete new file must not
        // look complete.
        Err(_) if origin == InodeOrigin::Created => return special::remove(&dir, &job.name),
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

/// Creates the links that wait for the first member of a group, which is done.
pub(crate) fn complete_group(context: &RestoreContext, group: &LinkGroup, first: FirstLink) {
    for link in link_outcomes::complete(context, group, first.clone()) {
        make_link(context, group, &first, &link);
    }
}
