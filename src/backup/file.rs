//! Reader of one file: opens it, detects changes during the read, shares content between its names.

use std::fs::File;
use std::io;

use super::chunk_stream::ChunkStreamError;
use super::content::{SMALL_LEN_MAX_BYTES, read_content};
use super::context::{Contexts, FileCounts, SourceContext};
use super::describe::{describe, mark_changed, xattrs_or_problem};
use super::hard_links::InodeState;
use super::worker::Worker;
use crate::format::entry::{Content, EntryKind};
use crate::monitor::{Monitor, ProblemKind};
use crate::os::attributes::{read_xattrs, read_xattrs_of};
use crate::os::dir::{Dir, stat_of};
use crate::os::filesystem;
use crate::os::lease::{LEASE_WAIT_MAX, retry};
use crate::os::stat::Stat;
use crate::repo::{DirEntry, Result};

/// A name in an open directory.
#[derive(Clone, Copy)]
pub(super) struct NameInDir<'a> {
    /// The directory.
    pub dir: &'a Dir,
    /// The name.
    pub name: &'a [u8],
    /// Absolute path of the name, for reports.
    pub path: &'a [u8],
}

/// Reads anything but a directory; `None` after reporting why it has no entry.
pub(super) fn read(
    source: &SourceContext,
    worker: &mut Worker,
    stat: &Stat,
    at: NameInDir,
) -> Result<Option<DirEntry>> {
    let content = match stat.kind {
        EntryKind::File => return read_file(source, worker, at),
        EntryKind::Symlink => {
            match source.listings.retry_if_listed(at.dir, at.name, || at.dir.read_link(at.name)) {
                // Readers of the format refuse an empty target.
                Ok(target) if target.is_empty() => {
                    return Ok(report(
                        source.monitor,
                        at.path,
                        &io::Error::other("it is a link without a target"),
                    ));
                }
                Ok(target) => Content::Inline(target),
                Err(error) => return Ok(report(source.monitor, at.path, &error)),
            }
        }
        _ => Content::None,
    };
    let contexts = Contexts { source, target: worker.writer.target };
    let xattrs =
        xattrs_or_problem(source.monitor, at.path, read_xattrs(at.dir, at.name, stat.kind));
    Ok(Some(describe(contexts, at.name, stat, content, xattrs)))
}

/// Reads a regular file; `None` after reporting why it has no entry.
///
/// Fails only if the repository does.
pub(super) fn read_file(
    source: &SourceContext,
    worker: &mut Worker,
    at: NameInDir,
) -> Result<Option<DirEntry>> {
    let open = || source.listings.retry_if_listed(at.dir, at.name, || at.dir.open_file(at.name));
    let mut file = match retry(LEASE_WAIT_MAX, || source.monitor.is_cancelled(), open) {
        Ok(file) => file,
        Err(error) => return Ok(report(source.monitor, at.path, &error)),
    };
    for attempt in 1.. {
        let stat = match stat_of(&file) {
            Ok(stat) if stat.kind == EntryKind::File => stat,
            Ok(_) => {
                let what = "it was replaced by something that is not a file";
                source.monitor.problem(ProblemKind::Vanished, at.path, what);
                return Ok(None);
            }
            Err(error) => return Ok(report(source.monitor, at.path, &error)),
        };
        let (content, size) = match read_or_share(source.monitor, worker, &file, &stat) {
            Ok(found) => found,
            Err(ChunkStreamError::Repository(error)) => return Err(error),
            Err(ChunkStreamError::Read(error)) => {
                return Ok(report(
                    source.monitor,
                    at.path,
                    &source.listings.explain_missing(at.dir, at.name, error),
                ));
            }
        };
        let torn = how_torn(&stat, size, stat_of(&file).ok().as_ref());
        let is_small = stat.size <= SMALL_LEN_MAX_BYTES;
        if torn.is_some() && attempt == 1 && is_small && io::Seek::rewind(&mut file).is_ok() {
            continue;
        }
        let xattrs = xattrs_or_problem(source.monitor, at.path, read_xattrs_of(&file));
        let contexts = Contexts { source, target: worker.writer.target };
        let mut entry = describe(contexts, at.name, &Stat { size, ..stat }, content, xattrs);
        if let Some(how) = torn {
            mark_changed(&mut entry);
            source.monitor.problem(ProblemKind::Changed, at.path, how);
        }
        return Ok(Some(entry));
    }
    unreachable!("the second attempt returns")
}

/// Returns why the `size` bytes that were read may not be one state of the file, if so.
///
/// A file of length 0 may have content without a change: files of the kernel do.
fn how_torn(before: &Stat, size: u64, after: Option<&Stat>) -> Option<String> {
    let state = |stat: &Stat| (stat.size, stat.mtime, stat.ctime);
    if after.is_none_or(|after| state(after) != state(before)) {
        return Some("it changed while it was read: its content may mix two states".to_owned());
    }
    let differs = size != before.size && before.size > 0;
    differs.then(|| {
        format!("it is {} bytes long by its file system, but {size} could be read", before.size)
    })
}

/// Reports why a file cannot be read.
pub(super) fn report(monitor: &Monitor, path: &[u8], error: &io::Error) -> Option<DirEntry> {
    let (kind, what) = match error.kind() {
        io::ErrorKind::NotFound => (ProblemKind::Vanished, error.to_string()),
        io::ErrorKind::WouldBlock => {
            (ProblemKind::Unreadable, format!("another program does not give it back: {error}"))
        }
        _ => (ProblemKind::Unreadable, error.to_string()),
    };
    monitor.problem(kind, path, what);
    None
}

/// Returns a file's content and the number of bytes that were read, if necessary.
///
/// A file that was read under another name is not read again, if inode numbers are known to be
/// unique and if it did not change since.
fn read_or_share(
    monitor: &Monitor,
    worker: &mut Worker,
    file: &File,
    stat: &Stat,
) -> std::result::Result<(Content, u64), ChunkStreamError> {
    let linked =
        (stat.nlink > 1).then(|| InodeState::of(stat)).filter(|_| filesystem::is_trusted(file));
    let target = worker.writer.target;
    if let Some(known) = linked.and_then(|linked| target.links.get(&linked)) {
        return Ok(known);
    }
    let (content, size) = read_content(monitor, worker, file, stat)?;
    FileCounts::add(&target.counts.bytes_read, size);
    Ok(match linked {
        // Content of another length may mix two states: it counts for this name only.
        Some(linked) if size == stat.size => target.links.keep(linked, stat.nlink, content, size),
        _ => (content, size),
    })
}
