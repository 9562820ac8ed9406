//! Entries as jobs for the workers, which inspect the target and create everything that needs no
//! chunks.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::clear_name;
use super::compare::has_content;
use super::context::RestoreContext;
use super::counts::{count_kept, count_written, entry_done};
use super::delete::clear;
use super::dir_finish::release_dir;
use super::existing::{self, FileDecision, WantedFile, decide};
use super::file_job::{FileJob, InodeOrigin};
use super::finish::{apply_to_file, complete_group, finish_open, piece_failed};
use super::link_group::{EntrySpec, FirstLink, Link, LinkGroup, TargetName};
use super::link_outcomes::orphan;
use super::make_links::make_link;
use super::special_files::{SpecialFile, make_special_file};
use crate::format::entry::{Content, EntryKind, Ref};
use crate::os::apply::CurrentMetadata;
use crate::os::attributes::XattrTarget;
use crate::os::dir::stat_of;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::options::add;
use crate::restore::target::dir::{InodeId, TargetDir};

/// An entry to be restored.
pub(crate) enum EntryJob {
    /// A regular file.
    File(Arc<FileJob>, Content),
    /// A link, fifo, socket or device node.
    Special(Box<SpecialFile>),
    /// Another name of a file that is done.
    Link(Arc<LinkGroup>, FirstLink, Link),
}

impl EntryJob {
    /// Makes the job of an entry that is not a directory.
    pub(crate) fn new(
        dir: Arc<TargetDir>,
        name: Box<[u8]>,
        kind: EntryKind,
        wanted: EntrySpec,
        group: Option<Arc<LinkGroup>>,
    ) -> Self {
        let EntrySpec { size, content, metadata, device, weight } = wanted;
        if kind != EntryKind::File {
            let link_target =
                if let Content::Inline(target) = content { target } else { Vec::new() };
            return Self::Special(Box::new(SpecialFile {
                dir,
                name,
                kind,
                link_target,
                device,
                metadata,
                group,
                _weight: weight,
            }));
        }
        let mut job = FileJob::new(dir, name, size, metadata);
        (job.group, job._weight) = (group, weight);
        job.is_pieced = match &content {
            Content::Refs(refs) => !matches!(refs[..], [Ref::Data { .. }]),
            content => matches!(content, Content::List(_)),
        };
        Self::File(Arc::new(job), content)
    }
}

/// A file whose content must be compared or fetched.
pub(crate) struct Unfilled {
    /// The file.
    pub job: Arc<FileJob>,
    /// Its content in the snapshot.
    pub content: Content,
    /// Whether an existing file was opened by the job and is to be compared.
    pub compare: bool,
}

/// Restores one entry; returns a file that needs chunks.
pub(crate) fn handle(context: &RestoreContext, item: EntryJob) -> Option<Unfilled> {
    match item {
        EntryJob::File(job, content) => {
            let outcome = handle_file(context, &job, content);
            return outcome.unwrap_or_else(|error| give_up(context, &job, error));
        }
        EntryJob::Link(group, first, link) => make_link(context, &group, &first, &link),
        EntryJob::Special(other) => handle_special(context, &other),
    }
    None
}

fn give_up(context: &RestoreContext, job: &Arc<FileJob>, error: io::Error) -> Option<Unfilled> {
    piece_failed(context, job, error);
    if let Some(group) = &job.group {
        // Only this name cannot be created.
        orphan(context, group);
    }
    release_dir(context, &job.dir);
    None
}

/// Creates or finds a special file, and reports the result.
fn handle_special(context: &RestoreContext, other: &SpecialFile) {
    match make_special_file(context, other) {
        Ok(Some(identity)) => {
            entry_done(context, 0);
            if let Some(group) = &other.group {
                let name = TargetName { dir: other.dir.clone(), name: other.name.clone() };
                complete_group(context, group, FirstLink { name, identity });
            }
        }
        Ok(None) => context.leave_alone(|| other.dir.path_of(&other.name)),
        Err(error) => {
            context.report_failed(&other.dir.path_of(&other.name), error);
            if let Some(group) = &other.group {
                orphan(context, group);
            }
        }
    }
    release_dir(context, &other.dir);
}

fn handle_file(
    context: &RestoreContext,
    job: &Arc<FileJob>,
    content: Content,
) -> io::Result<Option<Unfilled>> {
    let dir = job.dir.open(&context.host.dirs)?;
    let Some(stat) = existing::find_existing(context, &job.dir, &dir, &job.name)? else {
        return Ok(make(context, job, content));
    };
    let owned = existing::as_owned(&dir, stat, job.metadata.uid);
    let decision =
        decide(Some(&owned), &WantedFile::of(job), context.options.overwrite, &context.trust);
    let had_mode = stat.mode;
    let stat = if decision == FileDecision::LeaveAlone {
        stat
    } else {
        existing::make_accessible(context, &dir, &job.name, stat)?
    };
    match decision {
        FileDecision::LeaveAlone => {
            context.leave_alone(|| job.path());
            release_dir(context, &job.dir);
            return Ok(None);
        }
        FileDecision::Keep | FileDecision::CompareWhole => {
            if let Some(file) = reopen(&stat, dir.open_file(&job.name))
                && existing::may_keep_linked(&XattrTarget::Open(file.as_fd()), &stat, &job.metadata)
                && (decision == FileDecision::Keep
                    || is_whole(context, job, &file, &stat, &content))
            {
                keep(context, job, &file, &stat);
                return Ok(None);
            }
        }
        FileDecision::Compare => {
            if context.host.is_superuser {
                clear_name::unlock(&dir, &job.name, &stat)?;
            }
            if let Some(file) = reopen(&stat, special::open_to_change(&dir, &job.name)) {
                return compare(context, job, Existing { file, stat, had_mode }, content);
            }
        }
        FileDecision::Make | FileDecision::Replace => {}
    }
    if stat.kind == EntryKind::File {
        job.replace(stat);
    } else {
        clear(context, &job.dir, &job.name, &stat)?;
    }
    Ok(make(context, job, content))
}

/// Returns whether a file that must not be changed in place has the right content.
fn is_whole(
    context: &RestoreContext,
    job: &FileJob,
    file: &File,
    stat: &Stat,
    content: &Content,
) -> bool {
    stat.size == job.size && has_content(context, file, job.size, content, &mut Vec::new())
}

/// Returns the opened file if it is the one that was inspected; any other one is replaced.
fn reopen(stat: &Stat, opened: io::Result<File>) -> Option<File> {
    let file = opened.ok()?;
    let now = stat_of(&file).ok()?;
    let is_same = InodeId::from(&now) == InodeId::from(stat)
        && (now.kind, now.nlink) == (stat.kind, stat.nlink);
    is_same.then_some(file)
}

fn make(context: &RestoreContext, job: &Arc<FileJob>, content: Content) -> Option<Unfilled> {
    match content {
        Content::Inline(bytes) => {
            write_whole(context, job, &bytes);
            None
        }
        content => Some(Unfilled { job: job.clone(), content, compare: false }),
    }
}

/// Creates a file whose content is one piece, and finishes it.
pub(crate) fn write_whole(context: &RestoreContext, job: &Arc<FileJob>, bytes: &[u8]) {
    match create_and_write(context, job, bytes) {
        Ok((file, identity)) => {
            count_written(context, bytes.len());
            finish_open(context, job, &file, identity, InodeOrigin::Created);
        }
        Err(error) => {
            give_up(context, job, error);
        }
    }
}

fn create_and_write(
    context: &RestoreContext,
    job: &Arc<FileJob>,
    bytes: &[u8],
) -> io::Result<(File, Option<InodeId>)> {
    let dir = job.dir.open(&context.host.dirs)?;
    let mut file = job.create(&context.host, &dir)?;
    if let Err(error) = file.write_all(bytes) {
        // A partial file must not stay. If it cannot be removed either, the first error is
        // reported.
        let _ = special::remove(&dir, &job.name);
        return Err(error);
    }
    let identity = if job.group.is_some() { Some(InodeId::from(&stat_of(&file)?)) } else { None };
    Ok((file, identity))
}

fn keep(context: &RestoreContext, job: &Arc<FileJob>, file: &File, stat: &Stat) {
    count_kept(context, job.size);
    add(&context.counts.files_kept, 1);
    apply_to_file(context, job, file, &CurrentMetadata::from(stat));
    finish_kept(context, job, stat);
}

fn finish_kept(context: &RestoreContext, job: &Arc<FileJob>, stat: &Stat) {
    entry_done(context, job.size);
    if let Some(group) = &job.group {
        complete_group(
            context,
            group,
            FirstLink { name: job.as_name(), identity: InodeId::from(stat) },
        );
    }
    release_dir(context, &job.dir);
}

/// An existing file, opened to be changed in place.
struct Existing {
    file: File,
    stat: Stat,
    /// Its permission bits before this restore added write permission.
    had_mode: u16,
}

/// Compares a short file at once; returns a longer one, open and extended to its final length.
fn compare(
    context: &RestoreContext,
    job: &Arc<FileJob>,
    existing: Existing,
    content: Content,
) -> io::Result<Option<Unfilled>> {
    let Existing { file, stat, had_mode } = existing;
    let Content::Inline(bytes) = content else {
        if stat.size != job.size {
            job.note_change();
        }
        if stat.size < job.size {
            file.set_len(job.size)?;
        }
        // A file that is too long is truncated when it is finished: until then none of it is lost.
        job.adopt(&context.host, file, &stat, had_mode);
        return Ok(Some(Unfilled { job: job.clone(), content, compare: true }));
    };
    let mut there = vec![0; bytes.len()];
    let is_same =
        stat.size == job.size && file.read_exact_at(&mut there, 0).is_ok() && there == bytes;
    if is_same {
        count_kept(context, job.size);
        add(&context.counts.files_kept, 1);
    } else {
        file.set_len(job.size)?;
        file.write_all_at(&bytes, 0)?;
        count_written(context, bytes.len());
    }
    let now = CurrentMetadata::from(&stat_of(&file)?);
    let present = if is_same { now } else { CurrentMetadata { mtime: None, ..now } };
    apply_to_file(context, job, &file, &present);
    finish_kept(context, job, &stat);
    Ok(None)
}
