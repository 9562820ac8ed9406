//! Entries that a worker handles whole: it looks at what is there, and makes whatever needs no chunks.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use super::context::Context;
use super::delete::clear;
use super::existing::{self, Decision, WantedFile, decide};
use super::finish::{apply_to_file, complete_group, entry_done, fail_group, finish_open, make_link, piece_failed, release_dir};
use super::job::{FileJob, Link, LinkGroup, Origin};
use super::options::{Overwrite, add};
use super::target::{Identity, TargetDir};
use crate::format::entry::{Content, EntryKind};
use crate::os::apply::{Metadata, Object, Present, apply};
use crate::os::dir::{Dir, stat_of};
use crate::os::special;
use crate::os::stat::Stat;

/// An entry to be handled.
pub enum Item {
    /// A regular file.
    File(Arc<FileJob>, Content),
    /// Anything that is neither a file nor a folder.
    Other(Box<Other>),
    /// Another name of a file that is done and is this inode now.
    Link(Arc<LinkGroup>, Identity, Link),
}

/// A symbolic link, fifo, socket or device node.
pub struct Other {
    /// The folder it goes into, kept pending until it is done.
    pub dir: Arc<TargetDir>,
    /// Its name.
    pub name: Box<[u8]>,
    /// What it is.
    pub kind: EntryKind,
    /// Target of a symbolic link.
    pub link_target: Vec<u8>,
    /// Numbers of a device node.
    pub device: Option<(u32, u32)>,
    /// What it gets.
    pub metadata: Metadata,
    /// Its hard-link group, if this is the group's first member.
    pub group: Option<Arc<LinkGroup>>,
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
        Item::Link(group, identity, link) => make_link(context, &group, identity, &link),
        Item::Other(other) => handle_other(context, &other),
    }
    None
}

fn give_up(context: &Context, job: &Arc<FileJob>, error: io::Error) -> Option<Unfilled> {
    piece_failed(context, job, error);
    if let Some(group) = &job.group {
        fail_group(context, group);
    }
    release_dir(context, &job.dir);
    None
}

fn handle_file(context: &Context, job: &Arc<FileJob>, content: Content) -> io::Result<Option<Unfilled>> {
    let dir = job.dir.open(&context.host.dirs)?;
    let found = if job.dir.is_fresh { None } else { existing::stat(&dir, &job.name)? };
    let Some(stat) = found else {
        return Ok(make(context, job, content));
    };
    let wanted = WantedFile { size: job.size, mtime: job.metadata.mtime, uid: job.metadata.uid };
    match decide(Some(&stat), &wanted, context.options.overwrite, context.trusted_before) {
        Decision::LeaveAlone => {
            context.leave_alone(|| job.path());
            release_dir(context, &job.dir);
            return Ok(None);
        }
        Decision::Keep if existing::may_keep_linked(&dir, &job.name, &stat, &job.metadata) => {
            if let Some(file) = reopen(&stat, dir.open_file(&job.name)) {
                keep(context, job, &file, &stat);
                return Ok(None);
            }
        }
        Decision::Compare => {
            if context.host.is_superuser {
                existing::unlock(&dir, &job.name, &stat)?;
            }
            if let Some(file) = reopen(&stat, special::open_to_change(&dir, &job.name)) {
                return compare(context, job, (file, &stat), content);
            }
        }
        Decision::Keep | Decision::Make | Decision::Replace => {}
    }
    clear(context, &job.dir, &job.name, &stat)?;
    Ok(make(context, job, content))
}

/// Returns what was opened if it is what was looked at; anything else is to be replaced.
fn reopen(stat: &Stat, opened: io::Result<File>) -> Option<File> {
    let file = opened.ok()?;
    let now = stat_of(&file).ok()?;
    let is_same = Identity::from(&now) == Identity::from(stat) && (now.kind, now.nlink) == (stat.kind, stat.nlink);
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
            finish_open(context, job, &file, (identity, Origin::Made));
        }
        Err(error) => {
            give_up(context, job, error);
        }
    }
}

fn create_and_write(context: &Context, job: &Arc<FileJob>, bytes: &[u8]) -> io::Result<(File, Option<Identity>)> {
    let dir = job.dir.open(&context.host.dirs)?;
    let mut file = job.create(&context.host, &dir)?;
    if let Err(error) = file.write_all(bytes) {
        // Half of it must not stay behind; if it cannot even be removed, the error to tell is the first.
        let _ = special::remove(&dir, &job.name);
        return Err(error);
    }
    let identity = if job.group.is_some() { Some(Identity::from(&stat_of(&file)?)) } else { None };
    Ok((file, identity))
}

/// Counts content that was written.
pub fn count_written(context: &Context, len: usize) {
    add(&context.counts.bytes_written, len as u64);
    add(&context.monitor.bytes_done, len as u64);
}

/// Counts content that was there already.
pub fn count_kept(context: &Context, len: u64) {
    add(&context.counts.bytes_kept, len);
    add(&context.monitor.bytes_done, len);
}

fn keep(context: &Context, job: &Arc<FileJob>, file: &File, stat: &Stat) {
    count_kept(context, job.size);
    add(&context.counts.files_kept, 1);
    apply_to_file(context, job, file, &Present::from(stat));
    finish_kept(context, job, stat);
}

fn finish_kept(context: &Context, job: &Arc<FileJob>, stat: &Stat) {
    entry_done(context, job.size);
    if let Some(group) = &job.group {
        complete_group(context, group, Identity::from(stat));
    }
    release_dir(context, &job.dir);
}

/// Compares a short file at once and hands a longer one on, open, with its length made right.
fn compare(context: &Context, job: &Arc<FileJob>, (file, stat): (File, &Stat), content: Content) -> io::Result<Option<Unfilled>> {
    let Content::Inline(bytes) = content else {
        if stat.size != job.size {
            file.set_len(job.size)?;
            job.note_change();
        }
        job.adopt(&context.host, file, Identity::from(stat));
        return Ok(Some(Unfilled { job: job.clone(), content, compare: true }));
    };
    let mut there = vec![0; bytes.len()];
    let is_same = stat.size == job.size && file.read_exact_at(&mut there, 0).is_ok() && there == bytes;
    if is_same {
        count_kept(context, job.size);
        add(&context.counts.files_kept, 1);
    } else {
        file.set_len(job.size)?;
        file.write_all_at(&bytes, 0)?;
        count_written(context, bytes.len());
    }
    let present = Present { mtime: None, ..Present::from(&stat_of(&file)?) };
    apply_to_file(context, job, &file, &present);
    finish_kept(context, job, stat);
    Ok(None)
}

fn handle_other(context: &Context, other: &Other) {
    match make_other(context, other) {
        Ok(Some(identity)) => {
            entry_done(context, 0);
            if let Some(group) = &other.group {
                complete_group(context, group, identity);
            }
        }
        Ok(None) => context.leave_alone(|| other.dir.path_of(&other.name)),
        Err(error) => {
            context.report_failed(&other.dir.path_of(&other.name), error);
            if let Some(group) = &other.group {
                fail_group(context, group);
            }
        }
    }
    release_dir(context, &other.dir);
}

/// Makes a link or special file, or finds the right one; `None` if something else is left alone.
fn make_other(context: &Context, other: &Other) -> io::Result<Option<Identity>> {
    let dir = other.dir.open(&context.host.dirs)?;
    let mut found = if other.dir.is_fresh { None } else { existing::stat(&dir, &other.name)? };
    if let Some(stat) = &found {
        if context.options.overwrite == Overwrite::Never {
            return Ok(None);
        }
        if is_right(&dir, other, stat) {
            add(&context.counts.files_kept, 1);
        } else {
            clear(context, &other.dir, &other.name, stat)?;
            found = None;
        }
    }
    let has_xattrs = found.is_some() || other.dir.bequeaths;
    let stat = match found {
        Some(stat) => stat,
        None => {
            match other.kind {
                EntryKind::Symlink => special::make_symlink(&dir, &other.name, &other.link_target)?,
                _ => special::make_special(&dir, &other.name, other.kind, other.device)?,
            }
            dir.stat(&other.name)?
        }
    };
    let mut failed = Vec::new();
    let object = Object::Named { dir: &dir, name: &other.name, kind: other.kind };
    apply(object, &Present { has_xattrs, ..Present::from(&stat) }, &other.metadata, &mut failed);
    context.report_metadata(failed, || other.dir.path_of(&other.name));
    Ok(Some(Identity::from(&stat)))
}

fn is_right(dir: &Dir, other: &Other, stat: &Stat) -> bool {
    let is_same_link =
        other.kind != EntryKind::Symlink || dir.read_link(&other.name).is_ok_and(|target| target == other.link_target);
    (stat.kind, stat.device) == (other.kind, other.device)
        && is_same_link
        && existing::may_keep_linked(dir, &other.name, stat, &other.metadata)
}
