//! Entries that a worker handles whole: it looks at what is there, and makes whatever needs no
//! chunks.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::clear_name;
use super::compare::holds;
use super::context::Context;
use super::counts::{count_kept, count_written, entry_done};
use super::delete::clear;
use super::dir_finish::release_dir;
use super::existing::{self, Decision, WantedFile, decide};
use super::file_job::{FileJob, Origin};
use super::finish::{apply_to_file, complete_group, finish_open, piece_failed};
use super::link_group::{First, Link, LinkGroup, Name, Wanted};
use super::link_outcomes::vacate;
use super::make_links::make_link;
use super::special_files::{Other, make_other};
use crate::format::entry::{Content, EntryKind, Ref};
use crate::os::apply::CurrentMetadata;
use crate::os::attributes::XattrTarget;
use crate::os::dir::stat_of;
use crate::os::special;
use crate::os::stat::Stat;
use crate::restore::options::add;
use crate::restore::target::dir::{Identity, TargetDir};

/// An entry to be handled.
pub enum Item {
    /// A regular file.
    File(Arc<FileJob>, Content),
    /// Anything that is neither a file nor a folder.
    Other(Box<Other>),
    /// Another name of a file that is done.
    Link(Arc<LinkGroup>, First, Link),
}

impl Item {
    /// Makes the item of an entry that is no folder.
    pub fn new(
        dir: Arc<TargetDir>,
        name: Box<[u8]>,
        kind: EntryKind,
        wanted: Wanted,
        group: Option<Arc<LinkGroup>>,
    ) -> Self {
        let Wanted { size, content, metadata, device, weight } = wanted;
        if kind != EntryKind::File {
            let link_target =
                if let Content::Inline(target) = content { target } else { Vec::new() };
            return Self::Other(Box::new(Other {
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

/// A file whose content must come from chunks.
pub struct Unfilled {
    /// The file.
    pub job: Arc<FileJob>,
    /// Where its content is.
    pub content: Content,
    /// Whether something is there to be compared, and the file has it open.
    pub compare: bool,
}

/// Handles one entry; a file that needs chunks is returned.
pub fn handle(context: &Context, item: Item) -> Option<Unfilled> {
    match item {
        Item::File(job, content) => {
            let outcome = handle_file(context, &job, content);
            return outcome.unwrap_or_else(|error| give_up(context, &job, error));
        }
        Item::Link(group, first, link) => make_link(context, &group, &first, &link),
        Item::Other(other) => handle_other(context, &other),
    }
    None
}

fn give_up(context: &Context, job: &Arc<FileJob>, error: io::Error) -> Option<Unfilled> {
    piece_failed(context, job, error);
    if let Some(group) = &job.group {
        // Only this name cannot be had.
        vacate(context, group);
    }
    release_dir(context, &job.dir);
    None
}

/// Makes or finds such an entry, and says what became of it.
fn handle_other(context: &Context, other: &Other) {
    match make_other(context, other) {
        Ok(Some(identity)) => {
            entry_done(context, 0);
            if let Some(group) = &other.group {
                let name = Name { dir: other.dir.clone(), name: other.name.clone() };
                complete_group(context, group, First { name, identity });
            }
        }
        Ok(None) => context.leave_alone(|| other.dir.path_of(&other.name)),
        Err(error) => {
            context.report_failed(&other.dir.path_of(&other.name), error);
            if let Some(group) = &other.group {
                vacate(context, group);
            }
        }
    }
    release_dir(context, &other.dir);
}

fn handle_file(
    context: &Context,
    job: &Arc<FileJob>,
    content: Content,
) -> io::Result<Option<Unfilled>> {
    let dir = job.dir.open(&context.host.dirs)?;
    let Some(stat) = existing::look(context, &job.dir, &dir, &job.name)? else {
        return Ok(make(context, job, content));
    };
    let owned = existing::as_owned(&dir, stat, job.metadata.uid);
    let decision =
        decide(Some(&owned), &WantedFile::of(job), context.options.overwrite, &context.trust);
    let had_mode = stat.mode;
    let stat = if decision == Decision::LeaveAlone {
        stat
    } else {
        existing::give_way(context, &dir, &job.name, stat)?
    };
    match decision {
        Decision::LeaveAlone => {
            context.leave_alone(|| job.path());
            release_dir(context, &job.dir);
            return Ok(None);
        }
        Decision::Keep | Decision::CompareWhole => {
            if let Some(file) = reopen(&stat, dir.open_file(&job.name))
                && existing::may_keep_linked(&XattrTarget::Open(file.as_fd()), &stat, &job.metadata)
                && (decision == Decision::Keep || is_whole(context, job, &file, &stat, &content))
            {
                keep(context, job, &file, &stat);
                return Ok(None);
            }
        }
        Decision::Compare => {
            if context.host.is_superuser {
                clear_name::unlock(&dir, &job.name, &stat)?;
            }
            if let Some(file) = reopen(&stat, special::open_to_change(&dir, &job.name)) {
                return compare(context, job, Existing { file, stat, had_mode }, content);
            }
        }
        Decision::Make | Decision::Replace => {}
    }
    if stat.kind == EntryKind::File {
        job.replace(stat);
    } else {
        clear(context, &job.dir, &job.name, &stat)?;
    }
    Ok(make(context, job, content))
}

/// Returns whether a file that cannot be changed in place is right as it is.
fn is_whole(context: &Context, job: &FileJob, file: &File, stat: &Stat, content: &Content) -> bool {
    stat.size == job.size && holds(context, file, job.size, content, &mut Vec::new())
}

/// Returns what was opened if it is what was looked at; anything else is to be replaced.
fn reopen(stat: &Stat, opened: io::Result<File>) -> Option<File> {
    let file = opened.ok()?;
    let now = stat_of(&file).ok()?;
    let is_same = Identity::from(&now) == Identity::from(stat)
        && (now.kind, now.nlink) == (stat.kind, stat.nlink);
    is_same.then_some(file)
}

fn make(context: &Context, job: &Arc<FileJob>, content: Content) -> Option<Unfilled> {
    match content {
        Content::Inline(bytes) => {
            write_whole(context, job, &bytes);
            None
        }
        content => Some(Unfilled { job: job.clone(), content, compare: false }),
    }
}

/// Makes a file with all its content, which is in one piece, and finishes it.
pub fn write_whole(context: &Context, job: &Arc<FileJob>, bytes: &[u8]) {
    match create_and_write(context, job, bytes) {
        Ok((file, identity)) => {
            count_written(context, bytes.len());
            finish_open(context, job, &file, identity, Origin::Made);
        }
        Err(error) => {
            give_up(context, job, error);
        }
    }
}

fn create_and_write(
    context: &Context,
    job: &Arc<FileJob>,
    bytes: &[u8],
) -> io::Result<(File, Option<Identity>)> {
    let dir = job.dir.open(&context.host.dirs)?;
    let mut file = job.create(&context.host, &dir)?;
    if let Err(error) = file.write_all(bytes) {
        // Half of it must not stay behind; if it cannot even be removed, the error to tell is the
        // first.
        let _ = special::remove(&dir, &job.name);
        return Err(error);
    }
    let identity = if job.group.is_some() { Some(Identity::from(&stat_of(&file)?)) } else { None };
    Ok((file, identity))
}

fn keep(context: &Context, job: &Arc<FileJob>, file: &File, stat: &Stat) {
    count_kept(context, job.size);
    add(&context.counts.files_kept, 1);
    apply_to_file(context, job, file, &CurrentMetadata::from(stat));
    finish_kept(context, job, stat);
}

fn finish_kept(context: &Context, job: &Arc<FileJob>, stat: &Stat) {
    entry_done(context, job.size);
    if let Some(group) = &job.group {
        complete_group(
            context,
            group,
            First { name: job.as_name(), identity: Identity::from(stat) },
        );
    }
    release_dir(context, &job.dir);
}

/// An existing file, opened to be changed in place.
struct Existing {
    file: File,
    stat: Stat,
    /// Its permission bits, before this restore gave itself the right to change it.
    had_mode: u16,
}

/// Compares a short file at once and hands a longer one on, open, at least as long as it will be.
fn compare(
    context: &Context,
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
        // What is too long is cut at its end: until then nothing of it is lost.
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
